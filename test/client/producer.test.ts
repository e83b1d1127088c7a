import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import {
  type Message,
  Producer,
  type ProducerOptions,
  type SendResult,
  selectByHash,
  TransactionProducer,
  type TransactionState
} from '../../client/index.ts'
import { decodeProperties } from '../../message/index.ts'
import { type RemotingCommand, RequestCode, ResponseCode, response } from '../../net/index.ts'
import { recording } from '../support/recordings.ts'
import { askClients, openScriptedCluster, type ScriptedCluster, stored } from '../support/scripted-cluster.ts'
import { until } from '../support/until.ts'

async function open(t: Test, cluster: ScriptedCluster, options: Partial<ProducerOptions> = {}): Promise<Producer> {
  const producer = new Producer({ group: 'PG', namesrvAddr: cluster.namesrvAddr, ...options })
  await producer.start()
  t.teardown(() => producer.close())
  return producer
}

async function cluster(t: Test, names?: readonly string[]): Promise<ScriptedCluster> {
  const made = await openScriptedCluster(t, names)
  made.topics.set('orders', 2)
  return made
}

const { SEND_MESSAGE_V2, SEND_BATCH_MESSAGE, SEND_REPLY_MESSAGE_V2, UNREGISTER_CLIENT, END_TRANSACTION } = RequestCode
const propertiesOf = (command: RemotingCommand | undefined) => decodeProperties(command?.extFields?.i)
const textOf = (body: Uint8Array | null | undefined) => Buffer.from(body ?? []).toString()

t.test('a message is sent, and its sender told where it lies', async t => {
  const own = await cluster(t)
  const producer = await open(t, own)
  const result = await producer.send({ topic: 'orders', body: 'one espresso', keys: 'order-1', tags: 'bar' })
  const [sent] = own.sent(SEND_MESSAGE_V2)
  t.equal(textOf(sent?.body), 'one espresso')
  t.match(sent?.extFields, { a: 'PG', b: 'orders', c: 'TBW102', d: '4', f: '0', j: '0', m: 'false', n: 'broker-a' })
  const properties = propertiesOf(sent)
  t.match(Object.fromEntries(properties), { KEYS: 'order-1', TAGS: 'bar', WAIT: 'true' })
  t.match(result, {
    status: 'SEND_OK',
    messageId: properties.get('UNIQ_KEY'),
    offsetMessageId: '7F00000100002A9F0000000000000100',
    queue: { topic: 'orders', brokerName: 'broker-a', queueId: Number(sent?.extFields?.e) }
  })
})

t.test('many sends under way at once are each answered with their own', async t => {
  const own = await cluster(t)
  own.brokers[0]!.answer = ({ body }) =>
    response(0, null, { msgId: textOf(body), queueId: '0', queueOffset: textOf(body).slice(1) })
  for (const serializeType of [0, 1] as const) {
    const producer = await open(t, own, { serializeType })
    const results = await Promise.all(
      Array.from({ length: 500 }, (_, i) => producer.send({ topic: 'orders', body: `m${i}` }))
    )
    t.strictSame(
      results.map(({ offsetMessageId, queueOffset }) => [offsetMessageId, queueOffset]),
      Array.from({ length: 500 }, (_, i) => [`m${i}`, i])
    )
    t.equal(new Set(results.map(({ messageId }) => messageId)).size, 500)
  }
  t.equal(own.asked.filter(topic => topic === 'orders').length, 2, 'each producer asks for the route once')
})

t.test('a new connection begins with a heartbeat, and the end with a farewell', async t => {
  const own = await cluster(t)
  const producer = await open(t, own)
  await producer.send({ topic: 'orders', body: 'x' })
  const [heartbeat] = own.brokers[0]!.heartbeats
  t.match(JSON.parse(textOf(heartbeat?.body)), {
    clientID: producer.instance.clientId,
    consumerDataSet: [],
    producerDataSet: [{ groupName: 'PG' }]
  })
  await producer.close()
  t.strictSame(own.sent(UNREGISTER_CLIENT)[0]?.extFields, { clientID: producer.instance.clientId, producerGroup: 'PG' })
})

