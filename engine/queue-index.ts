import { isLmq, layout, readI64, writeI64 } from '../message/index.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Log } from './log.ts'
import type { MappedFileQueue, SyncDirectory } from './mapped-file.ts'
import { UnitFile } from './unit-file.ts'

/** How a topic's queues are kept: a unit a message, or a unit a batch. CQType */
export type QueueType = 'SimpleCQ' | 'BatchCQ'

/** What units of both kinds begin with: where a record lies in the CommitLog, its size, its tag's hash. */
export const UNIT_HEAD = { physicalOffset: 'i64', sizeBytes: 'i32', tagsCode: 'i64' } as const
const { at } = layout(UNIT_HEAD)

/** Fills a queue in front of its first unit when that is not number 0, and where messages were lost: it points at nothing. */
export const BLANK_SIZE = 0x7fff_ffff
/** Whether a unit of this size stands for a message. */
export const isSizeOfMessage = (sizeBytes: number): boolean => sizeBytes > 0 && sizeBytes !== BLANK_SIZE

/** So many units are read at once when they must be read from the disk. */
export const UNITS_AT_ONCE = 800
/** Two marks of each queue, so far apart in the log at least, tell which of its units were written not long ago. */
const MARK_BYTES = 128 * 1024 * 1024
/** A unit, and where its record lies. */
type Mark = { readonly unit: number; readonly physicalOffset: number }
const NO_MARK: Mark = { unit: Number.POSITIVE_INFINITY, physicalOffset: Number.NEGATIVE_INFINITY }

/**
 * Says of one queue of one topic where each message lies in the CommitLog, in RocketMQ's form of the files: units in the
 * order of their messages. Units have numbers, messages have queue offsets. ConsumeQueueInterface
 */
export abstract class QueueIndex {
  readonly topic: string
  readonly queueId: number
  /** Whether records of other topics are listed here, each under an offset that one of its properties gives. */
  readonly isMulti: boolean
  /** Queue offset of the first message that still exists. */
  abstract readonly minOffset: number
  /** Queue offset behind the last message that can be pulled. */
  abstract readonly maxOffset: number
  /** The queue offset that the next put gets; ahead of maxOffset by what is not dispatched yet. */
  nextOffset = 0
  /** False when files or units were found broken and removed: they are to be built again. */
  isWhole = true

  /** Number of the first unit whose message still exists. */
  protected minUnit = 0
  /** Set by units as they are added. */
  private mark = NO_MARK
  private olderMark = NO_MARK
  protected readonly units: UnitFile
  protected readonly segments: MappedFileQueue
  private readonly unitBytes: number
  private readonly log: Log

