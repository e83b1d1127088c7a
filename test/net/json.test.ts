import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { formatBody, NetError, parseBody } from '../../net/index.ts'

/** Without what this dialect reads in another way: keys that are left out, and integers that become bigints. */
const value = fc.jsonValue({ maxDepth: 5 }).map(json =>
  JSON.parse(
    JSON.stringify(json, (key, part) => {
      if (key === '__proto__') return undefined
      return Number.isInteger(part) && !Number.isSafeInteger(part) ? 0.5 : part
    })
  )
)

t.test('standard JSON is read as it is', async t => {
  fc.assert(
    fc.property(value, json => {
      assert.deepEqual(parseBody(JSON.stringify(json)), json)
      assert.deepEqual(parseBody(JSON.stringify(json, null, 2)), json)
    })
  )
  t.pass()
})

t.test('what is written is read again', async t => {
  fc.assert(
    fc.property(value, json => {
      for (const options of [{}, { standard: true }, { indent: '\t' as const }])
        assert.deepEqual(parseBody(formatBody(json, options)), json)
      assert.equal(formatBody(json), JSON.stringify(json))
    })
  )
  t.pass()
})

t.test('bytes and texts are read alike, wherever the bytes lie', async t => {
  const bytes = Buffer.from('xx{"a":"标签🦅"}yy').subarray(2, -2)
  t.same(parseBody(bytes), { a: '标签🦅' })
  t.same(parseBody(new Uint8Array(bytes)), { a: '标签🦅' })
})

t.test('keys that are numbers need no quotes', async t => {
  t.same(parseBody('{0:"a",-1:"b","2":"c"}'), { '0': 'a', '-1': 'b', '2': 'c' })
  t.same(parseBody('{"offsetTable":{"T@G":{0:3,1:4}}}'), { offsetTable: { 'T@G': { '0': 3, '1': 4 } } })
})

t.test('keys that are objects make a Map', async t => {
  const queue = (queueId: number) => ({ brokerName: 'b', queueId, topic: 't' })
  const text =
    '{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:7,{"brokerName":"b","queueId":1,"topic":"t"}:{}}}'
  t.strictSame(parseBody(text), {
    offsetTable: new Map<unknown, unknown>([
      [queue(0), 7],
      [queue(1), {}]
    ])
  })
  t.equal(formatBody(parseBody(text)), text)
  const standard = formatBody(parseBody(text), { standard: true })
  t.equal(JSON.parse(standard).offsetTable[JSON.stringify(queue(0))], 7)
})

t.test('a Map with numbers as keys is written without quotes, and with them as standard', async t => {
  const table = new Map([
    [0, 'a:1'],
    [1, 'b:2']
  ])
  t.equal(formatBody({ brokerAddrs: table }), '{"brokerAddrs":{0:"a:1",1:"b:2"}}')
  t.equal(formatBody({ brokerAddrs: table }, { standard: true }), '{"brokerAddrs":{"0":"a:1","1":"b:2"}}')
})

t.test('a config file has an entry a line', async t => {
  t.equal(
    formatBody({ a: [1, 2], b: {}, c: undefined }, { indent: '\t' }),
    '{\n\t"a":[\n\t\t1,\n\t\t2\n\t],\n\t"b":{}\n}'
  )
})

t.test('integers that a double cannot carry are bigints, and are written as they came', async t => {
  const text = '{"a":9223372036854775807,"b":-9007199254740993,"c":1700000000000,"d":9007199254740991}'
  t.strictSame(parseBody(text), {
    a: 9_223_372_036_854_775_807n,
    b: -9_007_199_254_740_993n,
    c: 1_700_000_000_000,
    d: 9_007_199_254_740_991
  })
  t.equal(formatBody(parseBody(text)), text)
  t.equal(parseBody('1.25e3'), 1250)
})

t.test('a number of a million digits costs no time', async t => {
  t.equal(parseBody('9'.repeat(1_000_000)), Number.POSITIVE_INFINITY)
  t.same(parseBody('{"a":10000000000000000000000}'), { a: 1e22 })
})

t.test('words, quotes, escapes and endings of the dialect are read', async t => {
  t.same(parseBody("{'a':'it''s'}".replace("''", "\\'")), { a: "it's" })
  t.same(parseBody('{a:1L,b:2.5D,c:[1,2,],}'), { a: 1, b: 2.5, c: [1, 2] })
  const escapes = `{x:"\\\\' \\\\x41 \\x41 \\u6807 \\n\\t\\/ \\" \\v"}`
  t.same(parseBody(escapes), { x: '\\\' \\x41 A 标 \n\t/ " \v' })
  t.same(parseBody(`{x:'say "hi" \\u0041'}`), { x: 'say "hi" A' })
})

t.test('a reference stands for what it names', async t => {
  t.same(parseBody('{"statsDay":{"sum":1},"statsHour":{"$ref":"$.statsDay"}}'), {
    statsDay: { sum: 1 },
    statsHour: { sum: 1 }
  })
  t.same(parseBody('{"list":[{"a":1},{"$ref":"$.list[0]"}]}'), { list: [{ a: 1 }, { a: 1 }] })
  const table = parseBody('{"q":{"queueId":1},"t":{{"$ref":"$.q"}:5}}') as { t: Map<unknown, unknown> }
  t.strictSame([...table.t], [[{ queueId: 1 }, 5]])
  t.same(parseBody('{"a":{"$ref":"$.nothing.there"}}'), { a: null })
})