t.test('a topic that does not exist is sent to where TBW102 lies, and no topic at all is an error', async t => {
  const own = await cluster(t)
  const producer = await open(t, own, { defaultTopicQueueCount: 3 })
  const queues = new Set<number>()
  for (let i = 0; i < 9; i++) queues.add((await producer.send({ topic: 'new', body: 'x' })).queue.queueId)
  t.strictSame([...queues].sort(), [0, 1, 2])
  t.equal(own.sent(SEND_MESSAGE_V2)[0]?.extFields?.d, '3')
  own.topics.delete('TBW102')
  await t.rejects(producer.send({ topic: 'other', body: 'x' }), {
    code: 'ROUTE_NOT_FOUND',
    details: { topic: 'other' }
  })
})

t.test('a thousand sends to a topic that does not exist ask for its place once', async t => {
  const own = await cluster(t)
  const producer = await open(t, own)
  await Promise.all(Array.from({ length: 1000 }, () => producer.send({ topic: 'new', body: 'x' })))
  t.strictSame(own.asked, ['new', 'TBW102'])
})

t.test('a refused send is tried again on another broker, at most three times in all', async t => {
  const own = await cluster(t, ['broker-a', 'broker-b'])
  for (const broker of own.brokers) broker.answer = () => response(ResponseCode.SYSTEM_BUSY, 'busy today')
  const producer = await open(t, own)
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }), {
    code: 'SEND_FAILED',
    responseCode: ResponseCode.SYSTEM_BUSY,
    details: { attempts: 3 },
    message: /busy today/
  })
  t.equal(own.sent(SEND_MESSAGE_V2).length, 3)
  const [a, b] = own.brokers.map(({ received }) => received.length)
  t.ok(a! >= 1 && b! >= 1, 'both were asked')

  own.brokers[1]!.answer = ({ extFields }) => stored(extFields?.e)
  for (let i = 0; i < 4; i++)
    t.equal((await producer.send({ topic: 'orders', body: 'x' })).queue.brokerName, 'broker-b')
})

t.test('what no other broker would take either is not tried again', async t => {
  const own = await cluster(t, ['broker-a', 'broker-b'])
  for (const broker of own.brokers)
    broker.answer = () => response(ResponseCode.MESSAGE_ILLEGAL, 'the message is illegal')
  const producer = await open(t, own)
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }), {
    code: 'SEND_FAILED',
    responseCode: ResponseCode.MESSAGE_ILLEGAL,
    details: { attempts: 1 }
  })
  t.equal(own.sent(SEND_MESSAGE_V2).length, 1)
})

t.test('a broker that is gone costs no message while another one is there', async t => {
  const own = await cluster(t, ['broker-a', 'broker-b'])
  const producer = await open(t, own)
  for (let i = 0; i < 4; i++) await producer.send({ topic: 'orders', body: 'x' })
  own.brokers[0]!.answer = () => null
  const held = Promise.all(Array.from({ length: 20 }, () => producer.send({ topic: 'orders', body: 'held' })))
  await until('some wait for the first broker', () =>
    own.brokers[0]!.received.some(({ body }) => textOf(body) === 'held')
  )
  await own.brokers[0]!.stop()
  for (const { queue } of await held) t.equal(queue.brokerName, 'broker-b')
  for (let i = 0; i < 4; i++)
    t.equal((await producer.send({ topic: 'orders', body: 'x' })).queue.brokerName, 'broker-b')
  await own.brokers[1]!.stop()
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }), { code: 'SEND_FAILED', details: { attempts: 3 } })
})

t.test('a send that is not answered ends with its time, and its connection is not trusted any more', async t => {
  const own = await cluster(t)
  const producer = await open(t, own)
  await producer.send({ topic: 'orders', body: 'x' })
  own.brokers[0]!.answer = () => null
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }, { timeoutMs: 50 }), {
    code: 'SEND_TIMEOUT',
    details: { timeoutMs: 50, topic: 'orders', attempts: 1 }
  })
  own.brokers[0]!.answer = ({ extFields }) => stored(extFields?.e)
  await producer.send({ topic: 'orders', body: 'x' })
  t.equal(own.brokers[0]!.connections.length, 2)
})

t.test('a message that is stored but not safely counts as sent, unless the producer wants it better', async t => {
  const own = await cluster(t, ['broker-a', 'broker-b'])
  for (const broker of own.brokers)
    broker.answer = ({ extFields }) => stored(extFields?.e, ResponseCode.FLUSH_SLAVE_TIMEOUT)
  const producer = await open(t, own)
  t.equal((await producer.send({ topic: 'orders', body: 'x' })).status, 'FLUSH_SLAVE_TIMEOUT')
  t.equal(own.sent(SEND_MESSAGE_V2).length, 1)

  const demanding = await open(t, own, { group: 'PG2', retryAnotherBrokerWhenNotStored: true })
  t.equal((await demanding.send({ topic: 'orders', body: 'x' })).status, 'FLUSH_SLAVE_TIMEOUT')
  t.equal(own.sent(SEND_MESSAGE_V2).length, 1 + 3)
  own.brokers[1]!.answer = ({ extFields }) => stored(extFields?.e)
  t.equal((await demanding.send({ topic: 'orders', body: 'x' })).status, 'SEND_OK')
})

