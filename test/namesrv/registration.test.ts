import { deflateSync } from 'node:zlib'
import t from 'tap'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { crcOf, openNameServer, registrationBody, registrationHeader } from '../support/name-server.ts'

const TWO = { orders: {}, bills: {} }
const UNKNOWN_BROKER = { brokerName: 'nobody', brokerAddr: '10.9.9.9:1', clusterName: 'DefaultCluster', brokerId: '0' }
const BROKER_A = { brokerName: 'broker-a', brokerAddr: '10.0.0.1:10911', clusterName: 'DefaultCluster', brokerId: '0' }
const versionText = (counter: number) => JSON.stringify({ counter, stateVersion: 0, timestamp: 1_700_000_000_000 })

t.test('topics of a registered broker are in the routes', async t => {
  const { client, connect } = await openNameServer(t)
  const broker = await connect()
  const answer = await broker.register({ topics: { ...TWO, logs: { perm: 4, queues: 16 } } })
  t.match(answer, { code: ResponseCode.SUCCESS, extFields: {}, body: null })
  t.same(await client.route('logs'), {
    brokerDatas: [
      {
        brokerAddrs: { 0: '10.0.0.1:10911' },
        brokerName: 'broker-a',
        cluster: 'DefaultCluster',
        enableActingMaster: false
      }
    ],
    filterServerTable: {},
    queueDatas: [{ brokerName: 'broker-a', perm: 4, readQueueNums: 16, topicSysFlag: 0, writeQueueNums: 16 }]
  })
})

t.test('a body that does not have its checksum is refused', async t => {
  const { client } = await openNameServer(t)
  const body = registrationBody(TWO)
  const header = registrationHeader(body)
  const answer = await client.ask(RequestCode.REGISTER_BROKER, { ...header, bodyCrc32: '12345' }, body)
  t.match(answer, { code: ResponseCode.SYSTEM_ERROR, remark: 'crc32 not match' })
  t.equal(await client.route('orders'), undefined)
})

t.test('a checksum of 0, or none, is not looked at', async t => {
  const { client } = await openNameServer(t)
  const body = registrationBody(TWO)
  const { bodyCrc32: _, ...header } = registrationHeader(body)
  t.equal((await client.ask(RequestCode.REGISTER_BROKER, header, body)).code, ResponseCode.SUCCESS)
  t.equal((await client.ask(RequestCode.REGISTER_BROKER, { ...header, bodyCrc32: '0' }, body)).code, 0)
})

t.test('a single topic of a broker that has not registered all is refused, and leaves nothing behind', async t => {
  const { client } = await openNameServer(t)
  const answer = await client.register({ topics: { orders: {} } })
  t.match(answer, { code: ResponseCode.SYSTEM_ERROR, remark: /^register broker failed/ })
  t.same(await client.get(RequestCode.GET_BROKER_CLUSTER_INFO), { brokerAddrTable: {}, clusterAddrTable: {} })
})

t.test('a single topic of a broker that is known changes that topic alone', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO })
  await client.register({ topics: { orders: { queues: 8 } }, version: 2 })
  t.match(await client.route('orders'), { queueDatas: [{ readQueueNums: 8 }] })
  t.match(await client.route('bills'), { queueDatas: [{ readQueueNums: 4 }] })
})

t.test('topics that are known change only with the data version; unknown ones come without', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO })
  await client.register({ topics: { orders: { perm: 4 }, bills: {}, logs: {} } })
  t.match(await client.route('orders'), { queueDatas: [{ perm: 6 }] })
  t.match(await client.route('logs'), { queueDatas: [{ perm: 6 }] })
  await client.register({ topics: { orders: { perm: 4 }, bills: {}, logs: {} }, version: 2 })
  t.match(await client.route('orders'), { queueDatas: [{ perm: 4 }] })
})

t.test('topics that a registration no longer names stay, or go where that is asked for', async t => {
  for (const deleteTopicWithBrokerRegistration of [false, true]) {
    const { client } = await openNameServer(t, { deleteTopicWithBrokerRegistration })
    await client.register({ topics: { ...TWO, logs: {} } })
    await client.register({ topics: TWO, version: 2 })
    t.equal((await client.route('logs')) === undefined, deleteTopicWithBrokerRegistration)
    t.ok(await client.route('orders'))
  }
})

t.test('a single topic drops no others, also where topics that are not named go', async t => {
  const { client } = await openNameServer(t, { deleteTopicWithBrokerRegistration: true })
  await client.register({ topics: TWO })
  await client.register({ topics: { orders: { queues: 8 } }, version: 2 })
  t.match(await client.route('orders'), { queueDatas: [{ readQueueNums: 8 }] })
  t.ok(await client.route('bills'))
})

