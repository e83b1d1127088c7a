import assert from 'node:assert/strict'
import { layout, readI64, textOf, viewOf, writeI64 } from './bytes.ts'
import { crc32 } from './crc.ts'
import { MessageError } from './errors.ts'
import { type Host, readHost } from './host.ts'
import { decodeProperties, encodeProperties, type Properties } from './properties.ts'
import { propertyCrcAt, propertyCrcOk } from './property-crc.ts'
import { SysFlag } from './sys-flag.ts'

/** Which form a record has, or that the rest of the segment is blank. */
export const RecordMagic = { V1: 0xdaa320a7 | 0, V2: 0xdaa320ab | 0, BLANK: 0xcbd43194 | 0 } as const

/**
 * The part of a record in front of the hosts. Behind it: bornHost, storeTimestamp, storeHost, reconsumeTimes,
 * preparedTransactionOffset, then body, topic and properties, each behind its length. MessageDecoder#decode
 */
export const RECORD_HEAD = layout({
  totalSize: 'i32',
  magic: 'i32',
  bodyCrc: 'i32',
  queueId: 'i32',
  flag: 'i32',
  queueOffset: 'i64',
  physicalOffset: 'i64',
  sysFlag: 'i32',
  bornTimestamp: 'i64'
})
assert.equal(RECORD_HEAD.bytes, 48)

const HOST_BYTES = 8
const HOST_V6_BYTES = 20
/** Head, both IPv4 hosts, store time, reconsume times, prepared offset and the three lengths of a V1 record. */
const EMPTY_RECORD_BYTES = 91
/** A marker of this size must always fit behind the last record of a segment. */
export const BLANK_BYTES = 8
/** A topic of more characters needs a V2 record. */
export const MAX_V1_TOPIC_BYTES = 127
export const MAX_PROPERTIES_BYTES = 32767

/** So many bytes of a record reach behind the length of its body, whatever its hosts. */
export const MAX_HEAD_BYTES = 112
/** Properties and topic together, at most. */
const MAX_TAIL_BYTES = 2 * 0x8000

/** Whether the size at `pos` can be that of the body behind it; needs no more than MAX_HEAD_BYTES. */
export function recordSizeIsPlausible(view: DataView, pos: number): boolean {
  const sysFlag = view.getInt32(pos + RECORD_HEAD.at.sysFlag)
  const hostsBytes =
    (sysFlag & SysFlag.BORN_HOST_V6 ? HOST_V6_BYTES : HOST_BYTES) +
    (sysFlag & SysFlag.STORE_HOST_V6 ? HOST_V6_BYTES : HOST_BYTES)
  const bodyLength = view.getInt32(pos + RECORD_HEAD.bytes + hostsBytes + 20)
  const rest = view.getInt32(pos) - (EMPTY_RECORD_BYTES - 2 * HOST_BYTES + hostsBytes) - bodyLength
  return bodyLength >= 0 && rest >= 0 && rest <= MAX_TAIL_BYTES
}

/** Store time of the record at `pos`, ms; needs no more than MAX_HEAD_BYTES. */
export function storeTimestampAt(view: DataView, pos: number): number {
  const v6 = view.getInt32(pos + RECORD_HEAD.at.sysFlag) & SysFlag.BORN_HOST_V6
  return readI64(view, pos + RECORD_HEAD.bytes + (v6 ? HOST_V6_BYTES : HOST_BYTES))
}

/** The size of a record. CommitLog#calMsgLength */
export function recordSize(
  bodyLength: number,
  topicLength: number,
  propertiesLength: number,
  bornV6: boolean,
  storeV6: boolean,
  v2: boolean
): number {
  return (
    EMPTY_RECORD_BYTES +
    (bornV6 ? 12 : 0) +
    (storeV6 ? 12 : 0) +
    (v2 ? 1 : 0) +
    bodyLength +
    topicLength +
    propertiesLength
  )
}

