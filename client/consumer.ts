import {
  checkGroupName,
  checkTopicName,
  isRetryTopic,
  PropertyName,
  type SubscriptionData,
  subscriptionOf
} from '../message/index.ts'
import {
  formatBody,
  GetMaxOffsetHeader,
  type Log,
  MQ_VERSION,
  OffsetResponseHeader,
  QueueHeader,
  RequestCode,
  request,
  SearchOffsetHeader,
  versionName
} from '../net/index.ts'
import { type AllocateStrategy, averagely } from './allocate.ts'
import { BrokerOffsetStore } from './broker-offset-store.ts'
import { ClientInstance, type ConsumerMember } from './client-instance.ts'
import { ConsumeStats } from './consume-stats.ts'
import { ClientError } from './errors.ts'
import { defaultOffsetFolder, FileOffsetStore } from './file-offset-store.ts'
import type { ConsumeFromWhere, ConsumerData, MessageModel } from './heartbeat.ts'
import { compareQueues, type Message, type MessageQueue, queueKey } from './message.ts'
import { withNamespace, withoutNamespace } from './namespace.ts'
import type { OffsetStore } from './offset-store.ts'
import { type ClientOptions, checkInteger, clientOptionDefaults } from './options.ts'
import { ProcessQueue } from './process-queue.ts'
import { PullLoop, type PullOwner, type PullSettings } from './pull-loop.ts'
import { Rebalancer } from './rebalancer.ts'

/** What push and pull consumers can be told. DefaultMQPushConsumer, DefaultLitePullConsumer */
export interface ConsumerOptions extends ClientOptions {
  /** The group: its members share the queues. Required. */
  group: string
  /** CLUSTERING: each message goes to one member; BROADCASTING: to every one. Default: CLUSTERING. */
  messageModel: MessageModel
  /** Where a group begins that has no offset yet. Default: CONSUME_FROM_LAST_OFFSET. */
  consumeFromWhere: ConsumeFromWhere
  /** The time for CONSUME_FROM_TIMESTAMP; a number is ms since 1970. Default: 30 minutes before the start. */
  consumeTimestamp: Date | number | null
  /** How members share the queues; the same in all of them. Default: `averagely`. */
  allocateStrategy: AllocateStrategy
  /** Most messages that one pull asks for. Default: 32; pull consumers 10. */
  pullBatchSize: number
  /** A queue with more messages cached than this is not pulled. Default: 1,000. pullThresholdForQueue */
  maxCachedCountPerQueue: number
  /** The same in bytes of bodies. Default: 100 MiB. pullThresholdSizeForQueue */
  maxCachedBytesPerQueue: number
  /** Nor one whose newest cached message lies further than this ahead of the oldest. Default: 2,000. consumeConcurrentlyMaxSpan */
  maxCachedSpan: number
  /** How long a broker holds a pull that finds nothing, ms. Default: 15,000; pull consumers 20,000. */
  pullHoldMs: number
  /** Limit of one pull, ms; more than the hold. Default: 30,000. */
  pullTimeoutMs: number
  /** Between a failed pull and the next, ms. Default: 1,000. pullTimeDelayMillsWhenException */
  pullRetryMs: number
  /** How long after a change offsets are stored at the latest, ms. Default: 5,000. persistConsumerOffsetInterval */
  persistOffsetsIntervalMs: number
  /** How often queues are shared out again when nobody says that something changed, ms. Default: 20,000. */
  rebalanceIntervalMs: number
  /** Where broadcasting consumers keep their offsets. Default: `.rocketmq_offsets` in the home folder, as Java. */
  offsetFolder: string
}

export const consumerDefaults: Readonly<ConsumerOptions> = Object.freeze({
  ...clientOptionDefaults,
  group: '',
  messageModel: 'CLUSTERING',
  consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
  consumeTimestamp: null,
  allocateStrategy: averagely,
  pullBatchSize: 32,
  maxCachedCountPerQueue: 1000,
  maxCachedBytesPerQueue: 100 * 1024 * 1024,
  maxCachedSpan: 2000,
  pullHoldMs: 15_000,
  pullTimeoutMs: 30_000,
  pullRetryMs: 1000,
  persistOffsetsIntervalMs: 5000,
  rebalanceIntervalMs: 20_000,
  offsetFolder: defaultOffsetFolder()
})

