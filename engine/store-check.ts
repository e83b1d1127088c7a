import { join } from 'node:path'
import { type RecordCursor, TIMER_TOPIC } from '../message/index.ts'
import { IndexCheck } from './check-index.ts'
import { QueueUnits } from './check-queue.ts'
import { type Finding, Findings } from './check-report.ts'
import { Checkpoint } from './checkpoint.ts'
import { type Clock, realClock } from './clock.ts'
import { ConsumeQueueExtension } from './consume-queue-extension.ts'
import type { DamagedRange } from './damage.ts'
import { EngineError } from './errors.ts'
import { FileNumbers } from './file-numbers.ts'
import type { Files } from './files.ts'
import { silentLog } from './log.ts'
import { LogScanner, type ScanListener } from './log-scanner.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import { readOnlyFiles } from './native/read-only-files.ts'
import { parseDelayLevels, type StoreOptions, storeDefaults } from './options.ts'
import type { RecoveryProgress } from './recovery.ts'
import { type Placer, Reput } from './reput.ts'
import { StoreNotes } from './store-notes.ts'
import { filesToRead, queueDirectories, type StoreShape, segmentsToRead, shapeOf } from './store-shape.ts'
import { checkTimer } from './timer/check-timer.ts'

/** Names in a store's directory that RocketMQ or Skylark put there. */
const KNOWN_NAMES =
  /^(commitlog|consumequeue|consumequeue_ext|batchconsumequeue|index|config|compaction|timerlog|rocksdbstore|replaced-\d+|lock|broker\.conf|(checkpoint|abort|timerwheel|epochFileCheckpoint|brokerIdentity|skylark\.json)(\.bak|\.tmp|-temp)?)$/
const CHECKPOINT_BYTES = 4096
/** A time from further in the future than this is broken. */
const MAX_AHEAD_MS = 3_600_000
const BLOCK_BYTES = 64 * 1024

export interface CheckOptions {
  /** Settings that the store was written with, as far as they are known; sizes are else learnt from the files. */
  store?: Partial<StoreOptions>
  /** Reads a configuration file; throws when it cannot. Default: JSON.parse, which does not know RocketMQ's keys that are bare numbers. */
  parseConfig?: (text: string) => unknown
  /** Takes the store's lock, so that nobody writes to it meanwhile. Default: true. */
  lock?: boolean
  onProgress?: (progress: RecoveryProgress) => void
  files?: Files
  clock?: Clock
}

/** What a store holds, and what is wrong with it. */
export interface StoreReport {
  /** Whether the process that wrote to it last ended it in order. */
  wasClosed: boolean
  minPhysicalOffset: number
  /** End of the last whole record. */
  maxPhysicalOffset: number
  recordCount: number
  recordBytes: number
  queueCount: number
  unitCount: number
  indexFileCount: number
  indexEntryCount: number
  /** Parts of the CommitLog with no valid record in them, in front of one that is. */
  damagedRanges: DamagedRange[]
  damagedBytes: number
  /** How many things are damaged, and how many are only worth knowing. */
  damageCount: number
  noteCount: number
  /** The first 1,000 of either. */
  findings: Finding[]
}

/**
 * Reads every record, ConsumeQueue unit and index entry of a store that nobody writes to, and compares them with each
 * other. Changes nothing, whatever it finds. Throws EngineError STORE_LOCKED, NOT_A_STORE, BAD_OPTION, and what the system
 * says about a directory that cannot be read.
 */
export async function checkStore(dir: string, options: CheckOptions = {}): Promise<StoreReport> {
  const files = options.files ?? readOnlyFiles
  const unlock = options.lock === false ? () => {} : await lockStore(files, dir)
  try {
    return await new StoreCheck(dir, files, options).run()
  } finally {
    unlock()
  }
}

/** Takes the lock of a store that exists; one that was never opened has none. Throws EngineError STORE_LOCKED, NOT_A_STORE. */
export async function lockStore(files: Files, dir: string): Promise<() => void> {
  const path = join(dir, 'lock')
  if (!files.exists(path)) return () => {}
  const unlock = await files.lock(path)
  if (unlock !== null) return unlock
  const holder = files.readText(join(dir, 'abort'))?.trim() || 'none'
  throw new EngineError('STORE_LOCKED', { path: dir, holder })
}

