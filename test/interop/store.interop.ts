import { spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { type MessageStore, messageOf, openStore, type PutMessage, PutStatus } from '../../engine/index.ts'
import { decodeRecord, encodeBatch, encodeProperties, hostOf, SysFlag, tagsCodeOf } from '../../message/index.ts'
import { inRepo } from '../support/repo.ts'
import { cached } from './cache.ts'
import { serverJars, serverJvm } from './java-server.ts'
import { execute, hasTools, scratch } from './support.ts'

const SIZES = { commitLogBytes: 65_536, units: 50, slots: 100, entries: 200 }
const QUEUES: readonly [string, number][] = [
  ['orders', 0],
  ['orders', 1],
  [`${'t'.repeat(130)}`, 0]
]
/** RocketMQ's own store, opened on a folder. */
class JavaStore {
  private readonly ask: (command: string) => Promise<string[]>
  readonly ended: Promise<unknown>

  private constructor(ask: (command: string) => Promise<string[]>, ended: Promise<unknown>) {
    this.ask = ask
    this.ended = ended
  }

  static async open(t: Test, dir: string, kinds = false): Promise<JavaStore> {
    const java = inRepo('test', 'interop', 'java')
    const source = join(java, 'Store.java')
    const jars = await serverJars()
    const classes = await cached('store-classes-5.5.0', readFileSync(source), into =>
      execute('javac', ['-nowarn', '-encoding', 'UTF-8', '-cp', join(jars, '*'), '-d', into, source], java)
    )
    const { commitLogBytes, units, slots, entries } = SIZES
    const home = scratch(t)
    const child = spawn(
      'java',
      [
        ...serverJvm,
        `-Duser.home=${home}`,
        `-Dlogback.configurationFile=${join(java, 'logback.xml')}`,
        '-cp',
        `${classes}:${join(jars, '*')}`,
        'Store',
        dir,
        ...[commitLogBytes, units, slots, entries].map(String),
        ...(kinds ? ['kinds'] : [])
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] }
    )
    t.teardown(() => child.kill('SIGKILL'))
    const ended = new Promise(resolve => child.once('close', resolve))
    const waiting: ((lines: string[]) => void)[] = []
    let lines: string[] = []
    createInterface({ input: child.stdout }).on('line', line => {
      if (line !== '.') lines.push(line)
      else {
        waiting.shift()?.(lines)
        lines = []
      }
    })
    const answer = () =>
      Promise.race([
        new Promise<string[]>(resolve => waiting.push(resolve)),
        ended.then(code => Promise.reject(new Error(`RocketMQ's store ended with ${code}`)))
      ])
    const opened = answer()
    await opened
    return new JavaStore(command => {
      const answered = answer()
      child.stdin.write(`${command}\n`)
      return answered
    }, ended)
  }

  put(kind: string, topic: string, queueId: number, count: number, first: number): Promise<string[]> {
    return this.ask(`put ${kind} ${topic} ${queueId} ${count} ${first}`)
  }

  async dump(): Promise<string[]> {
    return (await this.ask('dump')).filter(line => QUEUES.some(([topic]) => line.startsWith(`${topic} `))).sort()
  }

  async queues(): Promise<string[]> {
    return (await this.ask('queues')).filter(line => KINDS.some(topic => line.startsWith(`${topic} `))).sort()
  }

  key(topic: string, key: string): Promise<string[]> {
    return this.ask(`key ${topic} ${key}`)
  }

  async close(): Promise<void> {
    await this.ask('close')
    await this.ended
  }

  /** Ends it as a kill does. */
  async halt(): Promise<void> {
    void this.ask('halt').catch(() => {})
    await this.ended
  }
}

const OPTIONS = {
  mappedFileSizeCommitLogBytes: SIZES.commitLogBytes,
  mappedFileSizeConsumeQueueBytes: SIZES.units * 20,
  maxHashSlotNum: SIZES.slots,
  maxIndexNum: SIZES.entries
}

const openOurs = (dir: string): Promise<MessageStore> => openStore(dir, OPTIONS)

