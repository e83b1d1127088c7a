import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  decodeRecord,
  decodeRecords,
  encodeProperties,
  encodeRecord,
  hostOf,
  MessageError,
  type MessageRecord,
  RecordCheck,
  RecordCursor,
  RecordMagic,
  recordSize,
  SysFlag,
  viewOf
} from '../../message/index.ts'

const host = fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65535)).map(([address, port]) => hostOf(address, port))
const text = (maxLength: number) =>
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength })
    .filter(value => !value.includes('\u0001') && !value.includes('\u0002'))
const offset = fc.maxSafeNat()

/** A record but for what follows from its parts. */
const record: fc.Arbitrary<Parameters<typeof encodeRecord>[0]> = fc.record({
  topic: text(200).filter(topic => Buffer.byteLength(topic) < 1000),
  queueId: fc.integer(),
  queueOffset: offset,
  physicalOffset: offset,
  flag: fc.integer(),
  sysFlag: fc.integer(),
  bornTimestamp: fc.maxSafeInteger(),
  bornHost: host,
  storeTimestamp: offset,
  storeHost: host,
  reconsumeTimes: fc.integer(),
  preparedTransactionOffset: offset,
  body: fc.uint8Array({ maxLength: 300 }),
  properties: fc.array(fc.tuple(text(10), text(20)), { maxLength: 5 }).map(pairs => new Map(pairs))
})

const sample = (changes: Partial<MessageRecord> = {}) =>
  encodeRecord({
    topic: 'orders',
    queueId: 3,
    queueOffset: 7,
    physicalOffset: 4096,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_000,
    bornHost: hostOf('10.0.0.1', 5000),
    storeTimestamp: 1_700_000_000_001,
    storeHost: hostOf('10.0.0.2', 10911),
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from('Hello'),
    properties: new Map([['TAGS', 'A']]),
    ...changes
  })

t.test('a record gives back what it was made of', async t => {
  fc.assert(
    fc.property(record, parts => {
      const bytes = encodeRecord(parts)
      const read = decodeRecord(bytes)
      for (const name of [
        'topic',
        'queueId',
        'queueOffset',
        'physicalOffset',
        'flag',
        'bornTimestamp',
        'storeTimestamp',
        'reconsumeTimes',
        'preparedTransactionOffset'
      ] as const)
        assert.equal(read[name], parts[name], name)
      assert.deepEqual([...read.properties], [...parts.properties])
      assert.deepEqual(Uint8Array.from(read.body), Uint8Array.from(parts.body))
      assert.deepEqual(read.bornHost.bytes, parts.bornHost.bytes)
      assert.deepEqual(read.storeHost.bytes, parts.storeHost.bytes)
      assert.equal(read.sysFlag & ~SysFlag.HOST_MASK, parts.sysFlag & ~SysFlag.HOST_MASK)
      assert.equal(read.sizeBytes, bytes.length)
      assert.equal(
        bytes.length,
        recordSize(
          parts.body.length,
          Buffer.byteLength(parts.topic),
          Buffer.byteLength(encodeProperties(parts.properties)),
          parts.bornHost.v6,
          parts.storeHost.v6,
          Buffer.byteLength(parts.topic) > 127
        )
      )
    }),
    { numRuns: 100 }
  )
  t.pass()
})

t.test('a topic of more than 127 bytes makes a record of version 2', async t => {
  t.equal(decodeRecord(sample({ topic: 't'.repeat(127) })).magic, RecordMagic.V1)
  t.equal(decodeRecord(sample({ topic: 't'.repeat(128) })).magic, RecordMagic.V2)
  t.equal(decodeRecord(sample({ topic: 't'.repeat(1000) })).topic, 't'.repeat(1000))
})

t.test('records back to back are read one after the other', async t => {
  const bytes = Buffer.concat([sample({ queueOffset: 1 }), sample({ queueOffset: 2, topic: 'x' }), sample()])
  t.strictSame(
    decodeRecords(bytes).map(({ queueOffset }) => queueOffset),
    [1, 2, 7]
  )
  t.strictSame(decodeRecords(new Uint8Array(0)), [])
})

t.test('a record that is cut anywhere is refused', async t => {
  const bytes = sample()
  for (let cut = 0; cut < bytes.length; cut++)
    t.throws(() => decodeRecord(bytes.subarray(0, cut)), { code: 'BAD_RECORD' }, `cut at ${cut}`)
})

t.test('no change of a record makes it read beyond its bytes or fail in another way', async t => {
  fc.assert(
    fc.property(record, fc.nat(), fc.nat(255), (parts, at, byte) => {
      const bytes = encodeRecord(parts)
      bytes[at % bytes.length] = byte
      try {
        return decodeRecord(bytes).sizeBytes <= bytes.length
      } catch (error) {
        return error instanceof MessageError && error.code === 'BAD_RECORD'
      }
    }),
    { numRuns: 500 }
  )
  t.pass()
})

t.test('a changed body shows by its checksum', async t => {
  const bytes = sample()
  const cursor = new RecordCursor()
  t.equal(cursor.at(viewOf(bytes), bytes, 0, bytes.length), RecordCheck.OK)
  t.ok(cursor.crcOk())
  bytes[cursor.bodyStart]! ^= 1
  t.notOk(cursor.crcOk())
})

t.test('the blank end of a segment is told apart from a record', async t => {
  const bytes = Buffer.alloc(64)
  bytes.writeInt32BE(64, 0)
  bytes.writeInt32BE(RecordMagic.BLANK, 4)
  const cursor = new RecordCursor()
  t.equal(cursor.at(viewOf(bytes), bytes, 0, 64), RecordCheck.BLANK)
  t.equal(cursor.sizeBytes, 64)
  t.equal(cursor.at(viewOf(bytes), bytes, 0, 7), RecordCheck.SHORT)
})
