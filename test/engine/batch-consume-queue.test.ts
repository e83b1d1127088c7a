import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  type MessageStore,
  messageOf,
  openStore,
  type PutMessage,
  PutStatus,
  type QueueType
} from '../../engine/index.ts'
import { decodeRecord, encodeBatch, encodeProperties, SysFlag } from '../../message/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { goldenStore } from '../support/golden-stores.ts'

const golden = goldenStore('bcq')
const queueTypeOf = (topic: string): QueueType | undefined => (topic.startsWith('Batch') ? 'BatchCQ' : undefined)
const goldenSeams = { queueTypeOf: (topic: string): QueueType => (topic === 'GoldenBcq' ? 'BatchCQ' : 'SimpleCQ') }
const goldenOptions = { ...golden.options, mappedFileSizeBatchConsumeQueueBytes: 2300 }
const options = {
  mappedFileSizeCommitLogBytes: 16_384,
  mappedFileSizeConsumeQueueBytes: 1000,
  mappedFileSizeBatchConsumeQueueBytes: 46 * 10,
  maxHashSlotNum: 100,
  maxIndexNum: 400
}

/** [offset of the first message, physical offset, number of messages] of each record of a queue, as pulls give them. */
async function readQueue(store: MessageStore, topic: string, queueId: number, from?: number): Promise<number[][]> {
  const found: number[][] = []
  let offset = from ?? store.minQueueOffset(topic, queueId)
  while (offset < store.maxQueueOffset(topic, queueId)) {
    const result = await store.getMessages(topic, queueId, offset, 32)
    if (result.status !== 'FOUND') throw new Error(`${offset}: ${result.status}`)
    let count = 0
    for (const { bytes, start, end } of result.slices) {
      const record = decodeRecord(bytes.subarray(start, end))
      const messages = Number(record.properties.get('INNER_NUM') ?? 1)
      found.push([record.queueOffset, record.physicalOffset, messages])
      count += messages
    }
    if (count !== result.messageCount) throw new Error(`${count} messages, but ${result.messageCount} counted`)
    offset = result.nextBeginOffset
  }
  return found
}

async function readGolden(t: Test, store: MessageStore): Promise<void> {
  t.same(store.damaged, [])
  for (const { topic, queueId, minOffset, maxOffset, units, offsetByTime } of golden.expected.queues) {
    t.equal(store.minQueueOffset(topic, queueId), minOffset)
    t.equal(store.maxQueueOffset(topic, queueId), maxOffset)
    t.same(
      await readQueue(store, topic, queueId),
      units.map(([base, physicalOffset, , , count]) => [base, physicalOffset, count])
    )
    for (const [time, lower, upper] of offsetByTime) {
      t.equal(await store.offsetByTime(topic, queueId, time, 'LOWER'), lower, `LOWER ${time}`)
      // RocketMQ's search for UPPER answers 0 for times between two records.
      if (upper > 0) t.equal(await store.offsetByTime(topic, queueId, time, 'UPPER'), upper, `UPPER ${time}`)
    }
  }
}

const message = (topic: string, body: Uint8Array, changes: Partial<PutMessage> = {}): PutMessage => ({
  ...messageOf({ topic, body, bornTimestamp: 1_700_000_000_000 }),
  ...changes
})

/** Puts a batch of so many messages as one record. */
function putBatch(store: MessageStore, topic: string, count: number, innerNum: unknown = count) {
  const bodies = Array.from({ length: count }, (_, i) => ({ flag: 0, body: Buffer.from(`body ${i}`), properties: '' }))
  const properties = Buffer.from(encodeProperties({ UNIQ_KEY: 'U', INNER_NUM: String(innerNum) }))
  return store.putMessage(
    message(topic, encodeBatch(bodies), {
      sysFlag: SysFlag.INNER_BATCH | SysFlag.NEED_UNWRAP,
      properties,
      propertiesEnd: properties.length
    })
  )
}

async function open(t: Test, dir: string): Promise<MessageStore> {
  const store = await openStore(dir, options, { queueTypeOf })
  t.teardown(() => store.close())
  return store
}

t.test('batch ConsumeQueues of RocketMQ are read, and stay as they are', async t => {
  const dir = golden.copy(t)
  for (const _ of [1, 2]) {
    const store = await openStore(dir, goldenOptions)
    await readGolden(t, store)
    await store.close()
  }
  for (const queueId of [0, 1]) {
    const name = join('batchconsumequeue', 'GoldenBcq', String(queueId), '00000000000000000000')
    t.ok(readFileSync(join(dir, name)).equals(readFileSync(join(golden.sourceDir, name))))
  }
})

