import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import crc32Short from 'crc-32'

type Crc = (bytes: Uint8Array) => number

/** The quickest checksum there is for bodies of some length: a native package, Node's own, or plain JavaScript. */
function longCrc(): Crc {
  try {
    return (createRequire(import.meta.url)('@node-rs/crc32') as { crc32: Crc }).crc32
  } catch {
    const own = (zlib as { crc32?: Crc }).crc32
    return own ?? (bytes => crc32Short.buf(bytes))
  }
}

/** Up to this size the call into native code costs more than it saves. */
const SHORT_BYTES = 128
const crcOfLong = longCrc()

/** CRC-32 (IEEE) with the sign bit cleared, as RocketMQ keeps it everywhere. UtilAll#crc32 */
export function crc32(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const part = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)
  return (part.length <= SHORT_BYTES ? crc32Short.buf(part) : crcOfLong(part)) & 0x7fff_ffff
}
