import t from 'tap'
import { QueueLocks } from '../../broker/queue-locks.ts'
import { parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker } from '../support/broker.ts'

const queue = (queueId: number, topic = 'orders') => ({ brokerName: 'broker-a', queueId, topic })
const ask = ({ ask }: OpenBroker, code: number, clientId: string, ...mqSet: object[]) =>
  ask(code, null, JSON.stringify({ clientId, consumerGroup: 'CG', mqSet, onlyThisBroker: false }))
const lock = async (open: OpenBroker, clientId: string, ...queues: object[]) => {
  const { body } = await ask(open, RequestCode.LOCK_BATCH_MQ, clientId, ...queues)
  return (parseBody(body) as { lockOKMQSet: object[] }).lockOKMQSet
}

t.test('a queue is granted to one client at a time', async t => {
  const open = await openBroker(t)
  t.same(await lock(open, 'A', queue(0)), [queue(0)])
  t.same(await lock(open, 'B', queue(0), queue(1)), [queue(1)], 'only the free one')
  t.same(await lock(open, 'A', queue(0)), [queue(0)], 'its holder renews it')
  t.match(await ask(open, RequestCode.UNLOCK_BATCH_MQ, 'B', queue(0)), { code: ResponseCode.SUCCESS, body: null })
  t.same(await lock(open, 'B', queue(0)), [], 'nobody frees what another holds')
  await ask(open, RequestCode.UNLOCK_BATCH_MQ, 'A', queue(0))
  t.same(await lock(open, 'B', queue(0)), [queue(0)])
})

t.test('a lock that is not renewed can be taken over', async t => {
  let now = 0
  const locks = new QueueLocks(60_000, () => now)
  t.ok(locks.lock('CG', 'orders', 0, 'A'))
  now = 60_000
  t.notOk(locks.lock('CG', 'orders', 0, 'B'))
  t.ok(locks.isHeld('CG'))
  now = 60_001
  t.notOk(locks.isHeld('CG'))
  t.ok(locks.lock('CG', 'orders', 0, 'B'))
  t.notOk(locks.lock('CG', 'orders', 0, 'A'))
})

t.test('a request that names nobody or nothing is refused', async t => {
  const { ask } = await openBroker(t)
  for (const body of [
    null,
    'not json',
    '[]',
    '{"consumerGroup":"CG","mqSet":[]}',
    '{"clientId":"A","mqSet":[]}',
    '{"clientId":"A","consumerGroup":"CG","mqSet":[{"topic":"orders","queueId":"x"}]}',
    '{"clientId":"A","consumerGroup":"CG","mqSet":[{"queueId":1}]}'
  ])
    for (const code of [RequestCode.LOCK_BATCH_MQ, RequestCode.UNLOCK_BATCH_MQ])
      t.match(await ask(code, null, body), { code: ResponseCode.INVALID_PARAMETER, remark: String }, `${body}`)
})
