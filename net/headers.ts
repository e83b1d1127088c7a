import { header } from './header.ts'

// Custom headers by request code; each is named after Java's class without "Request".

const queue = { topic: 's!', queueId: 'i!' } as const
const groupQueue = { consumerGroup: 's!', ...queue } as const

// Sending: 10, 36; 310 and 320 travel with the short names a to n.
export const SendMessageHeader = header({
  producerGroup: 's!',
  topic: 's!',
  defaultTopic: 's!',
  defaultTopicQueueNums: 'i!',
  queueId: 'i!',
  sysFlag: 'i!',
  bornTimestamp: 'l!',
  flag: 'i!',
  properties: 's',
  reconsumeTimes: 'i',
  unitMode: 'b',
  maxReconsumeTimes: 'i',
  batch: 'b'
})
export const SendMessageV2Header = header({
  a: 's!',
  b: 's!',
  c: 's!',
  d: 'i!',
  e: 'i!',
  f: 'i!',
  g: 'l!',
  h: 'i!',
  i: 's',
  j: 'i',
  k: 'b',
  l: 'i',
  m: 'b',
  n: 's'
})
export const SendMessageResponseHeader = header({ msgId: 's!', queueId: 'i!', queueOffset: 'l!', transactionId: 's' })
export const RecallMessageHeader = header({ producerGroup: 's', topic: 's!', recallHandle: 's!' })
export const RecallMessageResponseHeader = header({ msgId: 's!' })
export const ConsumerSendMsgBackHeader = header({
  offset: 'l!',
  group: 's!',
  delayLevel: 'i!',
  originMsgId: 's',
  originTopic: 's',
  unitMode: 'b',
  maxReconsumeTimes: 'i'
})

// Pulling and offsets: 11, 361, 14, 15, 29 to 32.
export const PullMessageHeader = header({
  ...groupQueue,
  queueOffset: 'l!',
  maxMsgNums: 'i!',
  sysFlag: 'i!',
  commitOffset: 'l!',
  suspendTimeoutMillis: 'l!',
  subscription: 's',
  subVersion: 'l!',
  expressionType: 's',
  maxMsgBytes: 'i'
})
export const PullMessageResponseHeader = header({
  suggestWhichBrokerId: 'l!',
  nextBeginOffset: 'l!',
  minOffset: 'l!',
  maxOffset: 'l!',
  topicSysFlag: 'i',
  groupSysFlag: 'i',
  forbiddenType: 'i'
})
export const QueryConsumerOffsetHeader = header({ ...groupQueue, setZeroIfNotFound: 'b' })
export const UpdateConsumerOffsetHeader = header({ ...groupQueue, commitOffset: 'l!' })
export const QueueHeader = header(queue)
export const SearchOffsetHeader = header({ ...queue, timestamp: 'l!', boundaryType: 's' })
export const GetMaxOffsetHeader = header({ ...queue, committed: 'b' })
export const OffsetResponseHeader = header({ offset: 'l!' })
export const TimestampResponseHeader = header({ timestamp: 'l!' })

// Clients and groups: 35, 38, 40, 203, 204, 307, 309.
export const UnregisterClientHeader = header({ clientID: 's!', producerGroup: 's', consumerGroup: 's' })
export const ConsumerGroupHeader = header({ consumerGroup: 's!' })
export const ProducerGroupHeader = header({ producerGroup: 's!' })
export const ConsumerRunningInfoHeader = header({ consumerGroup: 's!', clientId: 's!', jstackEnable: 'b' })
export const ConsumeMessageDirectlyHeader = header({ consumerGroup: 's!', clientId: 's', msgId: 's', topic: 's' })

// Topics and groups: 17, 21, 215, 351, 200, 201, 207, 352, 353.
export const CreateTopicHeader = header({
  topic: 's!',
  defaultTopic: 's',
  readQueueNums: 'i!',
  writeQueueNums: 'i!',
  perm: 'i!',
  topicFilterType: 's',
  topicSysFlag: 'i',
  order: 'b',
  attributes: 's'
})
export const TopicHeader = header({ topic: 's!' })
export const GroupHeader = header({ group: 's!' })
export const DeleteSubscriptionGroupHeader = header({ groupName: 's!', cleanOffset: 'b', removeOffset: 'b' })
export const GroupForbiddenHeader = header({ group: 's!', topic: 's!', readable: 'b' })
const page = { dataVersion: 's' } as const
export const GetAllTopicConfigHeader = header({ ...page, topicSeq: 'i', maxTopicNum: 'i' })
export const GetAllGroupConfigHeader = header({ ...page, groupSeq: 'i', maxGroupNum: 'i' })

