import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import {
  BLANK_BYTES,
  decodeProperties,
  PropertyName,
  RECORD_HEAD,
  RecordCheck,
  RecordCursor,
  RecordMagic,
  readI64,
  tagsCodeOf,
  viewOf,
  writeI64
} from '../message/index.ts'
import { BATCH_UNIT } from './batch-consume-queue.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'
import { fileNameOf, MappedFile } from './mapped-file.ts'
import type { OpenFiles } from './open-files.ts'

const { at, bytes: UNIT_BYTES } = BATCH_UNIT
/** Log files are read in pieces of so many bytes, at least one record each. */
const PIECE_BYTES = 1024 * 1024
const NOT_COMPACTED = -1

/** Where files of compacted queues lie, and how large they are. */
export interface CompactedPlaces {
  readonly files: Files
  readonly openFiles: OpenFiles
  readonly logDir: string
  readonly unitsDir: string
  readonly logFileBytes: number
  readonly unitsFileBytes: number
  readonly log: Log
}

/** Sizes of the two files, from what is set. CompactionLog#getCompactionLogSize */
export function compactedFileSizes(
  logBytes: number,
  unitsBytes: number
): { logFileBytes: number; unitsFileBytes: number } {
  const unitsFileBytes = Math.max(2, Math.floor(unitsBytes / UNIT_BYTES)) * UNIT_BYTES
  const times = Math.floor(logBytes / unitsFileBytes)
  const rest = logBytes % unitsFileBytes
  if (times < 5) return { logFileBytes: unitsFileBytes * 5, unitsFileBytes }
  const rounded = rest > 0 && rest < unitsFileBytes >> 1 ? times : times + 1
  return { logFileBytes: rounded * unitsFileBytes, unitsFileBytes }
}

/** Directories whose names may be new with a file: up to the store's own. */
function withParents(dir: string): string[] {
  const dirs = [dir]
  for (let i = 0; i < 4; i++) dirs.push(dirname(dirs.at(-1)!))
  return dirs
}

/** A file of records, and one of the same name that says where each lies. */
export class CompactedFile {
  readonly records: MappedFile
  readonly index: MappedFile
  /** How many records there are, and where they end. */
  count = 0
  end = 0
  /** Queue offsets of the first and the last record. */
  firstOffset = -1
  lastOffset = -1
  /** The units, while they are kept in memory; those from `unwritten` on are not in their file yet. */
  units: Buffer | null = null
  private unwritten = 0

  constructor(places: CompactedPlaces, startOffset: number) {
    const { files, openFiles, logDir, unitsDir, logFileBytes, unitsFileBytes } = places
    const name = fileNameOf(startOffset)
    this.records = new MappedFile(files, openFiles, logDir, name, startOffset, logFileBytes)
    this.index = new MappedFile(files, openFiles, unitsDir, name, startOffset, unitsFileBytes)
  }

  static create(places: CompactedPlaces, startOffset: number): CompactedFile {
    const file = new CompactedFile(places, startOffset)
    for (const dir of [places.logDir, places.unitsDir]) places.files.makeDirectory(dir)
    file.records.create(withParents(places.logDir))
    file.index.create(withParents(places.unitsDir))
    file.units = Buffer.alloc(0)
    return file
  }

