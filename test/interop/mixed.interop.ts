import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { type Message, Producer, PushConsumer } from '../../client/index.ts'
import type { Driver, Outgoing } from './driver.ts'
import { startGo } from './go.ts'
import { startJava } from './java.ts'
import { type Cluster, fresh, hasTools, startCluster, until } from './support.ts'

// Clients of all languages and versions side by side, our own SDK among them: what one sends the others read, and in one
// group they share the queues as if they were of one kind.

/** What all clients tell of a message. */
interface Seen {
  body: string
  bodyCrc: number
  tags: string
  keys: string
  colour: string
  msgId: string
  queueId: number
  queueOffset: number
}

interface Member {
  received: Seen[]
  close(): Promise<void>
}

/** A kind of client. */
interface Kind {
  name: string
  /** Sends, and returns the ids of the messages. */
  send(messages: Outgoing[]): Promise<string[]>
  join(group: string, topic: string, orderly: boolean): Promise<Member>
}

const driven = (name: string, client: Driver): Kind => ({
  name,
  async send(messages) {
    const producer = await client.producer(fresh('producers'))
    const sent = await producer.send(...messages)
    return sent.map(({ msgId }) => msgId)
  },
  async join(group, topic, orderly) {
    const consumer = await client.push({ group, orderly, subscribe: { [topic]: '*' } })
    return {
      get received() {
        return consumer.received.map(message => ({
          ...message,
          body: message.body ?? '',
          tags: message.tags ?? '',
          keys: message.keys ?? '',
          colour: message.properties.colour ?? ''
        }))
      },
      close: () => consumer.close()
    }
  }
})

const skylark = (t: Test, { namesrvAddr }: Cluster): Kind => ({
  name: 'Skylark',
  async send(messages) {
    const producer = new Producer({ group: fresh('producers'), namesrvAddr })
    await producer.start()
    const ids: string[] = []
    for (const { body = '', repeat = 1, ...message } of messages)
      ids.push((await producer.send({ ...message, body: body.repeat(repeat) })).messageId)
    await producer.close()
    return ids
  },
  async join(group, topic, ordered) {
    const consumer = new PushConsumer({
      group,
      namesrvAddr,
      ordered,
      consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
      rebalanceIntervalMs: 1_000
    })
    consumer.subscribe(topic, '*')
    const received: Seen[] = []
    await consumer.start(messages => {
      received.push(...messages.map(seen))
    })
    t.teardown(() => consumer.close())
    return { received, close: () => consumer.close() }
  }
})

const seen = (message: Message): Seen => ({
  body: message.body.length <= 1_000 ? message.body.toString() : '',
  bodyCrc: crc32(message.body),
  tags: message.tags ?? '',
  keys: message.keys ?? '',
  colour: message.properties.get('colour') ?? '',
  msgId: message.messageId,
  queueId: message.queueId,
  queueOffset: message.queueOffset
})

const counts = (members: Member[]): number[] => members.map(({ received }) => received.length)
const total = (members: Member[]): number => counts(members).reduce((sum, count) => sum + count, 0)

