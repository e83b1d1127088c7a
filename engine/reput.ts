import {
  Interner,
  javaHashCodeOfBytes,
  PropertyScan,
  RecordCheck,
  RecordCursor,
  SCHEDULE_TOPIC,
  ScannedProperty,
  SysFlag
} from '../message/index.ts'
import type { Clock } from './clock.ts'
import type { LogFollower } from './commit-log.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { KeyIndex } from './key-index.ts'
import type { Log } from './log.ts'
import { LogScanner, type ScanListener } from './log-scanner.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import type { StoreNotes } from './store-notes.ts'

/** A message can be pulled now; `maxQueueOffset` is behind it. */
export type ArrivalListener = (
  topic: string,
  queueId: number,
  maxQueueOffset: number,
  tagsCode: number,
  physicalOffset: number
) => void

/** Puts the unit of a record where it belongs. */
export type Placer = (
  topic: string,
  queueId: number,
  queueOffset: number,
  physicalOffset: number,
  sizeBytes: number,
  tagsCode: number
) => void

const RETRY_AFTER_MS = 1000
const SPACE = 0x20

/**
 * Follows the log and builds what is derived from it: ConsumeQueue units, the notice that messages arrived, index entries.
 * A pure function of the log: doing it again changes nothing. ReputMessageService
 */
export class Reput implements LogFollower {
  /** Up to here the log is dispatched. */
  offset = 0
  /** Why it cannot go on now; null when all is well. */
  failure: string | null = null
  onArrival: ArrivalListener | null = null
  /** Called when something was dispatched. */
  onDispatched: (() => void) | null = null
  /** Hears of parts of the log that could not be read back. */
  onDamage: ((from: number, to: number) => void) | null = null
  /** Topics with another kind of queue, whose units are not built here. */
  readonly otherQueues = new Set<string>()
  /** Records up to this physical offset are in the index. */
  indexedUntil = -1

  /** Up to here the log may be followed. */
  private end = 0
  private reading = false
  private caughtUp: Promise<void> = Promise.resolve()
  private failing = false
  private cancelRetry: (() => void) | null = null
  /** How many keys of the record at `offset` were filed before the disk refused, and which one is at hand. */
  private filed = 0
  private keyNumber = 0

  private readonly segments: MappedFileQueue
  private readonly queues: ConsumeQueueStore
  private readonly index: KeyIndex | null
  private readonly notes: StoreNotes
  private readonly delaysMs: readonly number[]
  private readonly clock: Clock
  private readonly log: Log
  private readonly cursor = new RecordCursor()
  private readonly scan = new PropertyScan()
  private readonly topics = new Interner()

  constructor(
    segments: MappedFileQueue,
    queues: ConsumeQueueStore,
    index: KeyIndex | null,
    notes: StoreNotes,
    delaysMs: readonly number[],
    clock: Clock,
    log: Log
  ) {
    this.segments = segments
    this.queues = queues
    this.index = index
    this.notes = notes
    this.delaysMs = delaysMs
    this.clock = clock
    this.log = log
  }

  follow(endOffset: number, bytes: Buffer | null, view: DataView | null, base: number): void {
    this.end = endOffset
    if (this.failure !== null || this.reading) return
    if (bytes !== null && view !== null && this.offset === base) this.run(view, bytes, endOffset - base, base)
    else void this.catchUp()
    this.onDispatched?.()
  }

  /** Dispatches the records in bytes[0, end), which lie at `base` + position in the log. */
  private run(view: DataView, bytes: Buffer, end: number, base: number): void {
    const { cursor } = this
    for (let pos = 0; pos < end && this.failure === null; ) {
      if (cursor.at(view, bytes, pos, end) === RecordCheck.BLANK) {
        this.offset = base + pos + cursor.sizeBytes
        return
      }
      const { sizeBytes } = cursor
      if (!this.tryDispatch(cursor, bytes, base + pos)) return
      pos += sizeBytes
      this.offset = base + pos
    }
  }

  /** Reads the log from where it is dispatched to where it may be followed. Resolves there, or when the disk refuses. */
  catchUp(): Promise<void> {
    if (!this.reading) this.caughtUp = this.readOn()
    return this.caughtUp
  }

  private async readOn(): Promise<void> {
    const scanner = new LogScanner(this.segments, false, this.clock, this.log)
    this.reading = true
    while (this.offset < this.end && this.failure === null) {
      const { end } = this
      const validEnd = await scanner.scan(this.offset, end, this.listener)
      if (this.failure !== null || this.segments.at(validEnd - 1) === undefined) break
      this.offset = validEnd
      if (validEnd < end) this.skip(validEnd, end)
    }
    this.reading = false
  }

  private readonly listener: ScanListener = {
    onRecord: (cursor, bytes, physicalOffset) => {
      const { sizeBytes } = cursor
      if (!this.tryDispatch(cursor, bytes, physicalOffset)) return false
      this.offset = physicalOffset + sizeBytes
      return true
    },
    onDamage: (from, to) => this.skip(from, to),
    onProgress: () => {}
  }

  private skip(from: number, to: number): void {
    this.onDamage?.(from, to)
    this.offset = to
  }