  constructor(
    topic: string,
    queueId: number,
    unitBytes: number,
    segments: MappedFileQueue,
    writes: DerivedWrites,
    log: Log
  ) {
    this.topic = topic
    this.queueId = queueId
    this.isMulti = isLmq(topic)
    this.unitBytes = unitBytes
    this.segments = segments
    this.log = log
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

  /** Number of the unit of a message; there is none such when the queue does not have it. */
  protected abstract unitOf(queueOffset: number): number
  /** As `unitOf`, in the thread pool. */
  protected abstract findUnit(queueOffset: number): Promise<number>
  /** Queue offset behind the messages of a unit that stands at `pos`; -1 when they cannot follow those before `offset`. */
  protected abstract endOfSound(view: DataView, pos: number, offset: number): number
  /** Writes a unit into the view of `units`. */
  protected abstract write(
    pos: number,
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void

  /** Adds a record of `count` messages behind the last one. */
  abstract append(
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void
  /**
   * Queue offset behind the messages from one on whose units can be read without waiting for the disk; its own when they
   * cannot. Records from `hotFrom` on were written so recently that their units are in memory.
   */
  abstract readyUntil(queueOffset: number, hotFrom: number): number
  /** Whether the unit of a message says just this. */
  abstract holds(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): boolean
  /** Hash of the record's tag; null when it is not known. */
  abstract tagsCodeAt(queueOffset: number): number | null
  /** Queue offset of the first message of the record that holds a message. */
  abstract baseAt(queueOffset: number): number
  /** Queue offset of the next record. */
  abstract nextAt(queueOffset: number): number

  /** Physical offset of the record that holds a message; -1 when there is no such unit. */
  physicalAt(queueOffset: number): number {
    return this.i64(this.unitOf(queueOffset), at.physicalOffset)
  }

  sizeAt(queueOffset: number): number {
    return this.sizeOf(this.unitOf(queueOffset))
  }

  /** A field of a unit; -1 when there is no such unit. */
  protected i64(unit: number, field: number): number {
    const pos = this.units.locate(unit)
    return pos < 0 ? -1 : readI64(this.units.view, pos + field)
  }

  protected sizeOf(unit: number): number {
    const pos = this.units.locate(unit)
    return pos < 0 ? 0 : this.units.view.getInt32(pos + at.sizeBytes)
  }

  /** Reads units from that of a message on in the thread pool: then `readyUntil` is behind it. Returns its number. */
  async load(queueOffset: number): Promise<number> {
    const unit = await this.findUnit(queueOffset)
    await this.units.load(unit, unit + UNITS_AT_ONCE)
    return unit
  }

  /** As `physicalAt`, in the thread pool; -1 also when the unit stands for no message. */
  async findMessage(queueOffset: number): Promise<number> {
    const unit = await this.findUnit(queueOffset)
    const block = unit >= 0 && unit < this.units.end ? await this.units.fetch(unit) : null
    if (block === null) return -1
    const pos = (unit - block.start) * this.unitBytes
    return isSizeOfMessage(block.view.getInt32(pos + at.sizeBytes)) ? readI64(block.view, pos + at.physicalOffset) : -1
  }

  /** Number behind the units from one on that can be read without waiting for the disk. */
  protected readyUnits(unit: number, hotFrom: number): number {
    const { mark, olderMark } = this
    const isHot =
      (unit >= mark.unit && mark.physicalOffset >= hotFrom) ||
      (unit >= olderMark.unit && olderMark.physicalOffset >= hotFrom)
    return isHot ? this.units.end : this.units.memoryEnd(unit)
  }

  /** Counts the unit for which `units.add` made room. */
  protected added(physicalOffset: number): void {
    const unit = this.units.end++
    if (physicalOffset - this.mark.physicalOffset < MARK_BYTES) return
    this.olderMark = this.mark
    this.mark = { unit, physicalOffset }
  }

  /** Whether a unit stands for a message. */
  isReal(queueOffset: number): boolean {
    return isSizeOfMessage(this.sizeAt(queueOffset))
  }

  /** Writes what units of both kinds begin with. */
  protected writeHead(pos: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    const { view } = this.units
    writeI64(view, pos + at.physicalOffset, physicalOffset)
    view.setInt32(pos + at.sizeBytes, sizeBytes)
    writeI64(view, pos + at.tagsCode, tagsCode)
  }

  /** Physical offset behind the last message of the queue; 0 without one. */
  get physicalEnd(): number {
    return Math.max(0, this.endOfRecord(this.units.end - 1))
  }

  /** Physical offset behind the record of a unit, or where a record would lie that is missing; -1 when there is no such unit. */
  private endOfRecord(unit: number): number {
    const sizeBytes = this.sizeOf(unit)
    return this.i64(unit, at.physicalOffset) + (isSizeOfMessage(sizeBytes) ? sizeBytes : 0)
  }

  /** Where the last record begins that ends at or before a physical offset; -1 without one. */
  lastRecordBefore(physicalOffset: number): number {
    const unit = this.firstUnit(this.minUnit, each => this.endOfRecord(each) > physicalOffset) - 1
    return unit < this.minUnit ? -1 : this.i64(unit, at.physicalOffset)
  }

  /**
   * Finds the files and their last unit. Of the newest `checkBytes` every unit is looked at; the queue ends in front of one
   * that cannot be true. ConsumeQueue#recover
   */
  open(checkBytes: number): void {
    const { segments, units, unitBytes } = this
    this.isWhole = segments.loadDerived(this.log)
    const { first, last } = segments
    if (first === undefined || last === undefined) return
    this.minUnit = first.startOffset / unitBytes
    units.reset(last.endOffset / unitBytes)
    this.setEnd(this.firstUnwritten(last.startOffset / unitBytes))
    const bad = this.firstUnsound(Math.max(this.minUnit, units.end - Math.floor(checkBytes / unitBytes)))
    if (bad < 0) return
    this.log.warn(
      { topic: this.topic, queueId: this.queueId, unit: bad },
      'a ConsumeQueue unit cannot be true: the queue is built again from there'
    )
    this.isWhole = false
    this.cut(bad)
  }

  /** The first unit that was never written. Units fill their files in order, and most queues are short. */
  private firstUnwritten(startOfLastFile: number): number {
    const isUnwritten = (unit: number) => this.sizeOf(unit) <= 0
    const isLastEmpty = startOfLastFile > this.minUnit && isUnwritten(startOfLastFile - 1)
    let low = isLastEmpty ? this.minUnit : startOfLastFile
    let step = 1
    for (; low + step < this.units.end && !isUnwritten(low + step); step *= 2) low += step
    return this.firstUnit(low, isUnwritten, Math.min(low + step, this.units.end))
  }

  /** Units lie in the order of their messages, which do not overlap, in the log and in the queue. */
  private firstUnsound(from: number): number {
    let physicalEnd = 0
    let queueEnd = 0
    for (const { start, end, view } of this.units.pieces(from))
      for (let unit = Math.max(start, from); unit < end; unit++) {
        const pos = (unit - start) * this.unitBytes
        const physicalOffset = readI64(view, pos + at.physicalOffset)
        const sizeBytes = view.getInt32(pos + at.sizeBytes)
        if (sizeBytes <= 0 || physicalOffset < 0) return unit
        if (sizeBytes === BLANK_SIZE) continue
        queueEnd = this.endOfSound(view, pos, queueEnd)
        if (physicalOffset < physicalEnd || queueEnd < 0) return unit
        physicalEnd = physicalOffset + sizeBytes
      }
    return -1
  }

  /** The first unit from `low` on for which something holds that holds for all behind it, else `high`. */
  protected firstUnit(low: number, holds: (unit: number) => boolean, high = this.units.end): number {
    // What is looked for is mostly the end, and the last units are in memory.
    if (low < high && !holds(high - 1)) return high
    let first = low
    let end = high
    while (first < end) {
      const middle = Math.floor((first + end) / 2)
      if (holds(middle)) end = middle
      else first = middle + 1
    }
    return first
  }

  /** Forgets the units from one on. Returns whether files may hold some of them. */
  protected setEnd(unit: number): boolean {
    const inFiles = this.units.cut(unit)
    this.setMin(Math.min(this.minUnit, unit))
    this.nextOffset = this.maxOffset
    return inFiles
  }

  protected setMin(unit: number): void {
    this.minUnit = unit
  }

  /** Drops the units from one on, and what else lies there. */
  private cut(unit: number): void {
    if (this.setEnd(unit)) this.segments.truncate(unit * this.unitBytes)
  }

  /** Drops the units of messages at or behind a physical offset, and what else lies there. ConsumeQueue#truncateDirtyLogicFiles */
  truncate(physicalOffset: number): void {
    const isDropped = (unit: number) => this.sizeOf(unit) <= 0 || this.i64(unit, at.physicalOffset) >= physicalOffset
    this.cut(this.firstUnit(this.minUnit, isDropped))
  }

  /** Moves the first offset to the first message that the CommitLog still has. ConsumeQueue#correctMinOffset */
  async correctMinOffset(minPhysicalOffset: number): Promise<void> {
    const { minUnit, units } = this
    const remains = (view: DataView, pos: number) => {
      const physicalOffset = readI64(view, pos + at.physicalOffset)
      const isMessage = isSizeOfMessage(view.getInt32(pos + at.sizeBytes))
      return physicalOffset >= minPhysicalOffset && (physicalOffset > 0 || isMessage)
    }
    const isFirst = (await units.search(minUnit, Math.min(minUnit + 1, units.end), remains)) === minUnit
    const first = isFirst ? minUnit : await units.search(minUnit + 1, units.end, remains)
    if (first === minUnit) return
    await units.load(first, first + 1)
    this.setMin(first)
  }

  /** Puts a unit right that is there already. */
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
      'a ConsumeQueue unit contradicted the CommitLog and was corrected'
    )
    const unit = this.unitOf(queueOffset)
    const pos = this.units.locate(unit)
    this.write(pos, queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
    this.units.rewrite(unit, pos)
  }

  /** Removes files all of whose messages are gone; the last one stays. */
  deleteExpired(): void {
    const { segments } = this
    while (segments.list.length > 1 && segments.first!.endOffset <= this.minUnit * this.unitBytes)
      segments.removeFirst()
  }

  /** Writes the units that are only in memory. Throws what the disk says. */
  writeOut(): void {
    this.units.writeOut()
  }

  /** Writes the units that are only in memory; says whether `sync` has something to do. Throws what the disk says. */
  settle(): boolean {
    this.units.settle()
    return this.segments.isDirty
  }

  /** Makes durable what was written. */
  sync(syncDirectory: SyncDirectory): Promise<void> {
    return this.segments.sync(syncDirectory)
  }

  /** Empties the queue and removes its files: it is to be built again. */
  clear(): void {
    this.segments.removeAll()
    this.setEnd(0)
    this.isWhole = false
  }

  close(): void {
    this.segments.close()
  }
}
