import assert from 'node:assert/strict'
import { layout, readI64, writeI64 } from '../message/index.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Log } from './log.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import { QueueIndex, UNIT_HEAD } from './queue-index.ts'

/** One unit: where a record lies, its size, tag and time, and which messages of the queue it holds. */
export const BATCH_UNIT = layout({
  ...UNIT_HEAD,
  storeTimestamp: 'i64',
  base: 'i64',
  count: 'i16',
  compactedOffset: 'i32',
  reserved: 'i32'
})
assert.equal(BATCH_UNIT.bytes, 46) // BatchConsumeQueue#CQ_STORE_UNIT_SIZE
const { at } = BATCH_UNIT
const NOT_COMPACTED = -1

/** Queue offset behind the messages of a unit. */
const endAt = (view: DataView, pos: number): number => readI64(view, pos + at.base) + view.getInt16(pos + at.count)

/** The index of a queue whose records may hold several messages each: unit n says which, and where they lie. BatchConsumeQueue */
export class BatchConsumeQueue extends QueueIndex {
  minOffset = 0
  maxOffset = 0

  /** The unit that was looked for last, and the messages in it: readers go on from there. */
  private found = -1
  private foundBase = 0
  private foundEnd = 0

  constructor(topic: string, queueId: number, segments: MappedFileQueue, writes: DerivedWrites, log: Log) {
    super(topic, queueId, BATCH_UNIT.bytes, segments, writes, log)
  }

  protected override setEnd(unit: number): boolean {
    this.maxOffset = unit > this.minUnit ? this.endOf(unit - 1) : 0
    return super.setEnd(unit)
  }

  protected override setMin(unit: number): void {
    super.setMin(unit)
    this.minOffset = unit < this.units.end ? this.i64(unit, at.base) : this.maxOffset
    this.found = -1
  }

  protected endOfSound(view: DataView, pos: number, offset: number): number {
    const base = readI64(view, pos + at.base)
    const count = view.getInt16(pos + at.count)
    return count > 0 && base >= offset ? base + count : -1
  }

  private endOf(unit: number): number {
    const pos = this.units.locate(unit)
    return pos < 0 ? -1 : endAt(this.units.view, pos)
  }

  private has(queueOffset: number): boolean {
    return queueOffset >= this.minOffset && queueOffset < this.maxOffset
  }

  /** The unit that was looked for last when it holds a message, or the next one; -1 when neither does. */
  private nearUnit(queueOffset: number): number {
    if (this.found < 0 || queueOffset < this.foundBase || queueOffset > this.foundEnd) return -1
    return queueOffset === this.foundEnd ? this.found + 1 : this.found
  }

  /** The unit that holds a message, or the next one where messages were lost; -1 behind the last. */
  protected unitOf(queueOffset: number): number {
    if (!this.has(queueOffset)) return -1
    const near = this.nearUnit(queueOffset)
    if (near === this.found && near >= 0) return near
    return this.remember(near >= 0 ? near : this.firstUnit(this.minUnit, unit => this.endOf(unit) > queueOffset))
  }

  protected async findUnit(queueOffset: number): Promise<number> {
    if (!this.has(queueOffset)) return -1
    const near = this.nearUnit(queueOffset)
    if (near >= 0) return near
    return this.units.search(this.minUnit, this.units.end, (view, pos) => endAt(view, pos) > queueOffset)
  }

  readyUntil(queueOffset: number, hotFrom: number): number {
    const unit = this.nearUnit(queueOffset)
    const end = unit < 0 ? unit : this.readyUnits(unit, hotFrom)
    return end > unit ? this.endOf(end - 1) : queueOffset
  }

  override async load(queueOffset: number): Promise<number> {
    return this.remember(await super.load(queueOffset))
  }

  private remember(unit: number): number {
    this.found = unit
    this.foundBase = this.i64(unit, at.base)
    this.foundEnd = this.endOf(unit)
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
    this.added(physicalOffset)
    this.maxOffset = queueOffset + count
    if (isEmpty) this.setMin(this.units.end - 1)
    if (this.nextOffset < this.maxOffset) this.nextOffset = this.maxOffset
  }

  protected write(
    pos: number,
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void {
    this.writeHead(pos, physicalOffset, sizeBytes, tagsCode)
    const { view } = this.units
    writeI64(view, pos + at.storeTimestamp, storeTimestamp)
    writeI64(view, pos + at.base, queueOffset)
    view.setInt16(pos + at.count, count)
    view.setInt32(pos + at.compactedOffset, NOT_COMPACTED)
    view.setInt32(pos + at.reserved, 0)
  }

  override correct(...unit: Parameters<QueueIndex['correct']>): void {
    super.correct(...unit)
    this.found = -1
  }

  holds(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): boolean {
    return (
      this.baseAt(queueOffset) === queueOffset &&
      this.physicalAt(queueOffset) === physicalOffset &&
      this.sizeAt(queueOffset) === sizeBytes &&
      this.tagsCodeAt(queueOffset) === tagsCode
    )
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

  /**
   * LOWER: the first message of the first record stored at or after a time, or of the last record; UPPER: that of the last
   * record at or before it. BatchConsumeQueue#getOffsetInQueueByTime
   */
  async offsetByTime(timestampMs: number, boundary: 'LOWER' | 'UPPER'): Promise<number> {
    const { minUnit, units } = this
    if (this.minOffset === this.maxOffset) return this.minOffset
    const later = await units.search(minUnit, units.end, (view, pos) => {
      const time = readI64(view, pos + at.storeTimestamp)
      return boundary === 'LOWER' ? time >= timestampMs : time > timestampMs
    })
    const unit = boundary === 'LOWER' ? Math.min(later, units.end - 1) : Math.max(later - 1, minUnit)
    const block = await units.fetch(unit)
    return block === null ? this.minOffset : readI64(block.view, (unit - block.start) * BATCH_UNIT.bytes + at.base)
  }
}
