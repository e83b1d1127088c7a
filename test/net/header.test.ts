import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { header } from '../../net/index.ts'

const Header = header({ topic: 's!', queueId: 'i!', offset: 'l', order: 'b', note: 's' })

t.test('fields come back with their types', async t => {
  t.same(Header.decode({ topic: 'T', queueId: '-3', offset: '9007199254740991', order: 'TRUE', other: 'x' }), {
    topic: 'T',
    queueId: -3,
    offset: 9_007_199_254_740_991,
    order: true
  })
  t.same(Header.encode({ topic: 'T', queueId: -3, offset: 5, order: false, note: undefined }), {
    topic: 'T',
    queueId: '-3',
    offset: '5',
    order: 'false'
  })
})

t.test('a required field that is missing is named', async t => {
  for (const fields of [null, {}, { topic: 'T' }])
    t.throws(() => Header.decode(fields as never), {
      code: 'HEADER_FIELD_MISSING',
      responseCode: 29,
      details: { field: fields === null || !('topic' in fields) ? 'topic' : 'queueId' }
    })
})

t.test('what no object has of its own is missing', async t => {
  t.throws(() => header({ toString: 's!' }).decode({}), { code: 'HEADER_FIELD_MISSING' })
  t.same(header({ constructor: 's' }).decode({}), {})
})

t.test('a field that is no number is named with what it holds', async t => {
  for (const value of ['', ' ', '1.5', '1e3', '0x10', 'NaN', '2147483648', '-2147483649', '9'.repeat(30), '12a'])
    t.throws(() => Header.decode({ topic: 'T', queueId: value }), {
      code: 'HEADER_FIELD_BAD',
      responseCode: 29,
      details: { field: 'queueId', value }
    })
  for (const value of ['9223372036854775808000', '9999999999999999999', '-'])
    t.throws(() => Header.decode({ topic: 'T', queueId: '1', offset: value }), { code: 'HEADER_FIELD_BAD' })
})

t.test('a giant value is named by its beginning', async t => {
  try {
    Header.decode({ topic: 'T', queueId: 'x'.repeat(1_000_000) })
    t.fail('it was taken')
  } catch (error) {
    t.ok((error as Error).message.length < 250)
  }
})

t.test("Java's limits come back as they came: they stand for all and for none", async t => {
  for (const offset of ['9223372036854775807', '-9223372036854775808', '9007199254740993', '4611686018427387904']) {
    const { offset: read } = Header.decode({ topic: 'T', queueId: '1', offset })
    const written = Header.encode({ topic: 'T', queueId: 1, offset: read }).offset!
    t.ok(BigInt(written) <= 2n ** 63n - 1n && BigInt(written) >= -(2n ** 63n), written)
    t.equal(Number(written), Number(offset))
  }
  t.equal(Header.encode({ topic: 'T', queueId: 1, offset: 2 ** 63 }).offset, '9223372036854775807')
})

t.test('every header of numbers and texts comes back', async t => {
  fc.assert(
    fc.property(fc.string(), fc.integer(), fc.maxSafeInteger(), fc.boolean(), (topic, queueId, offset, order) => {
      const values = { topic, queueId, offset, order }
      assert.deepEqual(Header.decode(Header.encode(values)), values)
    })
  )
  t.pass()
})
