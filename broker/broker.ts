import { hostname } from 'node:os'
import { join } from 'node:path'
import {
  type Clock,
  type Files,
  type MessageStore,
  openStore,
  parseDelayLevels,
  realClock,
  realFiles,
  type StoreSeams,
  storeDefaults
} from '../engine/index.ts'
import { hostOf, SCHEDULE_TOPIC, TIMER_TOPIC } from '../message/index.ts'
import { type Log, RemotingClient, RemotingServer, RequestCode, RequestDispatcher, request } from '../net/index.ts'
import { ownAddress } from './addresses.ts'
import { ClientRegistry, type ConsumerGroup } from './client-registry.ts'
import { ConsumerOffsets } from './consumer-offsets.ts'
import { DelayService } from './delay.ts'
import { Failover } from './failover/failover.ts'
import { GroupTable } from './groups.ts'
import { goAway, quiet, settled } from './hand-over.ts'
import { HeldPulls } from './held-pulls.ts'
import { NameServers } from './name-servers.ts'
import { type BrokerOptions, brokerDefaults } from './options.ts'
import { registerClientRequests } from './processors/clients.ts'
import { registerGroupRequests } from './processors/groups.ts'
import { registerLockRequests } from './processors/locks.ts'
import { registerOffsetRequests } from './processors/offsets.ts'
import { PullProcessor } from './processors/pull.ts'
import { registerQueryRequests } from './processors/queries.ts'
import { registerRelayRequests } from './processors/relay.ts'
import { registerReplicaRequests } from './processors/replicas.ts'
import { registerResetRequests } from './processors/reset.ts'
import { SendProcessor } from './processors/send.ts'
import { registerSendBackRequest } from './processors/send-back.ts'
import { registerSettingsRequests } from './processors/settings.ts'
import { registerStatisticsRequests } from './processors/statistics.ts'
import { registerTimerRequests } from './processors/timer.ts'
import { registerTopicRequests } from './processors/topics.ts'
import { QueueLocks } from './queue-locks.ts'
import { beginAnew } from './replication/begin-anew.ts'
import { EpochFile } from './replication/epoch-file.ts'
import { JavaSlaves } from './replication/java-slaves.ts'
import { checkLogId } from './replication/log-id.ts'
import { ReplicationMaster } from './replication/master.ts'
import { ReplicationSlave } from './replication/slave.ts'
import { Scheduler } from './scheduler.ts'
import { Statistics } from './statistics.ts'
import { TimerService } from './timer.ts'
import { TopicTable } from './topics.ts'

/** Pulls are not served on the VIP port. BrokerController#initializeResources */
const NOT_ON_VIP_PORT = [RequestCode.PULL_MESSAGE, RequestCode.LITE_PULL_MESSAGE]
/** A client that is silent for so long is gone. ProducerManager, ConsumerManager: CHANNEL_EXPIRED_TIMEOUT */
const CLIENT_EXPIRY_MS = 120_000
const CLIENT_EXPIRY_CHECK_MS = 10_000
/** How long a stop waits for what is being stored. */
const UNDER_WAY_TIMEOUT_MS = 5000

/** What a caller may put in the place of disk and time, and who hears of recovery. */
export type BrokerSeams = Pick<StoreSeams, 'files' | 'clock' | 'onProgress'>

/** A broker: one store, one port, everything that clients ask of it. BrokerController */
export class Broker {
  readonly options: BrokerOptions
  readonly log: Log
  readonly files: Files
  readonly clock: Clock
  readonly dispatcher: RequestDispatcher
  readonly scheduler: Scheduler
  readonly topics: TopicTable
  readonly groups: GroupTable
  readonly offsets: ConsumerOffsets
  readonly clients = new ClientRegistry()
  readonly locks: QueueLocks
  readonly heldPulls = new HeldPulls()
  readonly stats: Statistics
  /** Calls NameServers and other brokers. */
  readonly caller: RemotingClient
  readonly bootTimestamp: number
  /** The delay of each level in ms; level n is at index n - 1. */
  readonly delaysMs: readonly number[]
  delay: DelayService
  /** Messages with an arbitrary delay; null without timerWheelEnable. */
  timer: TimerService | null = null

