import { NetError } from './errors.ts'

/** Bytes of the field in front of a frame that says how many follow. */
export const LENGTH_BYTES = 4
/** Length, serialize type, header length. */
export const FRAME_HEAD_BYTES = 8
export const JSON_HEADER = 0
export const BINARY_HEADER = 1
export type SerializeType = 0 | 1

/** No header comes near it; its fields cost many times their bytes once they are decoded. */
const MAX_HEADER_BYTES = 1024 * 1024

/** Fixed places in a binary header. RocketMQSerializable#rocketMQProtocolEncode */
export const BINARY_AT = {
  code: 0,
  language: 2,
  version: 3,
  opaque: 5,
  flag: 9,
  remarkLength: 13,
  smallest: 21
} as const

/** `{"code":` */
const JSON_CODE = Buffer.from('{"code":')
const COMMA = 0x2c

/** POP codes above 32767 as a 16-bit field cuts them off. */
const CUT_CODES: Readonly<Record<number, number>> = Object.fromEntries(
  [200050, 200051, 200052, 200053, 200054, 200055, 200056, 200151].map(code => [code & 0xffff, code])
)

const NO_BYTES = Buffer.alloc(0)
const NO_VIEW = new DataView(new ArrayBuffer(0))

/** One whole frame in place. Reused: valid only while its handler runs. */
export class Frame {
  bytes: Buffer = NO_BYTES
  view: DataView = NO_VIEW
  headerStart = 0
  headerEnd = 0
  bodyEnd = 0
  serializeType: SerializeType = JSON_HEADER
  /** Peeked without decoding the header; -1 when a JSON header does not begin with its code. */
  code = -1
  /** Whether the bytes are this frame's alone, so that its body may be kept without a copy. */
  ownsBytes = false

  /** Points at the frame bytes[start, end), whose length field has been read. Throws NetError BAD_FRAME. */
  set(bytes: Buffer, view: DataView, start: number, end: number): void {
    const word = view.getUint32(start + LENGTH_BYTES)
    const type = word >>> 24
    const headerLength = word & 0xff_ffff
    if (type !== JSON_HEADER && type !== BINARY_HEADER)
      throw new NetError('BAD_FRAME', { reason: `serialize type ${type}` })
    if (start + FRAME_HEAD_BYTES + headerLength > end)
      throw new NetError('BAD_FRAME', { reason: `a header of ${headerLength} bytes in a frame of ${end - start}` })
    this.bytes = bytes
    this.view = view
    if (headerLength > MAX_HEADER_BYTES)
      throw new NetError('BAD_FRAME', { reason: `a header of ${headerLength} bytes, the limit is ${MAX_HEADER_BYTES}` })
    this.headerStart = start + FRAME_HEAD_BYTES
    this.headerEnd = this.headerStart + headerLength
    this.bodyEnd = end
    this.serializeType = type
    this.code = type === BINARY_HEADER ? this.binaryCode() : this.jsonCode()
  }

  /** Lets go of the bytes: a connection that falls silent does not hold its last large frame. */
  release(): void {
    this.bytes = NO_BYTES
    this.view = NO_VIEW
    this.ownsBytes = false
  }

  private binaryCode(): number {
    if (this.headerEnd - this.headerStart < BINARY_AT.smallest)
      throw new NetError('BAD_FRAME', { reason: 'a binary header of under 21 bytes' })
    const code = this.view.getInt16(this.headerStart)
    return CUT_CODES[code] ?? code
  }

  private jsonCode(): number {
    const { bytes, headerStart, headerEnd } = this
    for (let i = 0; i < JSON_CODE.length; i++) if (bytes[headerStart + i] !== JSON_CODE[i]) return -1
    let code = 0
    for (let pos = headerStart + JSON_CODE.length; pos < headerEnd; pos++) {
      const digit = bytes[pos]! - 48
      if (digit < 0 || digit > 9) return bytes[pos] === COMMA ? code : -1
      code = code * 10 + digit
    }
    return -1
  }
}

