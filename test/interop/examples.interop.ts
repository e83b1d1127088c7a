import t, { type Test } from 'tap'
import type { Driver } from './driver.ts'
import { type JavaVersion, javaCommand, javaVersions, startJava } from './java.ts'
import { type Cluster, fresh, hasTools, isForeign, launch, type Printing, startCluster, until } from './support.ts'

// The examples that RocketMQ ships, as they are: their mains are run, and what they print is read. They share topics and
// groups, so what is looked for are the ids of this run's messages. Those that never end, end with the JVM.

const examples = 'org.apache.rocketmq.example'

interface SendResult {
  status: string
  msgId: string
  queueId: number
  queueOffset: number
}

/** The send results in what an example printed. */
function sendResults(lines: readonly string[]): SendResult[] {
  const shape = /SendResult \[sendStatus=(\w+), msgId=(\w+).*?queueId=(\d+)\], queueOffset=(\d+)/g
  return [...lines.join('\n').matchAll(shape)].map(([, status, msgId, queueId, queueOffset]) => ({
    status: status!,
    msgId: msgId!,
    queueId: Number(queueId),
    queueOffset: Number(queueOffset)
  }))
}

interface PrintedMessage {
  topic: string
  queueId: number
  queueOffset: number
  reconsumeTimes: number
  msgId: string
  tags: string | undefined
  body: string
}

