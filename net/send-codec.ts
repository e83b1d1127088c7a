import { MQ_VERSION } from './codes.ts'
import { ONE_WAY_FLAG, RESPONSE_FLAG } from './command.ts'
import type { Connection } from './connection.ts'
import {
  BINARY_AT,
  BINARY_HEADER,
  FRAME_HEAD_BYTES,
  type Frame,
  JSON_HEADER,
  LENGTH_BYTES,
  type SerializeType
} from './frame.ts'
import { fieldKey, HeaderWriter, MAX_ESCAPED_BYTES } from './header-writer.ts'

// The direct way of SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE: headers are read and answers written in place, in both header
// types, with nothing allocated for a message. Whatever is unusual is left to the general codec.

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN = 0x7b
const CLOSE = 0x7d
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const EXT_FIELDS = Buffer.from('extFields')
const OPAQUE = Buffer.from('opaque')
const FLAG = Buffer.from('flag')
const VERSION = Buffer.from('version')
const CODE = Buffer.from('code')

/** One bit for each of the fields that every request has, a to h. */
const ALL_REQUIRED = 0xff

/** Properties are at most 32,767 bytes; what does not fit takes the general way. */
const SCRATCH_BYTES = 64 * 1024

/** The custom header of a send request (fields a to n), found in its frame. Reuse one instance. SendMessageRequestHeaderV2 */
export class SendHeaderView {
  opaque = 0
  version = 0
  oneWay = false
  /** What the ranges below point into; properties with JSON escapes lie in `propertiesBytes` instead. */
  bytes: Uint8Array = new Uint8Array(0)
  topicStart = 0
  topicEnd = 0
  propertiesBytes: Uint8Array = this.bytes
  propertiesStart = 0
  propertiesEnd = 0
  queueId = 0
  sysFlag = 0
  bornTimestamp = 0
  flag = 0
  reconsumeTimes = 0
  batch = false
  private readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  private seen = 0
  private pos = 0
  private end = 0
  /** The last number that was read, or where the last text begins. */
  private number = 0
  private escaped = false

  /** Reads the header; false when it is not one of the usual form. */
  decode(frame: Frame): boolean {
    this.bytes = frame.bytes
    this.topicStart = this.topicEnd = this.propertiesStart = this.propertiesEnd = 0
    this.propertiesBytes = frame.bytes
    this.reconsumeTimes = 0
    this.batch = false
    this.version = 0
    this.seen = 0
    return frame.serializeType === BINARY_HEADER ? this.decodeBinary(frame) : this.decodeJson(frame)
  }

  private decodeBinary({ view, headerStart, headerEnd, bytes }: Frame): boolean {
    const wireFlag = view.getInt32(headerStart + BINARY_AT.flag)
    this.version = view.getInt16(headerStart + BINARY_AT.version)
    this.opaque = view.getInt32(headerStart + BINARY_AT.opaque)
    this.oneWay = (wireFlag & ONE_WAY_FLAG) !== 0
    if (wireFlag & RESPONSE_FLAG || view.getInt32(headerStart + BINARY_AT.remarkLength) !== 0) return false
    let pos = headerStart + BINARY_AT.smallest
    if (view.getInt32(pos - 4) !== headerEnd - pos) return false
    while (pos < headerEnd) {
      if (headerEnd - pos < 7 || view.getInt16(pos) !== 1) return false
      const key = bytes[pos + 2]!
      const length = view.getInt32(pos + 3)
      pos += 7
      if (length < 0 || length > headerEnd - pos) return false
      if (!this.field(key, pos, pos + length)) return false
      pos += length
    }
    return this.complete()
  }

  /** A field's value in bytes[start, end); false when the general codec would see in it what this one does not. */
  private field(key: number, start: number, end: number): boolean {
    if (end === start) return false
    if (key >= 0x61 && key <= 0x68) this.seen |= 1 << (key - 0x61)
    switch (key) {
      case 0x61: // a: producer group, which only statistics would want
      case 0x63: // c: default topic; a topic that is missing takes the general way
      case 0x6b: // k: unit mode
      case 0x6e: // n: broker name
        return true
      case 0x62:
        this.topicStart = start
        this.topicEnd = end
        return true
      case 0x69:
        this.propertiesBytes = this.bytes
        this.propertiesStart = start
        this.propertiesEnd = end
        return true
      case 0x6d:
        this.batch = this.is(TRUE, start, end)
        return this.batch || this.is(FALSE, start, end)
    }
    if (!this.decimal(start, end)) return false
    if (key === 0x67) {
      this.bornTimestamp = this.number
      return true
    }
    if (this.number !== (this.number | 0)) return false
    switch (key) {
      case 0x64: // d: default queue count
      case 0x6c: // l: largest reconsume count
        return true
      case 0x65:
        this.queueId = this.number
        return true
      case 0x66:
        this.sysFlag = this.number
        return true
      case 0x68:
        this.flag = this.number
        return true
      case 0x6a:
        this.reconsumeTimes = this.number
        return true
    }
    return false
  }