t.test('the topics of a slave count only while its group has no smaller id', async t => {
  const { client, connect } = await openNameServer(t)
  const slave = await connect()
  await slave.register({ topics: { lone: {}, other: {} }, brokerId: '1', brokerAddr: '10.0.0.2:10911' })
  t.match(await client.route('lone'), { queueDatas: [{ perm: 6 }] })
  await client.register({ topics: TWO })
  await slave.register({ topics: { ...TWO, late: {} }, version: 2, brokerId: '1', brokerAddr: '10.0.0.2:10911' })
  t.equal(await client.route('late'), undefined)
  t.match(await client.route('orders'), {
    brokerDatas: [{ brokerAddrs: { 0: '10.0.0.1:10911', 1: '10.0.0.2:10911' } }]
  })
})

t.test('a slave of a release without acting masters brings no topics', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO, brokerId: '1', enableActingMaster: undefined })
  t.equal(await client.route('orders'), undefined)
})

t.test('a slave is told its master, also when it registers what it registered before', async t => {
  const { connect } = await openNameServer(t)
  const [master, slave] = [await connect(), await connect()]
  const asSlave = { topics: TWO, brokerId: '1', brokerAddr: '10.0.0.2:10911', haServerAddr: '10.0.0.2:10912' }
  t.same((await slave.register(asSlave)).extFields, {})
  t.same((await master.register({ topics: TWO })).extFields, {})
  for (let i = 0; i < 2; i++)
    t.same((await slave.register(asSlave)).extFields, {
      masterAddr: '10.0.0.1:10911',
      haServerAddr: '10.0.0.1:10912'
    })
  master.end()
})

t.test('an address that becomes master gives up the id that it had', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO, brokerId: '1' })
  await client.register({ topics: TWO, brokerId: '0' })
  t.match(await client.get(RequestCode.GET_BROKER_MEMBER_GROUP, BROKER_A), {
    brokerMemberGroup: { brokerAddrs: { 0: '10.0.0.1:10911' }, brokerName: 'broker-a', cluster: 'DefaultCluster' }
  })
  t.match(await client.route('orders'), { brokerDatas: [{ brokerAddrs: { 0: '10.0.0.1:10911' } }] })
})

t.test('an id is taken over by another address unless its holder has the newer state', async t => {
  const { client, connect } = await openNameServer(t)
  await client.register({ topics: TWO, stateVersion: 5 })
  const other = await connect()
  const takeOver = { topics: { orders: { queues: 9 }, bills: {} }, brokerAddr: '10.0.0.9:10911' }
  t.match(await other.register({ ...takeOver, stateVersion: 4 }), { code: ResponseCode.SUCCESS, body: null })
  t.match(await client.route('orders'), { brokerDatas: [{ brokerAddrs: { 0: '10.0.0.1:10911' } }] })
  await other.register({ ...takeOver, stateVersion: 5 })
  t.match(await client.route('orders'), {
    brokerDatas: [{ brokerAddrs: { 0: '10.0.0.9:10911' } }],
    queueDatas: [{ readQueueNums: 9 }]
  })
})

t.test('the answer carries the order confs of all topics, unless that is switched off', async t => {
  for (const returnOrderTopicConfigToBroker of [true, false]) {
    const { client } = await openNameServer(t, { returnOrderTopicConfigToBroker })
    t.equal((await client.register({ topics: TWO })).body, null)
    const order = { namespace: 'ORDER_TOPIC_CONFIG', key: 'orders', value: 'broker-a:4' }
    await client.ask(RequestCode.PUT_KV_CONFIG, order)
    const expected = returnOrderTopicConfigToBroker ? '{"table":{"orders":"broker-a:4"}}' : ''
    t.equal(Buffer.from((await client.register({ topics: TWO })).body ?? []).toString(), expected)
  }
})

t.test('releases before 3.0.11 register without an envelope, and what they leave out has Java’s defaults', async t => {
  const { client } = await openNameServer(t)
  const wrapper = JSON.stringify({
    dataVersion: { counter: 1, timestamp: 2 },
    topicConfigTable: { orders: { topicName: 'orders' }, bills: { topicName: 'bills', readQueueNums: '2', perm: 4 } }
  })
  const answer = await client.ask(RequestCode.REGISTER_BROKER, registrationHeader(wrapper), wrapper, { version: 30 })
  t.equal(answer.code, ResponseCode.SUCCESS)
  t.match(await client.route('orders'), { queueDatas: [{ perm: 6, readQueueNums: 16, writeQueueNums: 16 }] })
  t.match(await client.route('bills'), { queueDatas: [{ perm: 4, readQueueNums: 2, writeQueueNums: 16 }] })
})

const text = (value: string) => {
  const bytes = Buffer.from(value)
  return Buffer.concat([int32(bytes.length), bytes])
}
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const mapping = { bname: 'broker-a', currIdMap: { 0: 0, 1: 1 }, dirty: false, epoch: 1, scope: '__global__' }

