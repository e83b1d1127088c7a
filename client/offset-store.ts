import type { Log } from '../net/index.ts'
import { type MessageQueue, queueKey } from './message.ts'

export const NO_OFFSET = -1

interface Entry {
  readonly queue: MessageQueue
  /** The next offset to consume. */
  offset: number
  /** What was written last; NO_OFFSET before. */
  written: number
  /** Set for good until the queue is dropped: what still runs for it changes nothing. ControllableOffset */
  frozen: boolean
}

/**
 * How far a group has consumed the queues that it has now. Offsets are kept in memory and written some time after they
 * changed: no timer runs while nothing changes. Where they are written is the subclass's. OffsetStore
 */
export abstract class OffsetStore {
  protected readonly log: Log
  private readonly entries = new Map<string, Entry>()
  private readonly intervalMs: number
  private timer: NodeJS.Timeout | null = null
  private closed = false

  constructor(intervalMs: number, log: Log) {
    this.intervalMs = intervalMs
    this.log = log
  }

  /** The offset that is stored of a queue, NO_OFFSET when there is none. Throws when that cannot be told. */
  abstract read(queue: MessageQueue): Promise<number>

  /** Stores offsets; `wait` for the store's answer where that costs a round trip. Throws when one was not stored. */
  protected abstract write(offsets: readonly { queue: MessageQueue; offset: number }[], wait: boolean): Promise<void>

  /** What is known of a queue here, NO_OFFSET when nothing is. */
  known(queue: MessageQueue): number {
    return this.entries.get(queueKey(queue))?.offset ?? NO_OFFSET
  }

  /** Sets the next offset to consume; with `increaseOnly` never to a lower one. `key` is the queue's, if it is at hand. */
  update(queue: MessageQueue, offset: number, increaseOnly = false, key = queueKey(queue)): void {
    const entry = this.entry(queue, key)
    if (entry.frozen || entry.offset === offset || (increaseOnly && offset < entry.offset)) return
    entry.offset = offset
    if (!this.closed) this.timer ??= setTimeout(() => this.onTimer(), this.intervalMs)
  }

  /** Begins with an offset that is stored already. */
  seed(queue: MessageQueue, offset: number): void {
    const entry = this.entry(queue)
    entry.offset = entry.written = offset
  }

  /** Sets an offset that no later update changes. updateAndFreezeOffset */
  freeze(queue: MessageQueue, offset: number): void {
    this.update(queue, offset)
    this.entry(queue).frozen = true
  }

  /** A queue that is not ours any more. */
  remove(queue: MessageQueue): void {
    this.entries.delete(queueKey(queue))
  }

  /** All that is known, of one topic or of all. */
  all(topic?: string): Map<MessageQueue, number> {
    const offsets = new Map<MessageQueue, number>()
    for (const { queue, offset } of this.entries.values())
      if (topic === undefined || queue.topic === topic) offsets.set(queue, offset)
    return offsets
  }

  /** Writes what changed, of one queue or of all. Never throws: what was not written stays changed. */
  async persist(queue?: MessageQueue, wait = false): Promise<void> {
    const entries = queue === undefined ? [...this.entries.values()] : [this.entry(queue)]
    const changed = entries
      .filter(({ offset, written }) => offset !== written && offset >= 0)
      .map(entry => ({ entry, queue: entry.queue, offset: entry.offset }))
    if (changed.length === 0) return
    try {
      await this.write(changed, wait)
      for (const { entry, offset } of changed) entry.written = offset
    } catch (error) {
      this.log.warn({ err: error, queues: changed.length }, 'consumer offsets were not stored; they will be again')
      if (!this.closed) this.timer ??= setTimeout(() => this.onTimer(), this.intervalMs)
    }
  }

  /** Writes what changed and stops. */
  async close(): Promise<void> {
    this.closed = true
    if (this.timer !== null) clearTimeout(this.timer)
    await this.persist(undefined, true)
  }

  private onTimer(): void {
    this.timer = null
    void this.persist()
  }

  private entry(queue: MessageQueue, key = queueKey(queue)): Entry {
    let entry = this.entries.get(key)
    if (entry === undefined) {
      entry = { queue, offset: NO_OFFSET, written: NO_OFFSET, frozen: false }
      this.entries.set(key, entry)
    }
    return entry
  }
}
