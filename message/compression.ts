import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { viewOf } from './bytes.ts'
import { MessageError } from './errors.ts'
import { SysFlag } from './sys-flag.ts'

export type CompressionType = 'zlib' | 'lz4' | 'zstd'

type Codec = (bytes: Uint8Array) => Promise<Uint8Array>
type Lz4 = { compressFrame: Codec; decompressFrame: Codec }
/** Node 22.15 and later have Zstandard built in. */
const zstd = zlib as unknown as {
  zstdCompress?: (bytes: Uint8Array, done: (error: Error | null, result: Uint8Array) => void) => void
  zstdDecompress?: (
    bytes: Uint8Array,
    options: { maxOutputLength: number },
    done: (error: Error | null, result: Uint8Array) => void
  ) => void
}
const inflate = promisify(zlib.inflate)
const deflate = promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.deflate)

const TYPE_BITS = { lz4: SysFlag.LZ4, zstd: SysFlag.ZSTD, zlib: SysFlag.ZLIB } as const
/** No message of RocketMQ's is larger than this once it is whole again; more is an attack. */
const MAX_BODY_BYTES = 128 * 1024 * 1024

function typeOf(sysFlag: number): CompressionType {
  const bits = sysFlag & SysFlag.COMPRESSION_MASK
  return bits === SysFlag.LZ4 ? 'lz4' : bits === SysFlag.ZSTD ? 'zstd' : 'zlib'
}

/** The body as its producer wrote it; itself when sysFlag says that it is not compressed. Throws BODY_NOT_DECOMPRESSED. */
export async function decompressBody(body: Uint8Array, sysFlag: number): Promise<Uint8Array> {
  if (!(sysFlag & SysFlag.COMPRESSED)) return body
  const type = typeOf(sysFlag)
  try {
    if (type === 'zlib') return await inflate(body, { maxOutputLength: MAX_BODY_BYTES })
    if (type === 'lz4') {
      checkLz4Size(body)
      return await ((await import('lz4-napi')) as unknown as Lz4).decompressFrame(body)
    }
    if (zstd.zstdDecompress) return await promisify(zstd.zstdDecompress)(body, { maxOutputLength: MAX_BODY_BYTES })
    return await unpackZstd(body)
  } catch (cause) {
    throw new MessageError('BODY_NOT_DECOMPRESSED', { type, reason: (cause as Error).message }, { cause })
  }
}

const tooLarge = (): RangeError => new RangeError(`it would have more than ${MAX_BODY_BYTES} bytes`)

/** The package takes what a frame claims; its blocks show how much it can hold at most. LZ4 Frame Format 1.6 */
function checkLz4Size(frame: Uint8Array): void {
  const view = viewOf(frame)
  const flags = view.getUint8(4)
  const largestBlockBytes = 2 ** (8 + 2 * ((view.getUint8(5) >> 4) & 7))
  let pos = 7 + (flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0)
  for (let bytes = 0; ; bytes += largestBlockBytes) {
    const size = view.getUint32(pos, true) & 0x7fff_ffff
    if (size === 0) return
    if (bytes + largestBlockBytes > MAX_BODY_BYTES) throw tooLarge()
    pos += 4 + size + (flags & 16 ? 4 : 0)
  }
}

/** Block by block, so that what a few bytes claim to be cannot fill the memory. RFC 8878 */
async function unpackZstd(body: Uint8Array): Promise<Uint8Array> {
  if (body.length === 0) throw new RangeError('it is empty')
  const singleSegment = (body[4]! & 0x20) !== 0
  // A window is taken at once. Of a single segment it is as large as the content.
  const windowBytes = 2 ** (10 + (body[5]! >> 3))
  const parts: Uint8Array[] = []
  let size = 0
  const { Decompress } = await import('fzstd')
  if (!singleSegment && windowBytes > MAX_BODY_BYTES) throw tooLarge()
  const stream = new Decompress(part => {
    size += part.length
    if (size > MAX_BODY_BYTES) throw tooLarge()
    parts.push(Uint8Array.from(part))
  })
  stream.push(body, true)
  return Buffer.concat(parts)
}

/** A body made smaller, and the sysFlag bits that say how. Throws COMPRESSION_UNAVAILABLE. Default level: 5, as Java's. */
export async function compressBody(
  body: Uint8Array,
  type: CompressionType = 'zlib',
  level = 5
): Promise<{ body: Uint8Array; sysFlagBits: number }> {
  const sysFlagBits = SysFlag.COMPRESSED | TYPE_BITS[type]
  try {
    if (type === 'zlib') return { body: await deflate(body, { level }), sysFlagBits }
    if (type === 'lz4')
      return { body: await ((await import('lz4-napi')) as unknown as Lz4).compressFrame(body), sysFlagBits }
  } catch (cause) {
    throw new MessageError('COMPRESSION_UNAVAILABLE', { type, reason: (cause as Error).message }, { cause })
  }
  if (!zstd.zstdCompress) throw new MessageError('COMPRESSION_UNAVAILABLE', { type, reason: 'it needs Node.js 22.15' })
  return { body: await promisify(zstd.zstdCompress)(body), sysFlagBits }
}
