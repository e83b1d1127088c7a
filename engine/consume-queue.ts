import assert from 'node:assert/strict'
import { layout, readI64, writeI64 } from '../message/index.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'
import { MappedFileQueue } from './mapped-file.ts'

/** One ConsumeQueue unit: where the message lies in the CommitLog, its size, its tag's hash. */
export const CQ_UNIT = layout({ physicalOffset: 'i64', sizeBytes: 'i32', tagsCode: 'i64' })
assert.equal(CQ_UNIT.bytes, 20) // ConsumeQueue#CQ_STORE_UNIT_SIZE

/** Fills a queue in front of its first unit when that is not number 0: a unit that points at nothing. */
const PRE_BLANK_SIZE = 0x7fff_ffff

/** The index of one queue of one topic: unit n says where message n lies. ConsumeQueue */
export class ConsumeQueue {
  readonly topic: string
  readonly queueId: number
  /** Queue offset of the first message that still exists. */
  minOffset = 0
  /** Queue offset behind the last unit: what can be pulled ends here. */
  maxOffset = 0
  /** The queue offset that the next put gets; ahead of maxOffset by what is not dispatched yet. */
  nextOffset = 0
  dirty = false

  private readonly segments: MappedFileQueue
  private readonly log: Log

  constructor(files: Files, dir: string, fileSizeBytes: number, topic: string, queueId: number, log: Log) {
    this.topic = topic
    this.queueId = queueId
    this.log = log
    this.segments = new MappedFileQueue(files, dir, fileSizeBytes, true)
  }

  /** Opens the files and finds the end: units count while they point somewhere. ConsumeQueue#recover */
  load(): void {
    this.segments.load(this.log)
    const { list } = this.segments
    if (list.length === 0) return
    this.maxOffset = list[0]!.startOffset / CQ_UNIT.bytes
    // A file counts as full when its last unit is set; the first that is not holds the end.
    for (const file of list) {
      const units = file.sizeBytes / CQ_UNIT.bytes
      const { view } = file.map
      const set = (unit: number) => view.getInt32(unit * CQ_UNIT.bytes + CQ_UNIT.at.sizeBytes) > 0
      let low = 0
      let high = set(units - 1) ? units : units - 1
      if (high === units) low = units
      while (low < high) {
        const middle = (low + high) >> 1
        if (set(middle)) low = middle + 1
        else high = middle
      }
      this.maxOffset = file.startOffset / CQ_UNIT.bytes + low
      if (low < units) break
    }
    this.segments.truncate(this.maxOffset * CQ_UNIT.bytes)
    this.minOffset = this.firstRealUnit()
    this.nextOffset = this.maxOffset
  }

  private firstRealUnit(): number {
    let low = (this.segments.first?.startOffset ?? 0) / CQ_UNIT.bytes
    let high = this.maxOffset
    const blank = (offset: number) => this.sizeAt(offset) === PRE_BLANK_SIZE
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (blank(middle)) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Writes the unit of a message. One that is there already stays, unless it says something else. ConsumeQueue#putMessagePositionInfo */
  put(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    if (queueOffset < this.maxOffset) {
      if (queueOffset < this.minOffset) return
      if (this.physicalAt(queueOffset) === physicalOffset && this.sizeAt(queueOffset) === sizeBytes) return
      this.log.warn(
        { topic: this.topic, queueId: this.queueId, queueOffset },
        'a ConsumeQueue unit contradicted the CommitLog and was corrected'
      )
    } else if (queueOffset > this.maxOffset) this.blankUpTo(queueOffset)
    this.write(queueOffset, physicalOffset, sizeBytes, tagsCode)
    if (queueOffset >= this.maxOffset) this.maxOffset = queueOffset + 1
    if (this.nextOffset < this.maxOffset) this.nextOffset = this.maxOffset
  }

  private write(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    const position = queueOffset * CQ_UNIT.bytes
    const file = this.segments.at(position) ?? this.segments.create(position)
    const pos = position - file.startOffset
    file.makeReal(pos, CQ_UNIT.bytes)
    const { view } = file.map
    writeI64(view, pos + CQ_UNIT.at.physicalOffset, physicalOffset)
    view.setInt32(pos + CQ_UNIT.at.sizeBytes, sizeBytes)
    writeI64(view, pos + CQ_UNIT.at.tagsCode, tagsCode)
    this.dirty = true
  }

  /** A queue whose first message is not number 0, or in which messages were lost, is filled up to where it goes on. */
  private blankUpTo(queueOffset: number): void {
    const wasEmpty = this.maxOffset === this.minOffset
    const fileStart = queueOffset * CQ_UNIT.bytes
    const from =
      this.segments.last === undefined
        ? Math.floor(fileStart / this.fileBytes) * (this.fileBytes / CQ_UNIT.bytes)
        : this.maxOffset
    for (let offset = from; offset < queueOffset; offset++) this.write(offset, 0, PRE_BLANK_SIZE, 0)
    if (wasEmpty) this.minOffset = queueOffset
    this.maxOffset = queueOffset
  }

  private get fileBytes(): number {
    return this.segments.fileSizeBytes
  }

  private locate(queueOffset: number): { view: DataView; pos: number } | null {
    const position = queueOffset * CQ_UNIT.bytes
    const file = this.segments.at(position)
    return file === undefined ? null : { view: file.map.view, pos: position - file.startOffset }
  }

  /** Physical offset of message `queueOffset`; -1 when there is no such unit. */
  physicalAt(queueOffset: number): number {
    const at = this.locate(queueOffset)
    return at === null ? -1 : readI64(at.view, at.pos + CQ_UNIT.at.physicalOffset)
  }

  sizeAt(queueOffset: number): number {
    const at = this.locate(queueOffset)
    return at === null ? 0 : at.view.getInt32(at.pos + CQ_UNIT.at.sizeBytes)
  }

  tagsCodeAt(queueOffset: number): number {
    const at = this.locate(queueOffset)
    return at === null ? 0 : readI64(at.view, at.pos + CQ_UNIT.at.tagsCode)
  }

  /** Whether a unit stands for a message. */
  isReal(queueOffset: number): boolean {
    const size = this.sizeAt(queueOffset)
    return size > 0 && size !== PRE_BLANK_SIZE
  }

  /** Drops the units of messages at or behind a physical offset. ConsumeQueue#truncateDirtyLogicFiles */
  truncate(physicalOffset: number): void {
    let end = this.maxOffset
    while (end > this.minOffset && this.physicalAt(end - 1) >= physicalOffset) end--
    if (end === this.maxOffset) return
    this.segments.truncate(end * CQ_UNIT.bytes)
    this.maxOffset = end
    this.nextOffset = end
    this.minOffset = Math.min(this.minOffset, end)
  }

  /** Moves the first offset to the first message that the CommitLog still has. ConsumeQueue#correctMinOffset */
  correctMinOffset(minPhysicalOffset: number): void {
    let low = this.minOffset
    let high = this.maxOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (!this.isReal(middle) || this.physicalAt(middle) < minPhysicalOffset) low = middle + 1
      else high = middle
    }
    this.minOffset = low
    while (this.segments.list.length > 1 && this.segments.first!.endOffset <= low * CQ_UNIT.bytes)
      this.segments.removeFirst()
  }

  async flush(): Promise<void> {
    if (!this.dirty) return
    this.dirty = false
    for (const file of this.segments.list.slice(-2)) await file.sync()
  }

  close(): void {
    this.segments.close()
  }
}