  /** Set by `start`; undefined when the store could not be opened. */
  store!: MessageStore
  nameServers!: NameServers
  stopping = false
  /** One of them, by the broker's role. */
  master: ReplicationMaster | null = null
  slave: ReplicationSlave | null = null
  /** Serves RocketMQ's slaves, of which the NameServers tell. */
  private javaSlaves: JavaSlaves | null = null
  /** Decides on the role, where an etcd is named. */
  failover: Failover | null = null

  private readonly seams: BrokerSeams
  private readonly sends: SendProcessor
  private readonly server: RemotingServer
  private vipServer: RemotingServer | null = null
  private vipDispatcher: RequestDispatcher | null = null
  private port = 0
  private haPort = 0
  private registered = false

  constructor(options: Partial<BrokerOptions> & Pick<BrokerOptions, 'storePathRootDir'>, seams: BrokerSeams = {}) {
    this.options = { brokerName: hostname(), ...brokerDefaults, ...options }
    this.seams = seams
    this.log = this.options.log
    this.files = seams.files ?? realFiles
    this.clock = seams.clock ?? realClock
    this.bootTimestamp = this.clock.now()
    this.dispatcher = new RequestDispatcher(this.log)
    this.scheduler = new Scheduler(this.log)
    this.delaysMs = parseDelayLevels(this.options.store.messageDelayLevel ?? storeDefaults.messageDelayLevel)
    this.locks = new QueueLocks(this.options.lockMaxLiveTimeMs)
    const configDir = join(this.options.storePathRootDir, 'config')
    this.topics = new TopicTable(this.options, this.files, configDir)
    this.groups = new GroupTable(this.options, this.files, configDir)
    this.offsets = new ConsumerOffsets(this.options, this.files, configDir)
    this.stats = new Statistics(this.options.brokerClusterName, () => this.clock.now())
    this.delay = new DelayService(this)
    this.caller = this.newCaller()
    this.sends = new SendProcessor(this)
    this.server = new RemotingServer(this.dispatcher, this.serverOptions)
  }

  private get serverOptions() {
    return { log: this.log, idleTimeoutMs: this.options.serverChannelMaxIdleTimeMs }
  }

  /** `host:port` that clients use. */
  get address(): string {
    return hostOf(this.host, this.port).text
  }

  /** The host that clients are told. */
  get host(): string {
    return this.options.brokerIP1 ?? ownAddress(this.options.listenHost)
  }

  /** `host:port` that Java slaves use. */
  get haAddress(): string {
    return hostOf(this.options.brokerIP2 ?? this.host, this.haPort || this.options.haListenPort || this.port + 1).text
  }

  /**
   * Opens the store, listens, and registers with the NameServers. Throws EngineError when the store cannot be opened,
   * NetError when the port is taken.
   */
  async start(): Promise<void> {
    const { options } = this
    const listen = async () => {
      this.port = (await this.server.listen(options.listenPort, options.listenHost)).port
    }
    try {
      // Records name the port, so one that is yet to be found comes first.
      if (options.listenPort === 0) await listen()
      else this.port = options.listenPort
      await this.open()
      if (options.listenPort !== 0) await listen()
      await this.listenVip()
    } catch (error) {
      await this.close()
      throw error
    }
    if (this.master !== null) this.deliverDelayed()
    this.registered = true
    await this.nameServers.registerAll()
    this.slave?.start()
    this.failover?.start()
    this.log.info({ address: this.address, brokerName: options.brokerName }, 'the broker serves')
  }

  private async open(): Promise<void> {
    const { options } = this
    // The store has to know which kind of queues a topic has.
    this.topics.load()
    if (options.etcdEndpoints !== '')
      await checkLogId(this.files, options.storePathRootDir, options.store.flushDiskType !== 'SYNC_FLUSH')
    await this.openStore()
    this.groups.load()
    this.offsets.load()
    this.delay.load()
    this.nameServers = new NameServers(options, this.caller, this.topics, this)
    this.topics.onChange = changed => {
      for (const topic of this.topics.compacted(changed.length > 0 ? changed : undefined))
        this.store.compactTopic(topic)
      return this.nameServers.registerChanged(changed)
    }
    this.clients.onConsumersChanged = group => this.notifyConsumers(group)
    this.register()
    const epochs = EpochFile.load(this.files, options.storePathRootDir)
    if (options.etcdEndpoints !== '') this.failover = new Failover(this)
    else if (options.brokerRole === 'SLAVE') this.slave = new ReplicationSlave(this, epochs)
    else {
      this.master = new ReplicationMaster(this, epochs)
      await this.master.start()
      if (options.namesrvAddr !== '') await this.listenHa(this.master)
    }
    this.schedule()
  }

