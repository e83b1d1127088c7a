import type { Test } from 'tap'
import { ClientFailure, type Driver, type Outgoing, type ProducerOptions, type Received } from './driver.ts'
import { type Cluster, fresh, until } from './support.ts'

// What every client must find true of a broker, whatever language and version it is of. One list, run once per client.

export interface Stage {
  cluster: Cluster
  client: Driver
}
export type Scenario = (t: Test, stage: Stage) => Promise<void>
export type Scenarios = Record<string, Scenario>

const SEND_OK = 'SEND_OK'

/** A topic with so many queues, made by the client itself, and a producer. */
async function open({ client, cluster }: Stage, queues: number, options?: ProducerOptions) {
  const topic = fresh('topic')
  await client.createTopic(cluster.brokerAddr, topic, queues)
  const producer = await client.producer(fresh('producers'), options)
  return { topic, producer }
}

const texts = (topic: string, count: number, more: Partial<Outgoing> = {}): Outgoing[] =>
  Array.from({ length: count }, (_, i) => ({ topic, body: `text ${i}`, ...more }))

const sorted = (values: readonly string[]): string[] => [...values].sort()

const bodiesOf = (messages: readonly { body?: string }[]): string[] =>
  sorted(messages.map(message => message.body ?? ''))

/** How many of something each queue holds. */
function perQueue(messages: readonly { queueId: number }[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { queueId } of messages) counts[queueId] = (counts[queueId] ?? 0) + 1
  return counts
}

/** Within each queue, are these in the order of their offsets? */
function inOrder(messages: readonly Received[]): boolean {
  const last = new Map<number, number>()
  return messages.every(({ queueId, queueOffset }) => {
    const before = last.get(queueId) ?? -1
    last.set(queueId, queueOffset)
    return queueOffset > before
  })
}

async function failure(promise: Promise<unknown>): Promise<ClientFailure> {
  try {
    await promise
  } catch (error) {
    if (error instanceof ClientFailure) return error
    throw error
  }
  throw new Error('that should have failed')
}

/** Asks again until something is found. */
async function untilFound(query: () => Promise<Received[]>): Promise<Received[]> {
  let found: Received[] = []
  await until(
    async () => {
      found = await query().catch(() => [])
      return found.length > 0
    },
    () => 'a message to be found'
  )
  return found
}

