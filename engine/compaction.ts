import { join } from 'node:path'
import {
  decodeProperties,
  PropertyName,
  RECORD_HEAD,
  RecordCheck,
  RecordCursor,
  readI64,
  viewOf
} from '../message/index.ts'
import { readFileOrBackup, writeFileAtomically } from './atomic-file.ts'
import { BATCH_UNIT } from './batch-consume-queue.ts'
import type { Clock } from './clock.ts'
import {
  CompactedFile,
  type CompactedPlaces,
  compactedFileSizes,
  compactingIn,
  tagsCodeOfRecord
} from './compacted-files.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import { EngineError } from './errors.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'
import { fileNameOf } from './mapped-file.ts'
import type { OpenFiles } from './open-files.ts'
import type { StoreOptions } from './options.ts'
import type { GetResult, MessageFilter, Slice } from './reader.ts'

const { at, bytes: UNIT_BYTES } = BATCH_UNIT
/** One run looks at so many keys at most; what is beyond stays until the next one. */
const MAX_KEYS = 1_000_000
/** Says, in `compacting`, that all in there is durable and takes the place of the files that it names. */
const PLAN = 'plan.json'
const SEGMENT = /^\d{20}$/

interface Plan {
  made: string[]
  replaced: string[]
}

/** Reads a record of the CommitLog; null when it is gone. */
export type RecordReader = (physicalOffset: number, sizeBytes: number) => Promise<Uint8Array | null>

/** The messages of one queue of a compaction topic, of each key at least the newest. CompactionLog */
class CompactedQueue {
  readonly topic: string
  readonly queueId: number
  private readonly places: CompactedPlaces
  private files: CompactedFile[] = []

  constructor(topic: string, queueId: number, places: CompactedPlaces) {
    this.topic = topic
    this.queueId = queueId
    this.places = places
  }

  /** Queue offset of the first message that is kept; -1 without one. */
  get minOffset(): number {
    return this.files.find(file => file.count > 0)?.firstOffset ?? -1
  }

  /** Behind the last message that was copied. */
  get maxOffset(): number {
    return (this.files.findLast(file => file.count > 0)?.lastOffset ?? -1) + 1
  }

  /** Finishes a replacement that was interrupted, finds the files, and drops what the CommitLog does not know. */
  async load(cleanStop: boolean, copiesFrom: number, knownUntil: number): Promise<void> {
    const { files, logDir, log } = this.places
    await this.finishReplacement()
    const found = files.list(logDir).filter(entry => entry.isFile && SEGMENT.test(entry.name))
    for (const [i, { name, sizeBytes }] of found.entries()) {
      const file = new CompactedFile(this.places, Number(name))
      const expectedBytes = this.places.logFileBytes
      const isLast = i === found.length - 1
      if (sizeBytes > expectedBytes || (sizeBytes < expectedBytes && !isLast))
        throw new EngineError('BAD_FILE', { path: file.records.path, sizeBytes, expectedBytes })
      // A crash came while it was made.
      if (sizeBytes < expectedBytes) file.records.setFullSize()
      await file.load(this.places, isLast && !cleanStop)
      if (!isLast) file.units = null
      this.files.push(file)
    }
    // What was copied since the last checkpoint may be torn, but all of that is in the CommitLog still.
    if (!cleanStop) await this.cut(copiesFrom, 1)
    if (this.maxOffset <= knownUntil) return
    const { topic, queueId } = this
    log.warn({ topic, queueId, knownUntil }, 'compacted messages that the CommitLog does not know were dropped')
    await this.cut(knownUntil, this.files.length)
  }

  /** Drops messages from an offset on, of so many files at most. */
  private async cut(queueOffset: number, fileCount: number): Promise<void> {
    let left = fileCount
    for (; left > 0 && this.files.length > 0 && !(this.files.at(-1)!.firstOffset < queueOffset); left--)
      this.files.pop()!.remove()
    const last = this.files.at(-1)
    if (last === undefined) return
    last.units = await last.unitsOf()
    if (left > 0) last.cut(queueOffset)
  }

