import assert from 'node:assert/strict'
import { isLmq, layout, readI64, writeI64 } from '../message/index.ts'
import type { ConsumeQueueExtension } from './consume-queue-extension.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Log } from './log.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import type { QueueIndex } from './queue-index.ts'
import { UnitFile } from './unit-file.ts'

/** One ConsumeQueue unit: where the message lies in the CommitLog, its size, its tag's hash. */
export const CQ_UNIT = layout({ physicalOffset: 'i64', sizeBytes: 'i32', tagsCode: 'i64' })
assert.equal(CQ_UNIT.bytes, 20) // ConsumeQueue#CQ_STORE_UNIT_SIZE

/** Fills a queue in front of its first unit when that is not number 0, and where messages were lost: it points at nothing. */
export const BLANK_SIZE = 0x7fff_ffff
/** Below every tag's hash: the address of a unit in RocketMQ's ConsumeQueue extension. ConsumeQueueExt#MAX_ADDR */
export const MAX_EXTENSION_ADDRESS = -0x8000_0001
/** Upper half of the address of the extension's first byte: addresses begin at the smallest long. */
export const FIRST_ADDRESS_HIGH = -0x8000_0000

/** The index of one queue of one topic: unit n says where message n lies. ConsumeQueue */
export class ConsumeQueue implements QueueIndex {
  readonly topic: string
  readonly queueId: number
  readonly isMulti: boolean
  minOffset = 0
  nextOffset = 0
  isWhole = true
  /** Where RocketMQ put the tags, if it did. */
  extension: ConsumeQueueExtension | null = null

  private readonly segments: MappedFileQueue
  private readonly units: UnitFile
  private readonly fileUnits: number
  private readonly log: Log

