import { totalmem } from 'node:os'
import {
  isSystemTopic,
  RECORD_HEAD,
  RecordCheck,
  RecordCursor,
  RecordMagic,
  readI64,
  storeTimestampAt,
  viewOf
} from '../message/index.ts'
import { BatchConsumeQueue } from './batch-consume-queue.ts'
import type { Clock } from './clock.ts'
import { ColdReads } from './cold-reads.ts'
import type { CommitLog } from './commit-log.ts'
import { CQ_UNIT } from './consume-queue.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { DamageReport } from './damage.ts'
import type { StoreOptions } from './options.ts'
import { isSizeOfMessage, type QueueIndex, UNITS_AT_ONCE } from './queue-index.ts'

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
  /** How many messages the slices hold: more than there are slices where a record is a batch. */
  messageCount: number
  slices: Slice[]
  /** Gives the memory of the slices back for the next reads; who does not call it leaves that to the collector. */
  release?: (() => void) | undefined
}

/** Which messages a consumer wants, judged by their unit alone. */
export interface MessageFilter {
  matchesTagsCode(tagsCode: number): boolean
}

/** Old records with no more than this between them are read at once: one larger read is less work than two small ones. */
const MAX_GAP_BYTES = 32 * 1024
/** So much is read at once. */
const MAX_RUN_BYTES = 512 * 1024
/** Buffers for such reads that are kept for the next ones. */
const MAX_SPARE_BUFFERS = 4
/** So much of a record is read to learn its store time, whatever its hosts. */
const TIMES_BYTES = 80
const NO_SLICES: Slice[] = []

/** One message that a read wants. */
interface Wanted {
  queueOffset: number
  physicalOffset: number
  sizeBytes: number
}

/** Reads messages by queue offset and by physical offset. DefaultMessageStore#getMessage */
export class Reader {
  /** Messages and bytes that were read since the store was opened, and reads that found some or none. */
  gotCount = 0
  gotBytes = 0
  foundCount = 0
  missedCount = 0

  private readonly commitLog: CommitLog
  private readonly queues: ConsumeQueueStore
  private readonly damage: DamageReport
  private readonly options: StoreOptions
  private readonly cursor = new RecordCursor()
  private readonly spareBuffers: Buffer[] = []
  private readonly coldReads: ColdReads
  /** What was written before the store was opened may not be in memory. */
  private readonly openedAt: number
  private readonly inMemoryBytes: number
  private readonly filteredUnits: number

  constructor(
    commitLog: CommitLog,
    queues: ConsumeQueueStore,
    damage: DamageReport,
    options: StoreOptions,
    clock: Clock
  ) {
    this.commitLog = commitLog
    this.queues = queues
    this.damage = damage
    this.options = options
    this.openedAt = commitLog.maxOffset
    this.coldReads = new ColdReads(
      clock,
      () => commitLog.endOffset,
      () => options.coldReadRestRatio
    )
    this.filteredUnits = Math.floor(options.maxFilterMessageSizeBytes / CQ_UNIT.bytes)
    this.inMemoryBytes = (totalmem() * options.accessMessageInMemoryMaxRatio) / 100
  }

  /** Whether a record was written so recently that it is in memory: reading it through the map cannot wait for the disk. */
  private isHot(physicalOffset: number): boolean {
    return physicalOffset >= this.hotFrom
  }

  private get hotFrom(): number {
    return Math.max(this.openedAt, this.commitLog.maxOffset - this.options.hotBytes)
  }

  /**
   * A copy of recent bytes of the log, up to the end of their file; null when they may have to be read from the disk. Parts
   * of the map would not do: they change when the log is cut, and those bytes may still be on their way.
   */
  recentBytes(physicalOffset: number, maxBytes: number): Uint8Array | null {
    const { segments, maxOffset } = this.commitLog
    const segment = this.isHot(physicalOffset) ? segments.at(physicalOffset) : undefined
    const map = segment?.map
    if (segment === undefined || !map) return null
    const { startOffset, endOffset } = segment
    const end = Math.min(physicalOffset + maxBytes, endOffset, maxOffset)
    return Buffer.from(map.bytes.subarray(physicalOffset - startOffset, Math.max(physicalOffset, end) - startOffset))
  }

