import type { Log } from './log.ts'

/** A part of the log that holds no valid record, with valid records behind it. */
export interface DamagedRange {
  from: number
  to: number
}

/** Parts of the CommitLog that were found damaged: passed over, never cut away, and told. */
export class DamageReport {
  readonly ranges: DamagedRange[] = []
  private readonly log: Log

  constructor(log: Log) {
    this.log = log
  }

  add(from: number, to: number): void {
    if (this.ranges.some(range => range.from <= from && range.to >= to)) return
    this.ranges.push({ from, to })
    this.log.error({ from, to }, 'a part of the CommitLog is damaged and is passed over; what lies behind it is served')
  }

  get sizeBytes(): number {
    return this.ranges.reduce((sum, { from, to }) => sum + to - from, 0)
  }
}
