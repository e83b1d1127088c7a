import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stringify } from 'dot-properties'
import { readableLine } from '../log.ts'
import { CommandError, styled } from './terminal.ts'

/** A server that runs as a process of its own. */
export interface ProcessSpec {
  /** What stands in front of its lines. */
  readonly name: string
  readonly program: 'mqbroker' | 'mqnamesrv'
  /** Its file of settings, which is written from these when the supervisor starts. */
  readonly configFile: string
  readonly settings: Record<string, string>
}

/** A process, as it stands. */
export interface ProcessState {
  readonly spec: ProcessSpec
  status: 'starting' | 'serves' | 'stopping' | 'ended' | 'starts again'
  pid: number | null
  /** `host:port`; empty before it serves for the first time. */
  address: string
  restarts: number
}

interface Supervised extends ProcessState {
  child: ChildProcess | null
  /** Resolves when the child of now is gone. */
  gone: Promise<void>
  backOffMs: number
  startedMs: number
  timer: NodeJS.Timeout | null
}

const FIRST_BACK_OFF_MS = 500
const LAST_BACK_OFF_MS = 30_000
/** Who served for so long starts again without delay. */
const STABLE_MS = 60_000
/** What both programs print when they serve. */
const SERVES = /boot success\..*?$/
const ADDRESS = /(?:\[[^,\]]+, |address )((?:\[[^\]]+\]|[^\s:]+):\d+)/

/**
 * Runs servers as processes, stage after stage, starts again what dies, and ends them in the opposite order. Each child
 * leads a process group of its own, so that a Ctrl+C reaches it only through here, and ends when this process is gone.
 */
export class Supervisor {
  readonly processes: ProcessState[] = []
  /** Called when a state changes. */
  onChange: (state: ProcessState, reason: string) => void = () => {}
  /** Called with each line that a process prints, but for the one that says that it serves. Default: it is printed behind the name. */
  onLine: (spec: ProcessSpec, stream: NodeJS.WriteStream, line: string) => void = printLine
  private readonly stages: Supervised[][] = []
  /** Whether it was told to end all. */
  stopped = false

  /** Starts processes together and resolves when all serve. Throws when one ends before; the caller then stops the others. */
  async start(specs: readonly ProcessSpec[]): Promise<ProcessState[]> {
    const stage = specs.map(
      (spec): Supervised => ({
        spec,
        status: 'starting',
        pid: null,
        address: '',
        restarts: 0,
        child: null,
        gone: Promise.resolve(),
        backOffMs: FIRST_BACK_OFF_MS,
        startedMs: 0,
        timer: null
      })
    )
    this.stages.push(stage)
    this.processes.push(...stage)
    for (const { spec } of stage) {
      mkdirSync(dirname(spec.configFile), { recursive: true })
      writeSettings(spec)
    }
    const outcomes = await Promise.allSettled(stage.map(one => this.launch(one)))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    return stage
  }

  /** Resolves when the process serves; rejects when it ends before that. */
  private launch(one: Supervised): Promise<void> {
    const { spec } = one
    const script = fileURLToPath(new URL(`../${spec.program}.js`, import.meta.url))
    const child = fork(script, ['-c', spec.configFile], { detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    one.child = child
    one.pid = child.pid ?? null
    one.status = 'starting'
    one.startedMs = Date.now()
    let served = false
    let last = ''
    return new Promise((resolve, reject) => {
      createInterface({ input: child.stdout! }).on('line', line => {
        if (served || !SERVES.test(line)) {
          this.onLine(spec, process.stdout, line)
          return
        }
        served = true
        this.serves(one, ADDRESS.exec(line)?.[1] ?? '')
        resolve()
      })
      createInterface({ input: child.stderr! }).on('line', line => {
        last = line
        this.onLine(spec, process.stderr, line)
      })
      // `close` comes after the last line.
      one.gone = new Promise(gone => {
        const ended = (how: string) => {
          one.child = null
          one.pid = null
          gone()
          if (!served) reject(new StartError(`${spec.name} did not start: ${last || how}`))
          this.ended(one, how, served)
        }
        child.once('error', error => ended(error.message))
        child.once('close', (code, signal) => ended(signal === null ? `exit code ${code}` : signal))
      })
    })
  }

  private serves(one: Supervised, address: string): void {
    const { spec } = one
    one.status = 'serves'
    // A port that was free is kept: clients know it now.
    const [, port] = /:(\d+)$/.exec(address) ?? []
    if (one.address === '' && spec.settings.listenPort === '0' && port !== undefined) {
      spec.settings.listenPort = port
      writeSettings(spec)
    }
    one.address = address
    this.onChange(one, '')
  }

  private ended(one: Supervised, how: string, served: boolean): void {
    if (this.stopped || (!served && one.restarts === 0 && one.address === '')) {
      one.status = 'ended'
      this.onChange(one, how)
      return
    }
    if (Date.now() - one.startedMs > STABLE_MS) one.backOffMs = FIRST_BACK_OFF_MS
    const waitMs = one.backOffMs
    one.backOffMs = Math.min(LAST_BACK_OFF_MS, one.backOffMs * 2)
    one.status = 'starts again'
    this.onChange(one, `${how}; next start in ${waitMs / 1000} s`)
    one.timer = setTimeout(() => {
      one.restarts++
      // Its end is told by `ended`, whenever it comes.
      this.launch(one).catch(() => {})
    }, waitMs)
  }

  /** Ends all, stage by stage from the last one on; resolves when all are gone. */
  async stop(): Promise<void> {
    this.stopped = true
    for (const one of this.stages.flat()) if (one.timer !== null) clearTimeout(one.timer)
    for (const stage of this.stages.toReversed()) await Promise.all(stage.map(one => this.end(one)))
  }

  /** Ends all at once, without order. */
  kill(): void {
    this.stopped = true
    for (const { child } of this.stages.flat()) child?.kill('SIGKILL')
  }

  private async end(one: Supervised): Promise<void> {
    if (one.child === null) {
      one.status = 'ended'
      return
    }
    one.status = 'stopping'
    one.child.kill('SIGTERM')
    await one.gone
  }
}

/**
 * Ends a supervisor's processes in order on SIGTERM, SIGINT or SIGHUP, then this one; a second signal kills all at once.
 * What is starting then is ended too.
 */
function stopOnSignal(supervisor: Supervisor): void {
  let asked = false
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (asked) {
        supervisor.kill()
        process.exit(1)
      }
      asked = true
      void supervisor.stop().then(() => process.exit(0))
    })
}

/** Starts what `start` says under a supervisor; when that fails, all that runs is ended in order first. */
export async function supervise(supervisor: Supervisor, start: () => Promise<void>): Promise<void> {
  stopOnSignal(supervisor)
  try {
    await start()
  } catch (error) {
    // After a signal the failure is only that what was starting has been stopped.
    if (supervisor.stopped) return
    await supervisor.stop()
    throw error instanceof StartError ? new CommandError(error.message, 1) : error
  }
}

/** A process that ended before it served. */
class StartError extends Error {}

/** A child's line behind its name. */
export function printLine({ name }: ProcessSpec, stream: NodeJS.WriteStream, line: string): void {
  const text = stream.isTTY && line.startsWith('{') ? readableLine(line) : line
  stream.write(`${styled(stream, 'cyan', `[${name}]`)} ${text}\n`)
}

function writeSettings({ configFile, settings }: ProcessSpec): void {
  writeFileSync(configFile, `${stringify(settings, { latin1: false, lineWidth: null })}\n`)
}
