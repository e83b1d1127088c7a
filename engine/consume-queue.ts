import assert from 'node:assert/strict'
import { layout, readI64 } from '../message/index.ts'
import type { ConsumeQueueExtension } from './consume-queue-extension.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Log } from './log.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import { BLANK_SIZE, QueueIndex, UNIT_HEAD } from './queue-index.ts'

/** One ConsumeQueue unit: where the message lies in the CommitLog, its size, its tag's hash. */
export const CQ_UNIT = layout(UNIT_HEAD)
assert.equal(CQ_UNIT.bytes, 20) // ConsumeQueue#CQ_STORE_UNIT_SIZE

/** Below every tag's hash: the address of a unit in RocketMQ's ConsumeQueue extension. ConsumeQueueExt#MAX_ADDR */
export const MAX_EXTENSION_ADDRESS = -0x8000_0001
/** Upper half of the address of the extension's first byte: addresses begin at the smallest long. */
export const FIRST_ADDRESS_HIGH = -0x8000_0000

/** The index of one queue of one topic: unit n says where message n lies. ConsumeQueue */
export class ConsumeQueue extends QueueIndex {
  /** Where RocketMQ put the tags, if it did. */
  extension: ConsumeQueueExtension | null = null

  private readonly fileUnits: number

  constructor(topic: string, queueId: number, segments: MappedFileQueue, writes: DerivedWrites, log: Log) {
    super(topic, queueId, CQ_UNIT.bytes, segments, writes, log)
    this.fileUnits = segments.fileSizeBytes / CQ_UNIT.bytes
  }

  get minOffset(): number {
    return this.minUnit
  }

  get maxOffset(): number {
    return this.units.end
  }

  protected unitOf(queueOffset: number): number {
    return queueOffset
  }

  protected async findUnit(queueOffset: number): Promise<number> {
    return queueOffset
  }

  readyUntil(queueOffset: number, hotFrom: number): number {
    return this.readyUnits(queueOffset, hotFrom)
  }

  protected endOfSound(): number {
    return 0
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
    this.writeHead(this.units.add(), physicalOffset, sizeBytes, tagsCode)
    this.added(physicalOffset)
  }

  protected write(
    pos: number,
    _queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number
  ): void {
    this.writeHead(pos, physicalOffset, sizeBytes, tagsCode)
  }

  /** A queue that begins with a later message, or in which messages were lost, is filled up to where it goes on. */
  private blankUpTo(queueOffset: number): void {
    const isEmpty = this.minOffset === this.maxOffset
    if (isEmpty) this.units.reset(Math.max(this.maxOffset, queueOffset - (queueOffset % this.fileUnits)))
    // Units stay in the order of their messages, blank ones too, so that they can be searched.
    const physicalOffset = isEmpty ? 0 : this.physicalEnd
    while (this.maxOffset < queueOffset) this.add(physicalOffset, BLANK_SIZE, 0)
    if (isEmpty) this.setMin(queueOffset)
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

  /** Whether a unit says just this; what RocketMQ's extension has in the place of the tag counts as right. */
  holds(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): boolean {
    if (this.physicalAt(queueOffset) !== physicalOffset || this.sizeAt(queueOffset) !== sizeBytes) return false
    const there = readI64(this.units.view, this.units.locate(queueOffset) + CQ_UNIT.at.tagsCode)
    return there === tagsCode || there <= MAX_EXTENSION_ADDRESS
  }

  override deleteExpired(): void {
    super.deleteExpired()
    const { extension, minOffset, maxOffset } = this
    if (extension === null) return
    // Once a plain unit is the first one, what is in the extension may still be spoken of behind it, but never once the queue is empty.
    const address = minOffset < maxOffset ? this.addressAt(minOffset) : Number.POSITIVE_INFINITY
    if (address >= 0) extension.deleteBefore(address)
  }

  override close(): void {
    super.close()
    this.extension?.close()
  }
}
