import { existsSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { PutStatus } from '../../engine/index.ts'
import { readI64, TIMER_TOPIC, viewOf } from '../../message/index.ts'
import { parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { pull, recordsOf, type Sent, send } from '../support/messages.ts'
import { readQueue } from '../support/store-model.ts'

const SECOND_MS = 1000
const HOUR_MS = 3600 * SECOND_MS
const DAY_MS = 24 * HOUR_MS
const SMALL_LOG_BYTES = 65_536

type Open = OpenBroker & { clock: ManualClock }

/** A broker whose time a test turns; it begins at a whole second. */
async function open(t: Test, options: Partial<BrokerOptions> = {}, clock = new ManualClock()): Promise<Open> {
  return { ...(await openBroker(t, options, { clock })), clock }
}

const sendTimed = async (open: Open, properties: Record<string, string | number>, body: string, more = {}) => {
  const texts = Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, String(value)]))
  const sent: Sent = { topic: 'orders', body, properties: texts, ...more }
  return send(open, sent)
}

const stored = async (open: Open, properties: Record<string, string | number>, ...bodies: string[]) => {
  for (const body of bodies) {
    const answer = await sendTimed(open, properties, body)
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(`${answer.code} ${answer.remark}`)
  }
}

const count = ({ broker }: OpenBroker) => broker.store.maxQueueOffset('orders', 0)
const delivered = async ({ broker }: OpenBroker) =>
  (await readQueue(broker.store, 'orders', 0)).map(({ body }) => Buffer.from(body).toString())
/** All that waits has its place in the wheel. */
const taken = (open: OpenBroker) =>
  until('all is taken up', () => {
    const { store } = open.broker.timer!
    return store.progress.offsetBehind === 0 && store.queueOffset === open.broker.store.maxQueueOffset(TIMER_TOPIC, 0)
  })
const arrived = (open: Open, messages: number) =>
  until(`${messages} delivered`, () => {
    // What was found to be due just now comes at once.
    open.clock.advance(0)
    return count(open) >= messages
  })
const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}
/** Turns the clock by steps that are small enough for what comes between. */
async function pass(open: Open, ms: number): Promise<void> {
  await taken(open)
  open.clock.advance(ms)
  await turns()
}

t.test('a message arrives in the second after the one that it names, as it was sent', async t => {
  const broker = await open(t)
  const dueMs = broker.clock.now() + 90_500
  const answer = await sendTimed(broker, { TIMER_DELIVER_MS: dueMs, TAGS: 'a' }, 'espresso')
  t.equal(answer.code, ResponseCode.SUCCESS)
  t.equal(answer.extFields?.queueId, '0')
  t.equal(broker.broker.store.maxQueueOffset(TIMER_TOPIC, 0), 1)
  await pass(broker, 90_999)
  t.equal(count(broker), 0)
  broker.clock.advance(1)
  await arrived(broker, 1)
  const [record] = recordsOf(await pull(broker, { topic: 'orders' }))
  t.match(record, { topic: 'orders', queueId: 0, bornTimestamp: 1_700_000_000_000 })
  t.match(Object.fromEntries(record!.properties), {
    TAGS: 'a',
    TIMER_DELIVER_MS: String(dueMs),
    TIMER_OUT_MS: String(dueMs - 500),
    TIMER_ENQUEUE_MS: String(broker.clock.now() - 91_000),
    TIMER_DEQUEUE_MS: String(broker.clock.now()),
    REAL_TOPIC: 'orders',
    REAL_QID: '0',
    UNIQ_KEY: /^KEY/
  })
})

t.test('a delay counts from when the broker gets it; of several properties seconds count first', async t => {
  const broker = await open(t)
  await stored(broker, { TIMER_DELAY_MS: 5000 }, 'five')
  await stored(broker, { TIMER_DELAY_SEC: 2, TIMER_DELAY_MS: 5000, TIMER_DELIVER_MS: 1 }, 'two')
  await pass(broker, 1999)
  t.equal(count(broker), 0)
  broker.clock.advance(1)
  await arrived(broker, 1)
  t.same(await delivered(broker), ['two'])
  await pass(broker, 2999)
  t.equal(count(broker), 1)
  broker.clock.advance(1)
  await arrived(broker, 2)
})