  /** Whether a record counts as recent: reads of such ones may be larger. DefaultMessageStore#estimateInMemByCommitOffset */
  isInMemory(physicalOffset: number): boolean {
    return this.commitLog.maxOffset - physicalOffset <= this.inMemoryBytes
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
    if (queue === undefined) return this.missed(undefined, 'NO_MATCHED_LOGIC_QUEUE', 0)
    if (queue.maxOffset === 0) return this.missed(queue, 'NO_MESSAGE_IN_QUEUE', 0)
    if (offset < queue.minOffset) return this.missed(queue, 'OFFSET_TOO_SMALL', queue.minOffset)
    if (offset === queue.maxOffset) return this.missed(queue, 'OFFSET_OVERFLOW_ONE', offset)
    if (!(offset < queue.maxOffset)) return this.missed(queue, 'OFFSET_OVERFLOW_BADLY', queue.maxOffset)
    const ready = queue.readyUntil(offset, this.hotFrom)
    if (ready >= Math.min(queue.maxOffset, offset + Math.min(maxCount, UNITS_AT_ONCE)))
      return this.collect(queue, offset, ready, maxCount, filter)
    return queue
      .load(offset)
      .then(() => this.collect(queue, offset, queue.readyUntil(offset, this.hotFrom), maxCount, filter))
  }

  /** Messages whose units lie in front of `ready`; one at least is looked for. */
  private collect(
    queue: QueueIndex,
    offset: number,
    ready: number,
    maxCount: number,
    filter: MessageFilter | null
  ): GetResult | Promise<GetResult> {
    const end = Math.min(Math.max(ready, offset + 1), queue.maxOffset, offset + Math.max(this.filteredUnits, maxCount))
    const first = queue.physicalAt(offset)
    const o = this.options
    const recent = this.isInMemory(first)
    const countLimit = recent ? o.maxTransferCountOnMessageInMemory : o.maxTransferCountOnMessageInDisk
    const bytesLimit = recent ? o.maxTransferBytesOnMessageInMemory : o.maxTransferBytesOnMessageInDisk
    const wanted: Wanted[] = []
    let total = 0
    let count = 0
    let next = offset
    let removed = false
    for (let following = offset; next < end; next = following) {
      following = queue.nextAt(next)
      const physicalOffset = queue.physicalAt(next)
      const sizeBytes = queue.sizeAt(next)
      const base = queue.baseAt(next)
      const wantedCount = count + following - base
      if (wanted.length > 0 && (count >= countLimit || wantedCount > maxCount || total + sizeBytes > bytesLimit)) break
      if (!isSizeOfMessage(sizeBytes) || physicalOffset < this.commitLog.minOffset) {
        removed = true
        continue
      }
      if (filter !== null) {
        const tagsCode = queue.tagsCodeAt(next)
        if (tagsCode !== null && !filter.matchesTagsCode(tagsCode)) continue
      }
      wanted.push({ queueOffset: base, physicalOffset, sizeBytes })
      total += sizeBytes
      count = wantedCount
    }
    if (wanted.length === 0) return this.missed(queue, removed ? 'MESSAGE_WAS_REMOVING' : 'NO_MATCHED_MESSAGE', next)
    const slices = this.isHot(first) ? this.mapped(queue, wanted) : null
    if (slices !== null) return this.found(queue, slices, count, next)
    const lent: Buffer[] = []
    const readRuns = () => Promise.all(this.runsOf(wanted).map(run => this.readRun(queue, run, lent)))
    // What the broker itself delivers in time does not stand in line with consumers.
    const reading = isSystemTopic(queue.topic) ? readRuns() : this.coldReads.run(total, readRuns)
    return reading.then(read => this.found(queue, read.flat(), count, next, () => this.giveBack(lent)))
  }

  /** Records that lie close together in one segment: it costs less to read what is between them than to read twice. */
  private runsOf(wanted: readonly Wanted[]): Wanted[][] {
    const runs: Wanted[][] = []
    let end = -1
    let limit = -1
    for (const each of wanted) {
      const gap = each.physicalOffset - end
      const isNear = gap >= 0 && gap <= MAX_GAP_BYTES && each.physicalOffset + each.sizeBytes <= limit
      if (isNear) runs.at(-1)!.push(each)
      else {
        runs.push([each])
        const segmentEnd = this.commitLog.segments.at(each.physicalOffset)?.endOffset ?? -1
        limit = Math.min(segmentEnd, each.physicalOffset + MAX_RUN_BYTES)
      }
      end = each.physicalOffset + each.sizeBytes
    }
    return runs
  }

