import { join } from 'node:path'
import { EngineError } from './errors.ts'
import type { DirectoryEntry, Files, MappedBytes } from './files.ts'
import type { Log } from './log.ts'

const NAME_DIGITS = 20
const PAGE_BYTES = 4096

/** A segment's name: the offset of its first byte. UtilAll#offset2FileName */
export const fileNameOf = (startOffset: number): string => String(startOffset).padStart(NAME_DIGITS, '0')

/** One file of a fixed size, mapped when it is first read. MappedFile */
export class MappedFile {
  readonly path: string
  readonly startOffset: number
  readonly sizeBytes: number
  readonly fd: number
  private readonly files: Files
  private readonly writable: boolean
  private mapped: MappedBytes | null = null
  /** Which pages have blocks on the disk for certain; only of files that are written through the map. */
  private readonly realPages: Uint8Array

  constructor(files: Files, path: string, startOffset: number, sizeBytes: number, writable: boolean) {
    this.files = files
    this.path = path
    this.startOffset = startOffset
    this.sizeBytes = sizeBytes
    this.writable = writable
    this.fd = files.open(path)
    if (files.sizeOf(this.fd) !== sizeBytes) files.truncate(this.fd, sizeBytes)
    this.realPages = new Uint8Array(writable ? Math.ceil(sizeBytes / PAGE_BYTES) : 0)
  }

  get endOffset(): number {
    return this.startOffset + this.sizeBytes
  }

  get map(): MappedBytes {
    this.mapped ??= this.files.map(this.fd, this.sizeBytes, this.writable)
    return this.mapped
  }

  /**
   * Gives the pages of [pos, pos + length) blocks on the disk before they are written through the map: writing into a hole
   * of a full disk would kill the process, while this throws ENOSPC.
   */
  makeReal(pos: number, length: number): void {
    for (let page = Math.floor(pos / PAGE_BYTES); page * PAGE_BYTES < pos + length; page++) {
      if (this.realPages[page]) continue
      const at = page * PAGE_BYTES
      const bytes = Buffer.alloc(Math.min(PAGE_BYTES, this.sizeBytes - at))
      this.files.read(this.fd, bytes, at)
      this.files.write(this.fd, bytes, 0, bytes.length, at)
      this.realPages[page] = 1
    }
  }

  /** Makes everything from `pos` on zero and unwritten, so that old content is never taken for new. */
  clearFrom(pos: number): void {
    this.files.truncate(this.fd, pos)
    this.files.truncate(this.fd, this.sizeBytes)
    this.realPages.fill(0, Math.floor(pos / PAGE_BYTES))
  }

  sync(): Promise<void> {
    return this.files.sync(this.fd)
  }

  close(): void {
    this.mapped = null
    this.files.close(this.fd)
  }

  remove(): void {
    this.close()
    this.files.remove(this.path)
  }
}

/** The segments of one directory in order; each ends where the next begins. MappedFileQueue */
export class MappedFileQueue {
  readonly list: MappedFile[] = []
  private readonly files: Files
  private readonly dir: string
  readonly fileSizeBytes: number
  private readonly writable: boolean

  constructor(files: Files, dir: string, fileSizeBytes: number, writable: boolean) {
    this.files = files
    this.dir = dir
    this.fileSizeBytes = fileSizeBytes
    this.writable = writable
  }

  /** Opens what is there; other files are left alone with a warning. Throws EngineError BAD_FILE. MappedFileQueue#load */
  load(log: Log): void {
    const entries = this.files.list(this.dir)
    entries.forEach((entry, i) => {
      const path = join(this.dir, entry.name)
      if (!entry.isFile || !/^\d{20}$/.test(entry.name) || Number(entry.name) % this.fileSizeBytes !== 0)
        log.warn({ path }, 'ignored: it is no segment of this store')
      else this.open(path, entry, i === entries.length - 1)
    })
  }

  private open(path: string, entry: DirectoryEntry, last: boolean): void {
    if (last && entry.sizeBytes === 0) {
      this.files.remove(path)
      return
    }
    // A crash can leave the newest file shorter than it should be; any other size means a wrong setting.
    if (entry.sizeBytes !== this.fileSizeBytes && !(last && entry.sizeBytes < this.fileSizeBytes))
      throw new EngineError('BAD_FILE', { path, sizeBytes: entry.sizeBytes, expectedBytes: this.fileSizeBytes })
    this.list.push(new MappedFile(this.files, path, Number(entry.name), this.fileSizeBytes, this.writable))
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
    if (first === undefined || offset < first.startOffset) return undefined
    const index = Math.floor((offset - first.startOffset) / this.fileSizeBytes)
    const file = this.list[index]
    if (file === undefined || (offset >= file.startOffset && offset < file.endOffset)) return file
    return this.list.find(each => offset >= each.startOffset && offset < each.endOffset)
  }

  /** Adds the segment in which an offset lies. */
  create(offset: number): MappedFile {
    if (this.list.length === 0) this.files.makeDirectory(this.dir)
    const startOffset = offset - (offset % this.fileSizeBytes)
    const file = new MappedFile(
      this.files,
      join(this.dir, fileNameOf(startOffset)),
      startOffset,
      this.fileSizeBytes,
      this.writable
    )
    this.list.push(file)
    return file
  }

  removeFirst(): void {
    this.list.shift()?.remove()
  }

  /** Drops all that lies at or behind an offset. */
  truncate(offset: number): void {
    while (this.last !== undefined && this.last.startOffset >= offset) this.list.pop()!.remove()
    const last = this.last
    if (last !== undefined && offset < last.endOffset) last.clearFrom(offset - last.startOffset)
  }

  close(): void {
    for (const file of this.list) file.close()
    this.list.length = 0
  }
}
