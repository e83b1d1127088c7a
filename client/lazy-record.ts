import {
  decodeProperties,
  decodeRecord,
  type Host,
  Interner,
  type MessageRecord,
  type Properties,
  RECORD_HEAD,
  RecordCheck,
  RecordCursor,
  readHost,
  readI64,
  SysFlag,
  textOf
} from '../message/index.ts'

const { at } = RECORD_HEAD
const cursor = new RecordCursor()
const topics = new Interner()

/** A record whose parts are decoded when they are asked for: a consumer that reads bodies pays for bodies. */
export class LazyRecord implements MessageRecord {
  readonly topic: string
  readonly sizeBytes: number
  private readonly view: DataView
  private readonly bytes: Uint8Array
  private readonly start: number
  private readonly storeTimestampAt: number
  private readonly bodyStart: number
  private readonly bodyEnd: number
  private readonly propertiesStart: number

  /** The record at `start` of bytes that stay as they are; `view` is over all of them. Throws MessageError BAD_RECORD. */
  constructor(view: DataView, bytes: Uint8Array, start: number) {
    // The one that decodes all knows what to say of a broken record.
    if (cursor.at(view, bytes, start, bytes.length) !== RecordCheck.OK) decodeRecord(bytes, start)
    this.view = view
    this.bytes = bytes
    this.start = start
    this.sizeBytes = cursor.sizeBytes
    this.topic = topics.get(bytes, cursor.topicStart, cursor.topicEnd)
    this.storeTimestampAt = cursor.storeTimestampAt
    this.bodyStart = cursor.bodyStart
    this.bodyEnd = cursor.bodyEnd
    this.propertiesStart = cursor.propertiesStart
  }

  get magic(): number {
    return this.view.getInt32(this.start + at.magic)
  }
  get bodyCrc(): number {
    return this.view.getInt32(this.start + at.bodyCrc)
  }
  get queueId(): number {
    return this.view.getInt32(this.start + at.queueId)
  }
  get flag(): number {
    return this.view.getInt32(this.start + at.flag)
  }
  get queueOffset(): number {
    return readI64(this.view, this.start + at.queueOffset)
  }
  get physicalOffset(): number {
    return readI64(this.view, this.start + at.physicalOffset)
  }
  get sysFlag(): number {
    return this.view.getInt32(this.start + at.sysFlag)
  }
  get bornTimestamp(): number {
    return readI64(this.view, this.start + at.bornTimestamp)
  }
  get bornHost(): Host {
    return readHost(this.bytes, this.start + RECORD_HEAD.bytes, (this.sysFlag & SysFlag.BORN_HOST_V6) !== 0)
  }
  get storeTimestamp(): number {
    return readI64(this.view, this.storeTimestampAt)
  }
  get storeHost(): Host {
    return readHost(this.bytes, this.storeTimestampAt + 8, (this.sysFlag & SysFlag.STORE_HOST_V6) !== 0)
  }
  get reconsumeTimes(): number {
    return this.view.getInt32(this.bodyStart - 16)
  }
  get preparedTransactionOffset(): number {
    return readI64(this.view, this.bodyStart - 12)
  }
  get body(): Uint8Array {
    return this.bytes.subarray(this.bodyStart, this.bodyEnd)
  }
  get properties(): Properties {
    return decodeProperties(textOf(this.bytes, this.propertiesStart, this.start + this.sizeBytes))
  }
}