  private is(word: Uint8Array, start: number, end: number): boolean {
    if (end - start !== word.length) return false
    for (let i = 0; i < word.length; i++) if (this.bytes[start + i] !== word[i]) return false
    return true
  }

  private decimal(start: number, end: number): boolean {
    const { bytes } = this
    const negative = bytes[start] === 0x2d
    const first = negative ? start + 1 : start
    let number = 0
    if (end - first > 15 || end <= first) return false
    for (let i = first; i < end; i++) {
      const digit = bytes[i]! - 48
      if (digit < 0 || digit > 9) return false
      number = number * 10 + digit
    }
    this.number = negative ? 0 - number : number
    return true
  }

  private complete(): boolean {
    return this.seen === ALL_REQUIRED
  }

  /** The code first, then any order of keys, no white space: what Java, Go and JSON.stringify write. */
  private decodeJson({ bytes, headerStart, headerEnd }: Frame): boolean {
    this.end = headerEnd
    this.pos = headerStart
    this.oneWay = false
    let hasOpaque = false
    let hasFields = false
    if (bytes[this.pos++] !== OPEN) return false
    while (true) {
      if (!this.text()) return false
      const keyStart = this.number
      const keyEnd = this.pos - 1
      if (this.escaped || bytes[this.pos++] !== COLON) return false
      if (this.is(EXT_FIELDS, keyStart, keyEnd)) {
        if (hasFields || !this.extFields()) return false
        hasFields = true
      } else {
        const isOpaque = this.is(OPAQUE, keyStart, keyEnd)
        const isFlag = this.is(FLAG, keyStart, keyEnd)
        const isVersion = this.is(VERSION, keyStart, keyEnd)
        if (isOpaque || isFlag || isVersion || this.is(CODE, keyStart, keyEnd)) {
          if (!this.int32()) return false
          if (isOpaque) this.opaque = this.number
          else if (isVersion) this.version = this.number
          else if (isFlag) this.oneWay = (this.number & ONE_WAY_FLAG) !== 0
          // The frame's code is the one that stands first.
          else if (keyStart !== headerStart + 2) return false
          if (isFlag && this.number & RESPONSE_FLAG) return false
          hasOpaque ||= isOpaque
        } else if (!this.text()) return false
      }
      const next = bytes[this.pos++]
      if (next === CLOSE) return this.pos === this.end && hasOpaque && this.complete()
      if (next !== COMMA) return false
    }
  }

  private int32(): boolean {
    const start = this.pos
    while (this.pos < this.end && this.bytes[this.pos] !== COMMA && this.bytes[this.pos] !== CLOSE) this.pos++
    return this.decimal(start, this.pos) && this.number === (this.number | 0)
  }

  private extFields(): boolean {
    const { bytes } = this
    if (bytes[this.pos++] !== OPEN) return false
    while (true) {
      if (!this.text()) return false
      const key = bytes[this.number]!
      if (this.pos - 1 - this.number !== 1 || bytes[this.pos++] !== COLON || !this.text()) return false
      const start = this.number
      if (this.escaped) {
        if (key !== 0x69 || !this.unescape(start, this.pos - 1)) return false
      } else if (!this.field(key, start, this.pos - 1)) return false
      const next = bytes[this.pos++]
      if (next === CLOSE) return true
      if (next !== COMMA) return false
    }
  }

  /** Passes over a text; `number` is then where it begins, `pos` behind its closing quote. */
  private text(): boolean {
    const { bytes, end } = this
    if (bytes[this.pos++] !== QUOTE) return false
    this.number = this.pos
    this.escaped = false
    let pos = this.pos
    while (pos < end && bytes[pos] !== QUOTE) {
      if (bytes[pos] === BACKSLASH) {
        this.escaped = true
        pos++
      }
      pos++
    }
    this.pos = pos + 1
    return pos < end
  }

  /** Properties come with \u0001 and \u0002 between them; other escapes than these and quotes take the general way. */
  private unescape(start: number, end: number): boolean {
    const { bytes, scratch } = this
    if (end - start > SCRATCH_BYTES) return false
    let out = 0
    for (let i = start; i < end; i++) {
      let byte = bytes[i]!
      if (byte === BACKSLASH) {
        byte = bytes[++i]!
        if (byte === 0x75) {
          if (bytes[i + 1] !== 48 || bytes[i + 2] !== 48 || bytes[i + 3] !== 48) return false
          byte = bytes[i + 4]! - 48
          if (byte < 0 || byte > 9) return false
          i += 4
        } else if (byte !== QUOTE && byte !== BACKSLASH && byte !== 0x2f) return false
      }
      scratch[out++] = byte
    }
    this.propertiesBytes = scratch
    this.propertiesStart = 0
    this.propertiesEnd = out
    return true
  }
}