  private tryDispatch(cursor: RecordCursor, bytes: Buffer, physicalOffset: number): boolean {
    try {
      this.dispatch(cursor, bytes, physicalOffset, this.place)
      if (this.failing) this.recovered()
      return true
    } catch (error) {
      this.stall(error)
      return false
    }
  }

  /** Builds what is derived from one record. Throws what the disk says, and can then be done again. */
  dispatch(cursor: RecordCursor, bytes: Buffer, physicalOffset: number, place: Placer): void {
    const { scan } = this
    const topic = this.topics.get(bytes, cursor.topicStart, cursor.topicEnd)
    const { sysFlag, sizeBytes, storeTimestamp, queueId, queueOffset } = cursor
    scan.scan(bytes, cursor.propertiesStart, cursor.propertiesEnd)
    const transaction = sysFlag & SysFlag.TRANSACTION_MASK
    if (transaction !== SysFlag.PREPARED && transaction !== SysFlag.ROLLBACK && this.isQueued(topic, physicalOffset))
      place(topic, queueId, queueOffset, physicalOffset, sizeBytes, this.tagsCode(topic, bytes, storeTimestamp))
    if (this.index !== null && transaction !== SysFlag.ROLLBACK && physicalOffset > this.indexedUntil)
      this.file(this.index, topic, bytes, physicalOffset, storeTimestamp)
  }

  private isQueued(topic: string, physicalOffset: number): boolean {
    if (this.otherQueues.size > 0 && this.otherQueues.has(topic)) return false
    const { deletedTopics } = this.notes
    return deletedTopics.size === 0 || physicalOffset >= (deletedTopics.get(topic) ?? 0)
  }

  private readonly place: Placer = (topic, queueId, queueOffset, physicalOffset, sizeBytes, tagsCode) => {
    const queue = this.queues.get(topic, queueId)
    // It is there when the disk refused the index entries behind it.
    if (queueOffset < queue.maxOffset) return
    queue.append(queueOffset, physicalOffset, sizeBytes, tagsCode)
    try {
      this.onArrival?.(topic, queueId, queue.maxOffset, tagsCode, physicalOffset)
    } catch (error) {
      this.log.error({ err: error, topic, queueId }, 'the notice of an arrival failed')
    }
  }

  /** Of a delayed message the time at which it is due. ConsumeQueue units of SCHEDULE_TOPIC_XXXX; MessageDecoder#decodeTagsCode */
  private tagsCode(topic: string, bytes: Buffer, storeTimestamp: number): number {
    const { scan } = this
    if (topic === SCHEDULE_TOPIC && scan.has(ScannedProperty.DELAY)) {
      const level = Math.min(Number(scan.text(ScannedProperty.DELAY)), this.delaysMs.length)
      if (level > 0) return storeTimestamp + (this.delaysMs[level - 1] ?? 1000)
    }
    const start = scan.start(ScannedProperty.TAGS)
    return start < 0 ? 0 : javaHashCodeOfBytes(bytes, start, scan.end(ScannedProperty.TAGS))
  }

  /** One entry for the unique key, one for each key, one for the tag. IndexService#buildIndex */
  private file(index: KeyIndex, topic: string, bytes: Buffer, physicalOffset: number, storeTimestamp: number): void {
    const { scan } = this
    this.keyNumber = 0
    const unique = scan.start(ScannedProperty.UNIQ_KEY)
    if (unique >= 0)
      this.fileKey(
        index,
        'key',
        topic,
        bytes,
        unique,
        scan.end(ScannedProperty.UNIQ_KEY),
        physicalOffset,
        storeTimestamp
      )
    let start = scan.start(ScannedProperty.KEYS)
    const end = scan.end(ScannedProperty.KEYS)
    for (let i = start; start >= 0 && i <= end; i++) {
      if (i < end && bytes[i] !== SPACE) continue
      if (i > start) this.fileKey(index, 'key', topic, bytes, start, i, physicalOffset, storeTimestamp)
      start = i + 1
    }
    const tag = scan.start(ScannedProperty.TAGS)
    if (tag >= 0)
      this.fileKey(index, 'tag', topic, bytes, tag, scan.end(ScannedProperty.TAGS), physicalOffset, storeTimestamp)
    this.filed = 0
  }

  /** Files a key unless it was filed before the disk refused one behind it. */
  private fileKey(
    index: KeyIndex,
    kind: 'key' | 'tag',
    topic: string,
    bytes: Buffer,
    start: number,
    end: number,
    physicalOffset: number,
    storeTimestamp: number
  ): void {
    if (this.keyNumber++ < this.filed) return
    index.put(kind, topic, bytes, start, end, physicalOffset, storeTimestamp)
    this.filed = this.keyNumber
  }

  /** A full disk stops what is derived, not the log: it is taken up again where it stopped. */
  stall(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException
    this.failure = code === 'ENOSPC' ? 'the disk is full' : `ConsumeQueue or index cannot be written: ${message}`
    if (!this.failing) this.log.error({ err: error }, `${this.failure}; trying again every second`)
    this.failing = true
    this.cancelRetry = this.clock.after(RETRY_AFTER_MS, () => {
      this.failure = null
      void this.catchUp()
    })
  }

  private recovered(): void {
    this.failing = false
    this.log.info({}, 'ConsumeQueue and index can be written again')
  }

  close(): void {
    this.cancelRetry?.()
  }
}
