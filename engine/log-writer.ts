import { BLANK_BYTES, RecordMagic } from '../message/index.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import type { StoreOptions } from './options.ts'

/** What is gathered is written at the end of the event, or when it is more than this. */
const MAX_GATHERED_BYTES = 1024 * 1024
/** A write that takes so long is one that the system holds back, ms. */
const SLOW_WRITE_MS = 5
/** For so long after one, writes go through the thread pool, ms. */
const POOLED_FOR_MS = 1000
/** When so much waits for the disk, no more is gathered behind it. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024
/** Chunks that are kept for later: one is gathered into while the other is written. */
const MAX_SPARE = 1

/** Records that are written together, and the puts that brought them. */
export class Chunk<Put> {
  readonly bytes: Buffer
  readonly view: DataView
  /** Where in the log it begins. */
  base = 0
  length = 0
  /** How much of its segment stays unwritten behind it, because the next chunk begins another. */
  skip = 0
  recordCount = 0
  puts: Put[] = []

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, sizeBytes)
  }

  get end(): number {
    return this.base + this.length + this.skip
  }

  begin(base: number): void {
    this.base = base
    this.length = 0
    this.skip = 0
    this.recordCount = 0
    this.puts = []
  }
}

export interface ChunkListener<Put> {
  /** The log now ends where the chunk does. The chunk is lent. */
  onWritten(chunk: Chunk<Put>): void
  /** None of these is in the log, in the order in which they were put. */
  onWriteFailed(error: unknown, puts: Put[]): void
  /** Something that went through the thread pool has ended, well or not. */
  onPooledEnd(): void
}

/**
 * Writes the end of the log, in order. A write into the page cache takes microseconds and is done at once; when the system
 * has begun to hold writers back, as it does while too much is unwritten, writes go through the thread pool one after the
 * other, and what is put meanwhile is gathered.
 */
export class LogWriter<Put> {
  /** What is gathered now. */
  chunk: Chunk<Put>

  private readonly options: StoreOptions
  private readonly segments: MappedFileQueue
  private readonly clock: Clock
  private readonly log: Log
  private readonly listener: ChunkListener<Put>
  private readonly chunkBytes: number
  private readonly spare: Chunk<Put>[] = []
  /** Chunks on their way through the thread pool; the first is being written. */
  private readonly waiting: Chunk<Put>[] = []
  private pooledUntilMs = 0
  private waitingBytes = 0
  private isPooled = false
  /** The write that is under way in the thread pool; never fails. */
  private writing: Promise<void> = Promise.resolve()
  private writingSinceMs = 0
  /** Whether a failed write may have left something behind the log's end. */
  private tornEnd = false

  /** A chunk holds up to MAX_GATHERED_BYTES and one record more, of `maxRecordBytes`; never more than a segment. */
  constructor(
    options: StoreOptions,
    segments: MappedFileQueue,
    clock: Clock,
    log: Log,
    maxRecordBytes: number,
    listener: ChunkListener<Put>
  ) {
    this.options = options
    this.segments = segments
    this.clock = clock
    this.log = log
    this.listener = listener
    this.chunkBytes = Math.min(maxRecordBytes + MAX_GATHERED_BYTES + BLANK_BYTES, segments.fileSizeBytes)
    this.chunk = new Chunk(this.chunkBytes)
  }

  /** Where the next record will lie. */
  get end(): number {
    return this.chunk.end
  }

  /** Whether something is put that is not written. */
  get isBusy(): boolean {
    return this.isPooled || this.chunk.length > 0
  }

  /** Whether the disk is too slow for more to be put. MessageStore#isOSPageCacheBusy */
  private get isFull(): boolean {
    if (!this.isPooled) return false
    const writingMs = this.clock.now() - this.writingSinceMs
    return this.waitingBytes >= MAX_WAITING_BYTES || writingMs > this.options.osPageCacheBusyTimeoutMs
  }

  /**
   * Makes sure that a record fits behind what is gathered, in memory and in the segment; `logEnd` is where the log ends.
   * 'full' when the disk is too slow, 'failed' when it refused a write. Throws what making a segment throws.
   */
  makeRoom(sizeBytes: number, logEnd: number): 'ok' | 'full' | 'failed' {
    const { segments } = this
    if (!this.isBusy) this.chunk.base = logEnd
    if (this.isFull) return 'full'
    for (;;) {
      const tooMuch = this.chunk.length > MAX_GATHERED_BYTES
      const segment = segments.at(this.end) ?? segments.create(this.end)
      const left = segment.endOffset - this.end
      const fits = sizeBytes + BLANK_BYTES <= left
      if (fits && !tooMuch) return 'ok'
      if (!fits) this.endSegment(left)
      if (!this.close()) return 'failed'
    }
  }

