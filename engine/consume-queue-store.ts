import { join } from 'node:path'
import { ConsumeQueue } from './consume-queue.ts'
import { ConsumeQueueExtension } from './consume-queue-extension.ts'
import type { DerivedWrites } from './derived-writes.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'
import { MappedFileQueue } from './mapped-file.ts'
import type { OpenFiles } from './open-files.ts'

/** So many bytes of units are looked at when the store is opened, the newest of each queue. */
const CHECKED_BYTES = 256 * 1024 * 1024
const MIN_CHECKED_BYTES_OF_QUEUE = 4000

interface QueueFiles {
  files: Files
  openFiles: OpenFiles
  dir: string
  fileSizeBytes: number
  /** Of RocketMQ's ConsumeQueue extension. */
  extensionDir: string
  extensionFileSizeBytes: number
  writes: DerivedWrites
  log: Log
}

/** All queues of a store, by topic and queue id. ConsumeQueueStore */
export class ConsumeQueueStore {
  private readonly topics = new Map<string, Map<number, ConsumeQueue>>()
  private readonly parts: QueueFiles

  constructor(parts: QueueFiles) {
    this.parts = parts
  }

  load(): void {
    const { files, openFiles, dir, extensionDir, extensionFileSizeBytes, log } = this.parts
    for (const [topic, queueId] of this.directoriesIn(dir)) this.get(topic, queueId)
    const queues = [...this.all()]
    const checkBytes = Math.max(MIN_CHECKED_BYTES_OF_QUEUE, CHECKED_BYTES / Math.max(1, queues.length))
    for (const queue of queues) queue.load(checkBytes)
    for (const [topic, queueId] of this.directoriesIn(extensionDir)) {
      const path = join(extensionDir, topic, String(queueId))
      const segments = new MappedFileQueue(files, openFiles, path, extensionFileSizeBytes)
      segments.loadForReading(log)
      this.get(topic, queueId).extension = new ConsumeQueueExtension(segments)
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
  find(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.topics.get(topic)?.get(queueId)
  }

  /** The queue; its files come with its first block of units. */
  get(topic: string, queueId: number): ConsumeQueue {
    let queues = this.topics.get(topic)
    if (queues === undefined) {
      queues = new Map()
      this.topics.set(topic, queues)
    }
    let queue = queues.get(queueId)
    if (queue === undefined) {
      const { files, openFiles, dir, fileSizeBytes, writes, log } = this.parts
      const segments = new MappedFileQueue(files, openFiles, join(dir, topic, String(queueId)), fileSizeBytes)
      queue = new ConsumeQueue(topic, queueId, segments, writes, log)
      queues.set(queueId, queue)
    }
    return queue
  }

  *all(): Generator<ConsumeQueue> {
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
    for (const queue of this.topics.get(topic)?.values() ?? []) queue.close()
    this.topics.delete(topic)
    this.parts.files.removeDirectory(join(this.parts.dir, topic))
    this.parts.files.removeDirectory(join(this.parts.extensionDir, topic))
  }

  /** Writes the units that are only in memory. Throws what the disk says. */
  writeOut(): void {
    for (const queue of this.all()) queue.writeOut()
  }

  async flush(): Promise<void> {
    for (const queue of this.all()) await queue.flush()
  }

  close(): void {
    for (const queue of this.all()) queue.close()
  }
}
