import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { EngineError } from '../errors.ts'
import type { Files } from '../files.ts'

type Mmap = {
  map(sizeBytes: number, protection: number, flags: number, fd: number, offset: number): Buffer
  PROT_READ: number
  PROT_WRITE: number
  MAP_SHARED: number
}
type FsExt = { flockSync(fd: number, how: 'exnb'): void }

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
const read = promisify(fs.read) as unknown as (
  fd: number,
  target: Uint8Array,
  start: number,
  length: number,
  position: number
) => Promise<{ bytesRead: number }>
const fdatasync = promisify(fs.fdatasync)

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
  allocatedBytes: fd => fs.fstatSync(fd).blocks * 512,
  truncate: fs.ftruncateSync,
  read: (fd, target, position) => fs.readSync(fd, target, 0, target.length, position),
  write: fs.writeSync,
  readAsync: async (fd, target, position) => (await read(fd, target, 0, target.length, position)).bytesRead,
  sync: fdatasync,
  map(fd, sizeBytes, writable) {
    mmap ??= native<Mmap>('mmap-io')
    const protection = writable ? mmap.PROT_READ | mmap.PROT_WRITE : mmap.PROT_READ
    const bytes = mmap.map(sizeBytes, protection, mmap.MAP_SHARED, fd, 0)
    return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
  },
  lock(fd) {
    try {
      native<FsExt>('fs-ext').flockSync(fd, 'exnb')
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN' || code === 'EWOULDBLOCK') return false
      throw error
    }
  },
  rename: fs.renameSync,
  remove: path => fs.rmSync(path, { force: true }),
  removeDirectory: path => fs.rmSync(path, { recursive: true, force: true }),
  readText: path => (fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : null),
  modifiedMs: path => fs.statSync(path).mtimeMs,
  usedRatio(path) {
    const { blocks, bfree, bavail } = fs.statfsSync(path)
    const used = blocks - bfree
    return used / Math.max(1, used + bavail)
  }
}