  /** Reads a run; a record that is not what its unit says is read and judged by itself. */
  private async readRun(queue: QueueIndex, run: readonly Wanted[], lent: Buffer[]): Promise<Slice[]> {
    const from = run[0]!.physicalOffset
    const bytes = run.length > 1 ? await this.readTogether(run, lent) : null
    const view = bytes === null ? null : viewOf(bytes)
    const slices: Slice[] = []
    for (const wanted of run) {
      const start = wanted.physicalOffset - from
      const end = start + wanted.sizeBytes
      if (bytes !== null && view !== null && this.isRecordOf(queue, wanted, view, bytes, start, end))
        slices.push({ bytes, start, end })
      else {
        const record = await this.readWanted(queue, wanted)
        if (record !== null) slices.push({ bytes: record, start: 0, end: record.length })
      }
    }
    return slices
  }

  /** Reads a run at once, into a buffer that is lent; null when that cannot be. */
  private async readTogether(run: readonly Wanted[], lent: Buffer[]): Promise<Buffer | null> {
    const from = run[0]!.physicalOffset
    const to = run.at(-1)!.physicalOffset + run.at(-1)!.sizeBytes
    const segment = this.commitLog.segments.at(from)
    if (segment === undefined || to > this.commitLog.maxOffset) return null
    const buffer = this.spareBuffers.pop() ?? Buffer.allocUnsafeSlow(MAX_RUN_BYTES)
    lent.push(buffer)
    const bytes = buffer.subarray(0, to - from)
    return (await segment.readAsync(bytes, from - segment.startOffset)) < bytes.length ? null : bytes
  }

  /** Reads that wait for their turn fail. */
  close(): void {
    this.coldReads.close()
  }

  private giveBack(lent: Buffer[]): void {
    for (const buffer of lent.splice(0))
      if (this.spareBuffers.length < MAX_SPARE_BUFFERS) this.spareBuffers.push(buffer)
  }

  /** Whether bytes[start, end) are just the record of a unit. The cursor then stands on it. */
  private isRecordOf(
    queue: QueueIndex,
    { queueOffset, physicalOffset, sizeBytes }: Wanted,
    view: DataView,
    bytes: Uint8Array,
    start: number,
    end: number
  ): boolean {
    const { cursor } = this
    if (cursor.at(view, bytes, start, end) !== RecordCheck.OK || cursor.sizeBytes !== sizeBytes) return false
    if (cursor.physicalOffset !== physicalOffset || !cursor.crcOk()) return false
    if (queue.isMulti) return true
    return cursor.queueOffset === queueOffset && cursor.queueId === queue.queueId && cursor.topic === queue.topic
  }

  /** Records where they lie in the map; null when one is not there, so that it is looked at closely. */
  private mapped(queue: QueueIndex, wanted: readonly Wanted[]): Slice[] | null {
    const slices: Slice[] = []
    for (const { queueOffset, physicalOffset, sizeBytes } of wanted) {
      const segment = this.commitLog.segments.at(physicalOffset)
      if (segment === undefined || physicalOffset + sizeBytes > this.commitLog.maxOffset) return null
      const start = physicalOffset - segment.startOffset
      const { map } = segment
      if (map === null || sizeBytes < RECORD_HEAD.bytes || start + sizeBytes > segment.sizeBytes) return null
      const { bytes, view } = map
      const at = RECORD_HEAD.at
      if (
        view.getInt32(start) !== sizeBytes ||
        readI64(view, start + at.physicalOffset) !== physicalOffset ||
        (readI64(view, start + at.queueOffset) !== queueOffset && !queue.isMulti)
      )
        return null
      slices.push({ bytes, start, end: start + sizeBytes })
    }
    return slices
  }

