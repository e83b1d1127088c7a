import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { decodeCommand, encodeCommand, type Frame, FrameDecoder, NetError, request } from '../../net/index.ts'
import { CommandReader } from '../support/frames.ts'

const MAX = 16 * 1024 * 1024

/** A frame by its parts, which need not fit each other. */
function frameOf(length: number, type: number, headerLength: number, rest: Uint8Array | string = ''): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(length >>> 0, 0)
  head.writeUInt32BE(((type << 24) | headerLength) >>> 0, 4)
  return Buffer.concat([head, Buffer.from(rest)])
}

const sample = (binary: boolean, body = 'body') => {
  const command = { ...request(105, { topic: 'orders', i: 'a\u0001b\u0002' }, body), opaque: 7 }
  return encodeCommand({ ...command, serializeType: binary ? 1 : 0 })
}

t.test('a stream cut at any one byte gives the same frames', async t => {
  const bytes = Buffer.concat([sample(true), sample(false), sample(true, ''), sample(false, 'x'.repeat(300))])
  const whole = new CommandReader()
  whole.push(bytes)
  t.equal(whole.commands.length, 4)
  for (let cut = 0; cut <= bytes.length; cut++) {
    const reader = new CommandReader()
    reader.push(Buffer.from(bytes.subarray(0, cut)))
    reader.push(Buffer.from(bytes.subarray(cut)))
    assert.deepEqual(reader.commands, whole.commands, `cut at ${cut}`)
  }
})

t.test('a stream that comes byte by byte gives the same frames', async t => {
  const bytes = Buffer.concat([sample(true), sample(false, 'x'.repeat(1000))])
  const reader = new CommandReader()
  for (const byte of bytes) reader.push(Buffer.of(byte))
  t.same(
    reader.commands.map(({ extFields, body }) => [extFields?.topic, body?.length]),
    [
      ['orders', 4],
      ['orders', 1000]
    ]
  )
})

t.test('no frame is announced before its last byte is there', async t => {
  const bytes = sample(true)
  const reader = new CommandReader()
  reader.push(bytes.subarray(0, bytes.length - 1))
  t.equal(reader.commands.length, 0)
  reader.push(bytes.subarray(bytes.length - 1))
  t.equal(reader.commands.length, 1)
})

t.test('a frame of the largest size is taken, one byte more is not', async t => {
  const limit = 1000
  const fits = sample(false, '')
  const body = limit - fits.length
  const reader = new CommandReader(limit)
  reader.push(sample(false, 'x'.repeat(body)))
  t.equal(reader.commands[0]?.body?.length, body)
  t.throws(() => new CommandReader(limit).push(sample(false, 'x'.repeat(body + 1))), {
    code: 'FRAME_TOO_LARGE',
    details: { length: limit + 1, max: limit }
  })
})

const hostile: Record<string, [Buffer, string]> = {
  'a length of zero': [frameOf(0, 0, 0), 'a length of 0'],
  'a negative length': [frameOf(-1, 0, 0), 'a length of -1'],
  'the smallest length': [frameOf(-0x8000_0000, 0, 0), 'a length of -2147483648'],
  'a header that reaches beyond its frame': [frameOf(10, 0, 7, '{}4567'), 'a header of 7 bytes in a frame of 14'],
  'a header of 16 MiB in a small frame': [frameOf(10, 0, 0xff_ffff, '{}4567'), 'a header of 16777215 bytes'],
  'a serialize type of 2': [frameOf(6, 2, 2, '{}'), 'serialize type 2'],
  'a serialize type of 255': [frameOf(6, 255, 2, '{}'), 'serialize type 255'],
  'a binary header of 20 bytes': [frameOf(24, 1, 20, Buffer.alloc(20)), 'under 21 bytes'],
  'a JSON header of no bytes': [frameOf(4, 0, 0), 'the header is no JSON']
}
for (const [what, [bytes, reason]] of Object.entries(hostile)) {
  t.test(`${what} is refused, in one piece or byte by byte`, async t => {
    const error = { code: 'BAD_FRAME', message: new RegExp(reason) }
    t.throws(() => new CommandReader().push(bytes), error)
    const reader = new CommandReader()
    t.throws(() => {
      for (const byte of bytes) reader.push(Buffer.of(byte))
    }, error)
  })
}

t.test('a giant length is refused at once, before its bytes come', async t => {
  for (const length of [MAX - 3, 0x7fff_ffff])
    t.throws(() => new CommandReader().push(frameOf(length, 0, 0)), {
      code: 'FRAME_TOO_LARGE',
      details: { length: length + 4, max: MAX }
    })
})

