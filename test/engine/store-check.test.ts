import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  checkStore,
  dumpStore,
  type Finding,
  type FindingKind,
  openStore,
  rebuildStore,
  type StoreReport
} from '../../engine/index.ts'
import { decodeRecord, type MessageRecord, SCHEDULE_TOPIC, SysFlag } from '../../message/index.ts'
import { parseBody } from '../../net/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { type ExpectedMessage, goldenStore, goldenStores } from '../support/golden-stores.ts'
import { addTimerFiles } from '../support/golden-timer.ts'
import { below, oneOf, seeded, testSeed } from '../support/seeded.ts'
import { putMessageOf, TINY_STORE } from '../support/store-model.ts'

/** Randomly damaged stores of each kind. */
const FUZZ_RUNS = process.env.SKYLARK_TEST_PROFILE === 'long' ? 1000 : 11

const check = (dir: string): Promise<StoreReport> => checkStore(dir, { parseConfig: parseBody })
const damageOf = ({ findings }: StoreReport): Finding[] => findings.filter(({ isDamage }) => isDamage)

/** Contents of all files of a directory. */
function filesOf(dir: string): Record<string, string> {
  const files: Record<string, string> = {}
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) files[path.slice(dir.length)] = createHash('sha256').update(readFileSync(path)).digest('hex')
  }
  return files
}

/** Changes bytes of a file. */
function change(path: string, pos: number, edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path)
  edit(bytes.subarray(pos))
  writeFileSync(path, bytes)
}
const flip = (path: string, pos: number) => change(path, pos, bytes => bytes.writeUInt8(bytes[0]! ^ 0x10))

async function dumped(dir: string, topic?: string): Promise<MessageRecord[]> {
  const messages: MessageRecord[] = []
  const query = topic === undefined ? {} : { topic }
  await dumpStore(dir, query, {
    onMessage: message => messages.push(message) > 0,
    onDamage: (from, to, text) => {
      throw new Error(`${from} to ${to}: ${text}`)
    }
  })
  return messages
}

for (const golden of goldenStores) {
  // Only one was recorded with its timer files.
  const isRecorded = ({ kind }: Finding) => golden.name === 'delay' || kind !== 'timer'

  t.test(`the store "${golden.name}" of RocketMQ is found whole, and nothing of it is changed`, async t => {
    const dir = golden.copy(t)
    if (golden.name === 'delay') addTimerFiles(dir)
    const before = filesOf(dir)
    const report = await check(dir)
    t.same(damageOf(report).filter(isRecorded), [])
    t.equal(report.minPhysicalOffset, golden.expected.recovery.minPhyOffset)
    t.equal(report.maxPhysicalOffset, golden.expected.recovery.maxPhyOffset)
    t.equal(report.recordCount, golden.expected.messages.length)
    t.equal(
      report.unitCount,
      golden.expected.queues.reduce((sum, { units }) => sum + units.length, 0)
    )
    t.ok(report.indexEntryCount > 0)
    t.equal(report.wasClosed, golden.name !== 'kill')
    t.same(filesOf(dir), before)
  })

  t.test(`the store "${golden.name}" of RocketMQ, built again, gives out the same messages`, async t => {
    const dir = golden.copy(t)
    if (golden.name === 'delay') addTimerFiles(dir)
    const topics = [...new Set(golden.expected.queues.map(({ topic }) => topic))]
    const read = async () => ({
      log: await dumped(dir),
      queues: await Promise.all(topics.map(topic => dumped(dir, topic)))
    })
    const before = await read()
    const { replacedDir } = await rebuildStore(dir, { keep: true })
    t.ok(existsSync(join(replacedDir!, 'index')), 'the old files are kept aside')
    t.same(await read(), before)
    t.same(damageOf(await check(dir)).filter(isRecorded), [])
    const store = await openStore(dir, golden.options)
    for (const { topic, key, physicalOffsets } of golden.expected.keyQueries) {
      const { records } = await store.queryByKey(topic, key, 32, 0, Number.MAX_SAFE_INTEGER)
      t.same(
        records.map(record => decodeRecord(record).physicalOffset),
        physicalOffsets
      )
    }
    await store.close()
    t.same(damageOf(await check(dir)).filter(isRecorded), [], 'and it is whole after it was opened and closed')
  })
}

