import { homedir } from 'node:os'
import { join } from 'node:path'
import { storeDefaults } from '../engine/index.ts'
import { NetError, readSettings, type Settings, settingsText, updateSettings } from '../net/index.ts'
import { inertSettings } from './inert-settings.ts'
import type { BrokerOptions } from './options.ts'
import { MAX_PIECE_BYTES } from './replication/java-frames.ts'

const PORT = [0, 65_535] as const
const MAX_INT = 2_147_483_647
/** Above 0, and in 32 bits. */
const POSITIVE = [1, MAX_INT] as const

const ADDRESSES = {
  pattern: /^(\s*[^\s;]+:\d{1,5}\s*(;|$))*\s*$/,
  text: 'addresses as host:port, separated by ;'
}
const ADDRESS = { pattern: /^\s*[^\s;]+:\d{1,5}\s*$/, text: 'an address as host:port' }
const LEVELS = {
  pattern: /^\s*\d+[smhd](\s+\d+[smhd])*\s*$/,
  text: 'numbers with s, m, h or d, separated by blanks'
}
const HOURS = {
  pattern: /^\s*([01]?\d|2[0-3])\s*(;\s*([01]?\d|2[0-3])\s*)*;?$/,
  text: 'hours of the day from 0 to 23, separated by ;'
}
const PERCENT = [0, 100] as const
const NAME = { pattern: /^[%|a-zA-Z0-9_-]+$/, text: 'letters, digits, %, |, - and _' }

