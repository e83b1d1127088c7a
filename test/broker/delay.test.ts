import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { PutStatus } from '../../engine/index.ts'
import { SCHEDULE_TOPIC } from '../../message/index.ts'
import { parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { bodiesOf, pull, recordsOf, type Sent, send } from '../support/messages.ts'

const SECOND_MS = 1000
const HOUR_MS = 3600 * SECOND_MS

/** A broker whose time a test turns. */
async function open(t: Test, options: Partial<BrokerOptions> = {}, clock = new ManualClock()) {
  return { ...(await openBroker(t, options, { clock })), clock }
}

const sendDelayed = async (open: OpenBroker, level: number | string, ...bodies: string[]) => {
  for (const body of bodies) {
    const sent: Sent = { topic: 'orders', body, properties: { DELAY: String(level) } }
    const answer = await send(open, sent)
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(`${answer.code} ${answer.remark}`)
  }
}

const count = ({ broker }: OpenBroker) => broker.store.maxQueueOffset('orders', 0)
const delivered = async (open: OpenBroker, offset = 0) => bodiesOf(await pull(open, { topic: 'orders', offset }))
/** Lets all that is due happen: deliveries need some turns of the event loop, and no time. */
const arrived = (open: OpenBroker, messages: number) => until(`${messages} delivered`, () => count(open) >= messages)
const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}
const savedOffsets = (dir: string) =>
  (parseBody(readFileSync(join(dir, 'config', 'delayOffset.json'))) as { offsetTable: Record<string, number> })
    .offsetTable

t.test('a delayed message arrives when its level says, and not before', async t => {
  const broker = await open(t)
  await sendDelayed(broker, 3, 'espresso')
  t.equal(broker.broker.store.maxQueueOffset(SCHEDULE_TOPIC, 2), 1)
  broker.clock.advance(10 * SECOND_MS - 1)
  await turns()
  t.equal(count(broker), 0)
  broker.clock.advance(1)
  await arrived(broker, 1)
  const [record] = recordsOf(await pull(broker, { topic: 'orders' }))
  t.match(record, { topic: 'orders', queueId: 0, queueOffset: 0, bornTimestamp: 1_700_000_000_000 })
  t.equal(record!.storeTimestamp, broker.clock.now())
  t.match(Object.fromEntries(record!.properties), { DELAY: '3', REAL_TOPIC: 'orders', REAL_QID: '0', UNIQ_KEY: /^KEY/ })
  t.equal(Buffer.from(record!.body).toString(), 'espresso')
})

t.test('every level has its own time, and levels above the highest count as the highest', async t => {
  const broker = await open(t, { store: { messageDelayLevel: '1s 1m 2h' } })
  for (const [level, body] of [
    [99, 'two hours'],
    [2, 'one minute'],
    [1, 'one second'],
    [0, 'now']
  ] as const)
    await sendDelayed(broker, level, body)
  t.same(await delivered(broker), ['now'])
  for (const [ms, body] of [
    [SECOND_MS, 'one second'],
    [59 * SECOND_MS, 'one minute'],
    [2 * HOUR_MS - 60 * SECOND_MS, 'two hours']
  ] as const) {
    const before = count(broker)
    broker.clock.advance(ms - 1)
    await turns()
    t.equal(count(broker), before, `not yet ${body}`)
    broker.clock.advance(1)
    await arrived(broker, before + 1)
    t.same(await delivered(broker, before), [body])
  }
})

t.test('messages of a level keep their order, however many are due at once', async t => {
  const broker = await open(t)
  const bodies = Array.from({ length: 300 }, (_, i) => `message ${i}`)
  await sendDelayed(broker, 1, ...bodies)
  broker.clock.advance(SECOND_MS)
  await arrived(broker, bodies.length)
  const all: string[] = []
  while (all.length < bodies.length) all.push(...(await delivered(broker, all.length)))
  t.same(all, bodies)
  t.same(broker.broker.delay.progress(), [{ level: 1, offset: 300, maxOffset: 300 }])
})

t.test('a message that comes while others are delivered is not forgotten', async t => {
  const broker = await open(t)
  await sendDelayed(broker, 1, 'first')
  broker.clock.advance(SECOND_MS)
  // Its second has begun when the first one's delivery is under way.
  await sendDelayed(broker, 1, 'second')
  await arrived(broker, 1)
  broker.clock.advance(SECOND_MS)
  await arrived(broker, 2)
  t.same(await delivered(broker), ['first', 'second'])
})

t.test('a held pull is answered when a delayed message arrives', async t => {
  const broker = await open(t)
  await sendDelayed(broker, 1, 'espresso')
  const held = pull(broker, { topic: 'orders', suspendMs: 15_000 })
  await until('the pull is held', () => broker.broker.heldPulls.size === 1)
  broker.clock.advance(SECOND_MS)
  t.same(bodiesOf(await held), ['espresso'])
})

t.test('without delayed messages nothing waits for anything', async t => {
  const broker = await open(t)
  const idle = broker.clock.waiting
  await sendDelayed(broker, 1, 'espresso')
  broker.clock.advance(SECOND_MS)
  await arrived(broker, 1)
  // The store's own timers, and the one that saves how far the level has come, end too.
  await until('all timers have ended', async () => {
    broker.clock.advance(20 * SECOND_MS)
    await turns()
    return broker.clock.waiting <= idle
  })
  t.ok(broker.clock.waiting <= idle)
})

