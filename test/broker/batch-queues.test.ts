import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { decodeMessages } from '../../client/message.ts'
import { encodeBatch, SysFlag } from '../../message/index.ts'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { createTopic, type OpenBroker, openBroker, temporaryDirectory } from '../support/broker.ts'
import { pull, send, sendFields } from '../support/messages.ts'

const BATCHES = { readQueueNums: 1, writeQueueNums: 1, attributes: '+queue.type=BatchCQ' }

const batchOf = (...bodies: string[]) =>
  encodeBatch(
    bodies.map((body, i) => ({
      flag: i,
      body: Buffer.from(body),
      properties: `UNIQ_KEY\u0001U${body}\u0002TAGS\u0001T\u0002`
    }))
  )

const sendBatch = (open: OpenBroker, topic: string, uniqueKey: string, ...bodies: string[]) =>
  open.ask(RequestCode.SEND_BATCH_MESSAGE, { ...sendFields({ topic, uniqueKey }), m: 'true' }, batchOf(...bodies))

/** [queue offset, body, unique key, tag] of each message that a client gets. */
async function read(open: OpenBroker, topic: string, offset = 0) {
  const answer = await pull(open, { topic, offset })
  const messages = answer.body === null ? [] : await decodeMessages(answer.body, 'broker-a')
  return {
    next: Number(answer.extFields!.nextBeginOffset),
    messages: messages.map(({ queueOffset, body, messageId, tags }) => [queueOffset, body.toString(), messageId, tags])
  }
}

t.test('a batch to a topic of batch queues is one record, and a client gets its messages', async t => {
  const dir = temporaryDirectory(t)
  let open = await openBroker(t, { storePathRootDir: dir })
  t.equal((await createTopic(open, 'batches', BATCHES)).code, ResponseCode.SUCCESS)
  const answer = await sendBatch(open, 'batches', 'BATCH', 'a', 'b', 'c')
  t.equal(answer.code, ResponseCode.SUCCESS)
  t.match(answer.extFields, { queueOffset: '0', transactionId: 'BATCH', batchUniqId: 'BATCH' })
  t.notMatch(answer.extFields!.msgId, /,/)
  t.match((await send(open, { topic: 'batches', body: 'single', uniqueKey: 'ONE' })).extFields, { queueOffset: '3' })
  t.match((await sendBatch(open, 'batches', 'NEXT', 'd', 'e')).extFields, { queueOffset: '4' })
  t.match((await sendBatch(open, 'batches', '', 'f', 'g')).extFields, { queueOffset: '6' }, 'a batch without a name')

  const expected = {
    next: 8,
    messages: [
      [0, 'a', 'Ua', 'T'],
      [1, 'b', 'Ub', 'T'],
      [2, 'c', 'Uc', 'T'],
      [3, 'single', 'ONE', undefined],
      [4, 'd', 'Ud', 'T'],
      [5, 'e', 'Ue', 'T'],
      [6, 'f', 'Uf', 'T'],
      [7, 'g', 'Ug', 'T']
    ]
  }
  t.same(await read(open, 'batches'), expected)
  t.equal(open.broker.store.maxQueueOffset('batches', 0), 8)

  t.comment('without the files of the queue')
  await open.broker.close()
  rmSync(join(dir, 'batchconsumequeue'), { recursive: true })
  open = await openBroker(t, { storePathRootDir: dir })
  t.same(await read(open, 'batches'), expected)
})

t.test('a record that is a batch is taken whole where its topic can hold it, and refused elsewhere', async t => {
  const open = await openBroker(t)
  await createTopic(open, 'batches', BATCHES)
  await send(open, { topic: 'plain', body: 'x' })
  const sysFlag = SysFlag.INNER_BATCH | SysFlag.NEED_UNWRAP
  const batch = (topic: string, flags: number, number: string) =>
    send(open, { topic, body: batchOf('a', 'b'), sysFlag: flags, properties: { INNER_NUM: number } })
  t.equal((await batch('batches', sysFlag, '2')).code, ResponseCode.SUCCESS)
  t.match(await batch('batches', sysFlag, '3'), {
    code: ResponseCode.MESSAGE_ILLEGAL,
    remark: /of 3 messages but has 2/
  })
  t.match(await batch('batches', 0, '2'), { code: ResponseCode.MESSAGE_ILLEGAL, remark: /is not an inner batch/ })
  t.match(await batch('plain', sysFlag, '2'), { code: ResponseCode.MESSAGE_ILLEGAL, remark: /no batch queues/ })
  t.same(
    (await read(open, 'batches')).messages.map(([offset, body]) => [offset, body]),
    [
      [0, 'a'],
      [1, 'b']
    ]
  )
})
