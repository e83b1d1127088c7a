import { type Log, silentLog } from '../net/index.ts'

/** How a NameServer works. Names follow RocketMQ's NamesrvConfig, units end them; namesrv.conf's keys are mapped in config.ts. */
export interface NameServerOptions {
  /** The address that it listens on. Default: 127.0.0.1; `0.0.0.0` opens it to the network. */
  listenHost: string
  /** 0 takes a free port. Default: 9876. */
  listenPort: number
  /** The file of the KV config, all that outlives a restart; null keeps it in memory. Default: null. */
  kvConfigPath: string | null
  /** The file that settings changed by a request are written to; null keeps them in memory. Default: null. */
  configStorePath: string | null
  /** How often brokers that have fallen silent are looked for. Default: 5,000. */
  scanNotActiveBrokerIntervalMs: number
  /** A connection on which nothing arrives for so long is closed. Default: 120,000. */
  serverChannelMaxIdleTimeMs: number
  /** Put the order conf of a topic into its route. Default: false. */
  orderMessageEnable: boolean
  /** Answer a registration with the order confs of all topics. Default: true. */
  returnOrderTopicConfigToBroker: boolean
  /** Whether topics can be listed by cluster and by unit. Default: true. */
  enableTopicList: boolean
  /** Whether all topics can be listed. Default: true. */
  enableAllTopicList: boolean
  /** Drop the topics of a broker that its registration does not name. Default: false. */
  deleteTopicWithBrokerRegistration: boolean
  /** Show the smallest slave of a group without master as its master, for reading. Default: false. */
  supportActingMaster: boolean
  /** Tell the members of a broker group when its smallest id changes. Default: false. */
  notifyMinBrokerIdChanged: boolean
  /** Refuse routes for the first `waitForServiceMs`. Default: false. */
  needWaitForService: boolean
  /** Default: 45,000. */
  waitForServiceMs: number
  /** Keys that UPDATE_NAMESRV_CONFIG refuses, separated by `;`. */
  configBlackList: string
  /** Values of keys that have no effect here, as the file gave them; GET_NAMESRV_CONFIG prints them back. Default: none. */
  inertSettings: Record<string, string>
  log: Log
}

export const nameServerDefaults: Readonly<NameServerOptions> = Object.freeze({
  listenHost: '127.0.0.1',
  listenPort: 9876,
  kvConfigPath: null,
  configStorePath: null,
  scanNotActiveBrokerIntervalMs: 5000,
  serverChannelMaxIdleTimeMs: 120_000,
  orderMessageEnable: false,
  returnOrderTopicConfigToBroker: true,
  enableTopicList: true,
  enableAllTopicList: true,
  deleteTopicWithBrokerRegistration: false,
  supportActingMaster: false,
  notifyMinBrokerIdChanged: false,
  needWaitForService: false,
  waitForServiceMs: 45_000,
  configBlackList: 'configBlackList;configStorePath;kvConfigPath',
  inertSettings: Object.freeze({}),
  log: silentLog
})