/** Queues of other kinds: batches, compacted, light, and one whose messages are in light ones too. */
const KINDS: readonly string[] = ['batches', 'prices', '%LMQ%a', '%LMQ%b', 'parent']

const openKinds = (dir: string): Promise<MessageStore> =>
  openStore(
    dir,
    {
      ...OPTIONS,
      mappedFileSizeBatchConsumeQueueBytes: 46 * 50,
      mappedFileSizeConsumeQueueExtBytes: 4096,
      enableLmq: true,
      enableMultiDispatch: true,
      enabledAppendPropCrc: true,
      compactionCqMappedFileSizeBytes: 46 * 20,
      compactionMappedFileSizeBytes: 46 * 20 * 10
    },
    { queueTypeOf: topic => (topic === 'batches' ? 'BatchCQ' : 'SimpleCQ'), compactedTopics: () => ['prices'] }
  )

/** Each message of each such queue as RocketMQ's driver prints it. */
async function dumpKinds(store: MessageStore): Promise<string[]> {
  const lines: string[] = []
  for (const queue of KINDS)
    for (let offset = 0; offset < store.maxQueueOffset(queue, 0); ) {
      const result = await store.getMessages(queue, 0, offset, 32)
      if (result.nextBeginOffset <= offset) throw new Error(`${queue} ${offset}: ${result.status}`)
      for (const { bytes, start, end } of result.slices) {
        const m = decodeRecord(bytes.subarray(start, end))
        const more = ['UNIQ_KEY', 'INNER_NUM', 'INNER_BASE', 'INNER_MULTI_QUEUE_OFFSET', '__CRC32#']
        lines.push(
          [
            ...[queue, 0, m.topic, m.queueOffset, m.sizeBytes, m.sysFlag, crc32(m.body)],
            ...more.map(name => m.properties.get(name) ?? 'null')
          ].join(' ')
        )
      }
      offset = result.nextBeginOffset
    }
  return lines.sort()
}

/** Each message as RocketMQ's driver prints it. */
async function dump(store: MessageStore): Promise<string[]> {
  const lines: string[] = []
  for (const [topic, queueId] of QUEUES) {
    let offset = store.minQueueOffset(topic, queueId)
    while (offset < store.maxQueueOffset(topic, queueId)) {
      const result = await store.getMessages(topic, queueId, offset, 32)
      if (result.slices.length === 0) throw new Error(`${topic} ${queueId} ${offset}: ${result.status}`)
      for (const { bytes, start, end } of result.slices) {
        const m = decodeRecord(bytes.subarray(start, end))
        const { topic, queueId, queueOffset, physicalOffset, sizeBytes, flag, sysFlag, bornTimestamp } = m
        lines.push(
          [
            ...[topic, queueId, queueOffset, physicalOffset, sizeBytes, flag, sysFlag, bornTimestamp],
            ...[m.storeTimestamp, m.reconsumeTimes, m.properties.get('TAGS') ?? 'null', crc32(m.body)],
            m.properties.get('UNIQ_KEY')
          ].join(' ')
        )
      }
      offset = result.nextBeginOffset
    }
  }
  return lines.sort()
}

/** Where the messages with a key lie. */
async function byKey(store: MessageStore, topic: string, key: string): Promise<string[]> {
  const { records } = await store.queryByKey(topic, key, 64, 0, Number.MAX_SAFE_INTEGER)
  return records
    .map(bytes => decodeRecord(bytes))
    .filter(m => m.topic === topic)
    .filter(m => `${m.properties.get('KEYS')} ${m.properties.get('UNIQ_KEY')}`.split(' ').includes(key))
    .map(m => m.physicalOffset)
    .sort((a, b) => a - b)
    .map(String)
}

const V4 = hostOf('127.0.0.1', 10911)
const V6 = hostOf('::1', 10911)

