import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { EngineError } from '../errors.ts'
import type { Files } from '../files.ts'

type Mmap = {
  map(sizeBytes: number, protection: number, flags: number, fd: number, offset: number): Buffer
  PROT_READ: number
  MAP_SHARED: number
}
type FsExt = {
  flockSync(fd: number, how: 'exnb'): void
  // Its synchronous twin passes the lock as a number, which the system refuses.
  fcntl(fd: number, command: 'setlk', lock: number, done: (error: Error | null) => void): void
  seekSync(fd: number, position: number, whence: number): number
  constants: { F_WRLCK: number }
}

/** lseek: the next byte that is not in a hole. */
const SEEK_DATA = 3

const require = createRequire(import.meta.url)

function native<T>(name: string): T {
  try {
    return require(name) as T
  } catch (cause) {
    throw new EngineError(
      'NATIVE_MISSING',
      { package: name, reason: (cause as Error).message.split('\n')[0] },
      { cause }
    )
  }
}

let mmap: Mmap | null = null
let fsExt: FsExt | null = null
/** Locks that this process holds: closing a second descriptor of such a file would give its lock away. */
const locked = new Set<string>()
/** Maps that are not collected yet, for metrics: a deleted file's space comes back with its map. */
let mappedFiles = 0
const unmapped = new FinalizationRegistry(() => {
  mappedFiles--
})

/** How many files are mapped into this process. */
export const mappedFileCount = (): number => mappedFiles

const read = promisify(fs.read) as unknown as (
  fd: number,
  target: Uint8Array,
  start: number,
  length: number,
  position: number
) => Promise<{ bytesRead: number }>
const write = promisify(fs.write) as unknown as (
  fd: number,
  source: Uint8Array,
  start: number,
  length: number,
  position: number
) => Promise<{ bytesWritten: number }>
const fdatasync = promisify(fs.fdatasync)
const fsync = promisify(fs.fsync)

function identityOf(path: string): string {
  const { dev, ino } = fs.statSync(path)
  return `${dev}:${ino}`
}

/** flock for ourselves, fcntl for RocketMQ, whose FileLock is one. False when either is taken. */
async function takeLocks(fd: number): Promise<boolean> {
  fsExt ??= native<FsExt>('fs-ext')
  const { flockSync, fcntl, constants } = fsExt
  try {
    flockSync(fd, 'exnb')
    await new Promise<void>((resolve, reject) =>
      fcntl(fd, 'setlk', constants.F_WRLCK, error =>
        error === null || error === undefined ? resolve() : reject(error)
      )
    )
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EAGAIN' || code === 'EWOULDBLOCK' || code === 'EACCES') return false
    throw error
  }
}

/** The disk as it is. The only code that touches native packages. */
export const realFiles: Files = {
  makeDirectory: path => void fs.mkdirSync(path, { recursive: true }),
  list(path) {
    if (!fs.existsSync(path)) return []
    return fs
      .readdirSync(path, { withFileTypes: true })
      .map(entry => ({
        name: entry.name,
        isFile: entry.isFile(),
        sizeBytes: entry.isFile() ? fs.statSync(join(path, entry.name)).size : 0
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  },
  exists: fs.existsSync,
  open: path => fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644),
  close: fs.closeSync,
  sizeOf: fd => fs.fstatSync(fd).size,
  truncate: fs.ftruncateSync,
  read: (fd, target, position) => fs.readSync(fd, target, 0, target.length, position),
  write: fs.writeSync,
  writeAsync: async (fd, source, start, length, position) =>
    (await write(fd, source, start, length, position)).bytesWritten,
  readAsync: async (fd, target, position) => (await read(fd, target, 0, target.length, position)).bytesRead,
  nextData(fd, position) {
    fsExt ??= native<FsExt>('fs-ext')
    try {
      return fsExt.seekSync(fd, position, SEEK_DATA)
    } catch (error) {
      // A file system that knows no holes says EINVAL: then everything is data.
      return (error as NodeJS.ErrnoException).code === 'ENXIO' ? -1 : position
    }
  },
  sync: fdatasync,
  async syncDirectory(path) {
    const fd = fs.openSync(path, 'r')
    try {
      await fsync(fd)
    } finally {
      fs.closeSync(fd)
    }
  },
  map(fd, sizeBytes) {
    mmap ??= native<Mmap>('mmap-io')
    const bytes = mmap.map(sizeBytes, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    mappedFiles++
    unmapped.register(bytes.buffer, undefined)
    return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
  },
  async lock(path) {
    if (fs.existsSync(path) && locked.has(identityOf(path))) return null
    const fd = realFiles.open(path)
    const key = identityOf(path)
    locked.add(key)
    const release = () => {
      locked.delete(key)
      fs.closeSync(fd)
    }
    try {
      if (await takeLocks(fd)) return release
    } catch (error) {
      release()
      throw error
    }
    release()
    return null
  },
  rename: fs.renameSync,
  remove(path) {
    // Who closes a removed file last gives its space back, for 1 GiB that takes 0.3 s: that is left to the thread pool.
    const fd = fs.existsSync(path) ? fs.openSync(path, 'r') : -1
    fs.rmSync(path, { force: true })
    if (fd >= 0) fs.close(fd, () => {})
  },
  removeDirectory: path => fs.rmSync(path, { recursive: true, force: true }),
  readText: path => (fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : null),
  modifiedMs: path => fs.statSync(path).mtimeMs,
  usedRatio(path) {
    // What is not there yet will lie on the partition of the folder that is to hold it.
    let there = path
    while (!fs.existsSync(there) && dirname(there) !== there) there = dirname(there)
    const { blocks, bfree, bavail } = fs.statfsSync(there)
    const used = blocks - bfree
    return used / Math.max(1, used + bavail)
  }
}
