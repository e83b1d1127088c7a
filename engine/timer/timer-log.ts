import { layout, RecordMagic, readI64, viewOf, writeI64 } from '../../message/index.ts'
import type { Files } from '../files.ts'
import type { Log } from '../log.ts'
import { type MappedFile, MappedFileQueue } from '../mapped-file.ts'
import { OpenFiles } from '../open-files.ts'

/** One message that waits: where its record lies, and when it is due. */
export const TIMER_UNIT = layout({
  sizeBytes: 'i32',
  /** Position of the unit before it in its slot; -1 without one. */
  previousPos: 'i64',
  magic: 'i32',
  writeMs: 'i64',
  /** From writeMs to when it is due. */
  delayMs: 'i32',
  physicalOffset: 'i64',
  recordBytes: 'i32',
  /** Java's hash of the topic that the message is meant for. */
  topicHash: 'i32',
  reserved: 'i64'
})

/** Bits of a unit's magic. TimerMessageStore */
export const TimerMagic = {
  DEFAULT: 1,
  /** It is due so late that it is put again before. */
  ROLL: 2,
  /** A request to delete another message. */
  DELETE: 4
} as const

const MAX_MAGIC = 0xf
/** Stands where no unit has room any more: what is left of the file, 0, and this. */
const BLANK = layout({ sizeBytes: 'i32', reserved: 'i64', magic: 'i32' })
const BLOCK_BYTES = 315 * TIMER_UNIT.bytes
const PIECE_BYTES = 16 * BLOCK_BYTES
const MAX_OPEN_FILES = 16

export interface TimerUnit {
  previousPos: number
  magic: number
  writeMs: number
  delayMs: number
  physicalOffset: number
  recordBytes: number
  topicHash: number
}

/** The unit at `pos` of a view; null when there is none. */
function readUnit(view: DataView, pos: number): TimerUnit | null {
  const { at } = TIMER_UNIT
  const magic = view.getInt32(pos + at.magic)
  if (view.getInt32(pos) !== TIMER_UNIT.bytes || magic <= 0 || magic > MAX_MAGIC) return null
  return {
    previousPos: readI64(view, pos + at.previousPos),
    magic,
    writeMs: readI64(view, pos + at.writeMs),
    delayMs: view.getInt32(pos + at.delayMs),
    physicalOffset: readI64(view, pos + at.physicalOffset),
    recordBytes: view.getInt32(pos + at.recordBytes),
    topicHash: view.getInt32(pos + at.topicHash)
  }
}

/** Units of all messages that ever waited, in the order in which they came: RocketMQ's files `timerlog/*`. TimerLog */
export class TimerLog {
  /** Behind the last unit. */
  end = 0
  private readonly segments: MappedFileQueue
  private readonly unit = new Uint8Array(TIMER_UNIT.bytes)
  private readonly view = viewOf(this.unit)
  /** The part of a file that was read last: units at positions from `start` to before `end`. */
  private block = { start: -1, end: -1, view: this.view }

  constructor(files: Files, dir: string, fileSizeBytes: number) {
    this.segments = new MappedFileQueue(files, new OpenFiles(MAX_OPEN_FILES), dir, fileSizeBytes)
  }

  /** Finds the files. What lies behind a gap is removed. */
  load(log: Log): void {
    this.segments.loadDerived(log)
    this.end = this.segments.last?.endOffset ?? 0
  }

  /** Finds files that are only read. */
  loadForReading(log: Log): void {
    this.segments.loadForReading(log)
  }

  /** Where the oldest file begins. */
  get start(): number {
    return this.segments.first?.startOffset ?? 0
  }

  /** Adds a unit; returns its position. Throws what the disk says: then nothing was added. */
  append(unit: TimerUnit): number {
    let file = this.segments.at(this.end) ?? this.segments.create(this.end)
    if (file.endOffset - this.end < TIMER_UNIT.bytes + BLANK.bytes) {
      this.writeBlank(file)
      file = this.segments.create(file.endOffset)
      this.end = file.startOffset
    }
    const { view } = this
    const { at } = TIMER_UNIT
    view.setInt32(0, TIMER_UNIT.bytes)
    writeI64(view, at.previousPos, unit.previousPos)
    view.setInt32(at.magic, unit.magic)
    writeI64(view, at.writeMs, unit.writeMs)
    view.setInt32(at.delayMs, unit.delayMs)
    writeI64(view, at.physicalOffset, unit.physicalOffset)
    view.setInt32(at.recordBytes, unit.recordBytes)
    view.setInt32(at.topicHash, unit.topicHash)
    file.write(this.unit, 0, TIMER_UNIT.bytes, this.end - file.startOffset)
    const pos = this.end
    this.end += TIMER_UNIT.bytes
    return pos
  }

