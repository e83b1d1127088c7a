import { type SubscriptionData, subscriptionOf } from '../message/index.ts'
import { RequestCode } from '../net/index.ts'
import { type Assigned, Consumer, type ConsumerOptions, consumerDefaults } from './consumer.ts'
import { ClientError } from './errors.ts'
import type { ConsumerData } from './heartbeat.ts'
import { type Message, type MessageQueue, queueKey } from './message.ts'
import { checkInteger, withDefaults } from './options.ts'
import type { Cached, ProcessQueue } from './process-queue.ts'
import type { PullSettings } from './pull-loop.ts'

/** How a pull consumer works; every option but `group` may be left out. DefaultLitePullConsumer */
export interface PullConsumerOptions extends ConsumerOptions {
  /** Each `poll` commits what the polls before it returned. Default: true. */
  autoCommit: boolean
  /** Of all queues together: with more messages cached than this none is pulled. Default: 10,000. pullThresholdForAll */
  maxCachedCount: number
}

export const pullConsumerDefaults: Readonly<PullConsumerOptions> = Object.freeze({
  ...consumerDefaults,
  pullBatchSize: 10,
  pullHoldMs: 20_000,
  autoCommit: true,
  maxCachedCount: 10_000
})

const POLL_TIMEOUT_MS = 5000
const JAVA_MAX_INT = 0x7fff_ffff

/**
 * Gives messages when it is asked to, from queues that the group shares out (`subscribe`) or that the application names
 * (`assign`). Nothing is delivered again by itself: the group goes on from what was committed. DefaultLitePullConsumer
 */
export class PullConsumer extends Consumer implements AsyncIterable<Message> {
  readonly pullSettings: PullSettings
  protected readonly kind = 'pull consumer'
  declare protected readonly options: Readonly<PullConsumerOptions>
  /** What the application named; null: it subscribes. */
  private named: MessageQueue[] | null = null
  /** Keys of queues that are not pulled and not polled. */
  private readonly pausedQueues = new Set<string>()
  /** Messages in the caches of all queues. */
  private cachedCount = 0
  /** Caches with messages, in the order in which they are polled. */
  private filled: ProcessQueue[] = []
  /** Caches that gave messages since the last commit. */
  private readonly polled = new Set<ProcessQueue>()
  private waiters: (() => void)[] = []

  /** Throws ClientError GROUP_BAD, OPTION_BAD or NO_NAMESRV. */
  constructor(given: Partial<PullConsumerOptions> & { group: string }) {
    super(withDefaults(pullConsumerDefaults, given))
    const { options } = this
    checkInteger('maxCachedCount', options.maxCachedCount, 1)
    this.pullSettings = {
      code: RequestCode.LITE_PULL_MESSAGE,
      group: this.group,
      batchSize: options.pullBatchSize,
      batchBytes: JAVA_MAX_INT,
      holdMs: options.pullHoldMs,
      timeoutMs: options.pullTimeoutMs,
      intervalMs: 0,
      retryMs: options.pullRetryMs
    }
  }

  /** Joins the group and begins to pull. Throws ClientError NOT_RUNNING, NAMESRV_UNREACHABLE, REFUSED. */
  async start(): Promise<void> {
    await this.open()
  }

  /** Stores what was committed and leaves the group. A poll that waits returns nothing. */
  async close(): Promise<void> {
    await this.leave(async () => this.wakeAll())
  }

  override subscribe(topic: string, expression = '*', type: 'TAG' | 'SQL92' = 'TAG'): void {
    if (this.named !== null) throw new ClientError('MODE_MIXED', { reason: 'its queues are assigned by name' })
    super.subscribe(topic, expression, type)
  }

  /** Pulls these queues and no others, whoever else pulls them. Throws ClientError MODE_MIXED. */
  async assign(queues: readonly MessageQueue[]): Promise<void> {
    if (this.subscriptions.size > 0) throw new ClientError('MODE_MIXED', { reason: 'it subscribes to topics' })
    this.named = [...queues]
    if (this.running) await this.rebalancer.runNow()
  }

