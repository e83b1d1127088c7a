import { LANGUAGE_OTHER, MQ_VERSION, RequestCode } from './codes.ts'
import { type ExtFields, encodeHead, ONE_WAY_FLAG, type RemotingCommand } from './command.ts'
import type { Connection } from './connection.ts'
import { BINARY_AT, BINARY_HEADER, FRAME_HEAD_BYTES, type Frame, LENGTH_BYTES, type SerializeType } from './frame.ts'
import { fieldKey, HeaderWriter } from './header-writer.ts'

// The client's side of SEND_MESSAGE_V2 and its relatives: requests are written and answers read in place.

/** What is the same in all sends of a producer to a topic on a broker. */
export interface SendTarget {
  /** SEND_MESSAGE_V2, SEND_BATCH_MESSAGE or SEND_REPLY_MESSAGE_V2. */
  code: number
  producerGroup: string
  topic: string
  /** The topic whose settings a topic takes that this send creates, and how many queues it may get. */
  defaultTopic: string
  defaultTopicQueueCount: number
  brokerName: string
}

/** What is different in each send. */
export interface SendFields {
  queueId: number
  sysFlag: number
  bornTimestamp: number
  flag: number
  /** Encoded properties. */
  properties: string
  /** Of a message that is sent to a retry topic again, else 0. */
  reconsumeTimes: number
  maxReconsumeTimes: number | undefined
}

const field = (name: string, value: string): Uint8Array => {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([fieldKey(name), length, bytes])
}
const KEY = {
  queueId: fieldKey('e'),
  sysFlag: fieldKey('f'),
  bornTimestamp: fieldKey('g'),
  flag: fieldKey('h'),
  properties: fieldKey('i'),
  reconsumeTimes: fieldKey('j'),
  maxReconsumeTimes: fieldKey('l')
}
const UNIT_MODE = field('k', 'false')
/** More than all keys, lengths and numbers take. */
const MAX_FIXED_BYTES = 300
const MAX_UTF8_BYTES_PER_UNIT = 3

const writer = new HeaderWriter()

/** Writes sends to one target. SendMessageRequestHeaderV2#encode */
export class SendRequestWriter {
  private readonly target: SendTarget
  private readonly serializeType: SerializeType
  private readonly batch: boolean
  /** Fields a to d, which come first, and m and n, which come last. */
  private readonly first: Uint8Array
  private readonly last: Uint8Array

  constructor(target: SendTarget, serializeType: SerializeType) {
    this.target = target
    this.serializeType = serializeType
    this.batch = target.code === RequestCode.SEND_BATCH_MESSAGE
    this.first = Buffer.concat([
      field('a', target.producerGroup),
      field('b', target.topic),
      field('c', target.defaultTopic),
      field('d', String(target.defaultTopicQueueCount))
    ])
    this.last = Buffer.concat([field('m', String(this.batch)), field('n', target.brokerName)])
  }

  /** Writes a whole request; a body of some length must not change until it is sent. */
  write(connection: Connection, opaque: number, oneWay: boolean, fields: SendFields, body: Uint8Array): void {
    if (this.serializeType === BINARY_HEADER) this.writeHead(connection, opaque, oneWay, fields, body.length)
    else connection.writeBytes(encodeHead(this.command(opaque, oneWay, fields, body)))
    connection.writeBytes(body)
  }

  /** The same request in its general form. */
  command(opaque: number, oneWay: boolean, fields: SendFields, body: Uint8Array): RemotingCommand {
    const { target } = this
    const extFields: ExtFields = {
      a: target.producerGroup,
      b: target.topic,
      c: target.defaultTopic,
      d: String(target.defaultTopicQueueCount),
      e: String(fields.queueId),
      f: String(fields.sysFlag),
      g: String(fields.bornTimestamp),
      h: String(fields.flag),
      i: fields.properties,
      j: String(fields.reconsumeTimes),
      k: 'false'
    }
    if (fields.maxReconsumeTimes !== undefined) extFields.l = String(fields.maxReconsumeTimes)
    extFields.m = String(this.batch)
    extFields.n = target.brokerName
    return {
      code: target.code,
      language: LANGUAGE_OTHER,
      version: MQ_VERSION,
      opaque,
      flag: oneWay ? ONE_WAY_FLAG : 0,
      remark: null,
      extFields,
      body,
      serializeType: this.serializeType
    }
  }

