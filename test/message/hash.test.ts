import fc from 'fast-check'
import t from 'tap'
import { crc32, javaHashCode, javaHashCodeOfBytes, tagsCodeOf } from '../../message/index.ts'
import { vectors } from '../support/vectors.ts'

t.test('hash codes are those of Java', async t => {
  for (const { string, hashCode, tagsCode } of vectors.hashCode) {
    if (string !== null) t.equal(javaHashCode(string), hashCode, JSON.stringify(string.slice(0, 20)))
    t.equal(tagsCodeOf(string ?? undefined), tagsCode)
  }
})

t.test('the hash of a topic and key is the same in one piece or with the topic hashed before', async t => {
  for (const { topic, key, string, javaHash } of vectors.indexKeyHash) {
    t.equal(javaHashCode(string ?? `${topic}#${key}`), javaHash)
    if (topic !== undefined) t.equal(javaHashCode(key!, javaHashCode(`${topic}#`)), javaHash)
  }
})

t.test('a hash over UTF-8 bytes is the hash of their text', async t => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer(), fc.nat(3), (text, initial, before) => {
      const bytes = Buffer.concat([Buffer.alloc(before, 0x41), Buffer.from(text), Buffer.from('tail')])
      const end = bytes.length - 4
      return javaHashCodeOfBytes(bytes, before, end, initial) === javaHashCode(text, initial)
    })
  )
  t.pass()
})

t.test('checksums are CRC-32 without the sign bit', async t => {
  for (const { base64, bodyCRC } of vectors.bodyCRC) t.equal(crc32(Buffer.from(base64, 'base64')), bodyCRC)
})

t.test('short and long bodies get the same checksum, wherever they stand', async t => {
  // 128 bytes is where another implementation takes over.
  const bytes = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 31) & 0xff))
  let whole = 0xffff_ffff
  const expected: number[] = [0]
  for (const byte of bytes) {
    whole ^= byte
    for (let bit = 0; bit < 8; bit++) whole = (whole >>> 1) ^ (whole & 1 ? 0xedb8_8320 : 0)
    expected.push(~whole & 0x7fff_ffff)
  }
  for (const length of [0, 1, 2, 127, 128, 129, 1000, 4096]) {
    t.equal(crc32(bytes, 0, length), expected[length], `${length} bytes`)
    t.equal(crc32(Buffer.concat([Buffer.from('xyz'), bytes]), 3, 3 + length), expected[length])
  }
})