const MINUTE_MS = 60_000
const DEFAULT_CONSUMER_GROUP = 'DEFAULT_CONSUMER'
/** A pull that comes before the heartbeat that tells of its subscription is refused, so it waits, but not for a dead broker. */
const HEARTBEAT_WAIT_MS = 500

/** A queue that is ours: what is cached of it, and the pulls that fill the cache. */
export interface Assigned {
  readonly queue: MessageQueue
  readonly cache: ProcessQueue
  readonly loop: PullLoop
  /** Runs while the offset to begin anew from is stored. */
  restarting: Promise<void> | null
  /** Runs while it is given up. */
  releasing: Promise<boolean> | null
}

type State = 'not started' | 'starting' | 'running' | 'closing' | 'closed'

/** What push and pull consumers share: membership of the group, its queues, their offsets and pulls. */
export abstract class Consumer implements ConsumerMember, PullOwner {
  /** As brokers know it. */
  readonly group: string
  readonly instance: ClientInstance
  abstract readonly pullSettings: PullSettings

  protected abstract readonly kind: string
  protected readonly options: Readonly<ConsumerOptions>
  protected readonly log: Log
  protected readonly offsets: OffsetStore
  protected readonly rebalancer: Rebalancer
  protected readonly stats = new ConsumeStats()
  /** By topic, as brokers know it. */
  protected readonly subscriptions = new Map<string, SubscriptionData>()
  /** By queueKey. */
  protected readonly assigned = new Map<string, Assigned>()
  protected state: State = 'not started'
  private readonly startedMs = Date.now()
  private paused = false

  /** Throws ClientError GROUP_BAD, OPTION_BAD, NO_NAMESRV. */
  constructor(options: ConsumerOptions) {
    const reason =
      options.group === DEFAULT_CONSUMER_GROUP ? `${DEFAULT_CONSUMER_GROUP} is reserved` : checkGroupName(options.group)
    if (reason !== null) throw new ClientError('GROUP_BAD', { reason })
    checkInteger('pullBatchSize', options.pullBatchSize, 1, 1024)
    checkInteger('maxCachedCountPerQueue', options.maxCachedCountPerQueue, 1, 65535)
    checkInteger('maxCachedBytesPerQueue', options.maxCachedBytesPerQueue, 1)
    checkInteger('maxCachedSpan', options.maxCachedSpan, 1, 65535)
    checkInteger('pullHoldMs', options.pullHoldMs, 0)
    checkInteger('pullTimeoutMs', options.pullTimeoutMs, options.pullHoldMs + 1)
    checkInteger('pullRetryMs', options.pullRetryMs, 0)
    checkInteger('persistOffsetsIntervalMs', options.persistOffsetsIntervalMs, 1)
    checkInteger('rebalanceIntervalMs', options.rebalanceIntervalMs, 1)
    this.options = options
    this.log = options.log
    this.instance = new ClientInstance(options, options.messageModel === 'BROADCASTING')
    this.group = withNamespace(options.namespace, options.group)
    this.offsets = this.broadcasting
      ? new FileOffsetStore(
          options.offsetFolder,
          this.instance.clientId,
          this.group,
          options.persistOffsetsIntervalMs,
          this.log
        )
      : new BrokerOffsetStore(this.instance, this.group, options.persistOffsetsIntervalMs)
    this.rebalancer = new Rebalancer(() => this.rebalance(), options.rebalanceIntervalMs, this.log)
  }

  get clientId(): string {
    return this.instance.clientId
  }

  get broadcasting(): boolean {
    return this.options.messageModel === 'BROADCASTING'
  }

  get running(): boolean {
    return this.state === 'running'
  }

  /**
   * Subscribes to messages of a topic: those with one of the tags in `TagA || TagB`, all with `*`, or with type SQL92
   * those whose properties meet a condition. All members of a group subscribe to the same. Also while it runs.
   * Throws MessageError BAD_SUBSCRIPTION, ClientError OPTION_BAD.
   */
  subscribe(topic: string, expression = '*', type: 'TAG' | 'SQL92' = 'TAG'): void {
    const reason = checkTopicName(topic)
    if (reason !== null) throw new ClientError('OPTION_BAD', { option: 'topic', value: `"${topic}"`, reason })
    const name = withNamespace(this.options.namespace, topic)
    this.subscriptions.set(name, subscriptionOf(name, expression, type))
    this.subscriptionsChanged()
  }

