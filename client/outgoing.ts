import {
  checkTopicName,
  MAX_PROPERTIES_BYTES,
  NAME_VALUE_SEPARATOR,
  NOT_SENDABLE_TOPICS,
  PROPERTY_SEPARATOR,
  PropertyName
} from '../message/index.ts'
import { ClientError } from './errors.ts'
import type { OutgoingMessage } from './message.ts'

/** Names of properties that an application may not set by itself. MessageConst#STRING_HASH_SET */
const RESERVED = new Set([
  'KEYS',
  'TAGS',
  'WAIT',
  'DELAY',
  'RETRY_TOPIC',
  'REAL_TOPIC',
  'REAL_QID',
  'TRAN_MSG',
  'PGROUP',
  'MIN_OFFSET',
  'MAX_OFFSET',
  'BUYER_ID',
  'ORIGIN_MESSAGE_ID',
  'TRANSFER_FLAG',
  'CORRECTION_FLAG',
  'MQ2_FLAG',
  'RECONSUME_TIME',
  'MSG_REGION',
  'UNIQ_KEY',
  'EXTEND_UNIQ_INFO',
  'MAX_RECONSUME_TIMES',
  'CONSUME_START_TIME',
  'INSTANCE_ID',
  'CORRELATION_ID',
  'REPLY_TO_CLIENT',
  'TTL',
  'ARRIVE_TIME',
  'PUSH_REPLY_TIME',
  'CLUSTER',
  'MSG_TYPE',
  'POP_CK',
  'POP_CK_OFFSET',
  '1ST_POP_TIME',
  'TRAN_PREPARED_QUEUE_OFFSET',
  'DUP_INFO',
  'TIMER_DELAY_SEC',
  'TIMER_DELAY_MS',
  'TIMER_DELIVER_MS',
  'TIMER_DELAY_LEVEL',
  'TIMER_ENQUEUE_MS',
  'TIMER_DEQUEUE_MS',
  'TIMER_ROLL_TIMES',
  'TIMER_OUT_MS',
  'TIMER_DEL_UNIQKEY',
  'DLQ_ORIGIN_TOPIC',
  'DLQ_ORIGIN_MESSAGE_ID',
  'TRACE_ON',
  'BORN_TIMESTAMP',
  '__BORNHOST',
  '__CRC32#'
])
const SHARDING_KEY = '__SHARDINGKEY'

const bad = (reason: string): ClientError => new ClientError('MESSAGE_BAD', { reason })
const quoted = (value: unknown): string => JSON.stringify(value) ?? String(value)

/** One property in its encoded form. Throws ClientError MESSAGE_BAD. */
function property(name: string, value: string): string {
  const text = `${value}`
  if (text === '') throw bad(`the property ${name} is empty`)
  if (text.includes(NAME_VALUE_SEPARATOR) || text.includes(PROPERTY_SEPARATOR))
    throw bad(`the property ${name} contains U+0001 or U+0002, which separate properties`)
  return name + NAME_VALUE_SEPARATOR + text + PROPERTY_SEPARATOR
}

function ownProperty(name: string, value: string): string {
  if (RESERVED.has(name)) throw bad(`the property name ${name} is RocketMQ's own`)
  if (name === '' || name.includes(NAME_VALUE_SEPARATOR) || name.includes(PROPERTY_SEPARATOR))
    throw bad(`${quoted(name)} is no name of a property`)
  return property(name, value)
}

/** What stands for the message's own options and properties, encoded. Throws ClientError MESSAGE_BAD. */
export function encodeOwnProperties(message: OutgoingMessage): string {
  const { keys, tags, properties, delayLevel, delayMs, deliverAt, shardingKey } = message
  let text = property(PropertyName.WAIT, message.waitForStore === false ? 'false' : 'true')
  if (keys !== undefined && keys !== '' && keys.length > 0)
    text += property(PropertyName.KEYS, typeof keys === 'string' ? keys : keys.join(' '))
  if (tags !== undefined && tags !== '') text += property(PropertyName.TAGS, tags)
  if (shardingKey !== undefined) text += property(SHARDING_KEY, shardingKey)
  if (delayLevel !== undefined && delayLevel !== 0) {
    if (!Number.isInteger(delayLevel) || delayLevel < 0)
      throw bad(`its delay level is ${quoted(delayLevel)}, which is no whole number from 0`)
    text += property(PropertyName.DELAY, String(delayLevel))
  }
  if (delayMs !== undefined) text += property(PropertyName.TIMER_DELAY_MS, wholeMs('delayMs', delayMs))
  if (deliverAt !== undefined) text += property(PropertyName.TIMER_DELIVER_MS, wholeMs('deliverAt', Number(deliverAt)))
  if (properties instanceof Map) for (const [name, value] of properties) text += ownProperty(name, value)
  else if (properties !== undefined)
    for (const name in properties) text += ownProperty(name, (properties as Record<string, string>)[name]!)
  if (text.length > MAX_PROPERTIES_BYTES)
    throw bad(`its properties take ${text.length} bytes, the limit is ${MAX_PROPERTIES_BYTES}`)
  return text
}

function wholeMs(option: string, ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) throw bad(`its ${option} is ${ms}, which is no time in ms`)
  return String(Math.round(ms))
}

/** Throws ClientError MESSAGE_BAD when nobody may send to the topic. Validators#checkMessage */
export function checkSendable(topic: string): void {
  const reason = checkTopicName(topic)
  if (reason !== null) throw bad(reason)
  if (NOT_SENDABLE_TOPICS.has(topic)) throw bad(`the topic ${topic} is for RocketMQ's own use`)
}

/** The body's bytes. Throws ClientError MESSAGE_BAD when there are none or too many. Validators#checkMessage */
export function bodyBytes(body: string | Uint8Array, maxBytes: number): Uint8Array {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  if (!(bytes instanceof Uint8Array)) throw bad(`its body is ${quoted(body)}, which is neither a text nor bytes`)
  if (bytes.length === 0) throw bad('its body is empty')
  if (bytes.length > maxBytes) throw bad(`its body has ${bytes.length} bytes, the limit is ${maxBytes}`)
  return bytes
}
