import type { Log } from '../net/index.ts'
import { formatHelp, type GivenOptions, type Option, parseOptions, UsageError } from './options.ts'

/** What a process runs until it is told to stop. */
export interface Server {
  start(): Promise<void>
  close(): Promise<void>
}

export const CLOSE_TIMEOUT_MS = 30_000
/** One class of errors per folder. */
const OWN_ERRORS = /^(Net|Message|Engine|Client|Broker|Namesrv)Error$/
const SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP']

/**
 * Starts servers one after the other, and stops them in the opposite order on SIGTERM, SIGINT or SIGHUP; a second signal
 * ends the process at once, and so does a stop that takes longer than `closeTimeoutMs`. Throws what a start throws, after stopping those that had started.
 */
export async function serve(servers: readonly Server[], log: Log, closeTimeoutMs = CLOSE_TIMEOUT_MS): Promise<void> {
  const started: Server[] = []
  let starting = true
  let stopping = false

  const stop = async () => {
    for (const server of started.reverse()) await server.close()
  }
  const end = async () => {
    setTimeout(() => {
      log.error({ timeoutMs: closeTimeoutMs }, 'the stop took too long')
      process.exit(1)
    }, closeTimeoutMs).unref()
    try {
      await stop()
      process.exit(0)
    } catch (error) {
      log.error({ err: error }, 'the stop failed')
      process.exit(1)
    }
  }
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1)
    stopping = true
    log.info({ signal }, 'stopping')
    // What is starting finishes first: a store that is being recovered is not left half open.
    if (!starting) void end()
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  // Whoever supervises this process is gone.
  process.once('disconnect', () => onSignal('SIGTERM'))
  process.channel?.unref()

  for (const server of servers) {
    try {
      await server.start()
      started.push(server)
    } catch (error) {
      await stop()
      throw error
    }
    if (stopping) break
  }
  starting = false
  if (stopping) await end()
}

/** Runs a program's main; what it throws is told in one sentence, and the exit code is 1. */
export async function run(main: () => Promise<void>): Promise<void> {
  // A reader that has seen enough, as `| head` does, is no failure, and no reason for a server to end.
  process.stdout.on('error', () => {})
  try {
    await main()
  } catch (error) {
    process.stderr.write(`${sentence(error)}\n`)
    process.exitCode = 1
  }
}

/** An error for people: one of ours, or of the system, says what is wrong; any other is a mistake, and its stack helps. */
export function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const known = OWN_ERRORS.test(error.name) || 'syscall' in error || error instanceof UsageError
  return known ? error.message : (error.stack ?? error.message)
}

/** Reads the command line of a server as Java's start-up does; null when the answer was a help page or a complaint. */
export function readCommandLine(
  name: string,
  options: readonly Option[],
  args: readonly string[]
): GivenOptions | null {
  try {
    const given = parseOptions(options, args)
    if (!given.has('h')) return given
    process.stdout.write(`${formatHelp(name, options)}\n`)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.stdout.write(`${formatHelp(name, options)}\n`)
    process.exitCode = 1
  }
  return null
}

/** Says so when a server listens where other machines reach it. */
export function warnIfOpen(log: Log, host: string): void {
  if (!/^(127\.|::1$|localhost$)/.test(host))
    log.warn({ host }, 'listening for other machines without access control: whoever reaches this port may do anything')
}
