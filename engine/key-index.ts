import { join } from 'node:path'
import { javaHashCode } from '../message/index.ts'
import type { Clock } from './clock.ts'
import type { Files } from './files.ts'
import { IndexFile, indexFileBytes } from './index-file.ts'
import type { Log } from './log.ts'

/** RocketMQ answers at most so many messages for a key. MessageStoreConfig#maxMsgsNumBatch */
const MAX_RESULTS = 64

/** `yyyyMMddHHmmssSSS` in local time. UtilAll#timeMillisToHumanString */
function timeName(ms: number): string {
  const t = new Date(ms)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${t.getFullYear()}${two(t.getMonth() + 1)}${two(t.getDate())}${two(t.getHours())}${two(t.getMinutes())}${two(t.getSeconds())}${String(t.getMilliseconds()).padStart(3, '0')}`
}

/** Finds messages by topic and key: index files in the order of their names. IndexService */
export class KeyIndex {
  private readonly list: IndexFile[] = []
  private readonly topicHashes = new Map<string, number>()
  private readonly files: Files
  private readonly dir: string
  private readonly slots: number
  private readonly capacity: number
  private readonly clock: Clock
  private readonly log: Log

  constructor(
    dir: string,
    files: Files,
    { maxHashSlotNum, maxIndexNum }: { maxHashSlotNum: number; maxIndexNum: number },
    clock: Clock,
    log: Log
  ) {
    this.dir = dir
    this.files = files
    this.slots = maxHashSlotNum
    this.capacity = maxIndexNum
    this.clock = clock
    this.log = log
  }

  /** Opens the files. One that cannot be true is removed and every later one with it; they are built again from the log. */
  load(): void {
    const expected = indexFileBytes(this.slots, this.capacity)
    let broken = false
    for (const { name, isFile, sizeBytes } of this.files.list(this.dir)) {
      const path = join(this.dir, name)
      if (!isFile || !/^\d{17}$/.test(name)) {
        this.log.warn({ path }, 'ignored: it is no index file')
        continue
      }
      if (!broken && sizeBytes === expected) {
        const file = new IndexFile(this.files, path, name, this.slots, this.capacity)
        if (file.plausible) {
          this.list.push(file)
          continue
        }
        file.close()
      }
      broken = true
      this.log.warn({ path }, 'removed a broken index file: it is built again')
      this.files.remove(path)
    }
  }

  /** Physical offset of the newest message that is filed; messages up to it are not filed again. 0 without any. */
  get endPhysicalOffset(): number {
    const last = this.list.at(-1)
    return last === undefined || last.indexCount <= 1 ? 0 : last.endPhysicalOffset
  }

  /** Files a message under a key. Throws what the disk says when no more room can be had. */
  put(topic: string, key: string, physicalOffset: number, storeTimestamp: number): void {
    let file = this.list.at(-1)
    if (file === undefined || file.full) file = this.create(file)
    file.put(this.hash(topic, key), physicalOffset, storeTimestamp)
  }

  /** `|hash of topic#key|`; the topic's part is remembered. IndexFile#indexKeyHashMethod */
  private hash(topic: string, key: string): number {
    let start = this.topicHashes.get(topic)
    if (start === undefined) {
      start = javaHashCode(`${topic}#`)
      this.topicHashes.set(topic, start)
    }
    const hash = Math.abs(javaHashCode(key, start))
    return hash === 0x8000_0000 ? 0 : hash
  }

  private create(previous: IndexFile | undefined): IndexFile {
    this.files.makeDirectory(this.dir)
    let ms = this.clock.now()
    while (previous !== undefined && timeName(ms) <= previous.name) ms++
    const name = timeName(ms)
    const file = new IndexFile(this.files, join(this.dir, name), name, this.slots, this.capacity)
    if (previous !== undefined)
      file.setHeader(
        previous.endTimestamp,
        previous.endTimestamp,
        previous.endPhysicalOffset,
        previous.endPhysicalOffset,
        0,
        1
      )
    this.list.push(file)
    return file
  }

  /** Where messages with a key may lie: hashes can collide, so each must be looked at. IndexService#queryOffset */
  query(
    topic: string,
    key: string,
    maxCount: number,
    beginMs: number,
    endMs: number
  ): { physicalOffsets: number[]; lastUpdateTimestamp: number; lastUpdatePhysicalOffset: number } {
    const physicalOffsets: number[] = []
    const hash = this.hash(topic, key)
    const limit = Math.min(maxCount, MAX_RESULTS)
    for (let i = this.list.length - 1; i >= 0 && physicalOffsets.length < limit; i--) {
      this.list[i]!.collect(hash, beginMs, endMs, limit, physicalOffsets)
      if (this.list[i]!.beginTimestamp < beginMs) break
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
    return this.list.findLast(file => file.full)?.endTimestamp ?? 0
  }

  /** Drops files all of whose messages the CommitLog has deleted. */
  deleteBefore(minPhysicalOffset: number): void {
    while (this.list.length > 1 && this.list[0]!.endPhysicalOffset < minPhysicalOffset) this.list.shift()!.remove()
  }

  async flush(): Promise<void> {
    for (const file of this.list.slice(-2)) await file.flush()
  }

  close(): void {
    for (const file of this.list) file.close()
    this.list.length = 0
  }
}