t.test('with latency fault tolerance the next messages avoid a broker that failed', async t => {
  const own = await cluster(t, ['broker-a', 'broker-b'])
  const producer = await open(t, own, { latencyFaultTolerance: true })
  for (let i = 0; i < 4; i++) await producer.send({ topic: 'orders', body: 'x' })
  await own.brokers[0]!.stop()
  for (let i = 0; i < 8; i++) await producer.send({ topic: 'orders', body: 'x' })
  t.notOk(producer.instance.remoting.openConnection(own.brokers[0]!.address))
  t.equal(own.brokers[1]!.received.length, 2 + 8)
})

t.test('a chosen queue gets the message, once', async t => {
  const own = await cluster(t, ['broker-a', 'broker-b'])
  const producer = await open(t, own)
  const queue = { topic: 'orders', brokerName: 'broker-b', queueId: 1 }
  t.strictSame((await producer.send({ topic: 'orders', body: 'x' }, { queue })).queue, queue)
  const byKey = await producer.send({ topic: 'orders', body: 'x' }, { selector: selectByHash, arg: 'order-1' })
  t.strictSame(byKey.queue, (await producer.send({ topic: 'orders', body: 'x', shardingKey: 'order-1' })).queue)
  const all: number[] = []
  await producer.send(
    { topic: 'orders', body: 'x' },
    {
      selector: (queues, message, arg: string) => {
        all.push(queues.length)
        t.match({ message, arg }, { message: { body: 'x' }, arg: 'mine' })
        return queues[3]!
      },
      arg: 'mine'
    }
  )
  t.strictSame(all, [4])

  for (const broker of own.brokers) broker.answer = () => response(ResponseCode.SYSTEM_BUSY)
  const before = own.sent(SEND_MESSAGE_V2).length
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }, { queue }), {
    code: 'SEND_FAILED',
    details: { attempts: 1 }
  })
  t.equal(own.sent(SEND_MESSAGE_V2).length, before + 1)
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }, { queue: { ...queue, topic: 'other' } }), {
    code: 'MESSAGE_BAD'
  })
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }, { selector: () => undefined as never }), {
    code: 'MESSAGE_BAD'
  })
})

t.test('bodies from 4,096 bytes on travel compressed', async t => {
  const own = await cluster(t)
  const producer = await open(t, own)
  await producer.send({ topic: 'orders', body: 'x'.repeat(4095) })
  await producer.send({ topic: 'orders', body: 'x'.repeat(4096) })
  const [plain, compressed] = own.sent(SEND_MESSAGE_V2)
  t.equal(plain?.extFields?.f, '0')
  t.equal(compressed?.extFields?.f, String(0x301))
  t.ok(compressed!.body!.length < 200)
})

t.test('a batch is one request to one queue, and each message has an id', async t => {
  const own = await cluster(t)
  const producer = await open(t, own)
  const messages = ['a', 'b', 'c'].map(body => ({ topic: 'orders', body, tags: body }))
  const { messageId } = await producer.sendBatch(messages)
  t.equal(new Set(messageId.split(',')).size, 3)
  const [batch] = own.sent(SEND_BATCH_MESSAGE)
  t.equal(batch?.extFields?.m, 'true')
  for (const id of messageId.split(',')) t.ok(textOf(batch?.body).includes(id))

  const refused = (other: object, reason: RegExp) =>
    t.rejects(producer.sendBatch([messages[0]!, { ...messages[1]!, ...other }]), {
      code: 'MESSAGE_BAD',
      message: reason
    })
  await refused({ topic: 'other' }, /topics orders and other/)
  await refused({ delayLevel: 1 }, /delayed/)
  await refused({ waitForStore: false }, /wait for the store/)
  await refused({ body: '' }, /empty/)
  await t.rejects(producer.sendBatch([]), { code: 'MESSAGE_BAD' })
  await t.rejects(producer.sendBatch([{ topic: '%RETRY%g', body: 'x' }]), { code: 'MESSAGE_BAD', message: /retry/ })
  t.equal(own.sent(SEND_BATCH_MESSAGE).length, 1)
})

