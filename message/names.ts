/** Names that RocketMQ reserves, and what a name may look like. TopicValidator, MixAll */

export const RETRY_PREFIX = '%RETRY%'
export const DLQ_PREFIX = '%DLQ%'
/** Topics and groups of light queues, into which messages of other topics are dispatched. MixAll#LMQ_PREFIX */
export const LMQ_PREFIX = '%LMQ%'
export const SYSTEM_TOPIC_PREFIX = 'rmq_sys_'
export const SYSTEM_GROUP_PREFIX = 'CID_RMQ_SYS_'
/** The topic whose route a producer takes for a topic that does not exist yet. */
export const DEFAULT_TOPIC = 'TBW102'
export const SCHEDULE_TOPIC = 'SCHEDULE_TOPIC_XXXX'
/** Where messages wait that are due at an arbitrary time. TimerMessageStore: TIMER_TOPIC */
export const TIMER_TOPIC = 'rmq_sys_wheel_timer'
export const HALF_TOPIC = 'RMQ_SYS_TRANS_HALF_TOPIC'
export const OP_HALF_TOPIC = 'RMQ_SYS_TRANS_OP_HALF_TOPIC'
const MAX_TOPIC_LENGTH = 127
const MAX_RETRY_TOPIC_LENGTH = 255
const MAX_GROUP_LENGTH = 120

/** Topics that every broker keeps for itself; those with a cluster's or a broker's name come on top. */
export const SYSTEM_TOPICS: ReadonlySet<string> = new Set([
  DEFAULT_TOPIC,
  SCHEDULE_TOPIC,
  HALF_TOPIC,
  OP_HALF_TOPIC,
  'BenchmarkTest',
  'TRANS_CHECK_MAX_TIME_TOPIC',
  'RMQ_SYS_TRACE_TOPIC',
  'SELF_TEST_TOPIC',
  'OFFSET_MOVED_EVENT',
  'CHECKPOINT_TOPIC',
  'RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC',
  'RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC'
])

/** Topics that clients may not send to. */
export const NOT_SENDABLE_TOPICS: ReadonlySet<string> = new Set([
  SCHEDULE_TOPIC,
  HALF_TOPIC,
  OP_HALF_TOPIC,
  'TRANS_CHECK_MAX_TIME_TOPIC',
  'SELF_TEST_TOPIC',
  'OFFSET_MOVED_EVENT'
])

const SYSTEM_GROUPS = new Set([
  'DEFAULT_CONSUMER',
  'DEFAULT_PRODUCER',
  'TOOLS_CONSUMER',
  'SCHEDULE_CONSUMER',
  'FILTERSRV_CONSUMER',
  '__MONITOR_CONSUMER',
  'CLIENT_INNER_PRODUCER',
  'SELF_TEST_P_GROUP',
  'SELF_TEST_C_GROUP',
  'CID_ONS-HTTP-PROXY',
  'CID_ONSAPI_PERMISSION',
  'CID_ONSAPI_OWNER',
  'CID_ONSAPI_PULL',
  'CID_RMQ_SYS_TRANS'
])

export const retryTopicOf = (group: string): string => RETRY_PREFIX + group
export const dlqTopicOf = (group: string): string => DLQ_PREFIX + group
export const isRetryTopic = (topic: string): boolean => topic.startsWith(RETRY_PREFIX)
export const isDlqTopic = (topic: string): boolean => topic.startsWith(DLQ_PREFIX)
export const isLmq = (name: string): boolean => name.startsWith(LMQ_PREFIX)
export const isSystemTopic = (topic: string): boolean =>
  SYSTEM_TOPICS.has(topic) || topic.startsWith(SYSTEM_TOPIC_PREFIX)
export const isSystemGroup = (group: string): boolean =>
  SYSTEM_GROUPS.has(group) || group.startsWith(SYSTEM_GROUP_PREFIX)

const LEGAL = /^[%|a-zA-Z0-9_-]+$/

/** Why a topic name is refused; null when it is fine. TopicValidator#validateTopic */
export function checkTopicName(topic: string | null | undefined): string | null {
  if (!topic?.trim()) return 'The specified topic is blank.'
  if (!LEGAL.test(topic))
    return `The specified topic: ${topic}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$`
  const limit = isRetryTopic(topic) || isDlqTopic(topic) ? MAX_RETRY_TOPIC_LENGTH : MAX_TOPIC_LENGTH
  if (topic.length > limit) return `The specified topic: ${topic}, is longer than topic max length: ${limit}`
  return null
}

/** Why a group name is refused; null when it is fine. Validators#checkGroup */
export function checkGroupName(group: string | null | undefined): string | null {
  if (!group?.trim()) return 'The specified group is blank.'
  if (!LEGAL.test(group))
    return `The specified group: ${group}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$`
  if (group.length > MAX_GROUP_LENGTH)
    return `The specified group: ${group}, is longer than group max length: ${MAX_GROUP_LENGTH}`
  return null
}