  private async openStore(cutAt = Number.POSITIVE_INFINITY): Promise<void> {
    const { options } = this
    this.store = await openStore(
      options.storePathRootDir,
      { ...options.store, storeHost: hostOf(this.host, this.port) },
      {
        ...this.seams,
        files: this.files,
        log: this.log,
        cutAt,
        // Another master may have to take back what not enough of a set have.
        isReplicated: options.etcdEndpoints !== '' || options.brokerRole !== 'ASYNC_MASTER',
        compactedTopics: () => this.topics.compacted(),
        queueTypeOf: topic => this.topics.queueTypeOf(topic)
      }
    )
    this.store.onArrival = (topic, queueId, maxQueueOffset, tagsCode) => {
      this.heldPulls.arrived(topic, queueId, maxQueueOffset, tagsCode)
      if (topic === SCHEDULE_TOPIC) this.delay.arrived(queueId, tagsCode)
      else if (topic === TIMER_TOPIC) this.timer?.store.arrived()
    }
    this.timer = options.timerWheelEnable ? new TimerService(this) : null
    await this.timer?.open()
  }

  private deliverDelayed(): void {
    this.delay.start()
    this.timer?.start()
  }

  /** Opens the store again, cut off at an offset, or empty: a replica lets go of what its master does not know. */
  async reopenStore(cutAt: number | null): Promise<void> {
    await this.timer?.close()
    await this.store.close()
    if (cutAt === null) beginAnew(this.files, this.options)
    await this.openStore(cutAt ?? Number.POSITIVE_INFINITY)
  }

  /** Begins what only a master does. */
  serveAsMaster(epoch: number): void {
    // NameServers take the master with the higher one.
    this.topics.version.stateVersion = epoch
    this.deliverDelayed()
  }

  /** Ends what only a master does, and opens the store again, of which then the log's end is a whole record. */
  async retire(): Promise<void> {
    this.heldPulls.wakeAll()
    // Deliveries that wait for replicas hear of the end when the store closes.
    const delivered = Promise.all([this.delay.close(), this.timer?.stop()])
    await this.reopenStore(Number.POSITIVE_INFINITY)
    await delivered
    this.delay = new DelayService(this)
    this.delay.load()
  }

  /** Tells the NameServers what it is. */
  announce(): void {
    void this.nameServers.registerAll()
  }

  /** Connections to other brokers that end with whoever opened them. */
  newCaller(): RemotingClient {
    return new RemotingClient({ log: this.log, language: 0, serializeType: 0 })
  }

  /** Where a slave finds its master; null while nobody knows one. */
  masterAddress(): string | null {
    if (this.failover !== null) return this.failover.masterAddress
    return this.options.masterAddress ?? this.nameServers.masterAddress
  }

  /** Where a master serves RocketMQ's slaves; null when no NameServer says so. */
  masterHaAddress(): string | null {
    return this.options.masterAddress === null ? this.nameServers.masterHaAddress : null
  }

  /** States of the tables that a slave takes over: topics, groups, offsets, delay progress. */
  metadataVersions(): string {
    const tables = [this.topics, this.groups, this.offsets, this.delay]
    return [...tables, ...(this.timer === null ? [] : [this.timer.store, this.timer.metrics])]
      .map(({ version: { counter, stateVersion, timestamp } }) => `${counter}.${stateVersion}.${timestamp}`)
      .join(' ')
  }

  /** One table for all that is served; a file per request family fills it. */
  private register(): void {
    this.sends.register()
    new PullProcessor(this).register()
    registerOffsetRequests(this)
    registerClientRequests(this)
    registerSendBackRequest(this)
    registerLockRequests(this)
    registerTopicRequests(this)
    registerTimerRequests(this)
    registerGroupRequests(this)
    registerQueryRequests(this)
    registerStatisticsRequests(this)
    registerReplicaRequests(this)
    registerResetRequests(this)
    registerRelayRequests(this)
    registerSettingsRequests(this)
  }