if (hasTools(t, 'java', 'javac', 'mvn', 'go'))
  t.test('all clients', { jobs: 3 }, async t => {
    const cluster = await startCluster(t)
    const old = await startJava(t, cluster, '4.9.8', 'ROCKETMQ')
    const recent = await startJava(t, cluster, '5.5.0')
    const go = await startGo(t, cluster)
    const java = driven('Java 5.5.0', recent)
    const kinds = [driven('Java 4.9.8', old), java, driven('Go', go), skylark(t, cluster)]
    const createTopic = async (queues: number): Promise<string> => {
      const topic = fresh('topic')
      await recent.createTopic(cluster.brokerAddr, topic, queues)
      return topic
    }

    t.test('what one sends, the others read', { buffered: true }, async t => {
      const topic = await createTopic(4)
      const sent = new Map<string, string>()
      for (const kind of kinds) {
        const own = { topic, tags: 'tag', keys: 'key-1 key-2', properties: { colour: 'türkis' } }
        const ids = await kind.send([
          { ...own, body: `grüße, 世界 von ${kind.name}` },
          { ...own, body: `${kind.name}, again and again; `, repeat: 1_000 }
        ])
        for (const id of ids) sent.set(id, kind.name)
      }
      const bodies = (name: string) => [`grüße, 世界 von ${name}`, `${name}, again and again; `.repeat(1_000)]
      for (const reader of kinds) {
        const member = await reader.join(fresh('group'), topic, false)
        await until(
          () => member.received.length >= 8,
          () => `8 messages at ${reader.name}, ${member.received.length} came`
        )
        for (const { name } of kinds)
          t.same(
            new Set(member.received.filter(({ msgId }) => sent.get(msgId) === name).map(({ bodyCrc }) => bodyCrc)),
            new Set(bodies(name).map(body => crc32(body))),
            `${reader.name} reads ${name}`
          )
        for (const { tags, keys, colour } of member.received)
          t.same({ tags, keys, colour }, { tags: 'tag', keys: 'key-1 key-2', colour: 'türkis' })
        await member.close()
      }
    })

    t.test('a group of all kinds shares the queues', { buffered: true }, async t => {
      const topic = await createTopic(12)
      const group = fresh('group')
      const members: Member[] = []
      for (const kind of kinds) members.push(await kind.join(group, topic, false))
      const producer = await recent.producer(fresh('producers'))
      // One message a queue, until all come in equal shares; what a change of members delivers twice is not counted.
      const balance = async (among: Member[]): Promise<void> => {
        let shares: number[] = []
        await until(
          async () => {
            const round = fresh('round')
            const queues = await producer.queues(topic)
            for (const queue of queues) await producer.sendTo(queue, { topic, body: round })
            const ofRound = () => among.map(({ received }) => received.filter(({ body }) => body === round))
            await until(
              () => new Set(ofRound().flatMap(each => each.map(({ queueId }) => queueId))).size === 12,
              () => `a message of each queue: ${counts(among)}`
            )
            shares = ofRound().map(({ length }) => length)
            return shares.every(share => share === 12 / among.length)
          },
          () => `equal shares: ${shares}`
        )
        t.same(shares, Array(among.length).fill(12 / among.length))
      }
      await balance(members)
      await members[3]!.close()
      await balance(members.slice(0, 3))
      await members[0]!.close()
      await balance(members.slice(1, 3))
      await members[2]!.close()
      await balance(members.slice(1, 2))
    })

    t.test('an ordered group of two kinds hands its queues over', { buffered: true }, async t => {
      const topic = await createTopic(4)
      const group = fresh('group')
      const producer = await recent.producer(fresh('producers'))
      const send = (from: number, count: number) =>
        producer.sendSelected(
          ...Array.from({ length: count }, (_, i) => ({ topic, body: `${from + i}`, keys: `order-${(from + i) % 8}` }))
        )
      const ours = await kinds[3]!.join(group, topic, true)
      await send(0, 80)
      await until(
        () => ours.received.length >= 80,
        () => `80 messages, ${ours.received.length} came`
      )
      const theirs = await java.join(group, topic, true)
      let sent = 80
      // Sends on until both hold queues.
      await until(
        async () => {
          await send(sent, 8)
          sent += 8
          await until(
            () => total([ours, theirs]) >= sent,
            () => `${sent} messages, ${total([ours, theirs])} came`
          )
          return theirs.received.length > 0 && ours.received.length > 80
        },
        () => `queues for both: ${counts([ours, theirs])}`
      )
      await ours.close()
      await send(sent, 80)
      sent += 80
      await until(
        () => total([ours, theirs]) >= sent,
        () => `${sent} messages, ${total([ours, theirs])} came`
      )
      const all = [...ours.received, ...theirs.received]
      t.equal(new Set(all.map(({ msgId }) => msgId)).size, sent, 'nothing is missing')
      t.equal(all.length, sent, 'nothing came twice')
      for (const { received } of [ours, theirs])
        for (const queueId of [0, 1, 2, 3]) {
          const offsets = received.filter(message => message.queueId === queueId).map(({ queueOffset }) => queueOffset)
          t.same(
            offsets,
            [...offsets].sort((a, b) => a - b),
            `queue ${queueId} is in order`
          )
        }
    })
  })
