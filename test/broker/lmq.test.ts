import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { decodeRecords } from '../../message/index.ts'
import { RequestCode, ResponseCode, UpdateConsumerOffsetHeader } from '../../net/index.ts'
import { type OpenBroker, openBroker, temporaryDirectory } from '../support/broker.ts'
import { pull, send } from '../support/messages.ts'

const LMQ = { enableLmq: true, enableMultiDispatch: true }
const A = '%LMQ%a'
const B = '%LMQ%b'

const sendTo = (open: OpenBroker, body: string, ...queues: string[]) =>
  send(open, { topic: 'parent', body, properties: { WAIT: 'true', INNER_MULTI_DISPATCH: queues.join(',') } })

/** [body, offsets in the queues that it names] of each message of a light queue. */
async function read(open: OpenBroker, topic: string, offset = 0) {
  const answer = await pull(open, { topic, group: topic, offset })
  const records = answer.body === null ? [] : decodeRecords(answer.body)
  return records.map(({ topic: from, body, properties }) => [
    from,
    Buffer.from(body).toString(),
    properties.get('INNER_MULTI_QUEUE_OFFSET')
  ])
}

t.test('a message is listed in each light queue that it names, at the next offset there', async t => {
  const dir = temporaryDirectory(t)
  let open = await openBroker(t, { storePathRootDir: dir, store: LMQ })
  t.equal((await sendTo(open, 'one', A)).code, ResponseCode.SUCCESS)
  await sendTo(open, 'two', A, B)
  await sendTo(open, 'three', B, A)
  await send(open, { topic: 'parent', body: 'for nobody' })
  const ofA = [
    ['parent', 'one', '0'],
    ['parent', 'two', '1,0'],
    ['parent', 'three', '1,2']
  ]
  const check = async () => {
    t.same(await read(open, A), ofA)
    t.same(await read(open, B), ofA.slice(1))
    t.same(await read(open, A, 2), ofA.slice(2))
    t.equal(open.broker.store.maxQueueOffset('parent', 0), 4)
  }
  await check()
  for (const lost of ['nothing', 'consumequeue']) {
    t.comment(`after a restart without ${lost}`)
    await open.broker.close()
    rmSync(join(dir, lost), { recursive: true, force: true })
    open = await openBroker(t, { storePathRootDir: dir, store: LMQ })
    await check()
  }
  await sendTo(open, 'four', A)
  t.same(await read(open, A, 3), [['parent', 'four', '3']])
})

t.test('offsets of the groups of light queues are kept as RocketMQ keeps them', async t => {
  const dir = temporaryDirectory(t)
  let open = await openBroker(t, { storePathRootDir: dir, store: LMQ })
  await sendTo(open, 'one', A)
  const commit = (consumerGroup: string, topic: string, commitOffset: number) =>
    open.ask(
      RequestCode.UPDATE_CONSUMER_OFFSET,
      UpdateConsumerOffsetHeader.encode({ consumerGroup, topic, queueId: 0, commitOffset })
    )
  t.equal((await commit(A, A, 1)).code, ResponseCode.SUCCESS)
  await pull(open, { topic: 'parent', group: 'plain' })
  await commit('plain', 'parent', 1)
  await open.broker.close()
  const text = readFileSync(join(dir, 'config', 'lmqConsumerOffset.json'), 'utf8')
  t.match(text.replace(/\s/g, ''), `"lmqOffsetTable":{"${A}@${A}":1}`)
  t.match(text.replace(/\s/g, ''), '"offsetTable":{"parent@plain":{')
  t.notMatch(readFileSync(join(dir, 'config', 'topics.json'), 'utf8'), /%LMQ%/)
  t.notMatch(readFileSync(join(dir, 'config', 'subscriptionGroup.json'), 'utf8'), /%LMQ%/)
  open = await openBroker(t, { storePathRootDir: dir, store: LMQ })
  t.equal(open.broker.offsets.get(A, A, 0), 1)
  t.equal(open.broker.offsets.get('plain', 'parent', 0), 1)
})

t.test('names that are none, and more light queues than allowed, are refused', async t => {
  const open = await openBroker(t, { store: { ...LMQ, maxLmqConsumeQueueNum: 2 } })
  t.match(await sendTo(open, 'x', '%LMQ%../../etc'), {
    code: ResponseCode.MESSAGE_ILLEGAL,
    remark: /is no name of a queue/
  })
  t.equal((await sendTo(open, 'x', A, B)).code, ResponseCode.SUCCESS)
  t.match(await sendTo(open, 'x', '%LMQ%c'), { code: ResponseCode.SYSTEM_ERROR, remark: /2 LMQ queues, allowed are 2/ })
  t.equal((await sendTo(open, 'x', A)).code, ResponseCode.SUCCESS)
})

t.test('without enableLmq nothing is listed, and %LMQ% is a topic like any other', async t => {
  const open = await openBroker(t)
  await sendTo(open, 'one', A)
  t.equal((await pull(open, { topic: A })).code, ResponseCode.TOPIC_NOT_EXIST)
  t.same(open.broker.store.topics(), ['parent'])
})
