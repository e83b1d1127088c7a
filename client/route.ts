import { formatBody, parseBody } from '../net/index.ts'
import type { MessageQueue } from './message.ts'

export const MASTER_ID = 0
const PERM_READ = 4
const PERM_WRITE = 2

/** The brokers that share one name: a master and its slaves. BrokerData */
export interface BrokerRoute {
  readonly cluster: string
  readonly brokerName: string
  /** Address by broker id; 0 is the master. */
  readonly addresses: ReadonlyMap<number, string>
}

/** The queues of a topic on one broker. QueueData */
export interface QueueRoute {
  readonly brokerName: string
  readonly readQueueCount: number
  readonly writeQueueCount: number
  /** 4 read, 2 write. */
  readonly perm: number
}

/** Where a topic lies. TopicRouteData */
export class TopicRoute {
  readonly topic: string
  readonly brokers: readonly BrokerRoute[]
  readonly queues: readonly QueueRoute[]
  /** Queues by broker that are the same in any case: `brokerA:4;brokerB:4`. */
  readonly orderConf: string | null
  /** Derived from the route of another topic, for one that does not exist yet. */
  readonly assumed: boolean
  private publish: readonly MessageQueue[] | null = null
  private subscribe: readonly MessageQueue[] | null = null

  constructor(
    topic: string,
    brokers: readonly BrokerRoute[],
    queues: readonly QueueRoute[],
    orderConf: string | null = null,
    assumed = false
  ) {
    this.topic = topic
    this.brokers = [...brokers].sort(byName)
    this.queues = [...queues].sort(byName)
    this.orderConf = orderConf
    this.assumed = assumed
  }

  /** The queues that may be sent to. MQClientInstance#topicRouteData2TopicPublishInfo */
  get publishQueues(): readonly MessageQueue[] {
    this.publish ??= this.orderConf ? this.orderQueues(this.orderConf) : this.writeQueues()
    return this.publish
  }

  /** The queues that may be read. MQClientInstance#topicRouteData2TopicSubscribeInfo */
  get subscribeQueues(): readonly MessageQueue[] {
    this.subscribe ??= this.queues
      .filter(({ perm }) => perm & PERM_READ)
      .flatMap(({ brokerName, readQueueCount }) => this.queuesOf(brokerName, readQueueCount))
    return this.subscribe
  }

  /** The same place for a topic that its first message will create, with at most `queueCount` queues on a broker. */
  assumedFor(topic: string, queueCount: number): TopicRoute {
    const queues = this.queues.map(queue => {
      const count = Math.min(queueCount, queue.readQueueCount)
      return { ...queue, readQueueCount: count, writeQueueCount: count }
    })
    return new TopicRoute(topic, this.brokers, queues, null, true)
  }

  /** Whether clients need not notice a change from one to the other. */
  equals(other: TopicRoute): boolean {
    const text = ({ brokers, queues, orderConf, assumed }: TopicRoute) =>
      formatBody({ brokers, queues, orderConf, assumed })
    return text(this) === text(other)
  }

  private writeQueues(): MessageQueue[] {
    const withMaster = new Set(
      this.brokers.filter(({ addresses }) => addresses.has(MASTER_ID)).map(({ brokerName }) => brokerName)
    )
    return this.queues
      .filter(({ brokerName, perm }) => perm & PERM_WRITE && withMaster.has(brokerName))
      .flatMap(({ brokerName, writeQueueCount }) => this.queuesOf(brokerName, writeQueueCount))
  }

  private orderQueues(conf: string): MessageQueue[] {
    return conf.split(';').flatMap(part => {
      const [brokerName = '', count] = part.split(':')
      return this.queuesOf(brokerName, Number(count) || 0)
    })
  }

  private queuesOf(brokerName: string, count: number): MessageQueue[] {
    return Array.from({ length: count }, (_, queueId) => ({ topic: this.topic, brokerName, queueId }))
  }
}

const byName = (a: { brokerName: string }, b: { brokerName: string }): number =>
  a.brokerName < b.brokerName ? -1 : a.brokerName > b.brokerName ? 1 : 0

/** TopicRouteData as JSON has it. */
interface RouteBody {
  brokerDatas?: { cluster?: string; brokerName: string; brokerAddrs?: Record<string, string> }[]
  queueDatas?: { brokerName: string; readQueueNums?: number; writeQueueNums?: number; perm?: number }[]
  orderTopicConf?: string
}

/** Reads the answer to GET_ROUTEINFO_BY_TOPIC. Throws NetError BAD_JSON. */
export function parseRoute(topic: string, body: Uint8Array | string | null): TopicRoute {
  const { brokerDatas = [], queueDatas = [], orderTopicConf } = parseBody(body) as RouteBody
  return new TopicRoute(
    topic,
    brokerDatas.map(({ cluster = '', brokerName, brokerAddrs = {} }) => ({
      cluster,
      brokerName,
      addresses: new Map(
        Object.entries(brokerAddrs)
          .map(([id, address]): [number, string] => [Number(id), address])
          .sort(([a], [b]) => a - b)
      )
    })),
    queueDatas.map(({ brokerName, readQueueNums = 0, writeQueueNums = 0, perm = 0 }) => ({
      brokerName,
      readQueueCount: readQueueNums,
      writeQueueCount: writeQueueNums,
      perm
    })),
    orderTopicConf || null
  )
}