  /** Gives a topic's queues to the other members. */
  unsubscribe(topic: string): void {
    this.subscriptions.delete(withNamespace(this.options.namespace, topic))
    this.subscriptionsChanged()
  }

  /** The queues that this client has now, in order. */
  assignment(): MessageQueue[] {
    return [...this.assigned.values()].map(({ queue }) => queue).sort(compareQueues)
  }

  /** Stops pulling until `resume`; what is cached is still consumed. */
  suspend(): void {
    this.paused = true
  }

  /** Pulls again. */
  resume(): void {
    this.paused = false
    for (const { loop } of this.assigned.values()) loop.wake()
  }

  /** The queues of a topic that can be read. Throws ClientError ROUTE_NOT_FOUND. fetchSubscribeMessageQueues */
  async fetchQueues(topic: string): Promise<MessageQueue[]> {
    const route = await this.instance.route(withNamespace(this.options.namespace, topic))
    return [...route.subscribeQueues]
  }

  /** The first offset that a queue still holds. Throws ClientError, NetError. */
  minOffset(queue: MessageQueue): Promise<number> {
    return this.askOffset(queue, RequestCode.GET_MIN_OFFSET, QueueHeader.encode(queue))
  }

  /** The offset that a queue's next message will get. Throws ClientError, NetError. */
  maxOffset(queue: MessageQueue): Promise<number> {
    return this.askOffset(queue, RequestCode.GET_MAX_OFFSET, GetMaxOffsetHeader.encode({ ...queue, committed: true }))
  }

  /** The offset of the first message stored at a time or after it. Throws ClientError, NetError. searchOffset */
  offsetForTimestamp(queue: MessageQueue, time: Date | number): Promise<number> {
    return this.askOffset(
      queue,
      RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,
      SearchOffsetHeader.encode({ ...queue, timestamp: Number(time), boundaryType: 'LOWER' })
    )
  }

  // ConsumerMember: what the instance asks.

  topics(): Iterable<string> {
    return this.subscriptions.keys()
  }

  onRouteChanged(): void {
    this.rebalancer.trigger()
  }

  onConsumersChanged(): void {
    this.rebalancer.trigger()
  }

  abstract consumerData(): ConsumerData
  abstract consumeDirectly(message: Message): Promise<object>

  /** MQClientInstance#resetOffset */
  resetOffsets(topic: string, offsets: readonly (readonly [MessageQueue, number])[]): void {
    for (const [queue, offset] of offsets) {
      const owned = this.assigned.get(queueKey(queue))
      if (queue.topic === topic && owned !== undefined) void this.restart(owned, offset)
    }
  }

  consumerStatus(topic: string): readonly (readonly [MessageQueue, number])[] {
    return [...this.offsets.all(topic)]
  }

  /** DefaultMQPushConsumerImpl#consumerRunningInfo */
  runningInfo(): object {
    const { log: _, credentials: __, allocateStrategy, ...settings } = this.options
    const properties = {
      ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
      allocateStrategy: allocateStrategy.name,
      PROP_NAMESERVER_ADDR: this.instance.namesrvAddresses.join(';'),
      PROP_CONSUME_TYPE: this.consumerData().consumeType,
      PROP_CLIENT_VERSION: versionName(MQ_VERSION),
      PROP_CONSUMER_START_TIMESTAMP: String(this.startedMs),
      ...this.runningProperties()
    }
    const queues = [...this.assigned.values()].sort((a, b) => compareQueues(a.queue, b.queue))
    return {
      mqPopTable: {},
      mqTable: new Map(
        queues.map(({ queue: { brokerName, queueId, topic }, cache, queue }) => [
          { brokerName, queueId, topic },
          this.queueInfo(cache, Math.max(0, this.offsets.known(queue)))
        ])
      ),
      properties,
      statusTable: Object.fromEntries([...this.subscriptions.keys()].map(topic => [topic, this.stats.status(topic)])),
      subscriptionSet: [...this.subscriptions.values()],
      userConsumerInfo: {}
    }
  }

  /** What a kind of consumer adds to the properties of its running info. */
  protected runningProperties(): Record<string, string> {
    return {}
  }

