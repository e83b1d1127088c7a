import assert from 'node:assert/strict'
import { layout, readI64, writeI64 } from '../message/index.ts'
import type { ConsumeQueueExtension } from './consume-queue-extension.ts'
import type { Log } from './log.ts'
import type { MappedFileQueue } from './mapped-file.ts'

/** One ConsumeQueue unit: where the message lies in the CommitLog, its size, its tag's hash. */
export const CQ_UNIT = layout({ physicalOffset: 'i64', sizeBytes: 'i32', tagsCode: 'i64' })
assert.equal(CQ_UNIT.bytes, 20) // ConsumeQueue#CQ_STORE_UNIT_SIZE

/** Fills a queue in front of its first unit when that is not number 0, and where messages were lost: it points at nothing. */
const BLANK_SIZE = 0x7fff_ffff
/** Below every tag's hash: the address of a unit in RocketMQ's ConsumeQueue extension. ConsumeQueueExt#MAX_ADDR */
const MAX_EXTENSION_ADDRESS = -0x8000_0001
/** Upper half of the address of the extension's first byte: addresses begin at the smallest long. */
const FIRST_ADDRESS_HIGH = -0x8000_0000
/** Units are read and written in blocks of so many. */
const BLOCK_UNITS = 200

/** Consecutive units in memory: those from `start` to before `end`. */
interface Block {
  readonly start: number
  readonly end: number
  readonly bytes: Buffer
  readonly view: DataView
}

