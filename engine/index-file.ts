import assert from 'node:assert/strict'
import { layout, readI64, viewOf, writeI64 } from '../message/index.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { MappedFile } from './mapped-file.ts'
import { UnitFile } from './unit-file.ts'

export const HEADER = layout({
  beginTimestamp: 'i64',
  endTimestamp: 'i64',
  beginPhysicalOffset: 'i64',
  endPhysicalOffset: 'i64',
  hashSlotCount: 'i32',
  indexCount: 'i32'
})
assert.equal(HEADER.bytes, 40) // IndexHeader#INDEX_HEADER_SIZE
export const ENTRY = layout({ keyHash: 'i32', physicalOffset: 'i64', timeDiffS: 'i32', previous: 'i32' })
assert.equal(ENTRY.bytes, 20) // IndexFile#indexSize
export const SLOT_BYTES = 4
/** Slots are written in pieces of so many bytes, if anything in a piece changed. */
const PIECE_BYTES = 4096

export const indexFileBytes = (slots: number, entries: number): number =>
  HEADER.bytes + slots * SLOT_BYTES + entries * ENTRY.bytes

/**
 * A hash table on disk: header, slots, entries. A slot names the newest entry of its chain, an entry the one before it;
 * entry 0 is never used. While entries are added, the slots are in memory. IndexFile
 */
export class IndexFile {
  readonly name: string
  beginTimestamp = 0
  endTimestamp = 0
  beginPhysicalOffset = 0
  endPhysicalOffset = 0
  private hashSlotCount = 0

  private readonly file: MappedFile
  private readonly entries: UnitFile
  private readonly slotCount: number
  private readonly capacity: number
  private slots: DataView | null = null
  /** By piece, whether slots in it differ from the file's. */
  private readonly changedSlots: Uint8Array
  private changed = false
  /** Makes the file when something is first written; null once it is there. */
  private make: (() => void) | null

  constructor(
    file: MappedFile,
    name: string,
    slotCount: number,
    capacity: number,
    writes: DerivedWrites,
    make: (() => void) | null
  ) {
    this.name = name
    this.make = make
    this.file = file
    this.slotCount = slotCount
    this.capacity = capacity
    this.changedSlots = new Uint8Array(Math.ceil((slotCount * SLOT_BYTES) / PIECE_BYTES))
    this.entries = new UnitFile(
      {
        unitBytes: ENTRY.bytes,
        fileUnits: capacity,
        fileStart: () => 0,
        find: () => (this.make === null ? file : undefined),
        create: () => this.made,
        position: entry => indexFileBytes(slotCount, entry)
      },
      writes
    )
    this.entries.reset(1)
  }

  private get made(): MappedFile {
    this.make?.()
    this.make = null
    return this.file
  }

  /** Number of the next entry: one more than there are. */
  get indexCount(): number {
    return this.entries.end
  }
  get isEmpty(): boolean {
    return this.indexCount <= 1
  }
  get isFull(): boolean {
    return this.indexCount >= this.capacity
  }

  /** Reads the header. */
  load(): void {
    const header = Buffer.alloc(HEADER.bytes)
    this.file.read(header, 0)
    const view = viewOf(header)
    this.beginTimestamp = readI64(view, HEADER.at.beginTimestamp)
    this.endTimestamp = readI64(view, HEADER.at.endTimestamp)
    this.beginPhysicalOffset = readI64(view, HEADER.at.beginPhysicalOffset)
    this.endPhysicalOffset = readI64(view, HEADER.at.endPhysicalOffset)
    this.hashSlotCount = view.getInt32(HEADER.at.hashSlotCount)
    this.entries.reset(Math.min(Math.max(1, view.getInt32(HEADER.at.indexCount)), this.capacity))
  }

  /** A new file begins with the end of the file before it; its first entry overwrites that. */
  begin(previous: IndexFile): void {
    this.beginTimestamp = previous.endTimestamp
    this.endTimestamp = previous.endTimestamp
    this.beginPhysicalOffset = previous.endPhysicalOffset
    this.endPhysicalOffset = previous.endPhysicalOffset
    this.changed = true
  }

