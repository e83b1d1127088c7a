import {
  CRC_PROPERTY_BYTES,
  decodeProperties,
  encodeProperties,
  isRetryTopic,
  LMQ_PREFIX,
  type Properties,
  PropertyName,
  PropertyScan,
  propertyCrcAt,
  SCHEDULE_TOPIC,
  ScannedProperty,
  SYSTEM_TOPIC_PREFIX,
  SysFlag
} from '../message/index.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { StoreOptions } from './options.ts'
import { type PutMessage, PutStatus } from './put-status.ts'
import type { QueueIndex } from './queue-index.ts'

/** Names of queues, and their offsets, are separated by it. MixAll#LMQ_DISPATCH_SEPARATOR */
export const LMQ_SEPARATOR = ','
/** Units say the number of messages in 16 bits. */
export const MAX_BATCH_COUNT = 0x7fff
const LMQ_NAME = /^%LMQ%[^/\0]+$/
const MAX_LMQ_NAME_BYTES = 255
const SEPARATOR_BYTE = 2

/** What a record has that its sender does not give: properties with places in queues, more than one message, a checksum. */
export interface RecordExtension {
  readonly properties: Uint8Array
  /** How many messages the record holds. */
  readonly count: number
  /** Queues beside the message's own that list it, and its offset in each. */
  readonly lmqPlaces: readonly (readonly [queue: QueueIndex, offset: number])[]
  /** Whether the properties end with room for a checksum of the whole record. */
  readonly crc: boolean
}

/** Why a message cannot be stored. */
export interface Refusal {
  readonly status: number
  readonly reason: string
}

const illegal = (reason: string): Refusal => ({ status: PutStatus.MESSAGE_ILLEGAL, reason })

/** Whether messages of a topic can be listed in other queues too. MixAll#topicAllowsLMQ */
export const allowsLmq = (topic: string): boolean =>
  !isRetryTopic(topic) && !topic.startsWith(SYSTEM_TOPIC_PREFIX) && topic !== SCHEDULE_TOPIC

/** Whether a queue may have this name: it becomes that of a directory. */
export const isLmqName = (name: string): boolean => LMQ_NAME.test(name) && Buffer.byteLength(name) <= MAX_LMQ_NAME_BYTES

/** Works out what a record gets beside what its sender gave. BatchConsumeQueue#assignQueueOffset, LmqDispatch, MessageExtEncoder */
export class RecordExtender {
  private readonly options: StoreOptions
  private readonly queues: ConsumeQueueStore
  private readonly scan = new PropertyScan()
  /** Whether every message may get something. */
  private readonly always: boolean

  constructor(options: StoreOptions, queues: ConsumeQueueStore) {
    this.options = options
    this.queues = queues
    this.always = options.enableLmq || options.enabledAppendPropCrc
  }

  /** Whether a message has to be looked at: a plain one has not. */
  concerns(message: PutMessage): boolean {
    return (
      this.always ||
      (message.sysFlag & SysFlag.INNER_BATCH) !== 0 ||
      propertyCrcAt(message.properties, message.propertiesStart, message.propertiesEnd) >= 0
    )
  }

  extend(message: PutMessage): RecordExtension | Refusal {
    const { enableLmq, enabledAppendPropCrc: crc } = this.options
    const given = message.properties.subarray(message.propertiesStart, message.propertiesEnd)
    const { scan } = this
    scan.scan(given, 0, given.length)
    const isInnerBatch = (message.sysFlag & SysFlag.INNER_BATCH) !== 0
    const namesLmqs = enableLmq && scan.has(ScannedProperty.INNER_MULTI_DISPATCH) && allowsLmq(message.topic)
    if (!isInnerBatch && !namesLmqs && !scan.has(ScannedProperty['__CRC32#']))
      return { properties: crc ? withRoomForCrc(given) : given, count: 1, lmqPlaces: [], crc }
    const properties = decodeProperties(Buffer.from(given).toString())
    // Only the store's own checksum may stand there.
    let changed = properties.delete(PropertyName.CRC32)
    let count = 1
    if (isInnerBatch) {
      count = Number(properties.get(PropertyName.INNER_NUM))
      if (!(Number.isInteger(count) && count > 0 && count <= MAX_BATCH_COUNT))
        return illegal(
          `an inner batch has 1 to ${MAX_BATCH_COUNT} messages, not ${properties.get(PropertyName.INNER_NUM)}`
        )
      if (this.queues.typeOf(message.topic) !== 'BatchCQ')
        return illegal(`an inner batch needs a topic with queue.type=BatchCQ, which ${message.topic} is not`)
      const { nextOffset } = this.queues.get(message.topic, message.queueId)
      properties.set(PropertyName.INNER_BASE, String(nextOffset))
      changed = true
    }
    let lmqPlaces: RecordExtension['lmqPlaces'] = []
    if (namesLmqs && properties.get(PropertyName.INNER_MULTI_DISPATCH)?.trim()) {
      const places = this.placesOf(properties)
      if ('reason' in places) return places
      lmqPlaces = places
      changed = true
    }
    const own = changed ? Buffer.from(encodeProperties(properties)) : given
    return { properties: crc ? withRoomForCrc(own) : own, count, lmqPlaces, crc }
  }

  /** LmqDispatch#wrapLmqDispatch */
  private placesOf(properties: Properties): [QueueIndex, number][] | Refusal {
    const places: [QueueIndex, number][] = []
    const offsets: string[] = []
    const next = new Map<string, number>()
    for (const name of properties.get(PropertyName.INNER_MULTI_DISPATCH)!.split(LMQ_SEPARATOR)) {
      if (!name.startsWith(LMQ_PREFIX)) {
        offsets.push('')
        continue
      }
      if (!isLmqName(name))
        return illegal(`${name} is no name of a queue: at most ${MAX_LMQ_NAME_BYTES} bytes, none of them a slash`)
      const max = this.options.maxLmqConsumeQueueNum
      if (this.queues.find(name, 0) === undefined && this.queues.lmqCount >= max)
        return {
          status: PutStatus.LMQ_CONSUME_QUEUE_NUM_EXCEEDED,
          reason: `there are ${this.queues.lmqCount} LMQ queues, allowed are ${max}`
        }
      const queue = this.queues.get(name, 0)
      const offset = next.get(name) ?? queue.nextOffset
      next.set(name, offset + 1)
      places.push([queue, offset])
      offsets.push(String(offset))
    }
    properties.set(PropertyName.INNER_MULTI_QUEUE_OFFSET, offsets.join(LMQ_SEPARATOR))
    properties.delete(PropertyName.WAIT)
    return places
  }
}

/** Properties that end with a separator and room for the checksum. */
export function withRoomForCrc(properties: Uint8Array): Uint8Array {
  const needsSeparator = properties.length > 0 && properties.at(-1) !== SEPARATOR_BYTE
  const bytes = new Uint8Array(properties.length + (needsSeparator ? 1 : 0) + CRC_PROPERTY_BYTES)
  bytes.set(properties)
  if (needsSeparator) bytes[properties.length] = SEPARATOR_BYTE
  return bytes
}