/** What writeRecord lays down: numbers, hosts, and byte ranges that it copies. */
export interface RecordFields {
  queueId: number
  flag: number
  queueOffset: number
  physicalOffset: number
  /** As it will stand in the record: host bits match the hosts. */
  sysFlag: number
  bornTimestamp: number
  bornHost: Host
  storeTimestamp: number
  storeHost: Host
  reconsumeTimes: number
  preparedTransactionOffset: number
  body: Uint8Array
  bodyStart: number
  bodyEnd: number
  topic: Uint8Array
  properties: Uint8Array
  propertiesStart: number
  propertiesEnd: number
}

/** Copies without making a view of the source. */
function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): number {
  if (end - start < 64) for (let i = start; i < end; i++) target[at++] = source[i]!
  else {
    target.set(source.subarray(start, end), at)
    at += end - start
  }
  return at
}

/** Lays down one record at `pos`; the only place that knows the order in which it is written. Returns its size. */
export function writeRecord(view: DataView, bytes: Uint8Array, pos: number, f: RecordFields): number {
  const at = RECORD_HEAD.at
  const v2 = f.topic.length > MAX_V1_TOPIC_BYTES
  view.setInt32(pos + at.magic, v2 ? RecordMagic.V2 : RecordMagic.V1)
  view.setInt32(pos + at.bodyCrc, crc32(f.body, f.bodyStart, f.bodyEnd))
  view.setInt32(pos + at.queueId, f.queueId)
  view.setInt32(pos + at.flag, f.flag)
  writeI64(view, pos + at.queueOffset, f.queueOffset)
  writeI64(view, pos + at.physicalOffset, f.physicalOffset)
  view.setInt32(pos + at.sysFlag, f.sysFlag)
  writeI64(view, pos + at.bornTimestamp, f.bornTimestamp)
  let p = copyBytes(bytes, pos + RECORD_HEAD.bytes, f.bornHost.bytes, 0, f.bornHost.bytes.length)
  writeI64(view, p, f.storeTimestamp)
  p = copyBytes(bytes, p + 8, f.storeHost.bytes, 0, f.storeHost.bytes.length)
  view.setInt32(p, f.reconsumeTimes)
  writeI64(view, p + 4, f.preparedTransactionOffset)
  view.setInt32(p + 12, f.bodyEnd - f.bodyStart)
  p = copyBytes(bytes, p + 16, f.body, f.bodyStart, f.bodyEnd)
  if (v2) {
    view.setInt16(p, f.topic.length)
    p += 2
  } else {
    view.setInt8(p, f.topic.length)
    p += 1
  }
  p = copyBytes(bytes, p, f.topic, 0, f.topic.length)
  view.setInt16(p, f.propertiesEnd - f.propertiesStart)
  p = copyBytes(bytes, p + 2, f.properties, f.propertiesStart, f.propertiesEnd)
  view.setInt32(pos, p - pos)
  return p - pos
}

/** What stands at a position of the log. */
export const RecordCheck = { OK: 0, BLANK: 1, SHORT: 2, BAD_MAGIC: 3, BAD_SIZE: 4 } as const
const REASONS = [
  '',
  'the blank end of a segment',
  'it is cut off',
  'its magic number is unknown',
  'its parts do not add up'
]

/** The positions of a record's parts, found without decoding them. Reuse one instance: nothing is allocated. */
export class RecordCursor {
  private view: DataView = new DataView(new ArrayBuffer(0))
  private bytes: Uint8Array = new Uint8Array(0)
  private pos = 0
  /** The record's whole size; of a blank, the bytes left in the segment. */
  sizeBytes = 0
  /** Where bornHost, storeTimestamp and storeHost stand. */
  storeTimestampAt = 0
  bodyStart = 0
  bodyEnd = 0
  topicStart = 0
  topicEnd = 0
  propertiesStart = 0
  propertiesEnd = 0