  private get slotTable(): DataView {
    if (this.slots === null) {
      const bytes = Buffer.alloc(this.slotCount * SLOT_BYTES)
      if (!this.isEmpty && this.make === null) this.file.read(bytes, HEADER.bytes)
      this.slots = viewOf(bytes)
    }
    return this.slots
  }

  private setSlot(slots: DataView, slot: number, entry: number): void {
    slots.setInt32(slot * SLOT_BYTES, entry)
    this.changedSlots[Math.floor((slot * SLOT_BYTES) / PIECE_BYTES)] = 1
  }

  /** Reads what `put` will need. Throws what the disk says; `put` does not. */
  prepare(): void {
    if (this.slots === null) void this.slotTable
  }

  /** Adds an entry; the file must not be full. IndexFile#putKey */
  put(keyHash: number, physicalOffset: number, storeTimestamp: number): void {
    const slots = this.slotTable
    const entry = this.indexCount
    const slot = keyHash % this.slotCount
    let previous = slots.getInt32(slot * SLOT_BYTES)
    if (previous <= 0 || previous >= entry) previous = 0
    const seconds = this.beginTimestamp <= 0 ? 0 : Math.trunc((storeTimestamp - this.beginTimestamp) / 1000)
    const at = this.entries.add()
    const { view } = this.entries
    view.setInt32(at + ENTRY.at.keyHash, keyHash)
    writeI64(view, at + ENTRY.at.physicalOffset, physicalOffset)
    view.setInt32(at + ENTRY.at.timeDiffS, Math.min(Math.max(seconds, 0), 0x7fff_ffff))
    view.setInt32(at + ENTRY.at.previous, previous)
    this.entries.end++
    this.setSlot(slots, slot, entry)
    if (previous === 0) this.hashSlotCount++
    if (entry === 1) {
      this.beginPhysicalOffset = physicalOffset
      this.beginTimestamp = storeTimestamp
    }
    this.endTimestamp = storeTimestamp
    this.endPhysicalOffset = physicalOffset
    this.changed = true
  }