  /**
   * Up to `pullBatchSize` messages of one queue; waits for them up to `timeoutMs`, and returns none when there are none.
   * With `autoCommit` it commits what the polls before returned. Throws ClientError NOT_RUNNING.
   */
  async poll(timeoutMs = POLL_TIMEOUT_MS): Promise<Message[]> {
    this.checkRunning()
    if (this.options.autoCommit) this.commitPolled()
    const cache = await this.nextFilled(timeoutMs)
    if (cache === null) return []
    const batch = cache.take(this.options.pullBatchSize)
    this.consumed(cache, batch)
    if (cache.waiting) this.onCached(cache)
    return batch.map(({ message }) => message)
  }

  /** Messages one by one; a loop that asks for the next one has consumed the last, and with `autoCommit` commits it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, void> {
    while (this.running) {
      const cache = await this.nextFilled(POLL_TIMEOUT_MS)
      if (cache === null) continue
      const [entry] = cache.take(1)
      if (entry === undefined) continue
      if (cache.waiting) this.onCached(cache)
      let asked = false
      try {
        yield entry.message
        asked = true
      } finally {
        if (!asked && !entry.done) {
          cache.giveBack([entry])
          this.onCached(cache)
        }
      }
      if (entry.done) continue
      this.consumed(cache, [entry])
      if (this.options.autoCommit) this.commitPolled()
    }
  }

  /**
   * Stores offsets: of all queues what was polled, or these. Resolves when the brokers have them.
   * Throws ClientError NOT_RUNNING, NOT_ASSIGNED.
   */
  async commit(offsets?: Iterable<readonly [MessageQueue, number]>): Promise<void> {
    this.checkRunning()
    if (offsets === undefined) this.commitPolled()
    else for (const [queue, offset] of offsets) this.offsets.update(this.owned(queue).queue, offset)
    await this.offsets.persist(undefined, true)
  }

  /** The committed offset of a queue, -1 when there is none. Throws ClientError, NetError. */
  async committed(queue: MessageQueue): Promise<number> {
    const known = this.offsets.known(queue)
    return known >= 0 ? known : this.offsets.read(queue)
  }

  /** Goes on from another offset of a queue. Throws ClientError NOT_ASSIGNED, OFFSET_BAD, NetError. */
  async seek(queue: MessageQueue, offset: number): Promise<void> {
    this.checkRunning()
    this.owned(queue)
    const [min, max] = await Promise.all([this.minOffset(queue), this.maxOffset(queue)])
    if (!Number.isInteger(offset) || offset < min || offset > max)
      throw new ClientError('OFFSET_BAD', {
        offset,
        queue: queueKey(queue),
        reason: `the queue holds ${min} to ${max}`
      })
    const { cache, loop } = this.owned(queue)
    cache.drop()
    loop.stop()
    this.forget(cache)
    this.own(queue, offset).loop.start()
  }

  /** Goes on from the first message that a queue holds. Throws as `seek`. */
  async seekToBegin(queue: MessageQueue): Promise<void> {
    await this.seek(queue, await this.minOffset(queue))
  }

  /** Goes on from the message that a queue gets next. Throws as `seek`. */
  async seekToEnd(queue: MessageQueue): Promise<void> {
    await this.seek(queue, await this.maxOffset(queue))
  }

  /** Neither pulls nor polls these queues until `resumeQueues`. */
  pause(queues: Iterable<MessageQueue>): void {
    for (const queue of queues) this.pausedQueues.add(queueKey(queue))
  }

  /** The queues given, or all. */
  override resume(queues?: Iterable<MessageQueue>): void {
    if (queues === undefined) this.pausedQueues.clear()
    else for (const queue of queues) this.pausedQueues.delete(queueKey(queue))
    super.resume()
    for (const { cache } of this.assigned.values()) if (cache.waiting) this.onCached(cache)
  }

  // What the group is told.

  override topics(): Iterable<string> {
    return this.named === null ? super.topics() : new Set(this.named.map(({ topic }) => topic))
  }

  consumerData(): ConsumerData {
    return {
      groupName: this.group,
      consumeType: 'CONSUME_ACTIVELY',
      messageModel: this.options.messageModel,
      // Whatever it is set to, as Java's says.
      consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
      subscriptionDataSet: [...this.subscriptions.values()],
      unitMode: false
    }
  }

  async consumeDirectly(): Promise<object> {
    return { autoCommit: true, consumeResult: 'CR_LATER', order: false, remark: 'a pull consumer', spentTimeMills: 0 }
  }

