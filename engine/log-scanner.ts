import {
  BLANK_BYTES,
  MAX_HEAD_BYTES,
  RECORD_HEAD,
  RecordCheck,
  RecordCursor,
  readI64,
  recordSizeIsPlausible,
  viewOf
} from '../message/index.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { MappedFile, MappedFileQueue } from './mapped-file.ts'

/** The log is read in pieces of so many bytes. */
const PIECE_BYTES = 4 * 1024 * 1024
const PAGE_BYTES = 4096
/** A record from further in the future than this has a broken time. */
const MAX_AHEAD_MS = 3_600_000
/** The loop is given back at least this often, ms. */
const SLICE_MS = 20
/** First bytes of either magic number, for finding the next record behind damage. */
const MAGIC_START = Buffer.from([0xda, 0xa3, 0x20])
const MAGIC_AT = RECORD_HEAD.at.magic

/** What a scan meets, in the order of the log. */
export interface ScanListener {
  /** A whole record; the cursor stands on it in `bytes`. */
  onRecord(cursor: RecordCursor, bytes: Buffer, physicalOffset: number): void
  /** Bytes [from, to) hold no valid record, but what follows is one. */
  onDamage(from: number, to: number): void
  onProgress(doneBytes: number): void
}

/**
 * Walks the records of a log by reading it in large pieces, in slices of time. A record counts when its parts add up, its
 * body has its CRC, and it lies where it says; behind one that does not, the next that does is looked for. One that is
 * older than what lies in front of it is none: RocketMQ leaves what it cuts off in the file. CommitLog#checkMessageAndReturnSize
 */
export class LogScanner {
  private readonly segments: MappedFileQueue
  private readonly checkCrc: boolean
  private readonly clock: Clock
  private readonly log: Log
  private readonly cursor = new RecordCursor()
  /** Store time of the last record, ms. */
  private storeTimestamp = 0
  private segment: MappedFile | null = null
  /** Position in the segment at which the scan ends. */
  private limit = 0
  /** No larger than what there was to read at once. */
  private buffer: Buffer = Buffer.alloc(0)
  private view: DataView = viewOf(this.buffer)
  /** Bytes [start, end) of the segment are in the buffer. */
  private start = 0
  private end = 0
  private sliceEndMs = 0

  constructor(segments: MappedFileQueue, checkCrc: boolean, clock: Clock, log: Log) {
    this.segments = segments
    this.checkCrc = checkCrc
    this.clock = clock
    this.log = log
  }

  /**
   * Scans [from, to), which begins with a record. Returns where the last whole record ends, or the blank end of a segment
   * behind it; `from` without any.
   */
  async scan(from: number, to: number, listener: ScanListener): Promise<number> {
    let validEnd = from
    this.storeTimestamp = 0
    // Where what is not valid begins; what is not followed by anything valid is the torn end, not damage.
    let badFrom = -1
    for (const segment of this.segments.list.filter(each => each.endOffset > from && each.startOffset < to)) {
      const { startOffset } = segment
      this.open(segment, to)
      // A segment may be missing.
      if (badFrom < 0 && startOffset > validEnd) badFrom = validEnd
      let pos = Math.max(0, from - startOffset)
      while (pos < this.limit) {
        if (performance.now() > this.sliceEndMs) {
          listener.onProgress(startOffset + pos - from)
          await new Promise(resolve => setImmediate(resolve))
          this.sliceEndMs = performance.now() + SLICE_MS
        }
        const check = this.check(pos)
        if (check === RecordCheck.BLANK) {
          pos = segment.sizeBytes
          if (badFrom < 0) validEnd = segment.endOffset
          continue
        }
        if (check !== RecordCheck.OK) {
          if (badFrom < 0) badFrom = startOffset + pos
          pos = this.nextRecord(pos + 1)
          continue
        }
        if (badFrom >= 0) listener.onDamage(badFrom, startOffset + pos)
        badFrom = -1
        // The listener may move the cursor.
        const { sizeBytes, storeTimestamp } = this.cursor
        listener.onRecord(this.cursor, this.buffer, startOffset + pos)
        if (storeTimestamp < this.clock.now() + MAX_AHEAD_MS) this.storeTimestamp = storeTimestamp
        pos += sizeBytes
        validEnd = startOffset + pos
      }
    }
    return validEnd
  }

  private open(segment: MappedFile, to: number): void {
    this.segment = segment
    this.limit = Math.min(segment.sizeBytes, to - segment.startOffset)
    this.start = 0
    this.end = 0
  }