t.test('compressed bodies are read with and without attributes and mappings, whatever the header says', async t => {
  const topics = [text(versionText(7)), int32(2), text('orders 4 8 6 SINGLE_TAG {}'), text('bills 2 2 4 SINGLE_TAG')]
  const mappings = text(JSON.stringify({ ...mapping, topic: 'orders', totalQueues: 2 }))
  for (const compressed of ['true', 'false'])
    for (const parts of [
      [...topics, text('[]')],
      [...topics, text('[]'), int32(1), mappings]
    ]) {
      const { client } = await openNameServer(t)
      const body = deflateSync(Buffer.concat(parts), { level: 9 })
      const header = { ...registrationHeader(body), compressed }
      t.equal((await client.ask(RequestCode.REGISTER_BROKER, header, body)).code, ResponseCode.SUCCESS)
      const route = await client.route('orders')
      t.match(route, { queueDatas: [{ perm: 6, readQueueNums: 4, writeQueueNums: 8 }] })
      t.match(await client.route('bills'), { queueDatas: [{ perm: 4, readQueueNums: 2, writeQueueNums: 2 }] })
      const known = { ...BROKER_A }
      t.match(await client.ask(RequestCode.QUERY_DATA_VERSION, known, versionText(7)), {
        extFields: { changed: 'false' }
      })
      t.same(
        route?.topicQueueMappingByBroker?.['broker-a']?.currIdMap,
        parts.length > topics.length + 1 ? { 0: 0, 1: 1 } : undefined
      )
    }
})

t.test('bodies that cannot be read are refused with the reason, and the server goes on', async t => {
  const { client } = await openNameServer(t)
  const deflated = (...parts: Buffer[]) => deflateSync(Buffer.concat(parts))
  const bad: (Uint8Array | string)[] = [
    'garbage',
    '{"topicConfigSerializeWrapper":{"topicConfigTable":{"a":{"perm":"x"},"b":{}}}}',
    '{"topicConfigSerializeWrapper":{"dataVersion":{"counter":{}}}}',
    Buffer.from([0x78, 1, 2, 3]),
    deflated(text('{}'), int32(0x7fffffff)),
    deflated(int32(0x7fffffff)),
    deflated(int32(-5)),
    deflated(text('{}'), int32(1), text('orders')),
    deflated(text('{}'), int32(0), text('[]'), int32(1), text('nonsense'))
  ]
  for (const body of bad) {
    const answer = await client.ask(RequestCode.REGISTER_BROKER, registrationHeader(body), body)
    t.match(answer, { code: ResponseCode.SYSTEM_ERROR, remark: /^Failed to decode RegisterBrokerBody: ./ })
  }
  t.same(await client.get(RequestCode.GET_BROKER_CLUSTER_INFO), { brokerAddrTable: {}, clusterAddrTable: {} })
})

t.test('a body that inflates beyond all measure is refused', async t => {
  const { client } = await openNameServer(t)
  const bomb = deflateSync(Buffer.alloc(65 * 1024 * 1024))
  const answer = await client.ask(RequestCode.REGISTER_BROKER, registrationHeader(bomb), bomb)
  t.match(answer, { code: ResponseCode.SYSTEM_ERROR, remark: /^Failed to decode RegisterBrokerBody/ })
})

t.test('a header without its fields names the one that is missing', async t => {
  const { client } = await openNameServer(t)
  for (const field of ['brokerName', 'brokerAddr', 'clusterName', 'brokerId']) {
    const { [field]: _, ...header } = registrationHeader('{}')
    const answer = await client.ask(RequestCode.REGISTER_BROKER, header, '{}')
    t.match(answer, { code: ResponseCode.INVALID_PARAMETER, remark: `the request lacks the field ${field}` })
  }
})

t.test('a broker that asks whether its data version is known is told, and which one is', async t => {
  const { client } = await openNameServer(t)
  const ask = (body: string | null, broker = BROKER_A) => client.ask(RequestCode.QUERY_DATA_VERSION, broker, body)
  t.match(await ask(versionText(1), UNKNOWN_BROKER), { code: 0, extFields: { changed: 'true' }, body: null })
  await client.register({ topics: TWO, version: 3 })
  for (const [body, changed] of [
    [versionText(3), 'false'],
    [versionText(4), 'true'],
    [null, 'true']
  ] as const) {
    const answer = await ask(body)
    t.equal(answer.extFields?.changed, changed)
    t.equal(Buffer.from(answer.body!).toString(), versionText(3))
  }
  t.equal((await ask('{broken')).code, ResponseCode.INVALID_PARAMETER)
})

t.test('a registration that says what the last one said changes nothing, but is read again after a change', async t => {
  const { client, connect } = await openNameServer(t)
  const broker = await connect()
  await broker.register({ topics: TWO })
  await client.ask(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'broker-a' })
  await broker.register({ topics: TWO })
  t.match(await client.route('orders'), { queueDatas: [{ perm: 4 }] }, 'the same version does not undo a wipe')
  await client.ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 'orders' })
  t.equal(await client.route('orders'), undefined)
  await broker.register({ topics: TWO })
  t.match(await client.route('orders'), { queueDatas: [{ perm: 6 }] }, 'a live broker brings a deleted topic back')
})

t.test('the checksum of the test is that of RocketMQ', async t => {
  t.equal(crcOf('123456789'), String(0xcbf43926 & 0x7fff_ffff))
})