  protected override rebalancedTopics(): string[] {
    return [...this.topics()]
  }

  protected override async share(topic: string): Promise<MessageQueue[] | null> {
    return this.named === null ? super.share(topic) : this.named.filter(queue => queue.topic === topic)
  }

  // Pulling.

  override blocked(cache: ProcessQueue): boolean {
    return (
      super.blocked(cache) ||
      this.pausedQueues.has(cache.key) ||
      this.cachedCount > this.options.maxCachedCount ||
      cache.span > this.options.maxCachedSpan
    )
  }

  pullTerms({ queue }: ProcessQueue) {
    const subscription = this.subscriptions.get(queue.topic) ?? this.everything(queue.topic)
    return { subscription, sendSubscription: true, commitOffset: 0 }
  }

  override onMessages(cache: ProcessQueue, messages: Message[]): void {
    const before = cache.count
    super.onMessages(cache, messages)
    this.cachedCount += cache.count - before
  }

  protected onCached(cache: ProcessQueue): void {
    if (!this.filled.includes(cache)) this.filled.push(cache)
    this.waiters.shift()?.()
  }

  /** What was polled and not committed must not be passed by messages that the filter leaves out. */
  override onNothing(cache: ProcessQueue, nextOffset: number): void {
    if (this.options.autoCommit && !this.polled.has(cache)) super.onNothing(cache, nextOffset)
  }

  protected override async ready({ cache }: Assigned): Promise<boolean> {
    this.commitConsumed(cache)
    this.forget(cache)
    return true
  }

  private readonly wholeTopics = new Map<string, SubscriptionData>()

  /** What a queue that was assigned by name is pulled for. */
  private everything(topic: string): SubscriptionData {
    let subscription = this.wholeTopics.get(topic)
    if (subscription === undefined) {
      subscription = subscriptionOf(topic, '*')
      this.wholeTopics.set(topic, subscription)
    }
    return subscription
  }

  /** The next cache that may be polled; null when none has messages in time. */
  private async nextFilled(timeoutMs: number): Promise<ProcessQueue | null> {
    const deadline = Date.now() + timeoutMs
    while (this.running) {
      const at = this.filled.findIndex(cache => !this.pausedQueues.has(cache.key))
      if (at >= 0) {
        const [cache] = this.filled.splice(at, 1)
        if (cache!.waiting) return cache!
        continue
      }
      const leftMs = deadline - Date.now()
      if (leftMs <= 0 || !(await this.filledWithin(leftMs))) return null
    }
    return null
  }

  private filledWithin(ms: number): Promise<boolean> {
    return new Promise(resolve => {
      const wake = () => {
        clearTimeout(timer)
        resolve(true)
      }
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter(waiter => waiter !== wake)
        resolve(false)
      }, ms)
      this.waiters.push(wake)
    })
  }

  private wakeAll(): void {
    for (const wake of this.waiters.splice(0)) wake()
  }

  private consumed(cache: ProcessQueue, batch: readonly Cached[]): void {
    const before = cache.count
    cache.remove(batch)
    this.polled.add(cache)
    this.makeRoom(before - cache.count)
    this.assigned.get(cache.key)?.loop.wake()
  }

  /** Of all queues together so many messages less are cached. */
  private makeRoom(count: number): void {
    const full = this.cachedCount > this.options.maxCachedCount
    this.cachedCount -= count
    if (full) for (const { loop } of this.assigned.values()) loop.wake()
  }

  private commitPolled(): void {
    for (const cache of this.polled) this.commitConsumed(cache)
  }

  private commitConsumed(cache: ProcessQueue): void {
    if (this.polled.delete(cache) && !cache.dropped) this.offsets.update(cache.queue, cache.commitOffset)
  }

  /** What a cache still holds counts no more. */
  private forget(cache: ProcessQueue): void {
    const { count } = cache
    this.filled = this.filled.filter(one => one !== cache)
    cache.clear()
    this.makeRoom(count)
  }

  private owned(queue: MessageQueue): Assigned {
    const owned = this.assigned.get(queueKey(queue))
    if (owned === undefined || owned.cache.stopped) throw new ClientError('NOT_ASSIGNED', { queue: queueKey(queue) })
    return owned
  }
}