t.test('a one-way message is on its way without an answer, and may be changed after that', async t => {
  const own = await cluster(t)
  own.brokers[0]!.answer = ({ code }) => (code === SEND_MESSAGE_V2 ? null : response(0))
  const producer = await open(t, own)
  const body = Buffer.alloc(100_000, 'a')
  await producer.sendOneWay({ topic: 'orders', body }, {})
  body.fill('b')
  await until('it is there', () => own.sent(SEND_MESSAGE_V2).length === 1)
  const [sent] = own.sent(SEND_MESSAGE_V2)
  t.equal(sent?.flag, 2)
  // It is compressed on its way.
  t.equal(sent?.extFields?.f, String(0x301))
  const small = Buffer.from('small')
  await producer.sendOneWay({ topic: 'orders', body: small })
  small.fill('x')
  await until('the small one, too', () => own.sent(SEND_MESSAGE_V2).length === 2)
  t.equal(textOf(own.sent(SEND_MESSAGE_V2)[1]?.body), 'small')
})

t.test('messages that nobody could take are refused before they are sent', async t => {
  const own = await cluster(t)
  const producer = await open(t, own, { maxMessageBytes: 10 })
  const refused = (message: object, reason: RegExp) =>
    t.rejects(producer.send({ topic: 'orders', body: 'x', ...message }), { code: 'MESSAGE_BAD', message: reason })
  await refused({ topic: '' }, /blank/)
  await refused({ topic: 'a b' }, /a b/)
  await refused({ topic: 'a'.repeat(128) }, /longer/)
  await refused({ topic: 'SCHEDULE_TOPIC_XXXX' }, /SCHEDULE_TOPIC_XXXX/)
  await refused({ body: '' }, /empty/)
  await refused({ body: 'x'.repeat(11) }, /11 bytes, the limit is 10/)
  await refused({ body: 5 }, /body is 5/)
  await refused({ body: undefined }, /body is undefined/)
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }, { timeoutMs: 0 }), { code: 'OPTION_BAD' })
  t.strictSame(own.asked, [])
})

t.test('options that make no sense are refused with their name', async t => {
  const make = (options: object) => () => new Producer({ group: 'g', namesrvAddr: '127.0.0.1:9876', ...options })
  t.throws(make({ group: '' }), { code: 'GROUP_BAD' })
  t.throws(make({ group: 'a b' }), { code: 'GROUP_BAD', message: /a b/ })
  t.throws(make({ group: 'DEFAULT_PRODUCER' }), { code: 'GROUP_BAD' })
  t.throws(make({ namesrvAddr: ' ; ' }), { code: 'NO_NAMESRV' })
  t.throws(make({ namesrvAddr: 'nowhere' }), { code: 'ADDRESS_BAD', message: /nowhere/ })
  for (const option of [
    'sendTimeoutMs',
    'retryTimes',
    'compressionLevel',
    'maxMessageBytes',
    'pollNameServerIntervalMs'
  ])
    t.throws(make({ [option]: -1 }), { code: 'OPTION_BAD', message: new RegExp(`${option} is -1`) })
})

t.test('a producer sends between its start and its close only, and its close waits for what is under way', async t => {
  const own = await cluster(t)
  const producer = new Producer({ group: 'PG', namesrvAddr: own.namesrvAddr })
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }), { code: 'NOT_RUNNING', message: /not started/ })
  await producer.start()
  let release = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  own.brokers[0]!.answer = async ({ code, extFields }) => {
    if (code !== SEND_MESSAGE_V2) return response(0)
    await held
    return stored(extFields?.e)
  }
  let closed = false
  const sent = producer.send({ topic: 'orders', body: 'x' })
  await until('it is under way', () => own.sent(SEND_MESSAGE_V2).length === 1)
  const closing = producer.close().then(() => {
    closed = true
  })
  await t.rejects(producer.send({ topic: 'orders', body: 'x' }), { code: 'NOT_RUNNING', message: /closed/ })
  t.notOk(closed)
  release()
  t.equal((await sent).status, 'SEND_OK')
  await closing
})