class StoreCheck {
  private readonly dir: string
  private readonly files: Files
  private readonly clock: Clock
  private readonly options: CheckOptions
  private readonly findings = new Findings()
  private readonly openFiles = filesToRead()
  private readonly queues = new Map<string, QueueUnits>()
  private readonly damagedRanges: DamagedRange[] = []
  private readonly shape: StoreShape
  private readonly notes: StoreNotes
  private readonly checkpoint: Checkpoint
  private readonly segments: MappedFileQueue
  private readonly wasClosed: boolean
  /** After an unclean stop derived files are made again from here on. */
  private readonly trusted: number
  private readonly index: IndexCheck
  private readonly reput: Reput
  private readonly totalBytes: number
  private doneBytes = 0
  private recordCount = 0
  private recordBytes = 0
  private unitCount = 0
  private pendingUnits = 0
  private lastStoreTimestamp = 0

  constructor(dir: string, files: Files, options: CheckOptions) {
    this.dir = dir
    this.files = files
    this.options = options
    this.clock = options.clock ?? realClock
    this.shape = shapeOf(files, dir, options.store)
    if (files.list(this.shape.logPath).length === 0 && files.list(join(dir, 'consumequeue')).length === 0)
      throw new EngineError('NOT_A_STORE', { path: dir })
    this.wasClosed = !files.exists(join(dir, 'abort'))
    this.notes = new StoreNotes(files, dir)
    this.notes.load()
    this.checkpoint = new Checkpoint(files, dir)
    this.checkpoint.load()
    const known = this.notes.mappedFileSizeCommitLog
    if (known > 0) this.shape.mappedFileSizeCommitLogBytes = known
    this.segments = this.openLog()
    this.trusted = this.wasClosed ? Number.POSITIVE_INFINITY : this.checkpoint.logicsPhysicalOffset
    this.index = new IndexCheck(files, this.openFiles, dir, this.shape, this.findings, {
      minPhysicalOffset: this.minOffset,
      trusted: this.trusted,
      isDamaged: physicalOffset => this.isDamaged(physicalOffset)
    })
    const delaysMs = parseDelayLevels(options.store?.messageDelayLevel ?? storeDefaults.messageDelayLevel)
    const queues = {
      get: (): never => {
        throw new Error('a check puts no unit anywhere')
      },
      expectBatches: () => {}
    }
    this.reput = new Reput(this.segments, queues, this.index, this.notes, delaysMs, this.clock, silentLog)
    this.openQueues()
    this.reput.multiDispatch = [...this.queues.values()].some(queue => queue.isLmq)
    this.totalBytes = this.segments.list.length * this.shape.mappedFileSizeCommitLogBytes + this.queues.size
  }

  private get minOffset(): number {
    return this.segments.first?.startOffset ?? 0
  }

  private isDamaged(physicalOffset: number): boolean {
    return this.damagedRanges.some(({ from, to }) => physicalOffset >= from && physicalOffset < to)
  }

  async run(): Promise<StoreReport> {
    this.checkNames()
    const end = await this.walkLog()
    this.index.finish()
    this.checkTail(end)
    await this.checkQueues(end)
    await this.checkTimer(end)
    this.checkCheckpoint(end)
    this.checkNotes()
    this.checkConfig()
    if (!this.wasClosed) this.noteUncleanStop()
    this.options.onProgress?.({ doneBytes: this.totalBytes, totalBytes: this.totalBytes })
    for (const file of this.segments.list) file.close()
    const { findings, damagedRanges } = this
    return {
      wasClosed: this.wasClosed,
      minPhysicalOffset: this.minOffset,
      maxPhysicalOffset: end,
      recordCount: this.recordCount,
      recordBytes: this.recordBytes,
      queueCount: [...this.queues.values()].filter(queue => queue.exists).length,
      unitCount: this.unitCount,
      indexFileCount: this.index.fileCount,
      indexEntryCount: this.index.entryCount,
      damagedRanges,
      damagedBytes: damagedRanges.reduce((sum, { from, to }) => sum + to - from, 0),
      damageCount: findings.damageCount,
      noteCount: findings.noteCount,
      findings: findings.kept
    }
  }

  private checkTimer(end: number): Promise<void> {
    const { files, dir, options, findings, wasClosed, minOffset } = this
    const precisionMs = options.store?.timerPrecisionMs ?? null
    const hasMessages = this.queues.get(`${TIMER_TOPIC}/0`)?.exists === true
    const log = { minPhysicalOffset: minOffset, maxPhysicalOffset: end }
    return checkTimer(files, dir, findings, { precisionMs, nowMs: this.clock.now(), wasClosed, hasMessages, ...log })
  }

