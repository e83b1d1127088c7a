import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { MessageError } from './errors.ts'
import { SysFlag } from './sys-flag.ts'

export type CompressionType = 'zlib' | 'lz4' | 'zstd'

type Codec = (bytes: Uint8Array) => Promise<Uint8Array>
type Lz4 = { compressFrame: Codec; decompressFrame: Codec }
/** Node 22.15 and later have Zstandard built in. */
const zstd = zlib as unknown as {
  zstdCompress?: (bytes: Uint8Array, done: (error: Error | null, result: Uint8Array) => void) => void
  zstdDecompress?: (bytes: Uint8Array, done: (error: Error | null, result: Uint8Array) => void) => void
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
    if (type === 'lz4') return await ((await import('lz4-napi')) as unknown as Lz4).decompressFrame(body)
    if (zstd.zstdDecompress) return await promisify(zstd.zstdDecompress)(body)
    return (await import('fzstd')).decompress(body)
  } catch (cause) {
    throw new MessageError('BODY_NOT_DECOMPRESSED', { type, reason: (cause as Error).message }, { cause })
  }
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
