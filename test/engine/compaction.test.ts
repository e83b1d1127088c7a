import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type MessageStore, messageOf, openStore, PutStatus } from '../../engine/index.ts'
import { decodeRecord } from '../../message/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { ManualClock } from '../support/manual-clock.ts'

const options = {
  mappedFileSizeCommitLogBytes: 16_384,
  mappedFileSizeConsumeQueueBytes: 20 * 50,
  maxHashSlotNum: 100,
  maxIndexNum: 2000,
  // Twenty units in a file, and five times the bytes.
  compactionCqMappedFileSizeBytes: 46 * 20,
  compactionMappedFileSizeBytes: 46 * 20 * 5
}
const TOPIC = 'prices'

async function open(t: Test, dir: string): Promise<MessageStore> {
  const store = await openStore(dir, options, { compactedTopics: () => [TOPIC] })
  t.teardown(() => store.close())
  return store
}

async function put(store: MessageStore, key: string | null, value: string): Promise<number> {
  const properties = { UNIQ_KEY: `U${value}` }
  const keys = key === null ? [] : [key]
  const bornTimestamp = 1_700_000_000_000
  const message = messageOf({ topic: TOPIC, body: value, properties, keys, tag: 'T', bornTimestamp })
  const { status, queueOffset } = await store.putMessage(message)
  if (status !== PutStatus.OK) throw new Error(`not stored: ${status}`)
  return queueOffset
}

/** [queue offset, key, value] of all messages. */
async function readAll(store: MessageStore): Promise<[number, string | undefined, string][]> {
  const found: [number, string | undefined, string][] = []
  let offset = store.minQueueOffset(TOPIC, 0)
  while (offset < store.maxQueueOffset(TOPIC, 0)) {
    const result = await store.getMessages(TOPIC, 0, offset, 32)
    for (const { bytes, start, end } of result.slices) {
      const { queueOffset, properties, body } = decodeRecord(bytes.subarray(start, end))
      found.push([queueOffset, properties.get('KEYS'), Buffer.from(body).toString()])
    }
    if (result.nextBeginOffset <= offset) throw new Error(`a read at ${offset} goes on at ${result.nextBeginOffset}`)
    offset = result.nextBeginOffset
  }
  return found
}

/** The newest value of each key. */
const newestOf = (messages: readonly [number, string | undefined, string][]) =>
  new Map(messages.map(([offset, key, value]) => [key, [offset, value]]))

/** Puts so many messages over few keys; every key once more often than others. */
async function fill(store: MessageStore, count: number, from: number, keys = 7): Promise<void> {
  for (let i = from; i < from + count; i++) await put(store, `key${i % keys}`, `value ${i}`)
}

t.test('what is compacted has the newest message of each key, at its offset, and all of the tail', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir)
  await put(store, 'early', 'kept for ever')
  await fill(store, 150, 0)
  const before = await readAll(store)
  t.equal(before.length, 151)
  await store.compact()
  const after = await readAll(store)
  t.ok(after.length < 40, `${after.length} messages are left`)
  t.same(newestOf(after), newestOf(before))
  t.same(
    after,
    before.filter(each => after.some(([offset]) => offset === each[0]))
  )
  t.same(after[0], [0, 'early', 'kept for ever'])

  t.comment('after a restart, more messages, and another compaction')
  await store.close()
  store = await open(t, dir)
  t.same(await readAll(store), after)
  await fill(store, 100, 150)
  const more = await readAll(store)
  t.equal(more.length, after.length + 100)
  await store.compact()
  const last = await readAll(store)
  t.ok(last.length < 40)
  t.same(newestOf(last), newestOf(more))
  t.same(last[0], [0, 'early', 'kept for ever'])
})

t.test('messages outlive their CommitLog files', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir)
  await put(store, 'early', 'kept for ever')
  await fill(store, 300, 0)
  const before = await readAll(store)
  await store.compact()
  t.ok((await store.deleteExpiredFiles({ force: true, maxFiles: 2 })) > 0)
  t.ok(store.minPhysicalOffset > 0)
  for (const _ of ['now', 'after a restart']) {
    const after = await readAll(store)
    t.same(newestOf(after), newestOf(before))
    t.equal(store.minQueueOffset(TOPIC, 0), 0)
    t.match(await store.getMessages(TOPIC, 0, 0, 1), { status: 'FOUND', minOffset: 0, maxOffset: 301 })
    await store.close()
    store = await open(t, dir)
  }
})

