import type { GetResult, GetStatus } from '../../engine/index.ts'
import { type MessageError, type SubscriptionData, subscriptionOf } from '../../message/index.ts'
import {
  type Connection,
  encodeHead,
  PullMessageHeader,
  PullMessageResponseHeader,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { TagFilter } from '../client-registry.ts'
import { BrokerError, HINT } from '../errors.ts'
import type { GroupConfig } from '../groups.ts'
import { Perm, type TopicConfig } from '../topics.ts'

const MASTER_ID = 0

/** Bits of a pull's sysFlag. PullSysFlag */
const PullFlag = { COMMIT_OFFSET: 1, SUSPEND: 2, SUBSCRIPTION: 4, LITE_PULL: 16 } as const
/** How long a pull waits at a slave before it is sent to the master, which has the messages first. */
const AT_SLAVE_MS = 1000
/** Why a pull was forbidden. ForbiddenType */
const Forbidden = { BROKER: 1, GROUP: 2, TOPIC: 3, BROADCASTING: 4, SUBSCRIPTION: 5 } as const

type PullHeader = ReturnType<typeof PullMessageHeader.decode>

/** A pull that passed all checks. */
interface Pull {
  readonly request: RemotingCommand
  readonly connection: Connection
  readonly header: PullHeader
  readonly group: GroupConfig
  readonly topic: TopicConfig
  readonly filter: TagFilter | null
}

/** PULL_MESSAGE, LITE_PULL_MESSAGE. PullMessageProcessor */
export class PullProcessor {
  private readonly broker: Broker
  private readonly filters = new WeakMap<SubscriptionData, TagFilter | null>()

  constructor(broker: Broker) {
    this.broker = broker
  }

  register(): void {
    const handle = (request: RemotingCommand, connection: Connection) => this.handle(request, connection)
    this.broker.dispatcher.register(RequestCode.PULL_MESSAGE, handle)
    this.broker.dispatcher.register(RequestCode.LITE_PULL_MESSAGE, handle)
  }

  private handle(request: RemotingCommand, connection: Connection): RemotingCommand | null {
    const header = PullMessageHeader.decode(request.extFields)
    const checked = this.check(request, connection, header)
    if ('code' in checked) return checked
    if (header.sysFlag & PullFlag.COMMIT_OFFSET && header.commitOffset >= 0)
      this.broker.offsets.commit(header.consumerGroup, header.topic, header.queueId, header.commitOffset)
    this.serve(checked, true)
    return null
  }

  /** The checks in RocketMQ's order; an answer when one fails. PullMessageProcessor#processRequest */
  private check(request: RemotingCommand, connection: Connection, header: PullHeader): Pull | RemotingCommand {
    const { options, groups, topics } = this.broker
    if (!(options.brokerPermission & Perm.READ))
      return forbidden(Forbidden.BROKER, `the broker[${this.broker.host}] pulling message is forbidden`)
    if (options.brokerRole === 'SLAVE' && !options.slaveReadEnable)
      throw new BrokerError('SYSTEM_BUSY', {
        reason: '[REJECTREQUEST]system busy, this broker is a slave and slaveReadEnable is false'
      })
    if (request.code === RequestCode.LITE_PULL_MESSAGE && !options.litePullMessageEnable)
      return forbidden(Forbidden.BROKER, `the broker[${this.broker.host}] for lite pull consumer is forbidden`)
    const group = groups.get(header.consumerGroup)
    if (group === undefined) throw new BrokerError('GROUP_NOT_EXIST', { group: header.consumerGroup, hint: HINT })
    if (!group.consumeEnable)
      return forbidden(Forbidden.GROUP, `subscription group no permission, ${header.consumerGroup}`)
    const topic = topics.get(header.topic)
    if (topic === undefined) throw new BrokerError('TOPIC_NOT_EXIST', { topic: header.topic, hint: ` ${HINT}` })
    if (!(topic.perm & Perm.READ))
      return forbidden(Forbidden.TOPIC, `the topic[${header.topic}] pulling message is forbidden`)
    if (header.queueId < 0 || header.queueId >= topic.readQueueNums)
      throw new BrokerError('INVALID_PARAMETER', {
        reason: `queueId[${header.queueId}] is illegal, topic:[${header.topic}] topicConfig.readQueueNums:[${topic.readQueueNums}] consumer:[/${connection.remote}]`
      })
    const subscription =
      header.sysFlag & PullFlag.SUBSCRIPTION ? this.requested(header) : this.registered(header, group)
    if ('code' in subscription) return subscription
    if (subscription.expressionType !== 'TAG' && subscription.subString !== '*')
      return response(
        ResponseCode.SYSTEM_ERROR,
        `The broker does not support consumer to filter message by ${subscription.expressionType}`
      )
    return { request, connection, header, group, topic, filter: this.filterOf(subscription) }
  }

  private filterOf(subscription: SubscriptionData): TagFilter | null {
    let filter = this.filters.get(subscription)
    if (filter === undefined) {
      filter = TagFilter.of(subscription)
      this.filters.set(subscription, filter)
    }
    return filter
  }

  private requested(header: PullHeader): SubscriptionData | RemotingCommand {
    try {
      return subscriptionOf(header.topic, header.subscription, header.expressionType)
    } catch (error) {
      return response(
        ResponseCode.SUBSCRIPTION_PARSE_FAILED,
        `parse the consumer's subscription failed: ${(error as MessageError).message}`
      )
    }
  }

  private registered(header: PullHeader, config: GroupConfig): SubscriptionData | RemotingCommand {
    const { clients, groups, options } = this.broker
    const group = clients.consumers.get(header.consumerGroup)
    if (group === undefined)
      return response(ResponseCode.SUBSCRIPTION_NOT_EXIST, `the consumer's group info not exist${HINT}`)
    if (!config.consumeBroadcastEnable && group.messageModel === 'BROADCASTING')
      return forbidden(
        Forbidden.BROADCASTING,
        `the consumer group[${header.consumerGroup}] can not consume by broadcast way`
      )
    if (groups.isReadForbidden(header.consumerGroup, header.topic))
      return forbidden(
        Forbidden.SUBSCRIPTION,
        `the consumer group[${header.consumerGroup}] is forbidden for topic[${header.topic}]`
      )
    const subscription = group.subscriptions.get(header.topic)
    if (subscription === undefined)
      return response(ResponseCode.SUBSCRIPTION_NOT_EXIST, `the consumer's subscription not exist${HINT}`)
    if (subscription.subVersion < header.subVersion)
      return response(
        ResponseCode.SUBSCRIPTION_NOT_LATEST,
        `the consumer's subscription not latest: the broker has version ${subscription.subVersion}`
      )
    if (options.rejectPullConsumerEnable && group.consumeType === 'CONSUME_ACTIVELY')
      return response(ResponseCode.SUBSCRIPTION_NOT_EXIST, 'pull consumers are rejected by this broker')
    return subscription
  }

  /** Reads and answers. A pull that comes a second time, from being held, is answered in any case. */
  private serve(pull: Pull, mayHold: boolean): void {
    const { connection, header } = pull
    if (connection.closed) return
    // It was held, and the broker's role has changed since.
    const refused = this.broker.failover?.refuseRead() ?? null
    if (refused !== null) {
      connection.reply(pull.request, refused)
      return
    }
    if (connection.saturated) {
      connection.onDrain(() => this.serve(pull, mayHold))
      return
    }
    const { offsets, store } = this.broker
    const reset = offsets.takeReset(header.consumerGroup, header.topic, header.queueId)
    if (reset >= 0) {
      this.answer(
        pull,
        {
          ...this.bounds(pull),
          status: 'OFFSET_RESET',
          nextBeginOffset: reset,
          sizeBytes: 0,
          messageCount: 0,
          slices: []
        },
        false
      )
      return
    }
    const result = store.getMessages(
      header.topic,
      header.queueId,
      header.queueOffset,
      Math.max(0, header.maxMsgNums),
      pull.filter
    )
    if (result instanceof Promise)
      result.then(
        late => {
          this.answer(pull, late, mayHold)
          late.release?.()
        },
        error => {
          this.broker.log.error({ err: error, topic: header.topic, queueId: header.queueId }, 'reading messages failed')
          connection.reply(
            pull.request,
            response(ResponseCode.SYSTEM_ERROR, `store getMessage failed: ${error.message}`)
          )
        }
      )
    else this.answer(pull, result, mayHold)
  }

  private bounds({ header }: Pull): { minOffset: number; maxOffset: number } {
    const { store } = this.broker
    return {
      minOffset: store.minQueueOffset(header.topic, header.queueId),
      maxOffset: store.maxQueueOffset(header.topic, header.queueId)
    }
  }

  private answer(pull: Pull, result: GetResult, mayHold: boolean): void {
    const { connection, header, request } = pull
    const { stats, options } = this.broker
    const isSlave = options.brokerRole === 'SLAVE'
    let code = codeOf(result.status, header.queueOffset)
    // A slave may not know yet what its master has: it never tells a consumer where else to go on.
    const isUnknown = isSlave && code === ResponseCode.PULL_OFFSET_MOVED && result.status !== 'OFFSET_RESET'
    const suggested = this.suggested(pull, result)
    const isRedirected = isSlave && suggested === MASTER_ID && this.hearsMaster && code !== ResponseCode.SUCCESS
    if ((isUnknown || code === ResponseCode.PULL_NOT_FOUND) && mayHold && header.sysFlag & PullFlag.SUSPEND) {
      this.hold(pull, isRedirected ? AT_SLAVE_MS : undefined)
      return
    }
    if (isUnknown || (isRedirected && result.status !== 'OFFSET_RESET')) code = ResponseCode.PULL_RETRY_IMMEDIATELY
    const answer = response(
      code,
      result.status,
      PullMessageResponseHeader.encode({
        suggestWhichBrokerId: suggested,
        nextBeginOffset: isUnknown ? header.queueOffset : result.nextBeginOffset,
        minOffset: result.minOffset,
        maxOffset: result.maxOffset,
        topicSysFlag: pull.topic.topicSysFlag,
        groupSysFlag: pull.group.groupSysFlag
      })
    )
    if (code !== ResponseCode.SUCCESS) {
      stats.missed()
      connection.reply(request, answer)
      return
    }
    stats.got(header.consumerGroup, header.topic, header.queueId, result.messageCount, result.sizeBytes)
    answer.opaque = request.opaque
    answer.serializeType = request.serializeType
    const head = encodeHead(answer, result.sizeBytes)
    const out = connection.output(head.length + result.sizeBytes)
    out.bytes.set(head, out.pos)
    let pos = out.pos + head.length
    for (const { bytes, start, end } of result.slices) {
      out.bytes.set(bytes.subarray(start, end), pos)
      pos += end - start
    }
    out.pos = pos
  }

  /** Whether a slave knows a master that it may send consumers to. */
  private get hearsMaster(): boolean {
    const { slave, clock } = this.broker
    return slave?.status.hearsMaster(clock.now()) === true
  }

  /**
   * The broker to ask next: a slave when the reader is far behind; from a slave, else, back to the master while it lives.
   * PullMessageProcessor#composeResponseHeader
   */
  private suggested({ header, group }: Pull, { status, nextBeginOffset }: GetResult): number {
    const { options, store } = this.broker
    if (!options.slaveReadEnable) return MASTER_ID
    const last = status === 'FOUND' ? store.unitAt(header.topic, header.queueId, nextBeginOffset - 1) : null
    if (last !== null && !store.isInMemory(last.physicalOffset)) return group.whichBrokerWhenConsumeSlowly
    return options.brokerRole === 'SLAVE' && this.hearsMaster ? MASTER_ID : group.brokerId
  }

  private hold(pull: Pull, longestMs = Number.POSITIVE_INFINITY): void {
    const { header, connection, filter } = pull
    const { options, heldPulls } = this.broker
    const waitMs = options.longPollingEnable ? header.suspendTimeoutMillis : options.shortPollingTimeMs
    heldPulls.hold({
      topic: header.topic,
      queueId: header.queueId,
      connection,
      offset: header.queueOffset,
      deadlineMs: Date.now() + Math.max(0, Math.min(waitMs, longestMs)),
      wants: tagsCode => filter === null || filter.matchesTagsCode(tagsCode),
      run: () => this.serve(pull, false)
    })
  }
}

function forbidden(forbiddenType: number, remark: string): RemotingCommand {
  return response(ResponseCode.NO_PERMISSION, remark, {
    suggestWhichBrokerId: '0',
    nextBeginOffset: '0',
    minOffset: '0',
    maxOffset: '0',
    forbiddenType: String(forbiddenType)
  })
}

/** PullMessageProcessor#composeResponseHeader */
function codeOf(status: GetStatus, requestedOffset: number): number {
  switch (status) {
    case 'FOUND':
      return ResponseCode.SUCCESS
    case 'NO_MATCHED_MESSAGE':
    case 'MESSAGE_WAS_REMOVING':
      return ResponseCode.PULL_RETRY_IMMEDIATELY
    case 'NO_MATCHED_LOGIC_QUEUE':
    case 'NO_MESSAGE_IN_QUEUE':
      return requestedOffset === 0 ? ResponseCode.PULL_NOT_FOUND : ResponseCode.PULL_OFFSET_MOVED
    case 'OFFSET_FOUND_NULL':
    case 'OFFSET_OVERFLOW_ONE':
      return ResponseCode.PULL_NOT_FOUND
    default:
      return ResponseCode.PULL_OFFSET_MOVED
  }
}