export const sending: Scenarios = {
  'a message arrives as it was sent, with its tag, keys and properties': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const [sent] = await producer.send({
      topic,
      body: 'grüße, 世界',
      tags: 'red',
      keys: 'order-1 order-2',
      properties: { colour: 'deep red', shape: 'round' }
    })
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: '*' } })
    const [message] = await consumer.deliveries(1)
    t.match(sent, { status: SEND_OK, broker: stage.cluster.brokerName, queueOffset: 0 })
    t.match(message, {
      topic,
      body: 'grüße, 世界',
      tags: 'red',
      keys: 'order-1 order-2',
      properties: { colour: 'deep red', shape: 'round', UNIQ_KEY: sent!.msgId },
      msgId: sent!.msgId,
      offsetMsgId: sent!.offsetMsgId,
      queueId: sent!.queueId,
      queueOffset: sent!.queueOffset,
      reconsumeTimes: 0,
      sysFlag: 0
    })
  },

  'an unknown topic is made with the first send to it, with 4 queues': async (t, stage) => {
    const topic = fresh('unknown')
    const producer = await stage.client.producer(fresh('producers'))
    const sent = await producer.send(...texts(topic, 8))
    t.equal(sent.filter(({ status }) => status === SEND_OK).length, 8)
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: '*' } })
    t.same(bodiesOf(await consumer.deliveries(8)), bodiesOf(texts(topic, 8)))
    t.equal((await producer.queues(topic)).length, 4)
  },

  'sends go round all queues of a topic': async (t, stage) => {
    const { topic, producer } = await open(stage, 8)
    const sent = await producer.send(...texts(topic, 80))
    t.same(perQueue(sent), { 0: 10, 1: 10, 2: 10, 3: 10, 4: 10, 5: 10, 6: 10, 7: 10 })
  },

  'every asynchronous send is answered, and every message arrives once': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: '*' } })
    const sent = await producer.sendAsync(...texts(topic, 300))
    t.equal(sent.filter(({ status }) => status === SEND_OK).length, 300)
    t.same(sorted((await consumer.deliveries(300)).map(({ msgId }) => msgId)), sorted(sent.map(({ msgId }) => msgId)))
    t.same(bodiesOf(consumer.received), bodiesOf(texts(topic, 300)))
  },

  'one-way sends arrive': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: '*' } })
    await producer.sendOneWay(...texts(topic, 100))
    t.same(bodiesOf(await consumer.deliveries(100)), bodiesOf(texts(topic, 100)))
  },

  'a chosen queue gets all, with one offset after the other': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const queue = (await producer.queues(topic))[2]!
    const sent = await producer.sendTo(queue, ...texts(topic, 20))
    t.same(
      sent.map(({ queueId, queueOffset }) => [queueId, queueOffset]),
      Array.from({ length: 20 }, (_, offset) => [2, offset])
    )
  },

  'a batch lies in one queue, and arrives as single messages': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const batch = texts(topic, 10, { tags: 'batched', keys: 'in-batch' })
    const sent = await producer.sendBatch(...batch)
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: 'batched' } })
    const received = [...(await consumer.deliveries(10))].sort((a, b) => a.queueOffset - b.queueOffset)
    t.equal(sent.status, SEND_OK)
    t.same(perQueue(received), { [sent.queueId]: 10 })
    t.same(
      received.map(({ body, queueOffset }) => [body, queueOffset]),
      batch.map(({ body }, i) => [body, i])
    )
    t.equal(new Set(received.map(({ msgId }) => msgId)).size, 10)
  },

  'a large body travels compressed, and arrives whole': async (t, stage) => {
    const { topic, producer } = await open(stage, 1)
    await producer.send(
      { topic, body: 'x', repeat: 4_095 },
      { topic, body: 'x', repeat: 4_096 },
      { topic, body: 'to be repeated ', repeat: 100_000 },
      { topic, randomBytes: 3_000_000 }
    )
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: '*' } })
    const received = [...(await consumer.deliveries(4))].sort((a, b) => a.queueOffset - b.queueOffset)
    t.same(
      received.map(({ bodyBytes }) => bodyBytes),
      [4_095, 4_096, 1_500_000, 3_000_000]
    )
    t.equal(received[0]!.bodyCrc, 0x716a6ab9, 'CRC of 4,095 times x')
    t.ok(received[0]!.storeSize > 4_095, 'stored as it is')
    t.ok(received[1]!.storeSize < 1_000, 'stored compressed')
    t.ok(received[2]!.storeSize < 100_000, 'stored compressed')
  },

  'a message of delay level 1 arrives, at least a second after it was born': async (t, stage) => {
    const { topic, producer } = await open(stage, 2)
    const sent = await producer.send(...texts(topic, 4, { delayLevel: 1, tags: 'late' }), ...texts(topic, 1))
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: '*' } })
    const received = await consumer.deliveries(5)
    const late = received.filter(({ tags }) => tags === 'late')
    t.same(bodiesOf(late), bodiesOf(texts(topic, 4)))
    t.same(sorted(received.map(({ msgId }) => msgId)), sorted(sent.map(({ msgId }) => msgId)))
    for (const message of late) {
      const waited = message.storeTimestamp - message.bornTimestamp
      t.ok(waited >= 900, `stored for its reader after ${waited} ms`)
      t.equal(message.topic, topic)
      t.equal(message.properties.REAL_TOPIC, topic)
    }
  }
}

export const limits: Scenarios = {
  'a body over the limit is refused with 13': async (t, stage) => {
    const { topic, producer } = await open(stage, 1, { maxMessageSize: 16_000_000, compressOver: 16_000_000 })
    const refused = await failure(producer.send({ topic, randomBytes: 4 * 1024 * 1024 + 1 }))
    t.match(refused, { code: 13 })
    const [sent] = await producer.send({ topic, randomBytes: 4 * 1024 * 1024 })
    t.equal(sent!.status, SEND_OK, 'a body of exactly 4 MiB is taken')
  },

  'properties over the limit are refused with 13': async (t, stage) => {
    const { topic, producer } = await open(stage, 1)
    const refused = await failure(producer.send({ topic, body: 'small', properties: { much: 'x'.repeat(32_768) } }))
    t.match(refused, { code: 13 })
  },

  'a topic of 127 characters is taken, a longer one refused': async (t, stage) => {
    const producer = await stage.client.producer(fresh('producers'))
    const topic = fresh('t').padEnd(127, '_')
    const [sent] = await producer.send({ topic, body: 'fits' })
    t.equal(sent!.status, SEND_OK)
    t.match(await failure(producer.send({ topic: `${topic}_`, body: 'too long' })), { message: /topic/ })
  },

  "a queue that the topic doesn't have is refused": async (t, stage) => {
    const { topic, producer } = await open(stage, 2)
    const [queue] = await producer.queues(topic)
    const refused = await failure(producer.sendTo({ ...queue!, queueId: 2 }, { topic, body: 'nowhere' }))
    t.match(refused, { code: 29 })
  }
}

