const SLOT_MS = 10_000
const MINUTE_SLOTS = 6
const HOUR_SLOTS = 360

/** Sum and count of what was added in the last minutes, without a timer: slots are cleared when they come round again. */
class Window {
  private readonly sums: Float64Array
  private readonly counts: Float64Array
  private readonly times: Float64Array

  constructor(slots: number) {
    this.sums = new Float64Array(slots)
    this.counts = new Float64Array(slots)
    this.times = new Float64Array(slots)
  }

  add(value: number, nowMs: number): void {
    const slot = Math.floor(nowMs / SLOT_MS)
    const at = slot % this.times.length
    if (this.times[at] !== slot) {
      this.times[at] = slot
      this.sums[at] = this.counts[at] = 0
    }
    this.sums[at]! += value
    this.counts[at]! += 1
  }

  total(nowMs: number): { sum: number; count: number } {
    const oldest = Math.floor(nowMs / SLOT_MS) - this.times.length
    let sum = 0
    let count = 0
    for (let i = 0; i < this.times.length; i++) {
      if (this.times[i]! <= oldest) continue
      sum += this.sums[i]!
      count += this.counts[i]!
    }
    return { sum, count }
  }
}

const MINUTE_S = (MINUTE_SLOTS * SLOT_MS) / 1000

/** What mqadmin consumerStatus shows of a consumer's work, by topic. ConsumerStatsManager */
export class ConsumeStats {
  private readonly topics = new Map<string, TopicStats>()

  pulled(topic: string, count: number, tookMs: number): void {
    const stats = this.of(topic)
    const now = Date.now()
    stats.pulled.add(count, now)
    stats.pullMs.add(tookMs, now)
  }

  consumed(topic: string, ok: number, failed: number, tookMs: number): void {
    const stats = this.of(topic)
    const now = Date.now()
    stats.consumeMs.add(tookMs, now)
    if (ok > 0) stats.ok.add(ok, now)
    if (failed === 0) return
    stats.failed.add(failed, now)
    stats.failedInHour.add(failed, now)
  }

  /** ConsumeStatus: times in ms, rates a second, of the last minute. */
  status(topic: string, nowMs = Date.now()): object {
    const { pulled, pullMs, consumeMs, ok, failed, failedInHour } = this.of(topic)
    const rate = (window: Window) => window.total(nowMs).sum / MINUTE_S
    const mean = (window: Window) => {
      const { sum, count } = window.total(nowMs)
      return count === 0 ? 0 : sum / count
    }
    return {
      consumeFailedMsgs: failedInHour.total(nowMs).sum,
      consumeFailedTPS: rate(failed),
      consumeOKTPS: rate(ok),
      consumeRT: mean(consumeMs),
      pullRT: mean(pullMs),
      pullTPS: rate(pulled)
    }
  }

  private of(topic: string): TopicStats {
    let stats = this.topics.get(topic)
    if (stats === undefined) {
      stats = new TopicStats()
      this.topics.set(topic, stats)
    }
    return stats
  }
}

class TopicStats {
  readonly pulled = new Window(MINUTE_SLOTS)
  readonly pullMs = new Window(MINUTE_SLOTS)
  readonly consumeMs = new Window(MINUTE_SLOTS)
  readonly ok = new Window(MINUTE_SLOTS)
  readonly failed = new Window(MINUTE_SLOTS)
  readonly failedInHour = new Window(HOUR_SLOTS)
}
