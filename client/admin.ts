import { decodeOffsetMessageId, dlqTopicOf, PropertyName, retryTopicOf } from '../message/index.ts'
import {
  type ExtFields,
  formatBody,
  JSON_HEADER,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request
} from '../net/index.ts'
import {
  type BrokerConsumeStats,
  type BrokerEpochs,
  type BrokerStats,
  type ClientConnection,
  type ClusterInfo,
  type ConsumeDirectlyResult,
  type ConsumeQueueView,
  type ConsumerConnection,
  type ConsumerRunningInfo,
  type ConsumeStats,
  type HaStatus,
  type MessageTrack,
  type ProducerInfo,
  parseClusterInfo,
  parseObject,
  parsePropertiesText,
  parseQueueTable,
  parseRouteData,
  type QueueOffsets,
  type QueueProgress,
  type SubscriptionGroupConfig,
  type SyncState,
  selectAddress,
  type TopicConfig,
  type TopicRouteData,
  type TopicStats,
  topicHeader
} from './admin-bodies.ts'
import { ClientInstance, refusal } from './client-instance.ts'
import { ClientError } from './errors.ts'
import { compareQueues, decodeMessage, decodeMessages, type Message, type MessageQueue } from './message.ts'
import { type ClientOptions, withDefaults } from './options.ts'

/** What an Admin can be told beside every client's options. */
export type AdminOptions = ClientOptions

/** Which messages a query looks for, and in which time. */
export interface QueryOptions {
  /** Default: 64. */
  maxCount?: number | undefined
  /** Stored from here on, ms since 1970. Default: 0. */
  begin?: number | undefined
  /** Stored up to here, ms since 1970. Default: without end. */
  end?: number | undefined
  /** Only brokers of this cluster. Default: all. */
  cluster?: string | undefined
}

/** Whom a question about a topic goes to. */
export interface ReadOptions {
  /** Only this broker. Default: all that have the topic. */
  address?: string | undefined
  /** The topic whose route is taken. Default: the topic itself. */
  routeTopic?: string | undefined
}

/** What a pull asks for. */
export interface PullOptions {
  /** Tags, as `TagA || TagB`. Default: all. */
  expression?: string | undefined
  /** Pull as this group. Default: TOOLS_CONSUMER, which every broker knows. */
  group?: string | undefined
  /** The topic whose route is taken. Default: that of the queue. */
  routeTopic?: string | undefined
  /** How long the broker holds a pull that finds nothing, ms. Default: 0. */
  holdMs?: number | undefined
}

/** What a pull found, and where to go on. */
export interface AdminPullResult {
  status: 'FOUND' | 'NO_NEW_MSG' | 'NO_MATCHED_MSG' | 'OFFSET_ILLEGAL'
  messages: Message[]
  nextOffset: number
  minOffset: number
  maxOffset: number
}

/** How a queue's offset was set back by the way that works without the group's clients. RollbackStats */
export interface RollbackStats extends MessageQueue {
  brokerOffset: number
  consumerOffset: number
  timestampOffset: number
  rollbackOffset: number
}

/** The end of time for Java. */
const LONG_MAX = '9223372036854775807'
const ORDER_CONF = 'ORDER_TOPIC_CONFIG'
/** A group that every broker knows without being told. MixAll#TOOLS_CONSUMER_GROUP */
const TOOLS_GROUP = 'TOOLS_CONSUMER'
const PULL_MAY_WAIT = 2
const PULL_HAS_SUBSCRIPTION = 4
const PULL_WAIT_MS = 20_000
const MAX_INT = 0x7fff_ffff
const NOTHING = new Uint8Array(0)
const GROUPS_PER_PAGE = 2000
const PULL_STATUS: Readonly<Record<number, AdminPullResult['status']>> = {
  [ResponseCode.SUCCESS]: 'FOUND',
  [ResponseCode.PULL_NOT_FOUND]: 'NO_NEW_MSG',
  [ResponseCode.PULL_RETRY_IMMEDIATELY]: 'NO_MATCHED_MSG',
  [ResponseCode.PULL_OFFSET_MOVED]: 'OFFSET_ILLEGAL'
}