  /** What stands at a position of the segment; the cursor then points into the buffer. */
  private check(pos: number): number {
    const { cursor } = this
    const { startOffset, sizeBytes } = this.segment!
    const rest = this.limit - pos
    if (rest < BLANK_BYTES) return RecordCheck.SHORT
    this.load(pos, Math.min(rest, MAX_HEAD_BYTES))
    let check = cursor.at(this.view, this.buffer, pos - this.start, this.end - this.start)
    if (check === RecordCheck.BLANK) return cursor.sizeBytes === sizeBytes - pos ? check : RecordCheck.BAD_SIZE
    if (check === RecordCheck.SHORT && this.isPlausible(pos - this.start, startOffset + pos, rest)) {
      this.load(pos, cursor.sizeBytes)
      check = cursor.at(this.view, this.buffer, pos - this.start, this.end - this.start)
    }
    if (check !== RecordCheck.OK) return check
    if (cursor.physicalOffset !== startOffset + pos || (this.checkCrc && !cursor.crcOk())) return RecordCheck.BAD_SIZE
    // The CRC covers the body alone; of what comes behind it, a torn write leaves zeros.
    const { topicStart, topicEnd, propertiesStart, propertiesEnd } = cursor
    const isTorn = () =>
      this.buffer.subarray(topicStart, topicEnd).includes(0) ||
      (propertiesEnd > propertiesStart && this.buffer[propertiesEnd - 1] === 0)
    return this.checkCrc && isTorn() ? RecordCheck.BAD_SIZE : RecordCheck.OK
  }

  /** Whether it is worth loading what says that it is a long record. */
  private isPlausible(at: number, physicalOffset: number, rest: number): boolean {
    return (
      rest >= MAX_HEAD_BYTES &&
      this.cursor.sizeBytes <= rest &&
      readI64(this.view, at + RECORD_HEAD.at.physicalOffset) === physicalOffset &&
      recordSizeIsPlausible(this.view, at)
    )
  }

  /** Sees to it that [pos, pos + length) is in the buffer, and what follows as far as there is room. */
  private load(pos: number, length: number): void {
    if (pos >= this.start && pos + length <= this.end) return
    const kept = pos >= this.start && pos < this.end ? this.end - pos : 0
    const kept0 = pos - this.start
    const capacity = Math.max(length, Math.min(PIECE_BYTES, this.limit - pos))
    const target = capacity > this.buffer.length ? Buffer.allocUnsafeSlow(capacity) : this.buffer
    if (kept > 0) this.buffer.copy(target, 0, kept0, kept0 + kept)
    if (target !== this.buffer) {
      this.buffer = target
      this.view = viewOf(target)
    }
    const want = Math.min(this.buffer.length, this.limit - pos)
    this.start = pos
    this.end = pos + want
    this.readPieces(pos + kept, this.buffer.subarray(kept, want))
  }

  /** Reads; what the disk cannot read becomes zeros, page by page. */
  private readPieces(pos: number, target: Buffer): void {
    try {
      const count = this.segment!.read(target, pos)
      target.fill(0, count)
    } catch (error) {
      if (target.length <= PAGE_BYTES) {
        this.log.error({ err: error, path: this.segment!.path, pos }, 'a part of the CommitLog cannot be read')
        target.fill(0)
        return
      }
      for (let at = 0; at < target.length; at += PAGE_BYTES)
        this.readPieces(pos + at, target.subarray(at, at + PAGE_BYTES))
    }
  }

  /** Position of the next whole record at or behind `from`, or where the scan ends. */
  private nextRecord(from: number): number {
    let pos = from
    while (pos + BLANK_BYTES <= this.limit) {
      this.load(pos, Math.min(MAX_HEAD_BYTES, this.limit - pos))
      const magic = this.buffer.subarray(0, this.end - this.start).indexOf(MAGIC_START, pos - this.start + MAGIC_AT)
      if (magic >= 0) {
        pos = this.start + magic - MAGIC_AT
        const { cursor } = this
        if (this.check(pos) === RecordCheck.OK && cursor.crcOk() && cursor.storeTimestamp >= this.storeTimestamp)
          return pos
        pos++
        continue
      }
      pos = this.end - MAGIC_AT - MAGIC_START.length + 1
      const data = this.segment!.nextData(pos)
      if (data < 0) break
      // A record may begin just in front of where the hole ends.
      pos = Math.max(pos, data - MAX_HEAD_BYTES)
    }
    return this.limit
  }
}
