/** A file in memory: reads go to the page cache without a system call. */
export interface MappedBytes {
  readonly bytes: Buffer
  readonly view: DataView
}

export interface DirectoryEntry {
  readonly name: string
  readonly sizeBytes: number
  readonly isFile: boolean
}

/** All file access of the store: the seam at which tests put a simulated disk. Errors are Node's, with their `code`. */
export interface Files {
  makeDirectory(path: string): void
  /** Sorted by name; empty when there is no such directory. */
  list(path: string): DirectoryEntry[]
  exists(path: string): boolean
  /** Opens for reading and writing, creating the file if need be. */
  open(path: string): number
  close(fd: number): void
  sizeOf(fd: number): number
  truncate(fd: number, sizeBytes: number): void
  /** Reads at a position; returns how many bytes there were. */
  read(fd: number, target: Uint8Array, position: number): number
  /** Writes source[start, start + length) at a position; returns how many bytes went through. */
  write(fd: number, source: Uint8Array, start: number, length: number, position: number): number
  /** As `write`, in the thread pool. */
  writeAsync(fd: number, source: Uint8Array, start: number, length: number, position: number): Promise<number>
  /** As `read`, in the thread pool. */
  readAsync(fd: number, target: Uint8Array, position: number): Promise<number>
  /** The first position at or behind `position` that is not in a hole; -1 when only holes follow. */
  nextData(fd: number, position: number): number
  /** Makes written bytes durable, in the thread pool. fdatasync */
  sync(fd: number): Promise<void>
  /** Makes the names in a directory durable: files that were created, renamed or removed. */
  syncDirectory(path: string): Promise<void>
  /** Maps for reading. What is written to the file afterwards is seen. */
  map(fd: number, sizeBytes: number): MappedBytes
  /** Takes the exclusive lock of a file, against Skylark's processes and RocketMQ's; returns what gives it back, null when another has it. */
  lock(path: string): Promise<(() => void) | null>
  rename(from: string, to: string): void
  remove(path: string): void
  removeDirectory(path: string): void
  readText(path: string): string | null
  /** Last change, ms since 1970. */
  modifiedMs(path: string): number
  /** Share of the partition that is in use, 0 to 1. */
  usedRatio(path: string): number
}

const TOOK_NOTHING = 'the disk took nothing'

/** `write` until all went through. */
export function writeFully(
  files: Files,
  fd: number,
  source: Uint8Array,
  start: number,
  length: number,
  position: number
): void {
  for (let written = 0; written < length; ) {
    const count = files.write(fd, source, start + written, length - written, position + written)
    if (count <= 0) throw new Error(TOOK_NOTHING)
    written += count
  }
}

/** `writeAsync` until all went through. */
export async function writeFullyAsync(
  files: Files,
  fd: number,
  source: Uint8Array,
  start: number,
  length: number,
  position: number
): Promise<void> {
  for (let written = 0; written < length; ) {
    const count = await files.writeAsync(fd, source, start + written, length - written, position + written)
    if (count <= 0) throw new Error(TOOK_NOTHING)
    written += count
  }
}
