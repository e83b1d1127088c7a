import t from 'tap'
import { decodeOffsetMessageId, SCHEDULE_TOPIC } from '../../message/index.ts'
import { ConsumerSendMsgBackHeader, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker } from '../support/broker.ts'
import { pull, recordsOf, send } from '../support/messages.ts'

type Back = Partial<Parameters<typeof ConsumerSendMsgBackHeader.encode>[0]>

const sendBack = ({ ask }: OpenBroker, offset: number, back: Back = {}) =>
  ask(
    RequestCode.CONSUMER_SEND_MSG_BACK,
    ConsumerSendMsgBackHeader.encode({ group: 'CG', offset, delayLevel: 0, ...back })
  )

/** Stores a message; gives where it lies. */
async function stored(open: OpenBroker, reconsumeTimes = 0, properties: Record<string, string> = {}) {
  const answer = await send(open, { topic: 'orders', body: 'espresso', flag: 7, reconsumeTimes, properties })
  const id = answer.extFields!.msgId!
  return { id, offset: decodeOffsetMessageId(id).physicalOffset }
}

const first = async (open: OpenBroker, topic: string, queueId = 0) =>
  recordsOf(await pull(open, { topic, queueId, group: 'TOOLS_CONSUMER' }))[0]

t.test('a message that failed waits in the schedule topic for its way to the retry topic', async t => {
  const open = await openBroker(t)
  const { id, offset } = await stored(open, 0, { TAGS: 'TagA', KEYS: 'k1' })
  t.match(await sendBack(open, offset), { code: ResponseCode.SUCCESS })
  // A first failure: level 3, ten seconds.
  const record = (await first(open, SCHEDULE_TOPIC, 2))!
  t.match(record, { reconsumeTimes: 1, flag: 7, bornTimestamp: 1_700_000_000_000 })
  t.equal(Buffer.from(record.body).toString(), 'espresso')
  t.match(Object.fromEntries(record.properties), {
    RETRY_TOPIC: 'orders',
    ORIGIN_MESSAGE_ID: id,
    WAIT: 'false',
    DELAY: '3',
    REAL_TOPIC: '%RETRY%CG',
    REAL_QID: '0',
    TAGS: 'TagA',
    KEYS: 'k1',
    UNIQ_KEY: /^KEY/
  })
  t.match(open.broker.topics.get('%RETRY%CG'), { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 })
})

t.test('each failure waits longer, and a level that the client chose counts', async t => {
  const open = await openBroker(t)
  for (const [reconsumeTimes, delayLevel, level] of [
    [0, 0, 3],
    [1, 0, 4],
    [15, 0, 18],
    [0, 1, 1],
    [0, 99, 18]
  ] as const) {
    const { offset } = await stored(open, reconsumeTimes)
    const queueId = level - 1
    const at = open.broker.store.maxQueueOffset(SCHEDULE_TOPIC, queueId)
    await sendBack(open, offset, { delayLevel })
    t.equal(
      open.broker.store.maxQueueOffset(SCHEDULE_TOPIC, queueId),
      at + 1,
      `failure ${reconsumeTimes + 1}: ${level}`
    )
  }
})

t.test('a message that failed again keeps the names of its first topic and place', async t => {
  const open = await openBroker(t)
  const { offset } = await stored(open, 1, { RETRY_TOPIC: 'bills', ORIGIN_MESSAGE_ID: 'FIRST' })
  await sendBack(open, offset)
  const record = await first(open, SCHEDULE_TOPIC, 3)
  t.match(Object.fromEntries(record!.properties), { RETRY_TOPIC: 'bills', ORIGIN_MESSAGE_ID: 'FIRST' })
  t.equal(record!.reconsumeTimes, 2)
})

