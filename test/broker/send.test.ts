import t from 'tap'
import { decodeOffsetMessageId, encodeBatch } from '../../message/index.ts'
import { BINARY_HEADER, JSON_HEADER, RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { openBroker, until } from '../support/broker.ts'
import { bodiesOf, pull, recordsOf, send, sendAll, sendEach, sendFields } from '../support/messages.ts'

t.test('a message is stored as it was sent, with what the broker adds', async t => {
  const open = await openBroker(t)
  // The first send creates the topic and takes the general way, the second one the direct way.
  for (const queueOffset of [0, 1]) {
    const uniqueKey = `UNIQUE${queueOffset}`
    const properties = { TAGS: 'TagA', KEYS: 'k1 k2', WAIT: 'true', color: 'grün' }
    const answer = await send(open, { topic: 'orders', body: 'espresso', flag: 7, uniqueKey, properties })
    t.equal(answer.code, ResponseCode.SUCCESS)
    t.match(answer.extFields, {
      queueId: '0',
      queueOffset: String(queueOffset),
      transactionId: uniqueKey,
      MSG_REGION: 'DefaultRegion',
      TRACE_ON: 'true'
    })
    const [record] = recordsOf(await pull(open, { topic: 'orders', offset: queueOffset }))
    t.match(record, { topic: 'orders', queueId: 0, queueOffset, flag: 7, bornTimestamp: 1_700_000_000_000 })
    t.equal(Buffer.from(record!.body).toString(), 'espresso')
    t.match(Object.fromEntries(record!.properties), {
      ...properties,
      UNIQ_KEY: uniqueKey,
      CLUSTER: 'DefaultCluster',
      MSG_REGION: 'DefaultRegion',
      TRACE_ON: 'true'
    })
    const place = decodeOffsetMessageId(answer.extFields!.msgId!)
    t.equal(place.physicalOffset, record!.physicalOffset)
    t.equal(place.host.text, open.broker.address)
  }
})

t.test('both header types and both send codes give the same answer', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first' })
  const v2 = sendFields({ topic: 'orders', body: '' } as never)
  const v1 = {
    producerGroup: v2.a!,
    topic: v2.b!,
    defaultTopic: v2.c!,
    defaultTopicQueueNums: v2.d!,
    queueId: v2.e!,
    sysFlag: v2.f!,
    bornTimestamp: v2.g!,
    flag: v2.h!,
    properties: v2.i!,
    reconsumeTimes: v2.j!
  }
  let queueOffset = 1
  for (const serializeType of [JSON_HEADER, BINARY_HEADER] as const) {
    const client = new RemotingClient({ serializeType })
    for (const [code, fields] of [
      [RequestCode.SEND_MESSAGE, v1],
      [RequestCode.SEND_MESSAGE_V2, v2]
    ] as const) {
      const answer = await client.invoke(open.broker.address, request(code, { ...fields }, 'body'), 20_000)
      t.equal(answer.serializeType, serializeType)
      t.match(answer.extFields, { queueOffset: String(queueOffset++), transactionId: /^KEY/, msgId: /^[0-9A-F]{32}$/ })
    }
    await client.close()
  }
})

t.test('a message without a unique key gets one', async t => {
  const open = await openBroker(t)
  const answer = await send(open, { topic: 'orders', body: 'x', uniqueKey: '' })
  const [record] = recordsOf(await pull(open, { topic: 'orders' }))
  t.match(record!.properties.get('UNIQ_KEY'), /^[0-9A-F]{32}$/)
  t.equal(answer.extFields!.transactionId, record!.properties.get('UNIQ_KEY'))
})

t.test('sends on one connection keep their order, however many are under way', async t => {
  const open = await openBroker(t)
  const bodies = Array.from({ length: 500 }, (_, i) => `message ${i}`)
  const offsets = await sendEach(open, bodies)
  t.same(offsets, [...bodies.keys()])
  const seen: string[] = []
  while (seen.length < bodies.length) seen.push(...bodiesOf(await pull(open, { topic: 'orders', offset: seen.length })))
  t.same(seen, bodies)
})

