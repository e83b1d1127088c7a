import { Admin, type ClientError, type Message, type MessageQueue, PullConsumer, queueKey } from '../../client/index.ts'
import { ResponseCode } from '../../net/index.ts'
import { bodyText, CommandError, isText, onStop, styled } from './terminal.ts'

export interface ConsumeOptions {
  namesrv: string
  group?: string
  from: string
  tag: string
  count?: number
  json: boolean
}

const HOLD_MS = 15_000
const BATCH = 32
const RETRY_MS = 1000

/** Prints messages until the count is reached or the command is ended. */
export async function consume(topic: string, options: ConsumeOptions): Promise<void> {
  const from = options.from === 'first' || options.from === 'last' ? options.from : timeOf(options.from)
  const print = printer(options)
  await (options.group === undefined
    ? readAll(topic, from, options, print)
    : readAs(options.group, topic, from, options, print))
}

type From = 'first' | 'last' | Date

function timeOf(text: string): Date {
  const time = new Date(/^\d+$/.test(text) ? Number(text) : text)
  if (Number.isNaN(time.getTime()))
    throw new CommandError(`--from is "${text}"; it is first, last, a date as 2026-11-24T20:00, or ms since 1970`)
  return time
}

/** Prints a message; returns whether more are wanted. */
type Print = (message: Message) => boolean

function printer({ count = Number.POSITIVE_INFINITY, json }: ConsumeOptions): Print {
  const line = json ? jsonLine : readableLine
  let printed = 0
  return message => {
    if (printed >= count) return false
    process.stdout.write(`${line(message)}\n`)
    return ++printed < count
  }
}

function readableLine(message: Message): string {
  const { stdout } = process
  const time = new Date(message.storeTimestamp).toTimeString().slice(0, 8)
  const place = `${message.queueId}@${message.queueOffset}`
  const tags = message.tags === undefined ? '' : `[${message.tags}] `
  const keys = message.keys === undefined ? '' : `${message.keys} `
  const head = `${time} ${place.padEnd(8)}`
  return `${styled(stdout, 'gray', head)} ${styled(stdout, 'yellow', tags)}${styled(stdout, 'cyan', keys)}${bodyText(message.body)}`
}

function jsonLine(message: Message): string {
  const { topic, brokerName, queueId, queueOffset, messageId, keys, tags, storeTimestamp, bornTimestamp } = message
  const body = isText(message.body)
    ? { body: message.body.toString() }
    : { bodyBase64: message.body.toString('base64') }
  const properties = Object.fromEntries(message.properties)
  const place = { topic, brokerName, queueId, queueOffset, messageId }
  return JSON.stringify({ ...place, keys, tags, bornTimestamp, storeTimestamp, ...body, properties })
}

/** Reads all queues side by side, leaving no trace on the broker: no group, no offsets. */
async function readAll(topic: string, from: From, options: ConsumeOptions, print: Print): Promise<void> {
  const admin = new Admin({ namesrvAddr: options.namesrv })
  let reading = true
  const stop = () => {
    reading = false
    void admin.close()
  }
  onStop(stop)
  try {
    const queues = await queuesOf(admin, topic)
    await Promise.all(
      queues.map(async queue => {
        let offset =
          from === 'first'
            ? await admin.minOffset(queue)
            : from === 'last'
              ? await admin.maxOffset(queue)
              : await admin.searchOffset(queue, from.getTime())
        while (reading) {
          try {
            const result = await admin.pull(queue, offset, BATCH, { expression: options.tag, holdMs: HOLD_MS })
            offset = result.nextOffset
            for (const message of result.messages) {
              if (!reading || print(message)) continue
              stop()
              break
            }
          } catch (error) {
            if (!reading) return
            // The broker is down, or too busy: it may come back.
            process.stderr.write(`${(error as Error).message}\n`)
            await new Promise(resolve => setTimeout(resolve, RETRY_MS))
          }
        }
      })
    )
  } finally {
    stop()
  }
}

async function queuesOf(admin: Admin, topic: string): Promise<MessageQueue[]> {
  try {
    return await admin.topicQueues(topic)
  } catch (error) {
    if ((error as ClientError).responseCode !== ResponseCode.TOPIC_NOT_EXIST) throw error
    throw new CommandError(`the topic ${topic} does not exist; its first message creates it`, 1)
  }
}

/** Reads as a member of a group, which goes on where it stopped. */
async function readAs(group: string, topic: string, from: From, options: ConsumeOptions, print: Print): Promise<void> {
  const consumer = new PullConsumer({
    group,
    namesrvAddr: options.namesrv,
    consumeFromWhere:
      from === 'first'
        ? 'CONSUME_FROM_FIRST_OFFSET'
        : from === 'last'
          ? 'CONSUME_FROM_LAST_OFFSET'
          : 'CONSUME_FROM_TIMESTAMP',
    consumeTimestamp: from instanceof Date ? from : null,
    autoCommit: false
  })
  consumer.subscribe(topic, options.tag)
  await consumer.start()
  let reading = true
  let closing: Promise<void> | null = null
  const close = () => {
    reading = false
    closing ??= consumer.close()
    return closing
  }
  onStop(close)
  try {
    while (reading) {
      const batch = await consumer.poll()
      // Only what was printed is consumed.
      const printed = new Map<string, readonly [MessageQueue, number]>()
      for (const message of batch) {
        const { topic, brokerName, queueId, queueOffset } = message
        const queue = { topic, brokerName, queueId }
        reading = print(message) && reading
        printed.set(queueKey(queue), [queue, queueOffset + 1])
        if (!reading) break
      }
      if (printed.size > 0) await consumer.commit(printed.values())
    }
  } finally {
    await close()
  }
}
