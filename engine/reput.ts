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
import type { MappedFileQueue } from './mapped-file.ts'

/** A message can be pulled now; `maxQueueOffset` is behind it. */
export type ArrivalListener = (
  topic: string,
  queueId: number,
  maxQueueOffset: number,
  tagsCode: number,
  physicalOffset: number
) => void

const RETRY_AFTER_MS = 1000
const SPACE = 0x20

/**
 * Follows the log and builds what is derived from it: ConsumeQueue units, index entries, then the notice that messages
 * arrived. A pure function of the log: doing it again changes nothing. ReputMessageService
 */
export class Reput implements LogFollower {
  /** Up to here the log is dispatched. */
  offset = 0
  onArrival: ArrivalListener | null = null
  /** Topics with another kind of queue, whose units are not built here. */
  readonly otherQueues = new Set<string>()

  private readonly segments: () => MappedFileQueue
  private readonly queues: ConsumeQueueStore
  private readonly index: KeyIndex | null
  private readonly delaysMs: readonly number[]
  private readonly clock: Clock
  private readonly log: Log
  private readonly cursor = new RecordCursor()
  private readonly scan = new PropertyScan()
  private readonly topics = new Interner()
  private indexedUntil = 0
  private stalled = false

  constructor(
    segments: () => MappedFileQueue,
    queues: ConsumeQueueStore,
    index: KeyIndex | null,
    delaysMs: readonly number[],
    clock: Clock,
    log: Log
  ) {
    this.segments = segments
    this.queues = queues
    this.index = index
    this.delaysMs = delaysMs
    this.clock = clock
    this.log = log
  }

  /** Entries at or below this physical offset are filed already. */
  indexFrom(physicalOffset: number): void {
    this.indexedUntil = physicalOffset
  }

  follow(endOffset: number, bytes: Buffer | null, view: DataView | null, base: number): void {
    if (bytes !== null && view !== null && this.offset === base) this.run(view, bytes, 0, endOffset - base, base)
    while (this.offset < endOffset && !this.stalled) {
      const segment = this.segments().at(this.offset)
      if (segment === undefined) return
      const { map, startOffset } = segment
      const before = this.offset
      this.run(
        map.view,
        map.bytes,
        before - startOffset,
        Math.min(endOffset, segment.endOffset) - startOffset,
        startOffset
      )
      if (this.offset === before) return
    }
  }

  /** Dispatches the records in bytes[pos, end), which lie at `base` + position in the log. */
  private run(view: DataView, bytes: Buffer, pos: number, end: number, base: number): void {
    const { cursor } = this
    try {
      while (pos < end) {
        const check = cursor.at(view, bytes, pos, end)
        if (check === RecordCheck.BLANK) {
          this.offset = base + pos + cursor.sizeBytes
          return
        }
        if (check !== RecordCheck.OK) return
        this.dispatch(bytes, base + pos)
        pos += cursor.sizeBytes
        this.offset = base + pos
      }
    } catch (error) {
      this.stall(error)
    }
  }

  /** Dispatches the record that the cursor of the caller stands on. */
  dispatchAt(view: DataView, bytes: Buffer, pos: number, limit: number, base: number): void {
    if (this.cursor.at(view, bytes, pos, limit) === RecordCheck.OK) this.dispatch(bytes, base + pos)
  }

  private dispatch(bytes: Buffer, physicalOffset: number): void {
    const { cursor, scan } = this
    const topic = this.topics.get(bytes, cursor.topicStart, cursor.topicEnd)
    const { sysFlag, sizeBytes, storeTimestamp } = cursor
    scan.scan(bytes, cursor.propertiesStart, cursor.propertiesEnd)
    const transaction = sysFlag & SysFlag.TRANSACTION_MASK
    if (transaction !== SysFlag.PREPARED && transaction !== SysFlag.ROLLBACK && !this.otherQueues.has(topic)) {
      const tagsCode = this.tagsCode(topic, bytes, storeTimestamp)
      const queue = this.queues.get(topic, cursor.queueId)
      const { queueOffset, queueId } = cursor
      const isNew = queueOffset >= queue.maxOffset
      queue.put(queueOffset, physicalOffset, sizeBytes, tagsCode)
      if (isNew && this.onArrival !== null) this.onArrival(topic, queueId, queue.maxOffset, tagsCode, physicalOffset)
    }
    if (this.index !== null && transaction !== SysFlag.ROLLBACK && physicalOffset > this.indexedUntil - 1)
      this.file(topic, bytes, physicalOffset, storeTimestamp)
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

  /** One entry for the unique key, one for each key. IndexService#buildIndex */
  private file(topic: string, bytes: Buffer, physicalOffset: number, storeTimestamp: number): void {
    const { scan } = this
    const unique = scan.start(ScannedProperty.UNIQ_KEY)
    if (unique >= 0)
      this.index!.put(
        topic,
        bytes.toString('latin1', unique, scan.end(ScannedProperty.UNIQ_KEY)),
        physicalOffset,
        storeTimestamp
      )
    let start = scan.start(ScannedProperty.KEYS)
    if (start < 0) return
    const end = scan.end(ScannedProperty.KEYS)
    for (let i = start; i <= end; i++) {
      if (i < end && bytes[i] !== SPACE) continue
      if (i > start) this.index!.put(topic, bytes.toString('utf8', start, i), physicalOffset, storeTimestamp)
      start = i + 1
    }
  }

  /** A full disk stops what is derived, not the log: it is taken up again where it stopped. */
  private stall(error: unknown): void {
    if (!this.stalled)
      this.log.error({ err: error }, 'ConsumeQueue and index cannot be written; trying again every second')
    this.stalled = true
    this.clock.after(RETRY_AFTER_MS, () => {
      this.stalled = false
      this.resume?.()
    })
  }

  /** Set by the store: follows the log up to where it may. */
  resume: (() => void) | null = null
}
