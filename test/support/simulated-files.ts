import { dirname, join } from 'node:path'
import type { DirectoryEntry, Files } from '../../engine/index.ts'

const BLOCK_BYTES = 4096
const SECTOR_BYTES = 512

/** A change of content or names that a power cut may undo while nothing has made it durable. */
type Change = { number: number } & (
  | { kind: 'write'; inode: Inode; position: number; bytes: Buffer }
  | { kind: 'truncate'; inode: Inode; sizeBytes: number }
  | { kind: 'name'; path: string; inode: Inode | null }
)

/** What a file holds: as processes see it. Names point to it. */
class Inode {
  bytes = Buffer.alloc(0)
  sizeBytes = 0
  modifiedMs = 0
  /** Blocks that are not holes. */
  readonly blocks = new Set<number>()

  resize(sizeBytes: number): void {
    if (sizeBytes > this.bytes.length) {
      const grown = Buffer.alloc(sizeBytes)
      this.bytes.copy(grown)
      this.bytes = grown
    } else this.bytes.fill(0, sizeBytes)
    for (const block of this.blocks) if (block * BLOCK_BYTES >= sizeBytes) this.blocks.delete(block)
    this.sizeBytes = sizeBytes
  }

  write(position: number, bytes: Uint8Array): void {
    if (position + bytes.length > this.sizeBytes) {
      const { sizeBytes } = this
      this.resize(position + bytes.length)
      this.bytes.fill(0, sizeBytes, position)
    }
    this.bytes.set(bytes, position)
    for (let block = Math.floor(position / BLOCK_BYTES); block * BLOCK_BYTES < position + bytes.length; block++)
      this.blocks.add(block)
  }
}

/** Calls that can be made to fail, by the name in {@link Files}. */
export type Call = 'open' | 'truncate' | 'write' | 'read' | 'readAsync' | 'sync' | 'syncDirectory' | 'rename' | 'map'

export interface Crash {
  /**
   * What of the changes that nothing made durable is on the disk after the crash: all of them, as when only the process
   * dies; the first so many, the last of these torn; or any sectors of any of them.
   */
  keeps: 'all' | { first: number; tornBytes?: number } | { anyOf: () => number }
}

