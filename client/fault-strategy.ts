/** A latency from which a broker is avoided, and for how long; the last that applies counts. MQFaultStrategy */
const AVOIDANCE = [
  { latencyMs: 550, avoidMs: 2000 },
  { latencyMs: 1800, avoidMs: 5000 },
  { latencyMs: 3000, avoidMs: 6000 },
  { latencyMs: 5000, avoidMs: 10_000 },
  { latencyMs: 15_000, avoidMs: 30_000 }
] as const
/** What a failed send counts as. */
const FAILURE_LATENCY_MS = 10_000

/** Remembers which brokers were slow or failed, so that sends go elsewhere for a while. MQFaultStrategy */
export class FaultStrategy {
  private readonly avoidedUntil = new Map<string, number>()

  /** Notes how long a broker took to answer. */
  answered(brokerName: string, latencyMs: number, now: number): void {
    const avoidMs = AVOIDANCE.findLast(step => latencyMs >= step.latencyMs)?.avoidMs
    if (avoidMs === undefined) this.avoidedUntil.delete(brokerName)
    else this.avoidedUntil.set(brokerName, now + avoidMs)
  }

  /** Notes that a broker could not be reached. */
  failed(brokerName: string, now: number): void {
    this.answered(brokerName, FAILURE_LATENCY_MS, now)
  }

  isAvailable(brokerName: string, now: number): boolean {
    const until = this.avoidedUntil.get(brokerName)
    return until === undefined || now >= until
  }
}
