import { build, type Histogram } from 'hdr-histogram-js'

const LONGEST_US = 60_000_000

/** How long requests took, in µs. */
export interface Latency {
  p50: number
  p99: number
  p999: number
  max: number
}

/** What a load sees while it is measured; before and after nothing is kept. */
export class Recorder {
  messages = 0
  bytes = 0
  errors = 0
  firstError: string | null = null
  measuring = false
  private maxUs = 0
  private readonly histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LONGEST_US,
    numberOfSignificantValueDigits: 3
  })

  /** A request that took so many ms, for so many messages. */
  answered(tookMs: number, messages: number, bytes: number): void {
    if (!this.measuring) return
    this.messages += messages
    this.bytes += bytes
    const us = Math.min(LONGEST_US, Math.max(1, Math.round(tookMs * 1000)))
    if (us > this.maxUs) this.maxUs = us
    this.histogram.recordValue(us)
  }

  failed(reason: string): void {
    this.errors++
    this.firstError ??= reason
  }

  get latency(): Latency {
    const { histogram } = this
    // A bucket counts with its upper end, which may lie above all that is in it.
    const at = (percentile: number) => Math.min(this.maxUs, histogram.getValueAtPercentile(percentile))
    return { p50: at(50), p99: at(99), p999: at(99.9), max: this.maxUs }
  }
}

/** A load that runs until it is stopped. */
export interface Load {
  readonly recorder: Recorder
  stop(): Promise<void>
}
