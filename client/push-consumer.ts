import { retryTopicOf, subscriptionOf } from '../message/index.ts'
import { RequestCode } from '../net/index.ts'
import { ConcurrentConsumption, type ConsumeHost } from './consume-concurrently.ts'
import { OrderedConsumption } from './consume-ordered.ts'
import { callListener, type MessageListener } from './consume-service.ts'
import { type Assigned, Consumer, type ConsumerOptions, consumerDefaults } from './consumer.ts'
import { ClientError } from './errors.ts'
import type { ConsumerData } from './heartbeat.ts'
import { type Message, type MessageQueue, queueKey } from './message.ts'
import { MessageStream } from './message-stream.ts'
import { checkInteger, withDefaults } from './options.ts'
import type { Cached, ProcessQueue } from './process-queue.ts'
import type { PullSettings } from './pull-loop.ts'
import { LOCK_RENEW_MS, LOCK_VALID_MS, QueueLocks } from './queue-locks.ts'
import { SendBack } from './send-back.ts'

/** How a push consumer works; every option but `group` may be left out. DefaultMQPushConsumer */
export interface PushConsumerOptions extends ConsumerOptions {
  /** One message of a queue at a time, in order: MessageListenerOrderly. Default: false. */
  ordered: boolean
  /** Most calls of the listener that run at once. Default: 20. consumeThreadMax */
  concurrency: number
  /** Most messages in one call of the listener. Default: 1. consumeMessageBatchMaxSize */
  consumeBatchSize: number
  /** How often a message is delivered again until it becomes a dead letter; -1: 16 times, ordered for ever. Default: -1. */
  maxReconsumeTimes: number
  /** A message whose listener takes longer is delivered again, ms; not when ordered. Default: 15 minutes. */
  consumeTimeoutMs: number
  /** When ordered: how long a queue rests after a failure, 10 to 30,000 ms. Default: 1,000. suspendCurrentQueueTimeMillis */
  suspendMs: number
  /** Between two pulls of a queue, ms. Default: 0. */
  pullIntervalMs: number
  /** Most bytes that one pull asks for. Default: 256 KiB. pullBatchSizeInBytes */
  pullBatchBytes: number
  /** The limit of cached messages of a topic's queues together; -1: none. Default: -1. pullThresholdForTopic */
  maxCachedCountPerTopic: number
  /** The same in bytes. Default: -1. pullThresholdSizeForTopic */
  maxCachedBytesPerTopic: number
  /** How long `close` waits for listeners that run, ms. Default: 5,000. */
  closeTimeoutMs: number
}

const MINUTE_MS = 60_000

export const pushConsumerDefaults: Readonly<PushConsumerOptions> = Object.freeze({
  ...consumerDefaults,
  ordered: false,
  concurrency: 20,
  consumeBatchSize: 1,
  maxReconsumeTimes: -1,
  consumeTimeoutMs: 15 * MINUTE_MS,
  suspendMs: 1000,
  pullIntervalMs: 0,
  pullBatchBytes: 256 * 1024,
  maxCachedCountPerTopic: -1,
  maxCachedBytesPerTopic: -1,
  closeTimeoutMs: 5000
})

const DEFAULT_MAX_RECONSUME_TIMES = 16
const JAVA_MAX_INT = 0x7fff_ffff
/** How long a queue of an ordered consumer waits for its listener when another client is to have it. */
const HAND_OVER_MS = 500

/**
 * Feeds messages to a listener, or to `for await`. Members of one group share the queues of its topics; a message that is
 * not consumed is delivered again. DefaultMQPushConsumer
 */
export class PushConsumer extends Consumer implements ConsumeHost, AsyncIterable<Message> {
  readonly pullSettings: PullSettings
  protected readonly kind = 'push consumer'
  declare protected readonly options: Readonly<PushConsumerOptions>
  private readonly sendBacks: SendBack
  private readonly locks: QueueLocks
  private readonly stream = new MessageStream(loops => this.onLoops(loops))
  private listener: MessageListener = this.stream.listener
  private consumption: ConcurrentConsumption | OrderedConsumption | null = null
  private timer: NodeJS.Timeout | null = null
  private loops = 0