  private writeBlank(file: MappedFile): void {
    const blank = new Uint8Array(BLANK.bytes)
    const view = viewOf(blank)
    view.setInt32(0, file.endOffset - this.end)
    view.setInt32(BLANK.at.magic, RecordMagic.BLANK)
    file.write(blank, 0, BLANK.bytes, this.end - file.startOffset)
  }

  /**
   * Shows all units in order, giving way to other work, until one is not whole or `visit` says that it does not belong
   * here. The log ends there.
   */
  async scan(visit: (unit: TimerUnit, pos: number) => boolean): Promise<void> {
    const piece = Buffer.alloc(PIECE_BYTES)
    for (const file of this.segments.list) {
      this.end = file.startOffset
      while (this.end + TIMER_UNIT.bytes <= file.endOffset) {
        const count = await file.readAsync(piece, this.end - file.startOffset)
        if (!this.scanPiece(viewOf(piece), count, visit)) break
      }
      if (!(await this.endsWithBlank(file))) return
      this.end = file.endOffset
    }
  }

  /** Moves the end behind the units of a piece; false when it has met something else. */
  private scanPiece(view: DataView, count: number, visit: (unit: TimerUnit, pos: number) => boolean): boolean {
    for (let at = 0; at + TIMER_UNIT.bytes <= count; at += TIMER_UNIT.bytes) {
      const unit = readUnit(view, at)
      if (unit === null || !visit(unit, this.end)) return false
      this.end += TIMER_UNIT.bytes
    }
    return count >= TIMER_UNIT.bytes
  }

  private async endsWithBlank(file: MappedFile): Promise<boolean> {
    const blank = Buffer.alloc(BLANK.bytes)
    if ((await file.readAsync(blank, this.end - file.startOffset)) < BLANK.bytes) return false
    return blank.readInt32BE(0) === file.endOffset - this.end && blank.readInt32BE(BLANK.at.magic) === RecordMagic.BLANK
  }

  /** The unit at a position; null when there is none. */
  async at(pos: number): Promise<TimerUnit | null> {
    if (pos < this.block.start || pos + TIMER_UNIT.bytes > this.block.end) {
      const file = this.segments.at(pos)
      if (file === undefined) return null
      const { end } = this
      const start = pos - ((pos - file.startOffset) % BLOCK_BYTES)
      const bytes = Buffer.alloc(BLOCK_BYTES)
      const count = await file.readAsync(bytes, start - file.startOffset)
      this.block = { start, end: Math.min(start + count, end), view: viewOf(bytes) }
    }
    const { start, end, view } = this.block
    return pos >= start && pos + TIMER_UNIT.bytes <= end ? readUnit(view, pos - start) : null
  }

  /** Cuts off what lies at or behind `end`. */
  truncate(): void {
    this.segments.truncate(this.end)
    this.forgetBlock()
  }

  /** Begins anew, empty. */
  reset(): void {
    this.segments.removeAll()
    this.end = 0
    this.forgetBlock()
  }

  private forgetBlock(): void {
    this.block = { start: -1, end: -1, view: this.view }
  }

  /** Removes the files whose messages are all gone: those below this physical offset. MappedFileQueue#deleteExpiredFileByOffsetForTimerLog */
  async removeBelow(physicalOffset: number): Promise<void> {
    const { list, fileSizeBytes } = this.segments
    const inFile = fileSizeBytes - ((fileSizeBytes - BLANK.bytes) % TIMER_UNIT.bytes) - BLANK.bytes - TIMER_UNIT.bytes
    while (list.length > 1) {
      const first = list[0]!
      const last = await this.at(first.startOffset + inFile)
      if (last === null || last.physicalOffset >= physicalOffset || list[0] !== first) return
      this.segments.removeFirst()
    }
  }

  sync(): Promise<void> {
    return this.segments.sync()
  }

  close(): void {
    this.segments.close()
  }
}