const simple = goldenStore('simple')
const LOG_FILE_BYTES = 65_536
const INDEX_SLOTS_AT = 40
const indexEntryAt = (entry: number) => INDEX_SLOTS_AT + 4 * 100 + 20 * entry
const logFile = (dir: string, physicalOffset: number) => {
  const start = physicalOffset - (physicalOffset % LOG_FILE_BYTES)
  return join(dir, 'commitlog', String(start).padStart(20, '0'))
}
const messageAt = (index: number): ExpectedMessage => simple.expected.messages[index]!
const queueFile = (dir: string) => join(dir, 'consumequeue', 'GoldenA', '0', '0'.repeat(20))
const secondIndexFile = (dir: string) => join(dir, 'index', readdirSync(join(dir, 'index')).sort()[1]!)

interface Damage {
  name: string
  kind: FindingKind
  /** What the damage is said to be. */
  text: RegExp
  path?: RegExp
  /** The bytes that are named. */
  range?: [from: number, to: number]
  break(dir: string): void
}

const victim = messageAt(40)
const recordRange: [number, number] = [victim.physicalOffset, victim.physicalOffset + victim.storeSize]
const inRecord = (dir: string, pos: number) =>
  flip(logFile(dir, victim.physicalOffset), (victim.physicalOffset % LOG_FILE_BYTES) + pos)

const damages: Damage[] = [
  ...(
    [
      ['size', 1],
      ['magic number', 4],
      ['checksum', 8],
      ['own physical offset', 34],
      ['body', 88]
    ] as const
  ).map(
    ([name, pos]): Damage => ({
      name: `a flipped bit in the ${name} of a record`,
      kind: 'log',
      text: /hold no valid record/,
      range: recordRange,
      break: dir => inRecord(dir, pos)
    })
  ),
  {
    name: 'a flipped bit in the queue offset of a record',
    kind: 'queue',
    text: /the unit of message 15 names \d+, where no record of this queue lies/,
    break: dir => inRecord(dir, 26)
  },
  {
    name: 'a segment of the log that is gone',
    kind: 'log',
    text: /is missing/,
    path: /^commitlog\/0*65536$/,
    break: dir => rmSync(join(dir, 'commitlog', String(LOG_FILE_BYTES).padStart(20, '0')))
  },
  {
    name: 'a segment of the log that is too short',
    kind: 'log',
    text: /it has 5000 bytes, a segment of the log has 65536/,
    break: dir => truncateSync(logFile(dir, 0), 5000)
  },
  {
    name: "a unit's physical offset",
    kind: 'queue',
    text: /the unit of message 3 is wrong: it names physical offset/,
    path: /^consumequeue\/GoldenA\/0\/0{20}$/,
    range: [60, 80],
    break: dir => flip(queueFile(dir), 3 * 20 + 6)
  },
  {
    name: "a unit's size",
    kind: 'queue',
    text: /the unit of message 3 is wrong: it says/,
    range: [60, 80],
    break: dir => flip(queueFile(dir), 3 * 20 + 11)
  },
  {
    name: "a unit's tags code",
    kind: 'queue',
    text: /the unit of message 3 is wrong: it has tags code/,
    range: [60, 80],
    break: dir => flip(queueFile(dir), 3 * 20 + 19)
  },
  {
    name: 'units that were zeroed',
    kind: 'queue',
    text: /3 units, of messages 2 to 4, are missing/,
    range: [40, 100],
    break: dir => change(queueFile(dir), 2 * 20, bytes => bytes.fill(0, 0, 60))
  },
  {
    name: 'the first file of a queue',
    kind: 'queue',
    text: /50 units, of messages 0 to 49, are missing/,
    break: dir => rmSync(queueFile(dir))
  },
  {
    name: 'a whole queue',
    kind: 'queue',
    text: /units, of messages 0 to \d+, are missing/,
    path: /^consumequeue\/GoldenB\/1$/,
    break: dir => rmSync(join(dir, 'consumequeue', 'GoldenB', '1'), { recursive: true })
  },
  {
    name: 'a unit behind the end of the log',
    kind: 'queue',
    text: /names 207683, behind the end of the log at 207683/,
    break: dir =>
      change(join(dir, 'consumequeue', 'GoldenB', '1', '0'.repeat(20)), 49 * 20, bytes => {
        bytes.writeUInt32BE(207_683, 4)
        bytes.writeUInt32BE(100, 8)
      })
  },
  {
    name: 'a queue file of another size',
    kind: 'queue',
    text: /it has 70 bytes, a file of a queue has 1000/,
    break: dir => truncateSync(queueFile(dir), 70)
  },
  {
    name: "the hash of an index entry's key",
    kind: 'index',
    text: /which has no such key/,
    path: /^index\/\d{17}$/,
    range: [indexEntryAt(7), indexEntryAt(8)],
    break: dir => flip(secondIndexFile(dir), indexEntryAt(7) + 3)
  },
  {
    name: 'the physical offset of an index entry',
    kind: 'index',
    text: /no record with a key begins|no such key/,
    break: dir => flip(secondIndexFile(dir), indexEntryAt(7) + 4 + 7)
  },
  {
    name: 'the time of an index entry',
    kind: 'index',
    text: /is off the time/,
    range: [indexEntryAt(7), indexEntryAt(8)],
    break: dir => flip(secondIndexFile(dir), indexEntryAt(7) + 15)
  },
  {
    name: 'the chain of an index entry',
    kind: 'index',
    text: /1 entries, the first of them 7, break their chain/,
    range: [indexEntryAt(7), indexEntryAt(8)],
    break: dir => flip(secondIndexFile(dir), indexEntryAt(7) + 19)
  },
  {
    name: 'a slot of the index',
    kind: 'index',
    text: /1 slots, the first of them 5, do not name their newest entry/,
    range: [INDEX_SLOTS_AT + 20, INDEX_SLOTS_AT + 24],
    break: dir => flip(secondIndexFile(dir), INDEX_SLOTS_AT + 5 * 4 + 3)
  },
  {
    name: 'the header of an index file',
    kind: 'index',
    text: /the header says \d+ used slots/,
    break: dir => flip(secondIndexFile(dir), 35)
  },
  {
    name: 'an index file that is gone',
    kind: 'index',
    text: /keys of the record at \d+ are not in it/,
    break: dir => rmSync(secondIndexFile(dir))
  },
  {
    name: 'a checkpoint that is gone',
    kind: 'checkpoint',
    text: /it is missing/,
    break: dir => rmSync(join(dir, 'checkpoint'))
  },
  {
    name: 'a checkpoint beyond the end of the log',
    kind: 'checkpoint',
    text: /confirmPhyOffset is \d+, the log ends at 207683/,
    break: dir => change(join(dir, 'checkpoint'), 32, bytes => bytes.writeUInt32BE(0x7fff_ffff, 4))
  },
  {
    name: 'a time in the future in the checkpoint',
    kind: 'checkpoint',
    text: /physicMsgTimestamp is \d+, which is in the future/,
    break: dir => flip(join(dir, 'checkpoint'), 1)
  },
  {
    name: 'a file of the configuration',
    kind: 'config',
    text: /it cannot be read: .*; its backup does not help/,
    path: /^config\/topics\.json$/,
    break: dir => truncateSync(join(dir, 'config', 'topics.json'), 100)
  },
  {
    name: 'an empty file of the configuration with a backup',
    kind: 'config',
    text: /it is empty; its backup is whole/,
    break: dir => {
      const path = join(dir, 'config', 'consumerOffset.json')
      cpSync(path, `${path}.bak`)
      truncateSync(path, 0)
    }
  }
]

