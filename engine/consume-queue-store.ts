import { join } from 'node:path'
import { BatchConsumeQueue } from './batch-consume-queue.ts'
import { ConsumeQueue } from './consume-queue.ts'
import { ConsumeQueueExtension } from './consume-queue-extension.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'
import { MappedFileQueue } from './mapped-file.ts'
import type { OpenFiles } from './open-files.ts'
import type { QueueIndex, QueueType } from './queue-index.ts'

/** So many bytes of units are looked at when the store is opened, the newest of each queue. */
const CHECKED_BYTES = 256 * 1024 * 1024
const MIN_CHECKED_BYTES_OF_QUEUE = 4000

interface QueueFiles {
  files: Files
  openFiles: OpenFiles
  dir: string
  fileSizeBytes: number
  /** Of topics whose queues have a unit a batch. */
  batchDir: string
  batchFileSizeBytes: number
  /** Which kind a topic's queues are, as far as the caller knows. */
  queueTypeOf: (topic: string) => QueueType | undefined
  /** Of RocketMQ's ConsumeQueue extension. */
  extensionDir: string
  extensionFileSizeBytes: number
  writes: DerivedWrites
  log: Log
}

/** Queues are flushed so many in a turn, of these several at once: the file system then shares its own writes between them. */
const QUEUES_IN_TURN = 64
const FLUSHES_AT_ONCE = 8

/** All queues of a store, by topic and queue id. ConsumeQueueStore */
export class ConsumeQueueStore {
  /** How many LMQ queues there are. */
  lmqCount = 0

  private readonly topics = new Map<string, Map<number, QueueIndex>>()
  private readonly batchTopics = new Set<string>()
  private readonly parts: QueueFiles

  constructor(parts: QueueFiles) {
    this.parts = parts
  }

  load(): void {
    const { files, openFiles, dir, batchDir, extensionDir, extensionFileSizeBytes, log } = this.parts
    for (const [topic, queueId] of this.directoriesIn(batchDir)) this.open(topic, queueId, 'BatchCQ')
    for (const [topic, queueId] of this.directoriesIn(dir))
      if (this.find(topic, queueId) === undefined) this.open(topic, queueId, 'SimpleCQ')
      else
        log.warn({ path: join(dir, topic, String(queueId)) }, 'ignored: the queues of this topic are of another kind')
    const queues = [...this.all()]
    const checkBytes = Math.max(MIN_CHECKED_BYTES_OF_QUEUE, CHECKED_BYTES / Math.max(1, queues.length))
    for (const queue of queues) queue.open(checkBytes)
    for (const [topic, queueId] of this.directoriesIn(extensionDir)) {
      const path = join(extensionDir, topic, String(queueId))
      const segments = new MappedFileQueue(files, openFiles, path, extensionFileSizeBytes)
      segments.loadForReading(log)
      const queue = this.get(topic, queueId)
      if (queue instanceof ConsumeQueue) queue.extension = new ConsumeQueueExtension(segments)
    }
  }

  private *directoriesIn(dir: string): Generator<[topic: string, queueId: number]> {
    const { files, log } = this.parts
    for (const topic of files.list(dir))
      if (topic.isFile) log.warn({ path: join(dir, topic.name) }, 'ignored: it is no queue of this store')
      else
        for (const queue of files.list(join(dir, topic.name)))
          if (!queue.isFile && /^\d{1,9}$/.test(queue.name)) yield [topic.name, Number(queue.name)]
  }

  /** The queue, if it exists. */
  find(topic: string, queueId: number): QueueIndex | undefined {
    return this.topics.get(topic)?.get(queueId)
  }

  /** The queue; its files come with its first block of units. */
  get(topic: string, queueId: number): QueueIndex {
    return this.topics.get(topic)?.get(queueId) ?? this.open(topic, queueId, this.typeOf(topic))
  }

  /** A record that is a batch was found: a topic without queues gets such as can hold it, whatever the caller knows. */
  expectBatches(topic: string): void {
    if (!this.topics.has(topic)) this.batchTopics.add(topic)
  }

  /** The kind of a topic's queues: what they are, or what the caller knows. */
  typeOf(topic: string): QueueType {
    const queues = this.topics.get(topic)
    if (queues === undefined)
      return this.batchTopics.has(topic) ? 'BatchCQ' : (this.parts.queueTypeOf(topic) ?? 'SimpleCQ')
    for (const queue of queues.values()) return queue instanceof BatchConsumeQueue ? 'BatchCQ' : 'SimpleCQ'
    return 'SimpleCQ'
  }

  private open(topic: string, queueId: number, type: QueueType): QueueIndex {
    const { files, openFiles, dir, fileSizeBytes, batchDir, batchFileSizeBytes, writes, log } = this.parts
    const segmentsIn = (parent: string, sizeBytes: number) =>
      new MappedFileQueue(files, openFiles, join(parent, topic, String(queueId)), sizeBytes)
    const queue =
      type === 'BatchCQ'
        ? new BatchConsumeQueue(topic, queueId, segmentsIn(batchDir, batchFileSizeBytes), writes, log)
        : new ConsumeQueue(topic, queueId, segmentsIn(dir, fileSizeBytes), writes, log)
    if (queue.isMulti) this.lmqCount++
    const queues = this.topics.get(topic)
    if (queues === undefined) this.topics.set(topic, new Map([[queueId, queue]]))
    else queues.set(queueId, queue)
    return queue
  }

  *all(): Generator<QueueIndex> {
    for (const queues of this.topics.values()) yield* queues.values()
  }

  get count(): number {
    let count = 0
    for (const queues of this.topics.values()) count += queues.size
    return count
  }

  topicNames(): string[] {
    return [...this.topics.keys()]
  }

  queueIds(topic: string): number[] {
    return [...(this.topics.get(topic)?.keys() ?? [])].sort((a, b) => a - b)
  }

  deleteTopic(topic: string): void {
    for (const queue of this.topics.get(topic)?.values() ?? []) {
      queue.close()
      if (queue.isMulti) this.lmqCount--
    }
    this.topics.delete(topic)
    this.batchTopics.delete(topic)
    const { files, dir, batchDir, extensionDir } = this.parts
    for (const parent of [dir, batchDir, extensionDir]) files.removeDirectory(join(parent, topic))
  }

  /** Writes the units that are only in memory. Throws what the disk says. */
  writeOut(): void {
    for (const queue of this.all()) queue.writeOut()
  }

  /** Makes all units durable that are there now. */
  async flush(): Promise<void> {
    let turn: QueueIndex[] = []
    for (const queue of this.all()) {
      if (queue.settle()) turn.push(queue)
      if (turn.length < QUEUES_IN_TURN) continue
      await this.sync(turn)
      turn = []
    }
    await this.sync(turn)
  }

  /** The files are all there by now: each directory with new names is flushed once for all of these queues. */
  private async sync(queues: readonly QueueIndex[]): Promise<void> {
    const directories = new Map<string, Promise<void>>()
    const syncDirectory = (path: string) => {
      const sync = directories.get(path) ?? this.parts.files.syncDirectory(path)
      directories.set(path, sync)
      return sync
    }
    const left = queues.values()
    const syncSome = async () => {
      for (const queue of left) await queue.sync(syncDirectory)
    }
    const ends = await Promise.allSettled(Array.from({ length: FLUSHES_AT_ONCE }, syncSome))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  close(): void {
    for (const queue of this.all()) queue.close()
  }
}
