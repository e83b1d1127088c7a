import { dirname, join } from 'node:path'
import { EngineError } from './errors.ts'
import { type DirectoryEntry, type Files, type MappedBytes, writeFully, writeFullyAsync } from './files.ts'
import type { Log } from './log.ts'
import type { Closable, OpenFiles } from './open-files.ts'

const NAME_DIGITS = 20
const ZEROS = Buffer.alloc(16 * 1024)

/** Makes the names in a directory durable. */
export type SyncDirectory = (path: string) => Promise<void>

/** A segment's name: the offset of its first byte. UtilAll#offset2FileName */
export const fileNameOf = (startOffset: number): string => String(startOffset).padStart(NAME_DIGITS, '0')

/**
 * One file of a fixed size. It is opened when it is used, and closed again when too many are open; it is mapped when its
 * map is asked for, and the map outlives the descriptor. MappedFile
 */
export class MappedFile implements Closable {
  readonly path: string
  readonly startOffset: number
  readonly sizeBytes: number
  /** Whether it was written since it was last made durable. */
  dirty = false
  used = false

  private readonly files: Files
  private readonly openFiles: OpenFiles
  private descriptor = -1
  /** Reads and flushes that are under way in the thread pool: the descriptor must stay until they end. */
  private busy = 0
  private closing = false
  private removed = false
  private flushError: Error | null = null
  /** Directories whose names may not be durable yet: those above a new file. */
  private newNamesIn: readonly string[] = []
  private mapped: MappedBytes | null = null

  constructor(files: Files, openFiles: OpenFiles, dir: string, name: string, startOffset: number, sizeBytes: number) {
    this.files = files
    this.openFiles = openFiles
    this.path = join(dir, name)
    this.startOffset = startOffset
    this.sizeBytes = sizeBytes
  }

  get endOffset(): number {
    return this.startOffset + this.sizeBytes
  }

  private get fd(): number {
    this.used = true
    if (this.descriptor < 0) {
      // Opening would make it anew.
      if (this.removed) throw new EngineError('FILE_REMOVED', { path: this.path })
      this.descriptor = this.files.open(this.path)
      this.openFiles.opened(this)
    }
    return this.descriptor
  }

  /** Makes the file, sparse and of its full size; the first flush covers its name in these directories too. */
  create(directories: readonly string[]): void {
    this.newNamesIn = directories
    this.setFullSize()
  }