for (const { name, kind, text, path, range, break: damage } of damages)
  t.test(`damage is found and named, and stays as it is: ${name}`, async t => {
    const dir = simple.copy(t)
    damage(dir)
    const before = filesOf(dir)
    const report = await check(dir)
    const found = damageOf(report).find(each => each.kind === kind && text.test(each.text))
    t.ok(found, JSON.stringify(report.findings.slice(0, 5)))
    if (path !== undefined) t.match(found?.path, path)
    if (range !== undefined) t.same([found?.from, found?.to], range)
    t.same(filesOf(dir), before)
  })

t.test('a damaged record is told once, and what is behind it is checked', async t => {
  const dir = simple.copy(t)
  inRecord(dir, 8)
  const report = await check(dir)
  t.same(report.damagedRanges, [{ from: recordRange[0], to: recordRange[1] }])
  t.equal(report.damagedBytes, victim.storeSize)
  t.equal(report.recordCount, simple.expected.messages.length - 1)
  const rest = damageOf(report).filter(({ kind }) => kind !== 'log')
  t.ok(rest.length > 0)
  for (const { text } of rest) t.match(text, /whose record is damaged/)
})

t.test('a queue of which nothing is right is told in few words, and in time', async t => {
  const dir = temporaryDirectory(t)
  const store = await openStore(dir, { ...TINY_STORE, mappedFileSizeConsumeQueueBytes: 20 * 6000 })
  for (let i = 0; i < 5000; i++) {
    const put = store.putMessage(putMessageOf('orders', 0, Buffer.from('x')))
    if (i % 500 === 499) await put
  }
  await store.close()
  change(join(dir, 'consumequeue', 'orders', '0', '0'.repeat(20)), 0, bytes => {
    for (let unit = 0; unit < 5000; unit++) bytes[unit * 20 + 6]! ^= 0x40
  })
  const report = await check(dir)
  t.equal(report.damageCount, 1000)
  t.match(damageOf(report).at(-1)?.text, /^4001 units, of messages 999 to 4999, are wrong: of the first, it names/)
})