/** The messages in what an example printed. */
function messages(lines: readonly string[]): PrintedMessage[] {
  const shape =
    /MessageExt \[.*?queueId=(\d+), storeSize=\d+, queueOffset=(\d+).*?reconsumeTimes=(\d+).*?topic='(.*?)'.*?properties=\{(.*?)\}, body=\[(.*?)\]/g
  return [...lines.join('\n').matchAll(shape)].map(
    ([, queueId, queueOffset, reconsumeTimes, topic, properties, body]) => ({
      topic: topic!,
      queueId: Number(queueId),
      queueOffset: Number(queueOffset),
      reconsumeTimes: Number(reconsumeTimes),
      msgId: /UNIQ_KEY=(\w+)/.exec(properties!)![1]!,
      tags: /TAGS=(\w+)/.exec(properties!)?.[1],
      body: Buffer.from(body!.split(', ').map(Number)).toString()
    })
  )
}

/** Waits until a consumer has printed each of these messages; returns those, in the order of their first delivery. */
async function arrival(consumer: Printing, sent: readonly SendResult[]): Promise<PrintedMessage[]> {
  const wanted = new Set(sent.map(({ msgId }) => msgId))
  const found = new Map<string, PrintedMessage>()
  let read = 0
  await until(
    () => {
      for (const message of messages(consumer.lines.slice(read)))
        if (wanted.has(message.msgId) && !found.has(message.msgId)) found.set(message.msgId, message)
      read = consumer.lines.length
      return found.size === wanted.size
    },
    () => `${wanted.size} messages, ${found.size} came`
  )
  return [...found.values()]
}

const numbered = (text: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${text} ${i}`)

interface Stage {
  cluster: Cluster
  version: JavaVersion
  client: Driver
}

/** Runs an example in a JVM of its own, with NAMESRV_ADDR in the environment: what a newcomer does. */
async function inOwnProcess(t: Test, { cluster, version }: Stage, example: string): Promise<Printing> {
  const { args, env } = await javaCommand(t, cluster, version)
  return launch(t, 'java', [...args, `${examples}.${example}`], env)
}

async function sendsAll(t: Test, producer: Printing, count: number): Promise<SendResult[]> {
  const sent = sendResults(await producer.ended)
  t.equal(sent.filter(({ status }) => status === 'SEND_OK').length, count, `${count} sends are acknowledged`)
  t.equal(new Set(sent.map(({ msgId }) => msgId)).size, count, 'each has an id of its own')
  return sent
}

const scenarios: Record<string, (t: Test, stage: Stage) => Promise<void>> = {
  'quickstart: the consumer prints every message of the producer': async (t, stage) => {
    const consumer = stage.client.main(`${examples}.quickstart.Consumer`)
    const sent = await sendsAll(t, await inOwnProcess(t, stage, 'quickstart.Producer'), 1_000)
    const received = await arrival(consumer, sent)
    t.same(new Set(received.map(({ body }) => body)), new Set(numbered('Hello RocketMQ', 1_000)))
    t.same(new Set(received.map(({ tags }) => tags)), new Set(['TagA']))
    for (const queueId of [0, 1, 2, 3])
      t.equal(received.filter(message => message.queueId === queueId).length, 250, `queue ${queueId} has its share`)
  },

  'ordermessage: the producer keeps each order in one queue': async (t, stage) => {
    const sent = await sendsAll(t, stage.client.main(`${examples}.ordermessage.Producer`), 100)
    const consumer = await stage.client.push({
      group: fresh('group'),
      orderly: true,
      subscribe: { TopicTestjjj: 'TagA || TagB || TagC || TagD || TagE' }
    })
    const ids = new Set(sent.map(({ msgId }) => msgId))
    const ours = () => consumer.received.filter(({ msgId }) => ids.has(msgId))
    await until(
      () => ours().length >= 100,
      () => `100 messages, ${ours().length} came`
    )
    for (let order = 0; order < 10; order++) {
      const ofOrder = ours().filter(({ keys }) => Number(keys!.slice('KEY'.length)) % 10 === order)
      t.same(
        ofOrder.map(({ body, queueId }) => [body, queueId]),
        Array.from({ length: 10 }, (_, i) => [`Hello RocketMQ ${i * 10 + order}`, order % 4]),
        `order ${order}`
      )
    }
  },

  'ordermessage: the consumer prints each queue in order, and again what it suspended': async (t, stage) => {
    const consumer = stage.client.main(`${examples}.ordermessage.Consumer`)
    await stage.client.main(`${examples}.quickstart.Producer`).ended
    await until(
      () => messages(consumer.lines).length >= 60,
      () => '60 messages'
    )
    const received = messages(consumer.lines)
    for (const queueId of [0, 1, 2, 3]) {
      const offsets = received.filter(message => message.queueId === queueId).map(({ queueOffset }) => queueOffset)
      t.same(
        offsets,
        [...offsets].sort((a, b) => a - b),
        `queue ${queueId} is in order`
      )
    }
    const again = received.filter((message, i) => received.findIndex(({ msgId }) => msgId === message.msgId) < i)
    t.ok(again.length > 0, 'a suspended message comes again')
  },

  'broadcast: two consumers each print every message': async (t, stage) => {
    const one = stage.client.main(`${examples}.broadcast.PushConsumer`)
    const two = await inOwnProcess(t, stage, 'broadcast.PushConsumer')
    const sent = await sendsAll(t, stage.client.main(`${examples}.quickstart.Producer`), 1_000)
    t.equal((await arrival(one, sent)).length, 1_000)
    t.equal((await arrival(two, sent)).length, 1_000)
  },

  'batch: three messages, then a hundred thousand in batches, lie in their queues': async (t, stage) => {
    const { client } = stage
    const producer = await client.producer(fresh('producers'))
    const puller = await client.pullConsumer(fresh('group'))
    await client.main(`${examples}.batch.SimpleBatchProducer`).ended
    const queues = await producer.queues('BatchTest')
    const ends = async () => Promise.all(queues.map(queue => puller.maxOffset(queue)))
    const before = await ends()
    await client.main(`${examples}.batch.SplitBatchProducer`).ended
    // Acknowledged messages are in the log; their queues follow.
    let after = before
    await until(
      async () => {
        after = await ends()
        return sum(after) - sum(before) >= 100_000
      },
      () => `100,000 messages, ${sum(after) - sum(before)} came`
    )
    t.equal(sum(after) - sum(before), 100_000)
    t.match(
      [await producer.queryByKey('BatchTest', 'OrderID001'), await producer.queryByKey('BatchTest', 'OrderID003')].map(
        found => found.map(({ body, tags }) => ({ body, tags })).pop()
      ),
      [
        { body: 'Hello world 0', tags: 'Tag' },
        { body: 'Hello world 2', tags: 'Tag' }
      ]
    )
    let first: string | undefined
    let last: string | undefined
    for (const [i, queue] of queues.entries()) {
      if (after[i] === before[i]) continue
      const head = (await puller.pull(queue, 'Tag', before[i]!, 1)).messages[0]
      const tail = (await puller.pull(queue, 'Tag', after[i]! - 1, 1)).messages[0]
      if (head?.body === 'Hello world 0') first = head.keys
      if (tail?.body === 'Hello world 99999') last = tail.keys
    }
    t.equal(first, 'OrderID0')
    t.equal(last, 'OrderID99999')
  },

  'filter: the consumer prints the tags that it asked for': async (t, stage) => {
    const sent = await sendsAll(t, stage.client.main(`${examples}.filter.TagFilterProducer`), 60)
    const consumer = stage.client.main(`${examples}.filter.TagFilterConsumer`)
    const received = await arrival(
      consumer,
      sent.filter((_, i) => i % 3 !== 1)
    )
    t.equal(received.filter(({ tags }) => tags === 'TagA').length, 20)
    t.equal(received.filter(({ tags }) => tags === 'TagC').length, 20)
    t.equal(messages(consumer.lines).filter(({ tags }) => tags === 'TagB').length, 0)
  },

  'simple: asynchronous sends are called back': async (t, stage) => {
    const lines = await stage.client.main(`${examples}.simple.AsyncProducer`).ended
    t.equal(lines.filter(line => /^\d+ +OK \w+/.test(line)).length, lines.length, 'no exception')
    t.ok(lines.length >= 100)
  },

  'simple: a lite pull consumer prints what it polls': async (t, stage) => {
    const consumer = stage.client.main(`${examples}.simple.LitePullConsumerSubscribe`)
    const sent = await sendsAll(t, stage.client.main(`${examples}.simple.Producer`), 128)
    const received = await arrival(consumer, sent)
    t.same(new Set(received.map(({ body }) => body)), new Set(['Hello world']))
  },

  'operation: topic, group and tag come from the command line': async (t, stage) => {
    const topic = fresh('operation')
    const tags = fresh('tag')
    const run = (example: string, ...args: string[]) => stage.client.main(`${examples}.operation.${example}`, ...args)
    const sent = await sendsAll(t, run('Producer', '-g', 'p', '-t', topic, '-a', tags, '-k', 'k', '-c', '20'), 20)
    const received = await arrival(run('Consumer', '-g', fresh('group'), '-t', topic, '-s', tags, '-f', 'false'), sent)
    t.same(new Set(received.map(({ body }) => body)), new Set(numbered('Hello RocketMQ', 20)))
    for (const message of received) t.match(message, { topic, tags, reconsumeTimes: 0 })
  }
}

/** Only the 5.x examples hold these two. */
const schedule = async (t: Test, { client }: Stage): Promise<void> => {
  const sent = await sendsAll(t, client.main(`${examples}.schedule.ScheduledMessageProducer`), 100)
  const consumer = client.main(`${examples}.schedule.ScheduledMessageConsumer`)
  const ids = () => new Set(consumer.lines.map(line => /msgId=(\w+)/.exec(line)?.[1]))
  await until(
    () => sent.every(({ msgId }) => ids().has(msgId)),
    () => `100 messages, ${ids().size} came`
  )
  t.ok(ids().size >= 100)
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)

// On a cluster that they share, the examples of both versions would be one group.
t.jobs = isForeign ? 1 : javaVersions.length

if (hasTools(t, 'java', 'javac', 'mvn'))
  for (const version of javaVersions)
    t.test(`the examples, on the client ${version}`, { buffered: true, jobs: 4 }, async t => {
      const cluster = await startCluster(t)
      const stage = { cluster, version, client: await startJava(t, cluster, version) }
      // Makes TopicTest: consumers that start before their topic exists look for it again after 30 s only.
      await stage.client.main(`${examples}.quickstart.Producer`).ended
      for (const [name, scenario] of Object.entries(scenarios))
        t.test(name, { buffered: true }, t => scenario(t, stage))
      if (version === '5.5.0') t.test('schedule: delayed messages arrive', { buffered: true }, t => schedule(t, stage))
    })
