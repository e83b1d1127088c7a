import {
  BLANK_BYTES,
  Interner,
  javaHashCodeOfBytes,
  PropertyScan,
  RECORD_HEAD,
  RecordCheck,
  RecordCursor,
  RecordMagic,
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
import { allowsLmq, isLmqName, LMQ_SEPARATOR, MAX_BATCH_COUNT } from './record-extension.ts'
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
  tagsCode: number,
  storeTimestamp: number,
  count: number
) => void

const SPACE = 0x20

/**
 * Follows the log and builds what is derived from it: ConsumeQueue units, the notice that messages arrived, index entries.
 * A pure function of the log: doing it again changes nothing. ReputMessageService
 */
export class Reput implements LogFollower {
  /** Up to here the log is dispatched. */
  offset = 0
  onArrival: ArrivalListener | null = null
  /** Called before each record: what must be read from the disk first is read, or nothing of the record is done. */
  beforeDispatch: (() => void) | null = null
  /** Hears that a record cannot be dispatched now: `catchUp` then goes on with it. */
  onFailure: ((error: unknown) => void) | null = null
  /** Called when something was dispatched. */
  onDispatched: (() => void) | null = null
  /** Hears of parts of the log that could not be read back. */
  onDamage: ((from: number, to: number) => void) | null = null
  /** Whether messages are listed in the LMQ queues that they name. */
  multiDispatch = false
  /** Records up to this physical offset are in the index. */
  indexedUntil = -1

  /** Up to here the log may be followed. */
  private end = 0
  private reading = false
  /** Kept, for its buffer is large. */
  private scanner: LogScanner | null = null
  private stalled = false
  private caughtUp: Promise<void> = Promise.resolve()

  private readonly segments: MappedFileQueue
  private readonly queues: Pick<ConsumeQueueStore, 'get' | 'expectBatches'>
  private readonly index: Pick<KeyIndex, 'put'> | null
  private readonly notes: StoreNotes
  private readonly delaysMs: readonly number[]
  private readonly clock: Clock
  private readonly log: Log
  private readonly cursor = new RecordCursor()
  private readonly scan = new PropertyScan()
  private readonly topics = new Interner()

  constructor(
    segments: MappedFileQueue,
    queues: Pick<ConsumeQueueStore, 'get' | 'expectBatches'>,
    index: Pick<KeyIndex, 'put'> | null,
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
    if (this.reading || this.stalled) return
    if (bytes !== null && view !== null && this.offset === base) this.run(view, bytes, endOffset - base, base)
    else void this.catchUp()
    this.onDispatched?.()
  }

  /** Dispatches the records in bytes[0, end), which lie at `base` + position in the log. */
  private run(view: DataView, bytes: Buffer, end: number, base: number): void {
    const { cursor } = this
    for (let pos = 0; pos < end; ) {
      if (cursor.at(view, bytes, pos, end) === RecordCheck.BLANK) {
        this.offset = base + pos + cursor.sizeBytes
        return
      }
      const { sizeBytes } = cursor
      try {
        this.dispatch(cursor, bytes, base + pos, this.place)
      } catch (error) {
        this.stall(error)
        return
      }
      pos += sizeBytes
      this.offset = base + pos
    }
  }

  private stall(error: unknown): void {
    this.stalled = true
    this.onFailure?.(error)
  }

  /** Reads the log from where it is dispatched to where it may be followed. Resolves there, or when the disk refuses. */
  catchUp(): Promise<void> {
    this.stalled = false
    if (!this.reading) this.caughtUp = this.readOn()
    return this.caughtUp
  }

  private async readOn(): Promise<void> {
    this.scanner ??= new LogScanner(this.segments, false, this.clock, this.log)
    const { scanner } = this
    this.reading = true
    while (this.offset < this.end) {
      const { end } = this
      try {
        const validEnd = await scanner.scan(this.offset, end, this.listener)
        if (this.segments.at(validEnd - 1) === undefined) break
        this.offset = validEnd
        if (validEnd >= end) continue
        if (!this.isPart(validEnd, end)) this.skip(validEnd, end)
        else if (this.end === end) break
      } catch (error) {
        this.stall(error)
        break
      }
    }
    this.reading = false
  }

  /** Whether a record begins here that ends behind `end`: where replicas are, the log may be followed up to its middle. */
  private isPart(from: number, end: number): boolean {
    const segment = this.segments.at(from)
    if (segment === undefined || segment.endOffset - from < BLANK_BYTES) return false
    if (end - from < BLANK_BYTES) return true
    const head = Buffer.alloc(BLANK_BYTES)
    segment.read(head, from - segment.startOffset)
    const size = head.readInt32BE(0)
    const magic = head.readInt32BE(RECORD_HEAD.at.magic)
    const isRecord = magic === RecordMagic.V1 || magic === RecordMagic.V2
    return isRecord && size > end - from && from + size <= segment.endOffset
  }