  private async finishReplacement(): Promise<void> {
    const { files, log } = this.places
    const { logDir } = compactingIn(this.places)
    const text = files.readText(join(logDir, PLAN))
    if (text !== null) {
      try {
        this.replace(JSON.parse(text) as Plan)
      } catch (error) {
        log.warn({ err: error, path: logDir }, 'a compaction that was interrupted is done again')
      }
    }
    if (files.exists(logDir)) await this.forgetCompacting()
  }

  /** Puts the files that were made in the place of those that they were made of; may be done again. */
  private replace({ made, replaced }: Plan): void {
    const { files, logDir, unitsDir } = this.places
    const compacting = compactingIn(this.places)
    for (const [from, to] of [
      [compacting.logDir, logDir],
      [compacting.unitsDir, unitsDir]
    ] as const) {
      for (const name of made) if (files.exists(join(from, name))) files.rename(join(from, name), join(to, name))
      for (const name of replaced)
        if (!made.includes(name) && files.exists(join(to, name))) files.remove(join(to, name))
    }
  }

  /** The plan goes once what it says is durable. */
  private async forgetCompacting(): Promise<void> {
    const { files, logDir, unitsDir } = this.places
    const compacting = compactingIn(this.places)
    for (const dir of [logDir, unitsDir]) if (files.exists(dir)) await files.syncDirectory(dir)
    for (const dir of [compacting.logDir, compacting.unitsDir]) files.removeDirectory(dir)
  }

  /** Adds a record behind the last one. */
  async append(bytes: Uint8Array, start: number, end: number, tagsCode: number): Promise<void> {
    const last = this.files.at(-1)
    const size = end - start
    if (last === undefined || !last.hasRoom(size)) {
      if (size + 8 > this.places.logFileBytes) {
        this.places.log.warn(
          { topic: this.topic, size },
          'a message is larger than a file of compacted messages and is not kept'
        )
        return
      }
      if (last !== undefined) {
        last.close()
        await last.sync()
        last.units = null
      }
      const startOffset = last === undefined ? 0 : last.records.startOffset + this.places.logFileBytes
      this.files.push(CompactedFile.create(this.places, startOffset))
    }
    this.files.at(-1)!.append(bytes, start, end, tagsCode)
  }

  async sync(): Promise<void> {
    await this.files.at(-1)?.sync()
  }