const errorOf = (code: string, call: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${code}: simulated, ${call}`), { code })

/**
 * A disk in memory that forgets, tears, fills up and breaks as a real one does. Content is durable after `sync`, names
 * after `syncDirectory`, and nothing before.
 */
export class SimulatedFiles implements Files {
  /** Bytes that files may take in whole blocks; above it, calls fail with ENOSPC. */
  capacityBytes = Number.POSITIVE_INFINITY
  /** Asked before each call that can fail: what it gives is thrown. */
  fault: ((call: Call, path: string) => string | null) | null = null
  /** Called with each write, so that a test can make it take time. */
  onWrite: ((path: string) => void) | null = null
  /** Longest write that goes through at once. */
  longestWrite = Number.POSITIVE_INFINITY
  /** How many calls of each kind there were. */
  readonly calls = new Map<Call, number>()
  now: () => number = Date.now
  /** Calls when the thread pool has done something. */
  later: (done: () => void) => void = setImmediate

  private readonly names = new Map<string, Inode>()
  private readonly directories = new Set<string>(['/', '.'])
  private readonly open_ = new Map<number, { inode: Inode; path: string }>()
  private readonly locked = new Set<string>()
  private durable: { names: Map<string, Inode>; contents: Map<Inode, Inode> } = {
    names: new Map(),
    contents: new Map()
  }
  private changes: Change[] = []
  private lastChange = 0
  private nextFd = 3
  private dead = false

  /** How many changes nothing has made durable. */
  get pendingChanges(): number {
    return this.changes.length
  }

  get openCount(): number {
    return this.open_.size
  }

  private begin(call: Call, path: string): void {
    if (this.dead) throw errorOf('EIO', `${call} after the crash`)
    this.calls.set(call, (this.calls.get(call) ?? 0) + 1)
    const code = this.fault?.(call, path) ?? null
    if (code !== null) throw errorOf(code, `${call} ${path}`)
  }

  private threadPool(): Promise<void> {
    return new Promise(resolve => this.later(resolve))
  }

  private fileOf(fd: number): { inode: Inode; path: string } {
    const file = this.open_.get(fd)
    if (file === undefined) throw errorOf('EBADF', `descriptor ${fd}`)
    return file
  }

  private get usedBytes(): number {
    let blocks = 0
    for (const inode of new Set([...this.names.values(), ...[...this.open_.values()].map(({ inode }) => inode)]))
      blocks += inode.blocks.size
    return blocks * BLOCK_BYTES
  }

  makeDirectory(path: string): void {
    for (let each = path; !this.directories.has(each); each = dirname(each)) this.directories.add(each)
  }

  list(path: string): DirectoryEntry[] {
    const entries = new Map<string, DirectoryEntry>()
    for (const [each, { sizeBytes }] of this.names)
      if (dirname(each) === path) {
        const name = each.slice(path.length + 1)
        entries.set(name, { name, sizeBytes, isFile: true })
      }
    for (const each of this.directories)
      if (each !== path && dirname(each) === path) {
        const name = each.slice(path.length + 1)
        entries.set(name, { name, sizeBytes: 0, isFile: false })
      }
    return [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  exists(path: string): boolean {
    return this.names.has(path) || this.directories.has(path)
  }

  open(path: string): number {
    this.begin('open', path)
    let inode = this.names.get(path)
    if (inode === undefined) {
      if (!this.directories.has(dirname(path))) throw errorOf('ENOENT', path)
      inode = new Inode()
      inode.modifiedMs = this.now()
      this.setName(path, inode)
    }
    this.open_.set(this.nextFd, { inode, path })
    return this.nextFd++
  }

  private setName(path: string, inode: Inode | null): void {
    if (inode === null) this.names.delete(path)
    else this.names.set(path, inode)
    this.changes.push({ number: ++this.lastChange, kind: 'name', path, inode })
  }

  close(fd: number): void {
    this.fileOf(fd)
    this.open_.delete(fd)
  }

  sizeOf(fd: number): number {
    return this.fileOf(fd).inode.sizeBytes
  }

  truncate(fd: number, sizeBytes: number): void {
    const { inode, path } = this.fileOf(fd)
    this.begin('truncate', path)
    inode.resize(sizeBytes)
    inode.modifiedMs = this.now()
    this.changes.push({ number: ++this.lastChange, kind: 'truncate', inode, sizeBytes })
  }

  private readNow(inode: Inode, target: Uint8Array, position: number): number {
    const end = Math.min(inode.sizeBytes, position + target.length)
    if (end <= position) return 0
    target.set(inode.bytes.subarray(position, end))
    return end - position
  }

  read(fd: number, target: Uint8Array, position: number): number {
    const { inode, path } = this.fileOf(fd)
    this.begin('read', path)
    return this.readNow(inode, target, position)
  }

  async readAsync(fd: number, target: Uint8Array, position: number): Promise<number> {
    const { inode, path } = this.fileOf(fd)
    this.begin('readAsync', path)
    await this.threadPool()
    return this.readNow(inode, target, position)
  }

  write(fd: number, source: Uint8Array, start: number, length: number, position: number): number {
    const { inode, path } = this.fileOf(fd)
    this.begin('write', path)
    this.onWrite?.(path)
    let count = Math.min(length, this.longestWrite)
    if (this.capacityBytes < Number.POSITIVE_INFINITY) {
      let free = Math.max(0, Math.floor((this.capacityBytes - this.usedBytes) / BLOCK_BYTES))
      let end = position
      while (end < position + count) {
        const block = Math.floor(end / BLOCK_BYTES)
        if (!inode.blocks.has(block) && free-- <= 0) break
        end = Math.min((block + 1) * BLOCK_BYTES, position + count)
      }
      count = end - position
      if (count === 0 && length > 0) throw errorOf('ENOSPC', path)
    }
    const bytes = Buffer.from(source.subarray(start, start + count))
    inode.write(position, bytes)
    inode.modifiedMs = this.now()
    this.changes.push({ number: ++this.lastChange, kind: 'write', inode, position, bytes })
    return count
  }

  async writeAsync(fd: number, source: Uint8Array, start: number, length: number, position: number): Promise<number> {
    await new Promise(resolve => setImmediate(resolve))
    return this.write(fd, source, start, length, position)
  }

  nextData(fd: number, position: number): number {
    const { inode } = this.fileOf(fd)
    if (position >= inode.sizeBytes) return -1
    const block = Math.floor(position / BLOCK_BYTES)
    if (inode.blocks.has(block)) return position
    const next = [...inode.blocks].filter(each => each > block)
    return next.length === 0 ? -1 : Math.min(...next) * BLOCK_BYTES
  }

  async sync(fd: number): Promise<void> {
    const { inode, path } = this.fileOf(fd)
    this.begin('sync', path)
    const { lastChange } = this
    await this.threadPool()
    if (this.dead) return new Promise(() => {})
    this.settle(lastChange, change => change.kind !== 'name' && change.inode === inode)
  }

  async syncDirectory(path: string): Promise<void> {
    this.begin('syncDirectory', path)
    const { lastChange } = this
    await this.threadPool()
    if (this.dead) return new Promise(() => {})
    this.settle(lastChange, change => change.kind === 'name' && dirname(change.path) === path)
  }

  /** Makes changes durable up to one of them. */
  private settle(last: number, which: (change: Change) => boolean): void {
    const isSettled = (change: Change) => change.number <= last && which(change)
    for (const change of this.changes) if (isSettled(change)) apply(change, this.durable)
    this.changes = this.changes.filter(change => !isSettled(change))
  }

  map(fd: number, sizeBytes: number) {
    const { inode, path } = this.fileOf(fd)
    this.begin('map', path)
    if (inode.bytes.length < sizeBytes) throw errorOf('EINVAL', path)
    const bytes = inode.bytes.subarray(0, sizeBytes)
    return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
  }

  async lock(path: string): Promise<(() => void) | null> {
    if (this.locked.has(path)) return null
    this.close(this.open(path))
    this.locked.add(path)
    return () => this.locked.delete(path)
  }

  rename(from: string, to: string): void {
    this.begin('rename', from)
    const inode = this.names.get(from)
    if (inode === undefined) throw errorOf('ENOENT', from)
    this.setName(to, inode)
    this.setName(from, null)
  }

  remove(path: string): void {
    if (this.names.has(path)) this.setName(path, null)
  }

  removeDirectory(path: string): void {
    for (const each of [...this.names.keys()]) if (each.startsWith(`${path}/`)) this.setName(each, null)
    for (const each of [...this.directories])
      if (each === path || each.startsWith(`${path}/`)) this.directories.delete(each)
  }

  readText(path: string): string | null {
    const inode = this.names.get(path)
    return inode === undefined ? null : inode.bytes.subarray(0, inode.sizeBytes).toString()
  }

  modifiedMs(path: string): number {
    const inode = this.names.get(path)
    if (inode === undefined) throw errorOf('ENOENT', path)
    return inode.modifiedMs
  }

  usedRatio(): number {
    return this.usedBytes / this.capacityBytes
  }

  /** Paths of all files. */
  paths(): string[] {
    return [...this.names.keys()].sort()
  }

  /** Content of a file, to look at and to change behind the store's back. */
  contentOf(path: string): Buffer {
    const inode = this.names.get(path)
    if (inode === undefined) throw errorOf('ENOENT', path)
    return inode.bytes.subarray(0, inode.sizeBytes)
  }

  setContent(path: string, content: Uint8Array): void {
    this.makeDirectory(dirname(path))
    const fd = this.open(path)
    this.truncate(fd, content.length)
    if (content.length > 0) this.write(fd, content, 0, content.length, 0)
    this.close(fd)
  }

  /** Ends whoever uses this disk; what a new process then finds is another one. This one stays as it was, and fails. */
  crash({ keeps }: Crash): SimulatedFiles {
    this.dead = true
    const disk = { names: new Map(this.durable.names), contents: new Map<Inode, Inode>() }
    for (const [inode, content] of this.durable.contents) disk.contents.set(inode, copyOf(content))
    for (const change of survivors(this.changes, keeps)) apply(change, disk)
    const after = new SimulatedFiles()
    after.now = this.now
    after.later = this.later
    for (const directory of this.directories) after.directories.add(directory)
    for (const [path, inode] of disk.names) {
      const content = disk.contents.get(inode) ?? new Inode()
      content.modifiedMs = inode.modifiedMs
      after.names.set(path, content)
    }
    after.durable = {
      names: new Map(after.names),
      contents: new Map([...after.names.values()].map(inode => [inode, copyOf(inode)]))
    }
    return after
  }

  /** The same disk for another experiment. */
  copy(): SimulatedFiles {
    const { dead } = this
    const copy = this.crash({ keeps: 'all' })
    this.dead = dead
    return copy
  }
}

function copyOf(inode: Inode): Inode {
  const copy = new Inode()
  copy.bytes = Buffer.from(inode.bytes)
  copy.sizeBytes = inode.sizeBytes
  copy.modifiedMs = inode.modifiedMs
  for (const block of inode.blocks) copy.blocks.add(block)
  return copy
}

function apply(change: Change, disk: { names: Map<string, Inode>; contents: Map<Inode, Inode> }): void {
  if (change.kind === 'name') {
    if (change.inode === null) disk.names.delete(change.path)
    else disk.names.set(change.path, change.inode)
    return
  }
  let content = disk.contents.get(change.inode)
  if (content === undefined) {
    content = new Inode()
    disk.contents.set(change.inode, content)
  }
  if (change.kind === 'truncate') content.resize(change.sizeBytes)
  else content.write(change.position, change.bytes)
}

/** The changes, or parts of them, that reach the disk. */
function survivors(changes: readonly Change[], keeps: Crash['keeps']): Change[] {
  if (keeps === 'all') return [...changes]
  if ('first' in keeps) {
    const kept = changes.slice(0, keeps.first)
    const torn = changes[keeps.first]
    if (torn?.kind === 'write' && keeps.tornBytes !== undefined)
      kept.push({ ...torn, bytes: torn.bytes.subarray(0, keeps.tornBytes) })
    return kept
  }
  // Names and sizes go through a journal, in order; content goes as it likes.
  const names = changes.filter(change => change.kind !== 'write')
  const journalled = new Set(names.slice(0, Math.floor(keeps.anyOf() * (names.length + 1))))
  return changes.flatMap(change => {
    if (change.kind !== 'write') return journalled.has(change) ? [change] : []
    const sectors: Change[] = []
    for (let start = 0; start < change.bytes.length; ) {
      const end = Math.min(change.bytes.length, start + SECTOR_BYTES - ((change.position + start) % SECTOR_BYTES))
      if (keeps.anyOf() < 0.5)
        sectors.push({ ...change, position: change.position + start, bytes: change.bytes.subarray(start, end) })
      start = end
    }
    return sectors
  })
}

/** The path of a store's file on a simulated disk. */
export const STORE_DIR = '/store'
export const inStore = (...parts: string[]): string => join(STORE_DIR, ...parts)