t.test('offsets by time begin with the oldest message that is kept', async t => {
  const clock = new ManualClock()
  const seams = { clock, compactedTopics: () => [TOPIC] }
  const store = await openStore(temporaryDirectory(t), options, seams)
  t.teardown(() => store.close())
  const times: number[] = []
  for (let i = 0; i < 200; i++) {
    clock.advance(10)
    times.push(clock.now())
    await put(store, i === 0 ? 'early' : `key${i % 7}`, `value ${i}`)
  }
  await store.compact()
  t.ok((await store.deleteExpiredFiles({ force: true, maxFiles: 1 })) > 0)
  const kept = (await readAll(store)).map(([offset]) => offset)
  t.ok(kept.length < 60 && kept[0] === 0)
  for (const [offset, time] of times.entries()) {
    const next = kept.find(each => each >= offset)
    t.equal(await store.offsetByTime(TOPIC, 0, time, 'LOWER'), next, `LOWER ${offset}`)
    if (kept.includes(offset)) t.equal(await store.offsetByTime(TOPIC, 0, time, 'UPPER'), offset, `UPPER ${offset}`)
  }
  t.equal(await store.offsetByTime(TOPIC, 0, 0, 'LOWER'), 0)
  t.equal(await store.offsetByTime(TOPIC, 0, clock.now() + 1, 'UPPER'), 199)
  t.equal(await store.offsetByTime(TOPIC, 0, clock.now() + 1, 'LOWER'), 200)
})

t.test('a message without a key stays as long as the CommitLog has it', async t => {
  const store = await open(t, temporaryDirectory(t))
  await put(store, null, 'no key')
  await put(store, 'key', 'a key')
  t.equal((await readAll(store)).length, 2)
})

t.test('a kill at any time loses no key', async t => {
  const dir = temporaryDirectory(t)
  const store = await open(t, dir)
  await fill(store, 130, 0)
  const before = await readAll(store)
  await store.compact()
  await fill(store, 60, 130)
  const whole = await readAll(store)
  const killed = join(temporaryDirectory(t), 'killed')
  cpSync(dir, killed, { recursive: true })
  t.ok(existsSync(join(killed, 'abort')))
  const again = await open(t, killed)
  t.same(await readAll(again), whole)
  await again.compact()
  t.same(newestOf(await readAll(again)), newestOf(whole))
  t.same(newestOf(before).size, 7)
})

t.test('files that were lost are made again from the CommitLog', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir)
  await fill(store, 100, 0)
  const before = await readAll(store)
  await store.close()
  for (const lost of ['compaction', join('compaction', 'compactionCq')]) {
    rmSync(join(dir, lost), { recursive: true })
    store = await open(t, dir)
    t.same(await readAll(store), before, `without ${lost}`)
    await store.close()
  }
})

t.test('a replacement that was interrupted is finished', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir)
  await fill(store, 150, 0)
  await store.flush()
  await store.close()
  const before = join(temporaryDirectory(t), 'before')
  cpSync(dir, before, { recursive: true })
  store = await open(t, dir)
  await store.compact()
  const after = await readAll(store)
  await store.close()

  // As it was when all was durable but nothing moved: the files made beside the old ones, and the plan.
  const queue = join(before, 'compaction', 'compactionLog', TOPIC, '0')
  const units = join(before, 'compaction', 'compactionCq', TOPIC, '0')
  const made = readdirSync(join(dir, 'compaction', 'compactionLog', TOPIC, '0')).filter(name => /^\d+$/.test(name))
  const old = readdirSync(queue).filter(name => /^\d+$/.test(name))
  const last = old.at(-1)!
  const moved = made.filter(name => name !== last)
  for (const [kind, to] of [
    ['compactionLog', queue],
    ['compactionCq', units]
  ] as const)
    for (const name of moved)
      cpSync(join(dir, 'compaction', kind, TOPIC, '0', name), join(to, 'compacting', name), { recursive: true })
  const { writeFileSync } = await import('node:fs')
  const plan = { made: moved, replaced: old.slice(0, -1) }
  writeFileSync(join(queue, 'compacting', 'plan.json'), JSON.stringify(plan))
  store = await open(t, before)
  t.same(await readAll(store), after)
  t.notOk(existsSync(join(queue, 'compacting')))
})
