// Send.

export { Producer, type ProducerOptions, producerDefaults, type RawMessage, type SendOptions } from './producer.ts'
export { type MessageQueueSelector, selectByHash, selectByRandom } from './selectors.ts'
export type { SendResult, SendStatus } from './sending.ts'
export {
  type TransactionListener,
  TransactionProducer,
  type TransactionSendResult,
  type TransactionState
} from './transaction-producer.ts'

// Consume.

export {
  type AllocateStrategy,
  averagely,
  averagelyByCircle,
  byConfig,
  byMachineRoom,
  consistentHash
} from './allocate.ts'
export type { ConsumeContext, ConsumeResult, MessageListener } from './consume-service.ts'
export type { ConsumerOptions } from './consumer.ts'
export type { ConsumeFromWhere, MessageModel } from './heartbeat.ts'
export { PullConsumer, type PullConsumerOptions, pullConsumerDefaults } from './pull-consumer.ts'
export { PushConsumer, type PushConsumerOptions, pushConsumerDefaults } from './push-consumer.ts'

// Look after topics, groups, offsets and brokers.

export {
  type BrokerConsumeStats,
  type BrokerData,
  type BrokerEpochs,
  type BrokerStats,
  type ClientConnection,
  type ClusterInfo,
  type ConsumeDirectlyResult,
  type ConsumeQueueEntry,
  type ConsumeQueueView,
  type ConsumerConnection,
  type ConsumerRunningInfo,
  type ConsumeStats,
  type GroupRetryPolicy,
  groupConfigDefaults,
  type HaStatus,
  lagOf,
  type MessageTrack,
  type ProducerInfo,
  type QueueData,
  type QueueOffsets,
  type QueueProgress,
  type ReplicaIdentity,
  type StatsItem,
  type SubscriptionGroupConfig,
  type SubscriptionInfo,
  type SyncState,
  type TopicConfig,
  type TopicQueueMapping,
  type TopicRouteData,
  type TopicStats,
  topicConfigDefaults
} from './admin/bodies.ts'
export { selectAddress } from './admin/codec.ts'
export {
  Admin,
  type AdminOptions,
  type AdminPullResult,
  type PullOptions,
  type QueryOptions,
  type ReadOptions,
  type RollbackStats
} from './admin.ts'

// What all of them share: messages, options, routes, connections, errors.

export { ClientInstance, type ConsumerMember, CREATE_TOPIC_KEY, type ProducerMember } from './client-instance.ts'
export { ClientError, type ClientErrorCode, ClientErrors } from './errors.ts'
export { compareQueues, Message, type MessageQueue, type OutgoingMessage, queueKey } from './message.ts'
export { type ClientOptions, type Credentials, clientOptionDefaults } from './options.ts'
export type { BrokerRoute, QueueRoute, TopicRoute } from './route.ts'