export interface FrameSink {
  onFrame(frame: Frame): void
  /** Looked at before each frame: true keeps it and what follows back until `resume`. */
  readonly full?: boolean
}

/**
 * Finds whole frames in a stream of chunks, in place. Only a frame that spans chunks is copied, into a buffer that grows
 * with the bytes that arrive and never with a mere announcement.
 */
export class FrameDecoder {
  private readonly frame = new Frame()
  private readonly maxFrameBytes: number
  private carry: Buffer | null = null
  private carried = 0
  /** What came while the sink was full. */
  private rest: Buffer | null = null

  /** `maxFrameBytes` counts the length field too. NettyDecoder: FRAME_MAX_LENGTH */
  constructor(maxFrameBytes: number) {
    this.maxFrameBytes = maxFrameBytes
  }

  /**
   * Hands every frame that this chunk completes to the sink. The chunk is only lent: what is kept of it is copied.
   * Throws NetError; the stream is useless from then on.
   */
  push(chunk: Buffer, sink: FrameSink): void {
    if (this.rest !== null || sink.full) this.rest = Buffer.concat(this.rest === null ? [chunk] : [this.rest, chunk])
    else this.decode(chunk, sink, false)
  }

  private decode(chunk: Buffer, sink: FrameSink, isOwn: boolean): void {
    let pos = 0
    if (this.carry !== null) {
      pos = this.completeCarried(chunk, sink)
      if (this.carry !== null) return
    }
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
    while (chunk.length - pos >= LENGTH_BYTES) {
      const end = pos + this.frameBytes(view, pos)
      if (end > chunk.length) break
      if (sink.full) {
        this.rest = isOwn ? chunk.subarray(pos) : Buffer.from(chunk.subarray(pos))
        return
      }
      this.frame.set(chunk, view, pos, end)
      sink.onFrame(this.frame)
      pos = end
    }
    if (pos < chunk.length) {
      this.carry = Buffer.allocUnsafeSlow(Math.max(256, 2 * (chunk.length - pos)))
      this.carried = chunk.copy(this.carry, 0, pos)
    }
  }

  /** Goes on where the sink was full. */
  resume(sink: FrameSink): void {
    const { rest } = this
    if (rest === null || sink.full) return
    this.rest = null
    this.decode(rest, sink, true)
  }

  private frameBytes(view: DataView, pos: number): number {
    const length = view.getInt32(pos)
    if (length < LENGTH_BYTES) throw new NetError('BAD_FRAME', { reason: `a length of ${length}` })
    if (length + LENGTH_BYTES > this.maxFrameBytes)
      throw new NetError('FRAME_TOO_LARGE', { length: length + LENGTH_BYTES, max: this.maxFrameBytes })
    return length + LENGTH_BYTES
  }

  /** Adds to the carried frame what it lacks; returns how much of the chunk that took. */
  private completeCarried(chunk: Buffer, sink: FrameSink): number {
    let pos = 0
    if (this.carried < LENGTH_BYTES) {
      pos = this.take(chunk, 0, LENGTH_BYTES - this.carried)
      if (this.carried < LENGTH_BYTES) return pos
    }
    const head = this.carry!
    const size = this.frameBytes(new DataView(head.buffer, head.byteOffset, LENGTH_BYTES), 0)
    pos += this.take(chunk, pos, size - this.carried)
    if (this.carried < size) return pos
    const whole = this.carry!
    this.carry = null
    this.carried = 0
    this.frame.set(whole, new DataView(whole.buffer, whole.byteOffset, size), 0, size)
    this.frame.ownsBytes = true
    sink.onFrame(this.frame)
    this.frame.release()
    return pos
  }

  private take(chunk: Buffer, pos: number, wanted: number): number {
    const count = Math.min(wanted, chunk.length - pos)
    let carry = this.carry!
    if (this.carried + count > carry.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.max(this.carried + count, Math.min(this.carried + wanted, 4 * carry.length))
      )
      carry.copy(grown, 0, 0, this.carried)
      this.carry = carry = grown
    }
    chunk.copy(carry, this.carried, pos, pos + count)
    this.carried += count
    return count
  }
}
