import { crc32 } from './crc.ts'

/** The last property of a record that carries a checksum of all in front of it: name, separator, ten digits, separator. */
const NAME = Buffer.from('__CRC32#\u0001')
const DIGITS = 10
const ZERO = 0x30
const SEPARATOR = 2
export const CRC_PROPERTY_BYTES = NAME.length + DIGITS + 1

/** Where properties in bytes[start, end) have that checksum; -1 when they end with something else. */
export function propertyCrcAt(bytes: Uint8Array, start: number, end: number): number {
  const at = end - CRC_PROPERTY_BYTES
  if (at < start || bytes[at] !== NAME[0]) return -1
  for (let i = 1; i < NAME.length; i++) if (bytes[at + i] !== NAME[i]) return -1
  return at
}

/** Puts the checksum of bytes[start, end - its own size) there; its digits begin with the last one. MessageDecoder#createCrc32 */
export function writePropertyCrc(bytes: Uint8Array, start: number, end: number): void {
  const at = end - CRC_PROPERTY_BYTES
  bytes.set(NAME, at)
  let rest = crc32(bytes, start, at)
  for (let i = 0; i < DIGITS; i++) {
    bytes[at + NAME.length + i] = ZERO + (rest % 10)
    rest = Math.floor(rest / 10)
  }
  bytes[end - 1] = SEPARATOR
}

/** Whether the checksum at `at` is that of bytes[start, at). */
export function propertyCrcOk(bytes: Uint8Array, start: number, at: number): boolean {
  let value = 0
  for (let i = DIGITS - 1; i >= 0; i--) value = value * 10 + bytes[at + NAME.length + i]! - ZERO
  return value === crc32(bytes, start, at)
}
