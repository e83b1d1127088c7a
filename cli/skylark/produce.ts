import { createInterface } from 'node:readline'
import { Producer, type SendResult } from '../../client/index.ts'
import { count, duration, onStop, progress, styled } from './terminal.ts'

export interface ProduceOptions {
  namesrv: string
  group: string
  count?: number
  size?: number
  key?: string
  tag?: string
  rate?: number
}

const MAX_IN_FLIGHT = 256
/** So many messages are listed one by one; of more there is a bar and a sum. */
const MAX_LISTED = 20

/** Sends texts, generated bodies, or the lines of the standard input. */
export async function produce(topic: string, texts: readonly string[], options: ProduceOptions): Promise<void> {
  const producer = new Producer({ group: options.group, namesrvAddr: options.namesrv })
  await producer.start()
  const ending = new AbortController()
  onStop(() => ending.abort())
  try {
    const total = totalOf(texts, options)
    const listed = total === null || total <= MAX_LISTED
    const bar = total === null || listed ? null : await progress('sending', total)
    const begin = performance.now()
    let begun = 0
    let sent = 0
    let failure: unknown = null
    let inFlight = 0
    let wake = () => {}
    /** Waits until at most so many sends are under way. */
    const atMost = async (limit: number) => {
      while (inFlight > limit)
        await new Promise<void>(resolve => {
          wake = resolve
        })
    }
    const sendOne = async (body: string | Buffer) => {
      inFlight++
      try {
        const result = await producer.send({ topic, body, keys: options.key, tags: options.tag })
        sent++
        if (listed) process.stdout.write(`${resultLine(result)}\n`)
        else bar?.update(sent)
      } catch (error) {
        failure ??= error
        ending.abort()
      }
      inFlight--
      wake()
    }
    for await (const body of bodiesOf(texts, options, ending.signal)) {
      if (ending.signal.aborted) break
      if (options.rate !== undefined) await pause(begin + (begun / options.rate) * 1000)
      begun++
      void sendOne(body)
      await atMost(MAX_IN_FLIGHT - 1)
    }
    await atMost(0)
    bar?.stop()
    if (failure !== null) {
      if (sent > 0) process.stderr.write(`${messages(sent)} sent before that:\n`)
      throw failure
    }
    const ms = performance.now() - begin
    if (!listed || total === null) {
      const rate = count((sent / ms) * 1000)
      process.stderr.write(`sent ${messages(sent)} to ${topic} in ${duration(ms)} (${rate}/s)\n`)
    }
  } finally {
    await producer.close()
  }
}

const messages = (number: number): string => `${count(number)} ${number === 1 ? 'message' : 'messages'}`

/** How many there will be; null when the standard input decides. */
function totalOf(texts: readonly string[], { count: times = 1, size }: ProduceOptions): number | null {
  if (texts.length > 0) return texts.length * times
  return size === undefined ? null : times
}

async function* bodiesOf(
  texts: readonly string[],
  { count: times = 1, size }: ProduceOptions,
  signal: AbortSignal
): AsyncGenerator<string | Buffer> {
  if (texts.length > 0 || size !== undefined) {
    const bodies = texts.length > 0 ? texts : [Buffer.alloc(size!, 'skylark ')]
    for (let i = 0; i < times; i++) yield* bodies
    return
  }
  if (process.stdin.isTTY) process.stderr.write('One message a line; Ctrl+D ends.\n')
  for await (const line of createInterface({ input: process.stdin, signal })) if (line !== '') yield line
  // An input that stays open would keep the process.
  process.stdin.destroy()
}

function resultLine({ messageId, queue, queueOffset, status }: SendResult): string {
  const { stdout } = process
  const place = `${queue.brokerName} queue ${queue.queueId} offset ${queueOffset}`
  const note = status === 'SEND_OK' ? '' : `  ${styled(stdout, 'yellow', status)}`
  return `${styled(stdout, 'green', 'sent')}  ${messageId}  ${styled(stdout, 'gray', place)}${note}`
}

async function pause(until: number): Promise<void> {
  const ms = until - performance.now()
  if (ms > 1) await new Promise(resolve => setTimeout(resolve, ms))
}
