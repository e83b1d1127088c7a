import type { Log } from '../net/index.ts'

interface Job {
  readonly name: string
  readonly intervalMs: number
  readonly run: () => void | Promise<void>
  timer: NodeJS.Timeout | null
  running: Promise<void> | null
  runs: number
}

/** All periodic work of a broker: each job is named, never overlaps itself, and ends with the broker. */
export class Scheduler {
  private readonly jobs: Job[] = []
  private readonly log: Log
  private stopped = false

  constructor(log: Log) {
    this.log = log
  }

  /** Runs `run` every `intervalMs`, first after that time; what it throws is logged. */
  every(name: string, intervalMs: number, run: () => void | Promise<void>): void {
    const job: Job = { name, intervalMs, run, timer: null, running: null, runs: 0 }
    this.jobs.push(job)
    this.arm(job)
  }

  private arm(job: Job): void {
    if (this.stopped) return
    job.timer = setTimeout(() => {
      job.timer = null
      job.running = this.execute(job).finally(() => {
        job.running = null
        this.arm(job)
      })
    }, job.intervalMs)
    job.timer.unref()
  }

  private async execute(job: Job): Promise<void> {
    job.runs++
    try {
      await job.run()
    } catch (error) {
      this.log.error({ err: error, job: job.name }, 'a periodic job failed')
    }
  }

  /** What runs how often, for whoever watches the broker. */
  list(): { name: string; intervalMs: number; runs: number }[] {
    return this.jobs.map(({ name, intervalMs, runs }) => ({ name, intervalMs, runs }))
  }

  /** Ends all jobs; those that run now are waited for. */
  async stop(): Promise<void> {
    this.stopped = true
    for (const job of this.jobs) if (job.timer !== null) clearTimeout(job.timer)
    await Promise.all(this.jobs.map(job => job.running))
  }
}
