import { homedir } from 'node:os'
import { join } from 'node:path'
import { defaultOnly, readSettings, type Settings, settingsText, withoutEffect } from '../net/index.ts'
import type { NameServerOptions } from './options.ts'

const ONE_LOOP = 'one event loop serves all requests; there are no pools and queues to size'
const NODE_SOCKETS = 'Node.js and the kernel size the buffers of sockets'
const NO_CONTROLLER = 'there is no controller in the NameServer'

/** All keys of namesrv.conf: NamesrvConfig, NettyServerConfig. */
export const namesrvSettings = {
  listenPort: { default: 9876, option: 'listenPort', range: [0, 65_535], note: 'The port; 0 takes a free one.' },
  bindAddress: {
    default: '0.0.0.0',
    option: 'listenHost',
    note: 'The address to listen on; 0.0.0.0 opens it to the network.'
  },
  kvConfigPath: {
    default: join('~', 'namesrv', 'kvConfig.json'),
    option: 'kvConfigPath',
    note: 'The file of the KV config.'
  },
  configStorePath: {
    default: join('~', 'namesrv', 'namesrv.properties'),
    option: 'configStorePath',
    note: 'The file that updateNamesrvConfig changes. Without it: the file that was read at the start.'
  },
  scanNotActiveBrokerInterval: {
    default: 5000,
    option: 'scanNotActiveBrokerIntervalMs',
    range: [1, 2_147_483_647],
    note: 'Between looks for brokers that have fallen silent, in ms.'
  },
  serverChannelMaxIdleTimeSeconds: {
    default: 120,
    option: 'serverChannelMaxIdleTimeMs',
    scale: 1000,
    range: [1, 1_000_000],
    note: 'A connection on which nothing arrives for so many seconds is closed.'
  },
  orderMessageEnable: flag('orderMessageEnable', false, 'Put the order conf of a topic into its route.'),
  returnOrderTopicConfigToBroker: flag(
    'returnOrderTopicConfigToBroker',
    true,
    'Answer a registration with all order confs.'
  ),
  enableTopicList: flag('enableTopicList', true, 'Whether topics can be listed by cluster and by unit.'),
  enableAllTopicList: flag('enableAllTopicList', true, 'Whether all topics can be listed.'),
  deleteTopicWithBrokerRegistration: flag(
    'deleteTopicWithBrokerRegistration',
    false,
    'Drop the topics of a broker that its registration does not name.'
  ),
  supportActingMaster: flag('supportActingMaster', false, 'Show the smallest slave as master where there is none.'),
  notifyMinBrokerIdChanged: flag('notifyMinBrokerIdChanged', false, 'Tell brokers when the smallest id changes.'),
  needWaitForService: flag('needWaitForService', false, 'Refuse routes for the first waitSecondsForService.'),
  waitSecondsForService: {
    default: 45,
    option: 'waitForServiceMs',
    scale: 1000,
    range: [0, 1_000_000],
    dynamic: true,
    note: 'For how many seconds needWaitForService refuses routes.'
  },
  configBlackList: {
    default: 'configBlackList;configStorePath;kvConfigPath',
    option: 'configBlackList',
    note: 'Keys that updateNamesrvConfig refuses, separated by ;.'
  },
  ...withoutEffect(ONE_LOOP, {
    clientRequestThreadPoolNums: 8,
    clientRequestThreadPoolQueueCapacity: 50_000,
    defaultThreadPoolNums: 16,
    defaultThreadPoolQueueCapacity: 10_000,
    unRegisterBrokerQueueCapacity: 3000,
    serverAsyncSemaphoreValue: 64,
    serverCallbackExecutorThreads: 0,
    serverNettyWorkerGroupEnable: true,
    serverOnewaySemaphoreValue: 256,
    serverSelectorThreads: 3,
    serverWorkerThreads: 8
  }),
  ...withoutEffect(NODE_SOCKETS, {
    serverPooledByteBufAllocatorEnable: true,
    serverSocketBacklog: 1024,
    serverSocketRcvBufSize: 0,
    serverSocketSndBufSize: 0,
    useEpollNativeSelector: false,
    writeBufferHighWaterMark: 0,
    writeBufferLowWaterMark: 0
  }),
  ...defaultOnly(NO_CONTROLLER, { enableControllerInNamesrv: false }),
  ...withoutEffect('a NameServer asks no other product environment', { clusterTest: false, productEnvName: 'center' }),
  ...withoutEffect('the NameServer stops in order whenever it is asked to, without a time of grace', {
    enableShutdownGracefully: false,
    shutdownWaitTimeSeconds: 30
  }),
  ...withoutEffect('there is no home to read further files from', { rocketmqHome: '' })
} satisfies Settings

/**
 * Reads namesrv.conf; without a path, what holds without one. Throws NetError CONFIG_UNREADABLE or CONFIG_BAD_VALUE.
 */
export function readNameServerConfig(path?: string): { options: Partial<NameServerOptions>; warnings: string[] } {
  const preset: Partial<NameServerOptions> = { kvConfigPath: join(homedir(), 'namesrv', 'kvConfig.json') }
  if (path === undefined) return { options: preset, warnings: [] }
  const { options, warnings } = readSettings(namesrvSettings, path)
  return { options: { ...preset, configStorePath: path, ...options }, warnings }
}

/** What GET_NAMESRV_CONFIG answers. */
export const nameServerConfigText = (options: NameServerOptions): string => settingsText(namesrvSettings, options)

function flag(option: keyof NameServerOptions, preset: boolean, note: string) {
  return { default: preset, option, dynamic: true, note } as const
}
