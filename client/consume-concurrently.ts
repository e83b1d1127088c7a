import { ConsumeService, type ConsumeServiceOptions, type Outcome } from './consume-service.ts'
import type { Message } from './message.ts'
import { type Cached, type ProcessQueue, RETURNING } from './process-queue.ts'

/** A message that cannot be sent back is consumed again after so long. ConsumeMessageConcurrentlyService#submitConsumeRequestLater */
const CONSUME_AGAIN_MS = 5000
/** Of messages whose listener runs too long: 30 s. cleanExpiredMsg */
const EXPIRED_DELAY_LEVEL = 3
const EXPIRED_AT_ONCE = 16

/** What consuming leads to; the consumer does it. */
export interface ConsumeHost {
  readonly broadcasting: boolean
  /** Messages are consumed, or sent back: they are forgotten and the group's offset follows. */
  consumed(cache: ProcessQueue, batch: readonly Cached[]): void
  /** Lets the broker deliver a message again later; resolves to whether it took it. */
  sendBack(message: Message, delayLevel: number): Promise<boolean>
  /** For statistics. */
  onConsumed(cache: ProcessQueue, ok: number, failed: number, tookMs: number): void
}

/** Many messages of a queue at once; what fails goes back to the broker. ConsumeMessageConcurrentlyService */
export class ConcurrentConsumption extends ConsumeService {
  private readonly host: ConsumeHost
  private readonly timeoutMs: number
  private readonly returning = new Set<Promise<void>>()

  constructor(options: Omit<ConsumeServiceOptions, 'exclusive'>, host: ConsumeHost, timeoutMs: number) {
    super({ ...options, exclusive: false })
    this.host = host
    this.timeoutMs = timeoutMs
  }

  protected settle(cache: ProcessQueue, batch: readonly Cached[], { result, context, tookMs }: Outcome): void {
    if (tookMs > this.timeoutMs)
      this.options.log.warn({ queue: cache.queue, tookMs }, 'a listener took longer than the consume timeout')
    const okCount = result === 'success' ? Math.min(Math.max(context.ackIndex, -1) + 1, batch.length) : 0
    this.host.onConsumed(cache, okCount, batch.length - okCount, tookMs)
    if (okCount > 0) this.host.consumed(cache, okCount === batch.length ? batch : batch.slice(0, okCount))
    for (let i = okCount; i < batch.length; i++) this.fail(cache, batch[i]!, context.delayLevel)
  }

  /** Sends back what has been with the listener for longer than the timeout. ProcessQueue#cleanExpiredMsg */
  expire(cache: ProcessQueue): void {
    for (const entry of cache.expired(Date.now() - this.timeoutMs, EXPIRED_AT_ONCE)) {
      const { messageId } = entry.message
      this.options.log.warn({ queue: cache.queue, messageId }, 'a message was sent back: its listener takes too long')
      this.fail(cache, entry, EXPIRED_DELAY_LEVEL)
    }
  }

  /** Resolves when every failed message has been sent back, or could not be. */
  async returned(): Promise<void> {
    await Promise.all(this.returning)
  }

  private fail(cache: ProcessQueue, entry: Cached, delayLevel: number): void {
    // One that was sent back already because its listener took too long.
    if (entry.done || entry.startedMs === RETURNING) return
    entry.startedMs = RETURNING
    if (this.host.broadcasting) {
      const { messageId } = entry.message
      this.options.log.warn({ queue: cache.queue, messageId }, 'a broadcast message failed; it does not come again')
      this.host.consumed(cache, [entry])
      return
    }
    const returning = this.host.sendBack(entry.message, delayLevel).then(taken => {
      this.returning.delete(returning)
      if (cache.dropped) return
      if (taken) this.host.consumed(cache, [entry])
      else setTimeout(() => this.consumeAgain(cache, entry), CONSUME_AGAIN_MS).unref()
    })
    this.returning.add(returning)
  }

  private consumeAgain(cache: ProcessQueue, entry: Cached): void {
    if (cache.dropped || entry.done) return
    entry.message.reconsumeTimes++
    cache.giveBack([entry])
    this.submit(cache)
  }
}
