import type { ConsumeHost } from './consume-concurrently.ts'
import { ConsumeService, type ConsumeServiceOptions, type Outcome } from './consume-service.ts'
import type { Cached, ProcessQueue } from './process-queue.ts'

const MIN_SUSPEND_MS = 10
const MAX_SUSPEND_MS = 30_000

/** One batch of a queue at a time, in order; what fails stays first in its queue. ConsumeMessageOrderlyService */
export class OrderedConsumption extends ConsumeService {
  private readonly host: ConsumeHost
  private readonly maxReconsumeTimes: number
  /** Queues that rest after a failure. */
  private readonly resting = new Set<ProcessQueue>()

  constructor(options: Omit<ConsumeServiceOptions, 'exclusive'>, host: ConsumeHost, maxReconsumeTimes: number) {
    super({ ...options, exclusive: true })
    this.host = host
    this.maxReconsumeTimes = maxReconsumeTimes
  }

  protected override mayConsume(cache: ProcessQueue): boolean {
    return !this.resting.has(cache) && cache.lockedUntilMs > Date.now()
  }

  protected settle(cache: ProcessQueue, batch: readonly Cached[], { result, context, tookMs }: Outcome): void {
    const ok = result === 'success'
    this.host.onConsumed(cache, ok ? batch.length : 0, ok ? 0 : batch.length, tookMs)
    if (ok) {
      this.host.consumed(cache, batch)
      return
    }
    this.resting.add(cache)
    void this.fail(cache, batch, Math.min(Math.max(context.suspendMs, MIN_SUSPEND_MS), MAX_SUSPEND_MS))
  }

  /** A message that failed too often becomes a dead letter; others are tried again. checkReconsumeTimes */
  private async fail(cache: ProcessQueue, batch: readonly Cached[], suspendMs: number): Promise<void> {
    const again: Cached[] = []
    for (const entry of batch) {
      const { message } = entry
      if (message.reconsumeTimes >= this.maxReconsumeTimes && (await this.host.sendBack(message, 0))) {
        if (!cache.dropped) this.host.consumed(cache, [entry])
        continue
      }
      message.reconsumeTimes++
      again.push(entry)
    }
    if (again.length === 0) {
      this.wake(cache)
      return
    }
    cache.giveBack(again)
    setTimeout(() => this.wake(cache), suspendMs)
  }

  private wake(cache: ProcessQueue): void {
    this.resting.delete(cache)
    if (cache.waiting) this.submit(cache)
  }
}