  private schedule(): void {
    const { options, scheduler } = this
    if (options.namesrvAddr !== '')
      scheduler.every('register with NameServers', options.registerNameServerPeriodMs, () =>
        this.nameServers.keepRegistered()
      )
    scheduler.every('expire clients', CLIENT_EXPIRY_CHECK_MS, () => this.clients.expire(CLIENT_EXPIRY_MS))
    scheduler.every('delete old files', this.store.options.cleanResourceIntervalMs, async () => {
      if (this.failover?.isSwitching === true) return
      await this.store.cleanUp()
      await this.timer?.store.cleanUp()
    })
  }

  /** RocketMQ's slaves come to `haListenPort`. Throws NetError when one that was asked for is taken. */
  private async listenHa(master: ReplicationMaster): Promise<void> {
    const { haListenPort, listenPort } = this.options
    const javaSlaves = new JavaSlaves(this, master)
    try {
      this.haPort = await javaSlaves.listen(haListenPort || (listenPort === 0 ? 0 : listenPort + 1))
      this.javaSlaves = javaSlaves
    } catch (error) {
      if (haListenPort !== 0) throw error
      this.log.warn({ reason: (error as Error).message }, 'the HA port is not served')
    }
  }

  /** RocketMQ's slaves and old clients come to `listenPort - 2`. */
  private async listenVip(): Promise<void> {
    const { options } = this
    if (!options.vipPortEnable || options.listenPort <= 2) return
    this.vipDispatcher = this.dispatcher.without(NOT_ON_VIP_PORT)
    const server = new RemotingServer(this.vipDispatcher, this.serverOptions)
    try {
      await server.listen(options.listenPort - 2, options.listenHost)
      this.vipServer = server
    } catch (error) {
      this.log.warn({ reason: (error as Error).message }, 'the VIP port is not served')
    }
  }

  /** Tells a group's members that they have to share its queues anew. DefaultConsumerIdsChangeListener */
  private notifyConsumers(group: ConsumerGroup): void {
    if (!this.options.notifyConsumerIdsChangedEnable || group.messageModel === 'BROADCASTING') return
    if (this.groups.find(group.name)?.notifyConsumerIdsChangedEnable === false) return
    for (const { connection } of group.channels.values())
      connection.invokeOneWay(request(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, { consumerGroup: group.name }))
  }

  /**
   * Leaves the NameServers, and goes on serving the clients whose routes still name this broker, until none sends any more or
   * `shutdownWaitTimeMs` are over. `close` comes next. RemotingServer#shutdown with enableShutdownGracefully
   */
  async handOver(): Promise<void> {
    const { options, stats } = this
    if (this.stopping || !this.registered || this.nameServers.addresses.length === 0) return
    // Another one takes over as soon as this one has ended.
    if (this.failover !== null) return
    this.registered = false
    await this.nameServers.unregisterAll()
    if (this.slave !== null) return
    this.log.info({ timeoutMs: options.shutdownWaitTimeMs }, 'left the NameServers; waiting for clients to leave')
    if (options.enableShutdownGracefully)
      for (const dispatcher of [this.dispatcher, this.vipDispatcher])
        if (dispatcher !== null) dispatcher.intercept = goAway
    await quiet(() => stats.totalPuts.count, options.shutdownWaitTimeMs)
  }

  /** Leaves the NameServers, answers what is under way, makes everything durable, and lets go of the store. */
  async close(): Promise<void> {
    if (this.stopping) return
    this.stopping = true
    if (this.registered) await this.nameServers.unregisterAll()
    await this.failover?.stop()
    await settled(() => this.sends.pending === 0, UNDER_WAY_TIMEOUT_MS)
    await this.scheduler.stop()
    await this.delay.close()
    await this.timer?.stop()
    await this.slave?.close()
    await this.javaSlaves?.close()
    this.master?.close()
    this.heldPulls.close()
    await this.closeServers()
    this.stats.close()
    if (this.store !== undefined) {
      await Promise.all([this.topics.close(), this.groups.close(), this.offsets.close(), this.timer?.close()])
      await this.store.close()
    }
    await this.failover?.release()
    await this.caller.close()
  }

  private async closeServers(): Promise<void> {
    await Promise.all([this.server.close(), this.vipServer?.close()])
  }
}