t.test('a one-way send is stored and not answered', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first' })
  const command = request(RequestCode.SEND_MESSAGE_V2, sendFields({ topic: 'orders' }), 'one-way')
  await open.client.invokeOneWay(open.broker.address, command)
  await until('the message is there', () => open.broker.store.maxQueueOffset('orders', 0) === 2)
})

t.test('a batch gets consecutive offsets, an id for each message, and is stored message by message', async t => {
  const open = await openBroker(t)
  const batch = encodeBatch(
    ['a', 'b', 'c'].map(body => ({ flag: 0, body: Buffer.from(body), properties: `UNIQ_KEY\u0001U${body}\u0002` }))
  )
  const fields = { ...sendFields({ topic: 'orders', uniqueKey: 'BATCH' }), m: 'true' }
  const answer = await open.ask(RequestCode.SEND_BATCH_MESSAGE, fields, batch)
  t.equal(answer.code, ResponseCode.SUCCESS)
  t.match(answer.extFields, { queueOffset: '0', transactionId: 'BATCH' })
  t.equal(answer.extFields!.msgId!.split(',').length, 3)
  const records = recordsOf(await pull(open, { topic: 'orders' }))
  t.same(
    records.map(({ queueOffset, body, properties }) => [
      queueOffset,
      String.fromCharCode(body[0]!),
      properties.get('UNIQ_KEY')
    ]),
    [
      [0, 'a', 'Ua'],
      [1, 'b', 'Ub'],
      [2, 'c', 'Uc']
    ]
  )
})

t.test('a batch that is cut off is refused as a whole', async t => {
  const open = await openBroker(t)
  const batch = encodeBatch([{ flag: 0, body: Buffer.from('abc'), properties: '' }])
  const fields = { ...sendFields({ topic: 'orders' }), m: 'true' }
  for (let length = 1; length < batch.length; length++) {
    const answer = await open.ask(RequestCode.SEND_BATCH_MESSAGE, fields, batch.subarray(0, length))
    t.equal(answer.code, ResponseCode.MESSAGE_ILLEGAL, `${length} bytes`)
  }
  t.equal(open.broker.store.maxQueueOffset('orders', 0), 0)
})

t.test('the first send creates a topic with what the default topic allows', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'small', body: 'x', queues: 3 }, { topic: 'large', body: 'x', queues: 100 })
  t.match(open.broker.topics.get('small'), { readQueueNums: 3, writeQueueNums: 3, perm: 6 })
  t.match(open.broker.topics.get('large'), { readQueueNums: 8, writeQueueNums: 8, perm: 6 })
})

t.test('without auto-creation an unknown topic is refused', async t => {
  const open = await openBroker(t, { autoCreateTopicEnable: false })
  const answer = await send(open, { topic: 'orders', body: 'x' })
  t.equal(answer.code, ResponseCode.TOPIC_NOT_EXIST)
  t.match(answer.remark, 'topic[orders] not exist, apply first please!')
})

