import type { DerivedWrites } from './derived-writes.ts'
import type { MappedFile } from './mapped-file.ts'

/** Units are read and written in blocks of so many. */
const BLOCK_UNITS = 200

/** Walks through many units read pieces of so many bytes. */
const PIECE_BYTES = 1024 * 1024

/** Consecutive units in memory: those from `start` to before `end`. */
export interface Block {
  readonly start: number
  readonly end: number
  readonly bytes: Buffer
  readonly view: DataView
}

function newBlock(start: number, end: number, unitBytes: number): Block {
  const bytes = Buffer.alloc((end - start) * unitBytes)
  return { start, end, bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
}

/** Which file holds a unit, and where. */
export interface UnitPlaces {
  readonly unitBytes: number
  /** First unit of the file in which a unit lies, and how many units a file has. */
  fileStart(unit: number): number
  readonly fileUnits: number
  /** The file of a unit, if there is one. */
  find(unit: number): MappedFile | undefined
  /** Makes the file of a unit. */
  create(unit: number): MappedFile
  /** Position of a unit in its file. */
  position(unit: number): number
}

/**
 * Units of a fixed size that are only ever added, as a ConsumeQueue's or an index file's entries. The newest are in memory
 * and go to their file a block at a time, and before each checkpoint: what a crash takes with it lies behind the checkpoint
 * and is built again from the CommitLog. While the disk takes nothing they stay in memory.
 */
export class UnitFile {
  /** Number behind the last unit. */
  end = 0
  /** Where `locate` found a unit. */
  view: DataView = new DataView(new ArrayBuffer(0))

  private readonly places: UnitPlaces
  private readonly writes: DerivedWrites
  /** Units below this one are in their files. */
  private writtenUntil = 0
  /** Blocks with units that are not, in order; the last one may have room. */
  private blocks: Block[] = []
  /** Whether something was added since the last checkpoint. */
  private active = false
  /** The block that was read last. */
  private cached: Block | null = null

  constructor(places: UnitPlaces, writes: DerivedWrites) {
    this.places = places
    this.writes = writes
  }

  /** Nothing in memory: all units below `end` are in files. */
  reset(end: number): void {
    this.end = end
    this.writtenUntil = end
    this.blocks = []
    this.cached = null
  }

  /** Forgets the units from `end` on. Returns whether files may hold some of them. */
  cut(end: number): boolean {
    this.end = end
    this.cached = null
    this.blocks = this.blocks.filter(block => block.start < end)
    const inFiles = end <= this.writtenUntil
    if (inFiles) this.reset(end)
    return inFiles
  }

  /** Makes room for unit `end`; returns its position in `view`. The caller then counts it. Reads nothing. */
  add(): number {
    let last = this.blocks.at(-1)
    if (last === undefined || this.end >= last.end) {
      if (last !== undefined) this.writes.try(() => this.writeOut())
      // What was cached may be older than what was written; and who follows closely reads the block before.
      this.cached = last ?? null
      last = newBlock(this.end, this.blockEnd(this.end), this.places.unitBytes)
      this.blocks.push(last)
    }
    this.active = true
    this.view = last.view
    return (this.end - last.start) * this.places.unitBytes
  }

  /** Position of a unit in `view`, which it sets; -1 when there is no such unit. */
  locate(unit: number): number {
    if (!(unit >= 0 && unit < this.end)) return -1
    const block = this.inMemory(unit) ?? this.read(unit)
    if (block === null) return -1
    this.view = block.view
    return (unit - block.start) * this.places.unitBytes
  }

  /** All units from one on, in large pieces; each is overwritten by the next. */
  *pieces(from: number): Generator<Omit<Block, 'bytes'>> {
    const { places } = this
    const { unitBytes, fileUnits } = places
    const buffer = Buffer.alloc(Math.min(Math.floor(PIECE_BYTES / unitBytes), Math.max(0, this.end - from)) * unitBytes)
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
    const { firstInMemory } = this
    let start = from
    while (start < Math.min(firstInMemory, this.end)) {
      const fileEnd = places.fileStart(start) + fileUnits
      const end = Math.min(start + buffer.length / unitBytes, fileEnd, firstInMemory)
      const bytes = buffer.subarray(0, (end - start) * unitBytes)
      bytes.fill(0, places.find(start)?.read(bytes, places.position(start)) ?? 0)
      yield { start, end, view }
      start = end
    }
    for (const block of this.blocks)
      if (block.end > start) yield { start: block.start, end: Math.min(block.end, this.end), view: block.view }
  }

  /** Number behind the units from one on that `locate` finds without a read; the unit itself when it does not. */
  memoryEnd(unit: number): number {
    const { cached, firstInMemory } = this
    const isCached = cached !== null && unit >= cached.start && unit < cached.end
    const end = isCached ? cached.end : unit
    return end >= firstInMemory ? this.end : end
  }

  /** Reads units in the thread pool, up to one of them or the end of their file, so that `locate` finds them. */
  async load(from: number, to: number): Promise<void> {
    const { places } = this
    const file = places.find(from)
    const end = Math.min(to, places.fileStart(from) + places.fileUnits, this.firstInMemory)
    if (file === undefined || this.memoryEnd(from) >= end) return
    const block = newBlock(from, end, places.unitBytes)
    await file.readAsync(block.bytes, places.position(from))
    this.cached = block
  }

  /** The first unit of [low, high) for which something holds that holds for all behind it, else `high`; read in the thread pool. */
  async search(low: number, high: number, holds: (view: DataView, pos: number) => boolean): Promise<number> {
    let first = low
    let end = high
    while (first < end) {
      const middle = Math.floor((first + end) / 2)
      const block = await this.fetch(middle)
      if (block !== null && holds(block.view, (middle - block.start) * this.places.unitBytes)) end = middle
      else first = middle + 1
    }
    return first
  }

  /** The block of a unit, read in the thread pool if need be; null when it is gone. */
  async fetch(unit: number): Promise<Block | null> {
    const there = this.inMemory(unit)
    if (there !== null) return there
    const file = this.places.find(unit)
    if (file === undefined) return null
    const block = this.emptyBlock(unit)
    await file.readAsync(block.bytes, this.places.position(block.start))
    return block
  }

  /** Units from this one on are in `blocks`, those before it in files. */
  private get firstInMemory(): number {
    return this.blocks[0]?.start ?? this.end
  }

  private inMemory(unit: number): Block | null {
    const { blocks, cached } = this
    if (blocks.length > 0 && unit >= blocks[0]!.start) return blocks.findLast(block => unit >= block.start)!
    return cached !== null && unit >= cached.start && unit < cached.end ? cached : null
  }

  private read(unit: number): Block | null {
    const file = this.places.find(unit)
    if (file === undefined) return null
    const block = this.emptyBlock(unit)
    file.read(block.bytes, this.places.position(block.start))
    this.cached = block
    return block
  }

  private emptyBlock(unit: number): Block {
    const start = unit - ((unit - this.places.fileStart(unit)) % BLOCK_UNITS)
    return newBlock(start, Math.min(this.blockEnd(unit), this.firstInMemory), this.places.unitBytes)
  }

  /** Blocks end with their file. */
  private blockEnd(unit: number): number {
    const fileStart = this.places.fileStart(unit)
    const inFile = unit - fileStart
    return fileStart + Math.min(inFile - (inFile % BLOCK_UNITS) + BLOCK_UNITS, this.places.fileUnits)
  }

  /** Writes the units that are only in memory. Throws what the disk says; they then stay there. */
  writeOut(): void {
    const { places, blocks } = this
    for (const block of blocks) {
      const from = Math.max(this.writtenUntil, block.start)
      const to = Math.min(this.end, block.end)
      if (from >= to) continue
      const file = places.find(from) ?? places.create(from)
      file.write(
        block.bytes,
        (from - block.start) * places.unitBytes,
        (to - from) * places.unitBytes,
        places.position(from)
      )
      this.writtenUntil = to
    }
    if (blocks.length > 1) this.blocks = blocks.slice(-1)
  }

  /** Before a checkpoint: writes, and lets go of the memory of what is no longer added to. */
  settle(): void {
    this.writeOut()
    if (!this.active) {
      this.blocks = []
      this.cached = null
    }
    this.active = false
  }

  /** Writes a unit that was changed in `view` where `locate` found it, at `pos`. */
  rewrite(unit: number, pos: number): void {
    if (unit >= this.writtenUntil) return
    const { unitBytes } = this.places
    const bytes = new Uint8Array(this.view.buffer, this.view.byteOffset + pos, unitBytes)
    this.places.find(unit)!.write(bytes, 0, unitBytes, this.places.position(unit))
  }
}