/** Fields as a header carries them; those that are undefined are left out. */
const fields = (values: Record<string, string | number | boolean | undefined>): ExtFields =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, String(value)])
  )

/**
 * Looks after topics, groups, offsets and brokers: all that mqadmin does, for programs. It is ready once made; addresses
 * are `host:port`. Every method throws ClientError REFUSED when a broker or NameServer refuses, NAMESRV_UNREACHABLE when no
 * NameServer answers, and NetError when a broker does not. MQAdminExt
 */
export class Admin {
  private readonly instance: ClientInstance
  private readonly timeoutMs: number

  /** Throws ClientError NO_NAMESRV or OPTION_BAD, NetError ADDRESS_BAD. */
  constructor(options: Partial<AdminOptions> = {}) {
    // JSON headers carry codes that binary ones cannot.
    this.instance = new ClientInstance({
      requestTimeoutMs: 5000,
      ...withDefaults<Partial<AdminOptions>>({ serializeType: JSON_HEADER }, options)
    })
    this.timeoutMs = this.instance.options.requestTimeoutMs
  }

  /** Ends all connections. */
  close(): Promise<void> {
    return this.instance.close()
  }

  get namesrvAddresses(): readonly string[] {
    return this.instance.namesrvAddresses
  }

  /** Sends any request to a broker or NameServer and expects SUCCESS: for codes that have no method here. */
  call(address: string, command: RemotingCommand, timeoutMs = this.timeoutMs): Promise<RemotingCommand> {
    return this.instance.call(address, command, timeoutMs)
  }

  // Clusters and routes.

  /** All brokers. MQAdminExt#examineBrokerClusterInfo */
  async clusterInfo(): Promise<ClusterInfo> {
    const { body } = await this.askNameServer(RequestCode.GET_BROKER_CLUSTER_INFO)
    return parseClusterInfo(body)
  }

  /** Addresses of a cluster's brokers; null when there is no such cluster. CommandUtil#fetchMasterAddrByClusterName */
  async clusterAddresses(cluster: string, { slaves = false } = {}): Promise<string[] | null> {
    const { brokerAddrTable, clusterAddrTable } = await this.clusterInfo()
    const names = clusterAddrTable[cluster]
    if (names === undefined) return null
    return names.flatMap(name =>
      [...(brokerAddrTable[name]?.brokerAddrs ?? [])].filter(([id]) => slaves || id === 0).map(([, address]) => address)
    )
  }

  /** Where a topic lies. Throws REFUSED with TOPIC_NOT_EXIST (17). MQAdminExt#examineTopicRouteInfo */
  async topicRoute(topic: string): Promise<TopicRouteData> {
    const { body } = await this.askNameServer(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
    return parseRouteData(body)
  }

  /** The clusters that hold a topic. MQAdminExt#getTopicClusterList */
  async topicClusters(topic: string): Promise<string[]> {
    const { clusterAddrTable } = await this.clusterInfo()
    const { brokerDatas } = await this.topicRoute(topic)
    const name = brokerDatas[0]?.brokerName ?? ''
    return Object.keys(clusterAddrTable).filter(cluster => clusterAddrTable[cluster]!.includes(name))
  }

  /** Every topic that the NameServer knows. MQAdminExt#fetchAllTopicList */
  async topics(): Promise<string[]> {
    const { body } = await this.askNameServer(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)
    return parseObject<{ topicList: string[] }>(body).topicList ?? []
  }

  /** The topics of one cluster. MQAdminExt#fetchTopicsByCLuster */
  async topicsOfCluster(cluster: string): Promise<string[]> {
    const { body } = await this.askNameServer(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster })
    return parseObject<{ topicList: string[] }>(body).topicList ?? []
  }

  // Topics.

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

  // Groups and their clients.

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
      await this.deleteKv(ORDER_CONF, topic)
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

  // Progress and offsets.

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

  // Messages.