  /** Looks at the record at `pos`, of which bytes up to `limit` may be read. Returns a RecordCheck; checks no CRC. */
  at(view: DataView, bytes: Uint8Array, pos: number, limit: number): number {
    this.view = view
    this.bytes = bytes
    this.pos = pos
    if (limit - pos < BLANK_BYTES) return RecordCheck.SHORT
    const size = view.getInt32(pos)
    this.sizeBytes = size
    const magic = view.getInt32(pos + RECORD_HEAD.at.magic)
    if (magic === RecordMagic.BLANK) return RecordCheck.BLANK
    if (magic !== RecordMagic.V1 && magic !== RecordMagic.V2) return RecordCheck.BAD_MAGIC
    if (size < EMPTY_RECORD_BYTES) return RecordCheck.BAD_SIZE
    if (size > limit - pos) return RecordCheck.SHORT
    const end = pos + size
    const sysFlag = view.getInt32(pos + RECORD_HEAD.at.sysFlag)
    const storeTimeAt = pos + RECORD_HEAD.bytes + (sysFlag & SysFlag.BORN_HOST_V6 ? HOST_V6_BYTES : HOST_BYTES)
    const tailAt = storeTimeAt + 8 + (sysFlag & SysFlag.STORE_HOST_V6 ? HOST_V6_BYTES : HOST_BYTES)
    if (tailAt + 16 > end) return RecordCheck.BAD_SIZE
    const bodyLength = view.getInt32(tailAt + 12)
    const bodyStart = tailAt + 16
    const v2 = magic === RecordMagic.V2
    if (bodyLength < 0 || bodyStart + bodyLength + (v2 ? 2 : 1) > end) return RecordCheck.BAD_SIZE
    const bodyEnd = bodyStart + bodyLength
    const topicLength = v2 ? view.getInt16(bodyEnd) : view.getInt8(bodyEnd)
    const topicStart = bodyEnd + (v2 ? 2 : 1)
    if (topicLength < 0 || topicStart + topicLength + 2 > end) return RecordCheck.BAD_SIZE
    const topicEnd = topicStart + topicLength
    const propertiesLength = view.getInt16(topicEnd)
    if (propertiesLength < 0 || topicEnd + 2 + propertiesLength !== end) return RecordCheck.BAD_SIZE
    this.storeTimestampAt = storeTimeAt
    this.bodyStart = bodyStart
    this.bodyEnd = bodyEnd
    this.topicStart = topicStart
    this.topicEnd = topicEnd
    this.propertiesStart = topicEnd + 2
    this.propertiesEnd = end
    return RecordCheck.OK
  }

  /** Whether the body is the one that was stored, and all of the record where it has a checksum of that. */
  crcOk(): boolean {
    const { bytes } = this
    const crcAt = propertyCrcAt(bytes, this.propertiesStart, this.propertiesEnd)
    if (crcAt >= 0) return propertyCrcOk(bytes, this.pos, crcAt)
    return this.bodyCrcOk()
  }

  /** Whether the body is the one that was stored. */
  bodyCrcOk(): boolean {
    const { bytes, bodyStart, bodyEnd } = this
    return bodyEnd === bodyStart || crc32(bytes, bodyStart, bodyEnd) === this.bodyCrc
  }

  get magic(): number {
    return this.view.getInt32(this.pos + RECORD_HEAD.at.magic)
  }
  get bodyCrc(): number {
    return this.view.getInt32(this.pos + RECORD_HEAD.at.bodyCrc)
  }
  get queueId(): number {
    return this.view.getInt32(this.pos + RECORD_HEAD.at.queueId)
  }
  get flag(): number {
    return this.view.getInt32(this.pos + RECORD_HEAD.at.flag)
  }
  get queueOffset(): number {
    return readI64(this.view, this.pos + RECORD_HEAD.at.queueOffset)
  }
  get physicalOffset(): number {
    return readI64(this.view, this.pos + RECORD_HEAD.at.physicalOffset)
  }
  get sysFlag(): number {
    return this.view.getInt32(this.pos + RECORD_HEAD.at.sysFlag)
  }
  get bornTimestamp(): number {
    return readI64(this.view, this.pos + RECORD_HEAD.at.bornTimestamp)
  }
  get storeTimestamp(): number {
    return readI64(this.view, this.storeTimestampAt)
  }
  get reconsumeTimes(): number {
    return this.view.getInt32(this.bodyStart - 16)
  }
  get preparedTransactionOffset(): number {
    return readI64(this.view, this.bodyStart - 12)
  }
  get topic(): string {
    return textOf(this.bytes, this.topicStart, this.topicEnd)
  }
  get propertiesText(): string {
    return textOf(this.bytes, this.propertiesStart, this.propertiesEnd)
  }
}