  /** Throws ClientError GROUP_BAD, OPTION_BAD or NO_NAMESRV. */
  constructor(given: Partial<PushConsumerOptions> & { group: string }) {
    super(withDefaults(pushConsumerDefaults, given))
    const { options } = this
    checkInteger('concurrency', options.concurrency, 1, 1000)
    checkInteger('consumeBatchSize', options.consumeBatchSize, 1, 1024)
    checkInteger('maxReconsumeTimes', options.maxReconsumeTimes, -1)
    checkInteger('consumeTimeoutMs', options.consumeTimeoutMs, 1)
    checkInteger('suspendMs', options.suspendMs, 1)
    checkInteger('pullIntervalMs', options.pullIntervalMs, 0, 65535)
    checkInteger('pullBatchBytes', options.pullBatchBytes, 1)
    checkInteger('maxCachedCountPerTopic', options.maxCachedCountPerTopic, -1)
    checkInteger('maxCachedBytesPerTopic', options.maxCachedBytesPerTopic, -1)
    checkInteger('closeTimeoutMs', options.closeTimeoutMs, 0)
    this.pullSettings = {
      code: RequestCode.PULL_MESSAGE,
      group: this.group,
      batchSize: options.pullBatchSize,
      batchBytes: options.pullBatchBytes,
      holdMs: options.pullHoldMs,
      timeoutMs: options.pullTimeoutMs,
      intervalMs: options.pullIntervalMs,
      retryMs: options.pullRetryMs
    }
    this.sendBacks = new SendBack(this.instance, this.group, options.namespace)
    this.locks = new QueueLocks(this.instance, this.group)
  }

  /**
   * Joins the group and begins to consume: with a listener, or without one for `for await`. Resolves when the queues are
   * shared out. Throws ClientError NOT_RUNNING, NAMESRV_UNREACHABLE, REFUSED; the consumer is closed then.
   */
  async start(listener?: MessageListener): Promise<void> {
    if (this.state !== 'not started') throw this.notRunning()
    const { options } = this
    if (listener === undefined && options.consumeBatchSize !== 1)
      throw new ClientError('OPTION_BAD', {
        option: 'consumeBatchSize',
        value: options.consumeBatchSize,
        reason: '`for await` takes one message at a time'
      })
    this.listener = listener ?? this.stream.listener
    const service = {
      listener: this.listener,
      concurrency: listener === undefined ? this.loops : options.concurrency,
      batchSize: options.consumeBatchSize,
      suspendMs: options.suspendMs,
      log: this.log
    }
    this.consumption = options.ordered
      ? new OrderedConsumption(service, this, this.maxReconsumeTimes)
      : new ConcurrentConsumption(service, this, options.consumeTimeoutMs)
    if (!this.broadcasting) {
      const retryTopic = retryTopicOf(this.group)
      this.subscriptions.set(retryTopic, subscriptionOf(retryTopic, '*'))
    }
    await this.sendBacks.start()
    await this.open()
    if (this.exclusive) this.timer = setInterval(() => void this.renewLocks(), LOCK_RENEW_MS)
    else if (!options.ordered) this.timer = setInterval(() => this.expire(), options.consumeTimeoutMs)
  }

  /**
   * Stops pulling, waits for the listeners that run (at most `closeTimeoutMs`), stores the offsets and leaves the group.
   * Messages that were pulled and not consumed are delivered again, to whoever has their queue then.
   */
  async close(): Promise<void> {
    await this.leave(async () => {
      if (this.timer !== null) clearInterval(this.timer)
      const { consumption } = this
      consumption?.stop()
      this.stream.close()
      const deadline = Date.now() + this.options.closeTimeoutMs
      await consumption?.idle(this.options.closeTimeoutMs)
      if (consumption instanceof ConcurrentConsumption) await within(consumption.returned(), deadline - Date.now())
      await this.offsets.persist(undefined, true)
      if (this.exclusive) await this.locks.unlock(this.assignment())
      await this.sendBacks.close()
    })
  }

  /**
   * Messages one by one; a loop that asks for the next one has consumed the last. A loop that ends early leaves the last
   * one unconsumed. Loops side by side share the messages. Throws ClientError NOT_RUNNING when a listener has them.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    if (this.listener !== this.stream.listener)
      throw new ClientError('MODE_MIXED', { reason: 'its messages go to a listener, not to `for await`' })
    return this.stream.loop()
  }

  // What the group is told.

  consumerData(): ConsumerData {
    return {
      groupName: this.group,
      consumeType: 'CONSUME_PASSIVELY',
      messageModel: this.options.messageModel,
      consumeFromWhere: this.options.consumeFromWhere,
      subscriptionDataSet: [...this.subscriptions.values()],
      unitMode: false
    }
  }

  /** ConsumeMessageConcurrentlyService#consumeMessageDirectly */
  consumeDirectly(message: Message): Promise<object> {
    const { queueId, brokerName, topic } = message
    this.restore(message)
    const context = {
      queue: { topic, brokerName, queueId },
      ackIndex: 0,
      delayLevel: 0,
      suspendMs: this.options.suspendMs
    }
    return new Promise(resolve =>
      callListener(this.listener, [message], context, ({ result, error, tookMs }) =>
        resolve({
          autoCommit: true,
          consumeResult: error !== null ? 'CR_THROW_EXCEPTION' : result === 'success' ? 'CR_SUCCESS' : 'CR_LATER',
          order: this.options.ordered,
          remark: error === null ? undefined : String((error as Error)?.stack ?? error),
          spentTimeMills: tookMs
        })
      )
    )
  }

  protected override runningProperties(): Record<string, string> {
    return {
      PROP_CONSUMEORDERLY: String(this.options.ordered),
      PROP_THREADPOOL_CORE_SIZE: String(this.options.concurrency)
    }
  }