  /** A file that is shorter than it should be gets zeros at its end. */
  setFullSize(): void {
    try {
      if (this.files.sizeOf(this.fd) !== this.sizeBytes) this.files.truncate(this.fd, this.sizeBytes)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** The file in memory, to read from; null when the system has no room for it. */
  get map(): MappedBytes | null {
    if (this.mapped === null) {
      try {
        this.mapped = this.files.map(this.fd, this.sizeBytes)
      } catch {
        return null
      }
    }
    return this.mapped
  }

  /** Lets go of the map. Whoever holds a part of it keeps it alive. */
  unmap(): void {
    this.mapped = null
  }

  /** Reads at a position of the file; returns how many bytes there were. */
  read(target: Uint8Array, pos: number): number {
    return this.files.read(this.fd, target, pos)
  }

  /** As `read`, in the thread pool; of a removed file there is nothing left. */
  async readAsync(target: Uint8Array, pos: number): Promise<number> {
    if (this.removed) return 0
    const { fd } = this
    this.busy++
    try {
      return await this.files.readAsync(fd, target, pos)
    } finally {
      this.release()
    }
  }

  /** Writes source[start, start + length), all of it. */
  write(source: Uint8Array, start: number, length: number, pos: number): void {
    this.dirty = true
    writeFully(this.files, this.fd, source, start, length, pos)
  }

  /** As `write`, in the thread pool. The bytes must stay as they are until it ends. */
  async writeAsync(source: Uint8Array, start: number, length: number, pos: number): Promise<void> {
    const { fd } = this
    this.busy++
    try {
      await writeFullyAsync(this.files, fd, source, start, length, pos)
    } finally {
      // A flush that ran meanwhile may not have covered it.
      this.dirty = true
      this.release()
    }
  }

  /** The first position at or behind `pos` that is not in a hole; -1 when only holes follow. */
  nextData(pos: number): number {
    return this.files.nextData(this.fd, pos)
  }

  /** Whether there are only zeros from `pos` on. */
  isClearFrom(pos: number): boolean {
    const piece = Buffer.allocUnsafe(ZEROS.length)
    for (let at = pos; at < this.sizeBytes; at += piece.length) {
      at = this.nextData(at)
      if (at < 0) break
      const count = this.read(piece, at)
      if (count === 0) break
      if (piece.compare(ZEROS, 0, count, 0, count) !== 0) return false
    }
    return true
  }

  /** Makes everything from `pos` on zero and unwritten, so that old content is never taken for new. */
  clearFrom(pos: number): void {
    this.dirty = true
    this.files.truncate(this.fd, pos)
    this.files.truncate(this.fd, this.sizeBytes)
  }

  /** Makes what is written durable, and the file's name when it is new. */
  async sync(syncDirectory: SyncDirectory = path => this.files.syncDirectory(path)): Promise<void> {
    if (this.removed) return
    // What a failed flush has lost is not durable because a later one finds nothing to do.
    if (this.flushError !== null) throw this.flushError
    const { fd } = this
    this.busy++
    this.dirty = false
    try {
      await this.files.sync(fd)
      const directories = this.newNamesIn
      for (const directory of directories) await syncDirectory(directory)
      this.newNamesIn = []
    } catch (error) {
      this.flushError = error as Error
      this.dirty = true
      throw error
    } finally {
      this.release()
    }
  }

  get modifiedMs(): number {
    return this.files.modifiedMs(this.path)
  }

  private release(): void {
    this.busy--
    if (this.closing && this.busy === 0) this.close()
  }

  closeIfIdle(): boolean {
    if (this.busy > 0) return false
    this.close()
    return true
  }

  close(): void {
    this.mapped = null
    this.closing = this.busy > 0
    if (this.closing || this.descriptor < 0) return
    this.files.close(this.descriptor)
    this.descriptor = -1
    this.openFiles.closed(this)
  }

  /** Removes the file. Reads that are under way end well. */
  remove(): void {
    this.removed = true
    this.close()
    this.files.remove(this.path)
  }
}

/** The segments of one directory in order; each ends where the next begins. MappedFileQueue */
export class MappedFileQueue {
  readonly list: MappedFile[] = []
  readonly fileSizeBytes: number
  readonly dir: string
  private readonly files: Files
  private readonly openFiles: OpenFiles
  /** Whether files were removed that a power cut could bring back. */
  private hasRemoved = false

  constructor(files: Files, openFiles: OpenFiles, dir: string, fileSizeBytes: number) {
    this.files = files
    this.openFiles = openFiles
    this.dir = dir
    this.fileSizeBytes = fileSizeBytes
  }

  /** The segments among the files that are there; other files are left alone with a warning. */
  private *segments(log: Log): Generator<DirectoryEntry> {
    for (const entry of this.files.list(this.dir)) {
      if (entry.isFile && /^\d{20}$/.test(entry.name)) yield entry
      else log.warn({ path: join(this.dir, entry.name) }, 'ignored: it is no segment of this store')
    }
  }

  /**
   * Finds the files of a log that nothing can be built from again. `sizeIsKnown`: the size is what the store was written
   * with, so that a shorter file is one that was damaged. Throws EngineError BAD_FILE. MappedFileQueue#load
   */
  loadLog(log: Log, sizeIsKnown: boolean): void {
    const entries = [...this.segments(log)]
    const expectedBytes = this.fileSizeBytes
    const known = sizeIsKnown || entries.some(entry => entry.sizeBytes === expectedBytes)
    entries.forEach((entry, i) => {
      const { name, sizeBytes } = entry
      const path = join(this.dir, name)
      if (sizeBytes === 0 && i === entries.length - 1) {
        this.files.remove(path)
        return
      }
      if (Number(name) % expectedBytes !== 0 || sizeBytes > expectedBytes || (sizeBytes < expectedBytes && !known))
        throw new EngineError('BAD_FILE', { path, sizeBytes, expectedBytes })
      const file = this.add(name)
      if (sizeBytes < expectedBytes) {
        log.warn(
          { path, sizeBytes, expectedBytes },
          'a CommitLog file is shorter than it was; zeros take the place of its end'
        )
        file.setFullSize()
      }
    })
  }

  /** Finds the files of a queue that can be built again: what does not fit is removed, and all behind it. False when something was. */
  loadDerived(log: Log): boolean {
    const entries = [...this.segments(log)]
    let broken = false
    entries.forEach(({ name, sizeBytes }, i) => {
      const startOffset = Number(name)
      const follows = this.last === undefined || this.last.endOffset === startOffset
      const short = sizeBytes < this.fileSizeBytes && i === entries.length - 1 && sizeBytes > 0
      if (startOffset % this.fileSizeBytes !== 0 || !follows || (sizeBytes !== this.fileSizeBytes && !short))
        broken = true
      if (!broken) {
        const file = this.add(name)
        if (short) file.setFullSize()
      } else {
        const path = join(this.dir, name)
        log.warn(
          { path, sizeBytes },
          'removed a file that does not fit its queue: it is built again from the CommitLog'
        )
        this.files.remove(path)
      }
    })
    return !broken
  }

  /** Finds files that are only read. */
  loadForReading(log: Log): void {
    for (const { name, sizeBytes } of this.segments(log))
      if (sizeBytes === this.fileSizeBytes && Number(name) % sizeBytes === 0) this.add(name)
  }

  private add(name: string): MappedFile {
    const file = new MappedFile(this.files, this.openFiles, this.dir, name, Number(name), this.fileSizeBytes)
    this.list.push(file)
    return file
  }

  get first(): MappedFile | undefined {
    return this.list[0]
  }

  get last(): MappedFile | undefined {
    return this.list.at(-1)
  }

  /** The segment that holds an offset. */
  at(offset: number): MappedFile | undefined {
    const first = this.list[0]
    if (first === undefined || !(offset >= first.startOffset)) return undefined
    const file = this.list[Math.floor((offset - first.startOffset) / this.fileSizeBytes)]
    if (file !== undefined && offset >= file.startOffset && offset < file.endOffset) return file
    // A file in the middle may be missing.
    return this.list.find(each => offset >= each.startOffset && offset < each.endOffset)
  }

  /** Adds the segment in which an offset lies. */
  create(offset: number): MappedFile {
    const directories = [this.dir]
    if (this.list.length === 0) {
      this.files.makeDirectory(this.dir)
      directories.push(dirname(this.dir), dirname(dirname(this.dir)))
    }
    const file = this.add(fileNameOf(offset - (offset % this.fileSizeBytes)))
    try {
      file.create(directories)
    } catch (error) {
      this.list.pop()
      throw error
    }
    return file
  }

  /** Lets go of the maps of segments that end before an offset. */
  unmapBefore(offset: number): void {
    for (const file of this.list) {
      if (file.endOffset >= offset) break
      file.unmap()
    }
  }

  removeFirst(): void {
    this.list.shift()?.remove()
  }

  /** Drops all that lies at or behind an offset; one file stays, so that its name says where to go on. True when there was something. */
  truncate(offset: number): boolean {
    let dropped = false
    for (; this.list.length > 1 && this.last!.startOffset >= offset; dropped = true) this.list.pop()!.remove()
    this.hasRemoved ||= dropped
    const { last } = this
    if (last === undefined || offset >= last.endOffset) return dropped
    const pos = Math.max(0, offset - last.startOffset)
    if (last.isClearFrom(pos)) return dropped
    last.clearFrom(pos)
    return true
  }

  removeAll(): void {
    this.hasRemoved ||= this.list.length > 0
    for (const file of this.list.splice(0)) file.remove()
  }

  /** Whether `sync` has something to do. */
  get isDirty(): boolean {
    return this.hasRemoved || this.list.some(file => file.dirty)
  }

  /** Makes durable all that was written, and that what was removed stays away. */
  async sync(syncDirectory: SyncDirectory = path => this.files.syncDirectory(path)): Promise<void> {
    for (const file of this.list.filter(each => each.dirty)) await file.sync(syncDirectory)
    if (!this.hasRemoved) return
    await syncDirectory(this.dir)
    this.hasRemoved = false
  }

  close(): void {
    for (const file of this.list.splice(0)) file.close()
  }
}
