import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { wholeRecords } from '../../broker/replication/java-frames.ts'
import { decodeRecords } from '../../message/index.ts'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { ByteLog, ScriptedJavaBroker, ScriptedSlave } from '../support/java-ha.ts'
import { keepLog } from '../support/log.ts'
import { send, sendEach } from '../support/messages.ts'
import { openNameServer, type Peer } from '../support/name-server.ts'

interface Stage {
  master: OpenBroker
  /** What RocketMQ's slave answers at its own port. */
  java: ScriptedJavaBroker
  log: ReturnType<typeof keepLog>
  nameServer: Peer
  /** One more connection to the HA port. */
  connect(log?: ByteLog, acknowledges?: boolean): ScriptedSlave
}

/** A master of ours, and a slave of RocketMQ's that is registered, but not connected. */
async function stage(t: Test, options: Partial<BrokerOptions> = {}): Promise<Stage> {
  const { server, client } = await openNameServer(t)
  const log = keepLog()
  const master = await openBroker(t, { namesrvAddr: server.address, log, ...options })
  const java = await new ScriptedJavaBroker(new ByteLog()).start(t)
  await client.register({ brokerId: '1', brokerAddr: java.address })
  const connect = (bytes = java.log, acknowledges = true) =>
    new ScriptedSlave(t, master.broker.haAddress, bytes, acknowledges)
  return { master, java, log, nameServer: client, connect }
}

const endOf = ({ master }: Stage): number => master.broker.store.maxPhysicalOffset
const bytesOf = async ({ master }: Stage): Promise<Buffer> =>
  Buffer.from(await master.broker.store.readRaw(0, endOf({ master } as Stage)))

async function haStatus({ master }: Stage): Promise<{ haConnectionInfo: object[]; inSyncSlaveNums: number }> {
  return JSON.parse(Buffer.from((await master.ask(RequestCode.GET_BROKER_HA_STATUS)).body!).toString())
}