  /** Messages from an offset on, up to the last one that was copied. */
  async read(
    offset: number,
    maxCount: number,
    maxBytes: number,
    filter: MessageFilter | null
  ): Promise<{ slices: Slice[]; next: number }> {
    const file = this.files.find(each => each.count > 0 && each.lastOffset >= offset)
    if (file === undefined) return { slices: [], next: this.maxOffset }
    const { count, lastOffset } = file
    const units = await file.unitsOf()
    const view = viewOf(units)
    const baseOf = (unit: number) => readI64(view, unit * UNIT_BYTES + at.base)
    let low = 0
    let high = count
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (baseOf(middle) >= offset) high = middle
      else low = middle + 1
    }
    const reads: Promise<Slice | null>[] = []
    let total = 0
    let next = offset
    for (let unit = low; unit < count; unit++) {
      const pos = unit * UNIT_BYTES
      const size = view.getInt32(pos + at.sizeBytes)
      if (reads.length > 0 && (reads.length >= maxCount || total + size > maxBytes)) break
      next = baseOf(unit) + 1
      if (filter !== null && !filter.matchesTagsCode(readI64(view, pos + at.tagsCode))) continue
      reads.push(this.recordAt(file, readI64(view, pos + at.physicalOffset), size, next - 1))
      total += size
    }
    if (next > lastOffset) next = this.firstBehind(lastOffset)
    const slices = await Promise.all(reads)
    return { slices: slices.filter(slice => slice !== null), next }
  }

  /** The first message stored at or after a time, or the last at or before it; -1 when what was copied has none. */
  async offsetByTime(timestampMs: number, boundary: 'LOWER' | 'UPPER'): Promise<number> {
    let last = -1
    for (const file of [...this.files]) {
      const { count } = file
      const view = viewOf(await file.unitsOf())
      let low = 0
      let high = count
      while (low < high) {
        const middle = Math.floor((low + high) / 2)
        const time = readI64(view, middle * UNIT_BYTES + at.storeTimestamp)
        if (boundary === 'LOWER' ? time >= timestampMs : time > timestampMs) high = middle
        else low = middle + 1
      }
      const baseOf = (unit: number) => readI64(view, unit * UNIT_BYTES + at.base)
      if (boundary === 'LOWER' && low < count) return baseOf(low)
      if (boundary === 'UPPER' && low > 0) last = baseOf(low - 1)
      if (boundary === 'UPPER' && low < count) break
    }
    return last
  }

  /** Where the next file begins; behind all of them the CommitLog goes on. */
  private firstBehind(offset: number): number {
    return this.files.find(each => each.count > 0 && each.firstOffset > offset)?.firstOffset ?? this.maxOffset
  }

  private async recordAt(file: CompactedFile, place: number, size: number, queueOffset: number): Promise<Slice | null> {
    const bytes = Buffer.allocUnsafe(size)
    if ((await file.records.readAsync(bytes, place - file.records.startOffset)) < size) return null
    const cursor = new RecordCursor()
    const isThere =
      cursor.at(viewOf(bytes), bytes, 0, size) === RecordCheck.OK &&
      cursor.queueOffset === queueOffset &&
      cursor.topic === this.topic &&
      cursor.bodyCrcOk()
    return isThere ? { bytes, start: 0, end: size } : null
  }

  /** Rewrites all files but the last one without messages whose key has a newer one. Returns the last offset that counted, -1 when nothing was to do. */
  async compact(compactedUntil: number): Promise<number> {
    const closed = this.files.slice(0, -1)
    if (!closed.some(file => file.lastOffset > compactedUntil)) return -1
    const newest = new Map<string, number>()
    let lastOffset = -1
    for (const file of closed) {
      if (file.lastOffset <= compactedUntil) continue
      if (newest.size > MAX_KEYS) break
      let count = 0
      for await (const { cursor } of file.walk(0)) {
        count++
        if (cursor.queueOffset <= compactedUntil) continue
        newest.set(keyOf(cursor), cursor.queueOffset)
        lastOffset = cursor.queueOffset
      }
      if (count < file.count)
        throw new EngineError('COMPACTED_DAMAGED', { path: file.records.path, count, expected: file.count })
    }
    // What a compaction that failed has left.
    await this.forgetCompacting()
    const target = new CompactedQueue(this.topic, this.queueId, compactingIn(this.places))
    for (const file of closed)
      for await (const { cursor, bytes, start } of file.walk(0)) {
        const { queueOffset, sizeBytes } = cursor
        const isNewest = queueOffset >= (newest.get(keyOf(cursor)) ?? -1) && cursor.bodyEnd > cursor.bodyStart
        if (queueOffset > lastOffset || isNewest)
          await target.append(bytes, start, start + sizeBytes, tagsCodeOfRecord(cursor))
      }
    target.files.at(-1)?.close()
    for (const file of target.files) await file.sync()
    const names = (list: CompactedFile[]) => list.map(({ records }) => fileNameOf(records.startOffset))
    const plan: Plan = { made: names(target.files), replaced: names(closed) }
    const { files, logDir } = compactingIn(this.places)
    files.makeDirectory(logDir)
    await writeFileAtomically(files, join(logDir, PLAN), JSON.stringify(plan))
    // From here on without a pause: readers see the old files or the new ones.
    for (const file of [...closed, ...target.files]) file.release()
    this.replace(plan)
    const made = target.files.map(file => file.movedTo(this.places))
    this.files = [...made, ...this.files.slice(closed.length)]
    await this.forgetCompacting()
    return lastOffset
  }

  close(): void {
    for (const file of this.files) file.release()
  }
}

const keyOf = (cursor: RecordCursor): string =>
  decodeProperties(cursor.propertiesText).get(PropertyName.KEYS)?.trim() ?? ''

export interface CompactionParts {
  files: Files
  openFiles: OpenFiles
  dir: string
  options: StoreOptions
  queues: ConsumeQueueStore
  clock: Clock
  log: Log
  readRecord: RecordReader
}

/**
 * Topics of which at least the newest message of each key is kept, however old it is: their messages are copied from the
 * CommitLog before each checkpoint, so before their files can be deleted. CompactionStore, CompactionService
 */
export class Compaction {
  readonly topics = new Set<string>()
  private readonly parts: CompactionParts
  private readonly queues = new Map<string, CompactedQueue>()
  /** By `topic_queue`: up to where the keys of a queue were compared. */
  private positions: Record<string, number> = {}
  private cleanStop = true
  private cancelTimer: (() => void) | null = null
  private running: Promise<void> = Promise.resolve()
  private stopped = false