function blockOf(start: number, end: number): Block {
  const bytes = Buffer.alloc((end - start) * CQ_UNIT.bytes)
  return { start, end, bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
}

/**
 * The index of one queue of one topic: unit n says where message n lies. ConsumeQueue
 *
 * The newest units are in memory and go to the file a block at a time, and before each checkpoint: what a crash takes
 * with it lies behind the checkpoint and is built again from the CommitLog. A full disk is an error of `put`, which can
 * then be done again.
 */
export class ConsumeQueue {
  readonly topic: string
  readonly queueId: number
  /** Queue offset of the first message that still exists. */
  minOffset = 0
  /** Queue offset behind the last unit: what can be pulled ends here. */
  maxOffset = 0
  /** The queue offset that the next put gets; ahead of maxOffset by what is not dispatched yet. */
  nextOffset = 0
  /** False when files or units were found broken and removed: they are to be built again. */
  isWhole = true
  /** Where RocketMQ put the tags, if it did. */
  extension: ConsumeQueueExtension | null = null

  private readonly segments: MappedFileQueue
  private readonly log: Log
  private readonly fileUnits: number
  /** The block at the queue's end; null while nobody writes. */
  private tail: Block | null = null
  /** Units below this one are in their files. */
  private writtenUntil = 0
  /** Whether the tail was written to since the last checkpoint. */
  private active = false
  /** The block that was read last. */
  private cached: Block | null = null
  private view: DataView = new DataView(new ArrayBuffer(0))

  constructor(topic: string, queueId: number, segments: MappedFileQueue, log: Log) {
    this.topic = topic
    this.queueId = queueId
    this.segments = segments
    this.log = log
    this.fileUnits = segments.fileSizeBytes / CQ_UNIT.bytes
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
    this.maxOffset = last.endOffset / CQ_UNIT.bytes
    this.writtenUntil = this.maxOffset
    this.setEnd(this.firstOffset(start, this.maxOffset, offset => this.sizeAt(offset) <= 0))
    const from = Math.max(start, this.maxOffset - Math.floor(checkBytes / CQ_UNIT.bytes))
    const bad = this.firstUnsound(from)
    if (bad >= 0) this.cutFrom(bad, 'a ConsumeQueue unit cannot be true')
  }

  /** Units lie in the order of their messages, which do not overlap. */
  private firstUnsound(from: number): number {
    let messageEnd = 0
    for (let offset = from; offset < this.maxOffset; offset++) {
      const physicalOffset = this.physicalAt(offset)
      const sizeBytes = this.sizeAt(offset)
      if (sizeBytes <= 0 || physicalOffset < 0) return offset
      if (sizeBytes === BLANK_SIZE) continue
      if (physicalOffset < messageEnd) return offset
      messageEnd = physicalOffset + sizeBytes
    }
    return -1
  }

  private cutFrom(offset: number, reason: string): void {
    this.log.warn({ topic: this.topic, queueId: this.queueId, offset }, `${reason}: it is built again from there`)
    this.isWhole = false
    this.setEnd(offset)
    this.segments.truncate(offset * CQ_UNIT.bytes)
  }

  private setEnd(offset: number): void {
    this.maxOffset = offset
    this.nextOffset = offset
    this.minOffset = Math.min(this.minOffset, offset)
    this.cached = null
    if (offset > this.writtenUntil) return
    this.writtenUntil = offset
    this.tail = null
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
    if (queueOffset > this.maxOffset) this.blankUpTo(queueOffset)
    this.store(queueOffset, physicalOffset, sizeBytes, tagsCode)
    this.maxOffset = queueOffset + 1
    if (this.nextOffset < this.maxOffset) this.nextOffset = this.maxOffset
  }

  private store(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    let { tail } = this
    if (tail === null || queueOffset >= tail.end) {
      this.writeOut()
      const next = this.openBlock(queueOffset)
      // Consumers that follow closely read the block before; and what was cached may be older than what was written.
      this.cached = tail
      this.tail = next
      tail = next
    }
    const { view } = tail
    const pos = (queueOffset - tail.start) * CQ_UNIT.bytes
    writeI64(view, pos + CQ_UNIT.at.physicalOffset, physicalOffset)
    view.setInt32(pos + CQ_UNIT.at.sizeBytes, sizeBytes)
    writeI64(view, pos + CQ_UNIT.at.tagsCode, tagsCode)
    this.active = true
  }

  /** The block of a unit, with what its file has of it. Blocks end with their file. */
  private openBlock(queueOffset: number): Block {
    const inFile = queueOffset % this.fileUnits
    const start = queueOffset - (inFile % BLOCK_UNITS)
    const block = blockOf(start, Math.min(start + BLOCK_UNITS, queueOffset - inFile + this.fileUnits))
    const file = this.segments.at(start * CQ_UNIT.bytes)
    if (file !== undefined && start < this.writtenUntil)
      file.read(block.bytes, start * CQ_UNIT.bytes - file.startOffset)
    return block
  }

  /** A queue that begins with a later message, or in which messages were lost, is filled up to where it goes on. */
  private blankUpTo(queueOffset: number): void {
    const isEmpty = this.minOffset === this.maxOffset
    if (isEmpty && this.segments.last === undefined && this.tail === null) {
      const start = queueOffset - (queueOffset % this.fileUnits)
      this.writtenUntil = start
      this.minOffset = start
      this.setEnd(start)
    }
    // Units stay in the order of their messages, blank ones too, so that they can be searched.
    const last = this.maxOffset - 1
    const physicalOffset = isEmpty ? 0 : this.physicalAt(last) + (this.isReal(last) ? this.sizeAt(last) : 0)
    while (this.maxOffset < queueOffset) {
      this.store(this.maxOffset, physicalOffset, BLANK_SIZE, 0)
      this.maxOffset++
      if (isEmpty) this.minOffset = this.maxOffset
    }
  }

  /** Writes the units that are only in memory to their file. Throws what the disk says. */
  private writeOut(): void {
    const { tail } = this
    if (tail === null || this.writtenUntil >= this.maxOffset) return
    const from = Math.max(this.writtenUntil, tail.start)
    const position = from * CQ_UNIT.bytes
    const file = this.segments.at(position) ?? this.segments.create(position)
    const start = (from - tail.start) * CQ_UNIT.bytes
    file.write(tail.bytes, start, (this.maxOffset - from) * CQ_UNIT.bytes, position - file.startOffset)
    this.writtenUntil = this.maxOffset
  }

  /** Puts a unit right that is there already. */
  correct(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): void {
    this.log.warn(
      { topic: this.topic, queueId: this.queueId, queueOffset },
      'a ConsumeQueue unit contradicted the CommitLog and was corrected'
    )
    const pos = this.locate(queueOffset)
    writeI64(this.view, pos + CQ_UNIT.at.physicalOffset, physicalOffset)
    this.view.setInt32(pos + CQ_UNIT.at.sizeBytes, sizeBytes)
    writeI64(this.view, pos + CQ_UNIT.at.tagsCode, tagsCode)
    if (queueOffset >= this.writtenUntil) return
    const position = queueOffset * CQ_UNIT.bytes
    const file = this.segments.at(position)!
    const bytes = new Uint8Array(this.view.buffer, this.view.byteOffset + pos, CQ_UNIT.bytes)
    file.write(bytes, 0, CQ_UNIT.bytes, position - file.startOffset)
  }

  /** Position of a unit in `view`, which it sets; -1 when there is no such unit. */
  private locate(queueOffset: number): number {
    const { tail } = this
    if (!(queueOffset >= 0 && queueOffset < this.maxOffset)) return -1
    if (tail !== null && queueOffset >= tail.start) {
      this.view = tail.view
      return (queueOffset - tail.start) * CQ_UNIT.bytes
    }
    let { cached } = this
    if (cached === null || queueOffset < cached.start || queueOffset >= cached.end) {
      if (this.segments.at(queueOffset * CQ_UNIT.bytes) === undefined) return -1
      cached = this.openBlock(queueOffset)
      this.cached = cached
    }
    this.view = cached.view
    return (queueOffset - cached.start) * CQ_UNIT.bytes
  }

  /** Physical offset of message `queueOffset`; -1 when there is no such unit. */
  physicalAt(queueOffset: number): number {
    const pos = this.locate(queueOffset)
    return pos < 0 ? -1 : readI64(this.view, pos + CQ_UNIT.at.physicalOffset)
  }

  sizeAt(queueOffset: number): number {
    const pos = this.locate(queueOffset)
    return pos < 0 ? 0 : this.view.getInt32(pos + CQ_UNIT.at.sizeBytes)
  }

  /** Hash of the message's tag; null when RocketMQ put it elsewhere and it is gone: then it may be any. */
  tagsCodeAt(queueOffset: number): number | null {
    const pos = this.locate(queueOffset)
    if (pos < 0) return 0
    const at = pos + CQ_UNIT.at.tagsCode
    const tagsCode = readI64(this.view, at)
    if (tagsCode > MAX_EXTENSION_ADDRESS) return tagsCode
    const offset = (this.view.getInt32(at) - FIRST_ADDRESS_HIGH) * 0x1_0000_0000 + this.view.getUint32(at + 4)
    return this.extension?.tagsCodeAt(offset) ?? null
  }

  /** Whether a unit stands for a message. */
  isReal(queueOffset: number): boolean {
    const size = this.sizeAt(queueOffset)
    return size > 0 && size !== BLANK_SIZE
  }

  /** Whether a unit says just this; what RocketMQ's extension has in the place of the tag counts as right. */
  holds(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): boolean {
    if (this.physicalAt(queueOffset) !== physicalOffset || this.sizeAt(queueOffset) !== sizeBytes) return false
    const there = readI64(this.view, this.locate(queueOffset) + CQ_UNIT.at.tagsCode)
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
    this.setEnd(end)
    if (end <= this.writtenUntil) this.segments.truncate(end * CQ_UNIT.bytes)
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

  /** Removes files all of whose messages are gone; the last one stays. Returns how many. */
  deleteExpired(): number {
    let count = 0
    for (; this.segments.list.length > 1; count++) {
      if (this.segments.first!.endOffset > this.minOffset * CQ_UNIT.bytes) break
      this.segments.removeFirst()
    }
    return count
  }

  /** Makes all units durable that are there now. */
  async flush(): Promise<void> {
    this.writeOut()
    if (!this.active) this.tail = null
    this.active = false
    for (const file of this.segments.list.filter(each => each.dirty)) await file.sync()
  }

  /** Empties the queue and removes its files: it is to be built again. */
  clear(): void {
    this.isWhole = false
    this.segments.removeAll()
    this.minOffset = 0
    this.setEnd(0)
  }

  close(): void {
    this.segments.close()
    this.extension?.close()
  }
}
