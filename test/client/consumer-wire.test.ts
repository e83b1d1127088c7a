import t, { type Test } from 'tap'
import { ClientInstance, PullConsumer, PushConsumer } from '../../client/index.ts'
import { LazyRecord } from '../../client/lazy-record.ts'
import { decodeMessages, type Message } from '../../client/message.ts'
import { SendBack } from '../../client/send-back.ts'
import { decodeProperties, decodeRecord, type MessageRecord, viewOf } from '../../message/index.ts'
import {
  type ExtFields,
  parseBody,
  type RemotingCommand,
  RemotingServer,
  RequestCode,
  RequestDispatcher,
  type RequestHandler,
  ResponseCode,
  response
} from '../../net/index.ts'
import { type RecordedFrame, recording } from '../support/recordings.ts'
import { until } from '../support/until.ts'

const ok = (extFields: ExtFields | null = null, body?: Uint8Array | string) =>
  response(ResponseCode.SUCCESS, null, extFields, body)

/** NameServer and broker in one, which says what a test tells it to and keeps what it is asked. */
async function openScript(t: Test, topic: string, answers: Readonly<Record<number, RequestHandler>> = {}) {
  const asked: RemotingCommand[] = []
  const dispatcher = new RequestDispatcher()
  let address = ''
  const route = () => ({
    brokerDatas: [{ brokerAddrs: { 0: address }, brokerName: 'broker-a', cluster: 'DefaultCluster' }],
    queueDatas: [{ brokerName: 'broker-a', perm: 6, readQueueNums: 1, writeQueueNums: 1, topicSysFlag: 0 }]
  })
  let clientId = ''
  const usual: Record<number, RequestHandler> = {
    [RequestCode.GET_ROUTEINFO_BY_TOPIC]: ({ extFields }) =>
      extFields?.topic === topic || extFields?.topic?.startsWith('%RETRY%')
        ? ok(null, JSON.stringify(route()))
        : response(ResponseCode.TOPIC_NOT_EXIST),
    [RequestCode.HEART_BEAT]: ({ body }) => {
      clientId = (parseBody(body) as { clientID: string }).clientID
      return ok()
    },
    [RequestCode.GET_CONSUMER_LIST_BY_GROUP]: () => ok({}, JSON.stringify({ consumerIdList: [clientId] })),
    [RequestCode.QUERY_CONSUMER_OFFSET]: () => ok({ offset: '0' }),
    [RequestCode.UPDATE_CONSUMER_OFFSET]: () => ok({}),
    [RequestCode.UNREGISTER_CLIENT]: () => ok({}),
    [RequestCode.CHECK_CLIENT_CONFIG]: () => ok(),
    [RequestCode.LOCK_BATCH_MQ]: ({ body }) =>
      ok(null, JSON.stringify({ lockOKMQSet: (parseBody(body) as { mqSet: object[] }).mqSet })),
    [RequestCode.UNLOCK_BATCH_MQ]: () => ok(),
    [RequestCode.PULL_MESSAGE]: () => null
  }
  for (const [code, handler] of Object.entries({ ...usual, ...answers }))
    dispatcher.register(Number(code), (request, connection) => {
      asked.push(request)
      return handler(request, connection)
    })
  const server = new RemotingServer(dispatcher)
  const { host, port } = await server.listen(0, '127.0.0.1')
  address = `${host}:${port}`
  t.teardown(() => server.close())
  return {
    namesrvAddr: address,
    asked,
    of: (code: number, wanted: (request: RemotingCommand) => boolean = () => true) =>
      asked.filter(request => request.code === code && wanted(request))
  }
}

type Script = Awaited<ReturnType<typeof openScript>>

function push(t: Test, { namesrvAddr }: Script, options: Partial<ConstructorParameters<typeof PushConsumer>[0]> = {}) {
  const consumer = new PushConsumer({
    group: 'CG_push',
    namesrvAddr,
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    ...options
  })
  t.teardown(() => consumer.close())
  return consumer
}