  /** The record of a unit; null, and reported, when the log does not have it there. */
  private async readWanted(queue: QueueIndex, wanted: Wanted): Promise<Uint8Array | null> {
    const { physicalOffset, sizeBytes } = wanted
    const record = await this.read(physicalOffset, sizeBytes)
    if (record !== null && this.isRecordOf(queue, wanted, viewOf(record), record, 0, record.length)) return record
    const { minOffset, maxOffset } = this.commitLog
    if (physicalOffset >= minOffset && physicalOffset + sizeBytes <= maxOffset)
      this.damage.add(physicalOffset, physicalOffset + sizeBytes)
    return null
  }

  /** The whole record at a physical offset, read in the thread pool and checked; null when there is none. */
  async read(physicalOffset: number, sizeBytes = 0): Promise<Uint8Array | null> {
    const size = sizeBytes > 0 ? sizeBytes : await this.sizeOf(physicalOffset)
    const segment = this.commitLog.segments.at(physicalOffset)
    if (segment === undefined || size <= RECORD_HEAD.bytes) return null
    const position = physicalOffset - segment.startOffset
    if (position + size > segment.sizeBytes || physicalOffset + size > this.commitLog.maxOffset) return null
    const bytes = Buffer.allocUnsafe(size)
    if ((await segment.readAsync(bytes, position)) < size) return null
    const { cursor } = this
    const whole = cursor.at(viewOf(bytes), bytes, 0, size) === RecordCheck.OK && cursor.sizeBytes === size
    return whole && cursor.physicalOffset === physicalOffset && cursor.crcOk() ? bytes : null
  }

  /** The size of the record that says that it lies at a physical offset; 0 when none does. */
  private async sizeOf(physicalOffset: number): Promise<number> {
    const head = await this.readHead(physicalOffset, RECORD_HEAD.bytes)
    return head === null ? 0 : head.getInt32(RECORD_HEAD.at.totalSize)
  }

  private async readHead(physicalOffset: number, bytes: number): Promise<DataView | null> {
    const segment = this.commitLog.segments.at(physicalOffset)
    if (segment === undefined || physicalOffset + bytes > this.commitLog.maxOffset) return null
    const head = Buffer.allocUnsafe(bytes)
    if ((await segment.readAsync(head, physicalOffset - segment.startOffset)) < bytes) return null
    const view = viewOf(head)
    const magic = view.getInt32(RECORD_HEAD.at.magic)
    if (magic !== RecordMagic.V1 && magic !== RecordMagic.V2) return null
    return readI64(view, RECORD_HEAD.at.physicalOffset) === physicalOffset ? view : null
  }

  /** Store time of the record at a physical offset, ms; -1 when none lies there. */
  async storeTimeAt(physicalOffset: number): Promise<number> {
    const view = await this.readHead(physicalOffset, TIMES_BYTES)
    return view === null ? -1 : storeTimestampAt(view, 0)
  }

  /** Store time of a message, ms; -1 when it is gone. */
  async storeTime(queue: QueueIndex, queueOffset: number): Promise<number> {
    if (queueOffset < queue.minOffset || queueOffset >= queue.maxOffset) return -1
    const physicalOffset = await queue.findMessage(queueOffset)
    return physicalOffset < 0 ? -1 : this.storeTimeAt(physicalOffset)
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
    if (queue instanceof BatchConsumeQueue) return queue.offsetByTime(timestampMs, boundary)
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

  private missed(queue: QueueIndex | undefined, status: GetStatus, nextBeginOffset: number): GetResult {
    this.missedCount++
    const { minOffset = 0, maxOffset = 0 } = queue ?? {}
    return { status, nextBeginOffset, minOffset, maxOffset, sizeBytes: 0, messageCount: 0, slices: NO_SLICES }
  }

  private found(
    queue: QueueIndex,
    slices: Slice[],
    messageCount: number,
    nextBeginOffset: number,
    release?: () => void
  ): GetResult {
    if (slices.length === 0) return this.missed(queue, 'MESSAGE_WAS_REMOVING', nextBeginOffset)
    let sizeBytes = 0
    for (const { start, end } of slices) sizeBytes += end - start
    this.foundCount++
    this.gotCount += messageCount
    this.gotBytes += sizeBytes
    const { minOffset, maxOffset } = queue
    return {
      status: 'FOUND',
      nextBeginOffset,
      minOffset,
      maxOffset,
      sizeBytes,
      messageCount,
      slices,
      release
    }
  }
}
