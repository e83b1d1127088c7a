import assert from 'node:assert/strict'
import { layout, readI64, writeI64 } from '../message/index.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Log } from './log.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import type { QueueIndex } from './queue-index.ts'
import { UnitFile } from './unit-file.ts'

/** One unit: where a record lies, its size, tag and time, and which messages of the queue it holds. */
export const BATCH_UNIT = layout({
  physicalOffset: 'i64',
  sizeBytes: 'i32',
  tagsCode: 'i64',
  storeTimestamp: 'i64',
  base: 'i64',
  count: 'i16',
  compactedOffset: 'i32',
  reserved: 'i32'
})
assert.equal(BATCH_UNIT.bytes, 46) // BatchConsumeQueue#CQ_STORE_UNIT_SIZE
const { at } = BATCH_UNIT
const NOT_COMPACTED = -1

/** The index of a queue whose records may hold several messages each: unit n says which, and where they lie. BatchConsumeQueue */
export class BatchConsumeQueue implements QueueIndex {
  readonly topic: string
  readonly queueId: number
  readonly isMulti = false
  minOffset = 0
  maxOffset = 0
  nextOffset = 0
  isWhole = true

  private readonly segments: MappedFileQueue
  private readonly units: UnitFile
  private readonly log: Log
  /** Number of the unit that holds minOffset. */
  private minUnit = 0
  /** The unit that was looked for last, and the messages in it: readers go on from there. */
  private found = -1
  private foundBase = 0
  private foundEnd = 0

  constructor(topic: string, queueId: number, segments: MappedFileQueue, writes: DerivedWrites, log: Log) {
    this.topic = topic
    this.queueId = queueId
    this.segments = segments
    this.log = log
    const unitBytes = BATCH_UNIT.bytes
    const fileUnits = segments.fileSizeBytes / unitBytes
    this.units = new UnitFile(
      {
        unitBytes,
        fileUnits,
        fileStart: unit => unit - (unit % fileUnits),
        find: unit => segments.at(unit * unitBytes),
        create: unit => segments.create(unit * unitBytes),
        position: unit => (unit % fileUnits) * unitBytes
      },
      writes
    )
  }

  load(checkBytes: number): void {
    this.isWhole = this.segments.loadDerived(this.log)
    const { first, last } = this.segments
    if (first === undefined || last === undefined) return
    this.minUnit = first.startOffset / BATCH_UNIT.bytes
    this.units.reset(last.endOffset / BATCH_UNIT.bytes)
    this.setEnd(this.firstUnit(unit => this.i32(unit, at.sizeBytes) <= 0))
    const bad = this.firstUnsound(Math.max(this.minUnit, this.units.end - Math.floor(checkBytes / BATCH_UNIT.bytes)))
    if (bad < 0) return
    this.log.warn(
      { topic: this.topic, queueId: this.queueId, unit: bad },
      'a unit of a batch ConsumeQueue cannot be true: the queue is built again from there'
    )
    this.isWhole = false
    this.setEnd(bad)
    this.segments.truncate(bad * BATCH_UNIT.bytes)
  }

  /** Units lie in the order of their messages, which do not overlap, in the log and in the queue. */
  private firstUnsound(from: number): number {
    let physicalEnd = 0
    let offset = 0
    for (let unit = from; unit < this.units.end; unit++) {
      const physicalOffset = this.i64(unit, at.physicalOffset)
      const sizeBytes = this.i32(unit, at.sizeBytes)
      const base = this.i64(unit, at.base)
      const count = this.countOf(unit)
      if (sizeBytes <= 0 || count <= 0 || physicalOffset < physicalEnd || base < offset) return unit
      physicalEnd = physicalOffset + sizeBytes
      offset = base + count
    }
    return -1
  }

  private setEnd(unit: number): void {
    const inFiles = this.units.cut(unit)
    this.found = -1
    this.minUnit = Math.min(this.minUnit, unit)
    this.maxOffset = unit > this.minUnit ? this.endOf(unit - 1) : 0
    this.minOffset = unit > this.minUnit ? this.i64(this.minUnit, at.base) : this.maxOffset
    this.nextOffset = this.maxOffset
    if (inFiles) this.segments.truncate(unit * BATCH_UNIT.bytes)
  }

  private i64(unit: number, field: number): number {
    const pos = this.units.locate(unit)
    return pos < 0 ? -1 : readI64(this.units.view, pos + field)
  }

  private i32(unit: number, field: number): number {
    const pos = this.units.locate(unit)
    return pos < 0 ? 0 : this.units.view.getInt32(pos + field)
  }

  private countOf(unit: number): number {
    const pos = this.units.locate(unit)
    return pos < 0 ? 0 : this.units.view.getInt16(pos + at.count)
  }

  private endOf(unit: number): number {
    return this.i64(unit, at.base) + this.countOf(unit)
  }

