import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Message, MessageListener, PushConsumer } from '../../client/index.ts'
import { parseAddress, parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { openBroker, temporaryDirectory } from '../support/broker.ts'
import { type Cluster, openCluster, textOf } from '../support/cluster.ts'
import { keepLog } from '../support/log.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { until } from '../support/until.ts'

const SECOND_MS = 1000
const queueIds = (consumer: PushConsumer, topic = 'orders') =>
  consumer
    .assignment()
    .filter(queue => queue.topic === topic)
    .map(({ queueId }) => queueId)

/** A listener that keeps what it gets. */
function keeper() {
  const got: string[] = []
  const listener: MessageListener = messages => void got.push(...messages.map(textOf))
  return { got, listener }
}

/** Promises that a test settles when it wants. */
function gate() {
  let open = () => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { open, opened }
}

const bodies = (count: number, prefix = 'm') => Array.from({ length: count }, (_, i) => prefix + i)

async function started(
  cluster: Cluster,
  options: Parameters<Cluster['push']>[0] = {},
  listener?: MessageListener,
  expression?: string
) {
  const consumer = cluster.push(options)
  consumer.subscribe('orders', expression)
  await consumer.start(listener)
  return consumer
}

t.test('a listener gets every message of the topic once', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 4)
  for (let i = 0; i < 4; i++) await cluster.sendTo('orders', i, ...bodies(3, `${i}-`))
  const { got, listener } = keeper()
  await started(cluster, {}, listener)
  await cluster.sendTo('orders', 0, 'late')
  await until('all arrived', () => got.length >= 13)
  t.equal(got.length, 13)
  t.equal(new Set(got).size, 13)
})

t.test('a message shows where it comes from and what it carries', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  const sent = await cluster.producer.send({
    topic: 'orders',
    body: 'espresso',
    tags: 'bar',
    keys: 'order-1',
    properties: { table: '7' }
  })
  const got: Message[] = []
  await started(cluster, {}, messages => void got.push(...messages))
  await until('arrived', () => got.length > 0)
  const [message] = got
  t.match(message, { topic: 'orders', brokerName: 'broker-a', queueId: 0, queueOffset: 0, reconsumeTimes: 0 })
  t.match(message, { messageId: sent.messageId, offsetMessageId: sent.offsetMessageId, tags: 'bar', keys: 'order-1' })
  t.equal(message!.properties.get('table'), '7')
  t.equal(textOf(message!), 'espresso')
})

t.test('a listener gets the tags that it asked for, even where hashes of tags are equal', async t => {
  const cluster = await openCluster(t)
  // Java's hash does not tell Aa from BB.
  for (const tags of ['Aa', 'BB', 'C']) await cluster.producer.send({ topic: 'orders', body: tags, tags })
  await cluster.producer.send({ topic: 'orders', body: 'none' })
  const { got, listener } = keeper()
  await started(cluster, {}, listener, 'Aa || C')
  await cluster.producer.send({ topic: 'orders', body: 'last', tags: 'C' })
  await until('the last arrived', () => got.includes('last'))
  t.same(got.sort(), ['Aa', 'C', 'last'])
})

t.test('bodies that travelled compressed arrive as they were sent', async t => {
  const cluster = await openCluster(t)
  const body = 'espresso '.repeat(1000)
  await cluster.producer.send({ topic: 'orders', body })
  const { got, listener } = keeper()
  await started(cluster, {}, listener)
  await until('arrived', () => got.length > 0)
  t.equal(got[0], body)
})

t.test('a consumer that is started again goes on where its group stopped', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(5))
  const first = keeper()
  const consumer = await started(cluster, {}, first.listener)
  await until('consumed', () => first.got.length === 5)
  await consumer.close()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 5)
  await cluster.sendTo('orders', 0, 'new')
  const second = keeper()
  await started(cluster, {}, second.listener)
  await until('arrived', () => second.got.length > 0)
  t.same(second.got, ['new'])
})

t.test('offsets are stored while it runs', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(5))
  await started(cluster, { persistOffsetsIntervalMs: 10 }, () => {})
  await until('stored', async () => (await cluster.storedOffset('CG', 'orders', 0)) === 5)
})

