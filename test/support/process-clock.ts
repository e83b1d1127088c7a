import type { Clock } from '../../engine/index.ts'
import type { ManualClock } from './manual-clock.ts'

/** The time as a simulated process sees it: a little too fast or too slow, still while it is paused, and gone with it. */
export class ProcessClock implements Clock {
  paused = false
  /** Grows with each process that used this clock. */
  generation = 0
  private readonly base: ManualClock
  private readonly rate: number
  private readonly late: (() => void)[] = []

  constructor(base: ManualClock, rate: number) {
    this.base = base
    this.rate = rate
  }

  readonly now = () => Math.floor(this.base.now() * this.rate)

  after(ms: number, run: () => void): () => void {
    return this.base.after(ms / this.rate, this.inThisLife(run))
  }

  /** Runs when the process is not paused, and only if it is still the same one. */
  inThisLife(run: () => void): () => void {
    const { generation } = this
    return () => {
      if (generation === this.generation) this.deliver(run)
    }
  }

  /** What reaches a paused process waits for it. */
  deliver(run: () => void): void {
    if (this.paused) this.late.push(run)
    else run()
  }

  resume(): void {
    this.paused = false
    // One after the other, as from an event loop.
    for (const run of this.late.splice(0)) this.base.after(0, this.inThisLife(run))
  }

  /** The process is killed: nothing that it waits for happens any more. */
  kill(): void {
    this.generation++
    this.late.length = 0
    this.paused = false
  }
}
