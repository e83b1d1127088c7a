import { layout, viewOf } from './bytes.ts'
import { MessageError } from './errors.ts'

/** What stands in front of each message's body in the body of SEND_BATCH_MESSAGE. MessageDecoder#encodeMessage */
const ENTRY = layout({ size: 'i32', magic: 'i32', bodyCrc: 'i32', flag: 'i32', bodyLength: 'i32' })

/** One message of a batch, before it is sent. */
export interface BatchMessage {
  flag: number
  body: Uint8Array
  /** Encoded properties. */
  properties: string
}

/** The body of a batch request: its messages back to back. MessageDecoder#encodeMessages */
export function encodeBatch(messages: readonly BatchMessage[]): Uint8Array {
  const properties = messages.map(message => Buffer.from(message.properties))
  const sizes = messages.map((message, i) => ENTRY.bytes + message.body.length + 2 + properties[i]!.length)
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0))
  const view = viewOf(bytes)
  let pos = 0
  messages.forEach((message, i) => {
    view.setInt32(pos + ENTRY.at.size, sizes[i]!)
    view.setInt32(pos + ENTRY.at.flag, message.flag)
    view.setInt32(pos + ENTRY.at.bodyLength, message.body.length)
    bytes.set(message.body, pos + ENTRY.bytes)
    view.setInt16(pos + ENTRY.bytes + message.body.length, properties[i]!.length)
    bytes.set(properties[i]!, pos + ENTRY.bytes + message.body.length + 2)
    pos += sizes[i]!
  })
  return bytes
}

/** Walks the messages of a batch body in place; every length is checked against the bytes that are there. */
export class BatchCursor {
  private readonly view: DataView
  private readonly end: number
  private pos: number
  flag = 0
  bodyStart = 0
  bodyEnd = 0
  propertiesStart = 0
  propertiesEnd = 0

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.view = viewOf(bytes)
    this.pos = start
    this.end = end
  }

  /** Moves to the next message; false behind the last. Throws MessageError BAD_BATCH. */
  next(): boolean {
    const { view, pos, end } = this
    if (pos === end) return false
    if (end - pos < ENTRY.bytes + 2) throw this.broken('it is cut off')
    const size = view.getInt32(pos + ENTRY.at.size)
    const bodyLength = view.getInt32(pos + ENTRY.at.bodyLength)
    if (size < ENTRY.bytes + 2 || size > end - pos) throw this.broken(`an entry of ${size} bytes`)
    if (bodyLength < 0 || bodyLength > size - ENTRY.bytes - 2) throw this.broken(`a body of ${bodyLength} bytes`)
    this.flag = view.getInt32(pos + ENTRY.at.flag)
    this.bodyStart = pos + ENTRY.bytes
    this.bodyEnd = this.bodyStart + bodyLength
    const propertiesLength = view.getInt16(this.bodyEnd)
    this.propertiesStart = this.bodyEnd + 2
    this.propertiesEnd = this.propertiesStart + propertiesLength
    if (propertiesLength < 0 || this.propertiesEnd !== pos + size)
      throw this.broken(`properties of ${propertiesLength} bytes`)
    this.pos = pos + size
    return true
  }

  private broken(reason: string): MessageError {
    return new MessageError('BAD_BATCH', { position: this.pos, reason })
  }
}