/** All keys of broker.conf: BrokerConfig, MessageStoreConfig, NettyServerConfig, NettyClientConfig, AuthConfig. */
export const brokerSettings = {
  // Who and where the broker is.
  brokerName: { default: null, option: 'brokerName', form: NAME, note: 'Its name. Without it: the name of the host.' },
  brokerClusterName: {
    default: 'DefaultCluster',
    option: 'brokerClusterName',
    form: NAME,
    note: 'The cluster that it belongs to.'
  },
  brokerId: { default: 0, option: 'brokerId', note: '0 is a master, any other number a slave.' },
  brokerRole: {
    default: 'ASYNC_MASTER',
    option: 'brokerRole',
    words: ['ASYNC_MASTER', 'SYNC_MASTER', 'SLAVE'],
    note: 'Master or slave.'
  },
  bindAddress: {
    default: '0.0.0.0',
    option: 'listenHost',
    note: 'The address to listen on; 0.0.0.0 opens it to the network.'
  },
  listenPort: { default: 10_911, option: 'listenPort', range: PORT, note: 'The port; 0 takes a free one.' },
  brokerIP1: { default: null, option: 'brokerIP1', note: 'The address that clients and NameServers are told.' },
  brokerIP2: { default: null, option: 'brokerIP2', note: 'The address that slaves are told. Without it: brokerIP1.' },
  haListenPort: {
    default: 10_912,
    option: 'haListenPort',
    range: PORT,
    note: "The port for slaves of RocketMQ, which the NameServers know. Without it, or 0: listenPort + 1. Skylark's own slaves come to listenPort."
  },
  etcdEndpoints: {
    default: '',
    option: 'etcdEndpoints',
    note: 'Endpoints of an etcd, separated by ; or a comma, in which the brokers of one name elect their master. RocketMQ has no such key.'
  },
  failoverLeaseMs: {
    default: 2000,
    option: 'failoverLeaseMs',
    range: [2000, 60_000],
    note: 'How long etcd keeps a master that is not heard of, in ms. RocketMQ has no such key.'
  },
  namesrvAddr: {
    default: null,
    option: 'namesrvAddr',
    form: ADDRESSES,
    note: 'NameServers, separated by ;. Without it: what the environment variable NAMESRV_ADDR says.'
  },
  registerNameServerPeriod: {
    default: 30_000,
    option: 'registerNameServerPeriodMs',
    range: [10_000, 60_000],
    note: 'Between registrations, in ms.'
  },
  registerBrokerTimeoutMills: {
    default: 24_000,
    option: 'registerBrokerTimeoutMs',
    range: POSITIVE,
    dynamic: true,
    note: 'How long a NameServer may take to answer a registration, in ms.'
  },
  forceRegister: {
    default: true,
    option: 'forceRegister',
    dynamic: true,
    note: 'Register with all topics every time, rather than only with NameServers that do not have them as they are.'
  },
  serverChannelMaxIdleTimeSeconds: {
    default: 120,
    option: 'serverChannelMaxIdleTimeMs',
    scale: 1000,
    range: [1, 1_000_000],
    note: 'A connection on which nothing arrives for so many seconds is closed.'
  },
  shutdownWaitTimeSeconds: {
    default: 30,
    option: 'shutdownWaitTimeMs',
    scale: 1000,
    range: [0, 3600],
    note: 'How long a broker that was told to stop goes on serving clients that still come, at most, in seconds.'
  },
  enableShutdownGracefully: {
    default: false,
    option: 'enableShutdownGracefully',
    dynamic: true,
    note: 'Whether clients newer than 5.3.1 are answered GO_AWAY meanwhile.'
  },

  // What it allows.
  brokerPermission: {
    default: 6,
    option: 'brokerPermission',
    range: [0, 7],
    dynamic: true,
    note: 'What all topics allow here: 4 read, 2 write, 6 both.'
  },
  defaultTopicQueueNums: {
    default: 8,
    option: 'defaultTopicQueueNums',
    range: POSITIVE,
    note: 'How many queues a topic that a send creates has at most.'
  },
  autoCreateTopicEnable: {
    default: true,
    option: 'autoCreateTopicEnable',
    dynamic: true,
    note: 'Whether a send creates its topic.'
  },
  autoCreateSubscriptionGroup: {
    default: true,
    option: 'autoCreateSubscriptionGroup',
    dynamic: true,
    note: 'Whether a consumer creates its group.'
  },
  clusterTopicEnable: {
    default: true,
    option: 'clusterTopicEnable',
    note: 'Whether topics can be created after the one named as the cluster.'
  },
  brokerTopicEnable: {
    default: true,
    option: 'brokerTopicEnable',
    note: 'Whether topics can be created after the one named as the broker.'
  },
  traceTopicEnable: { default: false, option: 'traceTopicEnable', note: 'Whether there is a topic for traces.' },
  msgTraceTopicName: {
    default: 'RMQ_SYS_TRACE_TOPIC',
    option: 'msgTraceTopicName',
    form: NAME,
    note: 'The name of the topic for traces.'
  },
  rejectPullConsumerEnable: {
    default: false,
    option: 'rejectPullConsumerEnable',
    dynamic: true,
    note: 'Refuse consumers that pull of their own accord.'
  },
  litePullMessageEnable: {
    default: true,
    option: 'litePullMessageEnable',
    dynamic: true,
    note: 'Whether lite pull consumers are served.'
  },
  startAcceptSendRequestTimeStamp: {
    default: 0,
    option: 'startAcceptSendRequestTimestamp',
    range: [0, Number.MAX_SAFE_INTEGER],
    dynamic: true,
    note: 'Refuse sends before this time, in ms since 1970.'
  },
  validateSystemTopicWhenUpdateTopic: {
    default: true,
    option: 'validateSystemTopicWhenUpdateTopic',
    dynamic: true,
    note: 'Refuse changes of system topics.'
  },
  configBlackList: {
    default: 'configBlackList;brokerConfigPath',
    option: 'configBlackList',
    note: 'Keys that updateBrokerConfig refuses, separated by ;.'
  },
  brokerConfigPath: {
    default: null,
    option: 'brokerConfigPath',
    note: 'The file that updateBrokerConfig changes. Without it: the file that was read at the start.'
  },

  // Replication.
  slaveReadEnable: {
    default: false,
    option: 'slaveReadEnable',
    dynamic: true,
    note: 'Whether a slave serves consumers, and a master sends those that are far behind to it.'
  },
  inSyncReplicas: {
    default: 1,
    option: 'inSyncReplicas',
    range: POSITIVE,
    note: 'How many brokers, the master included, hold a message before a SYNC_MASTER acknowledges it.'
  },
  minInSyncReplicas: {
    default: 1,
    option: 'minInSyncReplicas',
    range: POSITIVE,
    note: 'With fewer brokers in sync, the master included, a SYNC_MASTER refuses messages.'
  },
  allAckInSyncStateSet: {
    default: false,
    option: 'allAckInSyncStateSet',
    note: 'Whether all replicas in sync must hold a message.'
  },
  haMaxTimeSlaveNotCatchup: {
    default: 15_000,
    option: 'haMaxTimeSlaveNotCatchupMs',
    range: POSITIVE,
    note: 'A replica that has not caught up for so long is not in sync, in ms.'
  },
  slaveTimeout: {
    default: 3000,
    option: 'store.slaveTimeoutMs',
    range: POSITIVE,
    note: 'How long a send waits for replicas, in ms.'
  },
  haMasterAddress: {
    default: null,
    option: 'masterAddress',
    form: ADDRESS,
    note: "On a slave: its master's host:port, the port that clients use. Without it: what the NameServers name."
  },
  haSendHeartbeatInterval: {
    default: 5000,
    option: 'haSendHeartbeatIntervalMs',
    range: POSITIVE,
    dynamic: true,
    note: "How often RocketMQ's masters and slaves are told that this broker is there while there is nothing else to tell, in ms."
  },
  haHousekeepingInterval: {
    default: 20_000,
    option: 'haHousekeepingIntervalMs',
    range: POSITIVE,
    dynamic: true,
    note: "A connection to RocketMQ's masters and slaves on which nothing arrives for so long is closed, in ms."
  },
  haTransferBatchSize: {
    default: 32_768,
    option: 'haTransferBatchSizeBytes',
    range: [1024, MAX_PIECE_BYTES],
    dynamic: true,
    note: 'How much of the log a slave of RocketMQ gets at once, in bytes.'
  },
  haFlowControlEnable: {
    default: false,
    option: 'haFlowControlEnable',
    dynamic: true,
    note: 'Whether replicas get no more than maxHaTransferByteInSecond.'
  },
  maxHaTransferByteInSecond: {
    default: 104_857_600,
    option: 'maxHaTransferBytesPerSecond',
    range: POSITIVE,
    dynamic: true,
    note: 'How many bytes a second a replica gets at most, with haFlowControlEnable.'
  },

  // How it serves.
  longPollingEnable: {
    default: true,
    option: 'longPollingEnable',
    dynamic: true,
    note: 'Hold a pull that finds nothing until something comes.'
  },
  shortPollingTimeMills: {
    default: 1000,
    option: 'shortPollingTimeMs',
    dynamic: true,
    note: 'How long such a pull is held without longPollingEnable, in ms.'
  },
  notifyConsumerIdsChangedEnable: {
    default: true,
    option: 'notifyConsumerIdsChangedEnable',
    dynamic: true,
    note: 'Tell the members of a group when one comes or goes.'
  },
  useServerSideResetOffset: {
    default: true,
    option: 'useServerSideResetOffset',
    dynamic: true,
    note: 'Reset offsets in the broker, rather than in each consumer.'
  },
  sendThreadPoolQueueCapacity: {
    default: 10_000,
    option: 'maxPendingSends',
    range: POSITIVE,
    dynamic: true,
    note: 'How many sends may wait for their acknowledgement; more are answered SYSTEM_BUSY.'
  },
  defaultQueryMaxNum: {
    default: 32,
    option: 'defaultQueryMaxNum',
    range: POSITIVE,
    dynamic: true,
    note: 'The longest answer to a query by unique key, in messages.'
  },
  regionId: { default: 'DefaultRegion', option: 'regionId', note: 'The region that messages and answers name.' },
  traceOn: { default: true, option: 'traceOn', note: 'Whether clients shall trace.' },
  flushConsumerOffsetInterval: {
    default: 5000,
    option: 'flushConsumerOffsetIntervalMs',
    range: POSITIVE,
    note: 'How soon changed consumer offsets are written, in ms.'
  },
  flushDelayOffsetInterval: {
    default: 10_000,
    option: 'flushDelayOffsetIntervalMs',
    range: POSITIVE,
    dynamic: true,
    note: 'How soon the progress of delay levels is written, in ms.'
  },

  // The store.
  storePathRootDir: {
    default: join('~', 'store'),
    option: 'storePathRootDir',
    note: 'Where messages and configuration lie.'
  },
  storePathCommitLog: {
    default: null,
    option: 'store.storePathCommitLog',
    form: { pattern: /^[^,]*$/, text: 'one folder' },
    note: 'Where the CommitLog lies. Without it: commitlog in storePathRootDir.'
  },
  mappedFileSizeCommitLog: {
    default: 1_073_741_824,
    option: 'store.mappedFileSizeCommitLogBytes',
    range: [1024, MAX_INT],
    note: 'The size of a CommitLog file in bytes; fixed once the store exists.'
  },
  mappedFileSizeConsumeQueue: {
    default: 6_000_000,
    option: 'store.mappedFileSizeConsumeQueueBytes',
    range: [20, MAX_INT],
    note: 'The size of a ConsumeQueue file in bytes, rounded up to a multiple of 20; fixed once the store exists.'
  },
  maxHashSlotNum: {
    default: 5_000_000,
    option: 'store.maxHashSlotNum',
    range: POSITIVE,
    note: 'Slots of an index file; fixed once the store exists.'
  },
  maxIndexNum: {
    default: 20_000_000,
    option: 'store.maxIndexNum',
    range: POSITIVE,
    note: 'Entries of an index file; fixed once the store exists.'
  },
  messageIndexEnable: {
    default: true,
    option: 'store.messageIndexEnable',
    note: 'Whether messages can be found by key.'
  },
  maxMessageSize: {
    default: 4_194_304,
    option: 'store.maxMessageSizeBytes',
    range: [1, 1_073_741_823],
    note: 'The largest body in bytes.'
  },
  flushDiskType: {
    default: 'ASYNC_FLUSH',
    option: 'store.flushDiskType',
    words: ['ASYNC_FLUSH', 'SYNC_FLUSH'],
    note: 'Acknowledge a message after it is written, or after it is flushed.'
  },
  flushIntervalCommitLog: {
    default: 500,
    option: 'store.flushIntervalCommitLogMs',
    range: POSITIVE,
    dynamic: true,
    note: 'The longest wait between flushes of the CommitLog under ASYNC_FLUSH, in ms.'
  },
  flushIntervalConsumeQueue: {
    default: 1000,
    option: 'store.flushIntervalConsumeQueueMs',
    range: POSITIVE,
    dynamic: true,
    note: 'How often queues and index are flushed and the checkpoint is written, in ms.'
  },
  osPageCacheBusyTimeOutMills: {
    default: 1000,
    option: 'store.osPageCacheBusyTimeoutMs',
    range: POSITIVE,
    dynamic: true,
    note: 'Sends are refused while a write of the CommitLog takes longer than this, in ms: too much waits for the disk.'
  },
  syncFlushTimeout: {
    default: 5000,
    option: 'store.syncFlushTimeoutMs',
    range: POSITIVE,
    dynamic: true,
    note: 'How long a send waits for its flush under SYNC_FLUSH, in ms.'
  },
  checkCRCOnRecover: {
    default: true,
    option: 'store.checkCrcOnRecover',
    note: 'Check bodies against their checksum while recovering.'
  },
  messageDelayLevel: {
    default: storeDefaults.messageDelayLevel,
    option: 'store.messageDelayLevel',
    form: LEVELS,
    note: 'The delay of each level.'
  },
  timerWheelEnable: {
    default: true,
    option: 'timerWheelEnable',
    note: 'Whether messages with an arbitrary delay are taken.'
  },
  timerPrecisionMs: {
    default: 1000,
    option: 'store.timerPrecisionMs',
    range: POSITIVE,
    note: 'How exactly they are timed, in ms; rounded down to 100, 200, 500 or 1000.'
  },
  timerMaxDelaySec: {
    default: 259_200,
    option: 'timerMaxDelaySec',
    range: POSITIVE,
    dynamic: true,
    note: 'The longest arbitrary delay, in seconds.'
  },
  timerRollWindowSlot: {
    default: 172_800,
    option: 'store.timerRollWindowSlot',
    range: [0, MAX_INT],
    note: 'What is due later than so many times timerPrecisionMs is put again before; fileReservedTime must not be shorter.'
  },
  mappedFileSizeTimerLog: {
    default: 104_857_600,
    option: 'store.mappedFileSizeTimerLogBytes',
    range: [1024, MAX_INT],
    note: 'Size of a file of the timer log, in bytes.'
  },
  timerCongestNumEachSlot: {
    default: MAX_INT,
    option: 'timerCongestNumEachSlot',
    range: POSITIVE,
    dynamic: true,
    note: 'With so many messages for one point in time, more are refused the more likely, the more there are.'
  },
  appendTopicForTimerDeleteKey: {
    default: false,
    option: 'appendTopicForTimerDeleteKey',
    dynamic: true,
    note: 'Whether TIMER_DEL_UNIQKEY, which deletes a message that is not yet due, is topic+UNIQ_KEY, as before 5.5, not UNIQ_KEY alone.'
  },
  recallMessageEnable: {
    default: false,
    option: 'recallMessageEnable',
    dynamic: true,
    note: 'Whether a message that is not yet due can be recalled by its handle.'
  },
  allowRecallWhenBrokerNotWriteable: {
    default: true,
    option: 'allowRecallWhenBrokerNotWriteable',
    dynamic: true,
    note: 'Whether that goes while brokerPermission forbids writing.'
  },
  maxTransferCountOnMessageInMemory: {
    default: 32,
    option: 'store.maxTransferCountOnMessageInMemory',
    range: POSITIVE,
    dynamic: true,
    note: 'How many recent messages one pull gives at most.'
  },
  maxTransferBytesOnMessageInMemory: {
    default: 262_144,
    option: 'store.maxTransferBytesOnMessageInMemory',
    range: POSITIVE,
    dynamic: true,
    note: 'How many bytes of recent messages one pull gives at most.'
  },
  maxTransferCountOnMessageInDisk: {
    default: 8,
    option: 'store.maxTransferCountOnMessageInDisk',
    range: POSITIVE,
    dynamic: true,
    note: 'How many old messages one pull gives at most.'
  },
  maxTransferBytesOnMessageInDisk: {
    default: 65_536,
    option: 'store.maxTransferBytesOnMessageInDisk',
    range: POSITIVE,
    dynamic: true,
    note: 'How many bytes of old messages one pull gives at most.'
  },
  coldReadRestRatio: {
    default: 3,
    option: 'store.coldReadRestRatio',
    range: [0, 1000],
    dynamic: true,
    note: 'While messages are stored, a read of old data waits so many times as long as the one before it took, so that senders do not notice, except while readers fall behind; 0: not at all. RocketMQ has no such key.'
  },
  maxFilterMessageSize: {
    default: 16_000,
    option: 'store.maxFilterMessageSizeBytes',
    range: [20, MAX_INT],
    note: 'How many bytes of ConsumeQueue units one pull looks at at most, 20 a message, so that one with a filter that rarely matches ends.'
  },
  accessMessageInMemoryMaxRatio: {
    default: 40,
    option: 'store.accessMessageInMemoryMaxRatio',
    range: PERCENT,
    note: "What counts as recent: so much of this machine's memory, in percent, counted from the newest message on."
  },
  mapperFileSizeBatchConsumeQueue: {
    default: 13_800_000,
    option: 'store.mappedFileSizeBatchConsumeQueueBytes',
    range: [46, MAX_INT],
    note: 'The size of a ConsumeQueue file of topics with batch queues in bytes, rounded up to a multiple of 46; fixed once the store exists.'
  },
  mappedFileSizeConsumeQueueExt: {
    default: 50_331_648,
    option: 'store.mappedFileSizeConsumeQueueExtBytes',
    range: [20, MAX_INT],
    note: "The size of RocketMQ's ConsumeQueue extension files, which are read where a store has them."
  },
  enableCompaction: {
    default: true,
    option: 'store.enableCompaction',
    note: 'Whether of topics with cleanup.policy=COMPACTION the newest message of each key is kept.'
  },
  compactionMappedFileSize: {
    default: 104_857_600,
    option: 'store.compactionMappedFileSizeBytes',
    range: [1024, 1_073_741_823],
    note: 'The size of a file of compacted messages in bytes, rounded to a multiple of compactionCqMappedFileSize; fixed once there is one.'
  },
  compactionCqMappedFileSize: {
    default: 10_485_760,
    option: 'store.compactionCqMappedFileSizeBytes',
    range: [92, 214_748_364],
    note: 'The size of a file that says where compacted messages lie, in bytes, rounded down to a multiple of 46; fixed once there is one.'
  },
  compactionScheduleInternal: {
    default: 900_000,
    option: 'store.compactionScheduleInternalMs',
    range: POSITIVE,
    note: 'How often topics are compacted, in ms.'
  },
  enabledAppendPropCRC: {
    default: false,
    option: 'store.enabledAppendPropCrc',
    note: 'Whether records carry a checksum of all of them, not of their body alone.'
  },
  enableLmq: {
    default: false,
    option: 'store.enableLmq',
    note: 'Whether there are light queues: topics named %LMQ%…, and a place in each for messages that name them in INNER_MULTI_DISPATCH.'
  },
  enableMultiDispatch: {
    default: false,
    option: 'store.enableMultiDispatch',
    note: 'Whether messages are listed in the light queues that they name.'
  },
  maxLmqConsumeQueueNum: {
    default: 20_000,
    option: 'store.maxLmqConsumeQueueNum',
    range: POSITIVE,
    note: 'How many light queues there may be.'
  },

  // How long it keeps files.
  fileReservedTime: {
    default: 72,
    option: 'store.fileReservedTimeHours',
    dynamic: true,
    note: 'How long CommitLog files are kept after they were last written, in hours.'
  },
  deleteWhen: {
    default: '04',
    option: 'store.deleteWhen',
    form: HOURS,
    dynamic: true,
    note: 'The hours of the day in which files that are old enough are deleted.'
  },
  deleteFileBatchMax: {
    default: 10,
    option: 'store.deleteFileBatchMax',
    range: POSITIVE,
    dynamic: true,
    note: 'How many CommitLog files one clean-up deletes at most.'
  },
  cleanResourceInterval: {
    default: 10_000,
    option: 'store.cleanResourceIntervalMs',
    range: POSITIVE,
    note: 'Between clean-ups, in ms.'
  },
  diskMaxUsedSpaceRatio: {
    default: 75,
    option: 'store.diskMaxUsedSpaceRatio',
    range: PERCENT,
    dynamic: true,
    note: 'Above this part of the disk, files that are old enough are deleted at any hour, in percent.'
  },
  diskSpaceCleanForciblyRatio: {
    default: 85,
    option: 'store.diskSpaceCleanForciblyRatio',
    range: PERCENT,
    dynamic: true,
    note: 'Above this, the oldest files are deleted whatever their age, in percent; taken as 30 to 85.'
  },
  diskSpaceWarningLevelRatio: {
    default: 90,
    option: 'store.diskSpaceWarningLevelRatio',
    range: PERCENT,
    dynamic: true,
    note: 'Above this, messages are refused too, in percent; taken as 35 to 90.'
  },
  cleanFileForciblyEnable: {
    default: true,
    option: 'store.cleanFileForciblyEnable',
    dynamic: true,
    note: 'Whether a full disk deletes files that are not old enough.'
  },
  ...inertSettings
} satisfies Settings