t.test('a time that has passed means at once, and a delay level beats any time', async t => {
  const broker = await open(t)
  await stored(broker, { TIMER_DELIVER_MS: broker.clock.now() }, 'now')
  await stored(broker, { TIMER_DELAY_MS: -5 }, 'before')
  await stored(broker, { TIMER_DELAY_SEC: 100, DELAY: 1 }, 'level')
  t.same(await delivered(broker), ['now', 'before'])
  await turns()
  broker.clock.advance(SECOND_MS)
  await arrived(broker, 3)
  t.equal(broker.broker.store.maxQueueOffset(TIMER_TOPIC, 0), 0)
})

t.test('what the timer cannot do is refused with the reason', async t => {
  const broker = await open(t)
  const now = broker.clock.now()
  for (const [properties, code, remark] of [
    [{ TIMER_DELAY_SEC: 259_201 }, 13, /259201000 ms.*259200000/],
    [{ TIMER_DELAY_SEC: 'soon' }, 13, /not a whole number/],
    [{ TIMER_DELIVER_MS: '99999999999999999999' }, 13, /not a whole number/],
    [{ TIMER_DELIVER_MS: now - 1, TIMER_DEL_UNIQKEY: 'x' }, 13, /has passed/]
  ] as const) {
    const answer = await sendTimed(broker, properties, 'x')
    t.equal(answer.code, code)
    t.match(answer.remark, remark)
  }
  t.equal((await sendTimed(broker, { TIMER_DELAY_SEC: 259_200 }, 'x')).code, ResponseCode.SUCCESS)

  const without = await open(t, { timerWheelEnable: false })
  const answer = await sendTimed(without, { TIMER_DELAY_SEC: 1 }, 'x')
  t.equal(answer.code, 1)
  t.match(answer.remark, /timerWheelEnable is false/)
})

t.test('too many messages for one time are refused', async t => {
  const broker = await open(t, { timerCongestNumEachSlot: 1 })
  await stored(broker, { TIMER_DELAY_SEC: 10 }, 'one', 'two')
  await taken(broker)
  const answer = await sendTimed(broker, { TIMER_DELAY_SEC: 10 }, 'three')
  t.equal(answer.code, 1)
  t.match(answer.remark, /flow control, 2 messages/)
  t.equal((await sendTimed(broker, { TIMER_DELAY_SEC: 11 }, 'other')).code, ResponseCode.SUCCESS)
})

t.test('messages of a slot keep their order, however many there are', async t => {
  const broker = await open(t)
  const bodies = Array.from({ length: 300 }, (_, i) => String(i))
  await stored(broker, { TIMER_DELAY_SEC: 60 }, ...bodies)
  await pass(broker, 60_000)
  await arrived(broker, 300)
  t.same(await delivered(broker), bodies)
  t.equal(count(broker), 300)
})

t.test(
  'a message that the store refuses is tried again and overtaken by none, one that it never takes is passed over',
  async t => {
    const broker = await open(t)
    const { store } = broker.broker
    await stored(broker, { TIMER_DELAY_SEC: 10 }, 'a', 'b', 'c', 'd')
    await taken(broker)
    const put = store.put.bind(store)
    let refusals = 0
    store.put = (message, waiter) => {
      const body = Buffer.from(message.body).toString()
      if (body === 'b' && refusals++ < 3) waiter.onPut(PutStatus.SERVICE_NOT_AVAILABLE, -1, -1, 0, 'the disk is full')
      else if (body === 'c') waiter.onPut(PutStatus.MESSAGE_ILLEGAL, -1, -1, 0, 'too large')
      else put(message, waiter)
    }
    broker.clock.advance(10 * SECOND_MS)
    await arrived(broker, 1)
    await turns()
    t.same(await delivered(broker), ['a'])
    await until('the rest is delivered', async () => {
      broker.clock.advance(500)
      await turns()
      return count(broker) === 3
    })
    t.same(await delivered(broker), ['a', 'b', 'd'])
    t.equal(refusals, 4)
  }
)

