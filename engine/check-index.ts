import { join } from 'node:path'
import { javaHashCode, javaHashCodeOfBytes } from '../message/index.ts'
import type { Findings } from './check-report.ts'
import { FileNumbers } from './file-numbers.ts'
import type { Files } from './files.ts'
import { ENTRY, HEADER, indexFileBytes, SLOT_BYTES } from './index-file.ts'
import { positive } from './key-index.ts'
import { MappedFile } from './mapped-file.ts'
import type { OpenFiles } from './open-files.ts'
import type { StoreShape } from './store-shape.ts'

const BLOCK_BYTES = 64 * 1024
const DIR = 'index'
const MAX_TIME_DIFF_S = 0x7fff_ffff

/** A file of the index, walked from its first entry to its last. */
class IndexWalk {
  readonly path: string
  readonly name: string
  readonly count: number
  readonly beginTimestamp: number
  private readonly endTimestamp: number
  private readonly endPhysicalOffset: number
  private readonly hashSlotCount: number
  private readonly file: MappedFile
  private readonly numbers: FileNumbers
  private readonly slotNumbers: FileNumbers
  private readonly slotCount: number
  private readonly newest: Int32Array
  private usedSlots = 0
  private lastPhysicalOffset = 0
  private brokenChains = 0
  private firstBroken = 0
  entry = 1

  constructor(file: MappedFile, name: string, { maxHashSlotNum, maxIndexNum }: StoreShape, findings: Findings) {
    this.file = file
    this.name = name
    this.path = join(DIR, name)
    const unreadable = (error: unknown, pos: number) =>
      findings.add('index', true, this.path, (error as Error).message, pos, pos + BLOCK_BYTES)
    this.numbers = new FileNumbers(file, BLOCK_BYTES, unreadable)
    this.slotNumbers = new FileNumbers(file, BLOCK_BYTES, unreadable)
    const { at } = HEADER
    this.beginTimestamp = this.numbers.i64(at.beginTimestamp)
    this.endTimestamp = this.numbers.i64(at.endTimestamp)
    this.endPhysicalOffset = this.numbers.i64(at.endPhysicalOffset)
    this.hashSlotCount = this.numbers.i32(at.hashSlotCount)
    const count = Math.max(1, this.numbers.i32(at.indexCount))
    if (count > maxIndexNum)
      findings.add(
        'index',
        true,
        this.path,
        `the header says ${count} entries, there is room for ${maxIndexNum}`,
        0,
        HEADER.bytes
      )
    this.count = Math.min(count, maxIndexNum)
    this.slotCount = maxHashSlotNum
    this.newest = new Int32Array(maxHashSlotNum)
  }

  get atEnd(): boolean {
    return this.entry >= this.count
  }

  get position(): number {
    return indexFileBytes(this.slotCount, this.entry)
  }

  get physicalOffset(): number {
    return this.numbers.i64(this.position + ENTRY.at.physicalOffset)
  }

  get keyHash(): number {
    return this.numbers.i32(this.position + ENTRY.at.keyHash)
  }

  get timeDiffS(): number {
    return this.numbers.i32(this.position + ENTRY.at.timeDiffS)
  }

  /** Goes to the next entry, after a look at how this one is chained. */
  advance(): void {
    const { keyHash } = this
    this.lastPhysicalOffset = this.physicalOffset
    if (keyHash >= 0) {
      const slot = keyHash % this.slotCount
      if (this.numbers.i32(this.position + ENTRY.at.previous) !== this.newest[slot]) {
        if (this.brokenChains++ === 0) this.firstBroken = this.entry
      }
      if (this.newest[slot] === 0) this.usedSlots++
      this.newest[slot] = this.entry
    }
    this.entry++
  }

