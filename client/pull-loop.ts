import type { SubscriptionData } from '../message/index.ts'
import { PullMessageHeader, PullMessageResponseHeader, RequestCode, ResponseCode, request } from '../net/index.ts'
import { type ClientInstance, refusal } from './client-instance.ts'
import { decodeMessages, type Message } from './message.ts'
import type { ProcessQueue } from './process-queue.ts'
import { MASTER_ID } from './route.ts'

/** Bits of a pull's sysFlag. PullSysFlag */
export const PullFlag = { COMMIT: 1, SUSPEND: 2, SUBSCRIPTION: 4, LITE: 16 } as const
/** After the broker asked for patience. PULL_TIME_DELAY_MILLS_WHEN_BROKER_FLOW_CONTROL */
const FLOW_CONTROL_MS = 20

export interface PullSettings {
  readonly code: number
  readonly group: string
  /** Most messages of one answer, and most bytes. */
  readonly batchSize: number
  readonly batchBytes: number
  /** How long the broker holds a pull that finds nothing, and how long we wait for the answer, ms. */
  readonly holdMs: number
  readonly timeoutMs: number
  /** Between two pulls, ms. */
  readonly intervalMs: number
  /** Between a failed pull and the next, ms. */
  readonly retryMs: number
}

/** What a kind of consumer makes of pulls. */
export interface PullOwner {
  readonly instance: ClientInstance
  readonly pullSettings: PullSettings
  /** Whether pulls of this queue rest until `wake`. */
  blocked(cache: ProcessQueue): boolean
  /** The subscription that a queue is pulled for, whether its text goes along, and what to commit by the way. */
  pullTerms(cache: ProcessQueue): {
    subscription: SubscriptionData
    sendSubscription: boolean
    /** Not committed unless above 0. */
    commitOffset: number
  } | null
  /** Messages arrived, to be cached. */
  onMessages(cache: ProcessQueue, messages: Message[]): void
  /** There is nothing for us below this offset. */
  onNothing(cache: ProcessQueue, nextOffset: number): void
  /** The broker has no such offset; it names the one to go on from. */
  onOffsetMoved(cache: ProcessQueue, nextOffset: number): void
  /** A pull brought messages; for statistics. */
  onPulled(cache: ProcessQueue, count: number, tookMs: number): void
}

/**
 * Pulls one queue into its cache: one pull in flight at a time, the next one as soon as there is room.
 * PullMessageService, DefaultMQPushConsumerImpl#pullMessage
 */
export class PullLoop {
  /** Where the next pull begins. */
  nextOffset: number

  private readonly owner: PullOwner
  private readonly cache: ProcessQueue
  private code: number
  /** The broker that the last answer told us to ask. */
  private brokerId = MASTER_ID
  /** The address that was asked last. */
  private asked = ''
  private wakeUp: (() => void) | null = null
  private timer: NodeJS.Timeout | null = null
  private resting = false
  private stopped = false

  constructor(owner: PullOwner, cache: ProcessQueue, offset: number) {
    this.owner = owner
    this.cache = cache
    this.code = owner.pullSettings.code
    this.nextOffset = offset
  }

  start(): void {
    void this.run()
  }

  /** Looks again whether pulls are blocked. */
  wake(): void {
    if (!this.resting) this.wakeUp?.()
  }

  /** No more pulls; the answer to one in flight is thrown away. */
  stop(): void {
    this.stopped = true
    this.wakeUp?.()
  }

  private async run(): Promise<void> {
    const { cache, owner } = this
    while (!this.stopped) {
      if (owner.blocked(cache)) {
        await this.sleep(null)
        continue
      }
      let restMs: number
      try {
        restMs = await this.pull()
      } catch (error) {
        if (this.stopped) return
        owner.instance.log.warn({ queue: cache.queue, reason: (error as Error).message }, 'a pull failed')
        restMs = (await this.hasMoved()) ? 0 : owner.pullSettings.retryMs
      }
      if (restMs > 0 && !this.stopped) await this.sleep(restMs)
    }
  }

  /** Whether the next pull goes to another address than the one that failed. */
  private async hasMoved(): Promise<boolean> {
    const { instance } = this.owner
    const { topic, brokerName } = this.cache.queue
    await instance.brokerFailed(topic)
    const next = instance.readAddress(brokerName, this.brokerId)
    return next !== undefined && next.address !== this.asked
  }