  constructor(parts: CompactionParts) {
    this.parts = parts
  }

  private get logDir(): string {
    return join(this.parts.dir, 'compactionLog')
  }

  private get unitsDir(): string {
    return join(this.parts.dir, 'compactionCq')
  }

  private get positionPath(): string {
    return join(this.parts.dir, 'position-checkpoint')
  }

  /** Opens what is there, and what the caller knows of. */
  async load(topics: Iterable<string>, cleanStop: boolean): Promise<void> {
    const { files } = this.parts
    this.cleanStop = cleanStop
    if (!this.parts.options.enableCompaction) return
    for (const entry of files.list(this.logDir)) if (!entry.isFile) this.topics.add(entry.name)
    for (const topic of topics) this.topics.add(topic)
    if (this.topics.size === 0) return
    const saved = readFileOrBackup(files, this.positionPath, text => JSON.parse(text) as Record<string, unknown>)
    this.positions = (saved?.queueOffsetMap ?? {}) as Record<string, number>
    for (const topic of this.topics)
      for (const entry of files.list(join(this.logDir, topic)))
        if (!entry.isFile && /^\d{1,9}$/.test(entry.name)) await this.queueOf(topic, Number(entry.name))
    this.later()
  }

  /** From now on a topic is one of these. */
  add(topic: string): void {
    if (!this.parts.options.enableCompaction) return
    this.topics.add(topic)
    this.later()
  }

  private later(): void {
    if (this.stopped || this.topics.size === 0) return
    const { clock, options, log } = this.parts
    this.cancelTimer ??= clock.after(options.compactionScheduleInternalMs, () => {
      this.cancelTimer = null
      this.run()
        .catch(error => log.error({ err: error }, 'compacting topics failed: it is tried again'))
        .finally(() => this.later())
    })
  }

  private async queueOf(topic: string, queueId: number): Promise<CompactedQueue> {
    const key = `${topic}_${queueId}`
    const known = this.queues.get(key)
    if (known !== undefined) return known
    const { files, openFiles, options, log, queues } = this.parts
    const logDir = join(this.logDir, topic, String(queueId))
    const unitsDir = join(this.unitsDir, topic, String(queueId))
    const sizes = compactedFileSizes(options.compactionMappedFileSizeBytes, options.compactionCqMappedFileSizeBytes)
    const queue = new CompactedQueue(topic, queueId, {
      files,
      openFiles,
      logDir,
      unitsDir,
      logFileBytes: this.fileSizeIn(logDir, sizes.logFileBytes),
      unitsFileBytes: this.fileSizeIn(unitsDir, sizes.unitsFileBytes),
      log
    })
    const { minOffset = 0, maxOffset = 0 } = queues.find(topic, queueId) ?? {}
    await queue.load(this.cleanStop, minOffset, maxOffset)
    this.queues.set(key, queue)
    return queue
  }

  /** What is there decides: a queue keeps the sizes that it began with. Its only file may not have come to its full size. */
  private fileSizeIn(dir: string, size: number): number {
    const found = this.parts.files.list(dir).filter(entry => entry.isFile && SEGMENT.test(entry.name))
    const first = found[0]?.sizeBytes ?? size
    return found.length > 1 ? first : Math.max(first, size)
  }

  private find(topic: string, queueId: number): CompactedQueue | undefined {
    return this.queues.get(`${topic}_${queueId}`)
  }

  /** The first offset of a queue that is kept; -1 when none was copied yet. */
  minOffset(topic: string, queueId: number): number {
    return this.find(topic, queueId)?.minOffset ?? -1
  }

  /** Of what was copied, the first message stored at or after a time, or the last at or before it; -1 without one. */
  async offsetByTime(
    topic: string,
    queueId: number,
    timestampMs: number,
    boundary: 'LOWER' | 'UPPER'
  ): Promise<number> {
    return (await this.find(topic, queueId)?.offsetByTime(timestampMs, boundary)) ?? -1
  }

