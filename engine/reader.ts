import { RecordCheck, RecordCursor, viewOf } from '../message/index.ts'
import type { CommitLog } from './commit-log.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { Files } from './files.ts'
import type { StoreOptions } from './options.ts'

/** How a read ended. GetMessageStatus */
export type GetStatus =
  | 'FOUND'
  | 'NO_MATCHED_MESSAGE'
  | 'MESSAGE_WAS_REMOVING'
  | 'OFFSET_FOUND_NULL'
  | 'OFFSET_OVERFLOW_BADLY'
  | 'OFFSET_OVERFLOW_ONE'
  | 'OFFSET_TOO_SMALL'
  | 'NO_MATCHED_LOGIC_QUEUE'
  | 'NO_MESSAGE_IN_QUEUE'
  | 'OFFSET_RESET'

/** Whole records, in place: valid until the event that asked for them ends. */
export interface Slice {
  bytes: Uint8Array
  start: number
  end: number
}

export interface GetResult {
  status: GetStatus
  /** Where to go on. */
  nextBeginOffset: number
  minOffset: number
  maxOffset: number
  sizeBytes: number
  slices: Slice[]
}

/** Which messages a consumer wants, judged by their unit alone. */
export interface MessageFilter {
  matchesTagsCode(tagsCode: number): boolean
}

/** A read looks at so many bytes of units at least, so that a filter that matches rarely still gets on. maxFilterMessageSize */
const MAX_FILTERED_UNITS = 16000 / 20
const NO_SLICES: Slice[] = []

/** Reads messages by queue offset and by physical offset. DefaultMessageStore#getMessage */
export class Reader {
  private readonly files: Files
  private readonly commitLog: CommitLog
  private readonly queues: ConsumeQueueStore
  private readonly options: StoreOptions
  /** What was written before the store was opened may not be in memory. */
  private readonly openedAt: number

  constructor(files: Files, commitLog: CommitLog, queues: ConsumeQueueStore, options: StoreOptions) {
    this.files = files
    this.commitLog = commitLog
    this.queues = queues
    this.options = options
    this.openedAt = commitLog.maxOffset
  }

  /** Whether a record was written so recently that it is in memory: reading it through the map cannot wait for the disk. */
  isHot(physicalOffset: number): boolean {
    return physicalOffset >= this.openedAt && physicalOffset >= this.commitLog.maxOffset - this.options.hotBytes
  }

  /** Messages from a queue offset on. A promise only when the disk must be asked. */
  getMessages(
    topic: string,
    queueId: number,
    offset: number,
    maxCount: number,
    filter: MessageFilter | null
  ): GetResult | Promise<GetResult> {
    const queue = this.queues.find(topic, queueId)
    const answer = (status: GetStatus, nextBeginOffset: number): GetResult => ({
      status,
      nextBeginOffset,
      minOffset: queue?.minOffset ?? 0,
      maxOffset: queue?.maxOffset ?? 0,
      sizeBytes: 0,
      slices: NO_SLICES
    })
    if (queue === undefined) return answer('NO_MATCHED_LOGIC_QUEUE', 0)
    if (queue.maxOffset === 0) return answer('NO_MESSAGE_IN_QUEUE', 0)
    if (offset < queue.minOffset) return answer('OFFSET_TOO_SMALL', queue.minOffset)
    if (offset === queue.maxOffset) return answer('OFFSET_OVERFLOW_ONE', offset)
    if (offset > queue.maxOffset) return answer('OFFSET_OVERFLOW_BADLY', queue.maxOffset)
    return this.collect(queue, offset, maxCount, filter, answer)
  }

