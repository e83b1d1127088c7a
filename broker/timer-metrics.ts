import { join } from 'node:path'
import type { Files } from '../engine/index.ts'
import type { Log } from '../net/index.ts'
import { ConfigFile } from './config-file.ts'
import { type DataVersion, dataVersionOf, newDataVersion, nextVersion } from './data-version.ts'

interface Metric {
  count: number
  /** When it changed last, ms. */
  timeStamp: number
}

const SAVE_MS = 1000

/** How many messages of each topic wait for a time, in RocketMQ's file `config/timermetrics`. TimerMetrics */
export class TimerMetrics {
  readonly version: DataVersion = newDataVersion()
  private readonly counts = new Map<string, Metric>()
  private readonly file: ConfigFile

  constructor(files: Files, storeDir: string, log: Log) {
    this.file = new ConfigFile(files, join(storeDir, 'config', 'timermetrics'), log, () => this.toBody())
  }

  load(): void {
    const saved = this.file.load()
    if (saved !== null) this.fill(saved)
  }

  private fill(body: Record<string, unknown>): void {
    Object.assign(this.version, dataVersionOf(body.dataVersion))
    this.counts.clear()
    for (const [topic, metric] of Object.entries((body.timingCount ?? {}) as Record<string, Partial<Metric>>))
      if (Number.isSafeInteger(metric?.count))
        this.counts.set(topic, { count: metric.count!, timeStamp: Number(metric.timeStamp ?? 0) })
  }

  /** Takes over what the master has counted. SlaveSynchronize#syncTimerMetrics */
  adopt(body: Record<string, unknown>): void {
    this.fill(body)
    this.file.saveWithin(SAVE_MS)
  }

  add(topic: string, change: number, nowMs: number): void {
    const metric = this.counts.get(topic) ?? { count: 0, timeStamp: 0 }
    metric.count += change
    metric.timeStamp = nowMs
    this.counts.set(topic, metric)
    nextVersion(this.version)
    this.file.saveWithin(SAVE_MS)
  }

  clear(): void {
    this.counts.clear()
  }

  /** The file, and the body of GET_TIMER_METRICS. TimerMetricsSerializeWrapper */
  toBody(): { dataVersion: DataVersion; timingCount: ReadonlyMap<string, Metric> } {
    return { dataVersion: this.version, timingCount: this.counts }
  }

  close(): Promise<void> {
    return this.file.close()
  }
}
