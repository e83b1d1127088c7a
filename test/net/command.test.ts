import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  encodeCommand,
  LANGUAGES,
  NetError,
  type RemotingCommand,
  request,
  response,
  type SerializeType
} from '../../net/index.ts'
import { decodeOne } from '../support/frames.ts'

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replace(/\s/g, ''), 'hex')

// QUERY_CONSUMER_OFFSET of group CG, topic TopicA, queue 1, and its answer 42, from a release with number 479.
const ask: RemotingCommand = {
  ...request(14, { consumerGroup: 'CG', queueId: '1', topic: 'TopicA' }),
  opaque: 7,
  version: 479
}
const answer: RemotingCommand = { ...response(0, null, { offset: '42' }), opaque: 7, version: 479 }

const EXAMPLES: [string, RemotingCommand, string][] = [
  [
    'a request in JSON',
    ask,
    `000000a6 000000a2 7b22636f6465223a31342c226578744669656c6473223a7b22636f6e73756d657247726f7570223a224347222c
     2271756575654964223a2231222c22746f706963223a22546f70696341227d2c22666c6167223a302c226c616e6775616765223a224a
     415641222c226f7061717565223a372c2273657269616c697a655479706543757272656e74525043223a224a534f4e222c2276657273
     696f6e223a3437397d`
  ],
  [
    'an answer in JSON',
    answer,
    `0000007f 0000007b 7b22636f6465223a302c226578744669656c6473223a7b226f6666736574223a223432227d2c22666c6167223a
     312c226c616e6775616765223a224a415641222c226f7061717565223a372c2273657269616c697a655479706543757272656e745250
     43223a224a534f4e222c2276657273696f6e223a3437397d`
  ],
  [
    'a request in binary',
    { ...ask, serializeType: 1 },
    `0000004d 01 000049 000e 00 01df 00000007 00000000 00000000 00000034
     000d 636f6e73756d657247726f7570 00000002 4347 0007 71756575654964 00000001 31 0005 746f706963 00000006 546f70696341`
  ],
  [
    'an answer in binary',
    { ...answer, serializeType: 1 },
    '00000027 01 000023 0000 00 01df 00000007 00000001 00000000 0000000e 0006 6f6666736574 00000002 3432'
  ],
  [
    'a refusal in binary',
    { ...response(22, 'Not found'), opaque: 7, version: 479, serializeType: 1 },
    '00000022 0100001e 0016 00 01df 00000007 00000001 00000009 4e6f7420666f756e64 00000000'
  ],
  [
    'an answer with a body in binary',
    { ...response(0, null, null, '{"consumerIdList":["c1"]}'), opaque: 9, version: 479, serializeType: 1 },
    `00000032 01000015 0000 00 01df 00000009 00000001 00000000 00000000
     7b22636f6e73756d657249644c697374223a5b226331225d7d`
  ]
]
for (const [what, command, hex] of EXAMPLES) {
  t.test(`${what} is written as Java writes it, and read`, async t => {
    t.equal(encodeCommand(command).toString('hex'), bytesOf(hex).toString('hex'))
    t.same(decodeOne(bytesOf(hex)), command)
  })
}

const int32 = fc.integer()
/** Any text that UTF-8 carries. */
const text = fc.string({ unit: 'grapheme' })
const command: fc.Arbitrary<RemotingCommand> = fc.record(
  {
    code: fc.integer({ min: -0x8000, max: 0x7fff }),
    language: fc.nat(LANGUAGES.length - 1),
    version: fc.nat(0x7fff),
    opaque: int32,
    flag: int32,
    remark: fc.option(text.filter(Boolean)),
    extFields: fc.option(fc.dictionary(text, text.filter(Boolean), { minKeys: 1, noNullPrototype: true })),
    body: fc.option(fc.uint8Array({ minLength: 1, maxLength: 300 })),
    serializeType: fc.constantFrom<SerializeType>(0, 1)
  },
  { noNullPrototype: true }
)

t.test('any command is read as it was written, in both header types', async t => {
  fc.assert(
    fc.property(command, written => {
      const read = decodeOne(encodeCommand(written))
      // These two are POP codes whose upper bits a binary header cuts off.
      if (written.serializeType === 1 && read.code > 0x7fff) return
      const { extFields } = written
      assert.deepEqual(
        { ...read, body: read.body && Uint8Array.from(read.body) },
        {
          ...written,
          extFields: extFields && Object.fromEntries(Object.entries(extFields).filter(([key]) => key !== '__proto__'))
        }
      )
    }),
    { numRuns: 500 }
  )
  t.pass()
})

t.test('POP codes survive a binary header, which cuts them to 16 bits', async t => {
  for (const code of [200050, 200051, 200052, 200053, 200054, 200055, 200056, 200151]) {
    const bytes = encodeCommand({ ...request(code), serializeType: 1 })
    t.equal(bytes.readInt16BE(8), code & 0xffff)
    t.equal(decodeOne(bytes).code, code)
    t.equal(decodeOne(encodeCommand(request(code))).code, code)
  }
})

t.test('an empty value is no value in binary, as in Java', async t => {
  const bytes = encodeCommand({ ...request(1, { a: '', b: '2' }), remark: '', serializeType: 1 })
  t.match(decodeOne(bytes), { remark: null, extFields: { b: '2' } })
})

