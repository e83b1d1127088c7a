import t from 'tap'
import { encodeOwnProperties } from '../../client/outgoing.ts'
import { decodeProperties, encodeBatch, PropertyName } from '../../message/index.ts'
import {
  type Connection,
  decodeCommand,
  encodeCommand,
  type Frame,
  FrameDecoder,
  OutputBuffer,
  type RemotingCommand,
  RequestCode,
  response,
  SendAnswerView,
  SendRequestWriter
} from '../../net/index.ts'
import { type RecordedFrame, recording, recordingNames } from '../support/recordings.ts'

const SENDS: readonly number[] = [
  RequestCode.SEND_MESSAGE_V2,
  RequestCode.SEND_BATCH_MESSAGE,
  RequestCode.SEND_REPLY_MESSAGE_V2
]
const LANGUAGE_AT = 8 + 2

function inFrame<T>(bytes: Buffer, read: (frame: Frame) => T): T {
  let result: T | undefined
  new FrameDecoder(16 * 1024 * 1024).push(bytes, {
    onFrame(frame) {
      result = read(frame)
    }
  })
  return result!
}

function* recordedSends(): Generator<RecordedFrame> {
  for (const name of recordingNames())
    for (const frame of recording(name))
      if (frame.dir === 'c2s' && SENDS.includes(frame.header.code) && frame.header.extFields?.n !== undefined)
        yield frame
}

/** Stands for a connection, and keeps what is written. */
class Sink {
  private readonly out = new OutputBuffer(1024 * 1024)

  output(): OutputBuffer {
    return this.out
  }

  writeBytes(bytes: Uint8Array): void {
    this.out.bytes.set(bytes, this.out.pos)
    this.out.pos += bytes.length
  }

  get written(): Buffer {
    return this.out.bytes.subarray(0, this.out.pos)
  }
}

/** What we send where Java sent this. */
function ours({ frame, header, body }: RecordedFrame): Buffer {
  const { a, b, c, d, e, f, g, h, i = '', j, l, n } = header.extFields as Record<string, string>
  const writer = new SendRequestWriter(
    {
      code: header.code,
      producerGroup: a!,
      topic: b!,
      defaultTopic: c!,
      defaultTopicQueueCount: Number(d),
      brokerName: n!
    },
    frame[4] as 0 | 1
  )
  const sink = new Sink()
  writer.write(
    sink as unknown as Connection,
    header.opaque,
    (header.flag & 2) !== 0,
    {
      queueId: Number(e),
      sysFlag: Number(f),
      bornTimestamp: Number(g),
      flag: Number(h),
      properties: i,
      reconsumeTimes: Number(j),
      maxReconsumeTimes: l === undefined ? undefined : Number(l)
    },
    body
  )
  return sink.written
}

/** Who sends is its own affair. */
const anonymous = (command: RemotingCommand) => ({ ...command, language: null, version: 0 })

t.test(
  'sends say what those of Java say: messages, batches, half messages, replies, one-way, JSON and binary',
  async t => {
    const codes = new Set<number>()
    const types = new Set<number>()
    let count = 0
    for (const recorded of recordedSends()) {
      const java = inFrame(recorded.frame, decodeCommand)
      t.strictSame(anonymous(inFrame(ours(recorded), decodeCommand)), anonymous(java), recorded.note)
      codes.add(java.code)
      types.add(java.serializeType)
      count++
    }
    t.equal(codes.size, 3)
    t.equal(types.size, 2)
    t.ok(count > 40)
  }
)

t.test('binary sends are those of Java 5.5.0, byte for byte', async t => {
  let count = 0
  for (const recorded of recording('producer-5-binary')) {
    if (!SENDS.includes(recorded.header.code) || recorded.dir !== 'c2s') continue
    const own = ours(recorded)
    own[LANGUAGE_AT] = recorded.frame[LANGUAGE_AT]!
    t.equal(own.toString('latin1'), recorded.frame.toString('latin1'), recorded.note)
    count++
  }
  t.ok(count >= 5)
})

t.test('a text outside ASCII keeps its bytes, in the properties too', async t => {
  const sink = new Sink()
  const target = {
    code: RequestCode.SEND_MESSAGE_V2,
    producerGroup: 'g',
    topic: 't',
    defaultTopic: 'TBW102',
    defaultTopicQueueCount: 4,
    brokerName: 'größe'
  }
  const properties = encodeOwnProperties({ topic: 't', body: 'b', tags: '标签', properties: { ключ: '😀'.repeat(50) } })
  new SendRequestWriter(target, 1).write(
    sink as unknown as Connection,
    1,
    false,
    { queueId: -1, sysFlag: 0, bornTimestamp: 0, flag: -7, properties, reconsumeTimes: 0, maxReconsumeTimes: 16 },
    Buffer.from('body')
  )
  const { extFields, body } = inFrame(sink.written, decodeCommand)
  t.match(extFields, { e: '-1', g: '0', h: '-7', i: properties, l: '16', n: 'größe' })
  t.equal(Buffer.from(body!).toString(), 'body')
})

