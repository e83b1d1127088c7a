import t, { type Test } from 'tap'
import type { MessageQueue, PullConsumer } from '../../client/index.ts'
import { type Cluster, openCluster, textOf } from '../support/cluster.ts'
import { until } from '../support/until.ts'

const queue = (queueId: number): MessageQueue => ({ topic: 'orders', brokerName: 'broker-a', queueId })
const bodies = (count: number, prefix = 'm') => Array.from({ length: count }, (_, i) => prefix + i)

/** A topic with these bodies in its queues, and a consumer that subscribes to it. */
async function subscribed(t: Test, queues: string[][], options: Parameters<Cluster['pull']>[0] = {}) {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', queues.length)
  for (const [queueId, texts] of queues.entries()) await cluster.sendTo('orders', queueId, ...texts)
  const consumer = cluster.pull(options)
  consumer.subscribe('orders')
  await consumer.start()
  return { cluster, consumer }
}

/** Polls until so many messages came. */
async function pollAll(consumer: PullConsumer, count: number): Promise<string[]> {
  const got: string[] = []
  while (got.length < count) {
    const batch = await consumer.poll()
    if (batch.length === 0) throw new Error(`only ${got.length} of ${count} came`)
    got.push(...batch.map(textOf))
  }
  return got
}

t.test('polls give every message once, those of a queue in order, no more than a batch at a time', async t => {
  const { consumer } = await subscribed(t, [bodies(25, 'a'), bodies(5, 'b')])
  const got: string[] = []
  while (got.length < 30) {
    const batch = await consumer.poll()
    t.ok(batch.length <= 10)
    got.push(...batch.map(textOf))
  }
  t.same(
    got.filter(text => text.startsWith('a')),
    bodies(25, 'a')
  )
  t.same(
    got.filter(text => text.startsWith('b')),
    bodies(5, 'b')
  )
  t.same(await consumer.poll(1), [])
})

t.test('a poll waits for a message', async t => {
  const { cluster, consumer } = await subscribed(t, [[]])
  const polling = consumer.poll(20_000)
  await cluster.sendTo('orders', 0, 'late')
  t.same((await polling).map(textOf), ['late'])
})

t.test('polls side by side share the messages', async t => {
  const { cluster, consumer } = await subscribed(t, [[]], { pullBatchSize: 1 })
  const polls = Promise.all([consumer.poll(20_000), consumer.poll(20_000)])
  await cluster.sendTo('orders', 0, 'a', 'b')
  t.same((await polls).flat().map(textOf).sort(), ['a', 'b'])
})

t.test('the next poll commits what the last one gave', async t => {
  const { cluster, consumer } = await subscribed(t, [bodies(3)], { persistOffsetsIntervalMs: 10 })
  await pollAll(consumer, 3)
  t.equal(await consumer.committed(queue(0)), 0)
  await consumer.poll(1)
  t.equal(await consumer.committed(queue(0)), 3)
  await until('stored', async () => (await cluster.storedOffset('CG', 'orders', 0)) === 3)
})

t.test('without autoCommit only `commit` stores, and the group goes on from there', async t => {
  const { cluster, consumer } = await subscribed(t, [bodies(3)], { autoCommit: false, pullBatchSize: 1 })
  await consumer.poll()
  await consumer.commit()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 1)
  await pollAll(consumer, 2)
  await consumer.close()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 1)
  const next = cluster.pull()
  next.subscribe('orders')
  await next.start()
  t.same(await pollAll(next, 2), ['m1', 'm2'])
})

t.test('an offset can be committed by number', async t => {
  const { cluster, consumer } = await subscribed(t, [bodies(3)])
  await consumer.commit([[queue(0), 2]])
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 2)
})

t.test('a queue goes on from where it is sent to', async t => {
  const { consumer } = await subscribed(t, [bodies(12)])
  t.same(await pollAll(consumer, 12), bodies(12))
  await consumer.seekToBegin(queue(0))
  t.same(await pollAll(consumer, 12), bodies(12))
  await consumer.seek(queue(0), 10)
  t.same(await pollAll(consumer, 2), ['m10', 'm11'])
  await consumer.seekToBegin(queue(0))
  await consumer.seekToEnd(queue(0))
  t.same(await consumer.poll(1), [])
})

t.test('a queue cannot be sent to where it has nothing', async t => {
  const { consumer } = await subscribed(t, [bodies(3)])
  for (const offset of [-1, 4, 1.5])
    await t.rejects(consumer.seek(queue(0), offset), { code: 'OFFSET_BAD', message: /0 to 3/ }, String(offset))
  await t.rejects(consumer.seek(queue(1), 0), { code: 'NOT_ASSIGNED', message: /orders@broker-a@1/ })
})