const requests = (name: string, code: number, topic?: string): RecordedFrame[] =>
  [...recording(name)].filter(
    ({ header, note }) =>
      header.code === code && /^(request|oneway|live)/.test(note) && (!topic || header.extFields?.topic === topic)
  )

/** Answers to pulls that brought messages. */
const found = (name: string): RecordedFrame[] =>
  [...recording(name)].filter(({ note, body }) => /response to (11|361) .*: 0 SUCCESS/.test(note) && body.length > 0)

t.test('a pull says what the pull of a Java client says', async t => {
  const [pull] = requests('push-5-json', RequestCode.PULL_MESSAGE, 'FramePush')
  const { queueId, queueOffset, commitOffset } = pull!.header.extFields!
  t.match({ queueId, queueOffset, commitOffset }, { queueOffset: '3', commitOffset: '3' })
  const script = await openScript(t, 'FramePush', { [RequestCode.QUERY_CONSUMER_OFFSET]: () => ok({ offset: '3' }) })
  const consumer = push(t, script)
  consumer.subscribe('FramePush', 'TagA || TagB')
  await consumer.start(() => {})
  const ofTopic = ({ extFields }: RemotingCommand) => extFields?.topic === 'FramePush'
  await until('pulled', () => script.of(RequestCode.PULL_MESSAGE, ofTopic).length > 0)
  const [own] = script.of(RequestCode.PULL_MESSAGE, ofTopic)
  const { subVersion: _, ...fields } = own!.extFields!
  const { subVersion: __, ...javaFields } = pull!.header.extFields!
  t.same(fields, { ...javaFields, queueId: '0' })
})

t.test('a heartbeat says what the heartbeat of a Java client says', async t => {
  const [frame] = requests('push-5-json', RequestCode.HEART_BEAT)
  const script = await openScript(t, 'FramePush')
  const consumer = push(t, script)
  consumer.subscribe('FramePush', 'TagA || TagB')
  await consumer.start(() => {})
  const stable = (body: Uint8Array | null) => {
    const data = parseBody(body) as {
      clientID: string
      consumerDataSet: { subscriptionDataSet: { topic: string; subVersion: number }[] }[]
    }
    data.clientID = ''
    const subscriptions = data.consumerDataSet[0]!.subscriptionDataSet
    for (const subscription of subscriptions) subscription.subVersion = 0
    subscriptions.sort((a, b) => (a.topic < b.topic ? -1 : 1))
    return data
  }
  t.same(stable(script.of(RequestCode.HEART_BEAT)[0]!.body), stable(frame!.body))
})

t.test('offsets, locks and farewells say what those of a Java client say', async t => {
  const script = await openScript(t, 'FrameOrder')
  const consumer = push(t, script, { group: 'CG_order', ordered: true })
  consumer.subscribe('FrameOrder')
  await consumer.start(() => {})
  await consumer.close()
  const own = (code: number, topic?: string) =>
    script.of(code, ({ extFields }) => !topic || extFields?.topic === topic)[0]!
  const java = (code: number, topic?: string) => requests('orderly-5-json', code, topic)[0]!
  const { QUERY_CONSUMER_OFFSET, LOCK_BATCH_MQ, UNREGISTER_CLIENT, GET_CONSUMER_LIST_BY_GROUP } = RequestCode
  t.same(own(QUERY_CONSUMER_OFFSET, 'FrameOrder').extFields, java(QUERY_CONSUMER_OFFSET, 'FrameOrder').header.extFields)
  t.same(own(GET_CONSUMER_LIST_BY_GROUP).extFields, java(GET_CONSUMER_LIST_BY_GROUP).header.extFields)
  const locks = (body: Uint8Array | null) => ({ ...(parseBody(body) as object), clientId: '' })
  const ownLock = script.of(LOCK_BATCH_MQ, ({ body }) => String(body).includes('"FrameOrder"'))[0]!
  t.same(locks(ownLock.body), locks(java(LOCK_BATCH_MQ).body))
  const farewells = { script: script.of(UNREGISTER_CLIENT), java: requests('orderly-5-json', UNREGISTER_CLIENT) }
  const ofGroup = ({ consumerGroup }: ExtFields) => consumerGroup === 'CG_order'
  t.same(
    Object.keys(farewells.script.map(({ extFields }) => extFields!).find(ofGroup)!),
    Object.keys(farewells.java.map(({ header }) => header.extFields!).find(ofGroup)!)
  )
})

