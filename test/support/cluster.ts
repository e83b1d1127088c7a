import type { Test } from 'tap'
import type { BrokerOptions, BrokerSeams } from '../../broker/index.ts'
import {
  type Message,
  Producer,
  PullConsumer,
  type PullConsumerOptions,
  PushConsumer,
  type PushConsumerOptions
} from '../../client/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { OffsetResponseHeader, QueryConsumerOffsetHeader, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker } from './broker.ts'

export interface Cluster extends OpenBroker {
  namesrvAddr: string
  producer: Producer
  /** Creates a topic with so many queues. */
  createTopic(topic: string, queues: number): Promise<void>
  /** Sends bodies one after the other to one queue. */
  sendTo(topic: string, queueId: number, ...bodies: string[]): Promise<void>
  push(options?: Partial<PushConsumerOptions>): PushConsumer
  pull(options?: Partial<PullConsumerOptions>): PullConsumer
  /** What the broker has stored of a group; null when it has nothing. */
  storedOffset(group: string, topic: string, queueId: number): Promise<number | null>
}

/** A NameServer, a broker, a producer, and consumers that begin with the first message; the test's end closes all. */
export async function openCluster(
  t: Test,
  options: Partial<BrokerOptions> = {},
  seams: BrokerSeams = {}
): Promise<Cluster> {
  const nameServer = new NameServer({ listenPort: 0 })
  await nameServer.start()
  t.teardown(() => nameServer.close())
  const namesrvAddr = nameServer.address
  const open = await openBroker(t, { namesrvAddr, ...options }, seams)
  const producer = new Producer({ group: 'PG', namesrvAddr })
  await producer.start()
  t.teardown(() => producer.close())
  const consumer = { group: 'CG', namesrvAddr, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' } as const
  const closing = <C extends PushConsumer | PullConsumer>(one: C): C => {
    t.teardown(() => one.close())
    return one
  }
  return {
    ...open,
    namesrvAddr,
    producer,
    async createTopic(topic, queues) {
      const counts = { readQueueNums: String(queues), writeQueueNums: String(queues), perm: '6' }
      const answer = await open.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, {
        topic,
        defaultTopic: 'TBW102',
        topicFilterType: 'SINGLE_TAG',
        ...counts
      })
      if (answer.code !== ResponseCode.SUCCESS) throw new Error(`topic ${topic}: ${answer.remark}`)
    },
    async sendTo(topic, queueId, ...bodies) {
      const queue = { topic, brokerName: 'broker-a', queueId }
      for (const body of bodies) await producer.send({ topic, body }, { queue })
    },
    push: given => closing(new PushConsumer({ ...consumer, ...given })),
    pull: given => closing(new PullConsumer({ ...consumer, ...given })),
    async storedOffset(group, topic, queueId) {
      const fields = QueryConsumerOffsetHeader.encode({
        consumerGroup: group,
        topic,
        queueId,
        setZeroIfNotFound: false
      })
      const answer = await open.ask(RequestCode.QUERY_CONSUMER_OFFSET, fields)
      return answer.code === ResponseCode.SUCCESS ? OffsetResponseHeader.decode(answer.extFields).offset : null
    }
  }
}

export const textOf = ({ body }: Message): string => body.toString()
