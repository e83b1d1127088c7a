import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  type Connection,
  encodeCommand,
  isOneWay,
  isResponse,
  MQ_VERSION,
  NetError,
  OutputBuffer,
  type RemotingCommand,
  RequestCode,
  request,
  SendAnswerView,
  SendHeaderView,
  SendMessageV2Header,
  SendRequestWriter,
  type SerializeType,
  writeSendResponse
} from '../../net/index.ts'
import { decodeOne, withFrame } from '../support/frames.ts'
import { allRecordings } from '../support/recordings.ts'

const view = new SendHeaderView()
const textOf = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes).toString('utf8', start, end)

/** What the direct codec makes of a send; null when it leaves it to the general one. */
function direct(bytes: Uint8Array) {
  return withFrame(bytes, frame =>
    view.decode(frame)
      ? {
          opaque: view.opaque,
          version: view.version,
          oneWay: view.oneWay,
          topic: textOf(view.bytes, view.topicStart, view.topicEnd),
          properties: textOf(view.propertiesBytes, view.propertiesStart, view.propertiesEnd),
          queueId: view.queueId,
          sysFlag: view.sysFlag,
          bornTimestamp: view.bornTimestamp,
          flag: view.flag,
          reconsumeTimes: view.reconsumeTimes,
          batch: view.batch
        }
      : null
  )
}

/** The same by way of the general codec. Throws what it throws. */
function general(bytes: Uint8Array) {
  const command = decodeOne(bytes)
  assert.ok(!isResponse(command), 'an answer is no send')
  const { b, e, f, g, h, i, j, m } = SendMessageV2Header.decode(command.extFields)
  return {
    opaque: command.opaque,
    version: command.version,
    oneWay: isOneWay(command),
    topic: b,
    properties: i ?? '',
    queueId: e,
    sysFlag: f,
    bornTimestamp: g,
    flag: h,
    reconsumeTimes: j ?? 0,
    batch: m ?? false
  }
}

t.test('every recorded send is read directly, and as by the general codec', async t => {
  const codes: readonly number[] = [RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE]
  const left: string[] = []
  let count = 0
  for (const { frame, header, name, note } of allRecordings()) {
    if (!codes.includes(header.code) || header.flag & 1) continue
    const read = direct(frame)
    // Some ask what happens when fields are missing.
    if (read === null && header.extFields?.a !== undefined)
      left.push(`${name}: ${note} ${JSON.stringify(header.extFields)?.slice(0, 200)}`)
    if (read !== null) assert.deepEqual(read, general(frame), name)
    count++
  }
  t.ok(count > 100, `${count} sends`)
  t.same(left, [], 'left to the general codec')
})

const SEPARATED = 'KEYS\u0001k1 k2\u0002TAGS\u0001TagA\u0002UNIQ_KEY\u00017F0000010000\u0002'
const usual = {
  a: 'group',
  b: 'orders',
  c: 'TBW102',
  d: '4',
  e: '3',
  f: '0',
  g: '1700000000000',
  h: '0',
  i: SEPARATED,
  j: '0',
  k: 'false',
  l: '16',
  m: 'false',
  n: 'broker-a'
}
const send = (extFields: Record<string, string>, changes: Partial<RemotingCommand> = {}): Buffer =>
  encodeCommand({ ...request(RequestCode.SEND_MESSAGE_V2, extFields, 'body'), opaque: 5, ...changes })

