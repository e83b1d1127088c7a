import t, { type Test } from 'tap'
import { Admin, ClientError, groupConfigDefaults, lagOf, topicConfigDefaults } from '../../client/index.ts'
import { encodeRecord, hostOf } from '../../message/index.ts'
import {
  RemotingServer,
  RequestCode,
  RequestDispatcher,
  type RequestHandler,
  ResponseCode,
  response
} from '../../net/index.ts'

/** A server that answers what a test tells it to. */
async function serve(t: Test, handlers: Readonly<Record<number, RequestHandler>>): Promise<string> {
  const dispatcher = new RequestDispatcher()
  for (const [code, handler] of Object.entries(handlers)) dispatcher.register(Number(code), handler)
  const server = new RemotingServer(dispatcher)
  t.teardown(() => server.close())
  return `127.0.0.1:${(await server.listen(0, '127.0.0.1')).port}`
}

/** A NameServer that knows every topic but `missing`, on these brokers; only the first is in the cluster `first`. */
const routeTo =
  (...addresses: string[]): RequestHandler =>
  ({ extFields }) => {
    const { topic } = extFields!
    if (topic === 'missing') return response(ResponseCode.TOPIC_NOT_EXIST, `no ${topic}`)
    const names = addresses.map((address, n) => ({ address, brokerName: `broker-${n}` }))
    const brokerDatas = names.map(({ address, brokerName }) => ({
      brokerName,
      cluster: brokerName === 'broker-0' ? 'first' : 'other',
      brokerAddrs: { 0: address }
    }))
    const queueDatas = names.map(({ brokerName }) => ({ brokerName, perm: 6, readQueueNums: 2, writeQueueNums: 2 }))
    return response(0, null, null, JSON.stringify({ brokerDatas, queueDatas }))
  }
function adminOf(t: Test, namesrvAddr: string): Admin {
  const admin = new Admin({ namesrvAddr, connectTimeoutMs: 1000 })
  t.teardown(() => admin.close())
  return admin
}

const record = (keys: string, queueOffset: number): Uint8Array =>
  encodeRecord({
    topic: 'orders',
    queueId: 0,
    queueOffset,
    physicalOffset: queueOffset * 1000,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1,
    bornHost: hostOf('127.0.0.1', 1),
    storeTimestamp: 2,
    storeHost: hostOf('127.0.0.1', 10911),
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from(`body ${queueOffset}`),
    properties: new Map([['KEYS', keys]])
  })

t.test('a group table that comes in pages is read to its end, and again when it changes meanwhile', async t => {
  const names = ['a', 'b', 'c', 'd', 'e']
  const asked: string[] = []
  let version = 1
  const address = await serve(t, {
    [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG]: ({ extFields }) => {
      const seq = Number(extFields!.groupSeq)
      asked.push(extFields!.groupSeq!)
      // A change between the first and the second page makes a broker begin anew.
      if (seq === 2 && version === 1) version = 2
      const told = JSON.parse(extFields!.dataVersion || '{"counter":0}').counter
      const from = told === version ? seq : 0
      const page = names.slice(from, from + 2).map(name => [name, { ...groupConfigDefaults, groupName: name }])
      const body = { dataVersion: { counter: version }, subscriptionGroupTable: Object.fromEntries(page) }
      return response(0, null, { totalGroupNum: '5' }, JSON.stringify(body))
    }
  })
  const admin = adminOf(t, '127.0.0.1:1')
  t.same([...(await admin.groups(address)).keys()], names)
  t.same(asked, ['0', '2', '2', '4'])
  t.equal((await admin.groupConfig(address, 'c'))?.groupName, 'c')
  t.equal(await admin.groupConfig(address, 'z'), undefined)
})