  /** Until woken, or for so many ms. */
  private sleep(ms: number | null): Promise<void> {
    return new Promise(resolve => {
      this.resting = ms !== null
      this.wakeUp = () => {
        this.wakeUp = null
        if (this.timer !== null) clearTimeout(this.timer)
        this.timer = null
        resolve()
      }
      if (ms !== null) this.timer = setTimeout(this.wakeUp, ms)
    })
  }

  /** One pull; returns how long to rest before the next, ms. */
  private async pull(): Promise<number> {
    const { cache, owner } = this
    const { instance, pullSettings } = owner
    const { topic, brokerName, queueId } = cache.queue
    const terms = owner.pullTerms(cache)
    if (terms === null) return pullSettings.retryMs
    cache.lastPullMs = Date.now()
    const broker =
      instance.readAddress(brokerName, this.brokerId) ??
      (await instance.findReadAddress(topic, brokerName, this.brokerId))
    this.asked = broker.address
    const { subscription, sendSubscription } = terms
    // Slaves keep no offsets.
    const commits = terms.commitOffset > 0 && broker.brokerId === MASTER_ID
    const fields = PullMessageHeader.encode({
      consumerGroup: pullSettings.group,
      topic,
      queueId,
      queueOffset: this.nextOffset,
      maxMsgNums: pullSettings.batchSize,
      sysFlag:
        PullFlag.SUSPEND |
        (commits ? PullFlag.COMMIT : 0) |
        (sendSubscription ? PullFlag.SUBSCRIPTION : 0) |
        (this.code === RequestCode.LITE_PULL_MESSAGE ? PullFlag.LITE : 0),
      commitOffset: commits ? terms.commitOffset : 0,
      suspendTimeoutMillis: pullSettings.holdMs,
      subscription: sendSubscription ? subscription.subString : undefined,
      subVersion: sendSubscription ? 0 : subscription.subVersion,
      expressionType: subscription.expressionType,
      maxMsgBytes: pullSettings.batchBytes
    })
    fields.bname = brokerName
    const command = request(this.code, fields)
    const answer = await instance.invoke(broker.address, command, pullSettings.timeoutMs)
    if (this.stopped) return 0

    if (answer.code === ResponseCode.FLOW_CONTROL) return FLOW_CONTROL_MS
    if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED && this.code === RequestCode.LITE_PULL_MESSAGE) {
      // A broker before 5.0 knows one kind of pull.
      this.code = RequestCode.PULL_MESSAGE
      return 0
    }
    if (!ANSWERS.has(answer.code)) throw refusal(broker.address, command, answer)
    const header = PullMessageResponseHeader.decode(answer.extFields)
    this.brokerId = header.suggestWhichBrokerId
    if (answer.code === ResponseCode.PULL_OFFSET_MOVED) {
      owner.onOffsetMoved(cache, header.nextBeginOffset)
      return 0
    }
    let wanted: Message[] = []
    if (answer.code === ResponseCode.SUCCESS && answer.body !== null) {
      const tookMs = Date.now() - cache.lastPullMs
      const decoded = decodeMessages(answer.body, brokerName)
      const all = decoded instanceof Promise ? await decoded : decoded
      if (this.stopped) return 0
      wanted = withTags(all, subscription)
      owner.onPulled(cache, wanted.length, tookMs)
    }
    this.nextOffset = header.nextBeginOffset
    if (wanted.length === 0) {
      owner.onNothing(cache, header.nextBeginOffset)
      return 0
    }
    owner.onMessages(cache, wanted)
    return pullSettings.intervalMs
  }
}

const ANSWERS: ReadonlySet<number> = new Set([
  ResponseCode.SUCCESS,
  ResponseCode.PULL_NOT_FOUND,
  ResponseCode.PULL_RETRY_IMMEDIATELY,
  ResponseCode.PULL_OFFSET_MOVED
])

/** The broker compares hashes of tags: here the tags themselves are compared. PullAPIWrapper#processPullResult */
function withTags(messages: Message[], { tagsSet, expressionType }: SubscriptionData): Message[] {
  if (expressionType !== 'TAG' || tagsSet.length === 0) return messages
  return messages.filter(({ tags }) => tags !== undefined && tagsSet.includes(tags))
}
