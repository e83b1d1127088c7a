import t from 'tap'
import type { Received } from './driver.ts'
import { startGo } from './go.ts'
import { consuming, limits, type Scenarios, sending } from './scenarios.ts'
import { fresh, hasTools, startCluster, until } from './support.ts'

/** What the Go client has a way of its own for. */
const own: Scenarios = {
  'a pull answers what it found, and where to go on': async (t, { client, cluster }) => {
    const topic = fresh('topic')
    await client.createTopic(cluster.brokerAddr, topic, 1)
    const producer = await client.producer(fresh('producers'))
    const [queue] = await producer.queues(topic)
    await producer.send(...Array.from({ length: 40 }, (_, i) => ({ topic, body: `text ${i}`, tags: 'red' })))
    const all = await client.pullConsumer(fresh('group'), { [topic]: '*' })
    const found = await all.pull(queue!, '*', 0, 32)
    t.match(found, { status: 'FOUND', nextOffset: 32, minOffset: 0, maxOffset: 40 })
    t.same(
      found.messages.map(({ body }) => body),
      Array.from({ length: 32 }, (_, i) => `text ${i}`)
    )
    t.match(await all.pull(queue!, '*', 32, 32), { status: 'FOUND', nextOffset: 40 })
    t.match(await all.pull(queue!, '*', 40, 32), { status: 'NO_NEW_MSG', nextOffset: 40 })
    t.match(await all.pull(queue!, '*', 41, 32), { status: 'OFFSET_ILLEGAL', nextOffset: 40 })
    t.equal(await all.searchOffset(queue!, Date.now() - 60_000), 0)
    t.equal(await all.searchOffset(queue!, Date.now() + 60_000), 40)
    const blue = await client.pullConsumer(fresh('group'), { [topic]: 'blue' })
    t.match(await blue.pull(queue!, 'blue', 0, 32), { status: 'NO_MATCHED_MSG' })
  },

  'a pull consumer polls, acknowledges, and goes on where its group stopped': async (t, { client, cluster }) => {
    const topic = fresh('topic')
    const group = fresh('group')
    await client.createTopic(cluster.brokerAddr, topic, 4)
    const producer = await client.producer(fresh('producers'))
    const poll = async (consumer: { name: string }, count: number) => {
      const polled: Received[] = []
      await until(
        async () => {
          polled.push(...((await client.call('poll', { of: consumer.name, timeoutMs: 1_000 })) as Received[]))
          return polled.length >= count
        },
        () => `${count} messages, ${polled.length} came`
      )
      return polled.map(({ body }) => body).sort()
    }
    await producer.send(...['a', 'b', 'c', 'd'].map(body => ({ topic, body })))
    const one = await client.pullConsumer(group, { [topic]: '*' })
    t.same(await poll(one, 4), ['a', 'b', 'c', 'd'])
    await one.close()
    await producer.send(...['e', 'f', 'g', 'h'].map(body => ({ topic, body })))
    const two = await client.pullConsumer(group, { [topic]: '*' })
    t.same(await poll(two, 4), ['e', 'f', 'g', 'h'])
  },

  'the administrator makes, lists and deletes a topic': async (t, { client, cluster }) => {
    const topic = fresh('made')
    await client.createTopic(cluster.brokerAddr, topic, 3)
    t.ok(((await client.call('topics')) as string[]).includes(topic))
    t.same(await (await client.producer(fresh('producers'))).queues(topic), [
      { topic, broker: cluster.brokerName, queueId: 0 },
      { topic, broker: cluster.brokerName, queueId: 1 },
      { topic, broker: cluster.brokerName, queueId: 2 }
    ])
    await client.call('deleteTopic', { topic, address: cluster.brokerAddr })
    t.notOk(((await client.call('topics')) as string[]).includes(topic))
  }
}

if (hasTools(t, 'go'))
  t.test('the Go client', { jobs: 8 }, async t => {
    const cluster = await startCluster(t)
    const client = await startGo(t, cluster)
    const scenarios: Scenarios = { ...sending, ...limits, ...consuming, ...own }
    for (const [name, scenario] of Object.entries(scenarios))
      t.test(name, { buffered: true }, t => scenario(t, { cluster, client }))
  })