export const consuming: Scenarios = {
  'a tag expression delivers those tags alone': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const tags = ['red', 'green', 'blue']
    await producer.send(...Array.from({ length: 30 }, (_, i) => ({ topic, body: `${i}`, tags: tags[i % 3] })))
    const consumer = await stage.client.push({ group: fresh('group'), subscribe: { [topic]: 'red || blue' } })
    await consumer.deliveries(20)
    await producer.send({ topic, body: 'not this', tags: 'green' }, { topic, body: 'last', tags: 'red' })
    await consumer.deliveries(21)
    const counts = { red: 0, green: 0, blue: 0 }
    for (const { tags } of consumer.received) counts[tags as keyof typeof counts]++
    t.same(counts, { red: 11, green: 0, blue: 10 })
  },

  'an orderly consumer sees each queue in order': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const consumer = await stage.client.push({ group: fresh('group'), orderly: true, subscribe: { [topic]: '*' } })
    const messages = Array.from({ length: 100 }, (_, i) => ({ topic, body: `${i}`, keys: `order-${i % 10}` }))
    const sent = await producer.sendSelected(...messages)
    const received = await consumer.deliveries(100)
    t.ok(inOrder(received), 'offsets grow within each queue')
    t.same(perQueue(received), perQueue(sent))
    const ofOne = received.filter(({ keys }) => keys === 'order-3')
    t.same(
      ofOne.map(({ body }) => body),
      ['3', '13', '23', '33', '43', '53', '63', '73', '83', '93']
    )
    t.equal(Object.keys(perQueue(ofOne)).length, 1, 'all messages of a key lie in one queue')
  },

  'an orderly consumer that refuses gets the same message again before the next': async (t, stage) => {
    const { topic, producer } = await open(stage, 1)
    await producer.send(...texts(topic, 3))
    const consumer = await stage.client.push({
      group: fresh('group'),
      orderly: true,
      refuse: 1,
      subscribe: { [topic]: '*' }
    })
    t.same(
      (await consumer.deliveries(6)).map(({ body }) => body),
      ['text 0', 'text 0', 'text 1', 'text 1', 'text 2', 'text 2']
    )
  },

  'in broadcasting every consumer gets every message': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const group = fresh('group')
    const options = { group, broadcasting: true, subscribe: { [topic]: '*' } }
    const one = await stage.client.push({ ...options, instance: fresh('one') })
    const two = await stage.client.push({ ...options, instance: fresh('two') })
    await producer.send(...texts(topic, 20))
    t.same(bodiesOf(await one.deliveries(20)), bodiesOf(texts(topic, 20)))
    t.same(bodiesOf(await two.deliveries(20)), bodiesOf(texts(topic, 20)))
  },

  'a refused message comes again, under its own topic and id, and counts its deliveries': async (t, stage) => {
    const { topic, producer } = await open(stage, 1)
    const sent = await producer.send(...texts(topic, 3, { tags: 'again', properties: { kept: 'yes' } }))
    const group = fresh('group')
    const consumer = await stage.client.push({ group, refuse: 2, subscribe: { [topic]: 'again' } })
    await consumer.deliveries(9)
    for (const { msgId } of sent) {
      const times = consumer.received.filter(message => message.msgId === msgId)
      t.same(
        times.map(({ reconsumeTimes }) => reconsumeTimes),
        [0, 1, 2]
      )
      for (const message of times) t.match(message, { topic, tags: 'again', properties: { kept: 'yes' } })
    }
  },

  'a restarted consumer goes on where its group stopped': async (t, stage) => {
    const { topic, producer } = await open(stage, 4)
    const options = { group: fresh('group'), subscribe: { [topic]: '*' } }
    await producer.send(...texts(topic, 40))
    const before = await stage.client.push(options)
    await before.deliveries(40)
    await before.close()
    await producer.send(...texts(topic, 12, { tags: 'later' }))
    const after = await stage.client.push(options)
    await after.deliveries(12)
    await producer.send({ topic, body: 'last', tags: 'later' })
    t.same(
      (await after.deliveries(13)).map(({ tags }) => tags),
      Array.from({ length: 13 }, () => 'later')
    )
  },

  'two consumers share the queues, and one takes over when the other goes': async (t, stage) => {
    const { topic, producer } = await open(stage, 8)
    const options = { group: fresh('group'), subscribe: { [topic]: '*' } }
    const one = await stage.client.push(options)
    const two = await stage.client.push(options)
    let round = 0
    const counts = { one: 0, two: 0 }
    // Rounds of one message a queue, until a round comes in halves: the balance has settled.
    while (counts.one !== 4 || counts.two !== 4) {
      const start = { one: one.received.length, two: two.received.length }
      await producer.send(...texts(topic, 8, { keys: `round-${++round}` }))
      await until(
        () => one.received.length + two.received.length >= 8 * round,
        () => `8 messages of round ${round}`
      )
      counts.one = one.received.length - start.one
      counts.two = two.received.length - start.two
      if (round > 600) throw new Error(`no balance: ${JSON.stringify(counts)}`)
    }
    const ofRound = (messages: readonly Received[]) =>
      Object.keys(perQueue(messages.filter(({ keys }) => keys === `round-${round}`)))
    t.same(sorted([...ofRound(one.received), ...ofRound(two.received)]), ['0', '1', '2', '3', '4', '5', '6', '7'])
    await two.close()
    const start = one.received.length
    await producer.send(...texts(topic, 16, { keys: 'alone' }))
    await one.deliveries(start + 16)
    t.same(perQueue(one.received.filter(({ keys }) => keys === 'alone')), {
      0: 2,
      1: 2,
      2: 2,
      3: 2,
      4: 2,
      5: 2,
      6: 2,
      7: 2
    })
  }
}