t.test('NameServers that do not answer are passed over, and named when none does', async t => {
  const own = await cluster(t)
  const gone = await openScriptedCluster(t)
  await gone.brokers[0]!.stop()
  const dead = gone.brokers[0]!.address
  for (let i = 0; i < 4; i++) {
    const producer = await open(t, own, { group: `PG${i}`, namesrvAddr: `${dead};${own.namesrvAddr}` })
    t.equal((await producer.send({ topic: 'orders', body: 'x' })).status, 'SEND_OK')
  }
  const lost = await open(t, own, { group: 'lost', namesrvAddr: dead })
  await t.rejects(lost.send({ topic: 'orders', body: 'x' }), { code: 'NAMESRV_UNREACHABLE', message: new RegExp(dead) })
})

t.test('a namespace stands before topic and group on the wire, and nowhere else', async t => {
  const own = await cluster(t)
  own.topics.set('shop%orders', 2)
  const producer = await open(t, own, { namespace: 'shop' })
  const { queue } = await producer.send({ topic: 'orders', body: 'x' })
  t.equal(queue.topic, 'orders')
  await producer.send({ topic: 'orders', body: 'x' }, { queue })
  for (const sent of own.sent(SEND_MESSAGE_V2)) {
    t.match(sent.extFields, { a: 'shop%PG', b: 'shop%orders' })
    t.equal(propertiesOf(sent).get('INSTANCE_ID'), 'shop')
  }
})

t.test('with credentials every request is signed', async t => {
  const own = await cluster(t)
  const producer = await open(t, own, { credentials: { accessKey: 'me', secretKey: 'secret' } })
  await producer.send({ topic: 'orders', body: 'x' })
  await producer.close()
  const [broker] = own.brokers
  for (const { extFields, body } of [...broker!.received, ...broker!.heartbeats]) {
    const { Signature, ...fields } = extFields!
    t.equal(fields.AccessKey, 'me')
    const text = Object.keys(fields)
      .sort()
      .map(name => fields[name])
      .join('')
    t.equal(
      Signature,
      createHmac('sha1', 'secret')
        .update(text)
        .update(body ?? '')
        .digest('base64')
    )
  }
  t.ok(broker!.received.length >= 2)
})

t.test('a transaction is told how its local part went', async t => {
  const own = await cluster(t)
  const producer = new TransactionProducer<TransactionState | null>({
    group: 'PG_tx',
    namesrvAddr: own.namesrvAddr,
    listener: {
      execute(_message, state) {
        if (state === null) throw new Error('lost the thread')
        return state
      },
      check: () => 'COMMIT'
    }
  })
  await producer.start()
  t.teardown(() => producer.close())
  for (const [state, decision] of [
    ['COMMIT', '8'],
    ['ROLLBACK', '12'],
    ['UNKNOWN', '0'],
    [null, '0']
  ] as const) {
    const result = await producer.sendInTransaction({ topic: 'orders', body: 'x', delayLevel: 3 }, state)
    t.equal(result.transactionState, state ?? 'UNKNOWN')
    const half = own.sent(SEND_MESSAGE_V2).at(-1)
    t.equal(half?.extFields?.f, '4')
    t.match(Object.fromEntries(propertiesOf(half)), { TRAN_MSG: 'true', PGROUP: 'PG_tx' })
    t.notOk(propertiesOf(half).has('DELAY'))
    await until('the decision is there', () => own.sent(END_TRANSACTION).at(-1)?.extFields?.msgId === result.messageId)
    const end = own.sent(END_TRANSACTION).at(-1)
    t.strictSame(end?.extFields, {
      producerGroup: 'PG_tx',
      topic: 'orders',
      tranStateTableOffset: String(result.queueOffset),
      commitLogOffset: String(0x100),
      commitOrRollback: decision,
      fromTransactionCheck: 'false',
      msgId: result.messageId,
      transactionId: result.messageId,
      bname: 'broker-a'
    })
    t.equal(end?.remark, state === null ? 'Error: lost the thread' : null)
  }
})

t.test('a half message that is not stored safely is rolled back, and its local part not done', async t => {
  const own = await cluster(t)
  own.brokers[0]!.answer = ({ code, extFields }) =>
    code === SEND_MESSAGE_V2 ? stored(extFields?.e, ResponseCode.FLUSH_DISK_TIMEOUT) : response(0)
  const producer = new TransactionProducer({
    group: 'PG_tx',
    namesrvAddr: own.namesrvAddr,
    listener: { execute: () => t.fail('not to be done') as never, check: () => 'UNKNOWN' }
  })
  await producer.start()
  t.teardown(() => producer.close())
  const result = await producer.sendInTransaction({ topic: 'orders', body: 'x' }, null)
  t.match(result, { status: 'FLUSH_DISK_TIMEOUT', transactionState: 'ROLLBACK' })
  await until('the decision is there', () => own.sent(END_TRANSACTION).length === 1)
  t.equal(own.sent(END_TRANSACTION)[0]?.extFields?.commitOrRollback, '12')
})