  private readonly listener: ScanListener = {
    onRecord: (cursor, bytes, physicalOffset) => {
      const { sizeBytes } = cursor
      this.dispatch(cursor, bytes, physicalOffset, this.place)
      this.offset = physicalOffset + sizeBytes
    },
    onDamage: (from, to) => this.skip(from, to),
    onProgress: () => {}
  }

  private skip(from: number, to: number): void {
    this.onDamage?.(from, to)
    this.offset = to
  }

  /** Whether something derived could not be written: what follows waits for `catchUp`. */
  get isStalled(): boolean {
    return this.stalled
  }

  /** Builds what is derived from one record: gives each queue that lists it to `place`, and files it in the index. */
  dispatch(cursor: RecordCursor, bytes: Buffer, physicalOffset: number, place: Placer, files = true): void {
    const { scan } = this
    this.beforeDispatch?.()
    const topic = this.topics.get(bytes, cursor.topicStart, cursor.topicEnd)
    const { sysFlag, sizeBytes, storeTimestamp, queueId, queueOffset } = cursor
    scan.scan(bytes, cursor.propertiesStart, cursor.propertiesEnd)
    const transaction = sysFlag & SysFlag.TRANSACTION_MASK
    if (transaction !== SysFlag.PREPARED && transaction !== SysFlag.ROLLBACK && this.isQueued(topic, physicalOffset)) {
      const tagsCode = this.tagsCode(topic, bytes, storeTimestamp)
      const count = sysFlag & SysFlag.INNER_BATCH ? this.countOfBatch(topic) : 1
      place(topic, queueId, queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
      if (this.multiDispatch && scan.has(ScannedProperty.INNER_MULTI_QUEUE_OFFSET) && allowsLmq(topic))
        this.placeInLmqs(physicalOffset, sizeBytes, tagsCode, storeTimestamp, place)
    }
    if (files && this.index !== null && transaction !== SysFlag.ROLLBACK && physicalOffset > this.indexedUntil)
      this.file(this.index, topic, bytes, physicalOffset, storeTimestamp)
  }

  /** How many messages an inner batch says that it holds. CommitLog#checkMessageAndReturnSize */
  private countOfBatch(topic: string): number {
    this.queues.expectBatches(topic)
    const count = Number(this.scan.text(ScannedProperty.INNER_NUM))
    return count > 0 && count <= MAX_BATCH_COUNT ? Math.trunc(count) : 1
  }

  /** Lists a message in each LMQ queue that it names. ConsumeQueue#multiDispatchLmqQueue */
  private placeInLmqs(
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    place: Placer
  ): void {
    const names = this.scan.text(ScannedProperty.INNER_MULTI_DISPATCH)?.split(LMQ_SEPARATOR) ?? []
    const offsets = this.scan.text(ScannedProperty.INNER_MULTI_QUEUE_OFFSET)!.split(LMQ_SEPARATOR)
    if (offsets.length !== names.length) return
    names.forEach((name, i) => {
      if (!isLmqName(name) || !/^\d{1,15}$/.test(offsets[i]!) || !this.isQueued(name, physicalOffset)) return
      place(name, 0, Number(offsets[i]), physicalOffset, sizeBytes, tagsCode, storeTimestamp, 1)
    })
  }

  private isQueued(topic: string, physicalOffset: number): boolean {
    const { deletedTopics } = this.notes
    return deletedTopics.size === 0 || physicalOffset >= (deletedTopics.get(topic) ?? 0)
  }

  private readonly place: Placer = (
    topic,
    queueId,
    queueOffset,
    physicalOffset,
    sizeBytes,
    tagsCode,
    storeTimestamp,
    count
  ) => {
    const queue = this.queues.get(topic, queueId)
    // It is there when the disk refused another of the record's queues.
    if (queueOffset < queue.maxOffset) return
    queue.append(queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
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
  private file(
    index: Pick<KeyIndex, 'put'>,
    topic: string,
    bytes: Buffer,
    physicalOffset: number,
    storeTimestamp: number
  ): void {
    const { scan } = this
    const unique = scan.start(ScannedProperty.UNIQ_KEY)
    if (unique >= 0)
      index.put('key', topic, bytes, unique, scan.end(ScannedProperty.UNIQ_KEY), physicalOffset, storeTimestamp)
    let start = scan.start(ScannedProperty.KEYS)
    const end = scan.end(ScannedProperty.KEYS)
    for (let i = start; start >= 0 && i <= end; i++) {
      if (i < end && bytes[i] !== SPACE) continue
      if (i > start) index.put('key', topic, bytes, start, i, physicalOffset, storeTimestamp)
      start = i + 1
    }
    const tag = scan.start(ScannedProperty.TAGS)
    if (tag >= 0) index.put('tag', topic, bytes, tag, scan.end(ScannedProperty.TAGS), physicalOffset, storeTimestamp)
  }
}
