import assert from 'node:assert/strict'
import { layout, readI64, writeI64 } from '../message/index.ts'
import type { MappedFile } from './mapped-file.ts'

const HEADER = layout({
  beginTimestamp: 'i64',
  endTimestamp: 'i64',
  beginPhysicalOffset: 'i64',
  endPhysicalOffset: 'i64',
  hashSlotCount: 'i32',
  indexCount: 'i32'
})
assert.equal(HEADER.bytes, 40) // IndexHeader#INDEX_HEADER_SIZE
const ENTRY = layout({ keyHash: 'i32', physicalOffset: 'i64', timeDiffS: 'i32', previous: 'i32' })
assert.equal(ENTRY.bytes, 20) // IndexFile#indexSize
const SLOT_BYTES = 4

export const indexFileBytes = (slots: number, entries: number): number =>
  HEADER.bytes + slots * SLOT_BYTES + entries * ENTRY.bytes

/**
 * A hash table on disk: header, slots, entries. A slot names the newest entry of its chain, an entry the one before it;
 * entry 0 is never used. IndexFile
 */
export class IndexFile {
  readonly name: string
  private readonly file: MappedFile
  private readonly slots: number
  private readonly capacity: number

  constructor(file: MappedFile, name: string, slots: number, capacity: number) {
    this.name = name
    this.file = file
    this.slots = slots
    this.capacity = capacity
  }

  private get view(): DataView {
    return this.file.writableMap.view
  }
  get beginTimestamp(): number {
    return readI64(this.view, HEADER.at.beginTimestamp)
  }
  get endTimestamp(): number {
    return readI64(this.view, HEADER.at.endTimestamp)
  }
  get beginPhysicalOffset(): number {
    return readI64(this.view, HEADER.at.beginPhysicalOffset)
  }
  get endPhysicalOffset(): number {
    return readI64(this.view, HEADER.at.endPhysicalOffset)
  }
  /** Number of the next entry: one more than there are. */
  get indexCount(): number {
    return Math.max(1, this.view.getInt32(HEADER.at.indexCount))
  }
  private get hashSlotCount(): number {
    return this.view.getInt32(HEADER.at.hashSlotCount)
  }
  get isEmpty(): boolean {
    return this.indexCount <= 1
  }
  get isFull(): boolean {
    return this.indexCount >= this.capacity
  }

  private slotAt(keyHash: number): number {
    return HEADER.bytes + (keyHash % this.slots) * SLOT_BYTES
  }

  private entryAt(entry: number): number {
    return HEADER.bytes + this.slots * SLOT_BYTES + entry * ENTRY.bytes
  }

  /** Presets the header of a new file from the end of the file before it; zeros without one. */
  begin(timestamp: number, physicalOffset: number): void {
    this.file.makeReal(0, HEADER.bytes)
    const { view } = this
    writeI64(view, HEADER.at.beginTimestamp, timestamp)
    writeI64(view, HEADER.at.beginPhysicalOffset, physicalOffset)
    view.setInt32(HEADER.at.hashSlotCount, 0)
    this.setEnd(timestamp, physicalOffset, 1)
  }

  private setEnd(timestamp: number, physicalOffset: number, indexCount: number): void {
    const { view } = this
    writeI64(view, HEADER.at.endTimestamp, timestamp)
    writeI64(view, HEADER.at.endPhysicalOffset, physicalOffset)
    view.setInt32(HEADER.at.indexCount, indexCount)
  }

  /** Adds an entry; the file must not be full. Throws what the disk says, and has then changed nothing. IndexFile#putKey */
  put(keyHash: number, physicalOffset: number, storeTimestamp: number): void {
    const { view, file } = this
    const entry = this.indexCount
    const slotAt = this.slotAt(keyHash)
    const entryAt = this.entryAt(entry)
    file.makeReal(0, HEADER.bytes)
    file.makeReal(entryAt, ENTRY.bytes)
    file.makeReal(slotAt, SLOT_BYTES)
    let previous = view.getInt32(slotAt)
    if (previous <= 0 || previous >= entry) previous = 0
    const begin = this.beginTimestamp
    const seconds = begin <= 0 ? 0 : Math.trunc((storeTimestamp - begin) / 1000)
    view.setInt32(entryAt + ENTRY.at.keyHash, keyHash)
    writeI64(view, entryAt + ENTRY.at.physicalOffset, physicalOffset)
    view.setInt32(entryAt + ENTRY.at.timeDiffS, Math.min(Math.max(seconds, 0), 0x7fff_ffff))
    view.setInt32(entryAt + ENTRY.at.previous, previous)
    view.setInt32(slotAt, entry)
    if (entry === 1) {
      writeI64(view, HEADER.at.beginPhysicalOffset, physicalOffset)
      writeI64(view, HEADER.at.beginTimestamp, storeTimestamp)
    }
    if (previous === 0) view.setInt32(HEADER.at.hashSlotCount, this.hashSlotCount + 1)
    this.setEnd(storeTimestamp, physicalOffset, entry + 1)
  }

