const HEX = Buffer.from('0123456789ABCDEF')

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
/** `\u0000` */
export const MAX_ESCAPED_BYTES = 6

/** A field's key in a binary header: its length, then its bytes. */
export function fieldKey(name: string): Uint8Array {
  const bytes = Buffer.alloc(2 + name.length)
  bytes.writeInt16BE(name.length)
  bytes.write(name, 2)
  return bytes
}

/** Writes the pieces of a header in place, one after the other: numbers become digits without a string between. */
export class HeaderWriter {
  private bytes: Buffer = Buffer.alloc(0)
  private view: DataView = new DataView(new ArrayBuffer(0))
  private pos = 0

  start(bytes: Buffer, view: DataView, pos: number): void {
    this.bytes = bytes
    this.view = view
    this.pos = pos
  }

  raw(source: Uint8Array, start = 0, end = source.length): void {
    const { bytes } = this
    let pos = this.pos
    for (let i = start; i < end; i++) bytes[pos++] = source[i]!
    this.pos = pos
  }

  /** UTF-8 bytes as they stand between the quotes of a JSON text: up to MAX_ESCAPED_BYTES for each. */
  jsonText(source: Uint8Array, start: number, end: number): void {
    const { bytes } = this
    let pos = this.pos
    for (let i = start; i < end; i++) {
      const byte = source[i]!
      if (byte === QUOTE || byte === BACKSLASH) bytes[pos++] = BACKSLASH
      if (byte >= SPACE) bytes[pos++] = byte
      else pos += bytes.write(`\\u00${byte.toString(16).padStart(2, '0')}`, pos)
    }
    this.pos = pos
  }

  decimal(value: number): void {
    if (value < 0) {
      this.bytes[this.pos++] = 0x2d
      value = -value
    }
    let digits = 1
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++
    this.pos += digits
    let at = this.pos
    let rest = value
    for (let i = 0; i < digits; i++) {
      const next = Math.floor(rest / 10)
      this.bytes[--at] = 48 + (rest - next * 10)
      rest = next
    }
  }

  /** A field's value: its length, then its digits. */
  decimalValue(value: number): void {
    const lengthAt = this.skip(4)
    this.decimal(value)
    this.view.setInt32(lengthAt, this.pos - lengthAt - 4)
  }

  /** A field's value: its length, then its UTF-8 bytes. */
  textValue(text: string): void {
    const lengthAt = this.skip(4)
    this.pos += this.bytes.write(text, this.pos)
    this.view.setInt32(lengthAt, this.pos - lengthAt - 4)
  }

  /** 16 hexadecimal digits. */
  hex64(value: number): void {
    this.hex32(Math.floor(value / 0x1_0000_0000))
    this.hex32(value % 0x1_0000_0000)
  }

  private hex32(value: number): void {
    for (let shift = 28; shift >= 0; shift -= 4) this.bytes[this.pos++] = HEX[(value >>> shift) & 15]!
  }

  skip(count: number): number {
    this.pos += count
    return this.pos - count
  }

  int32(value: number): void {
    this.view.setInt32(this.pos, value)
    this.pos += 4
  }

  get position(): number {
    return this.pos
  }
}