const BODIES = Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat(i * 3)}`)

t.test('a new slave of RocketMQ gets the whole log, and what is added', async t => {
  const it = await stage(t)
  await sendEach(it.master, BODIES)
  const slave = it.connect()
  slave.report(0)
  await until('it has all', () => slave.log.maxOffset === endOf(it))
  await sendEach(it.master, ['more'])
  await until('it has that too', () => slave.log.maxOffset === endOf(it))
  t.ok(slave.log.bytes.equals(await bytesOf(it)))
  await until('haStatus shows it', async () => (await haStatus(it)).inSyncSlaveNums === 1)
  t.match(await haStatus(it), { master: true, haConnectionInfo: [{ addr: it.java.address, diff: 0, inSync: true }] })
  slave.socket.destroy()
  await until('it is gone', async () => (await haStatus(it)).haConnectionInfo.length === 0)
})

t.test('what it is sent ends with whole messages, but for one that is larger than a piece', async t => {
  const it = await stage(t, { haTransferBatchSizeBytes: 4096 })
  await sendEach(it.master, [...BODIES, 'y'.repeat(100_000), 'last'])
  const slave = it.connect()
  slave.report(0)
  await until('it has all', () => slave.log.maxOffset === endOf(it))
  const ends = new Set(
    [...decodeRecords(slave.log.bytes)].map(({ physicalOffset, sizeBytes }) => physicalOffset + sizeBytes)
  )
  let end = 0
  let within = 0
  for (const bytes of slave.pieces) {
    t.ok(bytes <= 4096)
    end += bytes
    if (!ends.has(end)) within++
  }
  t.equal(within, Math.floor(100_000 / 4096), 'only the large one is sent in parts')
})

t.test('a sync master acknowledges what a slave of RocketMQ holds', async t => {
  const it = await stage(t, { brokerRole: 'SYNC_MASTER', inSyncReplicas: 2, store: { slaveTimeoutMs: 300 } })
  const message = { topic: 'orders', body: 'x' }
  t.equal((await send(it.master, message)).code, ResponseCode.FLUSH_SLAVE_TIMEOUT)
  const slave = it.connect(it.java.log, false)
  slave.report(0)
  await until('it has all', () => slave.log.maxOffset === endOf(it))
  t.equal((await send(it.master, message)).code, ResponseCode.FLUSH_SLAVE_TIMEOUT, 'it has it, but does not say so')
  const before = endOf(it)
  const answered = send(it.master, message)
  await until('it is stored', () => endOf(it) > before)
  await until('it has it', () => slave.log.maxOffset === endOf(it))
  slave.report()
  t.equal((await answered).code, ResponseCode.SUCCESS)
})

t.test('a stranger is not served, and counts for nothing', async t => {
  const it = await stage(t, { brokerRole: 'SYNC_MASTER', inSyncReplicas: 2, store: { slaveTimeoutMs: 200 } })
  await it.nameServer.ask(RequestCode.UNREGISTER_BROKER, {
    brokerName: 'broker-a',
    brokerAddr: it.java.address,
    clusterName: 'DefaultCluster',
    brokerId: '1'
  })
  const stranger = it.connect(new ByteLog())
  stranger.report(0)
  stranger.report(999_999_999)
  await stranger.isClosed()
  t.equal((await send(it.master, { topic: 'orders', body: 'x' })).code, ResponseCode.FLUSH_SLAVE_TIMEOUT)
  t.match(it.log.at('warn').at(-1), { details: { reason: /NameServers list no slave/ } })
})

t.test('an offset beyond what a slave can have is refused, and counts for nothing', async t => {
  const it = await stage(t, { brokerRole: 'SYNC_MASTER', inSyncReplicas: 2, store: { slaveTimeoutMs: 200 } })
  const message = { topic: 'orders', body: 'x' }
  await send(it.master, message)
  for (const offset of [endOf(it) + 1, 999_999_999_999, Number.MAX_SAFE_INTEGER, -1]) {
    const liar = it.connect(new ByteLog())
    liar.report(offset)
    await liar.isClosed()
    t.match(it.log.at('error').at(-1), { details: { reason: new RegExp(`it ends at ${offset},`) } })
    t.equal((await haStatus(it)).haConnectionInfo.length, 0)
  }
  t.equal((await send(it.master, message)).code, ResponseCode.FLUSH_SLAVE_TIMEOUT)

  const liar = it.connect(new ByteLog(), false)
  liar.report(0)
  await until('it is served', () => liar.log.maxOffset === endOf(it))
  liar.report(liar.log.maxOffset + 100_000)
  await liar.isClosed()
  t.match(it.log.at('warn').at(-1), { details: { reason: /it reports offset \d+, but was sent the log up to/ } })
  t.equal((await send(it.master, message)).code, ResponseCode.FLUSH_SLAVE_TIMEOUT)
})

t.test('a slave with the beginning of the log goes on where it ends; one with another log is refused', async t => {
  const it = await stage(t)
  const other = await openBroker(t)
  await sendEach(other, BODIES.slice(0, 50))
  await sendEach(it.master, BODIES)
  const all = await bytesOf(it)
  const ends = [...decodeRecords(all)].map(({ physicalOffset, sizeBytes }) => physicalOffset + sizeBytes)
  for (const end of [ends[0]!, ends[120]!, ends.at(-1)!]) {
    it.java.log.bytes = Buffer.from(all.subarray(0, end))
    const slave = it.connect()
    slave.report()
    await until('it is served', async () => (await haStatus(it)).haConnectionInfo.length === 1)
    await until('it has all', () => slave.log.maxOffset === endOf(it))
    t.ok(slave.log.bytes.equals(all))
    slave.socket.destroy()
    await until('it is gone', async () => (await haStatus(it)).haConnectionInfo.length === 0)
  }

  const refused = async (bytes: Uint8Array, reason: RegExp) => {
    it.java.log.bytes = Buffer.from(bytes)
    const slave = it.connect()
    slave.report()
    await slave.isClosed()
    t.match(it.log.lines.at(-1)!.details.reason, reason)
    t.ok(slave.log.bytes.equals(bytes), 'nothing was sent')
  }
  await refused(all.subarray(0, ends[120]! - 7), /within a message: once it is started again/)
  const otherBytes = await other.broker.store.readRaw(0, other.broker.store.maxPhysicalOffset)
  const shared = ends.findLast(end => end <= otherBytes.length)!
  await refused(otherBytes.slice(0, shared), /slave's log is not the beginning of its master's/)
  const flipped = Buffer.from(all.subarray(0, ends[120]))
  flipped[ends[120]! - 3]! ^= 1
  await refused(flipped, /does not have what is here/)
  it.java.mappedFileSizeCommitLog = 1024
  await refused(Buffer.alloc(0), /mappedFileSizeCommitLog is 1024 at/)
})

t.test('one slave has one place', async t => {
  const it = await stage(t)
  const slave = it.connect()
  slave.report(0)
  await until('it is served', async () => (await haStatus(it)).haConnectionInfo.length === 1)
  const second = it.connect(new ByteLog())
  second.report(0)
  await second.isClosed()
  t.match(it.log.at('warn').at(-1), { details: { reason: /connected already/ } })
  t.notOk(slave.closed)
})

t.test('halves, garbage and silence hurt nobody', async t => {
  const it = await stage(t, { haHousekeepingIntervalMs: 300, haSendHeartbeatIntervalMs: 50 })
  await sendEach(it.master, ['x'])
  const silent = it.connect(new ByteLog())
  const half = it.connect(new ByteLog())
  half.socket.write(Buffer.alloc(5))
  const garbage = it.connect(new ByteLog())
  garbage.socket.write(Buffer.alloc(1_000_000, 0xd7))
  await Promise.all([silent.isClosed(), half.isClosed(), garbage.isClosed()])

  const slave = it.connect()
  for (const byte of Buffer.alloc(8)) slave.socket.write(Uint8Array.of(byte))
  await until('it is told that the master lives', () => slave.heartbeats >= 3)
  t.ok(slave.log.bytes.equals(await bytesOf(it)))
  await slave.isClosed()
  t.pass('and let go of when it is silent itself')
})

t.test('a slave that does not read keeps nobody else waiting', async t => {
  const it = await stage(t)
  const slow = it.connect()
  slow.socket.pause()
  slow.report(0)
  await sendEach(
    it.master,
    Array.from({ length: 60 }, () => 'z'.repeat(100_000))
  )
  t.equal((await send(it.master, { topic: 'orders', body: 'x' })).code, ResponseCode.SUCCESS)
  slow.socket.resume()
  await until('it catches up', () => slow.log.maxOffset === endOf(it))
})

t.test('a port that was asked for and is taken stops the start; the usual one is told', async t => {
  const { server } = await openNameServer(t)
  const taken = await openBroker(t, { namesrvAddr: server.address })
  const haListenPort = Number(taken.broker.haAddress.split(':').at(-1))
  const options = { namesrvAddr: server.address, brokerName: 'broker-b', storePathRootDir: temporaryDirectory(t) }
  await t.rejects(openBroker(t, { ...options, haListenPort }), { code: 'ADDRESS_IN_USE' })
})

t.test('how far whole records go', async t => {
  const records = Buffer.alloc(100)
  records.writeInt32BE(40, 0)
  records.writeInt32BE(30, 40)
  records.writeInt32BE(30, 70)
  t.equal(wholeRecords(records), 100)
  t.equal(wholeRecords(records.subarray(0, 99)), 70)
  t.equal(wholeRecords(records.subarray(0, 41)), 40)
  t.equal(wholeRecords(records.subarray(0, 39)), 40, 'of a longer one')
  t.equal(wholeRecords(Buffer.alloc(50)), 50, 'of what is none')
})