  private collect(
    queue: ConsumeQueue,
    offset: number,
    maxCount: number,
    filter: MessageFilter | null,
    answer: (status: GetStatus, next: number) => GetResult
  ): GetResult | Promise<GetResult> {
    const end = Math.min(queue.maxOffset, offset + Math.max(MAX_FILTERED_UNITS, maxCount))
    const hot = this.isHot(queue.physicalAt(offset))
    const o = this.options
    const countLimit = Math.min(maxCount, hot ? o.maxTransferCountOnMessageInMemory : o.maxTransferCountOnMessageInDisk)
    const bytesLimit = hot ? o.maxTransferBytesOnMessageInMemory : o.maxTransferBytesOnMessageInDisk
    const wanted: { physicalOffset: number; sizeBytes: number }[] = []
    let total = 0
    let next = offset
    let removed = false
    for (; next < end; next++) {
      const sizeBytes = queue.sizeAt(next)
      const physicalOffset = queue.physicalAt(next)
      if (wanted.length > 0 && (wanted.length >= countLimit || total + sizeBytes > bytesLimit)) break
      if (!queue.isReal(next) || physicalOffset < this.commitLog.minOffset) {
        removed = true
        continue
      }
      if (filter !== null && !filter.matchesTagsCode(queue.tagsCodeAt(next))) continue
      wanted.push({ physicalOffset, sizeBytes })
      total += sizeBytes
    }
    if (wanted.length === 0) return answer(removed ? 'MESSAGE_WAS_REMOVING' : 'NO_MATCHED_MESSAGE', next)
    const found = (slices: Slice[]): GetResult => {
      if (slices.length === 0) return answer('MESSAGE_WAS_REMOVING', next)
      const sizeBytes = slices.reduce((sum, slice) => sum + slice.end - slice.start, 0)
      return { ...answer('FOUND', next), sizeBytes, slices }
    }
    if (hot) return found(wanted.flatMap(unit => this.mapped(unit.physicalOffset, unit.sizeBytes)))
    return Promise.all(wanted.map(unit => this.read(unit.physicalOffset, unit.sizeBytes))).then(records =>
      found(records.flatMap(bytes => (bytes === null ? [] : [{ bytes, start: 0, end: bytes.length }])))
    )
  }

  private mapped(physicalOffset: number, sizeBytes: number): Slice[] {
    const segment = this.commitLog.segments.at(physicalOffset)
    if (segment === undefined || physicalOffset + sizeBytes > this.commitLog.maxOffset) return []
    const start = physicalOffset - segment.startOffset
    const { bytes, view } = segment.map
    return view.getInt32(start) === sizeBytes ? [{ bytes, start, end: start + sizeBytes }] : []
  }

  private readonly cursor = new RecordCursor()

  /** The whole record at a physical offset, read in the thread pool and checked; null when there is none. */
  async read(physicalOffset: number, sizeBytes?: number): Promise<Uint8Array | null> {
    const segment = this.commitLog.segments.at(physicalOffset)
    if (segment === undefined || physicalOffset < 0 || physicalOffset + 4 > this.commitLog.maxOffset) return null
    const position = physicalOffset - segment.startOffset
    let size = sizeBytes
    if (size === undefined) {
      const head = new Uint8Array(4)
      if ((await this.files.readAsync(segment.fd, head, position)) < 4) return null
      size = viewOf(head).getInt32(0)
    }
    const limit = this.options.maxMessageSizeBytes + 64 * 1024
    if (size <= 4 || size > limit || physicalOffset + size > this.commitLog.maxOffset) return null
    const bytes = Buffer.allocUnsafe(size)
    if ((await this.files.readAsync(segment.fd, bytes, position)) < size) return null
    const whole = this.cursor.at(viewOf(bytes), bytes, 0, size) === RecordCheck.OK && this.cursor.sizeBytes === size
    return whole && this.cursor.physicalOffset === physicalOffset ? bytes : null
  }

  /** Store time of a message, ms; -1 when it is gone. */
  async storeTime(queue: ConsumeQueue, queueOffset: number): Promise<number> {
    if (queueOffset < queue.minOffset || queueOffset >= queue.maxOffset || !queue.isReal(queueOffset)) return -1
    const record = await this.read(queue.physicalAt(queueOffset), queue.sizeAt(queueOffset))
    if (record === null) return -1
    this.cursor.at(viewOf(record), record, 0, record.length)
    return this.cursor.storeTimestamp
  }

  /** LOWER: the first offset stored at or after a time; UPPER: the last at or before it. ConsumeQueue#binarySearchInQueueByTime */
  async offsetByTime(
    topic: string,
    queueId: number,
    timestampMs: number,
    boundary: 'LOWER' | 'UPPER'
  ): Promise<number> {
    const queue = this.queues.find(topic, queueId)
    if (queue === undefined) return 0
    let low = queue.minOffset
    let high = queue.maxOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const time = await this.storeTime(queue, middle)
      if (boundary === 'LOWER' ? time < timestampMs : time <= timestampMs) low = middle + 1
      else high = middle
    }
    return boundary === 'LOWER' ? low : Math.max(queue.minOffset, low - 1)
  }
}