  private openLog(): MappedFileQueue {
    const { logPath, mappedFileSizeCommitLogBytes: expectedBytes } = this.shape
    const entries = this.files.list(logPath)
    return segmentsToRead(this.files, this.openFiles, logPath, expectedBytes, (name, problem, sizeBytes) => {
      const path = join('commitlog', name)
      const add = (isDamage: boolean, text: string) =>
        this.findings.add(isDamage ? 'log' : 'file', isDamage, path, text, isDamage ? Number(name) : null)
      if (problem === 'stray') add(false, 'it is no segment of the log; RocketMQ may not start with it')
      else if (problem === 'gap') add(true, 'this segment of the log is missing')
      else if (problem === 'place')
        add(true, `its name is no multiple of the size of the log's files, ${expectedBytes}`)
      else if (sizeBytes === 0 && name === entries.at(-1)?.name) add(false, 'it is empty: the next start removes it')
      else add(true, `it has ${sizeBytes} bytes, a segment of the log has ${expectedBytes}`)
    })
  }

  private openQueues(): void {
    const { files, dir, openFiles, shape } = this
    const open = (kind: string, sizeBytes: number, isBatch: boolean) => {
      for (const { topic, queueId, path } of queueDirectories(files, join(dir, kind))) {
        const name = join(kind, topic, String(queueId))
        const segments = segmentsToRead(files, openFiles, path, sizeBytes, (file, problem, size) => {
          const add = (isDamage: boolean, text: string) =>
            this.findings.add(isDamage ? 'queue' : 'file', isDamage, join(name, file), text)
          if (problem === 'stray') add(false, 'it is no file of a queue; RocketMQ may not start with it')
          else if (problem === 'gap') add(true, 'this file of the queue is missing')
          else if (problem === 'place')
            add(true, `its name is no multiple of the size of a queue's files, ${sizeBytes}`)
          else add(true, `it has ${size} bytes, a file of a queue has ${sizeBytes}`)
        })
        const queue = new QueueUnits(topic, queueId, name, true, segments, isBatch, this.findings)
        this.queues.set(`${topic}/${queueId}`, queue)
      }
    }
    open('consumequeue', shape.mappedFileSizeConsumeQueueBytes, false)
    open('batchconsumequeue', shape.mappedFileSizeBatchConsumeQueueBytes, true)
    for (const { topic, queueId, path } of queueDirectories(files, join(dir, 'consumequeue_ext'))) {
      const segments = segmentsToRead(files, openFiles, path, shape.mappedFileSizeConsumeQueueExtBytes)
      const queue = this.queues.get(`${topic}/${queueId}`)
      if (queue !== undefined) queue.extension = new ConsumeQueueExtension(segments)
    }
  }

  private queueOf(topic: string, queueId: number): QueueUnits {
    const key = `${topic}/${queueId}`
    let queue = this.queues.get(key)
    if (queue === undefined) {
      const path = join('consumequeue', topic, String(queueId))
      const segments = segmentsToRead(this.files, this.openFiles, join(this.dir, path), 20)
      queue = new QueueUnits(topic, queueId, path, false, segments, false, this.findings)
      this.queues.set(key, queue)
    }
    return queue
  }

  private checkNames(): void {
    const { files, dir } = this
    for (const { name } of files.list(dir))
      if (!KNOWN_NAMES.test(name)) this.findings.add('file', false, name, 'it is no part of a store')
    for (const kind of ['consumequeue', 'batchconsumequeue'])
      for (const topic of files.list(join(dir, kind))) {
        if (topic.isFile) this.findings.add('file', false, join(kind, topic.name), 'it is no queue')
        for (const queue of topic.isFile ? [] : files.list(join(dir, kind, topic.name)))
          if (queue.isFile || !/^\d{1,9}$/.test(queue.name))
            this.findings.add('file', false, join(kind, topic.name, queue.name), 'it is no queue')
      }
  }

