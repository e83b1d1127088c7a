import t from 'tap'
import { FaultStrategy } from '../../client/fault-strategy.ts'
import { type MessageQueue, selectByHash, selectByRandom } from '../../client/index.ts'
import { Publication } from '../../client/publication.ts'
import { parseRoute } from '../../client/route.ts'
import { javaHashCode } from '../../message/index.ts'

/** A topic with so many queues on each of these brokers. */
function publication(queues: Readonly<Record<string, number>>): Publication {
  const names = Object.keys(queues)
  const target = { producerGroup: 'g', topic: 'T', defaultTopic: 'TBW102', defaultTopicQueueCount: 4 }
  const made = new Publication(target, 1)
  made.route = parseRoute(
    'T',
    JSON.stringify({
      brokerDatas: names.map(brokerName => ({ brokerName, cluster: 'C', brokerAddrs: { 0: '127.0.0.1:1' } })),
      queueDatas: names.map(brokerName => ({
        brokerName,
        perm: 6,
        readQueueNums: 0,
        writeQueueNums: queues[brokerName]
      }))
    })
  )
  return made
}

const text = ({ brokerName, queueId }: MessageQueue) => `${brokerName}:${queueId}`

t.test('messages go round all queues, one after the other', async t => {
  const own = publication({ a: 3, b: 5 })
  const counts = new Map<string, number>()
  for (let i = 0; i < 80; i++) {
    const queue = text(own.nextQueue(null, null, 0))
    counts.set(queue, (counts.get(queue) ?? 0) + 1)
  }
  t.equal(counts.size, 8)
  for (const count of counts.values()) t.equal(count, 10)
})

t.test('a retry goes to another broker, and to the same one when there is no other', async t => {
  const two = publication({ a: 4, b: 1 })
  for (let i = 0; i < 10; i++) t.equal(two.nextQueue('a', null, 0).brokerName, 'b')
  const one = publication({ a: 2 })
  t.equal(one.nextQueue('a', null, 0).brokerName, 'a')
})

t.test('a broker that was slow is avoided for a time that grows with its slowness', async t => {
  for (const [latencyMs, avoidMs] of [
    [50, 0],
    [549, 0],
    [550, 2000],
    [1799, 2000],
    [1800, 5000],
    [3000, 6000],
    [5000, 10_000],
    [14_999, 10_000],
    [15_000, 30_000],
    [60_000, 30_000]
  ] as const) {
    const faults = new FaultStrategy()
    faults.answered('a', latencyMs, 1000)
    if (avoidMs > 0) t.notOk(faults.isAvailable('a', 1000 + avoidMs - 1), `${latencyMs} ms: avoided`)
    t.ok(faults.isAvailable('a', 1000 + avoidMs), `${latencyMs} ms: no longer than ${avoidMs}`)
  }
})

t.test('a broker that failed is avoided for 10 s, or until it answers quickly again', async t => {
  const faults = new FaultStrategy()
  faults.failed('a', 0)
  t.notOk(faults.isAvailable('a', 9999))
  t.ok(faults.isAvailable('b', 0))
  faults.answered('a', 5, 100)
  t.ok(faults.isAvailable('a', 101))
})

t.test('messages go to brokers that are not avoided, and to any when all are', async t => {
  const own = publication({ a: 4, b: 4, c: 4 })
  const faults = new FaultStrategy()
  faults.failed('a', 0)
  faults.failed('b', 0)
  for (let i = 0; i < 12; i++) t.equal(own.nextQueue(null, faults, 1).brokerName, 'c')
  t.not(own.nextQueue('c', faults, 1).brokerName, 'c', 'a retry rather goes to an avoided one than back')
  faults.failed('c', 0)
  const brokers = new Set(Array.from({ length: 12 }, () => own.nextQueue(null, faults, 1).brokerName))
  t.equal(brokers.size, 3)
})

t.test("the hash selector chooses as Java's does", async t => {
  const queues = publication({ a: 7 }).route!.publishQueues
  const message = { topic: 'T', body: 'x' }
  for (const key of ['order-1', 'order-2', 'Ünïcödé', 'polygenelubricants', '']) {
    const chosen = selectByHash(queues, message, key)
    t.equal(chosen.queueId, Math.abs(javaHashCode(key) % 7))
    t.equal(selectByHash(queues, message, key), chosen)
  }
  t.equal(selectByHash(queues, message, -8).queueId, 1)
  t.ok(queues.includes(selectByRandom(queues, message, null)))
})