  /** Behind the last entry: slots and header must say what the entries say. `mayLag`: an unclean stop left them behind. */
  finish(findings: Findings, mayLag: boolean): void {
    const add = (text: string, from: number, to: number) => findings.add('index', !mayLag, this.path, text, from, to)
    if (this.brokenChains > 0) {
      const from = indexFileBytes(this.slotCount, this.firstBroken)
      add(
        `${this.brokenChains} entries, the first of them ${this.firstBroken}, break their chain`,
        from,
        from + ENTRY.bytes
      )
    }
    let wrong = 0
    let first = 0
    for (let slot = 0; slot < this.slotCount; slot++) {
      const there = this.slotNumbers.i32(HEADER.bytes + slot * SLOT_BYTES)
      if (there !== this.newest[slot] && wrong++ === 0) first = slot
    }
    if (wrong > 0) {
      const from = HEADER.bytes + first * SLOT_BYTES
      add(`${wrong} slots, the first of them ${first}, do not name their newest entry`, from, from + SLOT_BYTES)
    }
    if (this.count <= 1) return
    if (this.hashSlotCount !== this.usedSlots)
      add(`the header says ${this.hashSlotCount} used slots, there are ${this.usedSlots}`, 0, HEADER.bytes)
    if (this.endPhysicalOffset !== this.lastPhysicalOffset)
      add(
        `the header ends at ${this.endPhysicalOffset}, the last entry names ${this.lastPhysicalOffset}`,
        0,
        HEADER.bytes
      )
    if (this.endTimestamp < this.beginTimestamp)
      add(`the header begins at ${this.beginTimestamp} and ends at ${this.endTimestamp}`, 0, HEADER.bytes)
  }

  close(): void {
    this.file.close()
  }
}

export interface IndexBounds {
  /** Where the log begins. */
  minPhysicalOffset: number
  /** After an unclean stop entries from here on are made again. */
  trusted: number
  /** Whether records at a physical offset were found damaged. */
  isDamaged(physicalOffset: number): boolean
}

/**
 * Walks the index beside the log: entries lie in the order of their records. Each must name a record that has its key, and
 * each key of a record must have an entry. A tag may have one: RocketMQ files tags since 5.5.
 */
export class IndexCheck {
  fileCount = 0
  entryCount = 0
  /** Keys that the next start files again. */
  pendingKeys = 0

  private readonly names: string[]
  private readonly files: Files
  private readonly openFiles: OpenFiles
  private readonly dir: string
  private readonly shape: StoreShape
  private readonly findings: Findings
  private readonly bounds: IndexBounds
  private walk: IndexWalk | null = null
  private next = 0
  private readonly prefixes = { key: new Map<string, number>(), tag: new Map<string, number>() }
  /** Hashes of the record at hand. */
  private keys: number[] = []
  private tags: number[] = []

  constructor(
    files: Files,
    openFiles: OpenFiles,
    dir: string,
    shape: StoreShape,
    findings: Findings,
    bounds: IndexBounds
  ) {
    this.files = files
    this.openFiles = openFiles
    this.dir = join(dir, DIR)
    this.shape = shape
    this.findings = findings
    this.bounds = bounds
    this.names = this.list()
    this.fileCount = this.names.length
    this.openNext()
  }

  get exists(): boolean {
    return this.names.length > 0
  }

  private list(): string[] {
    const expectedBytes = indexFileBytes(this.shape.maxHashSlotNum, this.shape.maxIndexNum)
    const names: string[] = []
    for (const { name, isFile, sizeBytes } of this.files.list(this.dir)) {
      const path = join(DIR, name)
      if (!isFile || !/^\d{17}$/.test(name)) this.findings.add('file', false, path, 'it is no index file')
      else if (sizeBytes !== expectedBytes)
        this.findings.add(
          'index',
          true,
          path,
          `it has ${sizeBytes} bytes, an index file has ${expectedBytes}`,
          0,
          sizeBytes
        )
      else names.push(name)
    }
    return names
  }