t.test('a query asks all brokers, keeps only what really has the key, and outlives a broker that is down', async t => {
  const asked: (Record<string, string> | null)[] = []
  const first = await serve(t, {
    [RequestCode.QUERY_MESSAGE]: ({ extFields }) => {
      asked.push(extFields)
      // An index finds by hash: the second one only looks alike.
      return response(0, null, null, Buffer.concat([record('k1 k2', 1), record('other', 2)]))
    }
  })
  const second = await serve(t, { [RequestCode.QUERY_MESSAGE]: () => response(ResponseCode.QUERY_NOT_FOUND, 'none') })
  const namesrv = await serve(t, { [RequestCode.GET_ROUTEINFO_BY_TOPIC]: routeTo(first, second, '127.0.0.1:1') })
  const admin = adminOf(t, namesrv)
  const found = await admin.queryByKey('orders', 'k2', { maxCount: 5, begin: 10 })
  t.same(
    found.map(({ body, keys }) => [body.toString(), keys]),
    [['body 1', 'k1 k2']]
  )
  t.match(asked[0], {
    key: 'k2',
    maxNum: '5',
    beginTimestamp: '10',
    endTimestamp: '9223372036854775807',
    indexType: 'K'
  })
  await t.rejects(admin.queryByKey('orders', 'k3'), {
    code: 'MESSAGE_NOT_FOUND',
    responseCode: ResponseCode.NO_MESSAGE
  })
  await t.rejects(admin.queryByKey('orders', 'k2', { cluster: 'other' }), { code: 'MESSAGE_NOT_FOUND' })
})

t.test('statistics of several brokers are put together, in the order of the queues', async t => {
  const statsOf =
    (name: string, tps: number): RequestHandler =>
    () =>
      response(
        0,
        null,
        null,
        `{"offsetTable":{{"brokerName":"${name}","queueId":1,"topic":"orders"}:{"lastUpdateTimestamp":9,"maxOffset":7,"minOffset":2},{"brokerName":"${name}","queueId":0,"topic":"orders"}:{"lastUpdateTimestamp":0,"maxOffset":0,"minOffset":0}},"topicPutTps":${tps}}`
      )
  const progressOf =
    (name: string): RequestHandler =>
    () =>
      response(
        0,
        null,
        null,
        `{"consumeTps":1.5,"offsetTable":{{"brokerName":"${name}","queueId":0,"topic":"orders"}:{"brokerOffset":10,"consumerOffset":4,"lastTimestamp":0,"pullOffset":5}}}`
      )
  const addresses = await Promise.all(
    ['broker-0', 'broker-1'].map((name, n) =>
      serve(t, {
        [RequestCode.GET_TOPIC_STATS_INFO]: statsOf(name, n + 0.5),
        [RequestCode.GET_CONSUME_STATS]: progressOf(name)
      })
    )
  )
  const namesrv = await serve(t, { [RequestCode.GET_ROUTEINFO_BY_TOPIC]: routeTo(...addresses) })
  const admin = adminOf(t, namesrv)
  const { queues, topicPutTps } = await admin.topicStats('orders')
  t.equal(topicPutTps, 2)
  t.same(
    queues.map(({ brokerName, queueId, maxOffset }) => [brokerName, queueId, maxOffset]),
    [
      ['broker-0', 0, 0],
      ['broker-0', 1, 7],
      ['broker-1', 0, 0],
      ['broker-1', 1, 7]
    ]
  )
  const progress = await admin.consumeStats('kitchen')
  t.equal(progress.consumeTps, 3)
  t.equal(lagOf(progress), 12)
})

t.test('a group without progress and without clients says so', async t => {
  const broker = await serve(t, {
    [RequestCode.GET_CONSUME_STATS]: () => response(0, null, null, '{"consumeTps":0.0,"offsetTable":{}}'),
    [RequestCode.GET_CONSUMER_CONNECTION_LIST]: () => response(ResponseCode.CONSUMER_NOT_ONLINE, 'not online')
  })
  const namesrv = await serve(t, { [RequestCode.GET_ROUTEINFO_BY_TOPIC]: routeTo(broker) })
  const admin = adminOf(t, namesrv)
  await t.rejects(admin.consumeStats('kitchen'), {
    code: 'NO_PROGRESS',
    responseCode: ResponseCode.CONSUMER_NOT_ONLINE
  })
  await t.rejects(admin.consumerConnection('kitchen'), {
    code: 'REFUSED',
    responseCode: ResponseCode.CONSUMER_NOT_ONLINE
  })
})

