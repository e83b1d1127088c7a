import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { BatchCursor, type BatchMessage, encodeBatch, MessageError, textOf } from '../../message/index.ts'

const message: fc.Arbitrary<BatchMessage> = fc.record(
  {
    flag: fc.integer(),
    body: fc.uint8Array({ maxLength: 300 }),
    properties: fc.string({ unit: 'grapheme', maxLength: 50 })
  },
  { noNullPrototype: true }
)

function read(bytes: Uint8Array, start = 0, end = bytes.length): BatchMessage[] {
  const cursor = new BatchCursor(bytes, start, end)
  const messages: BatchMessage[] = []
  while (cursor.next())
    messages.push({
      flag: cursor.flag,
      body: Uint8Array.from(bytes.subarray(cursor.bodyStart, cursor.bodyEnd)),
      properties: textOf(bytes, cursor.propertiesStart, cursor.propertiesEnd)
    })
  return messages
}

t.test('a batch gives back the messages that it was made of', async t => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), messages => {
      const bytes = encodeBatch(messages)
      assert.deepEqual(read(bytes), messages)
      const inside = Buffer.concat([Buffer.from('before'), bytes, Buffer.from('behind')])
      assert.deepEqual(read(inside, 6, 6 + bytes.length), messages)
    }),
    { numRuns: 100 }
  )
  t.pass()
})

t.test('a batch that is cut anywhere but between two messages is refused', async t => {
  const messages = [1, 2, 3].map(flag => ({ flag, body: Buffer.from('body'), properties: 'a\u0001b\u0002' }))
  const bytes = encodeBatch(messages)
  const entry = bytes.length / 3
  for (let cut = 0; cut <= bytes.length; cut++) {
    if (cut % entry === 0) t.equal(read(bytes, 0, cut).length, cut / entry)
    else t.throws(() => read(bytes, 0, cut), { code: 'BAD_BATCH' }, `cut at ${cut}`)
  }
})

t.test('no change of a batch makes it read beyond its bytes or fail in another way', async t => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat(255), (messages, at, byte) => {
      const bytes = encodeBatch(messages)
      bytes[at % bytes.length] = byte
      try {
        const total = read(bytes).reduce((sum, { body }) => sum + body.length, 0)
        return total <= bytes.length
      } catch (error) {
        return error instanceof MessageError && error.code === 'BAD_BATCH'
      }
    }),
    { numRuns: 500 }
  )
  t.pass()
})