t.test('a new group begins where it is told to', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, 'old')
  // So that the broker does not take the group's first offset for 0.
  const begins = async (group: string, options: Parameters<Cluster['push']>[0]) => {
    const { got, listener } = keeper()
    await started(cluster, { group, ...options }, listener)
    await cluster.sendTo('orders', 0, `new for ${group}`)
    await until('arrived', () => got.includes(`new for ${group}`))
    return got.includes('old')
  }
  t.equal(await begins('G1', { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' }), true)
  t.equal(await begins('G2', { consumeFromWhere: 'CONSUME_FROM_TIMESTAMP', consumeTimestamp: 0 }), true)
})

t.test('one stuck message holds the offset back, and the others are consumed', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(5))
  const stuck = gate()
  const got: string[] = []
  const consumer = await started(cluster, { closeTimeoutMs: 1 }, async ([message]) => {
    if (textOf(message!) === 'm2') await stuck.opened
    got.push(textOf(message!))
  })
  await until('the others are consumed', () => got.length === 4)
  await consumer.close()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 2)
  stuck.open()
})

t.test('closing waits for the listeners that run', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, 'slow')
  const slow = gate()
  const running = gate()
  const consumer = await started(cluster, {}, async () => {
    running.open()
    await slow.opened
  })
  await running.opened
  const closing = consumer.close()
  setImmediate(slow.open)
  await closing
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 1)
})

t.test('no more than `concurrency` calls of the listener run at once', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  for (const queueId of [0, 1]) await cluster.sendTo('orders', queueId, ...bodies(10))
  let running = 0
  let most = 0
  let done = 0
  await started(cluster, { concurrency: 3 }, async () => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setImmediate(resolve))
    running--
    done++
  })
  await until('all consumed', () => done === 20)
  t.equal(most, 3)
})

t.test('a queue with too much cached is pulled no further until something is consumed', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(40))
  const hold = gate()
  let done = 0
  const options = { maxCachedCountPerQueue: 10, pullBatchSize: 5, concurrency: 1 }
  const consumer = await started(cluster, options, async () => {
    await hold.opened
    done++
  })
  const cached = () => {
    const { mqTable } = consumer.runningInfo() as { mqTable: Map<{ topic: string }, { cachedMsgCount: number }> }
    return [...mqTable].find(([{ topic }]) => topic === 'orders')![1].cachedMsgCount
  }
  await until('the cache is full', () => cached() > 10)
  t.equal(cached(), 15)
  hold.open()
  await until('all consumed', () => done === 40)
})

t.test('of a batch, what lies behind ackIndex comes again', async t => {
  const cluster = await openCluster(t, {}, { clock: new ManualClock() })
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(4))
  const batches: string[][] = []
  const consumer = await started(cluster, { consumeBatchSize: 4 }, (messages, context) => {
    batches.push(messages.map(textOf))
    if (messages.length === 4) context.ackIndex = 1
  })
  await until('sent back', () => cluster.broker.store.maxQueueOffset('SCHEDULE_TOPIC_XXXX', 2) === 2)
  await consumer.close()
  t.same(batches, [['m0', 'm1', 'm2', 'm3']])
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 4)
})

const failures: Record<string, () => ReturnType<MessageListener>> = {
  throws: () => {
    throw new Error('no coffee')
  },
  rejects: () => Promise.reject(new Error('no coffee')),
  'returns later': () => 'later'
}
for (const [how, fail] of Object.entries(failures))
  t.test(`a message whose listener ${how} comes again in ten seconds, under its own topic and counted`, async t => {
    const clock = new ManualClock()
    const cluster = await openCluster(t, {}, { clock })
    await cluster.producer.send({ topic: 'orders', body: 'espresso', tags: 'bar' })
    const got: Message[] = []
    const listener: MessageListener = ([message]) => {
      got.push(message!)
      return message!.reconsumeTimes === 0 ? fail() : 'success'
    }
    await started(cluster, {}, listener, 'bar')
    await until('sent back', () => cluster.broker.store.maxQueueOffset('SCHEDULE_TOPIC_XXXX', 2) === 1)
    clock.advance(10 * SECOND_MS)
    await until('it came again', () => got.length === 2)
    t.match(got[1], { topic: 'orders', reconsumeTimes: 1, messageId: got[0]!.messageId, tags: 'bar' })
    t.equal(textOf(got[1]!), 'espresso')
  })

t.test('a listener chooses the delay level of the next delivery', async t => {
  const cluster = await openCluster(t, {}, { clock: new ManualClock() })
  await cluster.producer.send({ topic: 'orders', body: 'espresso' })
  await started(cluster, {}, (_, context) => {
    context.delayLevel = 7
    return 'later'
  })
  await until('sent back', () => cluster.broker.store.maxQueueOffset('SCHEDULE_TOPIC_XXXX', 6) === 1)
})