t.test('what a Java broker answered to a pull is delivered, but for other tags', async t => {
  const [answer] = found('push-5-json')
  let first = true
  const script = await openScript(t, 'FramePush', {
    [RequestCode.PULL_MESSAGE]: ({ extFields }) => {
      if (!first || extFields?.topic !== 'FramePush') return null
      first = false
      return ok(answer!.header.extFields, answer!.body)
    }
  })
  const got: Message[] = []
  const consumer = push(t, script)
  consumer.subscribe('FramePush', 'TagA')
  await consumer.start(messages => void got.push(...messages))
  const wanted = decodeRecordsOf(answer!.body).filter(({ properties }) => properties.get('TAGS') === 'TagA')
  await until('delivered', () => got.length === wanted.length)
  t.ok(wanted.length > 0 && wanted.length < decodeRecordsOf(answer!.body).length)
  t.same(
    got.map(message => message.queueOffset),
    wanted.map(({ queueOffset }) => queueOffset)
  )
})

function decodeRecordsOf(bytes: Uint8Array) {
  const records: (MessageRecord & { start: number })[] = []
  for (let start = 0; start < bytes.length; start += records.at(-1)!.sizeBytes)
    records.push({ ...decodeRecord(bytes, start), start })
  return records
}

t.test('a lazy record has what the decoded one has, in every recorded pull', async t => {
  let records = 0
  for (const name of ['push-5-json', 'push-4-binary', 'retry-5-json', 'orderly-4-json', 'lite-5-json', 'sql-5-json'])
    for (const { body } of found(name))
      for (const { start, ...expected } of decodeRecordsOf(body)) {
        const lazy = new LazyRecord(viewOf(body), body, start)
        t.same(Object.fromEntries(Object.keys(expected).map(key => [key, lazy[key as keyof LazyRecord]])), expected)
        records++
      }
  t.ok(records > 10)
})

t.test('a broken record in an answer is an error that says where', async t => {
  const [{ body }] = found('push-5-json') as [RecordedFrame]
  t.throws(() => decodeMessages(body.subarray(0, body.length - 1), 'broker-a'), { code: 'BAD_RECORD' })
})