t.test('a paused queue gives nothing until it is resumed', async t => {
  const { cluster, consumer } = await subscribed(t, [[], []])
  consumer.pause([queue(0)])
  await cluster.sendTo('orders', 0, 'paused')
  await cluster.sendTo('orders', 1, 'not paused')
  t.same((await consumer.poll()).map(textOf), ['not paused'])
  t.same(await consumer.poll(1), [])
  consumer.resume([queue(0)])
  t.same((await consumer.poll()).map(textOf), ['paused'])
})

t.test('queues that are assigned by name are pulled, and no others', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 3)
  for (let i = 0; i < 3; i++) await cluster.sendTo('orders', i, `in ${i}`)
  const consumer = cluster.pull()
  await consumer.start()
  t.same(await consumer.fetchQueues('orders'), [queue(0), queue(1), queue(2)])
  await consumer.assign([queue(0), queue(2)])
  t.same(consumer.assignment(), [queue(0), queue(2)])
  t.same((await pollAll(consumer, 2)).sort(), ['in 0', 'in 2'])
  await consumer.assign([queue(1)])
  t.same(consumer.assignment(), [queue(1)])
  t.same(await pollAll(consumer, 1), ['in 1'])
})

t.test('one that is assigned queues before the start pulls them from then on', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, 'espresso')
  const consumer = cluster.pull()
  await consumer.assign([queue(0)])
  await consumer.start()
  t.same(await pollAll(consumer, 1), ['espresso'])
})

t.test('queues say from where to where they reach, and what was stored when', async t => {
  const { consumer } = await subscribed(t, [bodies(3)])
  t.equal(await consumer.minOffset(queue(0)), 0)
  t.equal(await consumer.maxOffset(queue(0)), 3)
  t.equal(await consumer.offsetForTimestamp(queue(0), 0), 0)
  t.equal(await consumer.offsetForTimestamp(queue(0), new Date(Date.now() + 60_000)), 3)
})

t.test('subscribers of a group share the queues', async t => {
  const { cluster, consumer } = await subscribed(t, [[], [], [], []])
  const other = cluster.pull()
  other.subscribe('orders')
  await other.start()
  await until('shared', () => consumer.assignment().length === 2 && other.assignment().length === 2)
  await other.close()
  await until('taken over', () => consumer.assignment().length === 4)
})

t.test('what a queue gave is committed when another member takes it', async t => {
  const { cluster, consumer } = await subscribed(t, [bodies(3, 'a'), bodies(3, 'b')])
  await pollAll(consumer, 6)
  const other = cluster.pull()
  other.subscribe('orders')
  await other.start()
  await until('shared', () => other.assignment().length === 1)
  const [taken] = other.assignment()
  await until('committed', async () => (await cluster.storedOffset('CG', 'orders', taken!.queueId)) === 3)
})

t.test('no more than so many messages are cached, and polling makes room', async t => {
  const { consumer } = await subscribed(t, [bodies(40)], { maxCachedCount: 10, pullBatchSize: 5 })
  const cached = () => {
    const { mqTable } = consumer.runningInfo() as { mqTable: Map<object, { cachedMsgCount: number }> }
    return [...mqTable.values()][0]!.cachedMsgCount
  }
  await until('the cache is full', () => cached() > 10)
  t.equal(cached(), 15)
  t.same(await pollAll(consumer, 40), bodies(40))
})

t.test('for await: a message is consumed when the loop asks for the next one', async t => {
  const { cluster, consumer } = await subscribed(t, [bodies(5)])
  const got: string[] = []
  for await (const message of consumer) {
    got.push(textOf(message))
    if (got.length === 3) break
  }
  for await (const message of consumer) {
    got.push(textOf(message))
    if (got.length === 6) break
  }
  t.same(got, ['m0', 'm1', 'm2', 'm2', 'm3', 'm4'])
  await consumer.close()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 4)
})

t.test('closing ends polls and loops that wait', async t => {
  const { consumer } = await subscribed(t, [[]])
  const polling = consumer.poll(20_000)
  const looping = (async () => {
    for await (const _ of consumer) t.fail('nothing was sent')
  })()
  await consumer.close()
  t.same(await polling, [])
  await looping
  await t.rejects(consumer.poll(), { code: 'NOT_RUNNING', message: /closed/ })
})

t.test('a consumer subscribes or is assigned queues, not both', async t => {
  const cluster = await openCluster(t)
  const subscriber = cluster.pull()
  subscriber.subscribe('orders')
  await t.rejects(subscriber.assign([queue(0)]), { code: 'MODE_MIXED' })
  const assigned = cluster.pull({ group: 'other' })
  await assigned.assign([queue(0)])
  t.throws(() => assigned.subscribe('orders'), { code: 'MODE_MIXED' })
})

t.test('a poll before the start is refused', async t => {
  const cluster = await openCluster(t)
  await t.rejects(cluster.pull().poll(), { code: 'NOT_RUNNING', message: /pull consumer of group CG is not started/ })
})