async function put(
  store: MessageStore,
  kind: string,
  topic: string,
  queueId: number,
  count: number,
  first: number
): Promise<void> {
  const bodyOf = (n: number) => Buffer.from(`ours ${n} ${'ü '.repeat(n % 90)}`)
  const propertiesOf = (n: number) =>
    encodeProperties({
      UNIQ_KEY: `OURS${String(n).padStart(28, '0')}`,
      KEYS: kind === 'price' ? `price${n % 7}` : `key${n} shared${n % 7}`,
      TAGS: `Tag${n % 3}`,
      ...(kind === 'lmq' ? { INNER_MULTI_DISPATCH: n % 2 === 0 ? '%LMQ%a,%LMQ%b' : '%LMQ%a' } : {})
    })
  const message = (body: Uint8Array, properties: Uint8Array, sysFlag = 0): PutMessage => ({
    ...messageOf({
      topic,
      queueId,
      body,
      flag: first,
      bornTimestamp: 1_700_000_000_000 + first,
      bornHost: kind === 'ipv6' ? V6 : V4
    }),
    sysFlag,
    reconsumeTimes: 1,
    properties,
    propertiesEnd: properties.length
  })
  const none = new Uint8Array(0)
  if (kind === 'batch' || kind === 'inner') {
    const numbers = Array.from({ length: count }, (_, i) => first + i)
    const batch = encodeBatch(numbers.map(n => ({ flag: 0, body: bodyOf(n), properties: propertiesOf(n) })))
    if (kind === 'inner') {
      const properties = encodeProperties({ UNIQ_KEY: `OURBATCH${first}`, INNER_NUM: String(count) })
      const flags = SysFlag.INNER_BATCH | SysFlag.NEED_UNWRAP
      const { status } = await store.putMessage(message(batch, Buffer.from(properties), flags))
      if (status !== PutStatus.OK) throw new Error(`not stored: ${status}`)
      return
    }
    const status = await new Promise(resolve =>
      store.putBatch(message(batch, none), { onPut: status => resolve(status) }, [])
    )
    if (status !== PutStatus.OK) throw new Error(`not stored: ${status}`)
    return
  }
  const flags: Record<string, number> = { half: SysFlag.PREPARED, commit: SysFlag.COMMIT, rollback: SysFlag.ROLLBACK }
  for (let n = first; n < first + count; n++) {
    const { status } = await store.putMessage(message(bodyOf(n), Buffer.from(propertiesOf(n)), flags[kind]))
    if (status !== PutStatus.OK) throw new Error(`not stored: ${status}`)
  }
}

type Putter = (kind: string, topic: string, queueId: number, count: number, first: number) => Promise<unknown>

/** All kinds of records, over several files of every sort. */
async function fill(put: Putter, first: number): Promise<void> {
  for (const [topic, queueId] of QUEUES) await put('plain', topic, queueId, 70, first)
  await put('batch', 'orders', 1, 5, first + 100)
  await put('ipv6', 'orders', 0, 3, first + 200)
  await put('half', 'orders', 0, 2, first + 300)
  await put('commit', 'orders', 0, 2, first + 400)
  await put('rollback', 'orders', 0, 2, first + 500)
  await put('plain', 'orders', 1, 20, first + 600)
}

const KEYS: readonly string[] = ['key3', 'key1003', 'key2003', 'shared1', 'JAVA0000000000000000000000000003', 'key2103']

