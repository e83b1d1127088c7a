import { dirname, join } from 'node:path'
import { javaHashCode, javaHashCodeOfBytes } from '../message/index.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Files } from './files.ts'
import { IndexFile, indexFileBytes } from './index-file.ts'
import type { Log } from './log.ts'
import { MappedFile } from './mapped-file.ts'
import type { OpenFiles } from './open-files.ts'

/** RocketMQ answers at most so many messages for a key. MessageStoreConfig#maxMsgsNumBatch */
const MAX_RESULTS = 64
/** Index files with so many entries and slots together are checked when the store is opened, the newest files first. */
const CHECKED_ENTRIES = 10_000_000

/** `yyyyMMddHHmmssSSS` in local time. UtilAll#timeMillisToHumanString */
function timeName(ms: number): string {
  const t = new Date(ms)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${t.getFullYear()}${two(t.getMonth() + 1)}${two(t.getDate())}${two(t.getHours())}${two(t.getMinutes())}${two(t.getSeconds())}${String(t.getMilliseconds()).padStart(3, '0')}`
}

/** Math.abs as Java has it for the smallest int: 0. IndexFile#indexKeyHashMethod */
export const positive = (hash: number): number => (hash === -0x8000_0000 ? 0 : Math.abs(hash))

/** Finds messages by topic and key: index files in the order of their names. IndexService */
export class KeyIndex {
  private readonly list: IndexFile[] = []
  private readonly hashes = { key: new Map<string, number>(), tag: new Map<string, number>() }
  /** Whether files behind the last one are missing, or were removed because they were broken. */
  private hasLostFiles = false
  private readonly files: Files
  private readonly openFiles: OpenFiles
  private readonly dir: string
  private readonly slots: number
  private readonly capacity: number
  private readonly writes: DerivedWrites
  private readonly log: Log

  constructor(
    files: Files,
    openFiles: OpenFiles,
    dir: string,
    { maxHashSlotNum, maxIndexNum }: { maxHashSlotNum: number; maxIndexNum: number },
    writes: DerivedWrites,
    log: Log
  ) {
    this.writes = writes
    this.files = files
    this.openFiles = openFiles
    this.dir = dir
    this.slots = maxHashSlotNum
    this.capacity = maxIndexNum
    this.log = log
  }

  private get fileBytes(): number {
    return indexFileBytes(this.slots, this.capacity)
  }

  private open(name: string, isNew = false): IndexFile {
    const file = new MappedFile(this.files, this.openFiles, this.dir, name, 0, this.fileBytes)
    const make = () => {
      this.files.makeDirectory(this.dir)
      file.create([this.dir, dirname(this.dir)])
    }
    return new IndexFile(file, name, this.slots, this.capacity, this.writes, isNew ? make : null)
  }

  /** Opens the files, of which those of `expected` must be there. What is behind a missing or misshapen one is removed. */
  load(expected: readonly string[]): void {
    const found = this.files.list(this.dir).filter(({ name, isFile }) => {
      const isIndex = isFile && /^\d{17}$/.test(name)
      if (!isIndex) this.log.warn({ path: join(this.dir, name) }, 'ignored: it is no index file')
      return isIndex
    })
    const missing = expected.find(name => !found.some(entry => entry.name === name))
    this.hasLostFiles = missing !== undefined
    let broken = false
    for (const { name, sizeBytes } of found) {
      broken ||= sizeBytes !== this.fileBytes || (missing !== undefined && name > missing)
      const indexFile = this.open(name)
      if (broken) {
        this.removeBroken(indexFile)
        this.hasLostFiles = true
      } else {
        indexFile.load()
        this.list.push(indexFile)
      }
    }
  }

  private removeBroken(file: IndexFile): void {
    this.log.warn({ name: file.name }, 'removed a broken index file: it is built again from the CommitLog')
    file.remove()
  }

  /**
   * Makes the files hold, whole and exact, the records below `limit` up to some offset; from there on records are to be
   * filed. After an unclean stop the newest file is checked in any case.
   */
  repair(limit: number, cleanStop: boolean, storeTimeAt: (physicalOffset: number) => number): void {
    while (this.list.length > 0) {
      const last = this.list.at(-1)!
      if (!last.isEmpty && last.beginPhysicalOffset < limit) break
      this.hasLostFiles ||= last.isEmpty
      this.list.pop()!.remove()
    }
    let first = this.list.length
    for (let left = CHECKED_ENTRIES; first > 0; first--) {
      left -= this.slots + this.list[first - 1]!.indexCount
      if (left < 0 && (cleanStop || first < this.list.length)) break
    }
    for (let i = first; i < this.list.length; i++) {
      const file = this.list[i]!
      const end = file.endPhysicalOffset
      const kept = !file.isEmpty && file.repair(limit, storeTimeAt)
      if (kept && file.endPhysicalOffset === end && (file.isFull || i === this.list.length - 1)) continue
      const lost = this.list.splice(kept ? i + 1 : i)
      for (const later of lost) this.removeBroken(later)
      this.hasLostFiles ||= lost.length > 0
    }
    if (this.hasLostFiles) this.dropLastRecord(storeTimeAt)
  }

  /** The keys of one record may be spread over files: when the last of these is gone, they are all filed again. */
  private dropLastRecord(storeTimeAt: (physicalOffset: number) => number): void {
    const { endPhysicalOffset } = this
    for (let last = this.list.at(-1); last?.endPhysicalOffset === endPhysicalOffset; last = this.list.at(-1)) {
      if (last.repair(endPhysicalOffset, storeTimeAt)) break
      this.list.pop()!.remove()
    }
    this.hasLostFiles = false
  }

  /** Physical offset of the newest message that is filed; -1 without any. */
  get endPhysicalOffset(): number {
    const last = this.list.findLast(file => !file.isEmpty)
    return last === undefined ? -1 : last.endPhysicalOffset
  }

  get fileCount(): number {
    return this.list.length
  }

  /** Names of the files that a deletion of the CommitLog up to an offset leaves. */
  namesFrom(minPhysicalOffset: number): string[] {
    return this.list
      .filter((file, i) => i === this.list.length - 1 || file.endPhysicalOffset >= minPhysicalOffset)
      .map(file => file.name)
  }

  /** Reads what `put` will need. Throws what the disk says; `put` does not. */
  prepare(): void {
    const last = this.list.at(-1)
    if (last !== undefined && !last.isFull) last.prepare()
  }

  /** Files a message under the key, or tag, in bytes[start, end). */
  put(
    kind: 'key' | 'tag',
    topic: string,
    bytes: Uint8Array,
    start: number,
    end: number,
    physicalOffset: number,
    storeTimestamp: number
  ): void {
    let file = this.list.at(-1)
    if (file === undefined || file.isFull) file = this.create(file, storeTimestamp)
    const hash = javaHashCodeOfBytes(bytes, start, end, this.hashOfPrefix(kind, topic))
    file.put(positive(hash), physicalOffset, storeTimestamp)
  }

  /** Java's hash of what stands in front of a key, `topic#`, or of a tag, `topic#T#`. IndexService#buildKey */
  private hashOfPrefix(kind: 'key' | 'tag', topic: string): number {
    const known = this.hashes[kind]
    let hash = known.get(topic)
    if (hash === undefined) {
      hash = javaHashCode(kind === 'key' ? `${topic}#` : `${topic}#T#`)
      known.set(topic, hash)
    }
    return hash
  }

  /** A file is named for its first record's time, so that building it again gives the same name. */
  private create(previous: IndexFile | undefined, storeTimestamp: number): IndexFile {
    let ms = storeTimestamp
    while (previous !== undefined && timeName(ms) <= previous.name) ms++
    const indexFile = this.open(timeName(ms), true)
    if (previous !== undefined) indexFile.begin(previous)
    this.list.push(indexFile)
    return indexFile
  }

  /** Where messages with a key may lie, or with a tag, whose key is `T#tag`: hashes can collide, so each must be looked at. IndexService#queryOffset */
  async query(
    topic: string,
    key: string,
    maxCount: number,
    beginMs: number,
    endMs: number
  ): Promise<{ physicalOffsets: number[]; lastUpdateTimestamp: number; lastUpdatePhysicalOffset: number }> {
    const physicalOffsets: number[] = []
    const hash = positive(javaHashCode(`${topic}#${key}`))
    const limit = Math.min(maxCount, MAX_RESULTS)
    for (const file of this.list.toReversed()) {
      await file.collect(hash, beginMs, endMs, limit, physicalOffsets)
      if (physicalOffsets.length >= limit || file.beginTimestamp < beginMs) break
    }
    const last = this.list.at(-1)
    return {
      physicalOffsets,
      lastUpdateTimestamp: last?.endTimestamp ?? 0,
      lastUpdatePhysicalOffset: last?.endPhysicalOffset ?? 0
    }
  }

  /** Newest store time in the last full file, for the checkpoint. */
  get fullUntilTimestamp(): number {
    return this.list.findLast(file => file.isFull)?.endTimestamp ?? 0
  }

  /** Drops files all of whose messages the CommitLog has deleted; the last one stays. Returns how many. */
  deleteExpired(minPhysicalOffset: number): number {
    let count = 0
    for (; this.list.length > 1 && this.list[0]!.endPhysicalOffset < minPhysicalOffset; count++)
      this.list.shift()!.remove()
    return count
  }

  /** Writes the entries that are only in memory. Throws what the disk says. */
  writeOut(): void {
    for (const file of this.list) file.writeOut()
  }

  /** Makes all entries durable that are there now. */
  async flush(): Promise<void> {
    for (const file of [...this.list]) await file.flush()
  }

  close(): void {
    for (const file of this.list.splice(0)) file.close()
  }
}