/** A record, decoded. `body` is a view of the bytes that it was read from, still compressed if it was. */
export interface MessageRecord {
  topic: string
  queueId: number
  queueOffset: number
  physicalOffset: number
  sizeBytes: number
  magic: number
  flag: number
  sysFlag: number
  bodyCrc: number
  bornTimestamp: number
  bornHost: Host
  storeTimestamp: number
  storeHost: Host
  reconsumeTimes: number
  preparedTransactionOffset: number
  body: Uint8Array
  properties: Properties
}

const cursor = new RecordCursor()

/** Decodes the record at `start`. Throws MessageError BAD_RECORD; checks no CRC. MessageDecoder#decode */
export function decodeRecord(bytes: Uint8Array, start = 0): MessageRecord {
  const check = cursor.at(viewOf(bytes), bytes, start, bytes.length)
  if (check !== RecordCheck.OK) throw new MessageError('BAD_RECORD', { position: start, reason: REASONS[check] })
  const sysFlag = cursor.sysFlag
  return {
    topic: cursor.topic,
    queueId: cursor.queueId,
    queueOffset: cursor.queueOffset,
    physicalOffset: cursor.physicalOffset,
    sizeBytes: cursor.sizeBytes,
    magic: cursor.magic,
    flag: cursor.flag,
    sysFlag,
    bodyCrc: cursor.bodyCrc,
    bornTimestamp: cursor.bornTimestamp,
    bornHost: readHost(bytes, start + RECORD_HEAD.bytes, (sysFlag & SysFlag.BORN_HOST_V6) !== 0),
    storeTimestamp: cursor.storeTimestamp,
    storeHost: readHost(bytes, cursor.storeTimestampAt + 8, (sysFlag & SysFlag.STORE_HOST_V6) !== 0),
    reconsumeTimes: cursor.reconsumeTimes,
    preparedTransactionOffset: cursor.preparedTransactionOffset,
    body: bytes.subarray(cursor.bodyStart, cursor.bodyEnd),
    properties: decodeProperties(cursor.propertiesText)
  }
}

/** Decodes records that stand back to back, as in the body of a pull answer. */
export function decodeRecords(bytes: Uint8Array): MessageRecord[] {
  const records: MessageRecord[] = []
  for (let pos = 0; pos < bytes.length; ) {
    const record = decodeRecord(bytes, pos)
    records.push(record)
    pos += record.sizeBytes
  }
  return records
}

/** Encodes a decoded record again; size, magic, CRC and host bits follow from the parts. */
export function encodeRecord(record: Omit<MessageRecord, 'sizeBytes' | 'magic' | 'bodyCrc'>): Uint8Array {
  const topic = Buffer.from(record.topic)
  const properties = Buffer.from(encodeProperties(record.properties))
  const v2 = topic.length > MAX_V1_TOPIC_BYTES
  const { bornHost, storeHost, body } = record
  const bytes = new Uint8Array(recordSize(body.length, topic.length, properties.length, bornHost.v6, storeHost.v6, v2))
  const hostBits = (bornHost.v6 ? SysFlag.BORN_HOST_V6 : 0) | (storeHost.v6 ? SysFlag.STORE_HOST_V6 : 0)
  writeRecord(viewOf(bytes), bytes, 0, {
    ...record,
    sysFlag: (record.sysFlag & ~SysFlag.HOST_MASK) | hostBits,
    bodyStart: 0,
    bodyEnd: body.length,
    topic,
    properties,
    propertiesStart: 0,
    propertiesEnd: properties.length
  })
  return bytes
}