t.test('a reference cannot reach what objects inherit', async t => {
  for (const path of [
    '$.__proto__',
    '$.constructor',
    '$.b.constructor.prototype',
    '$.toString',
    '$.c.length.constructor'
  ])
    t.same(parseBody(`{"a":{"$ref":"${path}"},"b":{},"c":[]}`), { a: null, b: {}, c: [] }, path)
})

t.test('references in a circle are refused', async t => {
  for (const text of [
    '{"a":{"$ref":"$"}}',
    '{"a":{"b":{"$ref":"$.a"}}}',
    '{"a":{"b":{"$ref":"$.c"}},"c":{"d":{"$ref":"$.a"}}}',
    '{"a":{"b":{"$ref":".."}}}'
  ])
    t.throws(() => parseBody(text), { code: 'BAD_JSON' }, text)
})

t.test('references that would unfold without bound are refused', async t => {
  const levels = Array.from({ length: 40 }, (_, i) => `"l${i + 1}":[{"$ref":"$.l${i}"},{"$ref":"$.l${i}"}]`)
  t.throws(() => parseBody(`{"l0":{"a":1},${levels.join(',')}}`), { code: 'BAD_JSON', message: /unfold/ })
  const chain = Array.from({ length: 5000 }, (_, i) => `"l${i + 1}":[{"$ref":"$.l${i}"}]`)
  t.throws(() => parseBody(`{"l0":{"a":1},${chain.join(',')}}`), { code: 'BAD_JSON', message: /deeper/ })
})

t.test('nesting has a limit, in either form, and costs no stack', async t => {
  const deep = (open: string, close: string, count: number) => open.repeat(count) + close.repeat(count)
  t.doesNotThrow(() => parseBody(deep('[', ']', 64)))
  t.doesNotThrow(() => parseBody(`{0:${deep('[', ']', 63)}}`))
  for (const text of [
    deep('[', ']', 65),
    deep('[', ']', 2_000_000),
    '['.repeat(2_000_000),
    `{0:${deep('[', ']', 64)}}`,
    '{"a":'.repeat(100_000),
    '{{'.repeat(100_000)
  ])
    t.throws(() => parseBody(text), { code: 'BAD_JSON', message: /deeper than 64/ })
  t.same(parseBody(JSON.stringify('['.repeat(1000))), '['.repeat(1000))
})

t.test('a key __proto__ is left out, however it is written', async t => {
  for (const text of [
    '{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1}}}',
    '{"\\u005f_proto__":{"polluted":1},"a":{"__pr\\u006fto__":{"polluted":1}}}',
    "{__proto__:{polluted:1},'a':{'__proto__':{polluted:1}}}",
    '{"__proto__":{"$ref":"$.a"},"a":{}}',
    '{"__proto\\x5f_":{"polluted":1},"a":{}}'
  ]) {
    const body = parseBody(text) as Record<string, Record<string, unknown>>
    t.same(Object.keys(body), ['a'], text)
    t.same(Object.keys(body.a!), [])
    t.equal(body.polluted, undefined)
    t.equal(body.a!.polluted, undefined)
    t.equal(Object.getPrototypeOf(body), Object.prototype)
  }
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

const BROKEN = ['', ' ', '{', '[', '{"a"', '{"a":', '{"a":1', '{"a":1,', '[1', '[1,', '{a b:1}', '{:1}', '{"a":1}}']
for (const text of [...BROKEN, 'nul', '"', '"a', "'a", '"\\', '01x', '-', '{"a":}', '[,]', '{,}', '\ufeff{}', 'NaN']) {
  t.test(`${JSON.stringify(text)} is refused with its place`, async t => {
    t.throws(() => parseBody(text), { code: 'BAD_JSON', responseCode: 29, details: { position: Number } })
  })
}

t.test('no body is no JSON', async t => {
  t.throws(() => parseBody(null), { code: 'BAD_JSON' })
  t.throws(() => parseBody(undefined), { code: 'BAD_JSON' })
  t.throws(() => parseBody(new Uint8Array(0)), { code: 'BAD_JSON' })
})

t.test('no text makes reading fail in another way, nor costs more than its length', async t => {
  const piece = fc.constantFrom(
    ...['{', '}', '[', ']', ':', ',', '"', "'", '\\', '\\u0041', '0', '-1', '1e5', '9007199254740993', 'true', 'null'],
    ...['$ref', '{"$ref":"$"}', '{"$ref":"$.a[0]"}', '__proto__', '"a"', 'a', ' ', '\n', '\u0001', '标', '.', '$']
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), pieces => {
      try {
        parseBody(pieces.join(''))
      } catch (error) {
        assert.ok(error instanceof NetError && error.code === 'BAD_JSON', String(error))
      }
    }),
    { numRuns: 5000 }
  )
  t.pass()
})

t.test('a body of many megabytes is read', async t => {
  const entries = Array.from({ length: 200_000 }, (_, i) => `"topic-${i}":{0:${i}}`)
  const body = parseBody(`{${entries.join(',')}}`) as Record<string, Record<string, number>>
  t.equal(Object.keys(body).length, 200_000)
  t.equal(body['topic-199999']?.['0'], 199_999)
})