  private async walkLog(): Promise<number> {
    const { segments, minOffset } = this
    if (segments.list.length === 0) return 0
    const listener: ScanListener = {
      onRecord: (cursor, bytes, physicalOffset) => this.onRecord(cursor, bytes, physicalOffset),
      onDamage: (from, to) => this.onDamage(from, to),
      onProgress: doneBytes => {
        this.doneBytes = doneBytes
        this.options.onProgress?.({ doneBytes, totalBytes: this.totalBytes })
      }
    }
    const end = await new LogScanner(segments, true, this.clock, silentLog).scan(
      minOffset,
      segments.last!.endOffset,
      listener
    )
    this.doneBytes = this.totalBytes - this.queues.size
    return end
  }

  private onRecord(cursor: RecordCursor, bytes: Buffer, physicalOffset: number): void {
    const { sizeBytes, storeTimestamp } = cursor
    this.recordCount++
    this.recordBytes += sizeBytes
    this.lastStoreTimestamp = Math.max(this.lastStoreTimestamp, storeTimestamp)
    this.reput.dispatch(cursor, bytes, physicalOffset, this.expectUnit)
    this.index.record(physicalOffset, storeTimestamp)
  }

  private onDamage(from: number, to: number): void {
    this.damagedRanges.push({ from, to })
    const segment = this.segments.at(from)
    const path = segment === undefined ? 'commitlog' : join('commitlog', segment.path.slice(-20))
    this.findings.add(
      'log',
      true,
      path,
      `${to - from} bytes hold no valid record; what lies behind them is whole`,
      from,
      to
    )
  }

  private readonly expectUnit: Placer = (
    topic,
    queueId,
    queueOffset,
    physicalOffset,
    sizeBytes,
    tagsCode,
    storeTimestamp,
    count
  ) => {
    const queue = this.queueOf(topic, queueId)
    if (physicalOffset >= this.trusted) {
      const unit = queue.unitOf(queueOffset)
      if (unit < 0 || queue.at(unit)?.physicalOffset !== physicalOffset) {
        this.pendingUnits++
        return
      }
    }
    queue.expect({ queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count })
  }

  /** Behind the last whole record there is nothing, or what the next start cuts off. */
  private checkTail(end: number): void {
    for (const segment of this.segments.list.filter(each => each.endOffset > end)) {
      const numbers = new FileNumbers(segment, BLOCK_BYTES, () => {})
      const at = numbers.nextNonZero(Math.max(0, end - segment.startOffset))
      if (at < 0) continue
      const text = 'bytes behind the last whole record belong to none: the next start cuts them off'
      const path = join('commitlog', segment.path.slice(-20))
      this.findings.add('log', false, path, text, segment.startOffset + at, segment.endOffset)
    }
  }

