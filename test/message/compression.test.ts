import t from 'tap'
import { type CompressionType, compressBody, decompressBody, SysFlag } from '../../message/index.ts'

const MIB = 1024 * 1024
const body = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * i) >> 7))

for (const type of ['zlib', 'lz4'] as const satisfies CompressionType[])
  t.test(`a body that is compressed with ${type} comes back`, async t => {
    for (const own of [body, Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(5 * MIB, 'y')]) {
      const { body: small, sysFlagBits } = await compressBody(own, type)
      t.equal(sysFlagBits & SysFlag.COMPRESSED, SysFlag.COMPRESSED)
      t.ok(own.equals(await decompressBody(small, sysFlagBits)), `${own.length} bytes`)
    }
  })

t.test('a body without the flag is itself', async t => {
  t.equal(await decompressBody(body, SysFlag.LZ4), body)
})

t.test('without a type it is zlib, as of old clients', async t => {
  const { body: small } = await compressBody(body)
  t.ok(body.equals(await decompressBody(small, SysFlag.COMPRESSED)))
})

/** A frame of Zstandard that says again and again: 128 KiB of one byte. */
function zstdFrame(blocks: number, windowDescriptor = 0x38): Buffer {
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, windowDescriptor])]
  for (let i = 0; i < blocks; i++) {
    const head = (i === blocks - 1 ? 1 : 0) | (1 << 1) | ((128 * 1024) << 3)
    parts.push(Buffer.from([head & 255, (head >> 8) & 255, (head >> 16) & 255, 0x41]))
  }
  return Buffer.concat(parts)
}

t.test('a body of Zstandard is read', async t => {
  const whole = await decompressBody(zstdFrame(3), SysFlag.COMPRESSED | SysFlag.ZSTD)
  t.ok(Buffer.alloc(3 * 128 * 1024, 'A').equals(whole))
})

t.test('a few bytes that claim to be gigabytes are refused', async t => {
  const { deflateSync } = await import('node:zlib')
  const zeros = deflateSync(Buffer.alloc(200 * MIB))
  const lz4 = await compressBody(Buffer.alloc(200 * MIB), 'lz4')
  const bombs: [string, Buffer | Uint8Array, number][] = [
    ['zlib', zeros, SysFlag.ZLIB],
    ['lz4', lz4.body, SysFlag.LZ4],
    ['zstd', zstdFrame(100_000), SysFlag.ZSTD],
    ['zstd', zstdFrame(1, 0xa0), SysFlag.ZSTD]
  ]
  for (const [type, bytes, bits] of bombs)
    await t.rejects(decompressBody(bytes, SysFlag.COMPRESSED | bits), {
      code: 'BODY_NOT_DECOMPRESSED',
      message: new RegExp(`the ${type} body cannot be decompressed`)
    })
})

t.test('what is no compressed body is refused', async t => {
  for (const bits of [SysFlag.ZLIB, SysFlag.LZ4, SysFlag.ZSTD])
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('x'),
      Buffer.from('not at all compressed'),
      Buffer.alloc(1000, 0xff)
    ])
      await t.rejects(decompressBody(bytes, SysFlag.COMPRESSED | bits), { code: 'BODY_NOT_DECOMPRESSED' })
})

t.test('a compressed body that is cut or changed is refused, or is not the same', async t => {
  for (const type of ['zlib', 'lz4'] as const) {
    const { body: small, sysFlagBits } = await compressBody(body, type)
    for (let cut = 0; cut < small.length; cut += Math.ceil(small.length / 20))
      await t.rejects(decompressBody(small.subarray(0, cut), sysFlagBits), { code: 'BODY_NOT_DECOMPRESSED' })
  }
})
