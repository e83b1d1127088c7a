import {
  JSON_HEADER,
  NotifyMinBrokerIdChangeHeader,
  RemotingClient,
  RemotingServer,
  RequestCode,
  RequestDispatcher,
  request
} from '../net/index.ts'
import type { MinBrokerIdChange } from './broker-group.ts'
import { KvConfig, ORDER_TOPIC_NAMESPACE } from './kv-config.ts'
import { type NameServerOptions, nameServerDefaults } from './options.ts'
import { registerBrokerProcessors } from './processors/brokers.ts'
import { registerKvProcessors } from './processors/kv-config.ts'
import { registerSettingsProcessors } from './processors/settings.ts'
import { registerTopicProcessors } from './processors/topics.ts'
import { RouteTable } from './route-table.ts'

/** What the processors work on. */
export interface NameServerState {
  /** Read at every use: some change while the server runs. */
  readonly options: NameServerOptions
  readonly routes: RouteTable
  readonly kv: KvConfig
  startedMs: number
}

/**
 * Tells clients which brokers have which topics. Each NameServer stands alone: brokers register with all of them, and only
 * the KV config outlives a restart. NamesrvController
 */
export class NameServer {
  private readonly state: NameServerState
  private readonly server: RemotingServer
  /** Opened when first needed: for notices to brokers. */
  private readonly client: RemotingClient
  private expiryTimer: NodeJS.Timeout | null = null
  private listening = ''

  constructor(options: Partial<NameServerOptions> = {}) {
    const complete = { ...nameServerDefaults, ...options }
    const kv = new KvConfig(complete.kvConfigPath)
    const routes = new RouteTable(complete, topic => kv.get(ORDER_TOPIC_NAMESPACE, topic))
    routes.onMinBrokerIdChange = change => this.tellMinBrokerId(change)
    routes.onGroupAdded = () => this.watchSilence()
    this.state = { options: complete, routes, kv, startedMs: 0 }

    const { log, serverChannelMaxIdleTimeMs: idleTimeoutMs } = complete
    const dispatcher = new RequestDispatcher(log)
    registerBrokerProcessors(dispatcher, this.state)
    registerTopicProcessors(dispatcher, this.state)
    registerKvProcessors(dispatcher, this.state)
    registerSettingsProcessors(dispatcher, this.state)
    this.client = new RemotingClient({ log, serializeType: JSON_HEADER })
    this.server = new RemotingServer(dispatcher, { log, idleTimeoutMs })
    this.server.onConnection = connection => connection.onClose(() => routes.connectionClosed(connection))
  }

  /** `host:port`, once started. */
  get address(): string {
    return this.listening
  }

  /** Throws NamesrvError KV_FILE_BAD, NetError ADDRESS_IN_USE or LISTEN_FAILED. */
  async start(): Promise<void> {
    const { options, kv } = this.state
    await kv.load()
    const { host, port } = await this.server.listen(options.listenPort, options.listenHost)
    this.state.startedMs = Date.now()
    this.listening = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    options.log.info({ address: this.listening }, 'the NameServer listens')
  }

  /** Ends all connections, and lets what is being written reach the disk. */
  async close(): Promise<void> {
    if (this.expiryTimer !== null) clearInterval(this.expiryTimer)
    await this.server.close()
    await this.client.close()
    await this.state.kv.close()
  }

  /** One check for all brokers, and none while there are none. RouteInfoManager#scanNotActiveBroker */
  private watchSilence(): void {
    if (this.expiryTimer !== null) return
    const { options, routes } = this.state
    this.expiryTimer = setInterval(() => {
      routes.expire(Date.now())
      if (!routes.isEmpty) return
      clearInterval(this.expiryTimer!)
      this.expiryTimer = null
    }, options.scanNotActiveBrokerIntervalMs)
    this.expiryTimer.unref()
  }

  private tellMinBrokerId({ notify, ...change }: MinBrokerIdChange): void {
    const { log } = this.state.options
    for (const address of notify) {
      const notice = request(RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE, NotifyMinBrokerIdChangeHeader.encode(change))
      this.client
        .invokeOneWay(address, notice)
        .catch(error => log.warn({ address, reason: error.message }, 'a broker was not told of a new smallest id'))
    }
  }
}