t.test('a field that comes twice counts with its last value', async t => {
  const once = encodeCommand({ ...request(1, { a: '1' }), serializeType: 1 })
  const field = once.subarray(8 + 21)
  const header = Buffer.concat([once.subarray(8), field])
  header.writeInt32BE(2 * field.length, 17)
  header[header.length - 1] = 0x32
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + header.length)
  head.writeInt32BE((1 << 24) | header.length, 4)
  t.same(decodeOne(Buffer.concat([head, header])).extFields, { a: '2' })
})

/** A frame with this JSON header. */
function jsonFrame(header: string, body = ''): Buffer {
  const bytes = Buffer.from(header)
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + bytes.length + Buffer.byteLength(body))
  head.writeInt32BE(bytes.length, 4)
  return Buffer.concat([head, bytes, Buffer.from(body)])
}

t.test('a JSON header may come in any order, with unknown keys, absent keys, nulls and numbers as values', async t => {
  t.match(
    decodeOne(
      jsonFrame(
        '{ "version":1 ,"extFields":{"a":1,"b":true,"c":null,"d":[1,2],"e":{"x":1}},"x":[{}],"language":"KLINGON","code":"105"}'
      )
    ),
    {
      code: 105,
      language: null,
      version: 1,
      opaque: 0,
      flag: 0,
      remark: null,
      extFields: { a: '1', b: 'true', c: undefined, d: '[1,2]', e: '{"x":1}' },
      body: null
    }
  )
  t.equal(decodeOne(jsonFrame('{"code":1,"extFields":null}')).extFields, null)
  t.equal(decodeOne(jsonFrame('{"code":1,"extFields":"x"}')).extFields, null)
})

t.test('a JSON header may hold raw control characters, which fastjson reads too', async t => {
  t.equal(decodeOne(jsonFrame('{"code":1,"extFields":{"i":"a\u0001b\u0002"}}')).extFields?.i, 'a\u0001b\u0002')
})

const BAD_HEADERS: Record<string, string> = {
  'no JSON': '{"code":',
  'a text': '"code"',
  'a number': '5',
  null: 'null',
  'a list': '[1]',
  'a code of no number': '{"code":"x"}',
  'a code that is an object': '{"code":{}}',
  'a code beyond 32 bits': '{"code":4294967306}',
  'an opaque with a fraction': '{"code":1,"opaque":1.5}',
  'a flag beyond 32 bits': '{"code":1,"flag":1e30}'
}
for (const [what, header] of Object.entries(BAD_HEADERS)) {
  t.test(`a JSON header that holds ${what} is refused`, async t => {
    t.throws(() => decodeOne(jsonFrame(header)), { code: 'BAD_FRAME' })
  })
}

t.test('a header nested without end is refused and kills nothing', async t => {
  for (const header of [
    '['.repeat(500_000),
    `{"a":${'['.repeat(400_000)}${']'.repeat(400_000)}}`,
    `{"extFields":{"a":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}}`
  ])
    t.throws(() => decodeOne(jsonFrame(header)), { code: 'BAD_FRAME' })
})

t.test('no key of a header reaches what objects inherit', async t => {
  const header =
    '{"code":1,"__proto__":{"polluted":1},"extFields":{"__proto__":"x","constructor":"y","toString":{"a":1}}}'
  const { extFields } = decodeOne(jsonFrame(header))
  t.equal(({} as Record<string, unknown>).polluted, undefined)
  t.equal(Object.getPrototypeOf(extFields), Object.prototype)
  t.same(Object.keys(extFields!), ['constructor', 'toString'])
  const fields = { ...request(1, JSON.parse('{"__proto__":"x","a":"1"}')), serializeType: 1 as const }
  const binary = decodeOne(encodeCommand(fields))
  t.same(Object.keys(binary.extFields!), ['a'])
})

t.test('a binary header whose lengths do not add up is refused', async t => {
  const bytes = encodeCommand({ ...request(1, { a: 'xyz', b: 'uvw' }), remark: 'r', serializeType: 1 })
  const at = { remark: 8 + 13, fields: 8 + 18, key: 8 + 22, value: 8 + 25 }
  for (const value of [-1, -0x8000_0000, 0x7fff_ffff, 1000])
    for (const place of [at.remark, at.fields, at.value]) {
      const changed = Buffer.from(bytes)
      changed.writeInt32BE(value, place)
      t.throws(() => decodeOne(changed), { code: 'BAD_FRAME' }, `${value} at ${place}`)
    }
  for (const value of [-1, -0x8000, 0x7fff]) {
    const changed = Buffer.from(bytes)
    changed.writeInt16BE(value, at.key)
    t.throws(() => decodeOne(changed), { code: 'BAD_FRAME' }, `${value} as length of a key`)
  }
})

t.test('a value may not reach beyond the fields into what follows', async t => {
  const bytes = encodeCommand({ ...request(1, { a: 'xyz' }), serializeType: 1 })
  // One byte of the header is no longer one of the fields.
  bytes.writeInt32BE(bytes.readInt32BE(8 + 17) - 1, 8 + 17)
  t.throws(() => decodeOne(bytes), { code: 'BAD_FRAME' })
})

t.test('no change of a command makes decoding fail in another way', async t => {
  fc.assert(
    fc.property(command, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }), (own, changes) => {
      const bytes = encodeCommand(own)
      for (const [at, byte] of changes) bytes[8 + (at % (bytes.length - 8))] = byte
      try {
        decodeOne(bytes)
      } catch (error) {
        assert.ok(error instanceof NetError, String(error))
      }
    }),
    { numRuns: 1000 }
  )
  t.pass()
})