  /** Adds the physical offsets filed under a hash, newest first, until `found` holds `maxCount`. IndexFile#selectPhyOffset */
  async collect(keyHash: number, beginMs: number, endMs: number, maxCount: number, found: number[]): Promise<void> {
    if (this.isEmpty || this.beginTimestamp > endMs || this.endTimestamp < beginMs) return
    const count = this.indexCount
    let entry = await this.newestOf(keyHash % this.slotCount)
    while (entry > 0 && entry < count && found.length < maxCount) {
      const block = await this.entries.fetch(entry)
      if (block === null) break
      const { view } = block
      const at = (entry - block.start) * ENTRY.bytes
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

  private async newestOf(slot: number): Promise<number> {
    if (this.slots !== null) return this.slots.getInt32(slot * SLOT_BYTES)
    const bytes = Buffer.alloc(SLOT_BYTES)
    await this.file.readAsync(bytes, HEADER.bytes + slot * SLOT_BYTES)
    return bytes.readInt32BE(0)
  }

  /**
   * Checks header, entries and slots against each other and cuts the file in front of the first record that lies at or
   * behind `limit` or whose entries cannot be true; those are to be filed again. `storeTimeAt` gives a record's store time.
   * False when nothing of the file can be kept.
   */
  repair(limit: number, storeTimeAt: (physicalOffset: number) => number): boolean {
    const { slotCount } = this
    const slots = this.slotTable
    const found = this.soundEntries(limit)
    // An entry that cannot be true may have been the next of the record before it, which is then filed again too.
    const kept = found.isBroken ? this.soundEntries(found.lastOffset) : found
    const { newest, end, usedSlots, lastOffset } = kept
    if (end !== this.indexCount || lastOffset !== this.endPhysicalOffset || usedSlots !== this.hashSlotCount) {
      const storeTimestamp = end > 1 ? storeTimeAt(lastOffset) : -1
      if (storeTimestamp < 0) return false
      this.entries.cut(end)
      if (this.make === null) this.file.clearFrom(indexFileBytes(slotCount, end))
      this.endPhysicalOffset = lastOffset
      this.endTimestamp = storeTimestamp
      this.hashSlotCount = usedSlots
      this.changed = true
    }
    for (let slot = 0; slot < slotCount; slot++)
      if (slots.getInt32(slot * SLOT_BYTES) !== newest[slot]) {
        this.setSlot(slots, slot, newest[slot]!)
        this.changed = true
      }
    if (!this.changed) this.slots = null
    return true
  }

  /** The entries from the first one on that agree with each other and lie below `limit`, and the slots that follow from them. */
  private soundEntries(limit: number) {
    const { slotCount, indexCount } = this
    const newest = new Int32Array(slotCount)
    let usedSlots = 0
    let lastOffset = 0
    for (const { start, end, view } of this.entries.pieces(1))
      for (let entry = Math.max(start, 1); entry < end; entry++) {
        const at = (entry - start) * ENTRY.bytes
        const physicalOffset = readI64(view, at + ENTRY.at.physicalOffset)
        if (physicalOffset >= limit) return { newest, usedSlots, lastOffset, end: entry, isBroken: false }
        const keyHash = view.getInt32(at + ENTRY.at.keyHash)
        const slot = keyHash % slotCount
        const before = newest[slot]
        if (keyHash < 0 || physicalOffset < lastOffset || view.getInt32(at + ENTRY.at.previous) !== before)
          return { newest, usedSlots, lastOffset, end: entry, isBroken: true }
        lastOffset = physicalOffset
        if (before === 0) usedSlots++
        newest[slot] = entry
      }
    return { newest, usedSlots, lastOffset, end: indexCount, isBroken: false }
  }

  /** Writes the entries that are only in memory. Throws what the disk says. */
  writeOut(): void {
    this.entries.writeOut()
  }

  /** Makes all entries durable that are there now. */
  async flush(): Promise<void> {
    if (!this.changed && !this.file.dirty) return
    this.changed = false
    try {
      this.entries.settle()
      this.writeHeader()
      await this.writeSlots()
    } catch (error) {
      this.changed = true
      throw error
    }
    await this.file.sync()
    if (this.isFull && !this.changed) this.slots = null
  }

  private writeHeader(): void {
    const header = Buffer.alloc(HEADER.bytes)
    const view = viewOf(header)
    writeI64(view, HEADER.at.beginTimestamp, this.beginTimestamp)
    writeI64(view, HEADER.at.endTimestamp, this.endTimestamp)
    writeI64(view, HEADER.at.beginPhysicalOffset, this.beginPhysicalOffset)
    writeI64(view, HEADER.at.endPhysicalOffset, this.endPhysicalOffset)
    view.setInt32(HEADER.at.hashSlotCount, this.hashSlotCount)
    view.setInt32(HEADER.at.indexCount, this.indexCount)
    this.made.write(header, 0, header.length, 0)
  }

  /** Writes the pieces that changed, and gives the loop back now and then. */
  private async writeSlots(): Promise<void> {
    const { slots, changedSlots } = this
    if (slots === null) return
    const bytes = new Uint8Array(slots.buffer, slots.byteOffset, slots.byteLength)
    let written = 0
    for (let piece = 0; piece < changedSlots.length; piece++) {
      if (changedSlots[piece] === 0) continue
      changedSlots[piece] = 0
      const start = piece * PIECE_BYTES
      try {
        this.file.write(bytes, start, Math.min(PIECE_BYTES, bytes.length - start), HEADER.bytes + start)
      } catch (error) {
        changedSlots[piece] = 1
        throw error
      }
      if (++written % 256 === 0) await new Promise(resolve => setImmediate(resolve))
    }
  }

  close(): void {
    this.file.close()
  }

  remove(): void {
    this.file.remove()
  }
}