  // Pulling.

  override blocked(cache: ProcessQueue): boolean {
    if (super.blocked(cache)) return true
    const { ordered, maxCachedSpan, maxCachedCountPerTopic, maxCachedBytesPerTopic } = this.options
    if (ordered ? cache.lockedUntilMs <= Date.now() : cache.span > maxCachedSpan) return true
    if (maxCachedCountPerTopic < 0 && maxCachedBytesPerTopic < 0) return false
    const queues = this.assignment().filter(({ topic }) => topic === cache.queue.topic).length
    const over = (cached: number, limit: number) => limit >= 0 && cached > Math.max(1, Math.floor(limit / queues))
    return over(cache.count, maxCachedCountPerTopic) || over(cache.bytes, maxCachedBytesPerTopic)
  }

  pullTerms({ queue }: ProcessQueue) {
    const subscription = this.subscriptions.get(queue.topic)
    if (subscription === undefined) return null
    return { subscription, sendSubscription: false, commitOffset: this.broadcasting ? 0 : this.offsets.known(queue) }
  }

  protected onCached(cache: ProcessQueue): void {
    this.consumption!.submit(cache)
  }

  // ConsumeHost: what consuming leads to.

  consumed(cache: ProcessQueue, batch: readonly Cached[]): void {
    this.offsets.update(cache.queue, cache.remove(batch), true, cache.key)
    this.assigned.get(cache.key)?.loop.wake()
  }

  sendBack(message: Message, delayLevel: number): Promise<boolean> {
    return this.options.ordered
      ? this.sendBacks.sendAnew(message, this.maxReconsumeTimes)
      : this.sendBacks.return(message, delayLevel, this.maxReconsumeTimes)
  }

  onConsumed({ queue }: ProcessQueue, ok: number, failed: number, tookMs: number): void {
    this.stats.consumed(queue.topic, ok, failed, tookMs)
  }

  // Queue locks.

  /** Whether brokers lend queues to one client at a time. */
  private get exclusive(): boolean {
    return this.options.ordered && !this.broadcasting
  }

  protected override async acquire(queues: readonly MessageQueue[]): Promise<readonly MessageQueue[]> {
    if (!this.exclusive) return queues
    const locked = await this.locks.lock(queues)
    return queues.filter(queue => locked.get(queueKey(queue)) === true)
  }

  protected override own(queue: MessageQueue, offset: number): Assigned {
    const owned = super.own(queue, offset)
    if (this.exclusive) extendLock(owned.cache)
    return owned
  }

  /** An ordered queue is handed over between two messages, unless the listener takes all too long. */
  protected override async ready({ cache }: Assigned): Promise<boolean> {
    if (!this.options.ordered) return true
    return (await this.consumption!.idle(HAND_OVER_MS, cache)) || Date.now() > cache.lastLockMs + LOCK_RENEW_MS
  }

  protected override relinquished(queue: MessageQueue): void {
    if (this.exclusive) void this.locks.unlock([queue])
  }

  /** A master that is new knows of no locks. */
  override onRouteChanged(): void {
    super.onRouteChanged()
    if (this.exclusive && this.running) void this.renewLocks()
  }

  /** RebalanceImpl#lockAll */
  private async renewLocks(): Promise<void> {
    const owned = [...this.assigned.values()].filter(({ cache }) => !cache.stopped)
    const answers = await this.locks.lock(owned.map(({ queue }) => queue))
    for (const one of owned) {
      const granted = answers.get(queueKey(one.queue))
      if (one.cache.stopped || granted === undefined) continue
      if (granted) {
        extendLock(one.cache)
        one.loop.wake()
        this.consumption!.submit(one.cache)
      } else {
        this.log.warn({ queue: one.queue }, 'another client has the lock of a queue')
        one.cache.drop()
        void this.release(one).then(() => this.rebalancer.trigger())
      }
    }
  }

  private expire(): void {
    const { consumption } = this
    if (consumption instanceof ConcurrentConsumption)
      for (const { cache } of this.assigned.values()) consumption.expire(cache)
  }

  private onLoops(loops: number): void {
    this.loops = loops
    if (this.consumption === null || this.listener !== this.stream.listener) return
    this.consumption.capacity = loops
    this.consumption.dispatch()
  }

  private get maxReconsumeTimes(): number {
    const { maxReconsumeTimes, ordered } = this.options
    if (maxReconsumeTimes >= 0) return maxReconsumeTimes
    return ordered ? JAVA_MAX_INT : DEFAULT_MAX_RECONSUME_TIMES
  }
}

function extendLock(cache: ProcessQueue): void {
  cache.lastLockMs = Date.now()
  cache.lockedUntilMs = cache.lastLockMs + LOCK_VALID_MS
}

/** Waits for a promise, but not longer than this. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>(resolve => {
    timer = setTimeout(resolve, Math.max(0, ms))
  })
  await Promise.race([promise, limit])
  clearTimeout(timer)
}
