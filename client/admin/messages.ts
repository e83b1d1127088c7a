import { decodeOffsetMessageId, PropertyName } from '../../message/index.ts'
import { RequestCode, ResponseCode, request } from '../../net/index.ts'
import { refusal } from '../client-instance.ts'
import { ClientError } from '../errors.ts'
import { decodeMessage, decodeMessages, type Message, type MessageQueue } from '../message.ts'
import type { ConsumeQueueView, MessageTrack } from './bodies.ts'
import { parseObject, selectAddress } from './codec.ts'
import { OffsetAdmin } from './offsets.ts'
import { fields } from './routes.ts'

/** Which messages a query looks for, and in which time. */
export interface QueryOptions {
  /** Default: 64. */
  maxCount?: number | undefined
  /** Stored from here on, ms since 1970. Default: 0. */
  begin?: number | undefined
  /** Stored up to here, ms since 1970. Default: without end. */
  end?: number | undefined
  /** Only brokers of this cluster. Default: all. */
  cluster?: string | undefined
}

/** What a pull asks for. */
export interface PullOptions {
  /** Tags, as `TagA || TagB`. Default: all. */
  expression?: string | undefined
  /** Pull as this group. Default: TOOLS_CONSUMER, which every broker knows. */
  group?: string | undefined
  /** The topic whose route is taken. Default: that of the queue. */
  routeTopic?: string | undefined
  /** How long the broker holds a pull that finds nothing, ms. Default: 0. */
  holdMs?: number | undefined
}

/** What a pull found, and where to go on. */
export interface AdminPullResult {
  status: 'FOUND' | 'NO_NEW_MSG' | 'NO_MATCHED_MSG' | 'OFFSET_ILLEGAL'
  messages: Message[]
  nextOffset: number
  minOffset: number
  maxOffset: number
}

/** The end of time for Java. */
const LONG_MAX = '9223372036854775807'
/** A group that every broker knows without being told. MixAll#TOOLS_CONSUMER_GROUP */
const TOOLS_GROUP = 'TOOLS_CONSUMER'
const PULL_MAY_WAIT = 2
const PULL_HAS_SUBSCRIPTION = 4
const PULL_WAIT_MS = 20_000
const MAX_INT = 0x7fff_ffff
const NOTHING = new Uint8Array(0)
const PULL_STATUS: Readonly<Record<number, AdminPullResult['status']>> = {
  [ResponseCode.SUCCESS]: 'FOUND',
  [ResponseCode.PULL_NOT_FOUND]: 'NO_NEW_MSG',
  [ResponseCode.PULL_RETRY_IMMEDIATELY]: 'NO_MATCHED_MSG',
  [ResponseCode.PULL_OFFSET_MOVED]: 'OFFSET_ILLEGAL'
}

/** Messages, by key, id and place. */
export class MessageAdmin extends OffsetAdmin {
  /** Messages with a key. Throws MESSAGE_NOT_FOUND when there are none. MQAdminExt#queryMessage */
  queryByKey(
    topic: string,
    key: string,
    options: QueryOptions & { type?: 'K' | 'T'; lastKey?: string | undefined } = {}
  ): Promise<Message[]> {
    const { type = 'K', lastKey, ...rest } = options
    return this.query(topic, key, rest, { indexType: type, lastKey, _UNIQUE_KEY_QUERY: false }, message =>
      type === 'T' ? message.tags === key : (message.keys?.split(' ').includes(key) ?? false)
    )
  }

  /** Messages with the id that their producer gave them. Throws MESSAGE_NOT_FOUND. MQAdminExt#queryMessageByUniqKey */
  queryByUniqueKey(topic: string, uniqueKey: string, options: QueryOptions = {}): Promise<Message[]> {
    return this.query(
      topic,
      uniqueKey,
      { maxCount: 32, ...options },
      { indexType: 'U', _UNIQUE_KEY_QUERY: true },
      message => message.messageId === uniqueKey
    )
  }

  /** The message at a position of a broker's CommitLog. MQClientAPIImpl#viewMessage */
  async viewMessage(address: string, topic: string, physicalOffset: number): Promise<Message> {
    const { body } = await this.ask(address, RequestCode.VIEW_MESSAGE_BY_ID, { topic, offset: physicalOffset })
    return decodeMessage(body ?? NOTHING, '')
  }

  /** A message by either kind of id. Throws MESSAGE_NOT_FOUND. MQAdminExt#queryMessage */
  async messageById(topic: string, id: string, options: QueryOptions = {}): Promise<Message> {
    try {
      const { host, physicalOffset } = decodeOffsetMessageId(id)
      return await this.viewMessage(host.text, topic, physicalOffset)
    } catch {
      // Its producer's id has as many digits, and names an address where nobody listens.
    }
    const begin = Date.now() - 3 * 24 * 3600 * 1000
    const [message] = await this.queryByUniqueKey(topic, id, { begin, ...options })
    return message!
  }

