import assert from 'node:assert/strict'
import { layout, readI64, writeI64 } from '../message/index.ts'
import type { Files } from './files.ts'
import { MappedFile } from './mapped-file.ts'

export const INDEX_HEADER = layout({
  beginTimestamp: 'i64',
  endTimestamp: 'i64',
  beginPhysicalOffset: 'i64',
  endPhysicalOffset: 'i64',
  hashSlotCount: 'i32',
  indexCount: 'i32'
})
assert.equal(INDEX_HEADER.bytes, 40) // IndexHeader#INDEX_HEADER_SIZE
const ENTRY = layout({ keyHash: 'i32', physicalOffset: 'i64', timeDiffS: 'i32', previous: 'i32' })
assert.equal(ENTRY.bytes, 20) // IndexFile#indexSize
const SLOT_BYTES = 4

export const indexFileBytes = (slots: number, entries: number): number =>
  INDEX_HEADER.bytes + slots * SLOT_BYTES + entries * ENTRY.bytes

/**
 * A hash table on disk: header, slots, entries. A slot names the newest entry of its chain, an entry the one before it;
 * entry 0 is never used. IndexFile
 */
export class IndexFile {
  readonly name: string
  private readonly file: MappedFile
  private readonly slots: number
  private readonly capacity: number
  dirty = false

  constructor(files: Files, path: string, name: string, slots: number, capacity: number) {
    this.name = name
    this.slots = slots
    this.capacity = capacity
    this.file = new MappedFile(files, path, 0, indexFileBytes(slots, capacity), true)
    if (this.indexCount <= 0) this.setHeader(0, 0, 0, 0, 0, 1)
  }

  private get view(): DataView {
    return this.file.map.view
  }
  get beginTimestamp(): number {
    return readI64(this.view, INDEX_HEADER.at.beginTimestamp)
  }
  get endTimestamp(): number {
    return readI64(this.view, INDEX_HEADER.at.endTimestamp)
  }
  get beginPhysicalOffset(): number {
    return readI64(this.view, INDEX_HEADER.at.beginPhysicalOffset)
  }
  get endPhysicalOffset(): number {
    return readI64(this.view, INDEX_HEADER.at.endPhysicalOffset)
  }
  get indexCount(): number {
    return this.view.getInt32(INDEX_HEADER.at.indexCount)
  }
  private get hashSlotCount(): number {
    return this.view.getInt32(INDEX_HEADER.at.hashSlotCount)
  }
  get full(): boolean {
    return this.indexCount >= this.capacity
  }

  /** Whether its counts and offsets can be true. */
  get plausible(): boolean {
    return (
      this.indexCount <= this.capacity &&
      this.hashSlotCount < this.indexCount &&
      this.endPhysicalOffset >= this.beginPhysicalOffset &&
      this.endTimestamp >= this.beginTimestamp
    )
  }

  setHeader(
    beginTimestamp: number,
    endTimestamp: number,
    beginPhysicalOffset: number,
    endPhysicalOffset: number,
    slotCount: number,
    indexCount: number
  ): void {
    this.file.makeReal(0, INDEX_HEADER.bytes)
    const { view } = this
    writeI64(view, INDEX_HEADER.at.beginTimestamp, beginTimestamp)
    writeI64(view, INDEX_HEADER.at.endTimestamp, endTimestamp)
    writeI64(view, INDEX_HEADER.at.beginPhysicalOffset, beginPhysicalOffset)
    writeI64(view, INDEX_HEADER.at.endPhysicalOffset, endPhysicalOffset)
    view.setInt32(INDEX_HEADER.at.hashSlotCount, slotCount)
    view.setInt32(INDEX_HEADER.at.indexCount, indexCount)
    this.dirty = true
  }

  /** Adds an entry; the file must not be full. IndexFile#putKey */
  put(keyHash: number, physicalOffset: number, storeTimestamp: number): void {
    const { view, file } = this
    const count = this.indexCount
    const slotAt = INDEX_HEADER.bytes + (keyHash % this.slots) * SLOT_BYTES
    let previous = view.getInt32(slotAt)
    if (previous <= 0 || previous > count) previous = 0
    const begin = this.beginTimestamp
    const seconds = begin <= 0 ? 0 : Math.trunc((storeTimestamp - begin) / 1000)
    const entryAt = INDEX_HEADER.bytes + this.slots * SLOT_BYTES + count * ENTRY.bytes
    file.makeReal(entryAt, ENTRY.bytes)
    file.makeReal(slotAt, SLOT_BYTES)
    view.setInt32(entryAt + ENTRY.at.keyHash, keyHash)
    writeI64(view, entryAt + ENTRY.at.physicalOffset, physicalOffset)
    view.setInt32(entryAt + ENTRY.at.timeDiffS, Math.min(Math.max(seconds, 0), 0x7fff_ffff))
    view.setInt32(entryAt + ENTRY.at.previous, previous)
    view.setInt32(slotAt, count)
    if (count <= 1) {
      writeI64(view, INDEX_HEADER.at.beginPhysicalOffset, physicalOffset)
      writeI64(view, INDEX_HEADER.at.beginTimestamp, storeTimestamp)
    }
    if (previous === 0) view.setInt32(INDEX_HEADER.at.hashSlotCount, this.hashSlotCount + 1)
    view.setInt32(INDEX_HEADER.at.indexCount, count + 1)
    writeI64(view, INDEX_HEADER.at.endTimestamp, storeTimestamp)
    writeI64(view, INDEX_HEADER.at.endPhysicalOffset, physicalOffset)
    this.dirty = true
  }

  /** Adds the physical offsets filed under a hash, newest first, until `found` holds `maxCount`. IndexFile#selectPhyOffset */
  collect(keyHash: number, beginMs: number, endMs: number, maxCount: number, found: number[]): void {
    if (this.beginTimestamp > endMs || this.endTimestamp < beginMs) return
    const { view } = this
    const count = this.indexCount
    const entries = INDEX_HEADER.bytes + this.slots * SLOT_BYTES
    let entry = view.getInt32(INDEX_HEADER.bytes + (keyHash % this.slots) * SLOT_BYTES)
    while (entry > 0 && entry <= count && found.length < maxCount) {
      const at = entries + entry * ENTRY.bytes
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

  async flush(): Promise<void> {
    if (!this.dirty) return
    this.dirty = false
    await this.file.sync()
  }

  close(): void {
    this.file.close()
  }

  remove(): void {
    this.file.remove()
  }
}