const writer = new HeaderWriter()

const KEY = {
  msgId: fieldKey('msgId'),
  queueId: fieldKey('queueId'),
  queueOffset: fieldKey('queueOffset'),
  transactionId: fieldKey('transactionId')
}
const REGION_AND_TRACE = Buffer.concat([
  fieldKey('MSG_REGION'),
  Buffer.from([0, 0, 0, 13]),
  Buffer.from('DefaultRegion'),
  fieldKey('TRACE_ON'),
  Buffer.from([0, 0, 0, 4]),
  Buffer.from('true')
])
const JSON_PART = {
  head: Buffer.from('{"code":'),
  queueId: Buffer.from(',"extFields":{"queueId":"'),
  regionAndTrace: Buffer.from('","TRACE_ON":"true","MSG_REGION":"DefaultRegion'),
  transactionId: Buffer.from('","transactionId":"'),
  msgId: Buffer.from('","msgId":"'),
  queueOffset: Buffer.from('","queueOffset":"'),
  opaque: Buffer.from('"},"flag":1,"language":"JAVA","opaque":'),
  tail: Buffer.from(`,"serializeTypeCurrentRPC":"JSON","version":${MQ_VERSION}}`)
}
/** Everything of an answer but message id prefix and transaction id. */
const MAX_FIXED_BYTES = 400

/**
 * Writes the answer to a send into the connection's output. `hostHex` is the store host in hexadecimal digits, with which
 * the offset message id begins; the transaction id (the UNIQ_KEY) is bytes [idStart, idEnd). SendMessageResponseHeader
 */
export function writeSendResponse(
  connection: Connection,
  serializeType: SerializeType,
  opaque: number,
  code: number,
  hostHex: Uint8Array,
  physicalOffset: number,
  queueId: number,
  queueOffset: number,
  id: Uint8Array,
  idStart: number,
  idEnd: number
): void {
  const out = connection.output(MAX_FIXED_BYTES + hostHex.length + MAX_ESCAPED_BYTES * (idEnd - idStart))
  const start = out.pos
  writer.start(out.bytes, out.view, start + FRAME_HEAD_BYTES)
  if (serializeType === JSON_HEADER) {
    writer.raw(JSON_PART.head)
    writer.decimal(code)
    writer.raw(JSON_PART.queueId)
    writer.decimal(queueId)
    writer.raw(JSON_PART.regionAndTrace)
    if (idEnd > idStart) {
      writer.raw(JSON_PART.transactionId)
      writer.jsonText(id, idStart, idEnd)
    }
    writer.raw(JSON_PART.msgId)
    writer.raw(hostHex)
    writer.hex64(physicalOffset)
    writer.raw(JSON_PART.queueOffset)
    writer.decimal(queueOffset)
    writer.raw(JSON_PART.opaque)
    writer.decimal(opaque)
    writer.raw(JSON_PART.tail)
  } else {
    const at = writer.skip(BINARY_AT.smallest)
    const { view, bytes } = out
    view.setInt16(at + BINARY_AT.code, code)
    bytes[at + BINARY_AT.language] = 0
    view.setInt16(at + BINARY_AT.version, MQ_VERSION)
    view.setInt32(at + BINARY_AT.opaque, opaque)
    view.setInt32(at + BINARY_AT.flag, RESPONSE_FLAG)
    view.setInt32(at + BINARY_AT.remarkLength, 0)
    writer.raw(KEY.msgId)
    writer.int32(hostHex.length + 16)
    writer.raw(hostHex)
    writer.hex64(physicalOffset)
    writer.raw(KEY.queueId)
    writer.decimalValue(queueId)
    writer.raw(KEY.queueOffset)
    writer.decimalValue(queueOffset)
    if (idEnd > idStart) {
      writer.raw(KEY.transactionId)
      writer.int32(idEnd - idStart)
      writer.raw(id, idStart, idEnd)
    }
    writer.raw(REGION_AND_TRACE)
    view.setInt32(at + BINARY_AT.smallest - 4, writer.position - at - BINARY_AT.smallest)
  }
  const length = writer.position - start - FRAME_HEAD_BYTES
  out.view.setInt32(start, length + LENGTH_BYTES)
  out.view.setUint32(start + LENGTH_BYTES, ((serializeType << 24) | length) >>> 0)
  out.pos = writer.position
}
