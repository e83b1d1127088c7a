import { retryTopicOf } from '../../message/index.ts'
import { RequestCode, ResponseCode, request } from '../../net/index.ts'
import { ClientError } from '../errors.ts'
import { compareQueues, type MessageQueue } from '../message.ts'
import type { BrokerConsumeStats, ConsumeStats, QueueProgress } from './bodies.ts'
import { parseObject, parseQueueTable, selectAddress } from './codec.ts'
import { GroupAdmin } from './groups.ts'
import { addressesOf, fields, type ReadOptions } from './routes.ts'

/** How a queue's offset was set back by the way that works without the group's clients. RollbackStats */
export interface RollbackStats extends MessageQueue {
  brokerOffset: number
  consumerOffset: number
  timestampOffset: number
  rollbackOffset: number
}

/** How far groups have come, and how to change that. */
export class OffsetAdmin extends GroupAdmin {
  /**
   * How far a group has come, in all its topics or in one. Throws GROUP_NOT_ONLINE when there is nothing to tell.
   * MQAdminExt#examineConsumeStats
   */
  async consumeStats(group: string, topic?: string, { routeTopic }: ReadOptions = {}): Promise<ConsumeStats> {
    const ofTopic = topic === undefined ? [] : [topic, `${retryTopicOf(group)}_${topic}`]
    const route = await this.firstRoute([
      retryTopicOf(group),
      ...ofTopic,
      ...(routeTopic === undefined ? [] : [routeTopic])
    ])
    const total: ConsumeStats = { consumeTps: 0, queues: [] }
    for (const address of addressesOf(route)) {
      const { consumeTps, queues } = await this.consumeStatsOfBroker(address, group, topic)
      total.consumeTps += consumeTps
      total.queues.push(...queues)
    }
    total.queues.sort(compareQueues)
    if (total.queues.length > 0) return total
    const { messageModel } = await this.consumerConnection(group).catch(() => {
      throw new ClientError('NO_PROGRESS', { group, responseCode: ResponseCode.CONSUMER_NOT_ONLINE })
    })
    if (messageModel === 'BROADCASTING')
      throw new ClientError('NO_PROGRESS_BROADCASTING', { group, responseCode: ResponseCode.BROADCAST_CONSUMPTION })
    return total
  }

  /** How far a group has come on one broker. */
  async consumeStatsOfBroker(address: string, group: string, topic?: string): Promise<ConsumeStats> {
    const header = fields({ consumerGroup: group, topic })
    const command = request(RequestCode.GET_CONSUME_STATS, header)
    const { body } = await this.call(address, command, this.timeoutMs * 3)
    const { offsetTable, consumeTps = 0 } = parseObject<{ offsetTable: unknown; consumeTps: number }>(body)
    return { consumeTps, queues: parseQueueTable<QueueProgress>(offsetTable) }
  }