t.test('what cannot be stored is refused with its reason, and the connection goes on', async t => {
  const open = await openBroker(t, { store: { maxMessageSizeBytes: 10_000 } })
  await sendAll(open, { topic: 'orders', body: 'first' })
  const cases: [string, Parameters<typeof send>[1], number, string | RegExp][] = [
    ['an illegal name', { topic: 'No Such/Topic', body: 'x' }, 29, /illegal characters/],
    ['a long name', { topic: 't'.repeat(128), body: 'x' }, 29, /longer than topic max length/],
    ['a reserved topic', { topic: 'SCHEDULE_TOPIC_XXXX', body: 'x' }, 16, /SCHEDULE_TOPIC_XXXX.*forbidden/],
    [
      'a queue that is not there',
      { topic: 'orders', body: 'x', queueId: 99 },
      29,
      /queueId\[99\] is illegal.*perm=RW-/
    ],
    ['no body', { topic: 'orders', body: '' }, 13, /no body/],
    ['a body over the limit', { topic: 'orders', body: 'x'.repeat(10_001) }, 13, /10001 bytes/],
    [
      'properties over the limit',
      { topic: 'orders', body: 'x', properties: { a: 'p'.repeat(32_767) } },
      13,
      /properties/
    ],
    ['a transaction', { topic: 'orders', body: 'x', properties: { TRAN_MSG: 'true' } }, 16, /transaction/],
    [
      'a timer message',
      { topic: 'orders', body: 'x', properties: { TIMER_DELAY_SEC: 'soon' } },
      13,
      /timer message illegal/
    ]
  ]
  for (const [what, message, code, remark] of cases) {
    const answer = await send(open, message)
    t.equal(answer.code, code, what)
    t.match(answer.remark, remark, what)
    t.match(answer.extFields, { MSG_REGION: 'DefaultRegion' })
  }
  t.equal(open.broker.store.maxQueueOffset('orders', 0), 1)
  t.same(await sendAll(open, { topic: 'orders', body: 'last' }), [1])
})

t.test('a queue id below 0 leaves the choice to the broker', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'x' })
  const chosen = new Set<string>()
  for (let i = 0; i < 200 && chosen.size < 4; i++)
    chosen.add((await send(open, { topic: 'orders', body: 'x', queueId: -1 })).extFields!.queueId!)
  t.same([...chosen].sort(), ['0', '1', '2', '3'])
})

t.test('a client cannot claim host bits of the sysFlag', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first' }, { topic: 'orders', body: 'second', sysFlag: 0x30 })
  await sendAll(open, { topic: 'orders', body: 'third', sysFlag: 0x30 })
  t.same(bodiesOf(await pull(open, { topic: 'orders' })), ['first', 'second', 'third'])
})

t.test('a delayed message goes to the schedule topic with its real place', async t => {
  const open = await openBroker(t)
  const answer = await send(open, { topic: 'orders', body: 'later', queueId: 2, properties: { DELAY: '30' } })
  t.equal(answer.code, ResponseCode.SUCCESS)
  t.equal(open.broker.store.maxQueueOffset('orders', 2), 0)
  const [record] = recordsOf(await pull(open, { topic: 'SCHEDULE_TOPIC_XXXX', queueId: 17 }))
  t.match(Object.fromEntries(record!.properties), { DELAY: '18', REAL_TOPIC: 'orders', REAL_QID: '2' })
})

t.test('a client that sends to a retry topic beyond its limit fills the dead letters', async t => {
  const open = await openBroker(t)
  const retried = { topic: '%RETRY%CG', body: 'x', maxReconsumeTimes: 3 }
  await sendAll(open, { ...retried, reconsumeTimes: 3 }, { ...retried, body: 'dead', reconsumeTimes: 4 })
  t.equal(open.broker.store.maxQueueOffset('%RETRY%CG', 0), 1)
  t.same(bodiesOf(await pull(open, { topic: '%DLQ%CG' })), ['dead'])
})

t.test('more sends than may wait for the disk are told that the broker is busy', async t => {
  const open = await openBroker(t, { maxPendingSends: 10 })
  await sendAll(open, { topic: 'orders', body: 'first' })
  // All in one write: they arrive in one read event, so none is acknowledged before the last is read.
  const answers = await Promise.all(Array.from({ length: 50 }, () => send(open, { topic: 'orders', body: 'x' })))
  const codes = new Map<number, number>()
  for (const { code } of answers) codes.set(code, (codes.get(code) ?? 0) + 1)
  const stored = codes.get(ResponseCode.SUCCESS) ?? 0
  t.equal(stored + (codes.get(ResponseCode.SYSTEM_BUSY) ?? 0), 50)
  t.ok(stored >= 10)
  t.equal(open.broker.store.maxQueueOffset('orders', 0), 1 + stored)
  const busy = answers.find(({ code }) => code === ResponseCode.SYSTEM_BUSY)
  t.match(busy?.remark, '[OVERLOAD]system busy')
})
