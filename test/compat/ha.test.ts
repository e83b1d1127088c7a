import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { encodeReport, PieceReader, ReportReader } from '../../broker/replication/java-frames.ts'
import { decodeRecords, readI64, viewOf } from '../../message/index.ts'
import { RequestCode } from '../../net/index.ts'
import { openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { ByteLog, haRecordings, ScriptedHaPort, ScriptedJavaBroker } from '../support/java-ha.ts'

const [whole, tail] = haRecordings() as [ReturnType<typeof haRecordings>[0], ReturnType<typeof haRecordings>[0]]

/** The log that a master sent, cut into chunks of so many bytes. */
function logIn(chunks: readonly Buffer[], chunkBytes: number): { from: number; bytes: Buffer; heartbeats: number } {
  const reader = new PieceReader()
  const parts: Buffer[] = []
  let from = -1
  let next = -1
  let heartbeats = 0
  const all = Buffer.concat(chunks)
  for (let pos = 0; pos < all.length; pos += chunkBytes)
    reader.push(all.subarray(pos, pos + chunkBytes), (offset, bytes) => {
      if (from < 0) from = next = offset
      if (offset !== next) throw new Error(`offset ${offset} follows ${next}`)
      if (bytes.length === 0) heartbeats++
      parts.push(Buffer.from(bytes))
      next += bytes.length
    })
  return { from, bytes: Buffer.concat(parts), heartbeats }
}

t.test('what a RocketMQ master sends is read, however TCP cuts it', async t => {
  const { from, bytes, heartbeats } = logIn(whole.pieces, 65_536)
  t.equal(from, 0)
  t.equal(heartbeats, 2)
  const records = [...decodeRecords(bytes)]
  t.ok(records.length > 300)
  let end = 0
  for (const { physicalOffset, sizeBytes } of records) {
    t.equal(physicalOffset, end)
    end += sizeBytes
  }
  t.equal(end, bytes.length)
  for (const chunkBytes of [1, 7, 11, 12, 13, 32_768 + 12, 40_000])
    t.ok(logIn(whole.pieces, chunkBytes).bytes.equals(bytes))

  const later = logIn(tail.pieces, 1)
  t.equal(later.from, 130_000)
  t.ok(later.bytes.equals(bytes.subarray(130_000)))
})

t.test('what a slave reports is written as RocketMQ reads it, and read', async t => {
  const all = Buffer.concat(whole.reports)
  const offsets: number[] = []
  for (let pos = 0; pos < all.length; pos += 8) offsets.push(readI64(viewOf(all), pos))
  t.ok(Buffer.concat(offsets.map(encodeReport)).equals(all))
  const reader = new ReportReader()
  const seen = [...all].map(byte => reader.push(Uint8Array.of(byte))).filter(offset => offset !== null)
  t.same(seen, offsets)
  t.equal(new ReportReader().push(all), offsets.at(-1), 'the newest counts')
})

t.test('a slave of ours takes over what a RocketMQ master sent, byte by byte', async t => {
  const log = new ByteLog(logIn(whole.pieces, 65_536).bytes)
  const java = await new ScriptedJavaBroker(log).start(t)
  const ha = await new ScriptedHaPort(log).start(t)
  const dir = temporaryDirectory(t)
  const slave = await openBroker(t, { brokerRole: 'SLAVE', brokerId: 1, storePathRootDir: dir, slaveReadEnable: true })
  slave.broker.nameServers.masterAddress = java.address
  slave.broker.nameServers.masterHaAddress = ha.address
  await until('all is there', () => slave.broker.store.maxPhysicalOffset === log.maxOffset)
  await until('the master knows', () => ha.reports.at(-1) === log.maxOffset)
  t.ok(ha.reports[0]! > 0, 'the first message was fetched by its offset: a report of 0 asks for the last file alone')
  await slave.broker.store.dispatched()
  const records = [...decodeRecords(log.bytes)]
  const last = records.findLast(({ topic }) => topic === 'FrameTopic')!
  t.equal(slave.broker.store.maxQueueOffset('FrameTopic', last.queueId), last.queueOffset + 1)
  const status = JSON.parse(Buffer.from((await slave.ask(RequestCode.GET_BROKER_HA_STATUS)).body!).toString())
  t.match(status, {
    master: false,
    masterCommitLogMaxOffset: log.maxOffset,
    haClientRuntimeInfo: { masterAddr: ha.address, maxOffset: log.maxOffset }
  })
  await slave.broker.close()
  const file = readFileSync(join(dir, 'commitlog', '0'.repeat(20)))
  t.ok(file.subarray(0, log.maxOffset).equals(log.bytes))
})