t.test('an announced frame takes memory as its bytes come, not before', async t => {
  const decoders: FrameDecoder[] = []
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 200; i++) {
    const decoder = new FrameDecoder(MAX)
    decoder.push(frameOf(MAX - 4, 0, 100, Buffer.alloc(1000)), { onFrame: () => t.fail('there is no frame yet') })
    decoders.push(decoder)
  }
  const used = process.memoryUsage().arrayBuffers - before
  t.ok(used < 200 * 8 * 1024, `${used} bytes for 200 announced frames of 16 MiB`)
  t.equal(decoders.length, 200)
})

t.test('a header over a mebibyte is refused: decoded, it would be many', async t => {
  const header = Buffer.from(`{"code":1,"extFields":{"a":"${'x'.repeat(1024 * 1024)}"}}`)
  t.throws(() => new CommandReader().push(frameOf(4 + header.length, 0, header.length, header)), {
    code: 'BAD_FRAME',
    message: /the limit is 1048576/
  })
})

t.test('the code is seen without decoding the header, where it comes first', async t => {
  const codeOf = (header: string): number => {
    let code = Number.NaN
    const onFrame = (frame: Frame) => {
      code = frame.code
    }
    new FrameDecoder(MAX).push(frameOf(4 + header.length, 0, header.length, header), { onFrame })
    return code
  }
  t.equal(codeOf('{"code":310,"flag":0}'), 310)
  for (const header of [
    '{"flag":0,"code":310}',
    '{"code":310}',
    '{ "code":310,',
    '{"code":"310",',
    '{"code":31e1,',
    '{'
  ])
    t.equal(codeOf(header), -1, header)
})

t.test('a full sink is given nothing until it asks again, and then all in order', async t => {
  const seen: number[] = []
  let room = 0
  const sink = {
    get full() {
      return room === 0
    },
    onFrame(frame: Frame) {
      room--
      seen.push(frame.view.getInt32(frame.headerStart + 5))
    }
  }
  const bytes = Buffer.concat(
    Array.from({ length: 10 }, (_, opaque) => encodeCommand({ ...request(1), opaque, serializeType: 1 }))
  )
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), fc.array(fc.nat(3)), (sizes, rooms) => {
      seen.length = 0
      room = 0
      const decoder = new FrameDecoder(MAX)
      let pos = 0
      for (let i = 0; pos < bytes.length; i++) {
        room = rooms[i] ?? 0
        const before = seen.length
        decoder.resume(sink)
        assert.ok(seen.length - before <= (rooms[i] ?? 0))
        decoder.push(bytes.subarray(pos, pos + sizes[i % sizes.length]!), sink)
        assert.ok(seen.length - before <= (rooms[i] ?? 0))
        pos += sizes[i % sizes.length]!
      }
      room = 100
      decoder.resume(sink)
      assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    })
  )
  t.pass()
})

t.test('no bytes make a decoder fail in another way than with an error of its own', async t => {
  const valid = Buffer.concat([sample(true), sample(false)])
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.uint8Array({ maxLength: 20 }),
      (changes, tail) => {
        const bytes = Buffer.concat([valid, tail])
        for (const [at, byte] of changes) bytes[at] = byte
        try {
          new CommandReader().push(bytes)
        } catch (error) {
          assert.ok(error instanceof NetError, String(error))
        }
      }
    ),
    { numRuns: 2000 }
  )
  t.pass()
})

t.test(
  'what came in pieces may be kept; what came in one chunk is a copy; a silent decoder holds no bytes',
  async t => {
    const kept: Uint8Array[] = []
    const seen: Frame[] = []
    const sink = {
      onFrame(frame: Frame) {
        seen.push(frame)
        kept.push(decodeCommand(frame).body!)
      }
    }
    const decoder = new FrameDecoder(MAX)
    const chunk = Buffer.concat([sample(true, 'first'), sample(true, 'x'.repeat(1000)), sample(false, 'third')])
    const cut = chunk.length / 2
    for (const part of [chunk.subarray(0, cut), chunk.subarray(cut)]) {
      const lent = Buffer.from(part)
      decoder.push(lent, sink)
      lent.fill(0)
    }
    t.same(
      kept.map(body => Buffer.from(body).toString()),
      ['first', 'x'.repeat(1000), 'third']
    )
    decoder.push(sample(true, 'y'.repeat(5000)).subarray(0, 4000), sink)
    decoder.push(sample(true, 'y'.repeat(5000)).subarray(4000), sink)
    t.equal(seen[0]!.bytes.length, 0)
  }
)