  /** Finds what is in it: by its units, or, where `check` says so or they are gone, by its records. */
  async load(places: CompactedPlaces, check: boolean): Promise<void> {
    places.files.makeDirectory(places.unitsDir)
    this.index.setFullSize()
    const unit = Buffer.alloc(UNIT_BYTES)
    const isReal = (n: number) =>
      this.index.read(unit, n * UNIT_BYTES) === UNIT_BYTES && unit.readInt32BE(at.sizeBytes) > 0
    let low = 0
    let high = this.index.sizeBytes / UNIT_BYTES
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (isReal(middle)) low = middle + 1
      else high = middle
    }
    if (check) low = 0
    this.units = Buffer.alloc(low * UNIT_BYTES)
    this.index.read(this.units, 0)
    this.count = low
    this.unwritten = low
    this.noteBounds()
    // What was copied without a unit, or everything.
    for await (const { cursor, bytes, start } of this.walk(this.end)) {
      if (!cursor.bodyCrcOk() || cursor.queueOffset <= this.lastOffset) break
      this.note(bytes, start, start + cursor.sizeBytes, cursor.queueOffset, tagsCodeOfRecord(cursor))
    }
    if (check) {
      this.unwritten = 0
      this.records.clearFrom(this.end)
      this.index.clearFrom(this.count * UNIT_BYTES)
    }
    this.writeOut()
  }

  private noteBounds(): void {
    const { units, count } = this
    if (units === null || count === 0) return
    const view = viewOf(units)
    const last = (count - 1) * UNIT_BYTES
    this.firstOffset = readI64(view, at.base)
    this.lastOffset = readI64(view, last + at.base)
    this.end = readI64(view, last + at.physicalOffset) + view.getInt32(last + at.sizeBytes) - this.records.startOffset
  }

  /** Records from a position on, in order, until there is none. */
  async *walk(from: number): AsyncGenerator<{ cursor: RecordCursor; bytes: Buffer; start: number }> {
    const cursor = new RecordCursor()
    let size = PIECE_BYTES
    for (let position = from; position < this.records.sizeBytes; ) {
      const bytes = Buffer.allocUnsafe(Math.min(size, this.records.sizeBytes - position))
      const length = await this.records.readAsync(bytes, position)
      const view = viewOf(bytes)
      let pos = 0
      let check: number = RecordCheck.SHORT
      for (; pos < length; pos += cursor.sizeBytes) {
        check = cursor.at(view, bytes, pos, length)
        if (check !== RecordCheck.OK) break
        if (cursor.physicalOffset !== this.records.startOffset + position + pos) return
        yield { cursor, bytes, start: pos }
      }
      if (check !== RecordCheck.OK && check !== RecordCheck.SHORT) return
      if (length < bytes.length && pos === 0) return
      if (pos === 0) {
        const needed = length >= 4 ? view.getInt32(0) : 0
        if (needed <= length || position + needed > this.records.sizeBytes) return
        size = needed
      } else size = PIECE_BYTES
      position += pos
    }
  }

  /** Whether a record of this size fits: the file ends with a mark, and its units do too. */
  hasRoom(sizeBytes: number): boolean {
    return (
      this.end + sizeBytes + BLANK_BYTES <= this.records.sizeBytes &&
      (this.count + 1) * UNIT_BYTES < this.index.sizeBytes
    )
  }

  /** Adds bytes[start, end), a record, which then names its place in this file. */
  append(bytes: Uint8Array, start: number, end: number, tagsCode: number): void {
    const copy = Buffer.from(bytes.subarray(start, end))
    const view = viewOf(copy)
    writeI64(view, RECORD_HEAD.at.physicalOffset, this.records.startOffset + this.end)
    this.records.write(copy, 0, copy.length, this.end)
    this.note(copy, 0, copy.length, readI64(view, RECORD_HEAD.at.queueOffset), tagsCode)
  }

  /** Adds the unit of a record that lies at the end. */
  private note(bytes: Uint8Array, start: number, end: number, queueOffset: number, tagsCode: number): void {
    assert(this.units !== null || this.count === 0, 'who adds to a file has its units')
    const pos = this.count * UNIT_BYTES
    if (this.units === null || this.units.length < pos + UNIT_BYTES) {
      const larger = Buffer.alloc(Math.min(this.index.sizeBytes, Math.max(2 * pos, 100 * UNIT_BYTES)))
      this.units?.copy(larger)
      this.units = larger
    }
    const view = viewOf(this.units)
    const v6 = viewOf(bytes)
    writeI64(view, pos + at.physicalOffset, this.records.startOffset + this.end)
    view.setInt32(pos + at.sizeBytes, end - start)
    writeI64(view, pos + at.tagsCode, tagsCode)
    const cursor = new RecordCursor()
    cursor.at(v6, bytes, start, end)
    writeI64(view, pos + at.storeTimestamp, cursor.storeTimestamp)
    writeI64(view, pos + at.base, queueOffset)
    view.setInt16(pos + at.count, 1)
    view.setInt32(pos + at.compactedOffset, NOT_COMPACTED)
    view.setInt32(pos + at.reserved, 0)
    if (this.count === 0) this.firstOffset = queueOffset
    this.lastOffset = queueOffset
    this.count++
    this.end += end - start
  }

  /** Marks where records and units end: nothing is added any more. CompactionLog.CompactionAppendMessageCallback#doAppend */
  close(): void {
    const left = this.records.sizeBytes - this.end
    const mark = Buffer.alloc(BLANK_BYTES)
    mark.writeInt32BE(left)
    mark.writeInt32BE(RecordMagic.BLANK, 4)
    if (left >= BLANK_BYTES) this.records.write(mark, 0, BLANK_BYTES, this.end)
    this.writeOut()
    const terminator = Buffer.alloc(UNIT_BYTES)
    terminator.writeBigInt64BE(-1n, at.physicalOffset)
    terminator.writeInt32BE(NOT_COMPACTED, at.compactedOffset)
    const pos = this.count * UNIT_BYTES
    if (pos < this.index.sizeBytes) this.index.write(terminator, 0, UNIT_BYTES, pos)
  }

  /** Writes the units that are only in memory. */
  writeOut(): void {
    if (this.units === null || this.unwritten >= this.count) return
    const from = this.unwritten * UNIT_BYTES
    this.index.write(this.units, from, (this.count - this.unwritten) * UNIT_BYTES, from)
    this.unwritten = this.count
  }

  async sync(): Promise<void> {
    this.writeOut()
    if (this.records.dirty) await this.records.sync()
    if (this.index.dirty) await this.index.sync()
  }

  /** The units, read if need be. */
  async unitsOf(): Promise<Buffer> {
    if (this.units !== null) return this.units
    const units = Buffer.alloc(this.count * UNIT_BYTES)
    await this.index.readAsync(units, 0)
    return units
  }

  /** Drops records from a queue offset on. */
  cut(queueOffset: number): void {
    const { units } = this
    if (units === null) return
    const view = viewOf(units)
    let count = this.count
    while (count > 0 && readI64(view, (count - 1) * UNIT_BYTES + at.base) >= queueOffset) count--
    if (count === this.count) return
    units.fill(0, count * UNIT_BYTES)
    this.count = count
    this.unwritten = Math.min(this.unwritten, count)
    this.end = 0
    this.firstOffset = -1
    this.lastOffset = -1
    this.noteBounds()
    this.records.clearFrom(this.end)
    this.index.clearFrom(count * UNIT_BYTES)
  }

  /** The same file where it was moved to. */
  movedTo(places: CompactedPlaces): CompactedFile {
    const moved = new CompactedFile(places, this.records.startOffset)
    moved.count = this.count
    moved.end = this.end
    moved.firstOffset = this.firstOffset
    moved.lastOffset = this.lastOffset
    moved.unwritten = this.count
    return moved
  }

  release(): void {
    this.records.close()
    this.index.close()
  }

  remove(): void {
    this.records.remove()
    this.index.remove()
  }
}

/** Hash of a record's tag. */
export const tagsCodeOfRecord = (cursor: RecordCursor): number =>
  tagsCodeOf(decodeProperties(cursor.propertiesText).get(PropertyName.TAGS))

/** The path of the subfolder in which a queue's files are compacted. CompactionLog#COMPACTING_SUB_FOLDER */
export const compactingIn = (places: CompactedPlaces): CompactedPlaces => ({
  ...places,
  logDir: join(places.logDir, 'compacting'),
  unitsDir: join(places.unitsDir, 'compacting')
})
