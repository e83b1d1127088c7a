/** The time, and timers: given by the caller so that tests can turn it. */
export interface Clock {
  /** ms since 1970. */
  now(): number
  /** Calls once after `ms`; returns what cancels it. Does not keep the process alive, unless somebody waits for it. */
  after(ms: number, run: () => void, isAwaited?: boolean): () => void
}

export const realClock: Clock = {
  now: Date.now,
  after(ms, run, isAwaited = false) {
    const timer = setTimeout(run, ms)
    if (!isAwaited) timer.unref()
    return () => clearTimeout(timer)
  }
}