/** What a start needs: where to store is always known. */
export type ReadBrokerOptions = Partial<BrokerOptions> & Pick<BrokerOptions, 'storePathRootDir'>

/**
 * Reads broker.conf; without a path, what holds without one. Throws NetError CONFIG_UNREADABLE or CONFIG_BAD_VALUE.
 * BrokerStartup#buildBrokerController
 */
export function readBrokerConfig(path?: string): { options: ReadBrokerOptions; warnings: string[] } {
  const preset: ReadBrokerOptions = { storePathRootDir: join(homedir(), 'store') }
  const { NAMESRV_ADDR } = process.env
  if (NAMESRV_ADDR) preset.namesrvAddr = NAMESRV_ADDR
  if (path === undefined) return { options: preset, warnings: [] }

  const { options: read, warnings } = readSettings(brokerSettings, path)
  const options: ReadBrokerOptions = { ...preset, brokerConfigPath: path, ...read }
  const { brokerId = 0, brokerRole = 'ASYNC_MASTER', etcdEndpoints = '' } = options
  if (etcdEndpoints !== '') {
    if (brokerRole === 'SLAVE')
      throw new NetError('CONFIG_BAD_VALUE', {
        file: path,
        key: 'brokerRole',
        value: brokerRole,
        allowed: 'ASYNC_MASTER or SYNC_MASTER, what the broker is once elected, as etcdEndpoints is set'
      })
    if (brokerId <= 0)
      throw new NetError('CONFIG_BAD_VALUE', {
        file: path,
        key: 'brokerId',
        value: brokerId,
        allowed: 'a whole number above 0, another one for each broker of the name, as etcdEndpoints is set'
      })
    if (options.haListenPort)
      warnings.push(
        `${path}: haListenPort has no effect, as etcdEndpoints is set: slaves of RocketMQ cannot be elected`
      )
    return { options, warnings }
  }
  if (brokerRole === 'SLAVE' && brokerId === 0)
    throw new NetError('CONFIG_BAD_VALUE', {
      file: path,
      key: 'brokerId',
      value: brokerId,
      allowed: 'a whole number above 0, as brokerRole is SLAVE'
    })
  if (brokerRole !== 'SLAVE' && brokerId !== 0) {
    options.brokerId = 0
    warnings.push(`${path}: brokerId ${brokerId} is taken for 0, as brokerRole is ${brokerRole}`)
  }
  return { options, warnings }
}

/** What GET_BROKER_CONFIG answers: every key with the value that holds, as `key=value` lines. */
export function brokerConfigText(options: BrokerOptions): string {
  return settingsText(brokerSettings, {
    ...options,
    haListenPort: options.haListenPort || options.listenPort + 1,
    store: { ...storeDefaults, ...options.store }
  } as BrokerOptions)
}

/**
 * Changes options by the text of UPDATE_BROKER_CONFIG, all keys of it or none. Returns what was changed, and a remark on
 * keys that have no effect or are unknown. Throws NetError CONFIG_TEXT_BAD, CONFIG_BLACKLISTED, CONFIG_FIXED or
 * CONFIG_BAD_VALUE.
 */
export const updateBrokerConfig = (
  options: BrokerOptions,
  text: string
): { changed: Map<string, string>; remark: string | null } => updateSettings(brokerSettings, options, text)
