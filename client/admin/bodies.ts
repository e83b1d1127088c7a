import type { MessageQueue } from '../message.ts'

// What admin calls carry, under the names that RocketMQ's JSON gives them.

/** The brokers of one name: a master and its slaves. BrokerData */
export interface BrokerData {
  cluster: string
  brokerName: string
  /** Address by broker id; 0 is the master. */
  brokerAddrs: Map<number, string>
  enableActingMaster?: boolean
  zoneName?: string
}

/** A topic's queues on the brokers of one name. QueueData */
export interface QueueData {
  brokerName: string
  /** 4 read, 2 write. */
  perm: number
  readQueueNums: number
  topicSysFlag: number
  writeQueueNums: number
}

/** Which queues of a static topic a broker has. TopicQueueMappingInfo */
export interface TopicQueueMapping {
  bname: string
  currIdMap: Map<number, number>
  dirty: boolean
  epoch: number
  scope: string
  topic: string
  totalQueues: number
}

/** Where a topic lies, as a NameServer tells it. TopicRouteData */
export interface TopicRouteData {
  brokerDatas: BrokerData[]
  filterServerTable?: Record<string, string[]>
  orderTopicConf?: string
  queueDatas: QueueData[]
  /** Of static topics only: by broker name. */
  topicQueueMappingByBroker?: Record<string, TopicQueueMapping>
}

/** All brokers that a NameServer knows. ClusterInfo */
export interface ClusterInfo {
  brokerAddrTable: Record<string, BrokerData>
  /** Broker names by cluster. */
  clusterAddrTable: Record<string, string[]>
}

/** A topic on a broker. TopicConfig */
export interface TopicConfig {
  topicName: string
  readQueueNums: number
  writeQueueNums: number
  /** 4 read, 2 write. */
  perm: number
  topicFilterType: 'SINGLE_TAG' | 'MULTI_TAG'
  /** 1 unit, 2 unit subscription. */
  topicSysFlag: number
  order: boolean
  /** When read: by name. When written: `+name` sets one, `-name` removes it. */
  attributes: Record<string, string>
}

export const topicConfigDefaults: Readonly<Omit<TopicConfig, 'topicName'>> = Object.freeze({
  readQueueNums: 16,
  writeQueueNums: 16,
  perm: 6,
  topicFilterType: 'SINGLE_TAG',
  topicSysFlag: 0,
  order: false,
  attributes: Object.freeze({})
})

/** After how long a failed message is delivered again. GroupRetryPolicy */
export interface GroupRetryPolicy {
  type: 'CUSTOMIZED' | 'EXPONENTIAL'
  exponentialRetryPolicy?: { initial: number; max: number; multiplier: number } | null
  customizedRetryPolicy?: { next: number[] } | null
}

/** A consumer group on a broker. SubscriptionGroupConfig */
export interface SubscriptionGroupConfig {
  groupName: string
  consumeEnable: boolean
  consumeFromMinEnable: boolean
  consumeBroadcastEnable: boolean
  consumeMessageOrderly: boolean
  retryQueueNums: number
  retryMaxTimes: number
  groupRetryPolicy: GroupRetryPolicy
  brokerId: number
  whichBrokerWhenConsumeSlowly: number
  notifyConsumerIdsChangedEnable: boolean
  groupSysFlag: number
  consumeTimeoutMinute: number
  subscriptionDataSet?: { topic: string }[] | null
  attributes: Record<string, string>
}

export const groupConfigDefaults: Readonly<Omit<SubscriptionGroupConfig, 'groupName'>> = Object.freeze({
  consumeEnable: true,
  consumeFromMinEnable: true,
  consumeBroadcastEnable: true,
  consumeMessageOrderly: false,
  retryQueueNums: 1,
  retryMaxTimes: 16,
  groupRetryPolicy: Object.freeze({ type: 'CUSTOMIZED' }),
  brokerId: 0,
  whichBrokerWhenConsumeSlowly: 1,
  notifyConsumerIdsChangedEnable: true,
  groupSysFlag: 0,
  consumeTimeoutMinute: 15,
  attributes: Object.freeze({})
})

/** What a queue holds. TopicOffset */
export interface QueueOffsets extends MessageQueue {
  minOffset: number
  maxOffset: number
  /** ms since 1970; 0 when it holds nothing. */
  lastUpdateTimestamp: number
}

/** TopicStatsTable */
export interface TopicStats {
  /** In the order of broker names and queue ids. */
  queues: QueueOffsets[]
  topicPutTps: number
}

/** How far a group has come in a queue. OffsetWrapper */
export interface QueueProgress extends MessageQueue {
  brokerOffset: number
  consumerOffset: number
  /** How far it has been pulled; brokers before 5.0 do not tell. */
  pullOffset: number
  /** When the message consumed last was stored, ms since 1970; 0 when there is none. */
  lastTimestamp: number
}