t.test('a message that failed too often becomes a dead letter', async t => {
  const cluster = await openCluster(t)
  await cluster.producer.send({ topic: 'orders', body: 'espresso' })
  await started(cluster, { maxReconsumeTimes: 0 }, () => 'later')
  await until('a dead letter', () => cluster.broker.store.maxQueueOffset('%DLQ%CG', 0) === 1)
})

t.test('a message whose listener takes too long is sent back', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, 'endless')
  const endless = gate()
  const consumer = await started(cluster, { consumeTimeoutMs: 20 }, () => endless.opened)
  await until('sent back', () => cluster.broker.store.maxQueueOffset('SCHEDULE_TOPIC_XXXX', 2) === 1)
  endless.open()
  await consumer.close()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 1)
})

t.test('members of a group share the queues, and who stays takes those of who leaves', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 8)
  const a = keeper()
  const b = keeper()
  const first = await started(cluster, {}, a.listener)
  t.same(queueIds(first), [0, 1, 2, 3, 4, 5, 6, 7])
  const second = await started(cluster, {}, b.listener)
  await until('shared', () => queueIds(first).length === 4 && queueIds(second).length === 4)
  // The order of the ids decides who has the first half.
  const [low, high] = first.clientId < second.clientId ? [first, second] : [second, first]
  t.same(
    [queueIds(low!), queueIds(high!)],
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7]
    ]
  )
  for (let i = 0; i < 8; i++) await cluster.sendTo('orders', i, `to ${i}`)
  await until('all arrived', () => a.got.length + b.got.length === 8)
  t.same([...a.got, ...b.got].sort(), bodies(8, 'to '))
  await second.close()
  await until('taken over', () => queueIds(first).length === 8)
})

t.test('with more members than queues the last ones wait', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  const members: PushConsumer[] = []
  for (let i = 0; i < 3; i++) members.push(await started(cluster, {}, () => {}))
  const counts = () => members.map(member => queueIds(member).length).sort()
  await until('shared', () => counts().join() === '0,1,1')
})

t.test('topics can be added and given up while it runs', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  await cluster.createTopic('returns', 2)
  const { got, listener } = keeper()
  const consumer = await started(cluster, {}, listener)
  consumer.subscribe('returns')
  await cluster.sendTo('returns', 1, 'cold')
  await until('arrived', () => got.includes('cold'))
  consumer.unsubscribe('orders')
  await until('given up', () => queueIds(consumer).length === 0)
  t.same(queueIds(consumer, 'returns'), [0, 1])
})

t.test('a topic that comes into being later is consumed', async t => {
  const cluster = await openCluster(t)
  const { got, listener } = keeper()
  await started(cluster, {}, listener)
  t.same(got, [])
  await cluster.producer.send({ topic: 'orders', body: 'first' })
  await until('arrived', () => got.length === 1)
})

t.test('a broker that was away is consumed from again', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  const { got, listener } = keeper()
  await started(cluster, { pullRetryMs: 10 }, listener)
  await cluster.sendTo('orders', 0, 'before')
  await until('arrived', () => got.length === 1)
  const { port } = parseAddress(cluster.broker.address)
  await cluster.broker.close()
  const { namesrvAddr, dir } = cluster
  await openBroker(t, { namesrvAddr, storePathRootDir: dir, listenPort: port })
  await until('sent', () =>
    cluster.sendTo('orders', 1, 'after').then(
      () => true,
      () => false
    )
  )
  await until('arrived', () => got.includes('after'))
  t.equal(got.filter(body => body === 'before').length, 1)
})

t.test('a suspended consumer pulls nothing until it is resumed', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  const { got, listener } = keeper()
  const consumer = cluster.push()
  consumer.subscribe('orders')
  consumer.suspend()
  await consumer.start(listener)
  await cluster.sendTo('orders', 0, 'waits')
  t.same(got, [])
  consumer.resume()
  await until('arrived', () => got.length === 1)
})

t.test('names are put into the namespace on the way out, and taken out of it on the way in', async t => {
  const cluster = await openCluster(t)
  await cluster.producer.send({ topic: 'shop%orders', body: 'espresso' })
  const got: Message[] = []
  await started(cluster, { namespace: 'shop' }, messages => void got.push(...messages))
  await until('arrived', () => got.length > 0)
  t.equal(got[0]!.topic, 'orders')
})