export const pulling: Scenarios = {
  'a lite pull consumer assigns, seeks, polls and commits': async (t, stage) => {
    const { topic, producer } = await open(stage, 2)
    const [first, second] = await producer.queues(topic)
    await producer.sendTo(first!, ...texts(topic, 20))
    await producer.sendTo(second!, ...texts(topic, 5))
    const group = fresh('group')
    const consumer = await stage.client.lite(group)
    await consumer.assign(first!)
    await consumer.seek(first!, 12)
    // Java's client may still hand out what a pull that was under way at the seek brings: it comes first.
    const offsets: number[] = []
    while (!offsets.includes(19)) offsets.push(...(await consumer.pollMany(1)).map(({ queueOffset }) => queueOffset))
    t.same(offsets.slice(-8), [12, 13, 14, 15, 16, 17, 18, 19])
    await consumer.commit()
    await consumer.seek(first!, 'begin')
    t.equal((await consumer.pollMany(20))[0]?.queueOffset, 0)
    await consumer.close()

    const next = await stage.client.lite(group)
    await next.assign(first!)
    t.equal(await next.committed(first!), 20)
  },

  'a lite pull consumer subscribes with a tag': async (t, stage) => {
    const { topic, producer } = await open(stage, 2)
    await producer.send(...texts(topic, 10, { tags: 'red' }), ...texts(topic, 10, { tags: 'blue' }))
    const consumer = await stage.client.lite(fresh('group'), { [topic]: 'blue' })
    const polled = await consumer.pollMany(10)
    t.same(
      polled.map(({ tags }) => tags),
      Array.from({ length: 10 }, () => 'blue')
    )
  },

  'a pull answers what it found, and where to go on': async (t, stage) => {
    const { topic, producer } = await open(stage, 1)
    const [queue] = await producer.queues(topic)
    const before = Date.now() - 60_000
    await producer.send(...texts(topic, 40, { tags: 'red' }))
    const consumer = await stage.client.pullConsumer(fresh('group'))
    const found = await consumer.pull(queue!, '*', 0, 32)
    t.match(found, { status: 'FOUND', nextOffset: 32, minOffset: 0, maxOffset: 40 })
    t.same(
      found.messages.map(({ body }) => body),
      texts(topic, 32).map(({ body }) => body)
    )
    t.match(await consumer.pull(queue!, '*', 32, 32), { status: 'FOUND', nextOffset: 40 })
    t.match(await consumer.pull(queue!, '*', 40, 32), { status: 'NO_NEW_MSG', nextOffset: 40, messages: [] })
    t.match(await consumer.pull(queue!, '*', 41, 32), { status: 'OFFSET_ILLEGAL', nextOffset: 40 })
    t.match(await consumer.pull(queue!, 'blue', 0, 32), { status: 'NO_MATCHED_MSG' })
    t.equal(await consumer.minOffset(queue!), 0)
    t.equal(await consumer.maxOffset(queue!), 40)
    t.equal(await consumer.searchOffset(queue!, before), 0)
    t.equal(await consumer.searchOffset(queue!, Date.now() + 60_000), 40)
  },

  'a pull consumer keeps its offset on the broker': async (_t, stage) => {
    const { topic, producer } = await open(stage, 1)
    const [queue] = await producer.queues(topic)
    await producer.send(...texts(topic, 10))
    const group = fresh('group')
    const one = await stage.client.pullConsumer(group)
    const { nextOffset } = await one.pull(queue!, '*', 0, 7)
    await one.updateOffset(queue!, nextOffset)
    await one.close()
    const two = await stage.client.pullConsumer(group)
    // The client reports offsets one-way: the report of the one may still be under way.
    await until(
      async () => (await two.fetchOffset(queue!)) === 7,
      () => 'offset 7'
    )
  }
}