  /** Messages of a queue from an offset on, without a member of the group being needed. MQPullConsumer#pull */
  async pull(
    queue: MessageQueue,
    offset: number,
    maxCount: number,
    { expression = '*', group = TOOLS_GROUP, routeTopic, holdMs = 0 }: PullOptions = {}
  ): Promise<AdminPullResult> {
    const address = await this.addressOf(queue, routeTopic)
    const command = request(
      RequestCode.PULL_MESSAGE,
      fields({
        consumerGroup: group,
        topic: queue.topic,
        queueId: queue.queueId,
        queueOffset: offset,
        maxMsgNums: maxCount,
        sysFlag: PULL_HAS_SUBSCRIPTION | (holdMs > 0 ? PULL_MAY_WAIT : 0),
        commitOffset: 0,
        suspendTimeoutMillis: holdMs || PULL_WAIT_MS,
        subscription: expression,
        subVersion: 0,
        expressionType: 'TAG',
        maxMsgBytes: MAX_INT,
        bname: queue.brokerName
      })
    )
    const answer = await this.instance.invoke(address, command, this.timeoutMs + (holdMs || PULL_WAIT_MS))
    const status = PULL_STATUS[answer.code]
    if (status === undefined) throw refusal(address, command, answer)
    const { nextBeginOffset = '0', minOffset = '0', maxOffset = '0' } = answer.extFields ?? {}
    const messages = status === 'FOUND' ? await decodeMessages(answer.body ?? NOTHING, queue.brokerName) : []
    // PullAPIWrapper#processPullResult
    for (const { properties } of messages)
      properties.set(PropertyName.MIN_OFFSET, minOffset).set(PropertyName.MAX_OFFSET, maxOffset)
    return {
      status,
      messages,
      nextOffset: Number(nextBeginOffset),
      minOffset: Number(minOffset),
      maxOffset: Number(maxOffset)
    }
  }

  /** What became of a message in each group that consumes its topic. MQAdminExt#messageTrackDetail */
  async messageTracks(message: Message): Promise<MessageTrack[]> {
    const tracks: MessageTrack[] = []
    for (const group of await this.groupsOfTopic(message.topic)) tracks.push(await this.messageTrack(message, group))
    return tracks
  }

  /** The entries of a ConsumeQueue, and which of them a group would get. MQAdminExt#queryConsumeQueue */
  async queryConsumeQueue(
    address: string,
    topic: string,
    queueId: number,
    index: number,
    count: number,
    consumerGroup?: string
  ): Promise<ConsumeQueueView> {
    const header = { topic, queueId, index, count, consumerGroup }
    const { body } = await this.ask(address, RequestCode.QUERY_CONSUME_QUEUE, header)
    return { maxQueueIndex: 0, minQueueIndex: 0, ...parseObject<ConsumeQueueView>(body) }
  }

  private async query(
    topic: string,
    key: string,
    { maxCount = 64, begin = 0, end, cluster }: QueryOptions,
    more: Record<string, string | boolean | undefined>,
    matches: (message: Message) => boolean
  ): Promise<Message[]> {
    const { brokerDatas } = await this.topicRoute(topic)
    const brokers = brokerDatas.filter(broker => cluster === undefined || broker.cluster === cluster)
    const header = { topic, key, maxNum: maxCount, beginTimestamp: begin, endTimestamp: end ?? LONG_MAX, ...more }
    const command = () => request(RequestCode.QUERY_MESSAGE, fields(header))
    const found: Message[] = []
    await Promise.all(
      brokers.map(async broker => {
        const address = selectAddress(broker)
        if (address === undefined) return
        // A broker that has nothing, or does not answer, must not hide what others have.
        const answer = await this.instance.invoke(address, command(), this.timeoutMs * 3).catch(() => null)
        if (answer?.code !== ResponseCode.SUCCESS || answer.body === null) return
        found.push(...(await decodeMessages(answer.body, broker.brokerName)).filter(matches))
      })
    )
    if (found.length === 0)
      throw new ClientError('MESSAGE_NOT_FOUND', { topic, key, responseCode: ResponseCode.NO_MESSAGE })
    return found
  }

  private async messageTrack(message: Message, group: string): Promise<MessageTrack> {
    const track: MessageTrack = { consumerGroup: group, trackType: 'UNKNOWN', exceptionDesc: null }
    try {
      const connection = await this.consumerConnection(group)
      if (connection.consumeType === 'CONSUME_ACTIVELY') track.trackType = 'PULL'
      else if (connection.consumeType === 'CONSUME_PASSIVELY') {
        track.trackType = (await this.isConsumed(message, group)) ? 'CONSUMED' : 'NOT_CONSUME_YET'
        const { tagsSet = [] } = connection.subscriptionTable[message.topic] ?? {}
        const wanted = tagsSet.length === 0 || tagsSet.includes('*') || tagsSet.includes(message.tags ?? '')
        if (track.trackType === 'CONSUMED' && !wanted) track.trackType = 'CONSUMED_BUT_FILTERED'
      }
    } catch (error) {
      const code = error instanceof ClientError ? error.responseCode : null
      if (code === ResponseCode.CONSUMER_NOT_ONLINE) track.trackType = 'NOT_ONLINE'
      if (code === ResponseCode.BROADCAST_CONSUMPTION) track.trackType = 'CONSUME_BROADCASTING'
      else {
        const reason = error instanceof ClientError ? (error.details.remark ?? error.message) : (error as Error).message
        track.exceptionDesc = code === null ? String(reason) : `CODE:${code} DESC:${reason}`
      }
    }
    return track
  }

  /** Whether a group's offset has passed a message. MQAdminExt#consumed */
  private async isConsumed(message: Message, group: string): Promise<boolean> {
    const { queues } = await this.consumeStats(group)
    const { brokerAddrTable } = await this.clusterInfo()
    return queues.some(
      queue =>
        queue.topic === message.topic &&
        queue.queueId === message.queueId &&
        brokerAddrTable[queue.brokerName]?.brokerAddrs.get(0) === message.storeHost.text &&
        queue.consumerOffset > message.queueOffset
    )
  }
}