  // PullOwner: what the pull loops ask.

  blocked(cache: ProcessQueue): boolean {
    const { maxCachedCountPerQueue, maxCachedBytesPerQueue } = this.options
    return this.paused || cache.count > maxCachedCountPerQueue || cache.bytes > maxCachedBytesPerQueue
  }

  abstract pullTerms(cache: ProcessQueue): ReturnType<PullOwner['pullTerms']>

  onMessages(cache: ProcessQueue, messages: Message[]): void {
    if (isRetryTopic(cache.queue.topic) || this.options.namespace !== '')
      for (const message of messages) this.restore(message)
    cache.put(messages)
    this.onCached(cache)
  }

  /** There are new messages in a cache. */
  protected abstract onCached(cache: ProcessQueue): void

  onNothing(cache: ProcessQueue, nextOffset: number): void {
    if (cache.count === 0) this.offsets.update(cache.queue, nextOffset, true)
  }

  onOffsetMoved(cache: ProcessQueue, nextOffset: number): void {
    const owned = this.assigned.get(cache.key)
    if (owned?.cache !== cache) return
    this.log.warn({ queue: cache.queue, offset: owned.loop.nextOffset, nextOffset }, 'the broker has no such offset')
    void this.restart(owned, nextOffset)
  }

  onPulled({ queue }: ProcessQueue, count: number, tookMs: number): void {
    this.stats.pulled(queue.topic, count, tookMs)
  }

  // The group's queues.

  /** Joins the group. Throws ClientError NOT_RUNNING, GROUP_TAKEN, NAMESRV_UNREACHABLE, REFUSED. */
  protected async open(): Promise<void> {
    if (this.state !== 'not started') throw this.notRunning()
    this.state = 'starting'
    this.instance.registerConsumer(this)
    try {
      await Promise.all([...this.topics()].map(topic => this.fetchRoute(topic)))
      await this.checkExpressions()
      this.instance.start()
      await this.instance.sendHeartbeats()
      this.state = 'running'
      await this.rebalancer.runNow()
    } catch (error) {
      this.state = 'closed'
      await this.rebalancer.close()
      await this.instance.close()
      throw error
    }
  }

  /** Leaves the group; `drain` waits for what is being consumed. */
  protected async leave(drain: () => Promise<void>): Promise<void> {
    const joined = this.state === 'running'
    if (this.state === 'closing' || this.state === 'closed') return
    this.state = 'closing'
    await this.rebalancer.close()
    for (const { loop } of this.assigned.values()) loop.stop()
    await drain()
    await this.offsets.close()
    if (joined) await this.instance.unregisterConsumer(this)
    await this.instance.close()
    this.state = 'closed'
  }

  protected notRunning(): ClientError {
    return new ClientError('NOT_RUNNING', { kind: this.kind, group: this.group, state: this.state })
  }

  protected checkRunning(): void {
    if (this.state !== 'running') throw this.notRunning()
  }

  /** Which of these queues may be taken; the others are left to the next round. */
  protected async acquire(queues: readonly MessageQueue[]): Promise<readonly MessageQueue[]> {
    return queues
  }

  /** Whether a queue whose pulls have stopped can be given up now; otherwise the next round asks again. */
  protected async ready(_owned: Assigned): Promise<boolean> {
    return true
  }

  /** A queue was given up. */
  protected relinquished(_queue: MessageQueue): void {}

  /** The topics whose queues are shared out. */
  protected rebalancedTopics(): string[] {
    return [...this.subscriptions.keys()]
  }

  /** Takes over queues and reads where to begin; their pulls are started later. Returns those that could be taken. */
  protected async take(queues: readonly MessageQueue[]): Promise<Assigned[]> {
    const acquired = queues.length === 0 ? [] : await this.acquire(queues)
    const taken = await Promise.all(
      acquired.map(async queue => {
        try {
          this.offsets.remove(queue)
          return this.own(queue, await this.startOffset(queue))
        } catch (error) {
          this.log.warn({ queue, reason: (error as Error).message }, 'a queue could not be taken')
          return null
        }
      })
    )
    return taken.filter(owned => owned !== null)
  }