t.test('what became due while the broker was down comes with its start, and nothing twice', async t => {
  const storePathRootDir = temporaryDirectory(t)
  const clock = new ManualClock()
  const before = await open(t, { storePathRootDir }, clock)
  await sendDelayed(before, 1, 'delivered')
  clock.advance(SECOND_MS)
  await arrived(before, 1)
  await sendDelayed(before, 2, 'due meanwhile')
  await sendDelayed(before, 18, 'due later')
  await before.broker.close()
  t.same(savedOffsets(storePathRootDir), { 1: 1 })

  clock.advance(HOUR_MS)
  const after = await open(t, { storePathRootDir }, clock)
  clock.advance(0)
  await arrived(after, 2)
  await turns()
  t.same(await delivered(after), ['delivered', 'due meanwhile'])
  clock.advance(HOUR_MS)
  await arrived(after, 3)
  t.same(await delivered(after, 2), ['due later'])
})

t.test('how far the levels have come is saved within a second, in the form that RocketMQ reads', async t => {
  const broker = await open(t)
  await sendDelayed(broker, 1, 'a', 'b')
  await sendDelayed(broker, 3, 'c')
  broker.clock.advance(10 * SECOND_MS)
  await arrived(broker, 3)
  const path = join(broker.dir, 'config', 'delayOffset.json')
  await until('it is saved', async () => {
    broker.clock.advance(SECOND_MS)
    await turns()
    try {
      return savedOffsets(broker.dir)[3] === 1
    } catch {
      return false
    }
  })
  t.match(
    readFileSync(path, 'utf8'),
    /^\{\n\t"dataVersion":\{\n\t\t"counter":\d+,\n\t\t"stateVersion":0,\n\t\t"timestamp":\d+\n\t\},\n\t"offsetTable":\{\n\t\t1:2,\n\t\t3:1\n\t\}\n\}$/
  )
  const { body } = await broker.ask(RequestCode.GET_ALL_DELAY_OFFSET)
  t.match(parseBody(body), { dataVersion: { counter: Number }, offsetTable: { 1: 2, 3: 1 } })
})

t.test('saved places beyond the queue are corrected', async t => {
  const storePathRootDir = temporaryDirectory(t)
  const clock = new ManualClock()
  const before = await open(t, { storePathRootDir }, clock)
  await sendDelayed(before, 1, 'a')
  clock.advance(SECOND_MS)
  await arrived(before, 1)
  await before.broker.close()
  writeFileSync(join(storePathRootDir, 'config', 'delayOffset.json'), '{"offsetTable":{1:7,2:"x",9:-3,99:5}}')

  const after = await open(t, { storePathRootDir }, clock)
  await sendDelayed(after, 1, 'b')
  clock.advance(SECOND_MS)
  await arrived(after, 2)
  t.same(await delivered(after), ['a', 'b'])
  t.match(after.broker.delay.progress(), [{ level: 1, offset: 2 }])
})

t.test('a message that the store refuses is tried again, and overtaken by none', async t => {
  const broker = await open(t)
  const { store } = broker.broker
  await sendDelayed(broker, 1, 'a', 'b', 'c')
  const put = store.put.bind(store)
  let refusals = 0
  store.put = (message, waiter) => {
    if (Buffer.from(message.body).toString() === 'b' && refusals++ < 3)
      waiter.onPut(PutStatus.SERVICE_NOT_AVAILABLE, -1, -1, 0, 'the disk is full')
    else put(message, waiter)
  }
  broker.clock.advance(SECOND_MS)
  await arrived(broker, 1)
  await turns()
  t.same(await delivered(broker), ['a'])
  await until('the rest is delivered', async () => {
    broker.clock.advance(100)
    await turns()
    return count(broker) === 3
  })
  t.same(await delivered(broker), ['a', 'b', 'c'])
  t.equal(refusals, 4)
})

t.test('a message that can never be stored does not hold up those behind it', async t => {
  const broker = await open(t)
  const { store } = broker.broker
  await sendDelayed(broker, 1, 'a', 'b', 'c')
  const put = store.put.bind(store)
  store.put = (message, waiter) => {
    if (Buffer.from(message.body).toString() === 'b') waiter.onPut(PutStatus.MESSAGE_ILLEGAL, -1, -1, 0, 'too large')
    else put(message, waiter)
  }
  broker.clock.advance(SECOND_MS)
  await arrived(broker, 2)
  t.same(await delivered(broker), ['a', 'c'])
})

t.test('a clock that was set back delays nothing for longer than its level', async t => {
  const broker = await open(t)
  await sendDelayed(broker, 1, 'stored in the future')
  broker.clock.setBack(24 * HOUR_MS)
  await sendDelayed(broker, 1, 'stored now')
  await until('both are delivered', async () => {
    broker.clock.advance(10 * SECOND_MS)
    await turns()
    return count(broker) === 2
  })
  t.same(await delivered(broker), ['stored in the future', 'stored now'])
})

t.test('a delay that is no whole number of levels delays nothing', async t => {
  const broker = await open(t)
  for (const level of ['0.5', '-1', 'abc', '0']) await sendDelayed(broker, level, level)
  t.same(await delivered(broker), ['0.5', '-1', 'abc', '0'])
})

t.test('figures count a delayed message for the schedule topic first, then for its own', async t => {
  const broker = await open(t)
  const sum = async (topic: string) => {
    const { code, body } = await broker.ask(RequestCode.VIEW_BROKER_STATS_DATA, {
      statsName: 'TOPIC_PUT_NUMS',
      statsKey: topic
    })
    return code === 0 ? (parseBody(body) as { statsDay: { sum: number } }).statsDay.sum : 0
  }
  await sendDelayed(broker, 1, 'a')
  t.same([await sum(SCHEDULE_TOPIC), await sum('orders')], [1, 0])
  broker.clock.advance(SECOND_MS)
  await arrived(broker, 1)
  await turns()
  t.same([await sum(SCHEDULE_TOPIC), await sum('orders')], [1, 1])
})
