import { type MessageStore, type PutMessage, type PutResult, PutStatus } from '../engine/index.ts'
import {
  createUniqueKey,
  encodeProperties,
  type Host,
  type MessageRecord,
  type Properties,
  PropertyName,
  SCHEDULE_TOPIC,
  SysFlag
} from '../message/index.ts'
import { ResponseCode } from '../net/index.ts'

/** A message that the broker puts itself, or that came the general way. MessageExtBrokerInner */
export interface InnerMessage {
  topic: string
  queueId: number
  flag: number
  sysFlag: number
  /** ms. */
  bornTimestamp: number
  bornHost: Host
  reconsumeTimes: number
  preparedTransactionOffset: number
  body: Uint8Array
  properties: Properties
  /** Whether the acknowledgement waits for flush and replicas. */
  waitStored: boolean
}

/** What a stored message becomes when it is put again: same content, own properties, new place. */
export function copyOf(record: MessageRecord, changes: Partial<InnerMessage>): InnerMessage {
  return {
    topic: record.topic,
    queueId: record.queueId,
    flag: record.flag,
    sysFlag: record.sysFlag,
    bornTimestamp: record.bornTimestamp,
    bornHost: record.bornHost,
    reconsumeTimes: record.reconsumeTimes,
    preparedTransactionOffset: 0,
    body: record.body,
    properties: new Map(record.properties),
    waitStored: false,
    ...changes
  }
}

/**
 * Sends a message with a delay level to the schedule topic, from where it comes back when it is due. Levels above the
 * highest count as the highest. HookUtils#transformDelayLevelMessage
 */
export function divertDelayed(message: InnerMessage, levelCount: number): void {
  const transaction = message.sysFlag & SysFlag.TRANSACTION_MASK
  if (transaction === SysFlag.PREPARED || transaction === SysFlag.ROLLBACK) return
  const wanted = Math.trunc(Number(message.properties.get(PropertyName.DELAY) ?? 0))
  if (!(wanted > 0) || message.topic === SCHEDULE_TOPIC) return
  const level = Math.min(wanted, levelCount)
  for (const name of [PropertyName.TIMER_DELAY_SEC, PropertyName.TIMER_DELAY_MS, PropertyName.TIMER_DELIVER_MS])
    message.properties.delete(name)
  message.properties.set(PropertyName.DELAY, String(level))
  message.properties.set(PropertyName.REAL_TOPIC, message.topic)
  message.properties.set(PropertyName.REAL_QID, String(message.queueId))
  message.topic = SCHEDULE_TOPIC
  message.queueId = level - 1
}

/** The form in which the store takes a message. */
export function toPut(message: InnerMessage): PutMessage {
  const properties = Buffer.from(encodeProperties(message.properties))
  return {
    topic: message.topic,
    queueId: message.queueId,
    flag: message.flag,
    sysFlag: message.sysFlag,
    bornTimestamp: message.bornTimestamp,
    bornHost: message.bornHost,
    reconsumeTimes: message.reconsumeTimes,
    preparedTransactionOffset: message.preparedTransactionOffset,
    body: message.body,
    bodyStart: 0,
    bodyEnd: message.body.length,
    properties,
    propertiesStart: 0,
    propertiesEnd: properties.length,
    waitStored: message.waitStored
  }
}

/** Puts a message of the broker's own; it gets a unique key if it has none. */
export function putInner(store: MessageStore, message: InnerMessage): Promise<PutResult> {
  if (!message.properties.has(PropertyName.UNIQ_KEY)) message.properties.set(PropertyName.UNIQ_KEY, createUniqueKey())
  return store.putMessage(toPut(message))
}

/** What a producer is answered. SendMessageProcessor#handlePutMessageResult */
export const PUT_RESPONSE: Readonly<Record<number, number>> = {
  [PutStatus.OK]: ResponseCode.SUCCESS,
  [PutStatus.FLUSH_DISK_TIMEOUT]: ResponseCode.FLUSH_DISK_TIMEOUT,
  [PutStatus.SERVICE_NOT_AVAILABLE]: ResponseCode.SERVICE_NOT_AVAILABLE,
  [PutStatus.MESSAGE_ILLEGAL]: ResponseCode.MESSAGE_ILLEGAL,
  [PutStatus.PROPERTIES_SIZE_EXCEEDED]: ResponseCode.MESSAGE_ILLEGAL,
  [PutStatus.FLUSH_SLAVE_TIMEOUT]: ResponseCode.FLUSH_SLAVE_TIMEOUT,
  [PutStatus.IN_SYNC_REPLICAS_NOT_ENOUGH]: ResponseCode.SYSTEM_ERROR,
  [PutStatus.OS_PAGE_CACHE_BUSY]: ResponseCode.SYSTEM_BUSY
}

/** Whether the message was stored, so that the answer names its place. */
export const isStored = (status: number): boolean =>
  status === PutStatus.OK || status === PutStatus.FLUSH_DISK_TIMEOUT || status === PutStatus.FLUSH_SLAVE_TIMEOUT