t.test('after the last attempt a message goes to the dead letters, without delay', async t => {
  const open = await openBroker(t)
  const { broker } = open
  await broker.groups.put({ ...broker.groups.get('CG')!, retryMaxTimes: 5 })
  for (const [what, reconsumeTimes, back, dead] of [
    ['the group has more attempts', 4, {}, false],
    ['the group has no more', 5, {}, true],
    ['the client has more', 5, { maxReconsumeTimes: 6 }, false],
    ['the client has no more', 2, { maxReconsumeTimes: 2 }, true],
    ['the client wants it dead', 0, { delayLevel: -1 }, true]
  ] as const) {
    const { offset } = await stored(open, reconsumeTimes)
    const before = broker.store.maxQueueOffset('%DLQ%CG', 0)
    t.match(await sendBack(open, offset, back), { code: ResponseCode.SUCCESS })
    t.equal(broker.store.maxQueueOffset('%DLQ%CG', 0) - before, dead ? 1 : 0, what)
  }
  t.match(broker.topics.get('%DLQ%CG'), { readQueueNums: 1, writeQueueNums: 1, perm: 6 })
  const record = (await first(open, '%DLQ%CG'))!
  t.match(record, { topic: '%DLQ%CG', reconsumeTimes: 6 })
  t.match(Object.fromEntries(record.properties), { DELAY: '0', RETRY_TOPIC: 'orders' })
})

t.test('a group without retry queues drops its failures', async t => {
  const open = await openBroker(t)
  const { broker } = open
  await broker.groups.put({ ...broker.groups.get('CG')!, retryQueueNums: 0 })
  const { offset } = await stored(open)
  t.match(await sendBack(open, offset), { code: ResponseCode.SUCCESS })
  t.equal(broker.store.maxQueueOffset(SCHEDULE_TOPIC, 2), 0)
  t.equal(broker.topics.get('%RETRY%CG'), undefined)
})

t.test('a group has as many retry queues as it is set to, and its unit is remembered', async t => {
  const open = await openBroker(t)
  const { broker } = open
  await broker.groups.put({ ...broker.groups.get('CG')!, retryQueueNums: 3 })
  const { offset } = await stored(open)
  await sendBack(open, offset, { unitMode: true })
  t.match(broker.topics.get('%RETRY%CG'), { readQueueNums: 3, writeQueueNums: 3, topicSysFlag: 2 })
  const record = (await first(open, SCHEDULE_TOPIC, 2))!
  t.ok([0, 1, 2].includes(Number(record.properties.get('REAL_QID'))))
})

t.test('what cannot be sent back is refused with the reason', async t => {
  const open = await openBroker(t, { autoCreateSubscriptionGroup: false })
  const { broker } = open
  await broker.groups.put({ ...broker.groups.get('TOOLS_CONSUMER')!, groupName: 'CG' })
  const { offset } = await stored(open)
  t.match(await sendBack(open, 123_456_789), { code: 1, remark: 'look message by offset failed, 123456789' })
  t.match(await sendBack(open, -5), { code: 1, remark: 'look message by offset failed, -5' })
  t.match(await sendBack(open, offset + 1), { code: 1, remark: `look message by offset failed, ${offset + 1}` })
  t.match(await sendBack(open, offset, { group: 'nobody' }), { code: 26, remark: /nobody/ })
  t.match(await open.ask(RequestCode.CONSUMER_SEND_MSG_BACK, { group: 'CG' }), { code: 29, remark: /offset/ })
  const retry = await broker.topics.ensure('%RETRY%CG', 1, 6)
  await broker.topics.put({ ...retry, perm: 4 })
  t.match(await sendBack(open, offset), { code: 16, remark: 'the topic[%RETRY%CG] sending message is forbidden' })
  broker.options.brokerPermission = 4
  t.match(await sendBack(open, offset), { code: 16, remark: /sending message is forbidden/ })
})

t.test('what the store refuses is answered by its name', async t => {
  const open = await openBroker(t)
  // Its properties just fit; those that a retry adds do not.
  const { offset } = await stored(open, 0, { KEYS: 'k'.repeat(32_600) })
  t.match(await sendBack(open, offset), { code: 1, remark: /^PROPERTIES_SIZE_EXCEEDED/ })
})
