import { dlqTopicOf, retryTopicOf } from '../../message/index.ts'
import { formatBody, RequestCode } from '../../net/index.ts'
import type { Message } from '../message.ts'
import type {
  ClientConnection,
  ConsumeDirectlyResult,
  ConsumerConnection,
  ConsumerRunningInfo,
  ProducerInfo,
  SubscriptionGroupConfig
} from './bodies.ts'
import { parseObject, parseQueueTable } from './codec.ts'
import { addressesOf, anyOf, notOnline } from './routes.ts'
import { TopicAdmin } from './topics.ts'

const GROUPS_PER_PAGE = 2000

/** Groups, and the clients that are in them. */
export class GroupAdmin extends TopicAdmin {
  /** Creates a consumer group on a broker, or changes it. MQAdminExt#createAndUpdateSubscriptionGroupConfig */
  async updateGroup(address: string, config: SubscriptionGroupConfig): Promise<void> {
    await this.ask(address, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, formatBody(config))
  }

  /** Several at once; brokers from 5.3 on. MQAdminExt#createAndUpdateSubscriptionGroupConfigList */
  async updateGroups(address: string, configs: readonly SubscriptionGroupConfig[]): Promise<void> {
    const body = formatBody({ groupConfigList: configs })
    await this.ask(address, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, {}, body)
  }

  /** All groups of a broker by name. MQAdminExt#getAllSubscriptionGroup */
  async groups(address: string): Promise<Map<string, SubscriptionGroupConfig>> {
    const groups = new Map<string, SubscriptionGroupConfig>()
    let dataVersion = ''
    for (;;) {
      const header = { groupSeq: groups.size, maxGroupNum: GROUPS_PER_PAGE, dataVersion }
      const answer = await this.ask(address, RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, header)
      const page = parseObject<{
        subscriptionGroupTable: Record<string, SubscriptionGroupConfig>
        dataVersion: object
      }>(answer.body)
      const version = formatBody(page.dataVersion)
      // Another version begins again at the first page.
      if (dataVersion !== '' && version !== dataVersion) groups.clear()
      dataVersion = version
      const before = groups.size
      for (const [name, config] of Object.entries(page.subscriptionGroupTable ?? {})) groups.set(name, config)
      if (groups.size >= Number(answer.extFields?.totalGroupNum ?? 0) || groups.size === before) return groups
    }
  }

  /** A group as a broker has it; undefined when it has none. MQAdminExt#examineSubscriptionGroupConfig */
  async groupConfig(address: string, group: string): Promise<SubscriptionGroupConfig | undefined> {
    return (await this.groups(address)).get(group)
  }

  /** Removes a group from a broker; its offsets too, if told so. MQAdminExt#deleteSubscriptionGroup */
  async deleteGroup(address: string, group: string, { cleanOffset = false } = {}): Promise<void> {
    await this.ask(address, RequestCode.DELETE_SUBSCRIPTIONGROUP, { groupName: group, cleanOffset })
  }

  /** Removes a group's retry and dead letter topics from a cluster. */
  async deleteGroupTopics(group: string, cluster: string): Promise<void> {
    for (const topic of [retryTopicOf(group), dlqTopicOf(group)]) {
      await this.deleteTopicOfBrokers(topic, cluster)
      await this.deleteTopicOfNameServers(topic)
      await this.deleteOrderConf(topic)
    }
  }

  /** How a group gets a topic's messages: by pulling or by popping. MQAdminExt#setMessageRequestMode */
  async setConsumeMode(
    address: string,
    topic: string,
    group: string,
    mode: 'PULL' | 'POP',
    popShareQueueNum = 0
  ): Promise<void> {
    const body = formatBody({ consumerGroup: group, mode, popShareQueueNum, topic })
    await this.ask(address, RequestCode.SET_MESSAGE_REQUEST_MODE, {}, body)
  }

  /**
   * The members of a consumer group. Throws GROUP_NOT_ONLINE when it has none, REFUSED with CONSUMER_NOT_ONLINE (206).
   * MQAdminExt#examineConsumerConnectionInfo
   */
  async consumerConnection(group: string, address?: string): Promise<ConsumerConnection> {
    const asked = address ?? anyOf(addressesOf(await this.topicRoute(retryTopicOf(group))))
    if (asked === undefined) throw notOnline(group)
    const { body } = await this.ask(asked, RequestCode.GET_CONSUMER_CONNECTION_LIST, { consumerGroup: group })
    const connection = parseObject<ConsumerConnection>(body) as ConsumerConnection
    if (!connection.connectionSet?.length) throw notOnline(group)
    connection.subscriptionTable ??= {}
    return connection
  }

  /** The members of a producer group that a topic's broker sees. MQAdminExt#examineProducerConnectionInfo */
  async producerConnection(group: string, topic: string): Promise<ClientConnection[]> {
    const address = anyOf(addressesOf(await this.topicRoute(topic)))
    if (address === undefined) throw notOnline(group)
    const { body } = await this.ask(address, RequestCode.GET_PRODUCER_CONNECTION_LIST, { producerGroup: group })
    const { connectionSet = [] } = parseObject<{ connectionSet: ClientConnection[] }>(body)
    if (connectionSet.length === 0) throw notOnline(group)
    return connectionSet
  }

  /** All producers of a broker by group. MQAdminExt#getAllProducerInfo */
  async producers(address: string): Promise<Record<string, ProducerInfo[]>> {
    const { body } = await this.ask(address, RequestCode.GET_ALL_PRODUCER_INFO)
    return parseObject<{ data: Record<string, ProducerInfo[]> }>(body).data ?? {}
  }

  /** What a consumer tells of itself. MQAdminExt#getConsumerRunningInfo */
  async consumerRunningInfo(group: string, clientId: string, { jstack = false } = {}): Promise<ConsumerRunningInfo> {
    const [address] = addressesOf(await this.topicRoute(retryTopicOf(group)))
    if (address === undefined) throw notOnline(group)
    const header = { consumerGroup: group, clientId, jstackEnable: jstack }
    const answer = await this.ask(address, RequestCode.GET_CONSUMER_RUNNING_INFO, header)
    const info = parseObject<ConsumerRunningInfo>(answer.body)
    return {
      properties: info.properties ?? {},
      subscriptionSet: info.subscriptionSet ?? [],
      mqTable: parseQueueTable(info.mqTable),
      mqPopTable: parseQueueTable(info.mqPopTable),
      statusTable: info.statusTable ?? {},
      userConsumerInfo: info.userConsumerInfo ?? {},
      ...(info.jstack === undefined ? {} : { jstack: info.jstack })
    }
  }

  /** Gives a message to a chosen consumer, now. MQAdminExt#consumeMessageDirectly */
  async consumeDirectly(group: string, clientId: string, message: Message): Promise<ConsumeDirectlyResult> {
    const header = { consumerGroup: group, clientId, topic: message.topic, msgId: message.offsetMessageId }
    const { body } = await this.ask(message.storeHost.text, RequestCode.CONSUME_MESSAGE_DIRECTLY, header)
    return { remark: null, ...parseObject<ConsumeDirectlyResult>(body) } as ConsumeDirectlyResult
  }

  /** The groups that subscribe to a topic, or have offsets in it. MQAdminExt#queryTopicConsumeByWho */
  async groupsOfTopic(topic: string): Promise<string[]> {
    const [address] = addressesOf(await this.topicRoute(topic))
    if (address === undefined) return []
    const { body } = await this.ask(address, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic })
    return parseObject<{ groupList: string[] }>(body).groupList ?? []
  }
}
