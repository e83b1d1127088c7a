import { join } from 'node:path'
import { ConsumeQueue } from './consume-queue.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'

/** All queues of a store, by topic and queue id. ConsumeQueueStore */
export class ConsumeQueueStore {
  private readonly topics = new Map<string, ConsumeQueue[]>()
  private readonly files: Files
  private readonly dir: string
  private readonly fileSizeBytes: number
  private readonly log: Log

  constructor(files: Files, dir: string, fileSizeBytes: number, log: Log) {
    this.files = files
    this.dir = dir
    this.fileSizeBytes = fileSizeBytes
    this.log = log
  }

  load(): void {
    for (const topic of this.files.list(this.dir)) {
      if (topic.isFile) this.log.warn({ path: join(this.dir, topic.name) }, 'ignored: it is no queue of this store')
      else
        for (const queue of this.files.list(join(this.dir, topic.name)))
          if (!queue.isFile && /^\d{1,9}$/.test(queue.name)) this.get(topic.name, Number(queue.name)).load()
    }
  }

  /** The queue, if it exists. */
  find(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.topics.get(topic)?.[queueId]
  }

  /** The queue; its files come with its first unit. */
  get(topic: string, queueId: number): ConsumeQueue {
    let queues = this.topics.get(topic)
    if (queues === undefined) {
      queues = []
      this.topics.set(topic, queues)
    }
    let queue = queues[queueId]
    if (queue === undefined) {
      queue = new ConsumeQueue(
        this.files,
        join(this.dir, topic, String(queueId)),
        this.fileSizeBytes,
        topic,
        queueId,
        this.log
      )
      queues[queueId] = queue
    }
    return queue
  }

  *all(): Generator<ConsumeQueue> {
    for (const queues of this.topics.values()) for (const queue of queues) if (queue !== undefined) yield queue
  }

  topicNames(): string[] {
    return [...this.topics.keys()]
  }

  queueIds(topic: string): number[] {
    return (this.topics.get(topic) ?? []).flatMap((queue, queueId) => (queue === undefined ? [] : [queueId]))
  }

  deleteTopic(topic: string): void {
    for (const queue of this.topics.get(topic) ?? []) queue?.close()
    this.topics.delete(topic)
    this.files.removeDirectory(join(this.dir, topic))
  }

  async flush(): Promise<void> {
    for (const queue of this.all()) await queue.flush()
  }

  close(): void {
    for (const queue of this.all()) queue.close()
  }
}