  /** Pulls a queue from an offset once its loop is started. */
  protected own(queue: MessageQueue, offset: number): Assigned {
    const cache = new ProcessQueue(queue)
    const owned: Assigned = {
      queue,
      cache,
      loop: new PullLoop(this, cache, offset),
      restarting: null,
      releasing: null
    }
    this.assigned.set(queueKey(queue), owned)
    return owned
  }

  /** Gives up a queue; false when that cannot be yet. RebalanceImpl#removeUnnecessaryMessageQueue */
  protected release(owned: Assigned): Promise<boolean> {
    owned.releasing ??= this.giveUp(owned).finally(() => {
      owned.releasing = null
    })
    return owned.releasing
  }

  /** A message that is delivered again gets its own topic back; the application's names are without namespace. */
  protected restore(message: Message): void {
    const topic = isRetryTopic(message.topic) ? message.properties.get(PropertyName.RETRY_TOPIC) : undefined
    message.topic = withoutNamespace(this.options.namespace, topic ?? message.topic)
  }

  private async giveUp(owned: Assigned): Promise<boolean> {
    const { queue, cache, loop } = owned
    if (this.assigned.get(queueKey(queue)) !== owned) return true
    cache.stopped = true
    loop.stop()
    if (!(await this.ready(owned))) return false
    cache.drop()
    await (owned.restarting ?? this.offsets.persist(queue))
    this.assigned.delete(queueKey(queue))
    this.offsets.remove(queue)
    this.relinquished(queue)
    return true
  }

  /** Drops what is cached of a queue and begins anew at an offset. */
  protected async restart(owned: Assigned, offset: number): Promise<void> {
    owned.cache.drop()
    owned.loop.stop()
    this.offsets.freeze(owned.queue, offset)
    owned.restarting = this.offsets.persist(owned.queue, true)
    await this.release(owned)
    this.rebalancer.trigger()
  }

  /** Where a group begins with a queue. RebalancePushImpl#computePullFromWhereWithException */
  protected async startOffset(queue: MessageQueue): Promise<number> {
    const stored = await this.offsets.read(queue)
    if (stored >= 0) {
      this.offsets.seed(queue, stored)
      return stored
    }
    const { consumeFromWhere, consumeTimestamp } = this.options
    const retry = isRetryTopic(queue.topic)
    if (consumeFromWhere === 'CONSUME_FROM_FIRST_OFFSET') return this.minOffset(queue)
    if (consumeFromWhere === 'CONSUME_FROM_TIMESTAMP')
      return retry
        ? this.maxOffset(queue)
        : this.offsetForTimestamp(queue, consumeTimestamp ?? this.startedMs - 30 * MINUTE_MS)
    return retry ? 0 : this.maxOffset(queue)
  }

  /** One round: which queues are ours, topic by topic. Resolves to whether all was done. RebalanceImpl#doRebalance */
  private async rebalance(): Promise<boolean> {
    if (!this.running) return true
    const topics = new Set(this.rebalancedTopics())
    const added: Assigned[] = []
    const changed = new Set<string>()
    let balanced = true
    const rounds = [...topics].map(async topic => {
      const wanted = await this.share(topic)
      if (wanted === null) {
        balanced = false
        return
      }
      if (!(await this.reassign(topic, wanted, added, changed))) balanced = false
    })
    rounds.push(...this.foreignTopics(topics).map(async topic => void (await this.reassign(topic, [], [], changed))))
    await Promise.all(rounds)
    if (changed.size > 0) await this.announce(changed)
    for (const { loop } of added) loop.start()
    return balanced
  }

  /** The queues of a topic that are ours by the rule; null when that cannot be told now. */
  protected async share(topic: string): Promise<MessageQueue[] | null> {
    try {
      const route = await this.instance.route(topic)
      const queues = [...route.subscribeQueues].sort(compareQueues)
      if (this.broadcasting) return queues
      const clientIds = await this.instance.consumerIds(topic, this.group)
      if (clientIds.length === 0) return null
      return this.options.allocateStrategy.allocate(this.clientId, queues, clientIds.sort())
    } catch (error) {
      // A topic may come into being later, as a new group's retry topic does with its first heartbeat.
      const missing = error instanceof ClientError && error.code === 'ROUTE_NOT_FOUND'
      this.log[missing ? 'debug' : 'warn']({ topic, reason: (error as Error).message }, 'a topic was not rebalanced')
      return null
    }
  }