t.test('batch ConsumeQueues that are built again have the bytes of RocketMQ', async t => {
  const dir = golden.copy(t)
  rmSync(join(dir, 'batchconsumequeue'), { recursive: true })
  const store = await openStore(dir, goldenOptions, goldenSeams)
  await readGolden(t, store)
  await store.close()
  for (const queueId of [0, 1]) {
    const name = join('batchconsumequeue', 'GoldenBcq', String(queueId), '00000000000000000000')
    t.ok(readFileSync(join(dir, name)).equals(readFileSync(join(golden.sourceDir, name))))
  }
})

t.test('a batch is one record, and the queue goes on behind all its messages', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir)
  const bases: number[] = []
  for (let i = 0; i < 60; i++) {
    const { status, queueOffset } = await putBatch(store, 'BatchTopic', 1 + (i % 4))
    t.equal(status, PutStatus.OK)
    bases.push(queueOffset)
    if (i % 10 === 9) {
      const single = await store.putMessage(message('BatchTopic', Buffer.from('single')))
      bases.push(single.queueOffset)
    }
  }
  const counts = bases.map((base, i) => (bases[i + 1] ?? store.maxQueueOffset('BatchTopic', 0)) - base)
  t.equal(
    counts.reduce((a, b) => a + b),
    156
  )
  const read = await readQueue(store, 'BatchTopic', 0)
  t.same(
    read.map(([base, , count]) => [base, count]),
    bases.map((base, i) => [base, counts[i]])
  )

  // From the middle of a batch, the batch comes whole.
  t.same((await readQueue(store, 'BatchTopic', 0, 4))[0]![0], 3)
  const record = await store.getMessages('BatchTopic', 0, 3, 1)
  const { bytes, start, end } = record.slices[0]!
  const { properties, sysFlag } = decodeRecord(bytes.subarray(start, end))
  t.equal(properties.get('INNER_BASE'), '3')
  t.equal(sysFlag, SysFlag.INNER_BATCH | SysFlag.NEED_UNWRAP)
  t.equal(record.nextBeginOffset, 6, 'one record, though more messages than were asked for')

  await store.close()
  store = await open(t, dir)
  t.same(await readQueue(store, 'BatchTopic', 0), read)
  await store.close()

  t.comment('without its queue, and without part of it')
  const files = () => readFileSync(join(dir, 'batchconsumequeue', 'BatchTopic', '0', '00000000000000000460'))
  const second = files()
  rmSync(join(dir, 'batchconsumequeue'), { recursive: true })
  store = await open(t, dir)
  t.same(await readQueue(store, 'BatchTopic', 0), read)
  await store.close()
  t.ok(files().equals(second))
  rmSync(join(dir, 'batchconsumequeue', 'BatchTopic', '0', '00000000000000000460'))
  store = await open(t, dir)
  t.same(await readQueue(store, 'BatchTopic', 0), read)
  t.equal((await putBatch(store, 'BatchTopic', 2)).queueOffset, 156)
})

t.test('old files of a batch ConsumeQueue go with their messages', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir)
  for (let i = 0; i < 120; i++) await putBatch(store, 'BatchTopic', 3)
  await store.flush()
  t.ok((await store.deleteExpiredFiles({ force: true, maxFiles: 1 })) === 1)
  const min = store.minQueueOffset('BatchTopic', 0)
  t.ok(min > 0 && min % 3 === 0)
  t.equal((await store.getMessages('BatchTopic', 0, 0, 32)).status, 'OFFSET_TOO_SMALL')
  const read = await readQueue(store, 'BatchTopic', 0)
  t.equal(read.length, 120 - min / 3)
  await store.close()
  store = await open(t, dir)
  t.same(await readQueue(store, 'BatchTopic', 0), read)
  t.equal(store.minQueueOffset('BatchTopic', 0), min)
})

t.test('an inner batch is refused where its number is wrong, and in other topics', async t => {
  const store = await open(t, temporaryDirectory(t))
  t.equal((await putBatch(store, 'Plain', 2)).status, PutStatus.MESSAGE_ILLEGAL)
  for (const number of ['', '0', '-1', 'x', '32768', '1.5'])
    t.equal((await putBatch(store, 'BatchTopic', 2, number)).status, PutStatus.MESSAGE_ILLEGAL, number)
  t.equal((await putBatch(store, 'BatchTopic', 2)).queueOffset, 0)
})
