/** Byte-level helpers that every record, unit and header of the store and of the protocol is written with. */

const BYTES = { i8: 1, i16: 2, i32: 4, i64: 8 } as const

/** The fields of a fixed-width structure in their order; positions and total size follow. */
export function layout<F extends Record<string, keyof typeof BYTES>>(fields: F) {
  const at = {} as Record<keyof F, number>
  let bytes = 0
  for (const name in fields) {
    at[name] = bytes
    bytes += BYTES[fields[name]!]
  }
  return { at, bytes }
}

const TWO_32 = 0x1_0000_0000

/** A big-endian signed 64-bit integer as a number: exact to 2^53, which offsets and times never reach. */
export function readI64(view: DataView, pos: number): number {
  return view.getInt32(pos) * TWO_32 + view.getUint32(pos + 4)
}

/** Writes a whole number between -2^53 and 2^53 as a big-endian signed 64-bit integer. */
export function writeI64(view: DataView, pos: number, value: number): void {
  view.setInt32(pos, Math.floor(value / TWO_32))
  view.setUint32(pos + 4, value >>> 0)
}

/** A DataView over exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Bytes [start, end) to keep. A Buffer's own slice would be a view, which keeps and shares the memory of the whole. */
export function copyOf(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes, start, end)
}

const utf8 = new TextEncoder()

/** The UTF-8 bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return utf8.encode(text)
}

/** The text of UTF-8 bytes [start, end); malformed sequences become U+FFFD. */
export function textOf(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
}
