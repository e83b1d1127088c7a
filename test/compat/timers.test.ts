import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { openStore, realFiles, TimerStore } from '../../engine/index.ts'
import { RecordCursor, TIMER_TOPIC, viewOf } from '../../message/index.ts'
import { silentLog } from '../../net/index.ts'
import { openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { goldenStore } from '../support/golden-stores.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { pull, recordsOf } from '../support/messages.ts'

const golden = goldenStore('delay')
const options = { ...golden.options, mappedFileSizeTimerLogBytes: 65_520 }
const SLOT_BYTES = 32
const WHEEL_BYTES = 1_209_600 * SLOT_BYTES
/** The beginning of RocketMQ's timer log; zeros follow. */
const LOG = readFileSync(join(golden.sourceDir, '..', 'timerlog'))
/** All of RocketMQ's slots that are not empty: time, first and last position, how many messages. */
const SLOTS = [
  [1795425923, 0, 0, 1],
  [1795425924, 52, 104, 2],
  [1795427720, 468, 572, 3],
  [1795429522, 156, 416, 0],
  [1795433122, 208, 208, 1],
  [1795512320, 260, 260, 1],
  [1795512323, 312, 312, 1],
  [1795598723, 364, 364, 1]
] as const

function slotBytes([time, firstPos, lastPos, count]: (typeof SLOTS)[number]): Buffer {
  const bytes = Buffer.alloc(SLOT_BYTES)
  bytes.writeBigInt64BE(BigInt(time), 0)
  bytes.writeBigInt64BE(BigInt(firstPos), 8)
  bytes.writeBigInt64BE(BigInt(lastPos), 16)
  bytes.writeInt32BE(count, 24)
  return bytes
}

/** A copy of RocketMQ's store with all timer files. */
function copyWithTimer(t: Test): string {
  const dir = golden.copy(t)
  const log = join(dir, 'timerlog', '0'.repeat(20))
  mkdirSync(dirname(log))
  copyFileSync(join(golden.sourceDir, '..', 'timerlog'), log)
  truncateSync(log, options.mappedFileSizeTimerLogBytes)
  const wheel = openSync(join(dir, 'timerwheel'), 'w')
  for (const slot of SLOTS) writeSync(wheel, slotBytes(slot), 0, SLOT_BYTES, (slot[0] % 1_209_600) * SLOT_BYTES)
  closeSync(wheel)
  truncateSync(join(dir, 'timerwheel'), WHEEL_BYTES)
  return dir
}

const timerMessages = golden.expected.messages.filter(({ topic }) => topic === TIMER_TOPIC)

t.test("the same messages give RocketMQ's timer log and wheel, byte for byte", async t => {
  const dir = temporaryDirectory(t)
  const clock = new ManualClock(1795425921_000)
  const store = await openStore(dir, options, { clock })
  const parts = { store, files: realFiles, clock, log: silentLog, delivers: () => true }
  const timer = new TimerStore(parts)
  await timer.open()
  store.onArrival = topic => topic === TIMER_TOPIC && timer.arrived()
  const log = readFileSync(join(golden.sourceDir, 'commitlog', '0'.repeat(20)))
  const cursor = new RecordCursor()
  let taken = 0
  for (let pos = 0; pos < golden.expected.recovery.maxPhyOffset; pos += cursor.sizeBytes) {
    cursor.at(viewOf(log), log, pos, log.length)
    // When RocketMQ took the message up stands in the unit.
    if (cursor.topic === TIMER_TOPIC) clock.advance(Number(LOG.readBigInt64BE(52 * taken++ + 16)) - clock.now())
    store.appendRaw(pos, log.subarray(pos, pos + cursor.sizeBytes))
    await store.dispatched()
    await until('it is taken up', () => timer.queueOffset === store.maxQueueOffset(TIMER_TOPIC, 0))
  }
  await timer.close()
  await store.close()

  const file = readFileSync(join(dir, 'timerlog', '0'.repeat(20)))
  t.equal(file.length, options.mappedFileSizeTimerLogBytes)
  t.same(file.subarray(0, LOG.length), LOG)
  t.ok(file.subarray(LOG.length).every(byte => byte === 0))
  const wheel = readFileSync(join(dir, 'timerwheel'))
  t.equal(wheel.length, WHEEL_BYTES)
  for (const slot of SLOTS) {
    const at = (slot[0] % 1_209_600) * SLOT_BYTES
    t.same(wheel.subarray(at, at + SLOT_BYTES), slotBytes(slot))
    wheel.fill(0, at, at + SLOT_BYTES)
  }
  t.ok(wheel.equals(Buffer.alloc(WHEEL_BYTES)), 'no other slot')
})

for (const [what, copy] of Object.entries({
  'timer files': copyWithTimer,
  'a queue of timer messages alone': (t: Test) => golden.copy(t),
  'neither timer files nor a checkpoint': (t: Test) => {
    const dir = golden.copy(t)
    rmSync(join(dir, 'config', 'timercheck'))
    return dir
  }
}))
  t.test(`RocketMQ's store with ${what}: what waits comes at its time, what came or was recalled does not`, async t => {
    const { messages } = golden.expected
    const clock = new ManualClock(messages.at(-1)!.storeTimestamp)
    const open = await openBroker(t, { storePathRootDir: copy(t), store: options }, { clock })
    const { store, timer } = open.broker
    const keys = () =>
      Promise.all(
        [0, 1].map(async queueId => recordsOf(await pull(open, { topic: 'GoldenDelay', queueId, offset: 0 })))
      ).then(found =>
        found
          .flat()
          .filter(({ properties }) => properties.has('TIMER_OUT_MS'))
          .map(({ properties }) => properties.get('KEYS')!)
          .sort()
      )
    const taken = () =>
      until('all is taken up', () => timer!.store.queueOffset === store.maxQueueOffset(TIMER_TOPIC, 0))
    await taken()
    t.same(await keys(), ['T0', 'T1', 'T2'])
    for (const [untilMs, expected] of [
      [1795427720_999, []],
      [1795427721_000, ['S0', 'S1', 'S2']],
      [1795433122_999, []],
      [1795433123_000, ['T4']],
      [1795512321_000, ['T5']],
      // Two that are due after two days are put again on the way.
      [1795512324_000, []],
      [1795598724_000, []],
      [1795641923_999, []],
      [1795641924_000, ['T6']],
      [1795685124_000, ['T8']]
    ] as const) {
      const before = await keys()
      clock.advance(untilMs - clock.now())
      await until(`${expected} delivered`, async () => {
        // What was found to be due just now comes at once.
        clock.advance(0)
        return (await keys()).length >= before.length + expected.length
      })
      for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
      await taken()
      t.same(await keys(), [...before, ...expected].sort())
    }
    const delivered = recordsOf(await pull(open, { topic: 'GoldenDelay', queueId: 0, offset: 0 }))
    for (const record of delivered.filter(({ properties }) => properties.has('TIMER_OUT_MS'))) {
      const key = record.properties.get('UNIQ_KEY')
      const sent = timerMessages.find(({ properties }) => properties.UNIQ_KEY === key)!
      t.match(Object.fromEntries(record.properties), sent.properties, 'with all properties that it had')
      t.equal(record.properties.get('REAL_QID'), String(record.queueId))
    }
  })