t.test('RocketMQ and Skylark hand one store back and forth', async t => {
  if (!hasTools(t, 'java', 'mvn', 'javac')) return
  const dir = join(scratch(t), 'store')

  const compare = async (java: JavaStore, seen: string[], keys: string[][]) => {
    t.same(await java.dump(), seen)
    for (const [i, key] of KEYS.entries()) t.same(await java.key('orders', key), keys[i], key)
  }
  const look = async (store: MessageStore): Promise<[string[], string[][]]> => [
    await dump(store),
    await Promise.all(KEYS.map(key => byKey(store, 'orders', key)))
  ]

  t.comment('RocketMQ writes and stops')
  let java = await JavaStore.open(t, dir)
  await fill((...args) => java.put(...args), 0)
  const written = await java.dump()
  await java.close()

  t.comment('we open, append, and stop')
  let ours = await openOurs(dir)
  t.same(await dump(ours), written)
  await fill((...args) => put(ours, ...args), 1000)
  let [seen, keys] = await look(ours)
  t.ok(seen.length > written.length)
  t.ok(keys.every((found, i) => found.length > 0 || i === 2 || i === 5))
  await ours.close()
  t.notOk(existsSync(join(dir, 'abort')))

  t.comment('RocketMQ opens, sees the same, appends, and is killed')
  java = await JavaStore.open(t, dir)
  await compare(java, seen, keys)
  await fill((...args) => java.put(...args), 2000)
  const withJavas = await java.dump()
  await java.halt()

  t.comment('we recover, and see the same')
  ours = await openOurs(dir)
  t.same(await dump(ours), withJavas)
  await fill((...args) => put(ours, ...args), 3000)
  ;[seen, keys] = await look(ours)
  t.ok(keys.every(found => found.length > 0))

  t.comment('RocketMQ recovers what we leave behind when we are killed: the files as they are now')
  const killed = join(scratch(t), 'killed')
  cpSync(dir, killed, { recursive: true })
  t.ok(existsSync(join(killed, 'abort')))
  await ours.close()
  java = await JavaStore.open(t, killed)
  t.same(await java.dump(), seen)
  await java.close()

  t.comment('RocketMQ builds from our log the same ConsumeQueues that we built')
  java = await JavaStore.open(t, dir)
  await compare(java, seen, keys)
  await java.close()
  t.same(readdirSync(join(dir, 'consumequeue')).sort(), readdirSync(join(killed, 'consumequeue')).sort())
})

/** Batches as one record each, keys that come again, messages of light queues. */
async function fillKinds(put: Putter, first: number): Promise<void> {
  for (let i = 0; i < 60; i++) await put('inner', 'batches', 0, 1 + (i % 4), first + 4 * i)
  await put('plain', 'batches', 0, 3, first + 300)
  await put('price', 'prices', 0, 70, first + 400)
  await put('lmq', 'parent', 0, 30, first + 500)
  await put('batch', 'parent', 0, 4, first + 600)
}

t.test('batch queues, light queues, compacted topics, extensions and record checksums go both ways', async t => {
  if (!hasTools(t, 'java', 'mvn', 'javac')) return
  const dir = join(scratch(t), 'store')
  t.comment('RocketMQ writes and stops')
  let java = await JavaStore.open(t, dir, true)
  await fillKinds((...args) => java.put(...args), 0)
  const written = await java.queues()
  t.equal(written.length, 63 + 70 + 30 + 15 + 34)
  await java.close()

  t.comment('we open, append, and stop')
  let ours = await openKinds(dir)
  t.same(await dumpKinds(ours), written)
  t.ok(existsSync(join(dir, 'consumequeue_ext', 'parent', '0')))
  for (const [n, tag] of ['TagB', undefined, 'TagA'].entries())
    t.equal(ours.unitAt('parent', 0, n + 2)!.tagsCode, tagsCodeOf(tag))
  await fillKinds((...args) => put(ours, ...args), 1000)
  let seen = await dumpKinds(ours)
  t.equal(seen.length, 2 * written.length)
  await ours.close()

  t.comment('RocketMQ opens, sees the same, appends, and is killed')
  java = await JavaStore.open(t, dir, true)
  t.same(await java.queues(), seen)
  await fillKinds((...args) => java.put(...args), 2000)
  const withJavas = await java.queues()
  await java.halt()

  t.comment('we recover, see the same, append, and are killed: the files as they are')
  ours = await openKinds(dir)
  t.same(await dumpKinds(ours), withJavas)
  await fillKinds((...args) => put(ours, ...args), 3000)
  seen = await dumpKinds(ours)
  await ours.flush()
  const killed = join(scratch(t), 'killed')
  cpSync(dir, killed, { recursive: true })
  await ours.close()
  java = await JavaStore.open(t, killed, true)
  t.same(await java.queues(), seen)
  await java.close()

  t.comment('what we compacted, RocketMQ reads')
  ours = await openKinds(dir)
  await ours.compact()
  const compacted = await dumpKinds(ours)
  t.ok(compacted.length < seen.length)
  await ours.close()
  java = await JavaStore.open(t, dir, true)
  t.same(await java.queues(), compacted)
  await java.close()
})