/** ConsumeStats */
export interface ConsumeStats {
  consumeTps: number
  /** In the order of topics, broker names and queue ids. */
  queues: QueueProgress[]
}

/** Messages that the group has still to consume. ConsumeStats#computeTotalDiff */
export const lagOf = ({ queues }: ConsumeStats): number =>
  queues.reduce((sum, { brokerOffset, consumerOffset }) => sum + brokerOffset - consumerOffset, 0)

/** A group's progress as a whole broker reports it. ConsumeStatsList */
export interface BrokerConsumeStats {
  groups: { group: string; stats: ConsumeStats[] }[]
  totalDiff: number
}

/** A client's connection to a broker. Connection */
export interface ClientConnection {
  clientId: string
  clientAddr: string
  language: string
  version: number
}

/** What a group subscribes to. SubscriptionData */
export interface SubscriptionInfo {
  topic: string
  subString: string
  tagsSet: string[]
  expressionType?: string
  subVersion?: number
}

/** The members of a consumer group. ConsumerConnection */
export interface ConsumerConnection {
  connectionSet: ClientConnection[]
  subscriptionTable: Record<string, SubscriptionInfo>
  consumeType: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY' | 'CONSUME_POP'
  messageModel: 'BROADCASTING' | 'CLUSTERING'
  consumeFromWhere: string
}

/** ProducerInfo */
export interface ProducerInfo {
  clientId: string
  remoteIP: string
  language: string
  version: number
  lastUpdateTimestamp: number
}

/** What a consumer tells of itself. ConsumerRunningInfo */
export interface ConsumerRunningInfo {
  properties: Record<string, string>
  subscriptionSet: SubscriptionInfo[]
  mqTable: (MessageQueue & Record<string, unknown>)[]
  mqPopTable: (MessageQueue & Record<string, unknown>)[]
  statusTable: Record<string, Record<string, number>>
  userConsumerInfo: Record<string, string>
  jstack?: string
}

/** ConsumeMessageDirectlyResult */
export interface ConsumeDirectlyResult {
  order: boolean
  autoCommit: boolean
  consumeResult: string
  remark: string | null
  spentTimeMills: number
}

/** What became of a message in one group. MessageTrack */
export interface MessageTrack {
  consumerGroup: string
  trackType:
    | 'CONSUMED'
    | 'CONSUMED_BUT_FILTERED'
    | 'PULL'
    | 'NOT_CONSUME_YET'
    | 'NOT_ONLINE'
    | 'CONSUME_BROADCASTING'
    | 'UNKNOWN'
  exceptionDesc: string | null
}

/** One entry of a ConsumeQueue. ConsumeQueueData */
export interface ConsumeQueueEntry {
  physicOffset: number
  physicSize: number
  tagsCode: number | bigint
  extendDataJson: string | null
  bitMap: string | null
  eval: boolean
  msg: string | null
}

/** QueryConsumeQueueResponseBody */
export interface ConsumeQueueView {
  subscriptionData?: object
  filterData?: string
  queueData?: ConsumeQueueEntry[]
  maxQueueIndex: number
  minQueueIndex: number
}

/** BrokerStatsItem */
export interface StatsItem {
  sum: number
  tps: number
  avgpt: number
}

/** BrokerStatsData */
export interface BrokerStats {
  statsMinute: StatsItem
  statsHour: StatsItem
  statsDay: StatsItem
}

/** HARuntimeInfo */
export interface HaStatus {
  master: boolean
  masterCommitLogMaxOffset: number
  inSyncSlaveNums: number
  haConnectionInfo: {
    addr: string
    slaveAckOffset: number
    diff: number
    inSync: boolean
    transferredByteInSecond: number
    transferFromWhere: number
  }[]
  haClientRuntimeInfo: {
    masterAddr?: string
    transferredByteInSecond: number
    maxOffset: number
    lastReadTimestamp: number
    lastWriteTimestamp: number
    masterFlushOffset: number
  }
}

/** Which master wrote which part of a broker's log. EpochEntryCache */
export interface BrokerEpochs {
  clusterName: string
  brokerName: string
  brokerId: number
  epochList: { epoch: number; startOffset: number; endOffset: number }[]
  maxOffset: number
}

/** A member of a broker set. BrokerReplicasInfo.ReplicaIdentity */
export interface ReplicaIdentity {
  brokerName: string
  brokerId: number
  brokerAddress: string
  alive: boolean
  /** It has everything of the log below, and lacks so many bytes; RocketMQ's controllers do not say. */
  ackOffset?: number
  diff?: number
}

/** Who is master of a broker set, and who is in sync with it. BrokerReplicasInfo.ReplicasInfo */
export interface SyncState {
  masterBrokerId: number
  masterAddress: string
  masterEpoch: number
  syncStateSetEpoch: number
  inSyncReplicas: ReplicaIdentity[]
  notInSyncReplicas: ReplicaIdentity[]
}
