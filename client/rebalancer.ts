import type { Log } from '../net/index.ts'

/** At least so long lies between two rounds: many members that come at once cause few rounds. */
const MIN_GAP_MS = 200
/** From a round that left something undone to the next one; each further time twice as long. */
const FIRST_RETRY_MS = 250

/**
 * Runs a consumer's rebalance rounds: now when it is told to, and from time to time in any case, since a notice can be
 * lost. Rounds never overlap. RebalanceService
 */
export class Rebalancer {
  private readonly round: () => Promise<boolean>
  private readonly intervalMs: number
  private readonly log: Log
  private timer: NodeJS.Timeout | null = null
  private running: Promise<void> | null = null
  private again = false
  private lastMs = 0
  private retryMs = FIRST_RETRY_MS
  private closed = false

  /** A round resolves to whether all was done. */
  constructor(round: () => Promise<boolean>, intervalMs: number, log: Log) {
    this.round = round
    this.intervalMs = intervalMs
    this.log = log
  }

  /** Asks for a round as soon as may be. */
  trigger(): void {
    if (this.closed) return
    if (this.running !== null) this.again = true
    else this.schedule(Math.max(0, this.lastMs + MIN_GAP_MS - Date.now()))
  }

  /** Runs a round now, behind one that runs already. Never rejects. */
  async runNow(): Promise<void> {
    while (this.running !== null) await this.running
    if (!this.closed) await this.run()
  }

  /** No more rounds; resolves when the one that runs has ended. */
  async close(): Promise<void> {
    this.closed = true
    if (this.timer !== null) clearTimeout(this.timer)
    await this.running
  }

  private schedule(delayMs: number): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.run(), delayMs)
  }

  private run(): Promise<void> {
    if (this.timer !== null) clearTimeout(this.timer)
    this.again = false
    this.lastMs = Date.now()
    this.running = this.round()
      .catch(error => {
        this.log.warn({ err: error }, 'rebalancing failed')
        return false
      })
      .then(balanced => {
        this.running = null
        if (this.closed) return
        this.schedule(this.again ? MIN_GAP_MS : balanced ? this.intervalMs : Math.min(this.retryMs, this.intervalMs))
        this.retryMs = balanced || this.again ? FIRST_RETRY_MS : Math.min(this.retryMs * 2, this.intervalMs)
      })
    return this.running
  }
}
