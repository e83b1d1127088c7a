import type { Clock } from '../../engine/index.ts'

interface Timer {
  atMs: number
  readonly run: () => void
}

/** A clock that stands still until a test turns it. */
export class ManualClock implements Clock {
  private nowMs: number
  private readonly timers = new Set<Timer>()

  constructor(nowMs = Date.UTC(2026, 0, 15, 12)) {
    this.nowMs = nowMs
  }

  readonly now = (): number => this.nowMs

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + ms, run }
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }

  /** How many timers wait. */
  get waiting(): number {
    return this.timers.size
  }

  /** Forgets all timers, as the end of a process does. */
  clear(): void {
    this.timers.clear()
  }

  /** Turns the clock forward; timers that are due run in their order, each at its own time. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms
    while (this.runNext(endMs)) {}
    this.nowMs = endMs
  }

  /** Turns the clock to the next timer that is due by `endMs`, and runs it; false when there is none. */
  runNext(endMs: number): boolean {
    let next: Timer | undefined
    for (const timer of this.timers)
      if (timer.atMs <= endMs && (next === undefined || timer.atMs < next.atMs)) next = timer
    if (next === undefined) return false
    this.timers.delete(next)
    this.nowMs = Math.max(this.nowMs, next.atMs)
    next.run()
    return true
  }

  /** Lets time pass in the middle of an event: timers that are due wait for the next `advance`. */
  pass(ms: number): void {
    this.nowMs += ms
  }

  /** Sets the clock back, as a person or a time server does; how long timers wait stays as it is. */
  setBack(ms: number): void {
    this.nowMs -= ms
    for (const timer of this.timers) timer.atMs -= ms
  }
}