t.test("a broker's question how a transaction went is answered as Java answers it", async t => {
  const frames = [...recording('transaction-5-json')]
  const question = frames.find(({ header }) => header.code === RequestCode.CHECK_TRANSACTION_STATE)!
  const java = frames.find(
    ({ header }) =>
      header.code === END_TRANSACTION &&
      header.extFields?.msgId === question.header.extFields?.msgId &&
      header.extFields?.fromTransactionCheck === 'true'
  )!
  const own = await cluster(t)
  const asked: Message[] = []
  const producer = new TransactionProducer({
    group: 'PG_tx',
    namesrvAddr: own.namesrvAddr,
    listener: {
      execute: () => 'UNKNOWN',
      check(message) {
        asked.push(message)
        return java.header.extFields!.commitOrRollback === '8' ? 'COMMIT' : 'ROLLBACK'
      }
    }
  })
  await producer.start()
  t.teardown(() => producer.close())
  await producer.sendInTransaction({ topic: 'orders', body: 'x' }, null)
  await until('its own decision is there', () => own.sent(END_TRANSACTION).length === 1)
  askClients(own.brokers[0]!, question.header.code, question.header.extFields!, question.body)
  await until('the answer is there', () => own.sent(END_TRANSACTION).length === 2)
  t.strictSame(own.sent(END_TRANSACTION)[1]?.extFields, java.header.extFields)
  t.equal(asked[0]?.topic, 'FrameTrans')
})

t.test('a request is answered with the reply that belongs to it', async t => {
  const own = await cluster(t)
  const java = [...recording('request-5-json')].find(
    ({ header }) => header.code === RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT
  )!
  const producer = await open(t, own)
  const asking = producer.request({ topic: 'orders', body: 'what?' }, { timeoutMs: 20_000 })
  await until('the request is there', () => own.sent(SEND_MESSAGE_V2).length === 1)
  const properties = propertiesOf(own.sent(SEND_MESSAGE_V2)[0])
  t.match(Object.fromEntries(properties), { REPLY_TO_CLIENT: producer.instance.clientId, TTL: '20000' })
  const reply = (correlationId: string) => {
    const recorded = decodeProperties(java.header.extFields!.properties)
    recorded.set('CORRELATION_ID', correlationId)
    const text = [...recorded].map(([name, value]) => `${name}\u0001${value}\u0002`).join('')
    askClients(own.brokers[0]!, java.header.code, { ...java.header.extFields, properties: text }, java.body)
  }
  reply('that of somebody else')
  reply(properties.get('CORRELATION_ID')!)
  const message = await asking
  t.equal(message.body.toString(), 'the answer')
  t.equal(message.topic, 'DefaultCluster_REPLY_TOPIC')
  t.equal(message.bornHost.text, '127.0.0.1:58792')
  await t.rejects(producer.request({ topic: 'orders', body: 'what?' }, { timeoutMs: 30 }), { code: 'NO_REPLY' })
})

t.test('a reply goes to the cluster of its request, with what leads it back', async t => {
  const own = await cluster(t)
  own.topics.set('DefaultCluster_REPLY_TOPIC', 1)
  const producer = await open(t, own)
  const properties = new Map([
    ['CLUSTER', 'DefaultCluster'],
    ['CORRELATION_ID', 'c-1'],
    ['REPLY_TO_CLIENT', 'somebody'],
    ['TTL', '3000'],
    ['KEYS', 'not repeated']
  ])
  const asked = { topic: 'orders', properties } as unknown as Message
  const result: SendResult = await producer.reply(asked, 'that!')
  t.equal(result.status, 'SEND_OK')
  const [sent] = own.sent(SEND_REPLY_MESSAGE_V2)
  t.equal(sent?.extFields?.b, 'DefaultCluster_REPLY_TOPIC')
  const { UNIQ_KEY, ...others } = Object.fromEntries(propertiesOf(sent))
  t.equal(UNIQ_KEY, result.messageId)
  t.strictSame(others, { MSG_TYPE: 'reply', CORRELATION_ID: 'c-1', REPLY_TO_CLIENT: 'somebody', TTL: '3000' })
  properties.delete('CLUSTER')
  await t.rejects(producer.reply(asked, 'x'), { code: 'REPLY_BAD', message: /CLUSTER/ })
})