  private writeHead(
    connection: Connection,
    opaque: number,
    oneWay: boolean,
    fields: SendFields,
    bodyBytes: number
  ): void {
    const { first, last } = this
    const { properties } = fields
    const out = connection.output(
      MAX_FIXED_BYTES + first.length + last.length + MAX_UTF8_BYTES_PER_UNIT * properties.length
    )
    const { bytes, view, pos: start } = out
    const at = start + FRAME_HEAD_BYTES
    view.setInt16(at + BINARY_AT.code, this.target.code)
    bytes[at + BINARY_AT.language] = LANGUAGE_OTHER
    view.setInt16(at + BINARY_AT.version, MQ_VERSION)
    view.setInt32(at + BINARY_AT.opaque, opaque)
    view.setInt32(at + BINARY_AT.flag, oneWay ? ONE_WAY_FLAG : 0)
    view.setInt32(at + BINARY_AT.remarkLength, 0)
    bytes.set(first, at + BINARY_AT.smallest)
    writer.start(bytes, view, at + BINARY_AT.smallest + first.length)
    writer.raw(KEY.queueId)
    writer.decimalValue(fields.queueId)
    writer.raw(KEY.sysFlag)
    writer.decimalValue(fields.sysFlag)
    writer.raw(KEY.bornTimestamp)
    writer.decimalValue(fields.bornTimestamp)
    writer.raw(KEY.flag)
    writer.decimalValue(fields.flag)
    writer.raw(KEY.properties)
    writer.textValue(properties)
    writer.raw(KEY.reconsumeTimes)
    writer.decimalValue(fields.reconsumeTimes)
    writer.raw(UNIT_MODE)
    if (fields.maxReconsumeTimes !== undefined) {
      writer.raw(KEY.maxReconsumeTimes)
      writer.decimalValue(fields.maxReconsumeTimes)
    }
    writer.raw(last)
    const end = writer.position
    view.setInt32(at + BINARY_AT.smallest - 4, end - at - BINARY_AT.smallest)
    view.setInt32(start, end - start - LENGTH_BYTES + bodyBytes)
    view.setUint32(start + LENGTH_BYTES, ((BINARY_HEADER << 24) | (end - at)) >>> 0)
    out.pos = end
  }
}

const keyMark = (name: string): number => (name.length << 8) | name.charCodeAt(0)
const MSG_ID = keyMark('msgId')
const QUEUE_ID = keyMark('queueId')
const QUEUE_OFFSET = keyMark('queueOffset')
const RECALL_HANDLE = keyMark('recallHandle')

/** The answer to a send, found in its frame. Reuse one instance. SendMessageResponseHeader */
export class SendAnswerView {
  code = 0
  queueId = 0
  queueOffset = 0
  /** The offset message id; of a batch one per message, separated by commas. */
  msgId = ''
  recallHandle: string | undefined

  /** Reads a binary answer that has no remark, as those to messages that were stored; false for every other. */
  decode({ bytes, view, headerStart, headerEnd, code }: Frame): boolean {
    let pos = headerStart + BINARY_AT.smallest
    if (view.getInt32(headerStart + BINARY_AT.remarkLength) !== 0) return false
    if (view.getInt32(pos - 4) !== headerEnd - pos) return false
    this.code = code
    this.queueId = this.queueOffset = -1
    this.msgId = ''
    this.recallHandle = undefined
    while (pos < headerEnd) {
      if (headerEnd - pos < 6) return false
      const keyLength = view.getInt16(pos)
      const lengthAt = pos + 2 + keyLength
      if (keyLength < 1 || lengthAt + 4 > headerEnd) return false
      const start = lengthAt + 4
      const end = start + view.getInt32(lengthAt)
      if (end < start || end > headerEnd) return false
      // Length and first letter tell the keys of these answers apart.
      const key = (keyLength << 8) | bytes[pos + 2]!
      if (key === MSG_ID) this.msgId = bytes.toString('latin1', start, end)
      else if (key === QUEUE_ID) this.queueId = decimal(bytes, start, end)
      else if (key === QUEUE_OFFSET) this.queueOffset = decimal(bytes, start, end)
      else if (key === RECALL_HANDLE) this.recallHandle = bytes.toString('latin1', start, end)
      pos = end
    }
    return this.queueId >= 0 && this.queueOffset >= 0
  }
}

function decimal(bytes: Uint8Array, start: number, end: number): number {
  let number = 0
  for (let i = start; i < end; i++) number = number * 10 + (bytes[i]! - 48)
  return number
}
