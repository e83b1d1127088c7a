import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type MessageStore, openStore } from '../../engine/index.ts'
import { decodeRecord, type MessageRecord, offsetMessageId, tagsCodeOf } from '../../message/index.ts'
import { type ExpectedMessage, type GoldenStore, goldenStores } from '../support/golden-stores.ts'

/** A record in the form in which RocketMQ's decoding of it was written down. */
function asExpected(record: MessageRecord): ExpectedMessage {
  const body = Buffer.from(record.body)
  const withoutBrackets = (host: string) => host.replace(/^\[(.*)\]/, '$1')
  return {
    magic: (record.magic >>> 0).toString(16),
    topic: record.topic,
    queueId: record.queueId,
    queueOffset: record.queueOffset,
    physicalOffset: record.physicalOffset,
    storeSize: record.sizeBytes,
    properties: Object.fromEntries(record.properties),
    flag: record.flag,
    sysFlag: record.sysFlag,
    bodyCRC: record.bodyCrc,
    bornTimestamp: record.bornTimestamp,
    storeTimestamp: record.storeTimestamp,
    bornHost: withoutBrackets(record.bornHost.text),
    storeHost: withoutBrackets(record.storeHost.text),
    reconsumeTimes: record.reconsumeTimes,
    preparedTransactionOffset: record.preparedTransactionOffset,
    offsetMsgId: offsetMessageId(record.storeHost, record.physicalOffset),
    tagsCode: tagsCodeOf(record.properties.get('TAGS')),
    body: {
      length: body.length,
      ...(body.length <= 300 ? { base64: body.toString('base64') } : {}),
      sha256: createHash('sha256').update(body).digest('hex')
    }
  }
}

/** The recorded fields that `asExpected` gives too. */
function comparable(message: ExpectedMessage): ExpectedMessage {
  const { tags, keys, uniqKey, decompressedBody, innerMessages, ...rest } = message as ExpectedMessage &
    Record<string, unknown>
  return rest as ExpectedMessage
}

async function open(t: Test, golden: GoldenStore, dir: string): Promise<MessageStore> {
  const store = await openStore(dir, golden.options)
  t.teardown(() => store.close())
  return store
}

const QUEUE_FOLDERS = ['consumequeue', 'index']

/** Contents of all files below a folder by path; index files, whose names are times, by their order. */
function filesOf(dir: string, folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  if (!existsSync(join(dir, folder))) return files
  const paths = (readdirSync(join(dir, folder), { recursive: true, withFileTypes: true }) as import('node:fs').Dirent[])
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
  paths.forEach((path, i) => {
    const name = folder === 'index' ? `index ${i}` : path.slice(dir.length)
    files.set(name, readFileSync(path))
  })
  return files
}

/** Everything that was recorded about a store, read back through the engine. */
async function readAll(t: Test, golden: GoldenStore, store: MessageStore): Promise<void> {
  const { expected } = golden
  t.equal(store.minPhysicalOffset, expected.recovery.minPhyOffset)
  t.equal(store.maxPhysicalOffset, expected.recovery.maxPhyOffset)
  t.equal(store.reputOffset, store.maxPhysicalOffset)
  t.same(store.damaged, [])

  for (const message of expected.messages) {
    const record = await store.readByPhysicalOffset(message.physicalOffset)
    if (record === null) t.fail(`no record at ${message.physicalOffset}`)
    else t.same(asExpected(decodeRecord(record)), comparable(message))
  }

  for (const queue of expected.queues.filter(({ type }) => type === 'SimpleCQ')) {
    const { topic, queueId } = queue
    t.equal(store.minQueueOffset(topic, queueId), queue.minOffset)
    t.equal(store.maxQueueOffset(topic, queueId), queue.maxOffset)
    const units = Array.from({ length: queue.maxOffset }, (_, offset) => {
      const unit = store.unitAt(topic, queueId, offset)!
      return [offset, unit.physicalOffset, unit.sizeBytes, unit.tagsCode]
    })
    t.same(
      units,
      queue.units.map(unit => unit.slice(0, 4)),
      `units of ${topic} ${queueId}`
    )
    const found: [number, number][] = []
    for (let offset = 0; offset < queue.maxOffset; ) {
      const result = await store.getMessages(topic, queueId, offset, 32)
      t.equal(result.status, 'FOUND')
      for (const { bytes, start } of result.slices) {
        const record = decodeRecord(bytes, start)
        found.push([record.queueOffset, record.physicalOffset])
      }
      offset = result.nextBeginOffset
    }
    t.same(
      found,
      queue.units.map(unit => unit.slice(0, 2)),
      `messages of ${topic} ${queueId}`
    )
    for (const [time, lower, upper] of queue.offsetByTime) {
      t.equal(await store.offsetByTime(topic, queueId, time, 'LOWER'), lower, `LOWER ${time}`)
      t.equal(await store.offsetByTime(topic, queueId, time, 'UPPER'), upper, `UPPER ${time}`)
    }
  }

  for (const { topic, key, physicalOffsets } of expected.keyQueries) {
    const { records } = await store.queryByKey(topic, key, 32, 0, Number.MAX_SAFE_INTEGER)
    t.same(
      records.map(record => decodeRecord(record).physicalOffset),
      physicalOffsets,
      `messages with key ${key}`
    )
  }
}

for (const golden of goldenStores) {
  t.test(`the store "${golden.name}" of RocketMQ opens, and all that is in it is read`, async t => {
    await readAll(t, golden, await open(t, golden, golden.copy(t)))
  })

  t.test(`the store "${golden.name}" of RocketMQ reads the same after it was closed and opened again`, async t => {
    const dir = golden.copy(t)
    await (await openStore(dir, golden.options)).close()
    t.notOk(existsSync(join(dir, 'abort')))
    await readAll(t, golden, await open(t, golden, dir))
  })

  // The other kinds of queue hold addresses of files that RocketMQ alone writes.
  if (golden.name === 'ext' || golden.name === 'bcq') continue
  t.test(`ConsumeQueues and index of "${golden.name}", built again, have RocketMQ's bytes`, async t => {
    const dir = golden.copy(t)
    for (const folder of QUEUE_FOLDERS) rmSync(join(dir, folder), { recursive: true })
    const store = await openStore(dir, golden.options)
    await readAll(t, golden, store)
    await store.close()
    for (const folder of QUEUE_FOLDERS) {
      const [ours, theirs] = [filesOf(dir, folder), filesOf(golden.sourceDir, folder)]
      t.same([...ours.keys()], [...theirs.keys()])
      for (const [name, bytes] of theirs) t.ok(ours.get(name)?.equals(bytes), `${name} is equal`)
    }
  })
}