  /** Messages from an offset on, or null when the CommitLog alone has what follows it. CompactionLog#getMessage */
  async read(
    topic: string,
    queueId: number,
    offset: number,
    maxCount: number,
    filter: MessageFilter | null
  ): Promise<GetResult | null> {
    const queue = this.find(topic, queueId)
    const index = this.parts.queues.find(topic, queueId)
    if (queue === undefined || index === undefined || !(offset >= 0 && offset < queue.maxOffset)) return null
    const { minOffset } = queue
    const { maxOffset } = index
    const nothing = { minOffset, maxOffset, sizeBytes: 0, messageCount: 0, slices: [] }
    if (offset < minOffset) return { status: 'OFFSET_TOO_SMALL', nextBeginOffset: minOffset, ...nothing }
    const { maxTransferCountOnMessageInMemory: count, maxTransferBytesOnMessageInMemory: bytes } = this.parts.options
    const { slices, next } = await queue.read(offset, Math.min(maxCount, count), bytes, filter)
    if (slices.length === 0)
      return { status: 'NO_MATCHED_MESSAGE', nextBeginOffset: Math.max(next, offset + 1), ...nothing }
    const sizeBytes = slices.reduce((sum, { start, end }) => sum + end - start, 0)
    return {
      status: 'FOUND',
      nextBeginOffset: next,
      minOffset,
      maxOffset,
      sizeBytes,
      messageCount: slices.length,
      slices
    }
  }

  /** Copies what came since the last time and makes it durable. CommitLogDispatcherCompaction */
  copy(): Promise<void> {
    if (this.topics.size === 0) return this.running
    return this.inTurn(async () => {
      for (const topic of this.topics)
        for (const queueId of this.parts.queues.queueIds(topic)) await this.copyQueue(topic, queueId)
    })
  }

  private async copyQueue(topic: string, queueId: number): Promise<void> {
    const index = this.parts.queues.find(topic, queueId)
    if (index === undefined || index.isMulti) return
    const queue = await this.queueOf(topic, queueId)
    const end = index.maxOffset
    let offset = Math.max(queue.maxOffset, index.minOffset)
    if (offset >= end) return
    for (; offset < end && this.topics.has(topic); offset = index.nextAt(offset)) {
      if (index.readyUntil(offset, Number.POSITIVE_INFINITY) <= offset) await index.load(offset)
      if (!index.isReal(offset)) continue
      const physicalOffset = index.physicalAt(offset)
      const record = await this.parts.readRecord(physicalOffset, index.sizeAt(offset))
      if (record === null) continue
      const cursor = new RecordCursor()
      if (cursor.at(viewOf(record), record, 0, record.length) !== RecordCheck.OK || keyOf(cursor) === '') continue
      if (readI64(viewOf(record), RECORD_HEAD.at.queueOffset) < queue.maxOffset) continue
      await queue.append(record, 0, record.length, tagsCodeOfRecord(cursor))
    }
    await queue.sync()
  }

  /** Compacts all that can be. */
  run(): Promise<void> {
    return this.inTurn(async () => {
      for (const [key, queue] of this.queues) {
        if (this.stopped) return
        const lastOffset = await queue.compact(this.positions[key] ?? -1)
        if (lastOffset < 0) continue
        this.positions[key] = lastOffset
        await this.savePositions()
      }
    })
  }

  private savePositions(): Promise<void> {
    const entries = Object.entries(this.positions).map(([key, offset]) => `\t\t${JSON.stringify(key)}:${offset}`)
    const map = entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n\t}`
    const text = `{\n\t"empty":${entries.length === 0},\n\t"queueOffsetMap":${map}\n}`
    return writeFileAtomically(this.parts.files, this.positionPath, text)
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    this.running = this.running.catch(() => {}).then(work)
    return this.running
  }

  /** Forgets a topic and removes its files. */
  delete(topic: string): Promise<void> {
    this.topics.delete(topic)
    return this.inTurn(async () => {
      for (const [key, queue] of this.queues)
        if (queue.topic === topic) {
          queue.close()
          this.queues.delete(key)
          delete this.positions[key]
        }
      for (const dir of [this.logDir, this.unitsDir]) this.parts.files.removeDirectory(join(dir, topic))
    })
  }

  async close(): Promise<void> {
    this.stopped = true
    this.cancelTimer?.()
    await this.running.catch(() => {})
    for (const queue of this.queues.values()) queue.close()
  }
}
