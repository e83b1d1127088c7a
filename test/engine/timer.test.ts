import t from 'tap'
import { silentLog } from '../../engine/log.ts'
import { BitSet } from '../../engine/timer/bit-set.ts'
import { TimerLog, type TimerUnit } from '../../engine/timer/timer-log.ts'
import { TIMER_SLOT, TimerWheel, WHEEL_SLOTS } from '../../engine/timer/timer-wheel.ts'
import { javaHashCode } from '../../message/index.ts'
import { below, seeded, testSeed } from '../support/seeded.ts'
import { inStore, SimulatedFiles } from '../support/simulated-files.ts'

const unit = (more: Partial<TimerUnit> = {}): TimerUnit => ({
  previousPos: -1,
  magic: 1,
  writeMs: 1_700_000_000_000,
  delayMs: 60_000,
  physicalOffset: 0,
  recordBytes: 113,
  topicHash: javaHashCode('TopicTest'),
  ...more
})

function newLog(files = new SimulatedFiles(), fileSizeBytes = 1024): TimerLog {
  files.makeDirectory(inStore())
  const log = new TimerLog(files, inStore('timerlog'), fileSizeBytes)
  log.load(silentLog)
  return log
}

t.test('a set of bits finds the next number, however far it is', async t => {
  const seed = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${seed}`)
  const random = seeded(seed)
  const bits = new BitSet(40_000)
  const numbers = new Set<number>()
  for (let i = 0; i < 3000; i++) {
    const number = random() < 0.5 ? below(random, 40_000) : below(random, 70)
    if (random() < 0.4) {
      bits.delete(number)
      numbers.delete(number)
    } else {
      bits.add(number)
      numbers.add(number)
    }
    if (i % 10 > 0) continue
    const from = below(random, 40_001)
    const next = [...numbers].reduce((least, each) => (each >= from && each < least ? each : least), 40_000)
    if (bits.next(from) !== (next === 40_000 ? -1 : next)) t.fail(`next of ${from} is ${next}, not ${bits.next(from)}`)
  }
  t.equal(
    Array.from({ length: 40_000 }, (_, i) => i).filter(i => bits.has(i)).length,
    numbers.size,
    'it has what was added, and nothing else'
  )
  bits.clear()
  t.equal(bits.next(0), -1)
})

t.test('a unit of the timer log has the bytes that RocketMQ gives it', async t => {
  const files = new SimulatedFiles()
  newLog(files).append(unit())
  t.equal(
    files
      .contentOf(inStore('timerlog', '0'.repeat(20)))
      .subarray(0, 52)
      .toString('hex'),
    '00000034ffffffffffffffff000000010000018bcfe568000000ea60000000000000000000000071' + '8e9876410000000000000000'
  )
})

t.test('where no unit has room, a blank ends the file, and the next one goes on', async t => {
  const files = new SimulatedFiles()
  const log = newLog(files, 300)
  // A blank of 16 bytes must have room behind the last unit.
  const positions = Array.from({ length: 12 }, (_, i) => log.append(unit({ physicalOffset: i })))
  t.same(positions, [0, 52, 104, 156, 208, 300, 352, 404, 456, 508, 600, 652])
  const first = files.contentOf(inStore('timerlog', '0'.repeat(20)))
  t.equal(first.subarray(260, 276).toString('hex'), '00000028' + '0000000000000000' + 'cbd43194')

  const again = newLog(files, 300)
  const found: number[] = []
  await again.scan(({ physicalOffset }, pos) => found.push(physicalOffset) > 0 && pos === positions[physicalOffset])
  t.same(found, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  t.equal(again.end, 704)
  t.match(await again.at(300), { physicalOffset: 5 })
  t.equal(await again.at(704), null)
  await again.removeBelow(5)
  t.equal(again.start, 300, 'a file goes when the messages of all its units are gone')
  await again.removeBelow(9)
  t.equal(again.start, 300, 'one is left')
  await again.removeBelow(1000)
  t.equal(again.start, 600, 'the last file stays')
  t.equal(await again.at(52), null)
})

t.test('a scan of the timer log ends at what is no unit', async t => {
  for (const [byte, value] of [
    [3, 0x35],
    [15, 0x10],
    [15, 0]
  ] as const) {
    const files = new SimulatedFiles()
    const log = newLog(files)
    for (let i = 0; i < 3; i++) log.append(unit({ physicalOffset: i }))
    files.contentOf(inStore('timerlog', '0'.repeat(20)))[52 + byte] = value
    const again = newLog(files)
    await again.scan(() => true)
    t.equal(again.end, 52)
    again.truncate()
    again.append(unit({ physicalOffset: 7 }))
    t.match(await again.at(52), { physicalOffset: 7 })
    t.equal(await again.at(104), null)
  }
})

t.test('the wheel holds slots by their time, and finds the next across its end', async t => {
  const files = new SimulatedFiles()
  files.makeDirectory(inStore())
  const wheel = new TimerWheel(files, inStore('timerwheel'), 100)
  wheel.open()
  for (const [time, pos, count] of [
    [1099, 0, 1],
    [1101, 52, 1],
    [1099, 104, 1],
    [1150, 156, -1]
  ] as const)
    wheel.add(time, pos, count)
  t.same(
    [1099, 1101, 1150, 1100].map(time => wheel.lastPos(time)),
    [104, 52, 156, -1]
  )
  t.same(
    [1099, 1101, 1150, 1199].map(time => wheel.count(time)),
    [2, 1, -1, 0]
  )
  t.equal(wheel.total, 2)
  const order: number[] = []
  for (let time = wheel.next(1060); time >= 0; time = wheel.next(time)) {
    order.push(time)
    wheel.passed(time)
  }
  t.same(order, [1099, 1101, 1150])
  t.equal(wheel.total, 0)
  t.equal(wheel.count(1099), 2, 'what has passed stays where it is')

  await wheel.flush()
  const written = files.calls.get('write') ?? 0
  await wheel.flush()
  t.equal(files.calls.get('write'), written, 'only what changed is written')
  const slot = files.contentOf(inStore('timerwheel')).subarray(99 * TIMER_SLOT.bytes, 100 * TIMER_SLOT.bytes)
  t.equal(slot.toString('hex'), '000000000000044b' + '0000000000000000' + '0000000000000068' + '00000002' + '00000000')
})

t.test('a wheel of full size takes memory for the slots that are used', async t => {
  const before = process.memoryUsage.rss()
  const files = new SimulatedFiles()
  const wheel = new TimerWheel(files, '/timerwheel', WHEEL_SLOTS)
  for (let second = 0; second < 3600; second++) wheel.add(1_800_000_000 + second, second, 1)
  t.ok(process.memoryUsage.rss() - before < 20 * 1024 * 1024)
  t.equal(wheel.next(1_800_000_000), 1_800_000_000)
})