  /** Adds the physical offsets filed under a hash, newest first, until `found` holds `maxCount`. IndexFile#selectPhyOffset */
  collect(keyHash: number, beginMs: number, endMs: number, maxCount: number, found: number[]): void {
    if (this.beginTimestamp > endMs || this.endTimestamp < beginMs) return
    const { view } = this
    const count = this.indexCount
    let entry = view.getInt32(this.slotAt(keyHash))
    while (entry > 0 && entry < count && found.length < maxCount) {
      const at = this.entryAt(entry)
      const seconds = view.getInt32(at + ENTRY.at.timeDiffS)
      const time = this.beginTimestamp + seconds * 1000
      if (seconds < 0 || time < beginMs) break
      if (view.getInt32(at + ENTRY.at.keyHash) === keyHash && time <= endMs)
        found.push(readI64(view, at + ENTRY.at.physicalOffset))
      const previous = view.getInt32(at + ENTRY.at.previous)
      // Chains only go down: a broken one must not turn in a circle.
      if (previous >= entry) break
      entry = previous
    }
  }

  /**
   * Checks header, entries and slots against each other and cuts the file in front of the first record that lies at or
   * behind `limit` or whose entries cannot be true; those are to be filed again. `storeTimeAt` gives a record's store time.
   * False when nothing of the file can be kept.
   */
  repair(limit: number, storeTimeAt: (physicalOffset: number) => number): boolean {
    const { view } = this
    const begin = this.beginPhysicalOffset
    const claimed = Math.min(this.indexCount, this.capacity)
    const newest = new Int32Array(this.slots)
    let usedSlots = 0
    let last = begin
    // The first entry of the record that the loop is at: a record is kept as a whole.
    let first = 1
    let entry = 1
    for (; entry < claimed; entry++) {
      const at = this.entryAt(entry)
      const keyHash = view.getInt32(at + ENTRY.at.keyHash)
      const physicalOffset = readI64(view, at + ENTRY.at.physicalOffset)
      if (physicalOffset >= limit) break
      const slot = keyHash % this.slots
      if (keyHash < 0 || physicalOffset < last || view.getInt32(at + ENTRY.at.previous) !== newest[slot]) break
      if (physicalOffset !== last) first = entry
      last = physicalOffset
      if (newest[slot] === 0) usedSlots++
      newest[slot] = entry
    }
    const whole = entry === this.indexCount && last === this.endPhysicalOffset && usedSlots === this.hashSlotCount
    if (whole && this.slotsAre(newest)) return true
    // An entry that cannot be true may have been the next of the record before it, which is then filed again too.
    const broken = entry < claimed && readI64(view, this.entryAt(entry) + ENTRY.at.physicalOffset) < limit
    return this.cut(broken ? first : entry, storeTimeAt)
  }

  private slotsAre(expected: Int32Array): boolean {
    const { view } = this
    for (let slot = 0; slot < this.slots; slot++)
      if (view.getInt32(HEADER.bytes + slot * SLOT_BYTES) !== expected[slot]) return false
    return true
  }

  /** Keeps the entries in front of one, and makes slots and header say so. */
  private cut(entry: number, storeTimeAt: (physicalOffset: number) => number): boolean {
    if (entry <= 1) return false
    const { view, file } = this
    const newest = new Int32Array(this.slots)
    let usedSlots = 0
    for (let each = 1; each < entry; each++) {
      const slot = view.getInt32(this.entryAt(each) + ENTRY.at.keyHash) % this.slots
      if (newest[slot] === 0) usedSlots++
      newest[slot] = each
    }
    for (let slot = 0; slot < this.slots; slot++) {
      const at = HEADER.bytes + slot * SLOT_BYTES
      if (view.getInt32(at) === newest[slot]) continue
      file.makeReal(at, SLOT_BYTES)
      view.setInt32(at, newest[slot]!)
    }
    const physicalOffset = readI64(view, this.entryAt(entry - 1) + ENTRY.at.physicalOffset)
    const storeTimestamp = storeTimeAt(physicalOffset)
    if (storeTimestamp < 0) return false
    file.clearFrom(this.entryAt(entry))
    file.makeReal(0, HEADER.bytes)
    view.setInt32(HEADER.at.hashSlotCount, usedSlots)
    this.setEnd(storeTimestamp, physicalOffset, entry)
    return true
  }

  async flush(): Promise<void> {
    if (this.file.dirty) await this.file.sync()
  }

  close(): void {
    this.file.close()
  }

  remove(): void {
    this.file.remove()
  }
}
