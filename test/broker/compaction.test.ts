import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { decodeRecords } from '../../message/index.ts'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { createTopic, type OpenBroker, openBroker, temporaryDirectory } from '../support/broker.ts'
import { pull, send } from '../support/messages.ts'

const TOPIC = 'prices'
const store = { compactionCqMappedFileSizeBytes: 46 * 10, compactionMappedFileSizeBytes: 46 * 10 * 10 }

const COMPACTED = { readQueueNums: 1, writeQueueNums: 1, attributes: '+cleanup.policy=COMPACTION' }

/** The newest value of each key, as a consumer that begins at the first message gets them. */
async function newest(open: OpenBroker): Promise<{ values: Record<string, string>; count: number }> {
  const values: Record<string, string> = {}
  let count = 0
  for (let offset = open.broker.store.minQueueOffset(TOPIC, 0); ; ) {
    const answer = await pull(open, { topic: TOPIC, offset })
    if (answer.body === null) return { values, count }
    for (const { properties, body } of decodeRecords(answer.body)) {
      values[properties.get('KEYS')!] = Buffer.from(body).toString()
      count++
    }
    offset = Number(answer.extFields!.nextBeginOffset)
  }
}

t.test('a compaction topic needs keys, and keeps the newest message of each', async t => {
  const dir = temporaryDirectory(t)
  let open = await openBroker(t, { storePathRootDir: dir, store })
  t.equal((await createTopic(open, TOPIC, COMPACTED)).code, ResponseCode.SUCCESS)
  t.match(await send(open, { topic: TOPIC, body: 'x' }), { code: ResponseCode.MESSAGE_ILLEGAL, remark: /has no key/ })
  const expected: Record<string, string> = {}
  for (let i = 0; i < 60; i++) {
    const key = i === 0 ? 'early' : `key${i % 5}`
    expected[key] = `value ${i}`
    const answer = await send(open, { topic: TOPIC, body: `value ${i}`, properties: { KEYS: key } })
    t.equal(answer.code, ResponseCode.SUCCESS)
  }
  t.same(await newest(open), { values: expected, count: 60 })
  await open.broker.store.compact()
  for (const _ of ['now', 'after a restart']) {
    const { values, count } = await newest(open)
    t.same(values, expected)
    t.ok(count < 20, `${count} messages are left`)
    t.equal(open.broker.store.maxQueueOffset(TOPIC, 0), 60)
    await open.broker.close()
    open = await openBroker(t, { storePathRootDir: dir, store })
  }

  await open.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: TOPIC })
  t.notOk(existsSync(join(dir, 'compaction', 'compactionLog', TOPIC)))
  await createTopic(open, TOPIC, COMPACTED)
  await send(open, { topic: TOPIC, body: 'anew', properties: { KEYS: 'k' } })
  t.same(await newest(open), { values: { k: 'anew' }, count: 1 })
})
