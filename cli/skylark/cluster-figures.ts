import { type Admin, type BrokerConsumeStats, lagOf, type QueueOffsets } from '../../client/index.ts'
import { isDlqTopic, isRetryTopic, isSystemTopic } from '../../message/index.ts'

/** Figures of a broker; null where it does not tell. Rates are messages a second. */
export interface BrokerFigures {
  name: string
  id: number
  address: string
  /** Whether it answers. */
  up: boolean
  inRate: number | null
  outRate: number | null
  /** Of the disk with the log, 0 to 1. */
  diskUsed: number | null
  /** Bytes of the log that are not in its queues yet. */
  dispatchLag: number | null
  /** Of a master: how many follow. */
  slaves: number | null
  /** Bytes that the slowest slave of a master, or this slave, has still to fetch; null without slaves. */
  replicaLag: number | null
}

export interface TopicFigures {
  topic: string
  inRate: number
  /** Messages that are there. */
  messages: number
  queues: number
}

export interface GroupFigures {
  group: string
  topics: string[]
  /** Messages that it has still to consume. */
  lag: number
  /** Messages a second that it consumes. */
  outRate: number
}

/** A cluster within one second. */
export interface ClusterFigures {
  time: string
  brokers: BrokerFigures[]
  /** The busiest first. */
  topics: TopicFigures[]
  /** How many topics there are; of too many only some are looked at. */
  topicCount: number
  /** The one that is furthest behind first. */
  groups: GroupFigures[]
}

/** Every second, each topic costs a request to each of its brokers. */
const MAX_TOPICS = 200

interface BrokerSample extends Omit<BrokerFigures, 'inRate' | 'outRate'> {
  puts: number | null
  gets: number | null
}
interface GroupSample {
  topics: Set<string>
  lag: number
  consumed: number
}
interface Sample {
  timeMs: number
  brokers: BrokerSample[]
  topics: Map<string, { put: number; messages: number; queues: number }>
  topicCount: number
  groups: Map<string, GroupSample>
}

/** Watches a cluster: figures come from what changed since it was last asked. */
export class ClusterWatch {
  private readonly admin: Admin
  private last: Sample | null = null

  constructor(admin: Admin) {
    this.admin = admin
  }

  /** Null the first time, when there is nothing to compare with. Throws ClientError NAMESRV_UNREACHABLE. */
  async figures(): Promise<ClusterFigures | null> {
    const now = await this.sample()
    const { last } = this
    this.last = now
    return last === null ? null : compare(last, now)
  }