  /** Messages with a key. Throws MESSAGE_NOT_FOUND when there are none. MQAdminExt#queryMessage */
  queryByKey(
    topic: string,
    key: string,
    options: QueryOptions & { type?: 'K' | 'T'; lastKey?: string | undefined } = {}
  ): Promise<Message[]> {
    const { type = 'K', lastKey, ...rest } = options
    return this.query(topic, key, rest, { indexType: type, lastKey, _UNIQUE_KEY_QUERY: false }, message =>
      type === 'T' ? message.tags === key : (message.keys?.split(' ').includes(key) ?? false)
    )
  }

  /** Messages with the id that their producer gave them. Throws MESSAGE_NOT_FOUND. MQAdminExt#queryMessageByUniqKey */
  queryByUniqueKey(topic: string, uniqueKey: string, options: QueryOptions = {}): Promise<Message[]> {
    return this.query(
      topic,
      uniqueKey,
      { maxCount: 32, ...options },
      { indexType: 'U', _UNIQUE_KEY_QUERY: true },
      message => message.messageId === uniqueKey
    )
  }

  /** The message at a position of a broker's CommitLog. MQClientAPIImpl#viewMessage */
  async viewMessage(address: string, topic: string, physicalOffset: number): Promise<Message> {
    const { body } = await this.ask(address, RequestCode.VIEW_MESSAGE_BY_ID, { topic, offset: physicalOffset })
    return decodeMessage(body ?? NOTHING, '')
  }

  /** A message by either kind of id. Throws MESSAGE_NOT_FOUND. MQAdminExt#queryMessage */
  async messageById(topic: string, id: string, options: QueryOptions = {}): Promise<Message> {
    try {
      const { host, physicalOffset } = decodeOffsetMessageId(id)
      return await this.viewMessage(host.text, topic, physicalOffset)
    } catch {
      // Its producer's id has as many digits, and names an address where nobody listens.
    }
    const begin = Date.now() - 3 * 24 * 3600 * 1000
    const [message] = await this.queryByUniqueKey(topic, id, { begin, ...options })
    return message!
  }

  /** Messages of a queue from an offset on, without a member of the group being needed. MQPullConsumer#pull */
  async pull(
    queue: MessageQueue,
    offset: number,
    maxCount: number,
    { expression = '*', group = TOOLS_GROUP, routeTopic, holdMs = 0 }: PullOptions = {}
  ): Promise<AdminPullResult> {
    const address = await this.addressOf(queue, routeTopic)
    const command = request(
      RequestCode.PULL_MESSAGE,
      fields({
        consumerGroup: group,
        topic: queue.topic,
        queueId: queue.queueId,
        queueOffset: offset,
        maxMsgNums: maxCount,
        sysFlag: PULL_HAS_SUBSCRIPTION | (holdMs > 0 ? PULL_MAY_WAIT : 0),
        commitOffset: 0,
        suspendTimeoutMillis: holdMs || PULL_WAIT_MS,
        subscription: expression,
        subVersion: 0,
        expressionType: 'TAG',
        maxMsgBytes: MAX_INT,
        bname: queue.brokerName
      })
    )
    const answer = await this.instance.invoke(address, command, this.timeoutMs + (holdMs || PULL_WAIT_MS))
    const status = PULL_STATUS[answer.code]
    if (status === undefined) throw refusal(address, command, answer)
    const { nextBeginOffset = '0', minOffset = '0', maxOffset = '0' } = answer.extFields ?? {}
    const messages = status === 'FOUND' ? await decodeMessages(answer.body ?? NOTHING, queue.brokerName) : []
    // PullAPIWrapper#processPullResult
    for (const { properties } of messages)
      properties.set(PropertyName.MIN_OFFSET, minOffset).set(PropertyName.MAX_OFFSET, maxOffset)
    return {
      status,
      messages,
      nextOffset: Number(nextBeginOffset),
      minOffset: Number(minOffset),
      maxOffset: Number(maxOffset)
    }
  }

  /** What became of a message in each group that consumes its topic. MQAdminExt#messageTrackDetail */
  async messageTracks(message: Message): Promise<MessageTrack[]> {
    const tracks: MessageTrack[] = []
    for (const group of await this.groupsOfTopic(message.topic)) tracks.push(await this.messageTrack(message, group))
    return tracks
  }