  /** The first unit for which something holds that holds for all behind it, else the end. */
  private firstUnit(holds: (unit: number) => boolean): number {
    let low = this.minUnit
    let high = this.units.end
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (holds(middle)) high = middle
      else low = middle + 1
    }
    return low
  }

  /** The unit that holds a message, or the next one where messages were lost; -1 behind the last. */
  private unitOf(queueOffset: number): number {
    if (!(queueOffset >= this.minOffset && queueOffset < this.maxOffset)) return -1
    if (this.found >= 0) {
      if (queueOffset >= this.foundBase && queueOffset < this.foundEnd) return this.found
      if (queueOffset === this.foundEnd) return this.remember(this.found + 1)
    }
    return this.remember(this.firstUnit(unit => this.endOf(unit) > queueOffset))
  }

  private remember(unit: number): number {
    this.found = unit
    this.foundBase = this.i64(unit, at.base)
    this.foundEnd = this.foundBase + this.countOf(unit)
    return unit
  }

  /** BatchConsumeQueue#putBatchMessagePositionInfo */
  append(
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void {
    const isEmpty = this.minOffset === this.maxOffset
    this.write(this.units.add(), queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
    this.units.end++
    this.maxOffset = queueOffset + count
    if (isEmpty) {
      this.minUnit = this.units.end - 1
      this.minOffset = queueOffset
    }
    if (this.nextOffset < this.maxOffset) this.nextOffset = this.maxOffset
  }

  private write(
    pos: number,
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void {
    const { view } = this.units
    writeI64(view, pos + at.physicalOffset, physicalOffset)
    view.setInt32(pos + at.sizeBytes, sizeBytes)
    writeI64(view, pos + at.tagsCode, tagsCode)
    writeI64(view, pos + at.storeTimestamp, storeTimestamp)
    writeI64(view, pos + at.base, queueOffset)
    view.setInt16(pos + at.count, count)
    view.setInt32(pos + at.compactedOffset, NOT_COMPACTED)
    view.setInt32(pos + at.reserved, 0)
  }

  correct(
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void {
    this.log.warn(
      { topic: this.topic, queueId: this.queueId, queueOffset },
      'a unit of a batch ConsumeQueue contradicted the CommitLog and was corrected'
    )
    const unit = this.unitOf(queueOffset)
    const pos = this.units.locate(unit)
    this.write(pos, queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
    this.units.rewrite(unit, pos)
    this.found = -1
  }

  holds(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): boolean {
    const unit = this.unitOf(queueOffset)
    return (
      this.i64(unit, at.base) === queueOffset &&
      this.i64(unit, at.physicalOffset) === physicalOffset &&
      this.i32(unit, at.sizeBytes) === sizeBytes &&
      this.i64(unit, at.tagsCode) === tagsCode
    )
  }

  physicalAt(queueOffset: number): number {
    return this.i64(this.unitOf(queueOffset), at.physicalOffset)
  }

  sizeAt(queueOffset: number): number {
    return this.i32(this.unitOf(queueOffset), at.sizeBytes)
  }

  tagsCodeAt(queueOffset: number): number {
    return this.i64(this.unitOf(queueOffset), at.tagsCode)
  }

  baseAt(queueOffset: number): number {
    return this.i64(this.unitOf(queueOffset), at.base)
  }

  nextAt(queueOffset: number): number {
    const unit = this.unitOf(queueOffset)
    return unit < 0 ? queueOffset + 1 : this.endOf(unit)
  }

  isReal(queueOffset: number): boolean {
    return this.unitOf(queueOffset) >= 0
  }

  get physicalEnd(): number {
    const last = this.units.end - 1
    return last < this.minUnit ? 0 : this.i64(last, at.physicalOffset) + this.i32(last, at.sizeBytes)
  }

  /**
   * LOWER: the first message of the first record stored at or after a time, or of the last record; UPPER: that of the last
   * record at or before it. BatchConsumeQueue#getOffsetInQueueByTime
   */
  offsetByTime(timestampMs: number, boundary: 'LOWER' | 'UPPER'): number {
    if (this.minOffset === this.maxOffset) return this.minOffset
    const later = this.firstUnit(unit => {
      const time = this.i64(unit, at.storeTimestamp)
      return boundary === 'LOWER' ? time >= timestampMs : time > timestampMs
    })
    const unit = boundary === 'LOWER' ? Math.min(later, this.units.end - 1) : Math.max(later - 1, this.minUnit)
    return this.i64(unit, at.base)
  }

  truncate(physicalOffset: number): void {
    this.setEnd(this.firstUnit(unit => this.i64(unit, at.physicalOffset) >= physicalOffset))
  }

  correctMinOffset(minPhysicalOffset: number): void {
    if (this.minOffset === this.maxOffset) return
    this.minUnit = this.firstUnit(unit => this.i64(unit, at.physicalOffset) >= minPhysicalOffset)
    this.minOffset = this.minUnit < this.units.end ? this.i64(this.minUnit, at.base) : this.maxOffset
    this.found = -1
  }

  deleteExpired(): void {
    const { segments } = this
    while (segments.list.length > 1 && segments.first!.endOffset <= this.minUnit * BATCH_UNIT.bytes)
      segments.removeFirst()
  }

  writeOut(): void {
    this.units.writeOut()
  }

  async flush(): Promise<void> {
    this.units.settle()
    for (const file of this.segments.list.filter(each => each.dirty)) await file.sync()
  }

  clear(): void {
    this.segments.removeAll()
    this.units.reset(0)
    this.minUnit = 0
    this.minOffset = 0
    this.maxOffset = 0
    this.nextOffset = 0
    this.found = -1
    this.isWhole = false
  }

  close(): void {
    this.segments.close()
  }
}