t.test('what is due after the window is put again on the way, and arrives in time', async t => {
  const broker = await open(t, { store: { timerRollWindowSlot: 60 } })
  await stored(broker, { TIMER_DELAY_SEC: 200 }, 'far')
  await stored(broker, { TIMER_DELAY_SEC: 70 }, 'near')
  await taken(broker)
  for (let second = 0; second < 199; second++) {
    await pass(broker, SECOND_MS)
    if (second === 75) await arrived(broker, 1)
  }
  await taken(broker)
  t.equal(count(broker), 1)
  broker.clock.advance(SECOND_MS)
  await arrived(broker, 2)
  const records = recordsOf(await pull(broker, { topic: 'orders' }))
  t.match(
    records.map(({ body, properties }) => [Buffer.from(body).toString(), properties.get('TIMER_ROLL_TIMES')]),
    [
      ['near', '1'],
      ['far', /^[23]$/]
    ]
  )
})

t.test('a message is recalled by its handle, where that is allowed', async t => {
  const broker = await open(t, { recallMessageEnable: true })
  const { ask } = broker
  const answer = await sendTimed(broker, { TIMER_DELAY_SEC: 10 }, 'recalled')
  await stored(broker, { TIMER_DELAY_SEC: 10 }, 'kept')
  const handle = answer.extFields!.recallHandle!
  t.match(Buffer.from(handle, 'base64url').toString(), /^v1 orders broker-a \d{13} KEY\d+$/)
  const recall = (recallHandle: string, topic = 'orders') =>
    ask(RequestCode.RECALL_MESSAGE, { producerGroup: 'PG', topic, recallHandle })
  t.match(await recall('nonsense'), { code: 604, remark: /handle is invalid/ })
  t.match(await recall(handle, 'elsewhere'), { code: ResponseCode.TOPIC_NOT_EXIST })
  await sendTimed(broker, {}, 'x', { topic: 'elsewhere' })
  t.match(await recall(handle, 'elsewhere'), { code: 604, remark: /topic not match/ })
  const done = await recall(handle)
  t.equal(done.code, ResponseCode.SUCCESS)
  t.equal(done.extFields?.msgId, answer.extFields?.transactionId)
  await pass(broker, 10_000)
  await arrived(broker, 1)
  await turns()
  t.same(await delivered(broker), ['kept'])
  t.match(await recall(handle), { code: 604, remark: /timestamp invalid/ })

  const without = await open(t)
  t.match(await without.ask(RequestCode.RECALL_MESSAGE, { topic: 'orders', recallHandle: handle }), { code: 16 })
})

t.test('a stop forgets nothing, and repeats nothing', async t => {
  const storePathRootDir = temporaryDirectory(t)
  const clock = new ManualClock()
  const first = await open(t, { storePathRootDir }, clock)
  await stored(first, { TIMER_DELAY_SEC: 5 }, 'soon')
  await stored(first, { TIMER_DELAY_SEC: 100 }, 'later')
  await pass(first, 5000)
  await arrived(first, 1)
  await first.broker.close()
  clock.clear()
  clock.advance(50_000)

  const second = await open(t, { storePathRootDir }, clock)
  await pass(second, 44_999)
  t.same(await delivered(second), ['soon'])
  await second.broker.close()
  clock.clear()
  // Due while nobody was there to deliver it.
  clock.advance(10 * DAY_MS)
  const third = await open(t, { storePathRootDir }, clock)
  await arrived(third, 2)
  t.same(await delivered(third), ['soon', 'later'])
})