t.test('ordered: the messages of a queue come one by one and in order, those of others meanwhile', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  for (const queueId of [0, 1]) await cluster.sendTo('orders', queueId, ...bodies(20, `${queueId}:`))
  const running = [0, 0]
  const got: string[][] = [[], []]
  let overlapped = false
  await started(cluster, { ordered: true }, async ([message]) => {
    const { queueId } = message!
    if (++running[queueId]! > 1) overlapped = true
    await new Promise(resolve => setImmediate(resolve))
    got[queueId]!.push(textOf(message!))
    running[queueId]!--
  })
  await until('all consumed', () => got[0]!.length + got[1]!.length === 40)
  t.equal(overlapped, false)
  t.same(got, [bodies(20, '0:'), bodies(20, '1:')])
})

t.test('ordered: a message that fails stays in front of the others of its queue', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(3))
  const got: string[] = []
  const consumer = await started(cluster, { ordered: true, suspendMs: 10 }, ([message]) => {
    got.push(`${textOf(message!)}/${message!.reconsumeTimes}`)
    return textOf(message!) === 'm1' && message!.reconsumeTimes < 2 ? 'later' : 'success'
  })
  await until('all consumed', () => got.includes('m2/0'))
  t.same(got, ['m0/0', 'm1/0', 'm1/1', 'm1/2', 'm2/0'])
  await consumer.close()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 3)
})

t.test('ordered: a message that failed too often becomes a dead letter, and its queue goes on', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, 'bad', 'good')
  const got: string[] = []
  await started(cluster, { ordered: true, suspendMs: 10, maxReconsumeTimes: 1 }, ([message]) => {
    got.push(textOf(message!))
    if (textOf(message!) === 'bad') throw new Error('no coffee')
  })
  await until('it went on', () => got.includes('good'))
  t.same(got, ['bad', 'bad', 'good'])
  t.equal(cluster.broker.store.maxQueueOffset('%DLQ%CG', 0), 1)
})

t.test('ordered: a queue that another client has locked is left alone until it is given back', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  for (const queueId of [0, 1]) await cluster.sendTo('orders', queueId, `in ${queueId}`)
  const lock = JSON.stringify({
    clientId: 'another',
    consumerGroup: 'CG',
    mqSet: [{ brokerName: 'broker-a', queueId: 0, topic: 'orders' }],
    onlyThisBroker: false
  })
  await cluster.ask(RequestCode.LOCK_BATCH_MQ, {}, lock)
  const { got, listener } = keeper()
  const consumer = await started(cluster, { ordered: true }, listener)
  await until('the other queue is consumed', () => got.length > 0)
  t.same(queueIds(consumer), [1])
  await cluster.ask(RequestCode.UNLOCK_BATCH_MQ, {}, lock)
  await until('taken', () => queueIds(consumer).length === 2)
  await until('consumed', () => got.length === 2)
  t.same(got, ['in 1', 'in 0'])
})

t.test('ordered: when members come and go, no message is consumed twice and the order holds', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 4)
  const got: string[][] = [[], [], [], []]
  const count = () => got.flat().length
  const listener: MessageListener = async ([message]) => {
    await new Promise(resolve => setImmediate(resolve))
    got[message!.queueId]!.push(textOf(message!))
  }
  await started(cluster, { ordered: true }, listener)
  const round = async (name: string) => {
    for (let i = 0; i < 4; i++) await cluster.sendTo('orders', i, ...bodies(10, name))
  }
  await round('a')
  const second = await started(cluster, { ordered: true }, listener)
  await round('b')
  await until('shared', () => queueIds(second).length === 2)
  await round('c')
  await until('all consumed', () => count() === 120)
  await second.close()
  await round('d')
  await until('all consumed', () => count() === 160)
  for (const queue of got)
    t.same(queue, [...bodies(10, 'a'), ...bodies(10, 'b'), ...bodies(10, 'c'), ...bodies(10, 'd')])
})

