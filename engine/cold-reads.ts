import type { Clock } from './clock.ts'
import { EngineError } from './errors.ts'

/** For so long after the log has grown, somebody writes it, ms. */
const WRITTEN_MS = 100
/** So often it is looked whether the readers come nearer to the log's end, ms. */
const LOOK_MS = 300_000
/** Rests are gathered up to what a timer can tell apart, ms. */
const MIN_REST_MS = 1
/** No rest is longer, however slow the disk was or the clock leapt, ms. */
const MAX_REST_MS = 50

interface Turn {
  begin(): void
  fail(error: Error): void
}

/**
 * Reads of old data, one after the other: more at once read no faster, as the system reads ahead, but threads of the pool
 * that copy at once take the processor from the event loop. While the log grows there are rests between them, so that
 * those who write it do not notice; but readers that got less than was written for five minutes get the next five without.
 * RocketMQ: ColdDataCgCtrService, which limits bytes a second
 */
export class ColdReads {
  private readonly clock: Clock
  /** The log's end. */
  private readonly logEnd: () => number
  private readonly restRatio: () => number
  private readonly waiting: Turn[] = []
  private isBusy = false
  private restMs = 0
  private seenEnd: number
  private writtenUntilMs = 0
  private lookAtMs = 0
  /** The log's end when it was looked last, and what was read since. */
  private lookedEnd = 0
  private readBytes = 0
  private fallsBehind = false

  /** A rest is `restRatio` times as long as the read before it. */
  constructor(clock: Clock, logEnd: () => number, restRatio: () => number) {
    this.clock = clock
    this.logEnd = logEnd
    this.restRatio = restRatio
    this.seenEnd = logEnd()
  }

  /** Reads `sizeBytes` when it is its turn. Throws EngineError STORE_CLOSED, and what `read` throws. */
  async run<T>(sizeBytes: number, read: () => Promise<T>): Promise<T> {
    if (this.isBusy) await new Promise<void>((begin, fail) => this.waiting.push({ begin, fail }))
    this.isBusy = true
    const beganMs = this.clock.now()
    try {
      return await read()
    } finally {
      this.ended(beganMs, sizeBytes)
    }
  }

  /** What waits for its turn fails. */
  close(): void {
    for (const { fail } of this.waiting.splice(0)) fail(new EngineError('STORE_CLOSED'))
  }

  private ended(beganMs: number, sizeBytes: number): void {
    const now = this.clock.now()
    const end = this.logEnd()
    if (end !== this.seenEnd) this.writtenUntilMs = now + WRITTEN_MS
    this.seenEnd = end
    this.readBytes += sizeBytes
    if (now >= this.lookAtMs) this.look(now, end)
    const rests = now < this.writtenUntilMs && !this.fallsBehind
    const tookMs = Math.max(0, now - beganMs)
    this.restMs = rests ? Math.min(this.restMs + tookMs * this.restRatio(), MAX_REST_MS) : 0
    if (this.restMs < MIN_REST_MS) {
      this.next()
      return
    }
    this.clock.after(this.restMs, () => this.next(), true)
    this.restMs = 0
  }

  private look(now: number, end: number): void {
    // After a time without reads there is nothing to compare.
    const isRecent = now < this.lookAtMs + LOOK_MS
    this.fallsBehind = isRecent && this.readBytes < end - this.lookedEnd
    this.lookAtMs = now + LOOK_MS
    this.lookedEnd = end
    this.readBytes = 0
  }

  private next(): void {
    const turn = this.waiting.shift()
    if (turn === undefined) this.isBusy = false
    else turn.begin()
  }
}
