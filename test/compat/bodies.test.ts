import assert from 'node:assert/strict'
import t from 'tap'
import { decodeRecords, encodeRecord, RecordCheck, RecordCursor, SysFlag, viewOf } from '../../message/index.ts'
import { formatBody, parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { allRecordings, mqadminNames, mqadminRecording, type RecordedFrame } from '../support/recordings.ts'

function* everything(): Generator<RecordedFrame> {
  yield* allRecordings()
  for (const name of mqadminNames()) yield* mqadminRecording(name)
}

/** The code that an answer belongs to, by the recorder's note. */
const askedBy = ({ note }: RecordedFrame): number => Number(/^response to (\d+)/.exec(note)?.[1] ?? -1)

/** Numbers of one form, and keys that are numbers without quotes, as both ways of writing them mean the same. */
const comparable = (text: string): string =>
  text.replace(/"(-?\d+)":/g, '$1:').replace(/\d+\.\d+(E-?\d+)?/g, number => String(Number(number)))

t.test('every recorded body of JSON is read, and says the same when it is written again', async t => {
  let count = 0
  for (const { body, note } of everything()) {
    // Records begin with their size; properties, names and numbers of the store are other text.
    if (body[0] !== 0x7b && body[0] !== 0x5b) continue
    const value = parseBody(body)
    assert.equal(comparable(formatBody(value)), comparable(body.toString()), note)
    assert.deepEqual(parseBody(formatBody(value)), value, note)
    count++
  }
  t.ok(count > 500, `${count} bodies`)
})

t.test('keys that are numbers, and keys that are queues, are read as Java writes them', async t => {
  const bodies = [...everything()].map(({ body }) => body).filter(body => body[0] === 0x7b)
  const numbers = bodies.find(body => body.includes('"brokerAddrs":{0:'))
  t.match(JSON.stringify(parseBody(numbers!)), '"brokerAddrs":{"0":"127.0.0.2:29811"}')
  const queues = bodies.find(body => body.includes('"offsetTable":{{'))
  const { offsetTable } = parseBody(queues!) as { offsetTable: Map<{ queueId: number; topic: string }, unknown> }
  t.ok(offsetTable instanceof Map)
  for (const queue of offsetTable.keys()) t.match(queue, { brokerName: 'broker-a', queueId: Number, topic: String })
  t.match(formatBody({ offsetTable }), /^\{"offsetTable":\{\{"brokerName":"broker-a","queueId":\d,"topic":"/)
})

t.test('messages in answers to pulls are read, and written again byte for byte', async t => {
  const pulls: readonly number[] = [RequestCode.PULL_MESSAGE, RequestCode.LITE_PULL_MESSAGE, RequestCode.QUERY_MESSAGE]
  const cursor = new RecordCursor()
  let count = 0
  for (const recorded of everything()) {
    const { body, header, note } = recorded
    if (!pulls.includes(askedBy(recorded)) || header.code !== ResponseCode.SUCCESS) continue
    for (let pos = 0; pos < body.length; pos += cursor.sizeBytes) {
      assert.equal(cursor.at(viewOf(body), body, pos, body.length), RecordCheck.OK, note)
      assert.ok(cursor.crcOk(), note)
      count++
      const bytes = body.subarray(pos, pos + cursor.sizeBytes)
      const [record] = decodeRecords(bytes)
      // A broker keeps the properties of a 4.9 client as they come, without a separator at their end.
      if (!cursor.propertiesText.endsWith('\u0002')) continue
      assert.equal(Buffer.from(encodeRecord(record!)).toString('hex'), bytes.toString('hex'), note)
    }
  }
  t.ok(count > 100, `${count} records`)
})

t.test('batches and flags in messages are those that the spec names', async t => {
  const flags = new Set<number>()
  for (const recorded of everything())
    if (askedBy(recorded) === RequestCode.PULL_MESSAGE && recorded.header.code === ResponseCode.SUCCESS)
      for (const { sysFlag } of decodeRecords(recorded.body)) flags.add(sysFlag)
  for (const flag of flags) {
    const known =
      SysFlag.COMPRESSED | SysFlag.MULTI_TAGS | SysFlag.TRANSACTION_MASK | SysFlag.HOST_MASK | SysFlag.COMPRESSION_MASK
    t.equal(flag & ~known, 0, `sysFlag ${flag}`)
  }
})