t.test('no damage makes a check or a dump fail, and none of them makes a store that cannot be built again', async t => {
  const seed = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${seed}`)
  const random = seeded(seed)
  for (const name of ['simple', 'bcq', 'ext', 'kill', 'delay']) {
    const golden = goldenStore(name)
    const dir = golden.copy(t)
    const paths = Object.keys(filesOf(dir)).filter(path => !/lock$/.test(path))
    const derived = paths.filter(path => !/^.(commitlog|config)/.test(path))
    for (let run = 0; run < FUZZ_RUNS; run++) {
      const isRebuilt = run % 10 === 0
      const saved = new Map<string, Buffer>()
      for (let flips = 1 + below(random, 20); flips > 0; flips--) {
        const path = join(dir, oneOf(random, isRebuilt ? derived : paths))
        const bytes = readFileSync(path)
        if (!saved.has(path)) saved.set(path, Buffer.from(bytes))
        if (bytes.length === 0) continue
        if (random() < 0.1) truncateSync(path, below(random, bytes.length))
        else {
          // Mostly where something stands.
          let pos = below(random, bytes.length)
          for (let tries = 0; tries < 20 && bytes[pos] === 0; tries++) pos = below(random, bytes.length)
          bytes.fill(below(random, 256), pos, Math.min(bytes.length, pos + 1 + below(random, 8)))
          writeFileSync(path, bytes)
        }
      }
      try {
        await checkStore(dir, { parseConfig: parseBody, lock: false })
        await dumpStore(dir, {}, { onMessage: () => true, onDamage: () => {} })
        await dumpStore(dir, { topic: golden.expected.queues[0]!.topic }, { onMessage: () => true, onDamage: () => {} })
        if (isRebuilt) {
          const work = join(temporaryDirectory(t), 'store')
          cpSync(dir, work, { recursive: true })
          const store = { mappedFileSizeCommitLogBytes: LOG_FILE_BYTES }
          await rebuildStore(work, { store })
          const report = await checkStore(work, { parseConfig: parseBody, store })
          // Timer files are built by the next start of a broker.
          const left = damageOf(report).filter(({ kind }) => kind !== 'timer')
          t.same(left, [], `SKYLARK_TEST_SEED=${seed}, ${name}, run ${run}: what was built again is whole`)
        }
      } catch (error) {
        t.fail(`SKYLARK_TEST_SEED=${seed}, ${name}, run ${run}: ${(error as Error).stack}`)
      }
      for (const [path, bytes] of saved) writeFileSync(path, bytes)
      if (!t.passing()) return
    }
  }
})

t.test('stray files are named, and are no damage', async t => {
  const dir = simple.copy(t)
  const strays = [
    'notes.txt',
    'commitlog/readme',
    'consumequeue/readme',
    'consumequeue/GoldenA/readme',
    'consumequeue/GoldenA/0/readme',
    'index/readme'
  ]
  for (const stray of strays) writeFileSync(join(dir, stray), 'stray')
  const report = await check(dir)
  t.equal(report.damageCount, 0)
  t.same(report.findings.map(({ path }) => path).sort(), [...strays].sort())
})

t.test('bytes behind the last record are told, and are no damage', async t => {
  const dir = simple.copy(t)
  change(logFile(dir, 207_683), (207_683 % LOG_FILE_BYTES) + 10, bytes => bytes.write('left over'))
  const report = await check(dir)
  t.equal(report.damageCount, 0)
  t.match(report.findings, [{ kind: 'log', isDamage: false, from: 207_693, text: /the next start cuts them off/ }])
})

t.test('the messages of a topic that was deleted are no damage', async t => {
  const dir = simple.copy(t)
  rmSync(join(dir, 'consumequeue', 'GoldenB'), { recursive: true })
  const path = join(dir, 'config', 'topics.json')
  writeFileSync(path, readFileSync(path, 'utf8').replaceAll('GoldenB', 'GoldenC'))
  const report = await check(dir)
  t.equal(report.damageCount, 0)
  t.match(report.findings, [
    { isDamage: false, text: /the topic was deleted; the log still has \d+ of its messages/ },
    {}
  ])
})

/** A store of Skylark's with all kinds of messages. */
async function fill(t: Test): Promise<{ dir: string; close(): Promise<void> }> {
  const dir = temporaryDirectory(t)
  const store = await openStore(
    dir,
    { ...TINY_STORE, enableLmq: true, enableMultiDispatch: true },
    { queueTypeOf: topic => (topic === 'batches' ? 'BatchCQ' : undefined) }
  )
  t.teardown(() => store.close())
  const put = (topic: string, body: string, properties: Record<string, string> = {}, sysFlag = 0) =>
    store.putMessage({ ...putMessageOf(topic, 0, Buffer.from(body), properties), sysFlag })
  for (let i = 0; i < 60; i++) {
    await put('orders', `order ${i}`, { KEYS: `k${i} shared`, TAGS: 'TagA', UNIQ_KEY: `u${i}` })
    if (i % 5 === 0) await put(SCHEDULE_TOPIC, `later ${i}`, { DELAY: '3', REAL_TOPIC: 'orders', REAL_QID: '0' })
    if (i % 7 === 0) await put('light', `light ${i}`, { INNER_MULTI_DISPATCH: '%LMQ%a,%LMQ%b' })
    if (i % 11 === 0) await put('halves', `half ${i}`, { KEYS: 'half' }, SysFlag.PREPARED)
    if (i % 9 === 0) await put('batches', `inner ${i}`, { INNER_NUM: '4' }, SysFlag.INNER_BATCH)
  }
  return { dir, close: () => store.close() }
}

t.test('a store of Skylark is found whole, closed or not, and after it was built again', async t => {
  const { dir, close } = await fill(t)
  const killed = join(temporaryDirectory(t), 'store')
  cpSync(dir, killed, { recursive: true })
  await t.rejects(check(dir), { code: 'STORE_LOCKED' }, 'nobody may write to it meanwhile')
  await t.rejects(rebuildStore(dir), { code: 'STORE_LOCKED' })
  await close()

  const report = await check(dir)
  t.same(report.findings, [])
  t.ok(report.wasClosed)
  t.equal(report.recordCount, 60 + 12 + 9 + 6 + 7)
  t.equal(report.unitCount, 60 + 12 + 9 + 2 * 9 + 7)

  const afterKill = await check(killed)
  t.same(damageOf(afterKill), [])
  t.match(afterKill.findings, [
    { text: /was not closed: the next start recovers it and builds \d+ units and \d+ keys/ }
  ])

  for (const each of [dir, killed]) {
    const before = await dumped(each, 'orders').catch(() => [])
    await rebuildStore(each)
    t.same((await check(each)).findings, [])
    const messages = await dumped(each, 'orders')
    t.same(
      messages.map(({ body }) => Buffer.from(body).toString()),
      Array.from({ length: 60 }, (_, i) => `order ${i}`)
    )
    if (before.length > 0) t.same(messages.slice(0, before.length), before)
  }
})

t.test('what Skylark noted to be there is missed when it is gone', async t => {
  const { dir, close } = await fill(t)
  await close()
  rmSync(join(dir, 'index'), { recursive: true })
  renameSync(join(dir, 'consumequeue', 'orders'), join(temporaryDirectory(t), 'orders'))
  const damage = damageOf(await check(dir))
  t.match(damage, damage, 'there is some')
  t.ok(damage.some(({ path, text }) => path.startsWith('index/') && /is missing/.test(text)))
  t.ok(damage.some(({ path, text }) => path === 'consumequeue/orders/0' && /the queue is missing/.test(text)))
  await rebuildStore(dir)
  t.same((await check(dir)).findings, [])
})

t.test('a queue whose messages are all deleted goes on where it was after the store was built again', async t => {
  const dir = temporaryDirectory(t)
  const options = { ...TINY_STORE, messageIndexEnable: false }
  const store = await openStore(dir, options)
  const put = (topic: string, body: string) => store.putMessage(putMessageOf(topic, 0, Buffer.from(body)))
  for (let i = 0; i < 5; i++) await put('old', `old ${i}`)
  for (let i = 0; i < 200; i++) await put('new', `new ${i}`)
  await store.deleteExpiredFiles({ force: true, maxFiles: 2 })
  t.ok(store.minPhysicalOffset > 0)
  t.equal(store.minQueueOffset('old', 0), 5)
  await store.close()
  await rebuildStore(dir)
  const again = await openStore(dir, TINY_STORE)
  t.equal((await again.putMessage(putMessageOf('old', 0, Buffer.from('old 5')))).queueOffset, 5)
  t.equal((await again.putMessage(putMessageOf('new', 0, Buffer.from('new 200')))).queueOffset, 200)
  await again.close()
  t.same(damageOf(await check(dir)), [])
})

t.test('a dump gives what is asked for', async t => {
  const { sourceDir } = simple
  const bodies = async (query: Parameters<typeof dumpStore>[1], wanted = Number.POSITIVE_INFINITY) => {
    const found: string[] = []
    await dumpStore(sourceDir, query, {
      onMessage: ({ topic, queueId, queueOffset }) => found.push(`${topic} ${queueId}@${queueOffset}`) < wanted,
      onDamage: () => t.fail('there is no damage')
    })
    return found
  }
  t.same(await bodies({ topic: 'GoldenA', queueId: 0, fromOffset: 48 }, 3), [
    'GoldenA 0@48',
    'GoldenA 0@49',
    'GoldenA 0@50'
  ])
  const inQueue = simple.expected.messages.filter(({ topic, queueId }) => topic === 'GoldenB' && queueId === 1)
  const from = inQueue[7]!.storeTimestamp
  const first = inQueue.find(({ storeTimestamp }) => storeTimestamp >= from)!
  t.equal((await bodies({ topic: 'GoldenB', queueId: 1, fromTimeMs: from }))[0], `GoldenB 1@${first.queueOffset}`)
  t.equal((await bodies({})).length, simple.expected.messages.length)
  const second = messageAt(1)
  t.same(
    await bodies({ fromPhysicalOffset: 3 }, 1),
    [`${second.topic} ${second.queueId}@${second.queueOffset}`],
    'in the middle of a record the next one is the first'
  )
  await t.rejects(bodies({ topic: 'nobody' }), { code: 'NO_SUCH_QUEUE' })
  await t.rejects(checkStore(temporaryDirectory(t)), { code: 'NOT_A_STORE' })
})

t.test(
  'sizes of index files are learnt from their contents: an entry that was never written is no first one',
  async t => {
    const dir = temporaryDirectory(t)
    const store = await openStore(dir, { ...TINY_STORE, maxHashSlotNum: 1000, maxIndexNum: 4000 })
    // The first keys fall into slots of their own, and later ones fill all slots.
    for (let i = 0; i < 3999; i++)
      store.put(putMessageOf('orders', 0, Buffer.from('x'), { KEYS: `${i}` }), { onPut() {} })
    await store.close()
    t.same((await check(dir)).findings, [])
  }
)

t.test('timer files that do not belong together are found', async t => {
  const spoilt = async (spoil: (dir: string) => void): Promise<unknown[]> => {
    const dir = goldenStore('delay').copy(t)
    addTimerFiles(dir)
    spoil(dir)
    return damageOf(await check(dir)).filter(({ kind }) => kind === 'timer')
  }
  const flip = (path: string, pos: number) => {
    const bytes = readFileSync(path)
    bytes[pos]! ^= 1
    writeFileSync(path, bytes)
  }
  const log = join('timerlog', '0'.repeat(20))
  t.match(await spoilt(dir => rmSync(join(dir, 'timerwheel'))), [{ path: 'timerwheel', text: /missing/ }])
  t.match(await spoilt(dir => flip(join(dir, 'timerwheel'), 383_122 * 32 + 23)), [
    { path: 'timerwheel', text: /^1 slots/ }
  ])
  t.match(await spoilt(dir => rmSync(join(dir, log))), [{ path: 'timerlog', from: 0, to: 624 }, {}])
  t.match(await spoilt(dir => flip(join(dir, log), 208 + 3)), [{ path: 'timerlog', from: 208, to: 624 }, {}])
  t.match(await spoilt(dir => rmSync(join(dir, 'config', 'timercheck'))), [{ path: 'config/timercheck' }])
  t.match(await spoilt(dir => flip(join(dir, 'config', 'timercheck'), 0)), [{ path: 'config/timercheck' }])
})