  /** Gives up what is not wanted any more of a topic, and takes what is new. */
  private async reassign(
    topic: string,
    wanted: readonly MessageQueue[],
    added: Assigned[],
    changed: Set<string>
  ): Promise<boolean> {
    const keys = new Set(wanted.map(queueKey))
    let complete = true
    for (const owned of [...this.assigned.values()]) {
      if (owned.queue.topic !== topic || (keys.has(queueKey(owned.queue)) && !owned.cache.stopped)) continue
      if (await this.release(owned)) changed.add(topic)
      else complete = false
    }
    const fresh = wanted.filter(queue => !this.assigned.has(queueKey(queue)))
    const taken = await this.take(fresh)
    if (taken.length > 0) changed.add(topic)
    added.push(...taken)
    return complete && taken.length === fresh.length
  }

  /** Topics of which we have queues and should have none. RebalanceImpl#truncateMessageQueueNotMyTopic */
  private foreignTopics(topics: ReadonlySet<string>): string[] {
    const own = new Set([...this.assigned.values()].map(({ queue }) => queue.topic))
    return [...own].filter(topic => !topics.has(topic))
  }

  /** Other queues than before: a new version of the subscription tells brokers. RebalancePushImpl#messageQueueChanged */
  private async announce(topics: ReadonlySet<string>): Promise<void> {
    for (const topic of topics) {
      const subscription = this.subscriptions.get(topic)
      if (subscription !== undefined) subscription.subVersion = Math.max(Date.now(), subscription.subVersion + 1)
    }
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<void>(resolve => {
      timer = setTimeout(resolve, HEARTBEAT_WAIT_MS)
    })
    await Promise.race([this.instance.sendHeartbeats(), limit])
    clearTimeout(timer)
    this.log.info({ group: this.group, queues: this.assigned.size }, 'the queues of this consumer have changed')
  }

  private subscriptionsChanged(): void {
    if (!this.running) return
    void Promise.all([...this.topics()].map(topic => this.fetchRoute(topic)))
      .then(() => this.instance.sendHeartbeats())
      .catch(error => this.log.warn({ err: error }, 'a subscription was not announced'))
      .then(() => this.rebalancer.trigger())
  }

  /** A topic may come into being later; a NameServer that does not answer is an error. */
  private async fetchRoute(topic: string): Promise<void> {
    if ((await this.instance.refreshRoute(topic)) === null) this.log.debug({ topic }, 'the topic does not exist yet')
  }

  /** A broker says now whether it takes an SQL expression. MQClientInstance#checkClientInBroker */
  private async checkExpressions(): Promise<void> {
    for (const subscription of this.subscriptions.values()) {
      if (subscription.expressionType === 'TAG') continue
      const broker = this.instance.knownRoute(subscription.topic)?.brokers[0]
      const choice = broker && this.instance.readAddress(broker.brokerName)
      if (choice === undefined) continue
      const body = formatBody({ clientId: this.clientId, group: this.group, subscriptionData: subscription })
      await this.instance.call(choice.address, request(RequestCode.CHECK_CLIENT_CONFIG, null, body))
    }
  }

  private async askOffset(queue: MessageQueue, code: number, fields: Record<string, string>): Promise<number> {
    const { topic, brokerName } = queue
    const { address } = await this.instance.findReadAddress(topic, brokerName)
    const answer = await this.instance.call(address, request(code, { ...fields, bname: brokerName }))
    return OffsetResponseHeader.decode(answer.extFields).offset
  }

  /** ProcessQueueInfo */
  protected queueInfo(cache: ProcessQueue, commitOffset: number): object {
    return {
      cachedMsgCount: cache.count,
      cachedMsgMaxOffset: Math.max(0, cache.maxOffset),
      cachedMsgMinOffset: Math.max(0, cache.minOffset),
      cachedMsgSizeInMiB: Math.floor(cache.bytes / 1024 / 1024),
      commitOffset,
      droped: cache.dropped,
      lastConsumeTimestamp: cache.lastConsumeMs,
      lastLockTimestamp: cache.lastLockMs,
      lastPullTimestamp: cache.lastPullMs,
      locked: cache.lockedUntilMs > Date.now(),
      transactionMsgCount: 0,
      transactionMsgMaxOffset: 0,
      transactionMsgMinOffset: 0,
      tryUnlockTimes: 0
    }
  }
}
