import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

/** A program of cli/ as a process of its own. */
export interface CliProcess {
  readonly child: ChildProcess
  readonly pid: number
  /** What it has printed so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves with what a pattern finds in the standard output, as soon as it is there. Rejects when the process ends before. */
  printed(pattern: RegExp): Promise<RegExpMatchArray>
  /** Resolves with the exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>
}

export interface CliOptions {
  cwd?: string
  env?: Readonly<Record<string, string>>
  /** What it reads from the standard input; null leaves that open, for `child.stdin`. Default: nothing. */
  input?: string | null
}

/** What the machine says must not decide what a test sees, and what the test runner adds would slow every start. */
const LEFT_OUT = ['NAMESRV_ADDR', 'ROCKETMQ_HOME', 'NO_COLOR', 'FORCE_COLOR', 'NODE_OPTIONS']
const plainEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !LEFT_OUT.includes(name)))

/** Starts `node dist/cli/NAME.js ARGS`; the test's end kills it at the latest. */
export function startCli(
  t: Test,
  name: string,
  args: readonly string[],
  { cwd, env, input = '' }: CliOptions = {}
): CliProcess {
  const script = fileURLToPath(new URL(`../../cli/${name}.js`, import.meta.url))
  const child = spawn(process.execPath, [script, ...args], { cwd, env: { ...plainEnvironment(), ...env } })
  t.teardown(() => child.kill('SIGKILL'))
  // A program that ends before it has read everything is judged by what it says.
  child.stdin.on('error', () => {})
  if (input !== null) child.stdin.end(input)

  const texts = { stdout: '', stderr: '' }
  let wake = () => {}
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', chunk => {
      texts[stream] += chunk
      wake()
    })
  let gone = false
  const ended = once(child, 'close').then(([code, signal]) => {
    gone = true
    wake()
    return (code ?? signal) as number | NodeJS.Signals
  })
  return {
    child,
    pid: child.pid!,
    get stdout() {
      return texts.stdout
    },
    get stderr() {
      return texts.stderr
    },
    async printed(pattern) {
      for (;;) {
        const found = texts.stdout.match(pattern)
        if (found !== null) return found
        if (gone) throw new Error(`${name} ended and never printed ${pattern}: ${texts.stdout}${texts.stderr}`)
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    },
    ended
  }
}

/** Runs a program to its end. */
export async function runCli(
  t: Test,
  name: string,
  args: readonly string[],
  options?: CliOptions
): Promise<{ exitCode: number | NodeJS.Signals; stdout: string; stderr: string }> {
  const running = startCli(t, name, args, options)
  const exitCode = await running.ended
  return { exitCode, stdout: running.stdout, stderr: running.stderr }
}
