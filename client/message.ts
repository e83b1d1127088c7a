import { inspect } from 'node:util'
import {
  decodeRecord,
  decompressBody,
  type Host,
  type MessageRecord,
  offsetMessageId,
  type Properties,
  PropertyName,
  SysFlag,
  unwrapInnerBatch,
  viewOf
} from '../message/index.ts'
import { LazyRecord } from './lazy-record.ts'

/** One queue of a topic on one broker. */
export interface MessageQueue {
  readonly topic: string
  readonly brokerName: string
  readonly queueId: number
}

/** A text that is the same for the same queue: the key of maps by queue. */
export const queueKey = ({ topic, brokerName, queueId }: MessageQueue): string => `${topic}@${brokerName}@${queueId}`

/** By topic, broker name, queue id: the order in which every client of a group sees the queues. MessageQueue#compareTo */
export function compareQueues(a: MessageQueue, b: MessageQueue): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1
  if (a.brokerName !== b.brokerName) return a.brokerName < b.brokerName ? -1 : 1
  return a.queueId - b.queueId
}

/** A message to send. */
export interface OutgoingMessage {
  topic: string
  /** A text goes as UTF-8. At least one byte, at most `maxMessageBytes`. */
  body: string | Uint8Array
  /** One tag, by which consumers subscribe. */
  tags?: string | undefined
  /** Keys under which the message can be found again; several as an array or separated by spaces. */
  keys?: string | readonly string[] | undefined
  /** Properties of your own; names that RocketMQ reserves are refused. */
  properties?: Readonly<Record<string, string>> | ReadonlyMap<string, string> | undefined
  /** Deliver after a delay of this level: 1 to 18 are 1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h. */
  delayLevel?: number | undefined
  /** Deliver after so many ms. */
  delayMs?: number | undefined
  /** Deliver at this time; a number is ms since 1970. */
  deliverAt?: Date | number | undefined
  /** Messages of one sharding key belong together, in order. */
  shardingKey?: string | undefined
  /** Answer only after the flush and replication that the broker is set to. Default: true. */
  waitForStore?: boolean | undefined
  /** A number that consumers get as it is. Default: 0. */
  flag?: number | undefined
}

/** A message as a consumer gets it. */
export class Message {
  /** The topic that it was sent to; also for a message that is delivered again. */
  topic: string
  readonly brokerName: string
  readonly queueOffset: number
  /** How often it was delivered before and not consumed. */
  reconsumeTimes: number
  // Decoded when it is asked for.
  readonly #record: MessageRecord
  #body: Buffer | null
  #properties: Properties | null = null

  /** `body` when it is not the record's own. */
  constructor(record: MessageRecord, brokerName: string, body: Uint8Array | null = null) {
    this.#record = record
    this.#body = body === null ? null : bufferOf(body)
    this.topic = record.topic
    this.brokerName = brokerName
    this.queueOffset = record.queueOffset
    this.reconsumeTimes = record.reconsumeTimes
  }

  /** As its producer sent it, no longer compressed. A view of what was pulled with it: copy what is kept for long. */
  get body(): Buffer {
    this.#body ??= bufferOf(this.#record.body)
    return this.#body
  }

  /** Those of its producer and those that RocketMQ added. */
  get properties(): Properties {
    this.#properties ??= this.#record.properties
    return this.#properties
  }

  get queueId(): number {
    return this.#record.queueId
  }

  get physicalOffset(): number {
    return this.#record.physicalOffset
  }

  /** What the record takes in the store. */
  get sizeBytes(): number {
    return this.#record.sizeBytes
  }

  get flag(): number {
    return this.#record.flag
  }

  get sysFlag(): number {
    return this.#record.sysFlag
  }

  get bornTimestamp(): number {
    return this.#record.bornTimestamp
  }

  get bornHost(): Host {
    return this.#record.bornHost
  }

  get storeTimestamp(): number {
    return this.#record.storeTimestamp
  }

  get storeHost(): Host {
    return this.#record.storeHost
  }

  /** CRC-32 of the body as it is stored, in 31 bits. */
  get bodyCrc(): number {
    return this.#record.bodyCrc
  }

  get preparedTransactionOffset(): number {
    return this.#record.preparedTransactionOffset
  }

  /** The id that its producer gave it, or else where it lies. MessageClientExt#getMsgId */
  get messageId(): string {
    return this.properties.get(PropertyName.UNIQ_KEY) ?? this.offsetMessageId
  }

  /** Where it lies: its broker's address and the position in the CommitLog. */
  get offsetMessageId(): string {
    return offsetMessageId(this.storeHost, this.physicalOffset)
  }

  get tags(): string | undefined {
    return this.properties.get(PropertyName.TAGS)
  }

  /** Separated by spaces. */
  get keys(): string | undefined {
    return this.properties.get(PropertyName.KEYS)
  }

  /** What `console.log` shows of it. */
  [inspect.custom](): object {
    const { topic, tags, keys, messageId, brokerName, queueId, queueOffset, reconsumeTimes, properties, body } = this
    return { topic, tags, keys, messageId, brokerName, queueId, queueOffset, reconsumeTimes, properties, body }
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Decodes the record at `start`, its body decompressed. Throws MessageError BAD_RECORD or BODY_NOT_DECOMPRESSED. */
export async function decodeMessage(bytes: Uint8Array, brokerName: string, start = 0): Promise<Message> {
  const record = decodeRecord(bytes, start)
  return new Message(record, brokerName, await decompressBody(record.body, record.sysFlag))
}

/**
 * Decodes records that stand back to back, as in the answer to a pull; a promise only when a body is compressed.
 * Throws MessageError BAD_RECORD or BODY_NOT_DECOMPRESSED.
 */
export function decodeMessages(bytes: Uint8Array, brokerName: string): Message[] | Promise<Message[]> {
  const messages: (Message | Promise<Message | Message[]>)[] = []
  const view = viewOf(bytes)
  let compressed = false
  for (let pos = 0; pos < bytes.length; ) {
    const record = new LazyRecord(view, bytes, pos)
    pos += record.sizeBytes
    if (record.sysFlag & SysFlag.NEED_UNWRAP) {
      compressed = true
      messages.push(unwrapped(record, brokerName))
    } else if (record.sysFlag & SysFlag.COMPRESSED) {
      compressed = true
      messages.push(decompressBody(record.body, record.sysFlag).then(body => new Message(record, brokerName, body)))
    } else messages.push(new Message(record, brokerName))
  }
  return compressed ? Promise.all(messages).then(all => all.flat()) : (messages as Message[])
}

/** The messages of a record that is a batch. PullAPIWrapper#processPullResult */
async function unwrapped(record: MessageRecord, brokerName: string): Promise<Message[]> {
  const body = await decompressBody(record.body, record.sysFlag)
  return unwrapInnerBatch(record, body).map(each => new Message(each, brokerName))
}