t.test('broadcasting: every client gets every message, and its offsets lie in its own file', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  await cluster.sendTo('orders', 0, 'first')
  const offsetFolder = temporaryDirectory(t)
  const listeners = [keeper(), keeper()]
  const open = (instanceName: string, listener: MessageListener) =>
    started(cluster, { messageModel: 'BROADCASTING', offsetFolder, clientIp: '10.0.0.1', instanceName }, listener)
  const consumers = [await open('DEFAULT', listeners[0]!.listener), await open('other', listeners[1]!.listener)]
  await cluster.sendTo('orders', 1, 'second')
  await until('both have both', () => listeners.every(({ got }) => got.length === 2))
  for (const consumer of consumers) await consumer.close()
  const file = readFileSync(join(offsetFolder, '10.0.0.1@DEFAULT', 'CG', 'offsets.json'))
  const { offsetTable } = parseBody(file) as { offsetTable: Map<unknown, number> }
  t.same([...offsetTable.values()], [1, 1])
  t.equal(await cluster.storedOffset('CG', 'orders', 0), null)

  await cluster.sendTo('orders', 0, 'third')
  const { got, listener } = keeper()
  await open('DEFAULT', listener)
  await until('it goes on', () => got.length > 0)
  t.same(got, ['third'])
})

t.test('broadcasting: a message that fails is not delivered again', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, 'bad', 'good')
  const got: string[] = []
  const log = keepLog()
  const options = { messageModel: 'BROADCASTING', offsetFolder: temporaryDirectory(t), log } as const
  await started(cluster, options, ([message]) => {
    got.push(textOf(message!))
    if (textOf(message!) === 'bad') throw new Error('no coffee')
  })
  await until('the next one came', () => got.length === 2)
  t.same(got, ['bad', 'good'])
  t.equal(cluster.broker.store.maxQueueOffset('%RETRY%CG', 0), 0)
  t.ok(log.lines.some(({ text }) => text.includes('does not come again')))
})

t.test('offsets that an operator resets hold for a consumer that runs', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(3))
  const { got, listener } = keeper()
  await started(cluster, {}, listener)
  await until('consumed', () => got.length === 3)
  const answer = await cluster.ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, {
    topic: 'orders',
    group: 'CG',
    timestamp: '0',
    isForce: 'true',
    queueId: '-1'
  })
  t.equal(answer.code, ResponseCode.SUCCESS)
  // The next pull is told of it.
  await cluster.sendTo('orders', 0, 'm3')
  await until('consumed again', () => got.filter(body => body === 'm0').length === 2)
})

t.test('offsets that a broker pushes to clients hold, too', async t => {
  const cluster = await openCluster(t, { useServerSideResetOffset: false })
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(3))
  const { got, listener } = keeper()
  const consumer = await started(cluster, { persistOffsetsIntervalMs: 10 }, listener)
  await until('stored', async () => (await cluster.storedOffset('CG', 'orders', 0)) === 3)
  consumer.resetOffsets('orders', [[{ topic: 'orders', brokerName: 'broker-a', queueId: 0 }, 1]])
  await until('consumed again', () => got.length === 5)
  t.same(got, ['m0', 'm1', 'm2', 'm1', 'm2'])
})

t.test('an operator sees what a consumer does', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(3))
  let done = 0
  const consumer = await started(cluster, { ordered: true }, () => void done++)
  await until('consumed', () => done === 3)
  const answer = await cluster.ask(RequestCode.GET_CONSUMER_RUNNING_INFO, {
    consumerGroup: 'CG',
    clientId: consumer.clientId,
    jstackEnable: 'false'
  })
  t.equal(answer.code, ResponseCode.SUCCESS)
  const info = parseBody(answer.body) as {
    mqTable: Map<{ topic: string }, object>
    properties: Record<string, string>
    statusTable: Record<string, { consumeOKTPS: number }>
    subscriptionSet: { topic: string }[]
  }
  const [, queue] = [...info.mqTable].find(([{ topic }]) => topic === 'orders')!
  t.match(queue, { commitOffset: 3, cachedMsgCount: 0, droped: false, locked: true })
  t.match(info.properties, { PROP_CONSUME_TYPE: 'CONSUME_PASSIVELY', PROP_CONSUMEORDERLY: 'true' })
  t.match(info.properties.PROP_CONSUMER_START_TIMESTAMP, /^\d{13}$/)
  t.ok(info.statusTable.orders!.consumeOKTPS > 0)
  t.same(info.subscriptionSet.map(({ topic }) => topic).sort(), ['%RETRY%CG', 'orders'])
})

