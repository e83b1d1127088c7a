import t from 'tap'
import { openCluster, textOf } from '../support/cluster.ts'
import { until } from '../support/until.ts'

t.test('messages with a delay and with a time come when they are due; a recalled one does not', async t => {
  const { producer, pull, broker, createTopic } = await openCluster(t, { recallMessageEnable: true })
  await createTopic('orders', 1)
  const dueMs = Date.now() + 2500
  const { recallHandle } = await producer.send({ topic: 'orders', body: 'recalled', deliverAt: dueMs })
  await producer.send({ topic: 'orders', body: 'at a time', deliverAt: new Date(dueMs) })
  await producer.send({ topic: 'orders', body: 'after a while', delayMs: 500 })
  const id = await producer.recall('orders', recallHandle!)
  t.match(id, /^[0-9A-F]+$/)
  await t.rejects(producer.recall('orders', 'x'), { code: 'RECALL_BAD', message: /x is no recall handle/ })

  const consumer = pull()
  await consumer.start()
  await consumer.assign(await consumer.fetchQueues('orders'))
  const bodies: string[] = []
  await until('both came', async () => {
    for (const message of await consumer.poll(100)) bodies.push(textOf(message))
    return bodies.length >= 2
  })
  t.ok(Date.now() >= dueMs)
  await until('none waits', () => broker.timer!.store.progress.waiting <= 0)
  t.strictSame(bodies, ['after a while', 'at a time'])
  await t.rejects(producer.recall('orders', recallHandle!), { code: 'REFUSED', responseCode: 604 })
})