for (const serializeType of [0, 1] as const) {
  t.test(`the usual send is read directly in header type ${serializeType}`, async t => {
    t.match(direct(send(usual, { serializeType })), {
      topic: 'orders',
      properties: SEPARATED,
      queueId: 3,
      bornTimestamp: 1_700_000_000_000,
      opaque: 5,
      version: MQ_VERSION,
      oneWay: false,
      batch: false
    })
    t.match(direct(send({ ...usual, m: 'true' }, { serializeType, flag: 2 })), { oneWay: true, batch: true })
  })

  t.test(`what is unusual is left to the general codec in header type ${serializeType}`, async t => {
    const { b, ...withoutTopic } = usual
    t.equal(direct(send(withoutTopic, { serializeType })), null)
    t.equal(direct(send({ ...usual, bname: 'x' }, { serializeType })), null)
    t.equal(direct(send(usual, { serializeType, flag: 1 })), null)
    for (const value of ['', '-', '1.5', ' 1', '0x1', '2147483648', '1234567890123456', 'x'])
      t.equal(direct(send({ ...usual, e: value }, { serializeType })), null, `queueId "${value}"`)
    for (const value of ['TRUE', 'tru', 't'])
      t.equal(direct(send({ ...usual, m: value }, { serializeType })), null, `batch "${value}"`)
  })
}

const HEADERS = [
  '{"opaque":5,"extFields":EXT,"code":310}',
  '{"code":310,"extFields":EXT}',
  '{"code":310,"opaque":5}',
  '{"code":310,"opaque":"5","extFields":EXT}',
  '{"code":310,"opaque":5,"flag":"1","extFields":EXT}',
  '{"code":310,"opaque":5,"flag":1,"extFields":EXT}',
  '{"code":310,"opaque":5,"extFields":EXT,"extFields":{}}',
  '{"code":310,"opaque":5,"extFields":EXT,"code":11}',
  '{"code":310,"opaque":4294967301,"extFields":EXT}',
  '{"code":310,"oppose":6,"opaque":5,"extFields":EXT}',
  '{"code":310,"opaque":5,"extFields":EXT,"x":{"y":1}}',
  '{"code":310,"opaque":5,"extFields":EXT,"x":null}',
  '{"code":310,"opaque":5,"extFields":EXT}x',
  '{"code":310,"opaque":5,"extFields":EXT',
  '{"code":310,"opaque":5,"extFields":EXT,}'
]
function jsonFrame(header: string): Buffer {
  const bytes = Buffer.from(header)
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + bytes.length)
  head.writeInt32BE(bytes.length, 4)
  return Buffer.concat([head, bytes])
}

t.test('an odd JSON header is left alone', async t => {
  for (const header of HEADERS)
    t.equal(direct(jsonFrame(header.replaceAll('EXT', JSON.stringify(usual)))), null, header)
})

t.test('keys of a JSON header may come in any order, with what else clients write', async t => {
  for (const header of [
    '{"code":310,"language":"GO","version":317,"opaque":5,"flag":0,"remark":"","extFields":EXT}',
    '{"code":310,"opaque":5,"extFields":EXT,"remark":"say \\"hi\\"","serializeTypeCurrentRPC":"JSON"}'
  ]) {
    const bytes = jsonFrame(header.replaceAll('EXT', JSON.stringify(usual)))
    t.same(direct(bytes), general(bytes))
  }
  t.equal(direct(jsonFrame(`{"code":310,"opaque":5,"extFields":${JSON.stringify(usual)}}`))?.version, 0)
})