  private async sample(): Promise<Sample> {
    const { admin } = this
    const timeMs = performance.now()
    const { brokerAddrTable } = await admin.clusterInfo()
    const members = Object.values(brokerAddrTable).flatMap(({ brokerName, brokerAddrs }) =>
      [...brokerAddrs].map(([id, address]) => ({ name: brokerName, id, address }))
    )
    members.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id))
    const masters = members.filter(({ id }) => id === 0)
    const all = (await admin.topics()).filter(topic => !isSystemTopic(topic) && !isRetryTopic(topic))
    // Brokers, clusters and their like have topics of their names, which hold no messages.
    const names = new Set(
      members.flatMap(({ name }) => {
        const { cluster } = brokerAddrTable[name]!
        return [name, cluster, `${cluster}_REPLY_TOPIC`]
      })
    )
    const topics = all.filter(topic => !names.has(topic) && !isDlqTopic(topic)).sort()
    const [brokers, topicSamples, stats] = await Promise.all([
      Promise.all(members.map(member => this.sampleBroker(member))),
      Promise.all(topics.slice(0, MAX_TOPICS).map(topic => this.sampleTopic(topic))),
      Promise.all(masters.map(({ address }) => admin.brokerConsumeStats(address).catch(() => null)))
    ])
    return {
      timeMs,
      brokers,
      topics: new Map(topicSamples.filter(one => one !== null)),
      topicCount: topics.length,
      groups: groupsOf(stats.filter(one => one !== null))
    }
  }

  private async sampleBroker(member: { name: string; id: number; address: string }): Promise<BrokerSample> {
    const { admin } = this
    const [info, ha] = await Promise.all([
      admin.brokerRuntimeInfo(member.address).catch(() => null),
      admin.haStatus(member.address).catch(() => null)
    ])
    const number = (key: string): number | null => (info?.[key] ? Number(info[key]) : null)
    const connections = ha?.haConnectionInfo ?? []
    let replicaLag: number | null = null
    if (ha?.master && connections.length > 0) replicaLag = Math.max(0, ...connections.map(({ diff }) => diff))
    if (ha?.master === false)
      replicaLag = Math.max(0, ha.masterCommitLogMaxOffset - (ha.haClientRuntimeInfo?.maxOffset ?? 0))
    return {
      ...member,
      up: info !== null,
      puts: number('msgPutTotalTodayNow'),
      gets: number('msgGetTotalTodayNow'),
      diskUsed: number('commitLogDiskRatio'),
      dispatchLag: number('dispatchBehindBytes'),
      slaves: ha?.master ? connections.length : null,
      replicaLag
    }
  }

  private async sampleTopic(
    topic: string
  ): Promise<[string, { put: number; messages: number; queues: number }] | null> {
    const stats = await this.admin.topicStats(topic).catch(() => null)
    if (stats === null) return null
    const { queues } = stats
    const sum = (of: (queue: QueueOffsets) => number) => queues.reduce((total, queue) => total + of(queue), 0)
    const put = sum(({ maxOffset }) => maxOffset)
    return [topic, { put, messages: put - sum(({ minOffset }) => minOffset), queues: queues.length }]
  }
}

function groupsOf(stats: readonly BrokerConsumeStats[]): Map<string, GroupSample> {
  const groups = new Map<string, GroupSample>()
  for (const { group, stats: byTopic } of stats.flatMap(one => one.groups)) {
    if (byTopic.length === 0) continue
    const sample = groups.get(group) ?? { topics: new Set(), lag: 0, consumed: 0 }
    groups.set(group, sample)
    for (const one of byTopic) {
      sample.lag += lagOf(one)
      for (const { topic, consumerOffset } of one.queues) {
        if (!isRetryTopic(topic)) sample.topics.add(topic)
        sample.consumed += consumerOffset
      }
    }
  }
  return groups
}

function compare(before: Sample, now: Sample): ClusterFigures {
  const seconds = Math.max(0.001, (now.timeMs - before.timeMs) / 1000)
  // What restarted counts from 0 again.
  const rate = (from: number | null | undefined, to: number): number => Math.max(0, (to - (from ?? to)) / seconds)
  const known = new Map(before.brokers.map(broker => [broker.address, broker]))
  return {
    time: new Date().toISOString(),
    brokers: now.brokers.map(({ puts, gets, ...broker }) => ({
      ...broker,
      inRate: puts === null ? null : rate(known.get(broker.address)?.puts, puts),
      outRate: gets === null ? null : rate(known.get(broker.address)?.gets, gets)
    })),
    topics: [...now.topics]
      .map(([topic, { put, messages, queues }]) => ({
        ...{ topic, inRate: rate(before.topics.get(topic)?.put, put), messages, queues }
      }))
      .sort((a, b) => b.inRate - a.inRate || b.messages - a.messages || (a.topic < b.topic ? -1 : 1)),
    topicCount: now.topicCount,
    groups: [...now.groups]
      .map(([group, { topics, lag, consumed }]) => ({
        ...{ group, topics: [...topics].sort(), lag, outRate: rate(before.groups.get(group)?.consumed, consumed) }
      }))
      .sort((a, b) => b.lag - a.lag || b.outRate - a.outRate || (a.group < b.group ? -1 : 1))
  }
}
