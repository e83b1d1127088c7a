import t from 'tap'
import { type Message, Producer } from '../../client/index.ts'
import { openBroker, until } from '../support/broker.ts'
import { openCluster, textOf } from '../support/cluster.ts'

t.test('what a producer sends, a consumer gets: its text, its bytes, its properties', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 4)
  const { producer } = cluster
  const bytes = Buffer.from(Array.from({ length: 6000 }, (_, i) => i % 256))
  const sent = [
    await producer.send({
      topic: 'orders',
      body: 'Ünïcödé – 消息',
      keys: ['k1', 'k2'],
      tags: '标签',
      properties: { n: '5', größe: '😀' },
      flag: -3
    }),
    await producer.send({ topic: 'orders', body: bytes }),
    await producer.sendBatch(['b0', 'b1', 'b2'].map(body => ({ topic: 'orders', body, keys: body })))
  ]
  await producer.sendOneWay({ topic: 'orders', body: 'one way' })

  const consumer = cluster.pull()
  await consumer.start()
  const queues = await consumer.fetchQueues('orders')
  t.equal(queues.length, 4)
  await consumer.assign(queues)
  const got: Message[] = []
  await until('all came', async () => got.push(...(await consumer.poll(200))) === 6)
  const [text, compressed, batch] = sent
  const byId = new Map(got.map(message => [message.messageId, message]))

  const first = byId.get(text!.messageId)!
  t.equal(textOf(first), 'Ünïcödé – 消息')
  t.match(first, { keys: 'k1 k2', tags: '标签', flag: -3, ...text!.queue })
  t.equal(first.properties.get('größe'), '😀')
  t.equal(first.offsetMessageId, text!.offsetMessageId)
  t.equal(first.queueOffset, text!.queueOffset)
  t.strictSame(byId.get(compressed!.messageId)!.body, bytes)
  const batched = batch!.messageId.split(',').map(id => byId.get(id)!)
  t.strictSame(batched.map(textOf), ['b0', 'b1', 'b2'])
  t.strictSame(
    batched.map(({ queueId, queueOffset }) => [queueId, queueOffset]),
    [0, 1, 2].map(i => [batch!.queue.queueId, batch!.queueOffset + i])
  )
  t.strictSame(
    batched.map(({ offsetMessageId }) => offsetMessageId),
    batch!.offsetMessageId.split(',')
  )
  t.ok(got.some(message => textOf(message) === 'one way'))
})

t.test('the first message to a topic creates it', async t => {
  const { producer, broker } = await openCluster(t)
  const { queue } = await producer.send({ topic: 'brand-new', body: 'x' })
  t.ok(queue.queueId < 4)
  t.match(broker.topics.get('brand-new'), { readQueueNums: 4, writeQueueNums: 4 })
})

t.test('a broker that starts again on its port is found again, and knows the producer', async t => {
  const first = await openCluster(t)
  const { producer, namesrvAddr } = first
  await producer.send({ topic: 'orders', body: 'before' })
  const port = Number(first.broker.address.split(':')[1])
  await first.broker.close()
  t.notOk(producer.instance.remoting.openConnection(first.broker.address))
  const { broker } = await openBroker(t, { namesrvAddr, listenPort: port, storePathRootDir: first.dir })
  const { queueOffset } = await producer.send({ topic: 'orders', body: 'after' })
  t.ok(queueOffset >= 0)
  await until('the broker knows it', () => broker.clients.producers.has('PG'))
})

t.test('ten thousand sends at once are all stored, once each', async t => {
  const { producer, broker, namesrvAddr } = await openCluster(t)
  const other = new Producer({ group: 'JSON', namesrvAddr, serializeType: 0 })
  await other.start()
  t.teardown(() => other.close())
  const results = await Promise.all(
    Array.from({ length: 10_000 }, (_, i) =>
      (i % 10 === 0 ? other : producer).send({ topic: 'orders', body: `${i}` }, { timeoutMs: 30_000 })
    )
  )
  t.equal(new Set(results.map(({ offsetMessageId }) => offsetMessageId)).size, 10_000)
  await broker.store.dispatched()
  const stored = [0, 1, 2, 3].reduce((sum, queueId) => sum + broker.store.maxQueueOffset('orders', queueId), 0)
  t.equal(stored, 10_000)
})
