import { type Message, type MessageQueue, queueKey } from './message.ts'

/** A pulled message until it is consumed. */
export interface Cached {
  readonly message: Message
  /** When its listener was called last, ms; 0 while it waits, RETURNING while it is sent back. */
  startedMs: number
  done: boolean
}

export const RETURNING = -1
const COMPACT_FROM = 1024

/**
 * What is cached of one queue: pulled, and not consumed yet. Messages are handed out in the order of their offsets and
 * end in any order; the offset that may be committed is that of the first one not consumed.
 *
 * ```
 *   entries  [ done … done | handed out, some done | waiting ]
 *                          ^ head                  ^ next       end
 * ```
 * Invariant: head <= next <= entries.length; count and bytes are those of the entries from head on that are not done.
 * ProcessQueue
 */
export class ProcessQueue {
  readonly queue: MessageQueue
  /** Its queueKey. */
  readonly key: string
  /** Nothing more of it is handed out; what was handed out still counts. */
  stopped = false
  /** No longer ours, or read anew from another offset: what still runs for it leaves no trace. */
  dropped = false
  /** Calls of the listener that run for it. */
  calls = 0
  /** Messages that are neither consumed nor dropped. */
  count = 0
  bytes = 0
  /** The offset of what was put last, -1 before. */
  lastOffset = -1
  lastPullMs = Date.now()
  lastConsumeMs = Date.now()
  /** Ordered consumption: until when we hold the queue's lock as far as we know, and when we got it last. */
  lockedUntilMs = Number.POSITIVE_INFINITY
  lastLockMs = Date.now()

  private entries: Cached[] = []
  private head = 0
  private next = 0
  /** Handed out, and given back to be handed out again. */
  private returned: Cached[] = []

  constructor(queue: MessageQueue) {
    this.queue = queue
    this.key = queueKey(queue)
  }

  /** Adds what was pulled; what is cached already stays as it is. */
  put(messages: readonly Message[]): void {
    for (const message of messages) {
      const offset = message.queueOffset
      const entry: Cached = { message, startedMs: 0, done: false }
      if (offset > this.maxOffset) this.entries.push(entry)
      else if (!this.insert(entry)) continue
      this.lastOffset = offset
      this.count++
      this.bytes += message.body.length
    }
  }

  /** Hands out up to `max` messages, oldest first; none when all are handed out. */
  take(max: number): Cached[] {
    if (this.stopped) return []
    const batch = this.returned.length > 0 ? this.returned.splice(0, max) : []
    while (batch.length < max && this.next < this.entries.length) batch.push(this.entries[this.next++]!)
    return batch
  }

  get waiting(): boolean {
    return !this.stopped && (this.returned.length > 0 || this.next < this.entries.length)
  }

  /** No message of it has any consequence from now on. */
  drop(): void {
    this.stopped = this.dropped = true
  }

  /** Takes messages back, to be handed out before all others. */
  giveBack(batch: readonly Cached[]): void {
    for (const entry of batch) entry.startedMs = 0
    this.returned = [...this.returned, ...batch].sort((a, b) => a.message.queueOffset - b.message.queueOffset)
  }

  /** Forgets consumed messages. Returns the offset that may be committed from now on. ProcessQueue#removeMessage */
  remove(batch: readonly Cached[]): number {
    for (const entry of batch) {
      if (entry.done) continue
      entry.done = true
      this.count--
      this.bytes -= entry.message.body.length
    }
    while (this.head < this.next && this.entries[this.head]!.done) this.head++
    if (this.head === this.entries.length) {
      this.entries = []
      this.head = this.next = 0
    } else if (this.head >= COMPACT_FROM && this.head * 2 >= this.entries.length) {
      this.entries.splice(0, this.head)
      this.next -= this.head
      this.head = 0
    }
    return this.commitOffset
  }

  /** The first offset that is not consumed; -1 when nothing was ever cached. */
  get commitOffset(): number {
    const first = this.entries[this.head]
    if (first !== undefined) return first.message.queueOffset
    return this.lastOffset < 0 ? -1 : this.lastOffset + 1
  }

  /** Of what is cached; -1 when nothing is. */
  get minOffset(): number {
    return this.entries[this.head]?.message.queueOffset ?? -1
  }

  get maxOffset(): number {
    return this.entries[this.entries.length - 1]?.message.queueOffset ?? -1
  }

  /** How far the newest cached message lies ahead of the oldest. */
  get span(): number {
    return this.maxOffset - this.minOffset
  }

  /** Up to `max` of the oldest messages whose listener was called before `beforeMs` and has not ended. */
  expired(beforeMs: number, max: number): Cached[] {
    const late: Cached[] = []
    for (let i = this.head; i < this.next && late.length < max; i++) {
      const entry = this.entries[i]!
      if (!entry.done && entry.startedMs > 0 && entry.startedMs < beforeMs) late.push(entry)
    }
    return late
  }

  /** Drops everything; what was handed out is forgotten. */
  clear(): void {
    for (const entry of this.entries) entry.done = true
    this.entries = []
    this.returned = []
    this.head = this.next = this.count = this.bytes = 0
    this.lastOffset = -1
  }

  /** Puts an entry in front of the last one, where a broker went back to earlier offsets; false when it is there. */
  private insert(entry: Cached): boolean {
    const offset = entry.message.queueOffset
    let at = this.entries.length
    while (at > this.head && this.entries[at - 1]!.message.queueOffset > offset) at--
    if (at > this.head && this.entries[at - 1]!.message.queueOffset === offset) return false
    this.entries.splice(at, 0, entry)
    if (at < this.next) {
      this.next++
      this.returned.push(entry)
    }
    return true
  }
}