const number = fc.oneof(fc.integer().map(String), fc.maxSafeInteger().map(String), fc.string({ maxLength: 3 }))
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom(SEPARATED, 'a\u0001"\\/\u0002', 'line\nbreak', 'nul\u0000', 'tab\t', '')
)
const fields = fc
  .record(
    {
      ...{ a: anyText, b: anyText, c: anyText, d: number, e: number, f: number, g: number, h: number, i: anyText },
      ...{ j: number, k: anyText, l: number, n: anyText },
      m: fc.constantFrom('true', 'false', 'True', 'x', '')
    },
    { requiredKeys: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'], noNullPrototype: true }
  )
  .chain(record =>
    fc.shuffledSubarray(Object.entries(record), { minLength: Object.keys(record).length }).map(Object.fromEntries)
  )
const header = fc.record({
  // Mostly the usual fields but for some, so that one in many is read directly.
  fields: fc.tuple(fields, fc.subarray(Object.keys(usual), { maxLength: 4 })).map(([odd, which]) => {
    const some = Object.entries(odd).filter(([key]) => which.includes(key))
    return { ...usual, ...Object.fromEntries(some) }
  }),
  changes: fc.record({
    opaque: fc.integer(),
    version: fc.nat(0x7fff),
    flag: fc.nat(3),
    serializeType: fc.constantFrom<SerializeType>(0, 1)
  })
})

t.test('what is read directly is what the general codec reads, for any header', async t => {
  let taken = 0
  fc.assert(
    fc.property(header, ({ fields, changes }) => {
      const bytes = send(fields, changes)
      const read = direct(bytes)
      if (read === null) return
      taken++
      assert.deepEqual(read, general(bytes))
    }),
    { numRuns: 2000 }
  )
  t.ok(taken > 100, `${taken} were read directly`)
})

t.test('what is read directly is what the general codec reads, for any damage', async t => {
  const change = fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('"\\,:{}0-9aetu'))))
  let taken = 0
  fc.assert(
    fc.property(
      fc.constantFrom<SerializeType>(0, 1),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      (serializeType, changes) => {
        const bytes = send(usual, { serializeType })
        for (const [at, byte] of changes) bytes[8 + (at % (bytes.length - 12))] = byte
        let read: ReturnType<typeof direct>
        try {
          read = direct(bytes)
        } catch (error) {
          assert.ok(error instanceof NetError)
          return
        }
        if (read === null) return
        taken++
        assert.deepEqual(read, general(bytes))
      }
    ),
    { numRuns: 5000 }
  )
  t.ok(taken > 100, `${taken} were read directly`)
})

/** A connection that keeps what is written in place, and sees that no more is written than was asked for. */
function paper(): { connection: Connection; bytes(): Buffer } {
  const out = new OutputBuffer(1024 * 1024)
  let limit = 0
  const connection = {
    output(sizeBytes: number) {
      limit = out.pos + sizeBytes
      return out
    },
    writeBytes(bytes: Uint8Array) {
      out.bytes.set(bytes, out.pos)
      out.pos += bytes.length
      limit = out.pos
    }
  }
  return {
    connection: connection as unknown as Connection,
    bytes() {
      assert.ok(out.pos <= limit, `${out.pos - limit} bytes more than asked for`)
      return out.bytes.subarray(0, out.pos)
    }
  }
}

const HOSTS = ['7F00000100002A9F', '20010DB885A3000000008A2E0370733400002A9F']

t.test('an answer to a send says what the general codec would have made of it', async t => {
  const int = fc.oneof(fc.constantFrom(0, 1, 9, 10, 0x7fff_ffff), fc.nat(0x7fff_ffff))
  const offset = fc.oneof(fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER), fc.maxSafeNat())
  fc.assert(
    fc.property(
      fc.constantFrom<SerializeType>(0, 1),
      fc.oneof(fc.constantFrom(-1, -0x8000_0000, 0x7fff_ffff), fc.integer()),
      fc.constantFrom(0, 10, 11, 12),
      fc.constantFrom(...HOSTS),
      offset,
      int,
      offset,
      anyText,
      (serializeType, opaque, code, host, physicalOffset, queueId, queueOffset, id) => {
        const { connection, bytes } = paper()
        const idBytes = Buffer.from(`xx${id}yy`)
        const idEnd = idBytes.length - 2
        writeSendResponse(
          ...([connection, serializeType, opaque, code, Buffer.from(host), physicalOffset] as const),
          ...([queueId, queueOffset, idBytes, 2, idEnd] as const)
        )
        const { extFields, ...rest } = decodeOne(bytes())
        assert.deepEqual(rest, {
          ...{ code, language: 0, version: MQ_VERSION, opaque, flag: 1, remark: null, body: null, serializeType }
        })
        assert.deepEqual(extFields, {
          msgId: host + physicalOffset.toString(16).padStart(16, '0').toUpperCase(),
          queueId: String(queueId),
          queueOffset: String(queueOffset),
          ...(id === '' ? {} : { transactionId: id }),
          MSG_REGION: 'DefaultRegion',
          TRACE_ON: 'true'
        })
      }
    ),
    { numRuns: 1000 }
  )
  t.pass()
})