  private openNext(): void {
    this.walk = null
    const name = this.names[this.next++]
    if (name === undefined) return
    const file = new MappedFile(
      this.files,
      this.openFiles,
      this.dir,
      name,
      0,
      indexFileBytes(this.shape.maxHashSlotNum, this.shape.maxIndexNum)
    )
    this.walk = new IndexWalk(file, name, this.shape, this.findings)
    this.skipEnd()
  }

  private skipEnd(): void {
    const { walk } = this
    if (walk === null || !walk.atEnd) return
    const mayLag = this.bounds.trusted < Number.POSITIVE_INFINITY && this.next >= this.names.length
    walk.finish(this.findings, mayLag)
    walk.close()
    this.openNext()
  }

  private advance(): void {
    this.entryCount++
    this.walk!.advance()
    this.skipEnd()
  }

  /** Notes a key, or tag, of the record at hand. */
  put(kind: 'key' | 'tag', topic: string, bytes: Uint8Array, start: number, end: number): void {
    const known = this.prefixes[kind]
    let prefix = known.get(topic)
    if (prefix === undefined) {
      prefix = javaHashCode(kind === 'key' ? `${topic}#` : `${topic}#T#`)
      known.set(topic, prefix)
    }
    const hash = positive(javaHashCodeOfBytes(bytes, start, end, prefix))
    if (kind === 'key') this.keys.push(hash)
    else this.tags.push(hash)
  }

  /** Compares what was noted of a record with the entries that name it. */
  record(physicalOffset: number, storeTimestamp: number): void {
    if (!this.exists) return
    this.passUntil(physicalOffset)
    const missing = new Set(this.keys)
    for (let { walk } = this; walk !== null && walk.physicalOffset === physicalOffset; { walk } = this) {
      const { keyHash } = walk
      missing.delete(keyHash)
      if (!this.keys.includes(keyHash) && !this.tags.includes(keyHash))
        this.addEntry(`entry ${walk.entry} names the record at ${physicalOffset}, which has no such key`)
      // The first entry of a file was timed before the file had a time of its own.
      else if (walk.entry > 1 && walk.timeDiffS !== secondsBetween(walk.beginTimestamp, storeTimestamp))
        this.addEntry(`entry ${walk.entry} is off the time of its record at ${physicalOffset}`)
      this.advance()
    }
    if (missing.size > 0) {
      if (physicalOffset >= this.bounds.trusted) this.pendingKeys += missing.size
      else
        this.findings.add(
          'index',
          true,
          DIR,
          `${missing.size} keys of the record at ${physicalOffset} are not in it`,
          physicalOffset,
          physicalOffset
        )
    }
    this.keys.length = 0
    this.tags.length = 0
  }

  /** Entries in front of the next record: of messages that were deleted, or of none. */
  private passUntil(physicalOffset: number): void {
    for (let { walk } = this; walk !== null && walk.physicalOffset < physicalOffset; { walk } = this) {
      const named = walk.physicalOffset
      if (named < 0 || named >= this.bounds.minPhysicalOffset) {
        const why = this.bounds.isDamaged(named) ? 'whose record is damaged' : 'where no record with a key begins'
        this.addEntry(`entry ${walk.entry} names ${named}, ${why}`)
      }
      this.advance()
    }
  }

  private addEntry(text: string): void {
    const walk = this.walk!
    const isDamage = walk.physicalOffset < this.bounds.trusted
    this.findings.add('index', isDamage, walk.path, text, walk.position, walk.position + ENTRY.bytes)
  }

  /** Behind the last record. */
  finish(): void {
    this.passUntil(Number.POSITIVE_INFINITY)
  }
}

/** IndexFile#putKey */
const secondsBetween = (beginTimestamp: number, storeTimestamp: number): number =>
  beginTimestamp <= 0 ? 0 : Math.min(Math.max(Math.trunc((storeTimestamp - beginTimestamp) / 1000), 0), MAX_TIME_DIFF_S)
