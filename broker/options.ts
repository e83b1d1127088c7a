import type { StoreOptions } from '../engine/index.ts'
import { type Log, silentLog } from '../net/index.ts'

/** How a broker works. Names follow RocketMQ's BrokerConfig, units end them; broker.conf's keys are mapped in config.ts. */
export interface BrokerOptions {
  /** Where messages and configuration lie. Required. */
  storePathRootDir: string
  /** The address that it listens on. Default: 127.0.0.1; `0.0.0.0` opens it to the network. */
  listenHost: string
  /** 0 takes a free port. Default: 10911. */
  listenPort: number
  /** Whether it listens on `listenPort - 2` too, where RocketMQ's slaves and VIP channel clients come. Default: true. */
  vipPortEnable: boolean
  /** The address that clients and NameServers are told. Default: listenHost, or this host's first address for `0.0.0.0`. */
  brokerIP1: string | null
  /** The address that slaves are told. Default: brokerIP1. */
  brokerIP2: string | null
  /** Where slaves of RocketMQ connect; told to NameServers. Default: 0, which is listenPort + 1. */
  haListenPort: number
  /** How often RocketMQ's masters and slaves are told that this broker is there while there is nothing else. Default: 5,000. */
  haSendHeartbeatIntervalMs: number
  /** A connection to one of them on which nothing arrives for so long is closed. Default: 20,000. */
  haHousekeepingIntervalMs: number
  /** How much of the log one of its slaves gets at once. Default: 32,768. */
  haTransferBatchSizeBytes: number
  /** NameServers, separated by `;`. Default: none. */
  namesrvAddr: string
  brokerClusterName: string
  /** Default: this host's name. */
  brokerName: string
  /** 0 is a master. */
  brokerId: number
  brokerRole: 'ASYNC_MASTER' | 'SYNC_MASTER' | 'SLAVE'
  /** On a slave: its master's `host:port`. Default: what the NameServers name. */
  masterAddress: string | null
  /** Whether a slave serves consumers. Default: false. */
  slaveReadEnable: boolean
  /** How many brokers, the master included, hold a message before a SYNC_MASTER acknowledges it. Default: 1, as RocketMQ's: none but the master. */
  inSyncReplicas: number
  /** With fewer brokers in sync, the master included, a SYNC_MASTER takes no message. Default: 1. */
  minInSyncReplicas: number
  /** Whether all replicas in sync must hold a message. Default: false. */
  allAckInSyncStateSet: boolean
  /** A replica that has not caught up for so long is not in sync. Default: 15,000. */
  haMaxTimeSlaveNotCatchupMs: number
  /**
   * etcd's endpoints as `http://host:port`, separated by `,` or `;`: the brokers of one name elect their master there, and
   * `brokerRole` says what it is once elected. Default: none, roles stay as configured.
   */
  etcdEndpoints: string
  /** How long etcd keeps a master that is not heard of, at least 2000; it stops by itself after half of it. Default: 2,000. */
  failoverLeaseMs: number
  /** Whether replicas get at most so many bytes a second as maxHaTransferBytesPerSecond says. Default: false. */
  haFlowControlEnable: boolean
  /** How many bytes a second a replica gets at most, with haFlowControlEnable. Default: 100 MiB. */
  maxHaTransferBytesPerSecond: number
  /** What all topics allow here: 4 read, 2 write. Default: 6. */
  brokerPermission: number
  /** Queues of a topic that is created by a send, at most. Default: 8. */
  defaultTopicQueueNums: number
  autoCreateTopicEnable: boolean
  autoCreateSubscriptionGroup: boolean
  clusterTopicEnable: boolean
  brokerTopicEnable: boolean
  traceTopicEnable: boolean
  msgTraceTopicName: string
  /** Default: true; false answers consumers that find nothing after shortPollingTimeMs. */
  longPollingEnable: boolean
  shortPollingTimeMs: number
  notifyConsumerIdsChangedEnable: boolean
  litePullMessageEnable: boolean
  rejectPullConsumerEnable: boolean
  rejectTransactionMessage: boolean
  useServerSideResetOffset: boolean
  /** How often changed consumer offsets are written. Default: 1,000: a kill never loses more. */
  flushConsumerOffsetIntervalMs: number
  flushDelayOffsetIntervalMs: number
  /** Between registrations, 10,000 to 60,000. Default: 30,000. */
  registerNameServerPeriodMs: number
  registerBrokerTimeoutMs: number
  /** Register every time in full, even when nothing changed. Default: true, as RocketMQ's. */
  forceRegister: boolean
  /** How long a broker that leaves goes on serving clients whose routes still name it, at most. Default: 3,000. */
  shutdownWaitTimeMs: number
  /** Whether clients newer than 5.3.1 are sent away meanwhile (GO_AWAY) instead of being served. Default: false. */
  enableShutdownGracefully: boolean
  /** A connection on which nothing arrives for so long is closed. Default: 120,000. */
  serverChannelMaxIdleTimeMs: number
  /** How long a group's lock on a queue holds without renewal. Default: 60,000. RebalanceLockManager */
  lockMaxLiveTimeMs: number
  /** Sends that wait for their acknowledgement at once; more are answered SYSTEM_BUSY. Default: 100,000. */
  maxPendingSends: number
  /** Longest query answer, in messages. Default: 32. */
  defaultQueryMaxNum: number
  /** Sends are refused before this time, ms since 1970. Default: 0. */
  startAcceptSendRequestTimestamp: number
  /** The region that answers and messages name. Default: DefaultRegion. */
  regionId: string
  /** Whether clients shall trace. Default: true. */
  traceOn: boolean
  /** Keys that UPDATE_BROKER_CONFIG refuses, separated by `;`. */
  configBlackList: string
  /** The file that settings changed by UPDATE_BROKER_CONFIG are written to; null keeps them in memory. Default: null. */
  brokerConfigPath: string | null
  /** Values of keys that have no effect here, as the file gave them; GET_BROKER_CONFIG prints them back. Default: none. */
  inertSettings: Record<string, string>
  validateSystemTopicWhenUpdateTopic: boolean
  /** Whether messages with an arbitrary delay are taken. Default: true. */
  timerWheelEnable: boolean
  /** The longest arbitrary delay, in seconds. Default: 259,200 (three days). */
  timerMaxDelaySec: number
  /** With so many messages for one point in time, more are refused the more likely, the more there are; all with twice as many. Default: no limit. */
  timerCongestNumEachSlot: number
  /** Whether TIMER_DEL_UNIQKEY, which deletes a message that is not yet due, is `topic+UNIQ_KEY`, as before RocketMQ 5.5, not UNIQ_KEY alone. Default: false. */
  appendTopicForTimerDeleteKey: boolean
  /** Whether a message that is not yet due can be recalled by its handle. Default: false. */
  recallMessageEnable: boolean
  /** Whether that goes while brokerPermission forbids writing. Default: true. */
  allowRecallWhenBrokerNotWriteable: boolean
  /** Settings of the store; storeHost and messageDelayLevel included. */
  store: Partial<StoreOptions>
  log: Log
}

