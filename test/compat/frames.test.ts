import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { BINARY_HEADER, encodeCommand, LANGUAGES, type RemotingCommand, RequestCode } from '../../net/index.ts'
import { CommandReader, decodeOne } from '../support/frames.ts'
import { mqadminNames, mqadminRecording, type RecordedFrame, recording, recordingNames } from '../support/recordings.ts'

/** POP codes do not fit the 16 bits of a binary header and travel cut off. */
const POP_CODES: readonly number[] = [
  RequestCode.POP_MESSAGE,
  RequestCode.ACK_MESSAGE,
  RequestCode.PEEK_MESSAGE,
  RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
  RequestCode.NOTIFICATION,
  RequestCode.POLLING_INFO,
  RequestCode.BATCH_ACK_MESSAGE
]

/** What the recorder saw, in the form of a command. */
function expectedOf({ header, body }: RecordedFrame): RemotingCommand {
  const binary = header.serializeType === BINARY_HEADER
  const language = typeof header.language === 'number' ? header.language : LANGUAGES.indexOf(header.language as never)
  const fields = Object.entries(header.extFields ?? {}).filter(([, value]) => !(binary && value === ''))
  return {
    code: (binary && POP_CODES.find(code => (code & 0xffff) === header.code)) || header.code,
    language: language in LANGUAGES ? language : null,
    version: header.version,
    opaque: header.opaque,
    flag: header.flag,
    remark: header.remark ?? null,
    extFields: header.extFields ? Object.fromEntries(fields) : null,
    body: body.length > 0 ? new Uint8Array(body) : null,
    serializeType: binary ? BINARY_HEADER : 0
  }
}

/** Long values as the recorder shows them. */
function shortened(command: RemotingCommand): RemotingCommand {
  const short = (value: string): string =>
    value.length > 600 ? `${value.slice(0, 100)}… (${value.length} characters)` : value
  const fields = command.extFields && Object.entries(command.extFields).map(([key, value]) => [key, short(value)])
  return { ...command, extFields: fields && Object.fromEntries(fields) }
}

const plain = (command: RemotingCommand): RemotingCommand => ({
  ...command,
  body: command.body && new Uint8Array(command.body)
})

for (const name of recordingNames()) {
  t.test(`${name}: every frame says what was recorded, and is written again byte for byte`, async t => {
    const differences: unknown[] = []
    for (const recorded of recording(name)) {
      const command = decodeOne(recorded.frame)
      try {
        assert.deepEqual(plain(shortened(command)), expectedOf(recorded))
        assert.deepEqual(plain(decodeOne(encodeCommand(command))), plain(command))
        assert.equal(encodeCommand(command).toString('base64'), recorded.frame.toString('base64'))
      } catch (error) {
        differences.push([recorded.note, (error as Error).message])
      }
    }
    t.same(differences, [])
  })
}

t.test('frames of mqadmin are written again byte for byte', async t => {
  const differences: unknown[] = []
  for (const name of mqadminNames())
    for (const { frame, note } of mqadminRecording(name))
      if (!encodeCommand(decodeOne(frame)).equals(frame)) differences.push([name, note])
  t.same(differences, [])
})

/** The bytes of each connection's directions, as they went over the wire. */
function streams(name: string): RecordedFrame[][] {
  const byConnection = new Map<string, RecordedFrame[]>()
  for (const frame of recording(name)) {
    const key = `${frame.conn} ${frame.dir}`
    byConnection.set(key, [...(byConnection.get(key) ?? []), frame])
  }
  return [...byConnection.values()]
}

t.test('a conversation is read the same however its bytes are cut', async t => {
  for (const name of ['producer-5-binary', 'pop-5-json', 'metadata-4-json'])
    for (const frames of streams(name)) {
      const bytes = Buffer.concat(frames.map(({ frame }) => frame))
      const whole = frames.map(({ frame }) => plain(decodeOne(frame)))
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 50 }), sizes => {
          const reader = new CommandReader()
          let pos = 0
          for (let i = 0; pos < bytes.length; i++) {
            const size = sizes[i % sizes.length]!
            // A chunk is the network's memory: what is kept of it must be copied.
            const chunk = Buffer.from(bytes.subarray(pos, pos + size))
            reader.push(chunk)
            chunk.fill(0xee)
            pos += size
          }
          assert.deepEqual(reader.commands.map(plain), whole)
        }),
        { numRuns: 20 }
      )
    }
  t.pass()
})