t.test(
  'where a broker has no offset of a group, it begins at the end, but with what failed at the beginning',
  async t => {
    const script = await openScript(t, 'orders', {
      [RequestCode.QUERY_CONSUMER_OFFSET]: () => response(ResponseCode.QUERY_NOT_FOUND),
      [RequestCode.GET_MAX_OFFSET]: () => ok({ offset: '77' })
    })
    const consumer = push(t, script, { consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET' })
    consumer.subscribe('orders')
    await consumer.start(() => {})
    await until('both are pulled', () => script.of(RequestCode.PULL_MESSAGE).length >= 2)
    const offsets = script
      .of(RequestCode.PULL_MESSAGE)
      .map(({ extFields }) => [extFields!.topic, extFields!.queueOffset])
    t.same(Object.fromEntries(offsets), { orders: '77', '%RETRY%CG_push': '0' })
  }
)

t.test('while a broker cannot tell a group its offset, nothing is pulled', async t => {
  let asked = 0
  const script = await openScript(t, 'orders', {
    [RequestCode.QUERY_CONSUMER_OFFSET]: ({ extFields }) =>
      extFields?.topic === 'orders' && ++asked < 3
        ? response(ResponseCode.SYSTEM_ERROR, 'not now')
        : ok({ offset: '5' })
  })
  const consumer = push(t, script)
  consumer.subscribe('orders')
  await consumer.start(() => {})
  const pulls = () => script.of(RequestCode.PULL_MESSAGE, ({ extFields }) => extFields?.topic === 'orders')
  t.same(pulls(), [])
  await until('it told', () => pulls().length > 0)
  t.equal(asked, 3)
  t.equal(pulls()[0]!.extFields!.queueOffset, '5')
})

t.test('where an offset does not exist, the group goes on from the one that the broker names', async t => {
  let stored = '99'
  const next = { suggestWhichBrokerId: '0', nextBeginOffset: '40', minOffset: '40', maxOffset: '60' }
  const script = await openScript(t, 'orders', {
    [RequestCode.QUERY_CONSUMER_OFFSET]: () => ok({ offset: stored }),
    [RequestCode.UPDATE_CONSUMER_OFFSET]: ({ extFields }) => {
      if (extFields?.topic === 'orders') stored = extFields.commitOffset!
      return ok()
    },
    [RequestCode.PULL_MESSAGE]: ({ extFields }) =>
      extFields?.topic === 'orders' && extFields.queueOffset === '99'
        ? response(ResponseCode.PULL_OFFSET_MOVED, null, next)
        : null
  })
  const consumer = push(t, script)
  consumer.subscribe('orders')
  await consumer.start(() => {})
  await until('pulled from there', () =>
    script.asked.some(({ code, extFields }) => code === RequestCode.PULL_MESSAGE && extFields?.queueOffset === '40')
  )
  t.equal(stored, '40')
})

t.test('a pull goes where the last answer sent it, and commits nothing at a slave', async t => {
  const slave = await openScript(t, 'orders')
  const answer = { suggestWhichBrokerId: '1', nextBeginOffset: '7', minOffset: '0', maxOffset: '7' }
  const master: Script = await openScript(t, 'orders', {
    [RequestCode.GET_ROUTEINFO_BY_TOPIC]: ({ extFields }) => {
      if (extFields?.topic !== 'orders') return response(ResponseCode.TOPIC_NOT_EXIST)
      const brokerAddrs = { 0: master.namesrvAddr, 1: slave.namesrvAddr }
      return ok(
        null,
        JSON.stringify({
          brokerDatas: [{ brokerAddrs, brokerName: 'broker-a', cluster: 'c' }],
          queueDatas: [{ brokerName: 'broker-a', perm: 6, readQueueNums: 1, writeQueueNums: 1, topicSysFlag: 0 }]
        })
      )
    },
    [RequestCode.QUERY_CONSUMER_OFFSET]: () => ok({ offset: '7' }),
    [RequestCode.PULL_MESSAGE]: () => response(ResponseCode.PULL_NOT_FOUND, null, answer)
  })
  const consumer = push(t, master)
  consumer.subscribe('orders')
  await consumer.start(() => {})
  await until('the slave is asked', () => slave.of(RequestCode.PULL_MESSAGE).length > 0)
  t.match(master.of(RequestCode.PULL_MESSAGE)[0]!.extFields, { sysFlag: '3', commitOffset: '7' })
  t.match(slave.of(RequestCode.PULL_MESSAGE)[0]!.extFields, { sysFlag: '2', commitOffset: '0', queueOffset: '7' })
})

t.test('a pull consumer pulls as Java lite consumers do, and as others where the broker knows no better', async t => {
  const [lite] = requests('lite-5-json', RequestCode.LITE_PULL_MESSAGE)
  const script = await openScript(t, 'FrameLite', {
    [RequestCode.LITE_PULL_MESSAGE]: () => response(ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
  })
  const consumer = new PullConsumer({ group: 'CG_lite', namesrvAddr: script.namesrvAddr })
  t.teardown(() => consumer.close())
  consumer.subscribe('FrameLite')
  await consumer.start()
  await until('pulled', () => script.of(RequestCode.PULL_MESSAGE).length > 0)
  // ReqT is Java's stream mode; queueId is the recording's.
  const { ReqT: _, queueId: __, ...javaFields } = lite!.header.extFields!
  t.match(script.of(RequestCode.LITE_PULL_MESSAGE)[0]!.extFields, javaFields)
  t.match(script.of(RequestCode.PULL_MESSAGE)[0]!.extFields, { ...javaFields, sysFlag: '6' })
})

for (const autoCommit of [false, true])
  t.test(`what was polled is not passed by what the filter leaves out, autoCommit ${autoCommit}`, async t => {
    const [answer] = found('lite-5-json')
    const nothing = { ...answer!.header.extFields, nextBeginOffset: '50', maxOffset: '50' }
    let release = () => {}
    const polled = new Promise<void>(resolve => {
      release = resolve
    })
    const script = await openScript(t, 'FrameLite', {
      [RequestCode.LITE_PULL_MESSAGE]: async ({ extFields }) => {
        if (extFields!.queueOffset === '0') return ok(answer!.header.extFields, answer!.body)
        if (extFields!.queueOffset === '50') return null
        await polled
        return response(ResponseCode.PULL_RETRY_IMMEDIATELY, null, nothing)
      }
    })
    const consumer = new PullConsumer({ group: 'CG', namesrvAddr: script.namesrvAddr, autoCommit })
    t.teardown(() => consumer.close())
    consumer.subscribe('FrameLite')
    await consumer.start()
    t.equal((await consumer.poll()).length, 3)
    release()
    const pulls = () => script.of(RequestCode.LITE_PULL_MESSAGE, ({ extFields }) => extFields!.queueOffset === '50')
    await until('the pull goes on', () => pulls().length > 0)
    await consumer.close()
    t.same(script.of(RequestCode.UPDATE_CONSUMER_OFFSET), [])
  })

async function sendBack(t: Test, answer: RemotingCommand) {
  const script = await openScript(t, 'FrameRetry', {
    [RequestCode.CONSUMER_SEND_MSG_BACK]: () => answer,
    [RequestCode.SEND_MESSAGE_V2]: () =>
      ok({ msgId: '7F00000100005597000000000000047D', queueId: '0', queueOffset: '0' })
  })
  const instance = new ClientInstance({ namesrvAddr: script.namesrvAddr })
  const back = new SendBack(instance, 'CG_retry', '')
  await back.start()
  t.teardown(async () => {
    await back.close()
    await instance.close()
  })
  const [{ body }] = found('retry-5-json') as [RecordedFrame]
  const [message] = await decodeMessages(body, 'broker-a')
  return { script, back, message: message! }
}

t.test('a message is sent back as a Java client sends it', async t => {
  const [java] = requests('retry-5-json', RequestCode.CONSUMER_SEND_MSG_BACK)
  const { script, back, message } = await sendBack(t, ok())
  t.equal(await back.return(message, 1, 1), true)
  const [own] = script.of(RequestCode.CONSUMER_SEND_MSG_BACK)
  t.same(own!.extFields, {
    ...java!.header.extFields,
    offset: String(message.physicalOffset),
    originMsgId: message.messageId
  })
})

t.test('a message that a broker does not take back is sent anew to the retry topic, with its history', async t => {
  const { script, back, message } = await sendBack(t, response(ResponseCode.SYSTEM_ERROR, 'no such message'))
  t.equal(await back.return(message, 0, 16), true)
  const [sent] = script.of(RequestCode.SEND_MESSAGE_V2)
  t.match(sent!.extFields, { a: 'CLIENT_INNER_PRODUCER', b: '%RETRY%CG_retry', j: '1', l: '16' })
  const properties = decodeProperties(sent!.extFields!.i)
  t.match(Object.fromEntries(properties), {
    RETRY_TOPIC: 'FrameRetry',
    ORIGIN_MESSAGE_ID: message.messageId,
    UNIQ_KEY: message.messageId,
    DELAY: '3'
  })
  t.same(Buffer.from(sent!.body!), message.body)
})
