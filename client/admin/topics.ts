import { formatBody, RequestCode } from '../../net/index.ts'
import { compareQueues, type MessageQueue } from '../message.ts'
import type { QueueOffsets, TopicConfig, TopicStats } from './bodies.ts'
import { BrokerAdmin } from './brokers.ts'
import { parseObject, parseQueueTable, topicHeader } from './codec.ts'
import { addressesOf, type ReadOptions } from './routes.ts'

/** Topics. */
export class TopicAdmin extends BrokerAdmin {
  /** Creates a topic on a broker, or changes it. MQAdminExt#createAndUpdateTopicConfig */
  async updateTopic(address: string, config: TopicConfig): Promise<void> {
    await this.ask(address, RequestCode.UPDATE_AND_CREATE_TOPIC, topicHeader(config))
  }

  /** Several at once; brokers from 5.3 on. MQAdminExt#createAndUpdateTopicConfigList */
  async updateTopics(address: string, configs: readonly TopicConfig[]): Promise<void> {
    const body = formatBody({ topicConfigList: configs })
    await this.ask(address, RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, {}, body)
  }

  /** A topic as a broker has it. Throws REFUSED with TOPIC_NOT_EXIST (17). MQAdminExt#examineTopicConfig */
  async topicConfig(address: string, topic: string): Promise<TopicConfig> {
    const { body } = await this.ask(address, RequestCode.GET_TOPIC_CONFIG, { topic, lo: true })
    return parseObject<TopicConfig>(body) as TopicConfig
  }

  /** Removes a topic from all brokers of a cluster, then from all NameServers. MQAdminExt#deleteTopic */
  async deleteTopic(topic: string, cluster: string): Promise<void> {
    await this.deleteTopicOfBrokers(topic, cluster)
    await this.deleteTopicOfNameServers(topic, cluster)
  }

  /** Removes a topic from all brokers of a cluster. MQAdminExt#deleteTopicInBroker */
  async deleteTopicOfBrokers(topic: string, cluster: string): Promise<void> {
    const addresses = (await this.clusterAddresses(cluster, { slaves: true })) ?? []
    for (const address of addresses) await this.ask(address, RequestCode.DELETE_TOPIC_IN_BROKER, { topic })
  }

  /** Removes a topic from all NameServers; of one cluster if it is named. MQAdminExt#deleteTopicInNameServer */
  async deleteTopicOfNameServers(topic: string, clusterName?: string): Promise<void> {
    for (const address of this.namesrvAddresses)
      await this.ask(address, RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic, clusterName })
  }

  /**
   * What a topic's queues hold, on all its brokers or on one. A topic without a route, as those of LMQ are, takes that of
   * another. MQAdminExt#examineTopicStats
   */
  async topicStats(topic: string, { address, routeTopic = topic }: ReadOptions = {}): Promise<TopicStats> {
    const addresses = address === undefined ? addressesOf(await this.topicRoute(routeTopic)) : [address]
    const total: TopicStats = { queues: [], topicPutTps: 0 }
    for (const each of addresses) {
      const { body } = await this.ask(each, RequestCode.GET_TOPIC_STATS_INFO, { topic })
      const { offsetTable, topicPutTps = 0 } = parseObject<{ offsetTable: unknown; topicPutTps: number }>(body)
      total.queues.push(...parseQueueTable<QueueOffsets>(offsetTable))
      total.topicPutTps += topicPutTps
    }
    total.queues.sort(compareQueues)
    return total
  }

  /** The queues of a topic that consumers read. MQPullConsumer#fetchSubscribeMessageQueues */
  async topicQueues(topic: string): Promise<MessageQueue[]> {
    const { queueDatas } = await this.topicRoute(topic)
    return queueDatas
      .filter(({ perm }) => perm & 4)
      .flatMap(({ brokerName, readQueueNums }) =>
        Array.from({ length: readQueueNums }, (_, queueId) => ({ topic, brokerName, queueId }))
      )
      .sort(compareQueues)
  }
}
