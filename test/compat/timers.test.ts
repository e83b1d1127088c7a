import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openStore, realFiles, TimerStore } from '../../engine/index.ts'
import { RecordCursor, TIMER_TOPIC, viewOf } from '../../message/index.ts'
import { silentLog } from '../../net/index.ts'
import { openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { goldenStore } from '../support/golden-stores.ts'
import {
  addTimerFiles,
  GOLDEN_LOG,
  GOLDEN_SLOTS,
  GOLDEN_TIMER_LOG_BYTES,
  SLOT_BYTES,
  slotBytes,
  WHEEL_BYTES
} from '../support/golden-timer.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { readQueue } from '../support/store-model.ts'

const golden = goldenStore('delay')
const options = { ...golden.options, mappedFileSizeTimerLogBytes: GOLDEN_TIMER_LOG_BYTES }
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
    if (cursor.topic === TIMER_TOPIC) clock.advance(Number(GOLDEN_LOG.readBigInt64BE(52 * taken++ + 16)) - clock.now())
    store.appendRaw(pos, log.subarray(pos, pos + cursor.sizeBytes))
    await store.dispatched()
    await until('it is taken up', () => timer.queueOffset === store.maxQueueOffset(TIMER_TOPIC, 0))
  }
  await timer.close()
  await store.close()

  const file = readFileSync(join(dir, 'timerlog', '0'.repeat(20)))
  t.equal(file.length, options.mappedFileSizeTimerLogBytes)
  t.same(file.subarray(0, GOLDEN_LOG.length), GOLDEN_LOG)
  t.ok(file.subarray(GOLDEN_LOG.length).every(byte => byte === 0))
  const wheel = readFileSync(join(dir, 'timerwheel'))
  t.equal(wheel.length, WHEEL_BYTES)
  for (const slot of GOLDEN_SLOTS) {
    const at = (slot[0] % 1_209_600) * SLOT_BYTES
    t.same(wheel.subarray(at, at + SLOT_BYTES), slotBytes(slot))
    wheel.fill(0, at, at + SLOT_BYTES)
  }
  t.ok(wheel.equals(Buffer.alloc(WHEEL_BYTES)), 'no other slot')
})

for (const [what, copy] of Object.entries({
  'timer files': (t: Test) => {
    const dir = golden.copy(t)
    addTimerFiles(dir)
    return dir
  },
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
    const deliveredTo = async (queueId: number) =>
      (await readQueue(store, 'GoldenDelay', queueId)).filter(({ properties }) => properties.has('TIMER_OUT_MS'))
    const keys = async () =>
      [...(await deliveredTo(0)), ...(await deliveredTo(1))].map(({ properties }) => properties.get('KEYS')!).sort()
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
    for (const record of await deliveredTo(0)) {
      const key = record.properties.get('UNIQ_KEY')
      const sent = timerMessages.find(({ properties }) => properties.UNIQ_KEY === key)!
      t.match(Object.fromEntries(record.properties), sent.properties, 'with all properties that it had')
      t.equal(record.properties.get('REAL_QID'), String(record.queueId))
    }
  })
