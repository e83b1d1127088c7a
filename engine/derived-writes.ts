import type { Clock } from './clock.ts'
import type { Log } from './log.ts'

const RETRY_AFTER_MS = 1000

/**
 * Whether ConsumeQueues and index can be written. While they cannot, as on a full disk, what is derived stays in memory,
 * nothing is put, and writing is tried again.
 */
export class DerivedWrites {
  /** Why they cannot be written now; null when all is well. */
  failure: string | null = null
  /** Writes all that waits. Throws what the disk says. */
  writeAll: () => void = () => {}
  /** Called when all could be written again. */
  onRecovered: () => void = () => {}

  private readonly clock: Clock
  private readonly log: Log
  private cancelRetry: (() => void) | null = null

  constructor(clock: Clock, log: Log) {
    this.clock = clock
    this.log = log
  }

  /** Runs a write unless it is known to fail; a failure is kept, not thrown. */
  try(write: () => void): void {
    if (this.failure !== null) return
    try {
      write()
    } catch (error) {
      this.failed(error)
    }
  }

  failed(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException
    const failure = code === 'ENOSPC' ? 'the disk is full' : `ConsumeQueue or index cannot be written: ${message}`
    if (this.failure === null) this.log.error({ err: error }, `${failure}; trying again every second`)
    this.failure = failure
    this.cancelRetry ??= this.clock.after(RETRY_AFTER_MS, () => this.retry())
  }

  private retry(): void {
    this.cancelRetry = null
    try {
      this.writeAll()
      this.failure = null
      this.onRecovered()
      if (this.failure === null) this.log.info({}, 'ConsumeQueue and index can be written again')
    } catch (error) {
      this.failed(error)
    }
  }

  close(): void {
    this.cancelRetry?.()
    this.cancelRetry = null
  }
}