t.test('the answer to a send looks as that of RocketMQ', async t => {
  const codes: readonly string[] = ['310 SEND_MESSAGE_V2: 0']
  let count = 0
  for (const { frame, note, header } of allRecordings()) {
    if (!codes.some(code => note.startsWith(`response to ${code}`)) || !header.extFields?.transactionId) continue
    const { connection, bytes } = paper()
    const { msgId, queueId, queueOffset, transactionId } = header.extFields
    const id = Buffer.from(transactionId!)
    writeSendResponse(
      ...([
        connection,
        0,
        header.opaque,
        0,
        Buffer.from(msgId!.slice(0, 16)),
        Number(`0x${msgId!.slice(16)}`)
      ] as const),
      ...([Number(queueId), Number(queueOffset), id, 0, id.length] as const)
    )
    const own = decodeOne(bytes())
    const { recallHandle, batchUniqId, ...fields } = header.extFields
    assert.deepEqual({ ...own, extFields: { ...own.extFields } }, { ...decodeOne(frame), extFields: fields })
    count++
  }
  t.ok(count > 50, `${count} answers`)
})

t.test("a producer's request is what the general codec would have written", async t => {
  fc.assert(
    fc.property(
      fc.constantFrom<SerializeType>(0, 1),
      fc.constantFrom(RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE),
      fc.tuple(fc.nat(0x7fff_ffff), fc.boolean(), fc.nat(100), fc.integer(), fc.maxSafeNat(), fc.integer()),
      anyText.filter(Boolean),
      fc.option(fc.nat(100), { nil: undefined }),
      fc.uint8Array({ maxLength: 100 }),
      (serializeType, code, [opaque, oneWay, queueId, sysFlag, bornTimestamp, flag], properties, maxTimes, body) => {
        const target = {
          ...{ code, producerGroup: '生产者', topic: 'orders', defaultTopic: 'TBW102', defaultTopicQueueCount: 4 },
          brokerName: 'broker-a'
        }
        const writer = new SendRequestWriter(target, serializeType)
        const sent = {
          ...{ queueId, sysFlag, bornTimestamp, flag, properties, reconsumeTimes: 0, maxReconsumeTimes: maxTimes }
        }
        const { connection, bytes } = paper()
        writer.write(connection, opaque, oneWay, sent, body)
        const expected = writer.command(opaque, oneWay, sent, body)
        const read = decodeOne(bytes())
        assert.deepEqual(
          { ...read, body: Buffer.from(read.body ?? []).toString('hex') },
          { ...expected, body: Buffer.from(body).toString('hex') }
        )
        const taken = direct(bytes())
        if (taken !== null) assert.deepEqual(taken, general(bytes()))
      }
    )
  )
  t.pass()
})

t.test('a producer reads answers in place as the general codec would, and leaves it the others', async t => {
  const answers = new SendAnswerView()
  fc.assert(
    fc.property(fc.nat(0x7fff_ffff), fc.maxSafeNat(), fc.maxSafeNat(), (queueId, queueOffset, physicalOffset) => {
      const { connection, bytes } = paper()
      const id = Buffer.from('7F0000010000')
      writeSendResponse(
        ...([connection, 1, 9, 10, Buffer.from(HOSTS[0]!), physicalOffset, queueId, queueOffset] as const),
        ...([id, 0, id.length] as const)
      )
      const read = withFrame(bytes(), frame => answers.decode(frame))
      assert.ok(read)
      assert.equal(answers.code, 10)
      assert.equal(answers.queueId, queueId)
      assert.equal(answers.queueOffset, queueOffset)
      assert.equal(answers.msgId, decodeOne(bytes()).extFields!.msgId)
    })
  )
  const refused = { ...request(1, null), flag: 1, remark: 'no', serializeType: 1 as const }
  t.notOk(withFrame(encodeCommand(refused), frame => answers.decode(frame)))
  const bare = { ...request(0, { msgId: 'x' }), flag: 1, serializeType: 1 as const }
  t.notOk(withFrame(encodeCommand(bare), frame => answers.decode(frame)))
})
