import { styleText } from 'node:util'
import pino from 'pino'
import type { Log } from '../net/index.ts'

/** How much is told. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

const COLORS = { 20: 'gray', 30: 'green', 40: 'yellow', 50: 'red' } as const
const NAMES: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' }

/** One event as a line for people: `20:31:07 warn the VIP port is not served  reason="another process listens"`. */
export function readableLine(json: string): string {
  const { level, time, msg, err, ...details } = JSON.parse(json)
  const clock = new Date(time).toTimeString().slice(0, 8)
  const name = (NAMES[level] ?? String(level)).padEnd(5)
  const more = Object.entries(details).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  const stack = err === undefined ? '' : `\n${err.stack ?? err.message}`
  const colored = styleText(COLORS[level as keyof typeof COLORS] ?? 'white', name)
  return `${clock} ${colored} ${msg}  ${styleText('gray', more.join(' '))}${stack}\n`
}

/** Writes to the standard error: for people when it is a terminal, else a JSON object a line. */
export function createLog(level: LogLevel = 'info'): Log {
  const { stderr } = process
  // Synchronous: what is said last must not be lost when the process ends.
  const plain = pino.destination({ fd: stderr.fd, sync: true })
  const destination = stderr.isTTY ? { write: (json: string) => plain.write(readableLine(json)) } : plain
  return pino({ level, base: null, serializers: pino.stdSerializers }, destination)
}