// What takes a query or an administrator.
export const operating: Scenarios = {
  'a message refused too often lies in the dead letter topic': async (t, stage) => {
    const { topic, producer } = await open(stage, 1)
    const [sent] = await producer.send({ topic, body: 'never liked', tags: 'dead', keys: 'unlucky' })
    const group = fresh('group')
    const consumer = await stage.client.push({
      group,
      refuse: 99,
      maxReconsumeTimes: 1,
      subscribe: { [topic]: '*' }
    })
    await consumer.deliveries(2)
    const dead = `%DLQ%${group}`
    const found = await untilFound(() => producer.queryByKey(dead, 'unlucky'))
    t.match(found, [
      {
        topic: dead,
        body: 'never liked',
        tags: 'dead',
        properties: { ORIGIN_MESSAGE_ID: sent!.offsetMsgId, RETRY_TOPIC: topic }
      }
    ])
    t.equal(consumer.received.length, 2)
  },

  "a running consumer's offsets can be reset": async (t, stage) => {
    const { topic, producer } = await open(stage, 2)
    await producer.send(...texts(topic, 10))
    const group = fresh('group')
    const consumer = await stage.client.push({ group, subscribe: { [topic]: '*' } })
    await consumer.deliveries(10)
    const reset = (await stage.client.call('resetOffset', { topic, group, timestamp: 0 })) as { offset: number }[]
    t.same(
      reset.map(({ offset }) => offset),
      [0, 0]
    )
    const twice = await consumer.deliveries(20)
    t.same(bodiesOf(twice.slice(10)), bodiesOf(texts(topic, 10)))
  },

  'a message is found by each of its keys and by both of its ids': async (t, stage) => {
    const { topic, producer } = await open(stage, 2)
    const [sent] = await producer.send(
      { topic, body: 'wanted', keys: 'order-77 customer-5' },
      { topic, body: 'other', keys: 'order-78 customer-6' }
    )
    const wanted = { topic, body: 'wanted', queueId: sent!.queueId, queueOffset: sent!.queueOffset }
    for (const key of ['order-77', 'customer-5']) {
      const found = await producer.queryByKey(topic, key)
      t.equal(found.length, 1)
      t.match(found, [wanted])
    }
    t.match(await producer.viewMessage(topic, sent!.msgId), wanted)
    t.match(await producer.viewMessage(topic, sent!.offsetMsgId), wanted)
    t.match(await failure(producer.queryByKey(topic, 'order-7')), { type: 'MQClientException' })
  }
}
