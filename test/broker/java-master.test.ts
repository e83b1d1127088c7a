import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { encodePieceHeader } from '../../broker/replication/java-frames.ts'
import { type Clock, realClock } from '../../engine/index.ts'
import { decodeRecords } from '../../message/index.ts'
import { RequestCode } from '../../net/index.ts'
import { type OpenBroker, openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { ByteLog, ScriptedHaPort, ScriptedJavaBroker } from '../support/java-ha.ts'
import { keepLog } from '../support/log.ts'
import { sendEach } from '../support/messages.ts'

/** A log as a master of ours writes it, and RocketMQ's would; files and all. */
async function writtenLog(t: Test, bodies: readonly string[]): Promise<Buffer> {
  const writer = await openBroker(t)
  await sendEach(writer, bodies)
  const { store } = writer.broker
  const parts: Uint8Array[] = []
  for (let at = 0; at < store.maxPhysicalOffset; at += parts.at(-1)!.length)
    parts.push(await store.readRaw(at, 1 << 20))
  return Buffer.concat(parts)
}

/** What is done after seconds is done after a moment. */
const hasty: Clock = { now: () => Date.now(), after: (ms, run) => realClock.after(ms / 20, run) }

interface Stage {
  java: ScriptedJavaBroker
  ha: ScriptedHaPort
  log: ReturnType<typeof keepLog>
  /** Starts the slave, again if need be. */
  start(): Promise<OpenBroker>
}

async function stage(t: Test, bytes: Uint8Array, minOffset = 0, options: Partial<BrokerOptions> = {}): Promise<Stage> {
  const master = new ByteLog(bytes, minOffset)
  const java = await new ScriptedJavaBroker(master).start(t)
  const ha = await new ScriptedHaPort(master).start(t)
  const log = keepLog()
  const storePathRootDir = temporaryDirectory(t)
  const start = async () => {
    const slave = await openBroker(
      t,
      { brokerRole: 'SLAVE', brokerId: 1, storePathRootDir, slaveReadEnable: true, log, ...options },
      { clock: hasty }
    )
    slave.broker.nameServers.masterAddress = java.address
    slave.broker.nameServers.masterHaAddress = ha.address
    return slave
  }
  return { java, ha, log, start }
}

const endOf = ({ broker }: OpenBroker): number => broker.store.maxPhysicalOffset
const follows = ({ java }: Stage, slave: OpenBroker) =>
  until('the slave has caught up', () => endOf(slave) === java.log.maxOffset)
const refusal = (log: Stage['log'], reason: RegExp) =>
  until(`it is told why: ${reason}`, () => log.lines.some(({ details }) => reason.test(String(details.reason))))

const BODIES = Array.from({ length: 400 }, (_, i) => `${i} ${'x'.repeat(i * 4)}`)
/** More than one file. */
const MANY = Array.from({ length: 60 }, (_, i) => `${i} ${'y'.repeat(100_000)}`)

t.test('a slave follows from the first file on, through interruptions, wherever pieces end', async t => {
  const bytes = await writtenLog(t, MANY)
  const half = Math.floor(bytes.length / 2)
  const it = await stage(t, bytes.subarray(0, half))
  it.ha.pieceBytes = 10_007
  let slave = await it.start()
  await follows(it, slave)
  it.ha.drop()
  await until('it is gone', () => it.ha.connections === 0)
  it.java.log.append(bytes.subarray(half, half + 1_000_000))
  await follows(it, slave)
  await slave.broker.close()
  it.java.log.append(bytes.subarray(half + 1_000_000))
  slave = await it.start()
  await follows(it, slave)
  await until('all can be read', () => slave.broker.store.maxQueueOffset('orders', 0) === MANY.length)
  const parts: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += parts.at(-1)!.length)
    parts.push(await slave.broker.store.readRaw(at, 1 << 20))
  t.ok(Buffer.concat(parts).equals(bytes))
  t.same(slave.broker.store.damaged, [])
})

t.test('a slave of a master that has deleted its first files begins with what is left', async t => {
  const bytes = await writtenLog(t, MANY)
  const fileSize = 4 * 1024 * 1024
  const it = await stage(t, bytes.subarray(fileSize), fileSize)
  const slave = await it.start()
  await follows(it, slave)
  t.equal(slave.broker.store.minPhysicalOffset, fileSize)
})