  constructor(topic: string, queueId: number, segments: MappedFileQueue, writes: DerivedWrites, log: Log) {
    this.topic = topic
    this.queueId = queueId
    this.isMulti = isLmq(topic)
    this.segments = segments
    this.log = log
    const unitBytes = CQ_UNIT.bytes
    const fileUnits = segments.fileSizeBytes / unitBytes
    this.fileUnits = fileUnits
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

  /** Queue offset behind the last unit: what can be pulled ends here. */
  get maxOffset(): number {
    return this.units.end
  }

  /**
   * Finds the files and their last unit. Of the newest `checkBytes` every unit is looked at; it ends in front of one that
   * cannot be true. ConsumeQueue#recover
   */
  load(checkBytes: number): void {
    this.isWhole = this.segments.loadDerived(this.log)
    const { first, last } = this.segments
    if (first === undefined || last === undefined) return
    const start = first.startOffset / CQ_UNIT.bytes
    this.minOffset = start
    this.units.reset(last.endOffset / CQ_UNIT.bytes)
    this.setEnd(this.firstOffset(start, this.maxOffset, offset => this.sizeAt(offset) <= 0))
    const from = Math.max(start, this.maxOffset - Math.floor(checkBytes / CQ_UNIT.bytes))
    const bad = this.firstUnsound(from)
    if (bad < 0) return
    this.log.warn(
      { topic: this.topic, queueId: this.queueId, queueOffset: bad },
      'a ConsumeQueue unit cannot be true: the queue is built again from there'
    )
    this.isWhole = false
    this.setEnd(bad)
    this.segments.truncate(bad * CQ_UNIT.bytes)
  }

  /** Units lie in the order of their messages, which do not overlap. */
  private firstUnsound(from: number): number {
    let messageEnd = 0
    for (const { start, end, view } of this.units.pieces(from))
      for (let offset = Math.max(start, from); offset < end; offset++) {
        const pos = (offset - start) * CQ_UNIT.bytes
        const physicalOffset = readI64(view, pos + CQ_UNIT.at.physicalOffset)
        const sizeBytes = view.getInt32(pos + CQ_UNIT.at.sizeBytes)
        if (sizeBytes <= 0 || physicalOffset < 0) return offset
        if (sizeBytes === BLANK_SIZE) continue
        if (physicalOffset < messageEnd) return offset
        messageEnd = physicalOffset + sizeBytes
      }
    return -1
  }

  private setEnd(offset: number): void {
    this.units.cut(offset)
    this.nextOffset = offset
    this.minOffset = Math.min(this.minOffset, offset)
  }

  /** The first offset of [low, high) for which something holds that holds for all behind it, else `high`. */
  private firstOffset(low: number, high: number, holds: (offset: number) => boolean): number {
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (holds(middle)) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Adds a unit behind the last one; messages that are missing in between get blank units. ConsumeQueue#putMessagePositionInfo */
  append(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    if (queueOffset !== this.maxOffset) {
      if (queueOffset < this.maxOffset) return
      this.blankUpTo(queueOffset)
    }
    this.add(physicalOffset, sizeBytes, tagsCode)
    if (this.nextOffset < this.maxOffset) this.nextOffset = this.maxOffset
  }

  private add(physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    this.write(this.units.add(), physicalOffset, sizeBytes, tagsCode)
    this.units.end++
  }

  private write(pos: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    const { view } = this.units
    writeI64(view, pos + CQ_UNIT.at.physicalOffset, physicalOffset)
    view.setInt32(pos + CQ_UNIT.at.sizeBytes, sizeBytes)
    writeI64(view, pos + CQ_UNIT.at.tagsCode, tagsCode)
  }

  /** A queue that begins with a later message, or in which messages were lost, is filled up to where it goes on. */
  private blankUpTo(queueOffset: number): void {
    const isEmpty = this.minOffset === this.maxOffset
    if (isEmpty) this.units.reset(Math.max(this.maxOffset, queueOffset - (queueOffset % this.fileUnits)))
    // Units stay in the order of their messages, blank ones too, so that they can be searched.
    const physicalOffset = isEmpty ? 0 : this.physicalEnd
    while (this.maxOffset < queueOffset) this.add(physicalOffset, BLANK_SIZE, 0)
    if (isEmpty) this.minOffset = queueOffset
  }

  /** Puts a unit right that is there already. */
  correct(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    this.log.warn(
      { topic: this.topic, queueId: this.queueId, queueOffset },
      'a ConsumeQueue unit contradicted the CommitLog and was corrected'
    )
    const pos = this.units.locate(queueOffset)
    this.write(pos, physicalOffset, sizeBytes, tagsCode)
    this.units.rewrite(queueOffset, pos)
  }

  /** Physical offset of message `queueOffset`; -1 when there is no such unit. */
  physicalAt(queueOffset: number): number {
    const pos = this.units.locate(queueOffset)
    return pos < 0 ? -1 : readI64(this.units.view, pos + CQ_UNIT.at.physicalOffset)
  }

  sizeAt(queueOffset: number): number {
    const pos = this.units.locate(queueOffset)
    return pos < 0 ? 0 : this.units.view.getInt32(pos + CQ_UNIT.at.sizeBytes)
  }

  /** Hash of the message's tag; null when RocketMQ put it elsewhere and it is gone: then it may be any. */
  tagsCodeAt(queueOffset: number): number | null {
    const pos = this.units.locate(queueOffset)
    if (pos < 0) return 0
    const { view } = this.units
    const at = pos + CQ_UNIT.at.tagsCode
    const tagsCode = readI64(view, at)
    if (tagsCode > MAX_EXTENSION_ADDRESS) return tagsCode
    return this.extension?.tagsCodeAt(this.addressAt(queueOffset)) ?? null
  }

  /** Where in the extension a message's tag lies; -1 when its unit has the tag itself. ConsumeQueueExt#unDecorate */
  private addressAt(queueOffset: number): number {
    const pos = this.units.locate(queueOffset)
    if (pos < 0) return -1
    const { view } = this.units
    const at = pos + CQ_UNIT.at.tagsCode
    if (readI64(view, at) > MAX_EXTENSION_ADDRESS) return -1
    return (view.getInt32(at) - FIRST_ADDRESS_HIGH) * 0x1_0000_0000 + view.getUint32(at + 4)
  }

  baseAt(queueOffset: number): number {
    return queueOffset
  }

  nextAt(queueOffset: number): number {
    return queueOffset + 1
  }

  isReal(queueOffset: number): boolean {
    const size = this.sizeAt(queueOffset)
    return size > 0 && size !== BLANK_SIZE
  }

  /** Whether a unit says just this; what RocketMQ's extension has in the place of the tag counts as right. */
  holds(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): boolean {
    if (this.physicalAt(queueOffset) !== physicalOffset || this.sizeAt(queueOffset) !== sizeBytes) return false
    const there = readI64(this.units.view, this.units.locate(queueOffset) + CQ_UNIT.at.tagsCode)
    return there === tagsCode || there <= MAX_EXTENSION_ADDRESS
  }

  /** Physical offset behind the last message of the queue; 0 without one. */
  get physicalEnd(): number {
    const last = this.maxOffset - 1
    return this.isReal(last) ? this.physicalAt(last) + this.sizeAt(last) : Math.max(0, this.physicalAt(last))
  }

  /** Drops the units of messages at or behind a physical offset, and what else lies there. ConsumeQueue#truncateDirtyLogicFiles */
  truncate(physicalOffset: number): void {
    const end = this.firstOffset(
      this.minOffset,
      this.maxOffset,
      offset => this.sizeAt(offset) <= 0 || this.physicalAt(offset) >= physicalOffset
    )
    this.nextOffset = end
    this.minOffset = Math.min(this.minOffset, end)
    if (this.units.cut(end)) this.segments.truncate(end * CQ_UNIT.bytes)
  }

  /** Moves the first offset to the first message that the CommitLog still has. ConsumeQueue#correctMinOffset */
  correctMinOffset(minPhysicalOffset: number): void {
    const remains = (offset: number) => {
      const physicalOffset = this.physicalAt(offset)
      return physicalOffset >= minPhysicalOffset && (physicalOffset > 0 || this.isReal(offset))
    }
    if (this.minOffset === this.maxOffset || remains(this.minOffset)) return
    this.minOffset = this.firstOffset(this.minOffset, this.maxOffset, remains)
  }

  /** Removes files all of whose messages are gone; the last one stays. */
  deleteExpired(): void {
    const { segments } = this
    while (segments.list.length > 1 && segments.first!.endOffset <= this.minOffset * CQ_UNIT.bytes)
      segments.removeFirst()
    const { extension, minOffset, maxOffset } = this
    if (extension === null) return
    // Once a plain unit is the first one, what is in the extension may still be spoken of behind it, but never once the queue is empty.
    const address = minOffset < maxOffset ? this.addressAt(minOffset) : Number.POSITIVE_INFINITY
    if (address >= 0) extension.deleteBefore(address)
  }

  /** Writes the units that are only in memory. Throws what the disk says. */
  writeOut(): void {
    this.units.writeOut()
  }

  /** Makes all units durable that are there now. */
  async flush(): Promise<void> {
    this.units.settle()
    await this.segments.sync()
  }

  /** Empties the queue and removes its files: it is to be built again. */
  clear(): void {
    this.segments.removeAll()
    this.units.reset(0)
    this.minOffset = 0
    this.nextOffset = 0
    this.isWhole = false
  }

  close(): void {
    this.segments.close()
    this.extension?.close()
  }
}