export const brokerDefaults: Readonly<Omit<BrokerOptions, 'storePathRootDir' | 'brokerName'>> = Object.freeze({
  listenHost: '127.0.0.1',
  listenPort: 10911,
  vipPortEnable: true,
  brokerIP1: null,
  brokerIP2: null,
  haListenPort: 0,
  haSendHeartbeatIntervalMs: 5000,
  haHousekeepingIntervalMs: 20_000,
  haTransferBatchSizeBytes: 32_768,
  namesrvAddr: '',
  brokerClusterName: 'DefaultCluster',
  brokerId: 0,
  brokerRole: 'ASYNC_MASTER',
  masterAddress: null,
  slaveReadEnable: false,
  inSyncReplicas: 1,
  minInSyncReplicas: 1,
  allAckInSyncStateSet: false,
  haMaxTimeSlaveNotCatchupMs: 15_000,
  etcdEndpoints: '',
  failoverLeaseMs: 2000,
  haFlowControlEnable: false,
  maxHaTransferBytesPerSecond: 100 * 1024 * 1024,
  brokerPermission: 6,
  defaultTopicQueueNums: 8,
  autoCreateTopicEnable: true,
  autoCreateSubscriptionGroup: true,
  clusterTopicEnable: true,
  brokerTopicEnable: true,
  traceTopicEnable: false,
  msgTraceTopicName: 'RMQ_SYS_TRACE_TOPIC',
  longPollingEnable: true,
  shortPollingTimeMs: 1000,
  notifyConsumerIdsChangedEnable: true,
  litePullMessageEnable: true,
  rejectPullConsumerEnable: false,
  rejectTransactionMessage: false,
  useServerSideResetOffset: true,
  flushConsumerOffsetIntervalMs: 1000,
  flushDelayOffsetIntervalMs: 1000,
  registerNameServerPeriodMs: 30_000,
  registerBrokerTimeoutMs: 24_000,
  forceRegister: true,
  shutdownWaitTimeMs: 3000,
  enableShutdownGracefully: false,
  serverChannelMaxIdleTimeMs: 120_000,
  lockMaxLiveTimeMs: 60_000,
  maxPendingSends: 100_000,
  defaultQueryMaxNum: 32,
  startAcceptSendRequestTimestamp: 0,
  regionId: 'DefaultRegion',
  traceOn: true,
  configBlackList: 'configBlackList;brokerConfigPath',
  brokerConfigPath: null,
  inertSettings: Object.freeze({}),
  validateSystemTopicWhenUpdateTopic: true,
  timerWheelEnable: true,
  timerMaxDelaySec: 259_200,
  timerCongestNumEachSlot: 2_147_483_647,
  appendTopicForTimerDeleteKey: false,
  recallMessageEnable: false,
  allowRecallWhenBrokerNotWriteable: true,
  store: Object.freeze({}),
  log: silentLog
})
