import { styleText } from 'node:util'

/** Colours where a person looks, none in files and pipes. */
export function styled(stream: NodeJS.WriteStream, style: Parameters<typeof styleText>[0], text: string): string {
  return text !== '' && stream.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text
}

const grouped = new Intl.NumberFormat('en-US')
export const count = (number: number): string => grouped.format(Math.round(number))

/** `0.25 ms`, `12.3 ms`, `1.50 s`. */
export function duration(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`
}

export interface Progress {
  update(done: number): void
  stop(): void
}

/** Drawing a bar for every message would cost more than sending it. */
const REDRAW_MS = 50
const NO_PROGRESS: Progress = { update: () => {}, stop: () => {} }

/** A bar on the standard error while a person looks. */
export async function progress(label: string, total: number): Promise<Progress> {
  if (!process.stderr.isTTY) return NO_PROGRESS
  const { SingleBar } = await import('cli-progress')
  const bar = new SingleBar({
    format: `${label} {bar} {percentage} % | {value}/{total} | {rate}/s`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true
  })
  const begin = performance.now()
  let drawn = begin
  bar.start(total, 0, { rate: 0 })
  return {
    update: done => {
      const now = performance.now()
      if (done < total && now - drawn < REDRAW_MS) return
      drawn = now
      bar.update(done, { rate: count((done / (now - begin)) * 1000) })
    },
    stop: () => bar.stop()
  }
}

/** Ends a command because of how it was called; the exit code is 2. */
export class CommandError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 2) {
    super(message)
    this.exitCode = exitCode
  }
}

/** A whole number in a range, for commander. Throws CommandError. */
export function wholeNumber(name: string, min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= min && number <= max) return number
    const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`
    throw new CommandError(`${name} is "${text}"; it is a whole number ${range}`)
  }
}

/** Calls once when the command is to end: on Ctrl+C and SIGTERM. Another signal ends it at once. */
export function onStop(stop: () => void): void {
  let asked = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (asked) process.exit(1)
      asked = true
      stop()
    })
}

/** Whether bytes are UTF-8. */
export const isText = (body: Buffer): boolean => Buffer.from(body.toString(), 'utf8').equals(body)

const MAX_SHOWN_BYTES = 48

/** A text as it is; what is no text as its length and its first bytes. */
export function bodyText(body: Buffer): string {
  if (isText(body)) return body.toString()
  const more = body.length > MAX_SHOWN_BYTES ? '…' : ''
  return `(${body.length} bytes) ${body.subarray(0, MAX_SHOWN_BYTES).toString('hex')}${more}`
}
