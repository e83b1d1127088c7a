import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** What a process has used. */
export interface Usage {
  /** Of all its threads, since it began. */
  cpuMs: number
  residentBytes: number
  /** How late its event loop was since `watchLoop`; null where nobody looks. */
  loopDelayMs: { p999: number; max: number } | null
}

interface Started {
  address: string
}

// The child's side.

const NS_PER_MS = 1e6

/** Tells the parent that this process serves at an address, and what it has used whenever the parent asks. */
export function serveUsage(address: string): void {
  // Looking takes a timer every millisecond, which an idle process must not pay for.
  const delay = monitorEventLoopDelay({ resolution: 1 })
  let watched = false
  process.on('message', question => {
    if (question === 'watchLoop') {
      delay.enable()
      delay.reset()
      watched = true
      return
    }
    const { user, system } = process.cpuUsage()
    const usage: Usage = {
      cpuMs: (user + system) / 1000,
      residentBytes: process.memoryUsage.rss(),
      loopDelayMs: watched ? { p999: delay.percentile(99.9) / NS_PER_MS, max: delay.max / NS_PER_MS } : null
    }
    process.send?.(usage)
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.({ address } satisfies Started)
}

// The parent's side.

/** A program of ours in a process of its own, which tells what it uses. */
export class Program {
  readonly process: ChildProcess
  readonly address: string

  private constructor(child: ChildProcess, address: string) {
    this.process = child
    this.address = address
  }

  /** Starts a file of this folder; resolves when it serves. */
  static async start(file: string, args: readonly string[] = []): Promise<Program> {
    const child = fork(new URL(file, import.meta.url), args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const { address } = await new Promise<Started>((resolve, reject) => {
      child.once('message', message => resolve(message as Started))
      child.once('exit', code => reject(new Error(`${file} ended with ${code} before it served`)))
    })
    return new Program(child, address)
  }

  /** Looks from now on how late its event loop is. */
  watchLoop(): void {
    this.process.send('watchLoop')
  }

  usage(): Promise<Usage> {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error('the process that is measured has ended'))
      if (this.process.exitCode !== null) ended()
      this.process.once('exit', ended)
      this.process.once('message', usage => {
        this.process.off('exit', ended)
        resolve(usage as Usage)
      })
      this.process.send('usage')
    })
  }

  /** Ends it in order. */
  stop(): Promise<void> {
    return this.end('SIGTERM')
  }

  /** Ends it without warning. */
  kill(): Promise<void> {
    return this.end('SIGKILL')
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = once(this.process, 'exit')
    this.process.kill(signal)
    await ended
  }
}

const CLOCK_TICK_MS = 10

/** What the system says of any process. Only Linux tells. */
export function usageOf(pid: number): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  const residentKib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS,
    residentBytes: Number(residentKib ?? 0) * 1024,
    loopDelayMs: null
  }
}