  private async checkQueues(end: number): Promise<void> {
    const topics = this.configuredTopics()
    for (const queue of this.queues.values()) {
      this.checkQueue(queue, end, topics)
      queue.close()
      this.options.onProgress?.({ doneBytes: ++this.doneBytes, totalBytes: this.totalBytes })
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  private checkQueue(queue: QueueUnits, end: number, topics: ReadonlySet<string> | null): void {
    const { findings, trusted } = this
    queue.sortLacks()
    for (const { from, to, physicalOffset, differs } of queue.lacks) {
      if (!queue.exists && topics !== null && !topics.has(queue.topic) && !queue.isLmq) {
        const text = `the topic was deleted; the log still has ${to - from} of its messages`
        findings.add('queue', false, queue.path, text)
        continue
      }
      const { path, pos } = queue.placeOf(queue.isBatch ? Math.max(0, queue.unitOf(from)) : from)
      const count = queue.isBatch ? 1 : to - from
      const [what, be] =
        count === 1
          ? [`the unit of message ${from}`, 'is']
          : [`${count} units, of messages ${from} to ${to - 1},`, 'are']
      const text =
        differs === null
          ? `${be} missing, the first record lies at ${physicalOffset}`
          : `${be} wrong: ${count === 1 ? '' : 'of the first, '}${differs}`
      findings.add('queue', true, path, `${what} ${text}`, pos, pos + count * queue.sizeOfUnit)
    }
    for (const [unit, there] of queue.real()) {
      this.unitCount++
      const { physicalOffset, sizeBytes } = there
      if (queue.isClaimed(unit) || queue.isLacking(there.base)) continue
      if (sizeBytes > 0 && physicalOffset >= 0 && physicalOffset < this.minOffset) continue
      const { path, pos } = queue.placeOf(unit)
      const isDamage = physicalOffset < trusted
      let why = 'where no record of this queue lies'
      if (!isDamage) why = 'which the next start looks at again'
      else if (physicalOffset >= end) why = `behind the end of the log at ${end}`
      else if (this.isDamaged(physicalOffset)) why = 'whose record is damaged'
      findings.add(
        'queue',
        isDamage,
        path,
        `the unit of message ${there.base} names ${physicalOffset}, ${why}`,
        pos,
        pos + queue.sizeOfUnit
      )
    }
  }

  private configuredTopics(): Set<string> | null {
    const parse = this.options.parseConfig ?? JSON.parse
    const text = this.files.readText(join(this.dir, 'config', 'topics.json'))
    try {
      const table = (parse(text ?? '') as { topicConfigTable?: unknown }).topicConfigTable
      if (table instanceof Map) return new Set([...table.keys()].map(String))
      return typeof table === 'object' && table !== null ? new Set(Object.keys(table)) : null
    } catch {
      return null
    }
  }

  private checkCheckpoint(end: number): void {
    const { files, dir, checkpoint } = this
    const path = 'checkpoint'
    const add = (text: string) => this.findings.add('checkpoint', true, path, text)
    const entry = files.list(dir).find(({ name }) => name === path)
    if (entry === undefined) {
      if (this.recordCount > 0 && this.wasClosed) add('it is missing: the next start reads the whole log')
      return
    }
    if (entry.sizeBytes !== CHECKPOINT_BYTES)
      add(`it has ${entry.sizeBytes} bytes, a checkpoint has ${CHECKPOINT_BYTES}`)
    if (checkpoint.isBroken) add('its checksum is wrong: the next start reads the whole log')
    const latest = this.clock.now() + MAX_AHEAD_MS
    for (const name of ['physicMsgTimestamp', 'logicsMsgTimestamp', 'indexMsgTimestamp'] as const)
      if (checkpoint[name] > latest) add(`${name} is ${checkpoint[name]}, which is in the future`)
    for (const name of ['confirmPhyOffset', 'logicsPhysicalOffset'] as const)
      if (checkpoint[name] > end) add(`${name} is ${checkpoint[name]}, the log ends at ${end}`)
  }

  /** What Skylark noted to be there. */
  private checkNotes(): void {
    const { files, dir, checkpoint, notes, index } = this
    if (!checkpoint.isOwn) return
    for (const name of notes.indexFiles)
      if (!files.exists(join(dir, 'index', name)))
        this.findings.add('index', true, join('index', name), 'this file of the index is missing')
    if (this.recordCount > 0 && !index.exists && notes.indexFiles.length === 0)
      this.findings.add('index', false, 'index', 'there is no index: messages are not found by key')
    for (const [topic, bounds] of Object.entries(notes.queues))
      for (const [queueId, [min, max]] of Object.entries(bounds))
        if (max > min && this.queues.get(`${topic}/${queueId}`)?.exists !== true) {
          const path = join('consumequeue', topic, queueId)
          this.findings.add('queue', true, path, `the queue is missing; it reached from ${min} to ${max}`)
        }
  }

  private checkConfig(): void {
    const { files, dir } = this
    const parse = this.options.parseConfig ?? JSON.parse
    const problemOf = (path: string): string | null => {
      const text = files.readText(path)
      if (text === null) return 'it is missing'
      if (text.trim() === '') return 'it is empty'
      try {
        parse(text)
        return null
      } catch (error) {
        return `it cannot be read: ${(error as Error).message.split('\n')[0]}`
      }
    }
    const names = files
      .list(join(dir, 'config'))
      .filter(({ name, isFile }) => isFile && /\.json(\.bak)?$/.test(name))
      .map(({ name }) => join('config', name))
    if (files.exists(join(dir, 'skylark.json'))) names.push('skylark.json')
    for (const name of names) {
      const problem = problemOf(join(dir, name))
      if (problem === null) continue
      if (name.endsWith('.bak')) this.findings.add('config', false, name, problem)
      else {
        const backup = problemOf(join(dir, `${name}.bak`))
        this.findings.add(
          'config',
          true,
          name,
          `${problem}; its backup ${backup === null ? 'is whole' : 'does not help'}`
        )
      }
    }
  }

  private noteUncleanStop(): void {
    const { pendingUnits, index } = this
    const todo =
      pendingUnits + index.pendingKeys > 0 ? ` and builds ${pendingUnits} units and ${index.pendingKeys} keys` : ''
    this.findings.add('file', false, 'abort', `the store was not closed: the next start recovers it${todo}`)
  }
}
