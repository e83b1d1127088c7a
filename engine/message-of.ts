import { encodeProperties, type Host, hostOf, type Properties, PropertyName } from '../message/index.ts'
import type { PutMessage } from './put-status.ts'

/** A message as a program has it. */
export interface NewMessage {
  /** 1 to 255 bytes; at most 127 for consumers through a broker. */
  topic: string
  /** Default: 0. A queue comes into being with its first message. */
  queueId?: number
  /** A text becomes UTF-8. */
  body: string | Uint8Array
  /** What the message can be found under, see `queryByKey`. No blanks in a key. */
  keys?: readonly string[]
  /** What consumers filter by. */
  tag?: string
  /** Any others; neither names nor values may hold U+0001 or U+0002. */
  properties?: Properties | Readonly<Record<string, string>>
  /** A number of the caller's own. Default: 0. */
  flag?: number
  /** ms since 1970. Default: now. */
  bornTimestamp?: number
  /** Who made it. Default: 127.0.0.1:0. */
  bornHost?: Host
  /** Whether a put under SYNC_FLUSH resolves only when the message is durable. Default: true. */
  waitStored?: boolean
}

const LOCAL = hostOf('127.0.0.1', 0)

/** What `put` takes, from a message with defaults. */
export function messageOf(message: NewMessage): PutMessage {
  const { topic, queueId = 0, keys = [], tag, properties = {}, flag = 0, bornHost = LOCAL, waitStored = true } = message
  const all = new Map(properties instanceof Map ? properties : Object.entries(properties))
  if (keys.length > 0) all.set(PropertyName.KEYS, keys.join(' '))
  if (tag !== undefined) all.set(PropertyName.TAGS, tag)
  const body = typeof message.body === 'string' ? Buffer.from(message.body) : message.body
  const encoded = Buffer.from(encodeProperties(all))
  return {
    topic,
    queueId,
    flag,
    sysFlag: 0,
    bornTimestamp: message.bornTimestamp ?? Date.now(),
    bornHost,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body,
    bodyStart: 0,
    bodyEnd: body.length,
    properties: encoded,
    propertiesStart: 0,
    propertiesEnd: encoded.length,
    waitStored
  }
}