  /** Marks the rest of the segment as blank. */
  private endSegment(left: number): void {
    const { chunk } = this
    chunk.skip = left
    if (left < BLANK_BYTES) return
    chunk.view.setInt32(chunk.length, left)
    chunk.view.setInt32(chunk.length + 4, RecordMagic.BLANK)
    chunk.length += BLANK_BYTES
    chunk.skip -= BLANK_BYTES
  }

  /** Writes what is gathered; while something is on its way through the thread pool, that takes it along when it ends. */
  commit(): void {
    if (this.chunk.length > 0 && !this.isPooled) this.close()
  }

  /** Resolves when all that was put before the call is written, or has failed. */
  async settle(): Promise<void> {
    this.commit()
    // Those that wait, and the one that is gathered.
    for (let left = this.waiting.length; this.isPooled && left >= 0; left--) await this.writing
  }

  /** Ends the chunk that is gathered and writes it, now or in its turn. False when that failed already. */
  private close(): boolean {
    if (!this.isPooled && this.clock.now() >= this.pooledUntilMs) return this.writeNow()
    this.enqueue()
    if (!this.isPooled) void this.writeWaiting()
    return true
  }

  private enqueue(): void {
    this.waitingBytes += this.chunk.length
    this.waiting.push(this.takeChunk())
  }

  /** Hands over the chunk that is gathered; another takes its place. */
  private takeChunk(): Chunk<Put> {
    const { chunk } = this
    this.chunk = this.spare.pop() ?? new Chunk(this.chunkBytes)
    this.chunk.begin(chunk.end)
    return chunk
  }

  private writeNow(): boolean {
    const { chunk } = this
    const beganMs = this.clock.now()
    try {
      const { segment, position } = this.placeOf(chunk)
      segment.write(chunk.bytes, 0, chunk.length, position)
    } catch (error) {
      this.fail(error)
      return false
    }
    this.written(this.takeChunk(), beganMs)
    return true
  }

  private async writeWaiting(): Promise<void> {
    this.isPooled = true
    while (this.waiting.length > 0) {
      this.writing = this.writeFirst(this.waiting[0]!)
      await this.writing
      this.listener.onPooledEnd()
      if (this.waiting.length === 0 && this.chunk.length > 0) this.enqueue()
    }
    this.isPooled = false
  }

  private async writeFirst(chunk: Chunk<Put>): Promise<void> {
    const beganMs = this.clock.now()
    this.writingSinceMs = beganMs
    try {
      const { segment, position } = this.placeOf(chunk)
      await segment.writeAsync(chunk.bytes, 0, chunk.length, position)
    } catch (error) {
      this.fail(error)
      return
    }
    this.waiting.shift()
    this.waitingBytes -= chunk.length
    this.written(chunk, beganMs)
  }

  private written(chunk: Chunk<Put>, beganMs: number): void {
    const now = this.clock.now()
    if (now - beganMs >= SLOW_WRITE_MS) this.pooledUntilMs = now + POOLED_FOR_MS
    this.tornEnd = false
    this.listener.onWritten(chunk)
    this.keep(chunk)
  }

  private keep(chunk: Chunk<Put>): void {
    chunk.puts = []
    if (this.spare.length < MAX_SPARE) this.spare.push(chunk)
  }

  /** Where a chunk belongs; what a failed write left there is removed first. */
  private placeOf(chunk: Chunk<Put>) {
    const segment = this.segments.at(chunk.base)!
    const position = chunk.base - segment.startOffset
    if (this.tornEnd) segment.clearFrom(position)
    this.tornEnd = chunk.length > 0
    return { segment, position }
  }

  /** Nothing that waits can be written where it was to lie: all of it is taken back. */
  private fail(error: unknown): void {
    const failed = [...this.waiting.splice(0), this.chunk]
    this.waitingBytes = 0
    const { base } = failed[0]!
    const puts = failed.flatMap(chunk => chunk.puts)
    try {
      const segment = this.segments.at(base)
      if (this.tornEnd && segment !== undefined) segment.clearFrom(base - segment.startOffset)
      this.tornEnd = false
    } catch (clearing) {
      this.log.error(
        { err: clearing },
        'the torn end of the CommitLog could not be cleared: the next write tries again'
      )
    }
    this.chunk.begin(base)
    for (const chunk of failed) if (chunk !== this.chunk) this.keep(chunk)
    this.listener.onWriteFailed(error, puts)
  }
}