t.test('the options of a message become the properties that Java writes', async t => {
  const expected = new Map<string, object>([
    ['F1', { keys: 'F1', tags: 'TagA', properties: { n: '5' } }],
    ['F2 F2b', { keys: ['F2', 'F2b'], tags: '标签', properties: new Map([['n', '12']]) }],
    ['F6', { keys: 'F6', tags: 'TagA', properties: { n: '7' }, delayLevel: 1 }]
  ])
  let count = 0
  for (const { header, dir } of recording('producer-5-json')) {
    if (dir !== 'c2s' || header.code !== RequestCode.SEND_MESSAGE_V2) continue
    const java = decodeProperties(header.extFields!.i)
    const options = expected.get(java.get(PropertyName.KEYS)!)
    if (options === undefined) continue
    java.delete(PropertyName.UNIQ_KEY)
    const own = decodeProperties(encodeOwnProperties({ topic: 'FrameTopic', body: 'x', ...options }))
    t.strictSame([...own].sort(), [...java].sort())
    count++
  }
  t.equal(count, expected.size)
})

t.test('other options have their properties too', async t => {
  const own = (options: object) =>
    Object.fromEntries(decodeProperties(encodeOwnProperties({ topic: 't', body: 'b', ...options })))
  t.strictSame(own({}), { WAIT: 'true' })
  t.strictSame(own({ waitForStore: false, keys: [], tags: '', delayLevel: 0 }), { WAIT: 'false' })
  t.strictSame(own({ delayMs: 1500.4 }), { WAIT: 'true', TIMER_DELAY_MS: '1500' })
  t.strictSame(own({ deliverAt: new Date(1234) }), { WAIT: 'true', TIMER_DELIVER_MS: '1234' })
  t.strictSame(own({ deliverAt: 99, shardingKey: 'k' }), { WAIT: 'true', TIMER_DELIVER_MS: '99', __SHARDINGKEY: 'k' })
})

t.test('properties that would be lost or mistaken are refused with their name', async t => {
  const own = (options: object) => () => encodeOwnProperties({ topic: 't', body: 'b', ...options })
  const refused = (options: object, reason: RegExp) => t.throws(own(options), { code: 'MESSAGE_BAD', message: reason })
  refused({ properties: { KEYS: 'x' } }, /property name KEYS is RocketMQ's own/)
  refused({ properties: new Map([['UNIQ_KEY', 'x']]) }, /property name UNIQ_KEY is RocketMQ's own/)
  refused({ properties: { a: '' } }, /property a is empty/)
  refused({ properties: { '': 'x' } }, /"" is no name/)
  refused({ properties: { 'a\u0001b': 'x' } }, /is no name/)
  refused({ properties: { a: 'x\u0002y' } }, /property a contains/)
  refused({ tags: 'a\u0002b' }, /property TAGS contains/)
  refused({ delayLevel: 1.5 }, /delay level is 1.5/)
  refused({ delayLevel: -1 }, /delay level is -1/)
  refused({ delayMs: Number.NaN }, /delayMs is NaN/)
  refused({ deliverAt: new Date('never') }, /deliverAt is NaN/)
  refused({ properties: { a: 'x'.repeat(32_768) } }, /properties take 3\d{4} bytes, the limit is 32767/)
})

t.test('a batch body is that of Java', async t => {
  let count = 0
  for (const { header, body, dir } of recording('producer-5-json')) {
    if (dir !== 'c2s' || header.code !== RequestCode.SEND_BATCH_MESSAGE) continue
    const parts = []
    for (let pos = 0; pos < body.length; pos += body.readInt32BE(pos)) {
      const bodyEnd = pos + 20 + body.readInt32BE(pos + 16)
      parts.push({
        flag: body.readInt32BE(pos + 12),
        body: body.subarray(pos + 20, bodyEnd),
        properties: body.toString('utf8', bodyEnd + 2, bodyEnd + 2 + body.readInt16BE(bodyEnd))
      })
    }
    t.equal(parts.length, 3)
    t.strictSame(Buffer.from(encodeBatch(parts)), body)
    count++
  }
  t.ok(count > 0)
})

t.test('an answer is read from its frame as from its general form, and left alone when it is an error', async t => {
  const view = new SendAnswerView()
  const fields = { msgId: '7F', queueId: '3', batchUniqId: 'no', queueOffset: '12345678901', transactionId: 'T' }
  const answer = {
    ...response(10, null, { ...fields, MSG_REGION: 'r', TRACE_ON: 'true', recallHandle: 'h' }),
    opaque: 4
  }
  t.ok(inFrame(encodeCommand({ ...answer, serializeType: 1 }), frame => view.decode(frame)))
  t.match(view, { code: 10, msgId: '7F', queueId: 3, queueOffset: 12345678901, recallHandle: 'h' })
  t.ok(inFrame(encodeCommand({ ...answer, extFields: fields, serializeType: 1 }), frame => view.decode(frame)))
  t.equal(view.recallHandle, undefined)
  for (const other of [
    { ...answer, remark: 'no', serializeType: 1 as const },
    { ...answer, extFields: null, serializeType: 1 as const },
    { ...answer, extFields: { msgId: '7F', queueId: '3' }, serializeType: 1 as const }
  ])
    t.notOk(inFrame(encodeCommand(other), frame => view.decode(frame)))
})
