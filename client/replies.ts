import { randomUUID } from 'node:crypto'
import { decompressBody, hostOf, PropertyName, SysFlag } from '../message/index.ts'
import { parseAddress } from '../net/index.ts'
import type { ReplyMessage } from './client-instance.ts'
import { ClientError } from './errors.ts'
import { Message } from './message.ts'

interface Waiting {
  resolve(reply: Message): void
  reject(error: Error): void
  timer: NodeJS.Timeout
}

/** The requests of a producer that wait for their replies. RequestFutureHolder */
export class PendingReplies {
  private readonly waiting = new Map<string, Waiting>()

  /** Waits for the reply to a request, which carries the id that comes back. `reply` rejects with NO_REPLY. */
  expect(topic: string, timeoutMs: number): { correlationId: string; reply: Promise<Message>; cancel(): void } {
    const correlationId = randomUUID()
    const cancel = () => {
      clearTimeout(this.waiting.get(correlationId)?.timer)
      this.waiting.delete(correlationId)
    }
    const reply = new Promise<Message>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(correlationId)
        reject(new ClientError('NO_REPLY', { topic, timeoutMs }))
      }, timeoutMs)
      this.waiting.set(correlationId, { resolve, reject, timer })
    })
    return { correlationId, reply, cancel }
  }

  /** Whether the reply was waited for. */
  take(reply: ReplyMessage): boolean {
    const waiting = this.waiting.get(reply.correlationId)
    if (waiting === undefined) return false
    this.waiting.delete(reply.correlationId)
    clearTimeout(waiting.timer)
    messageOfReply(reply).then(waiting.resolve, waiting.reject)
    return true
  }

  /** Lets none of them wait any longer. */
  abandon(error: Error): void {
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer)
      reject(error)
    }
    this.waiting.clear()
  }
}

const hostAt = (text: string | undefined) => {
  const { host, port } = parseAddress((text ?? '127.0.0.1:0').replace(/^\//, ''))
  return hostOf(host, port)
}

/** ReplyMessageRequestHeader, which says what a record says. ClientRemotingProcessor#receiveReplyMessage */
async function messageOfReply({ header, properties, body }: ReplyMessage): Promise<Message> {
  const number = (name: string) => Number(header[name] ?? 0)
  const sysFlag = number('sysFlag')
  return new Message(
    {
      topic: header.topic ?? '',
      queueId: number('queueId'),
      queueOffset: number('queueOffset'),
      physicalOffset: 0,
      sizeBytes: body.length,
      magic: 0,
      flag: number('flag'),
      sysFlag,
      bodyCrc: 0,
      bornTimestamp: number('bornTimestamp'),
      bornHost: hostAt(header.bornHost),
      storeTimestamp: number('storeTimestamp'),
      storeHost: hostAt(header.storeHost),
      reconsumeTimes: number('reconsumeTimes'),
      preparedTransactionOffset: 0,
      body,
      properties
    },
    header.bname ?? '',
    sysFlag & SysFlag.COMPRESSED ? await decompressBody(body, sysFlag) : body
  )
}

/** Where the reply to a message goes, and what it must say. Throws ClientError REPLY_BAD. MessageUtil#createReplyMessage */
export function replyTo(request: Message): { topic: string; properties: Map<string, string> } {
  const cluster = request.properties.get(PropertyName.CLUSTER)
  if (cluster === undefined)
    throw new ClientError('REPLY_BAD', { topic: request.topic, reason: `it has no property ${PropertyName.CLUSTER}` })
  const properties = new Map([['MSG_TYPE', 'reply']])
  for (const name of [PropertyName.CORRELATION_ID, PropertyName.REPLY_TO_CLIENT, 'TTL']) {
    const value = request.properties.get(name)
    if (value === undefined)
      throw new ClientError('REPLY_BAD', { topic: request.topic, reason: `it has no property ${name}` })
    properties.set(name, value)
  }
  return { topic: `${cluster}_REPLY_TOPIC`, properties }
}
