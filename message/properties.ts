/** A message's properties by name. */
export type Properties = Map<string, string>

/** Ends a name and begins its value. */
export const NAME_VALUE_SEPARATOR = '\u0001'
/** Ends a value. */
export const PROPERTY_SEPARATOR = '\u0002'

/** Reserved names (remoting reference: MessageConst). */
export const PropertyName = {
  KEYS: 'KEYS',
  TAGS: 'TAGS',
  WAIT: 'WAIT',
  DELAY: 'DELAY',
  UNIQ_KEY: 'UNIQ_KEY',
  RETRY_TOPIC: 'RETRY_TOPIC',
  ORIGIN_MESSAGE_ID: 'ORIGIN_MESSAGE_ID',
  RECONSUME_TIME: 'RECONSUME_TIME',
  MAX_RECONSUME_TIMES: 'MAX_RECONSUME_TIMES',
  REAL_TOPIC: 'REAL_TOPIC',
  REAL_QID: 'REAL_QID',
  TRAN_MSG: 'TRAN_MSG',
  PGROUP: 'PGROUP',
  BORN_TIMESTAMP: 'BORN_TIMESTAMP',
  TRANSACTION_ID: '__transactionId__',
  MSG_REGION: 'MSG_REGION',
  TRACE_ON: 'TRACE_ON',
  CLUSTER: 'CLUSTER',
  POP_CK: 'POP_CK',
  TIMER_DELAY_SEC: 'TIMER_DELAY_SEC',
  TIMER_DELAY_MS: 'TIMER_DELAY_MS',
  TIMER_DELIVER_MS: 'TIMER_DELIVER_MS',
  TIMER_OUT_MS: 'TIMER_OUT_MS',
  TIMER_ENQUEUE_MS: 'TIMER_ENQUEUE_MS',
  TIMER_DEQUEUE_MS: 'TIMER_DEQUEUE_MS',
  TIMER_ROLL_TIMES: 'TIMER_ROLL_TIMES',
  TIMER_DEL_UNIQKEY: 'TIMER_DEL_UNIQKEY',
  INNER_NUM: 'INNER_NUM',
  INNER_BASE: 'INNER_BASE',
  INNER_MULTI_DISPATCH: 'INNER_MULTI_DISPATCH',
  INNER_MULTI_QUEUE_OFFSET: 'INNER_MULTI_QUEUE_OFFSET',
  CRC32: '__CRC32#',
  DLQ_ORIGIN_TOPIC: 'DLQ_ORIGIN_TOPIC',
  DLQ_ORIGIN_MESSAGE_ID: 'DLQ_ORIGIN_MESSAGE_ID',
  MIN_OFFSET: 'MIN_OFFSET',
  MAX_OFFSET: 'MAX_OFFSET',
  CORRELATION_ID: 'CORRELATION_ID',
  REPLY_TO_CLIENT: 'REPLY_TO_CLIENT'
} as const

/** Reads a properties text; pairs without a name or a value are left out. MessageDecoder#string2messageProperties */
export function decodeProperties(text: string | null | undefined): Properties {
  const properties: Properties = new Map()
  if (!text) return properties
  for (const pair of text.split(PROPERTY_SEPARATOR)) {
    const split = pair.indexOf(NAME_VALUE_SEPARATOR)
    if (split > 0 && split < pair.length - 1) properties.set(pair.slice(0, split), pair.slice(split + 1))
  }
  return properties
}

/** Writes properties; every pair ends with the separator. MessageDecoder#messageProperties2String */
export function encodeProperties(properties: Properties | Readonly<Record<string, string>>): string {
  let text = ''
  const entries = properties instanceof Map ? properties : Object.entries(properties)
  for (const [name, value] of entries) text += `${name}${NAME_VALUE_SEPARATOR}${value}${PROPERTY_SEPARATOR}`
  return text
}