t.test('offsets are set back without clients, for queues that were never consumed too', async t => {
  const set: (Record<string, string> | null)[] = []
  const broker = await serve(t, {
    [RequestCode.GET_CONSUME_STATS]: () => response(0, null, null, '{"offsetTable":{}}'),
    [RequestCode.GET_TOPIC_STATS_INFO]: () =>
      response(
        0,
        null,
        null,
        '{"offsetTable":{{"brokerName":"broker-0","queueId":0,"topic":"orders"}:{"lastUpdateTimestamp":9,"maxOffset":7,"minOffset":2}}}'
      ),
    [RequestCode.SEARCH_OFFSET_BY_TIMESTAMP]: () => response(0, null, { offset: '5' }),
    [RequestCode.GET_MAX_OFFSET]: () => response(0, null, { offset: '7' }),
    [RequestCode.UPDATE_CONSUMER_OFFSET]: ({ extFields }) => {
      set.push(extFields)
      return response(0)
    }
  })
  const namesrv = await serve(t, { [RequestCode.GET_ROUTEINFO_BY_TOPIC]: routeTo(broker) })
  const admin = adminOf(t, namesrv)
  const queue = { topic: 'orders', brokerName: 'broker-0', queueId: 0, brokerOffset: 7, consumerOffset: 2 }
  t.same(await admin.resetOffsetOffline('orders', 'kitchen', 1000), [
    { ...queue, timestampOffset: 5, rollbackOffset: 5 }
  ])
  t.same(await admin.resetOffsetOffline('orders', 'kitchen', -1), [{ ...queue, timestampOffset: 7, rollbackOffset: 7 }])
  t.same(
    set.map(fields => fields?.commitOffset),
    ['5', '7']
  )
  t.same(
    await admin.resetOffsetOffline('orders', 'kitchen', 1000, { force: false }),
    [{ ...queue, timestampOffset: 5, rollbackOffset: 2 }],
    'going forward only by force'
  )
  t.equal(set.length, 2)
})

t.test('another NameServer is asked when one is down, and all of them are told', async t => {
  const told: string[] = []
  const nameServer = (name: string) =>
    serve(t, {
      [RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER]: () => response(0, null, null, '{"topicList":["orders"]}'),
      [RequestCode.PUT_KV_CONFIG]: () => {
        told.push(name)
        return response(0)
      }
    })
  const [first, second] = [await nameServer('first'), await nameServer('second')]
  for (let n = 0; n < 4; n++) t.same(await adminOf(t, `127.0.0.1:1;${first}`).topics(), ['orders'])
  await adminOf(t, `${first};${second}`).putKv('space', 'key', 'value')
  t.same(told, ['first', 'second'])
})

t.test('what a server refuses is an error with its code', async t => {
  const broker = await serve(t, {
    [RequestCode.UPDATE_AND_CREATE_TOPIC]: () => response(ResponseCode.INVALID_PARAMETER, 'a bad name')
  })
  const namesrv = await serve(t, { [RequestCode.GET_ROUTEINFO_BY_TOPIC]: routeTo(broker) })
  const admin = adminOf(t, namesrv)
  const error = await admin.topicRoute('missing').catch(error => error)
  t.ok(error instanceof ClientError)
  t.equal(error.responseCode, ResponseCode.TOPIC_NOT_EXIST)
  await t.rejects(admin.updateTopic(broker, { ...topicConfigDefaults, topicName: 'a b' }), {
    code: 'REFUSED',
    responseCode: ResponseCode.INVALID_PARAMETER,
    message: /a bad name/
  })
})