// Queries and statistics: 12, 33, 208, 222, 223, 303, 308, 314, 315, 317, 321, 343, 345.
export const QueryMessageHeader = header({
  topic: 's!',
  key: 's!',
  maxNum: 'i!',
  beginTimestamp: 'l!',
  endTimestamp: 'l!'
})
export const QueryMessageResponseHeader = header({ indexLastUpdateTimestamp: 'l!', indexLastUpdatePhyoffset: 'l!' })
export const ViewMessageHeader = header({ topic: 's', offset: 'l!' })
export const GetConsumeStatsHeader = header({ consumerGroup: 's!', topic: 's', topicList: 's' })
export const ResetOffsetHeader = header({
  topic: 's!',
  group: 's!',
  timestamp: 'l!',
  isForce: 'b',
  queueId: 'i',
  offset: 'l'
})
export const StatsDataHeader = header({ statsName: 's!', statsKey: 's!' })
export const GroupTopicHeader = header({ group: 's!', topic: 's' })
export const ConsumeTimeSpanHeader = header({ group: 's!', topic: 's!' })
export const CorrectionOffsetHeader = header({ topic: 's!', compareGroup: 's', filterGroups: 's' })
export const QueryConsumeQueueHeader = header({ ...queue, index: 'l!', count: 'i!', consumerGroup: 's' })
export const GetConsumerStatusHeader = header({ topic: 's!', group: 's!', clientAddr: 's' })
export const CloneGroupOffsetHeader = header({ srcGroup: 's!', destGroup: 's!', topic: 's', offline: 'b' })
export const BrokerConsumeStatsHeader = header({ isOrder: 'b' })

// NameServer: 100 to 105, 205, 216, 219, 224, 322, 327, 901, 904, 905.
export const KvConfigHeader = header({ namespace: 's!', key: 's!', value: 's!' })
export const KvKeyHeader = header({ namespace: 's!', key: 's!' })
export const NamespaceHeader = header({ namespace: 's!' })
export const ValueResponseHeader = header({ value: 's' })
export const RegisterBrokerHeader = header({
  brokerName: 's!',
  brokerAddr: 's!',
  clusterName: 's!',
  haServerAddr: 's',
  brokerId: 'l!',
  heartbeatTimeoutMillis: 'l',
  enableActingMaster: 'b',
  compressed: 'b',
  bodyCrc32: 'i'
})
export const RegisterBrokerResponseHeader = header({ haServerAddr: 's', masterAddr: 's' })
export const BrokerHeader = header({ brokerName: 's!', brokerAddr: 's!', clusterName: 's!', brokerId: 'l!' })
export const BrokerNameHeader = header({ brokerName: 's!' })
export const MemberGroupHeader = header({ clusterName: 's!', brokerName: 's!' })
export const DeleteTopicInNamesrvHeader = header({ topic: 's!', clusterName: 's' })
export const ClusterHeader = header({ cluster: 's!' })
export const GetRouteInfoHeader = header({ topic: 's!', acceptStandardJsonOnly: 'b' })
export const BrokerHeartbeatHeader = header({ brokerName: 's!', brokerAddr: 's!', clusterName: 's!' })
export const NotifyMinBrokerIdChangeHeader = header({
  minBrokerId: 'l',
  brokerName: 's',
  minBrokerAddr: 's',
  offlineBrokerAddr: 's',
  haBrokerAddr: 's'
})

// Replication: 28001, 28002.
export const JoinMasterHeader = header({
  clusterName: 's!',
  brokerName: 's!',
  brokerId: 'l!',
  address: 's!',
  maxOffset: 'l!'
})
export const JoinMasterResponseHeader = header({ startOffset: 'l!', minOffset: 'l!', maxOffset: 'l!' })
export const ReplicateHeader = header({ brokerId: 'l!', offset: 'l!', ackOffset: 'l!', maxBytes: 'i!', waitMs: 'i!' })
export const ReplicateResponseHeader = header({
  offset: 'l!',
  epoch: 'l!',
  epochStart: 'l!',
  confirmOffset: 'l!',
  maxOffset: 'l!',
  versions: 's!'
})