t.test('an operator lets a consumer consume one message at once', async t => {
  const cluster = await openCluster(t)
  const sent = await cluster.producer.send({ topic: 'orders', body: 'espresso' })
  const got: string[] = []
  const consumer = await started(cluster, {}, ([message]) => {
    got.push(textOf(message!))
    if (got.length === 2) throw new Error('no coffee')
  })
  await until('consumed', () => got.length === 1)
  const directly = async () => {
    const answer = await cluster.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, {
      consumerGroup: 'CG',
      clientId: consumer.clientId,
      topic: 'orders',
      msgId: sent.offsetMessageId
    })
    return parseBody(answer.body)
  }
  t.match(await directly(), {
    consumeResult: 'CR_THROW_EXCEPTION',
    remark: /no coffee/,
    autoCommit: true,
    order: false
  })
  t.match(await directly(), { consumeResult: 'CR_SUCCESS' })
  t.same(got, ['espresso', 'espresso', 'espresso'])
})

t.test('for await: a message is consumed when the loop asks for the next one', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, ...bodies(5))
  const consumer = await started(cluster)
  const got: string[] = []
  for await (const message of consumer) {
    got.push(textOf(message))
    if (got.length === 3) break
  }
  for await (const message of consumer) {
    got.push(textOf(message))
    if (got.length === 5) break
  }
  t.same(got, ['m0', 'm1', 'm2', 'm2', 'm3'])
  await consumer.close()
  t.equal(await cluster.storedOffset('CG', 'orders', 0), 3)
})

t.test('for await: loops side by side share the messages, and closing ends them', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  const consumer = await started(cluster)
  const got: string[] = []
  const loop = async () => {
    for await (const message of consumer) got.push(textOf(message))
  }
  const loops = [loop(), loop(), loop()]
  for (const queueId of [0, 1]) await cluster.sendTo('orders', queueId, ...bodies(10, `${queueId}:`))
  await until('all consumed', () => got.length === 20)
  await consumer.close()
  await Promise.all(loops)
  t.equal(new Set(got).size, 20)
})

t.test('for await: a message whose loop throws is not lost', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  await cluster.sendTo('orders', 0, 'espresso')
  const consumer = await started(cluster)
  const fail = async () => {
    for await (const _ of consumer) throw new Error('no coffee')
  }
  await t.rejects(fail(), { message: 'no coffee' })
  for await (const message of consumer) {
    t.equal(textOf(message), 'espresso')
    break
  }
})

async function refused(t: Test, action: () => unknown, code: string, text: RegExp) {
  await t.rejects(async () => action(), { code, message: text })
}

t.test('wrong options, groups and calls are refused with what is wrong', async t => {
  const cluster = await openCluster(t)
  await refused(t, () => cluster.push({ group: 'DEFAULT_CONSUMER' }), 'GROUP_BAD', /DEFAULT_CONSUMER/)
  await refused(t, () => cluster.push({ group: 'a b' }), 'GROUP_BAD', /a b/)
  await refused(t, () => cluster.push({ pullBatchSize: 0 }), 'OPTION_BAD', /pullBatchSize is 0/)
  await refused(t, () => cluster.push({ concurrency: 1.5 }), 'OPTION_BAD', /concurrency is 1\.5/)
  await refused(t, () => cluster.push({ pullHoldMs: 40_000 }), 'OPTION_BAD', /pullTimeoutMs/)
  await refused(t, () => cluster.push().subscribe('a b'), 'OPTION_BAD', /a b/)
  await refused(t, () => cluster.push().subscribe('orders', '||'), 'BAD_SUBSCRIPTION', /orders/)
  await refused(t, () => cluster.push({ consumeBatchSize: 2 }).start(), 'OPTION_BAD', /for await/)
  const consumer = await started(cluster, {}, () => {})
  await refused(t, () => consumer.start(() => {}), 'NOT_RUNNING', /running/)
  await refused(t, () => consumer[Symbol.asyncIterator](), 'MODE_MIXED', /for await/)
})

t.test('without a NameServer that answers, the start fails and says so', async t => {
  const cluster = await openCluster(t)
  const consumer = cluster.push({ namesrvAddr: '127.0.0.1:1' })
  consumer.subscribe('orders')
  await refused(t, () => consumer.start(() => {}), 'NAMESRV_UNREACHABLE', /127\.0\.0\.1:1/)
})

t.test('a broker that does not take an expression makes the start fail', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  const consumer = cluster.push()
  consumer.subscribe('orders', 'price > 5', 'SQL92')
  await refused(t, () => consumer.start(() => {}), 'REFUSED', /SQL92|property|filter/i)
})