  /** The progress of all groups of a broker. MQAdminExt#fetchConsumeStatsInBroker */
  async brokerConsumeStats(address: string, { isOrder = false, timeoutMs = 50_000 } = {}): Promise<BrokerConsumeStats> {
    const command = request(RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: String(isOrder) })
    const { body } = await this.call(address, command, timeoutMs)
    type Stats = { consumeTps?: number; offsetTable?: unknown }
    const { consumeStatsList = [], totalDiff = 0 } = parseObject<{
      consumeStatsList: Record<string, Stats[]>[]
      totalDiff: number
    }>(body)
    const groups = consumeStatsList.flatMap(byGroup =>
      Object.entries(byGroup).map(([group, stats]) => ({
        group,
        stats: stats.map(({ consumeTps = 0, offsetTable }) => ({
          consumeTps,
          queues: parseQueueTable<QueueProgress>(offsetTable)
        }))
      }))
    )
    return { groups, totalDiff }
  }

  /** Where a queue begins. MQAdmin#minOffset */
  minOffset(queue: MessageQueue, { routeTopic }: ReadOptions = {}): Promise<number> {
    return this.queueOffset(queue, RequestCode.GET_MIN_OFFSET, {}, routeTopic)
  }

  /** Where the next message of a queue will lie. MQAdmin#maxOffset */
  maxOffset(queue: MessageQueue, { routeTopic }: ReadOptions = {}): Promise<number> {
    return this.queueOffset(queue, RequestCode.GET_MAX_OFFSET, { committed: true }, routeTopic)
  }

  /** The first message stored at a time or after it. MQAdmin#searchOffset */
  searchOffset(queue: MessageQueue, timestamp: number, { routeTopic }: ReadOptions = {}): Promise<number> {
    return this.queueOffset(queue, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { timestamp }, routeTopic)
  }

  /** Sets a group's offset in a queue, as a consumer would. MQAdminExt#updateConsumeOffset */
  async updateConsumeOffset(address: string, group: string, queue: MessageQueue, offset: number): Promise<void> {
    const { topic, queueId, brokerName } = queue
    const header = { consumerGroup: group, topic, queueId, commitOffset: offset, bname: brokerName }
    await this.ask(address, RequestCode.UPDATE_CONSUMER_OFFSET, header)
  }

  /**
   * Sets a group's offsets in a topic to a time, -1 for the end; its clients go on from there.
   * Throws REFUSED with CONSUMER_NOT_ONLINE (206) when the broker needs its clients for that; then
   * `resetOffsetOffline`. MQAdminExt#resetOffsetByTimestamp
   */
  async resetOffset(
    topic: string,
    group: string,
    timestamp: number,
    { force = true, routeTopic = topic }: ReadOptions & { force?: boolean } = {}
  ): Promise<(MessageQueue & { offset: number })[]> {
    const offsets: (MessageQueue & { offset: number })[] = []
    for (const address of addressesOf(await this.topicRoute(routeTopic)))
      offsets.push(...(await this.resetOffsetOfBroker(address, { topic, group, timestamp, isForce: force })))
    return offsets.sort(compareQueues)
  }

  /** Sets a group's offset in one queue of a broker. MQAdminExt#resetOffsetByQueueId */
  async resetOffsetOfQueue(
    address: string,
    topic: string,
    group: string,
    queueId: number,
    offset: number
  ): Promise<void> {
    const header = { consumerGroup: group, topic, queueId, commitOffset: offset }
    await this.ask(address, RequestCode.UPDATE_CONSUMER_OFFSET, header)
    await this.resetOffsetOfBroker(address, { topic, group, timestamp: 0, isForce: false, queueId, offset })
  }

  /** Sets a group's offsets in a topic to a time without its clients' doing. MQAdminExt#resetOffsetByTimestampOld */
  async resetOffsetOffline(
    topic: string,
    group: string,
    timestamp: number,
    { force = true, routeTopic = topic }: ReadOptions & { force?: boolean } = {}
  ): Promise<RollbackStats[]> {
    const result: RollbackStats[] = []
    for (const address of addressesOf(await this.topicRoute(routeTopic))) {
      const { queues } = await this.consumeStatsOfBroker(address, group)
      let known: Pick<QueueProgress, keyof MessageQueue | 'brokerOffset' | 'consumerOffset'>[]
      known = queues.filter(queue => queue.topic === topic)
      if (known.length === 0)
        known = (await this.topicStats(topic, { address })).queues.map(({ maxOffset, minOffset, ...queue }) => ({
          ...queue,
          brokerOffset: maxOffset,
          consumerOffset: minOffset
        }))
      for (const { brokerOffset, consumerOffset, ...queue } of known) {
        const target = { topic, brokerName: queue.brokerName, queueId: queue.queueId }
        const timestampOffset =
          timestamp === -1 ? await this.maxOffset(target) : await this.searchOffset(target, timestamp)
        const moved = force || timestampOffset <= consumerOffset
        if (moved) await this.updateConsumeOffset(address, group, target, timestampOffset)
        const rollbackOffset = moved ? timestampOffset : consumerOffset
        result.push({ ...target, brokerOffset, consumerOffset, timestampOffset, rollbackOffset })
      }
    }
    return result
  }

  /** Gives a group the offsets that another has. CloneGroupOffsetCommand */
  async cloneGroupOffset(from: string, to: string, topic: string): Promise<void> {
    const { queues } = await this.consumeStats(from)
    if (queues.length === 0) return
    const { brokerDatas } = await this.topicRoute(topic)
    for (const { consumerOffset, ...queue } of queues) {
      const broker = brokerDatas.find(({ brokerName }) => brokerName === queue.brokerName)
      const address = broker && selectAddress(broker)
      if (address !== undefined && consumerOffset >= 0)
        await this.updateConsumeOffset(address, to, queue, consumerOffset)
    }
  }

  private async queueOffset(
    queue: MessageQueue,
    code: number,
    header: Record<string, string | number | boolean>,
    routeTopic?: string
  ): Promise<number> {
    const { topic, queueId, brokerName } = queue
    const address = await this.addressOf(queue, routeTopic)
    const answer = await this.ask(address, code, { topic, queueId, bname: brokerName, ...header })
    return Number(answer.extFields?.offset)
  }

  private async resetOffsetOfBroker(
    address: string,
    header: { topic: string; group: string; timestamp: number; isForce: boolean; queueId?: number; offset?: number }
  ): Promise<(MessageQueue & { offset: number })[]> {
    const all = { queueId: -1, offset: -1, ...header }
    const { body } = await this.ask(address, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, all)
    const { offsetTable } = parseObject<{ offsetTable: unknown }>(body)
    const entries: [unknown, unknown][] =
      offsetTable instanceof Map ? [...offsetTable] : Object.entries(offsetTable ?? {})
    return parseQueueTable(new Map(entries.map(([queue, offset]) => [queue, { offset: Number(offset) }])))
  }
}