t.test('an idle broker has no timer of its own: the next slot alone is waited for', async t => {
  const broker = await open(t)
  // What follows from a message, such as checkpoints, is soon done.
  const rest = async () => {
    for (let i = 0; i < 5; i++) await pass(broker, 20_000)
    return broker.clock.waiting
  }
  await stored(broker, {}, 'plain')
  const idle = await rest()
  await stored(broker, { TIMER_DELAY_SEC: 3000 }, 'a')
  await stored(broker, { TIMER_DELAY_SEC: 2000 }, 'b')
  t.equal(await rest(), idle + 1)
  broker.clock.advance(HOUR_MS)
  await arrived(broker, 3)
  t.same(await delivered(broker), ['plain', 'b', 'a'])
  t.equal(await rest(), idle)
})

t.test('slaves are told how far the timer has come and what waits, and the tools are shown it', async t => {
  const broker = await open(t)
  await stored(broker, { TIMER_DELAY_SEC: 5 }, 'soon')
  await stored(broker, { TIMER_DELAY_SEC: 100 }, 'later', 'later too')
  await pass(broker, 5000)
  await arrived(broker, 1)
  broker.clock.advance(2000)
  const checkpoint = async () => viewOf((await broker.ask(RequestCode.GET_TIMER_CHECK_POINT)).body!)
  await until('saved', async () => readI64(await checkpoint(), 16) === 3)
  const view = await checkpoint()
  t.equal(view.byteLength, 56)
  t.equal(readI64(view, 8), 3 * 52)
  t.equal(readI64(view, 24), 3)
  t.ok(readI64(view, 0) <= broker.clock.now())
  const metrics = parseBody((await broker.ask(RequestCode.GET_TIMER_METRICS)).body!) as Record<string, unknown>
  t.match(metrics, { timingCount: { orders: { count: 2 } }, dataVersion: { counter: 4 } })
  const status = parseBody((await broker.ask(RequestCode.GET_BROKER_RUNTIME_INFO)).body!) as {
    table: Record<string, string>
  }
  t.match(status.table, { timerCongestNum: '2', timerOffsetBehind: '0', timerReadBehind: '0' })
})

for (const [what, spoil] of Object.entries({
  'the wheel is gone': (dir: string) => rmSync(join(dir, 'timerwheel')),
  'the wheel is short': (dir: string) => truncateSync(join(dir, 'timerwheel'), 1000),
  'the log is gone': (dir: string) => rmSync(join(dir, 'timerlog'), { recursive: true }),
  'the log is garbage': (dir: string) =>
    writeFileSync(join(dir, 'timerlog', '0'.repeat(20)), Buffer.alloc(SMALL_LOG_BYTES, 'x')),
  'the checkpoint is gone': (dir: string) => rmSync(join(dir, 'config', 'timercheck')),
  'the checkpoint is garbage': (dir: string) =>
    writeFileSync(join(dir, 'config', 'timercheck'), Buffer.alloc(4096, 'x')),
  'all timer files are gone': (dir: string) => {
    for (const name of ['timerwheel', 'timerlog', 'config/timercheck', 'config/timercheck.bak', 'config/timermetrics'])
      rmSync(join(dir, name), { recursive: true })
  }
}))
  t.test(`when ${what}, nothing is lost or repeated`, async t => {
    const storePathRootDir = temporaryDirectory(t)
    const options = { storePathRootDir, store: { mappedFileSizeTimerLogBytes: SMALL_LOG_BYTES } }
    const clock = new ManualClock()
    const first = await open(t, options, clock)
    await stored(first, { TIMER_DELAY_SEC: 5 }, 'soon', 'soon too')
    await stored(first, { TIMER_DELAY_SEC: 100 }, 'later')
    await pass(first, 5000)
    await arrived(first, 2)
    await stored(first, { TIMER_DELAY_SEC: 200 }, 'much later')
    await first.broker.close()
    clock.clear()
    spoil(storePathRootDir)

    const second = await open(t, options, clock)
    await pass(second, 95_000)
    await arrived(second, 3)
    await pass(second, 105_000)
    await arrived(second, 4)
    await turns()
    t.same(await delivered(second), ['soon', 'soon too', 'later', 'much later'])
    t.ok(existsSync(join(storePathRootDir, 'timerwheel')))
  })