  /** The entries of a ConsumeQueue, and which of them a group would get. MQAdminExt#queryConsumeQueue */
  async queryConsumeQueue(
    address: string,
    topic: string,
    queueId: number,
    index: number,
    count: number,
    consumerGroup?: string
  ): Promise<ConsumeQueueView> {
    const header = { topic, queueId, index, count, consumerGroup }
    const { body } = await this.ask(address, RequestCode.QUERY_CONSUME_QUEUE, header)
    return { maxQueueIndex: 0, minQueueIndex: 0, ...parseObject<ConsumeQueueView>(body) }
  }

  // Brokers.

  /** A broker's figures by name. MQAdminExt#fetchBrokerRuntimeStats */
  async brokerRuntimeInfo(address: string): Promise<Record<string, string>> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_RUNTIME_INFO)
    return parseObject<{ table: Record<string, string> }>(body).table ?? {}
  }

  /** A broker's settings, in the order in which it tells them. MQAdminExt#getBrokerConfig */
  async brokerConfig(address: string): Promise<Map<string, string>> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_CONFIG)
    return parsePropertiesText(body)
  }

  /** Changes settings of a running broker. MQAdminExt#updateBrokerConfig */
  async updateBrokerConfig(address: string, settings: Readonly<Record<string, string>>): Promise<void> {
    await this.ask(address, RequestCode.UPDATE_BROKER_CONFIG, {}, formatProperties(settings))
  }

  /** How often something happened: TOPIC_PUT_NUMS of a topic, GROUP_GET_NUMS of `topic@group` and others. MQAdminExt#viewBrokerStatsData */
  async brokerStats(address: string, statsName: string, statsKey: string): Promise<BrokerStats> {
    const { body } = await this.ask(address, RequestCode.VIEW_BROKER_STATS_DATA, { statsName, statsKey })
    return parseObject<BrokerStats>(body) as BrokerStats
  }

  /** How far the slaves of a broker are. MQAdminExt#getBrokerHAStatus */
  async haStatus(address: string): Promise<HaStatus> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_HA_STATUS)
    return parseObject<HaStatus>(body) as HaStatus
  }

  /** Which master wrote which part of a broker's log. MQAdminExt#getBrokerEpochCache */
  async brokerEpochs(address: string): Promise<BrokerEpochs> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_EPOCH_CACHE)
    return parseObject<BrokerEpochs>(body) as BrokerEpochs
  }

  /**
   * Who is in sync in broker sets, by their names: asked of a controller of RocketMQ, or of any broker of a set, which is
   * one's own controller. Names that it does not look after are missing. MQAdminExt#getInSyncStateData
   */
  async syncState(address: string, brokerNames: readonly string[]): Promise<Record<string, SyncState>> {
    const { extFields } = await this.ask(address, RequestCode.CONTROLLER_GET_METADATA_INFO)
    const leader = extFields?.controllerLeaderAddress || address
    const { body } = await this.ask(leader, RequestCode.CONTROLLER_GET_SYNC_STATE_DATA, {}, formatBody(brokerNames))
    return parseObject<{ replicasInfoTable: Record<string, SyncState> }>(body).replicasInfoTable ?? {}
  }

  /** Drops ConsumeQueues whose messages are gone. MQAdminExt#cleanExpiredConsumerQueueByAddr */
  async cleanExpiredConsumeQueue(address: string): Promise<void> {
    await this.ask(address, RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE)
  }

  /** Drops ConsumeQueues of topics that no longer exist. MQAdminExt#cleanUnusedTopicByAddr */
  async cleanUnusedTopic(address: string): Promise<void> {
    await this.ask(address, RequestCode.CLEAN_UNUSED_TOPIC)
  }

  /** Removes CommitLog files that are past their time, now. MQAdminExt#deleteExpiredCommitLogByAddr */
  async deleteExpiredCommitLog(address: string): Promise<void> {
    await this.ask(address, RequestCode.DELETE_EXPIRED_COMMITLOG)
  }

  // NameServers.

  /** Sets a value on all NameServers. MQAdminExt#createAndUpdateKvConfig */
  async putKv(namespace: string, key: string, value: string): Promise<void> {
    for (const address of this.namesrvAddresses)
      await this.ask(address, RequestCode.PUT_KV_CONFIG, { namespace, key, value })
  }

  /** A value of the NameServer. Throws REFUSED with QUERY_NOT_FOUND (22). MQAdminExt#getKVConfig */
  async kv(namespace: string, key: string): Promise<string | null> {
    const answer = await this.askNameServer(RequestCode.GET_KV_CONFIG, { namespace, key })
    return answer.extFields?.value ?? null
  }

  /** All values of a namespace. MQAdminExt#getKVListByNamespace */
  async kvList(namespace: string): Promise<Record<string, string>> {
    const { body } = await this.askNameServer(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace })
    return parseObject<{ table: Record<string, string> }>(body).table ?? {}
  }

  /** Removes a value from all NameServers. MQAdminExt#deleteKvConfig */
  async deleteKv(namespace: string, key: string): Promise<void> {
    for (const address of this.namesrvAddresses)
      await this.ask(address, RequestCode.DELETE_KV_CONFIG, { namespace, key })
  }

  /** Which queues an ordered topic has: `broker-a:4;broker-b:4`. MQAdminExt#createOrUpdateOrderConf */
  putOrderConf(topic: string, conf: string): Promise<void> {
    return this.putKv(ORDER_CONF, topic, conf)
  }

  /** The same for one broker, `broker-a:4`; what is known of others stays. */
  async addOrderConf(topic: string, conf: string): Promise<void> {
    const nameOf = (part: string) => part.split(':', 1)[0]!
    const known = (await this.orderConf(topic).catch(() => null)) ?? ''
    const parts = known.split(';').filter(part => part !== '' && nameOf(part) !== nameOf(conf))
    await this.putOrderConf(topic, [...parts, conf].join(';'))
  }

  /** Throws REFUSED with QUERY_NOT_FOUND (22). */
  orderConf(topic: string): Promise<string | null> {
    return this.kv(ORDER_CONF, topic)
  }

  deleteOrderConf(topic: string): Promise<void> {
    return this.deleteKv(ORDER_CONF, topic)
  }

  /** Takes the write permission from all topics of a broker, on one NameServer; returns how many. MQAdminExt#wipeWritePermOfBroker */
  async wipeWritePerm(namesrvAddress: string, brokerName: string): Promise<number> {
    const answer = await this.ask(namesrvAddress, RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName })
    return Number(answer.extFields?.wipeTopicCount ?? 0)
  }

  /** Gives it back. MQAdminExt#addWritePermOfBroker */
  async addWritePerm(namesrvAddress: string, brokerName: string): Promise<number> {
    const answer = await this.ask(namesrvAddress, RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName })
    return Number(answer.extFields?.addTopicCount ?? 0)
  }

  /** A NameServer's settings. MQAdminExt#getNameServerConfig */
  async nameServerConfig(namesrvAddress: string): Promise<Map<string, string>> {
    const { body } = await this.ask(namesrvAddress, RequestCode.GET_NAMESRV_CONFIG)
    return parsePropertiesText(body)
  }

  /** Changes settings of a running NameServer. MQAdminExt#updateNameServerConfig */
  async updateNameServerConfig(namesrvAddress: string, settings: Readonly<Record<string, string>>): Promise<void> {
    await this.ask(namesrvAddress, RequestCode.UPDATE_NAMESRV_CONFIG, {}, formatProperties(settings))
  }

  // What the methods share.

  private ask(
    address: string,
    code: number,
    header: Record<string, string | number | boolean | undefined> = {},
    body?: string
  ): Promise<RemotingCommand> {
    return this.call(address, request(code, fields(header), body))
  }

  private askNameServer(code: number, header: Record<string, string> = {}): Promise<RemotingCommand> {
    return this.instance.callNameServer(request(code, header), this.timeoutMs)
  }

  /** The route of the first of these topics that has one. */
  private async firstRoute(topics: readonly string[]): Promise<TopicRouteData> {
    let failure: unknown
    for (const topic of topics) {
      try {
        return await this.topicRoute(topic)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  private async addressOf({ topic, brokerName }: MessageQueue, routeTopic = topic): Promise<string> {
    return (await this.instance.findReadAddress(routeTopic, brokerName)).address
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

  private async query(
    topic: string,
    key: string,
    { maxCount = 64, begin = 0, end, cluster }: QueryOptions,
    more: Record<string, string | boolean | undefined>,
    matches: (message: Message) => boolean
  ): Promise<Message[]> {
    const { brokerDatas } = await this.topicRoute(topic)
    const brokers = brokerDatas.filter(broker => cluster === undefined || broker.cluster === cluster)
    const header = { topic, key, maxNum: maxCount, beginTimestamp: begin, endTimestamp: end ?? LONG_MAX, ...more }
    const command = () => request(RequestCode.QUERY_MESSAGE, fields(header))
    const found: Message[] = []
    await Promise.all(
      brokers.map(async broker => {
        const address = selectAddress(broker)
        if (address === undefined) return
        // A broker that has nothing, or does not answer, must not hide what others have.
        const answer = await this.instance.invoke(address, command(), this.timeoutMs * 3).catch(() => null)
        if (answer?.code !== ResponseCode.SUCCESS || answer.body === null) return
        found.push(...(await decodeMessages(answer.body, broker.brokerName)).filter(matches))
      })
    )
    if (found.length === 0)
      throw new ClientError('MESSAGE_NOT_FOUND', { topic, key, responseCode: ResponseCode.NO_MESSAGE })
    return found
  }

  private async messageTrack(message: Message, group: string): Promise<MessageTrack> {
    const track: MessageTrack = { consumerGroup: group, trackType: 'UNKNOWN', exceptionDesc: null }
    try {
      const connection = await this.consumerConnection(group)
      if (connection.consumeType === 'CONSUME_ACTIVELY') track.trackType = 'PULL'
      else if (connection.consumeType === 'CONSUME_PASSIVELY') {
        track.trackType = (await this.isConsumed(message, group)) ? 'CONSUMED' : 'NOT_CONSUME_YET'
        const { tagsSet = [] } = connection.subscriptionTable[message.topic] ?? {}
        const wanted = tagsSet.length === 0 || tagsSet.includes('*') || tagsSet.includes(message.tags ?? '')
        if (track.trackType === 'CONSUMED' && !wanted) track.trackType = 'CONSUMED_BUT_FILTERED'
      }
    } catch (error) {
      const code = error instanceof ClientError ? error.responseCode : null
      if (code === ResponseCode.CONSUMER_NOT_ONLINE) track.trackType = 'NOT_ONLINE'
      if (code === ResponseCode.BROADCAST_CONSUMPTION) track.trackType = 'CONSUME_BROADCASTING'
      else {
        const reason = error instanceof ClientError ? (error.details.remark ?? error.message) : (error as Error).message
        track.exceptionDesc = code === null ? String(reason) : `CODE:${code} DESC:${reason}`
      }
    }
    return track
  }

  /** Whether a group's offset has passed a message. MQAdminExt#consumed */
  private async isConsumed(message: Message, group: string): Promise<boolean> {
    const { queues } = await this.consumeStats(group)
    const { brokerAddrTable } = await this.clusterInfo()
    return queues.some(
      queue =>
        queue.topic === message.topic &&
        queue.queueId === message.queueId &&
        brokerAddrTable[queue.brokerName]?.brokerAddrs.get(0) === message.storeHost.text &&
        queue.consumerOffset > message.queueOffset
    )
  }
}

/** One address per broker name: its master, or else a slave. */
const addressesOf = ({ brokerDatas }: TopicRouteData): string[] =>
  brokerDatas.map(selectAddress).filter(address => address !== undefined)

const anyOf = (addresses: readonly string[]): string | undefined =>
  addresses[Math.floor(Math.random() * addresses.length)]

const notOnline = (group: string): ClientError =>
  new ClientError('GROUP_NOT_ONLINE', { group, responseCode: ResponseCode.CONSUMER_NOT_ONLINE })

/** MixAll#properties2String */
const formatProperties = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