t.test("the master's topics, groups, offsets and delay progress follow", async t => {
  const it = await stage(t, await writtenLog(t, ['x']))
  const { java } = it
  java.bodies.set(RequestCode.GET_ALL_TOPIC_CONFIG, {
    topicConfigTable: { orders: { topicName: 'orders', perm: 6, readQueueNums: 3, writeQueueNums: 3 } }
  })
  java.bodies.set(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, {
    subscriptionGroupTable: { CG: { groupName: 'CG', retryMaxTimes: 5 } }
  })
  java.bodies.set(RequestCode.GET_ALL_CONSUMER_OFFSET, { offsetTable: { 'orders@CG': { 0: 1, 2: 77 } } })
  const slave = await it.start()
  const { topics, groups, offsets } = slave.broker
  await until('offsets are there', () => offsets.get('CG', 'orders', 2) === 77)
  t.match(topics.get('orders'), { readQueueNums: 3 })
  t.match(groups.find('CG'), { retryMaxTimes: 5 })
  java.bodies.set(RequestCode.GET_ALL_CONSUMER_OFFSET, { offsetTable: { 'orders@CG': { 0: 1, 2: 78 } } })
  await until('they follow', () => offsets.get('CG', 'orders', 2) === 78)
})

t.test('a log that is not the beginning of the master’s is refused, and left as it is', async t => {
  const bytes = await writtenLog(t, BODIES)
  const ends = [...decodeRecords(bytes)].map(({ physicalOffset, sizeBytes }) => physicalOffset + sizeBytes)
  const it = await stage(t, bytes.subarray(0, ends[200]))
  const slave = await it.start()
  await follows(it, slave)

  t.comment('the master comes back with less')
  it.java.log.bytes = Buffer.from(bytes.subarray(0, ends[150]))
  it.ha.drop()
  await refusal(it.log, /not the beginning of its master's: it ends at \d+, that of .* goes from 0 to/)
  t.equal(endOf(slave), ends[200])

  t.comment('and then writes something else')
  const other = Buffer.from(bytes.subarray(0, ends[300]))
  other[ends[200]! - 3]! ^= 1
  it.java.log.bytes = other
  await refusal(it.log, /does not have what is here/)
  t.equal(endOf(slave), ends[200])
  t.equal(it.ha.connections, 0)

  t.comment('until it is the right one again')
  it.java.log.bytes = Buffer.from(bytes)
  await follows(it, slave)
})

t.test('part of a message that another master sent is noticed', async t => {
  const bytes = await writtenLog(t, BODIES)
  const ends = [...decodeRecords(bytes)].map(({ physicalOffset, sizeBytes }) => physicalOffset + sizeBytes)
  const it = await stage(t, bytes.subarray(0, ends[200]! + 90))
  const slave = await it.start()
  await follows(it, slave)
  const other = Buffer.from(bytes)
  other[ends[200]! + 80]! ^= 1
  it.java.log.bytes = other
  it.ha.drop()
  await refusal(it.log, new RegExp(`at offset ${ends[200]},`))
  t.equal(endOf(slave), ends[200]! + 90)
})

t.test('files of another size are refused', async t => {
  const it = await stage(t, await writtenLog(t, ['x']))
  it.java.mappedFileSizeCommitLog = 65_536
  const slave = await it.start()
  await refusal(it.log, /mappedFileSizeCommitLog is 65536 at/)
  t.equal(endOf(slave), 0)
})

const hostile: Record<string, (log: ByteLog) => Uint8Array[]> = {
  'an offset that does not follow': ({ maxOffset }) => [encodePieceHeader(maxOffset + 1, 10), Buffer.alloc(10)],
  'a huge offset': () => [encodePieceHeader(Number.MAX_SAFE_INTEGER, 0)],
  'a negative offset': () => [encodePieceHeader(-1, 10), Buffer.alloc(10)],
  'a negative size': ({ maxOffset }) => [encodePieceHeader(maxOffset, -5), Buffer.alloc(100)],
  garbage: () => [Buffer.alloc(100_000, 0xd7)]
}
t.test('what cannot be ends the connection, and nothing of it is kept', async t => {
  const it = await stage(t, await writtenLog(t, ['x', 'y']))
  const slave = await it.start()
  await follows(it, slave)
  for (const [what, script] of Object.entries(hostile)) {
    const { length } = it.ha.reports
    it.ha.script = script(it.java.log)
    it.ha.drop()
    await until(`it comes again after ${what}`, () => it.ha.reports.length >= length + 2)
    t.equal(endOf(slave), it.java.log.maxOffset, what)
  }
  it.ha.script = null
  it.ha.drop()
  it.java.log.append(it.java.log.recordAt(0)!)
  await follows(it, slave)
})

t.test('half a piece is waited for; a master that is silent is left', async t => {
  const bytes = await writtenLog(t, ['x', 'y'])
  const size = bytes.readInt32BE(0)
  const it = await stage(t, bytes, 0, { haHousekeepingIntervalMs: 100 })
  it.ha.script = [encodePieceHeader(size, bytes.length - size), bytes.subarray(size, size + 20)]
  const slave = await it.start()
  await until('what came is there', () => endOf(slave) === size + 20)
  t.equal(slave.broker.store.maxQueueOffset('orders', 0), 1, 'it is no message yet')
  await until('it comes again', () => it.ha.reports.filter(offset => offset === size + 20).length >= 2)
  it.ha.script = null
  it.ha.drop()
  await follows(it, slave)
  await until('it is one now', () => slave.broker.store.maxQueueOffset('orders', 0) === 2)
})
