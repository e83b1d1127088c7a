import { type PutMessage, PutStatus, type PutWaiter } from '../../engine/index.ts'
import {
  BatchCursor,
  checkTopicName,
  createUniqueKey,
  DLQ_PREFIX,
  decodeProperties,
  dlqTopicOf,
  encodeProperties,
  encodeRecallHandle,
  hostOf,
  Interner,
  isRetryTopic,
  MAX_PROPERTIES_BYTES,
  MessageError,
  NOT_SENDABLE_TOPICS,
  offsetMessageId,
  type Properties,
  PropertyName,
  PropertyScan,
  RETRY_PREFIX,
  ScannedProperty,
  SysFlag,
  TIMER_TOPIC
} from '../../message/index.ts'
import {
  type Connection,
  type ExtFields,
  type Frame,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response,
  SendHeaderView,
  SendMessageHeader,
  SendMessageV2Header,
  type SerializeType,
  writeSendResponse
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { BrokerError, HINT } from '../errors.ts'
import { understandsGoAway } from '../hand-over.ts'
import { divertDelayed, type InnerMessage, isStored, PUT_RESPONSE, toPut } from '../put.ts'
import { divertTimed } from '../timer-hook.ts'
import { Perm, type TopicConfig } from '../topics.ts'
import { bornHostOf } from './born-host.ts'

type SendHeader = HeaderValuesOf<typeof SendMessageHeader>
type HeaderValuesOf<H> = H extends { decode(ext: ExtFields | null): infer V } ? V : never

/** Bits that a client may set; the rest belongs to the store or to transactions. */
const CLIENT_SYS_FLAGS = SysFlag.COMPRESSED | SysFlag.MULTI_TAGS | SysFlag.COMPRESSION_MASK
const INNER_BATCH_FLAGS = SysFlag.INNER_BATCH | SysFlag.NEED_UNWRAP
/** A message with one of these is no plain one: it takes the general way. */
const UNUSUAL = [
  ScannedProperty.DELAY,
  ScannedProperty.TRAN_MSG,
  ScannedProperty.POP_CK,
  ScannedProperty.CLUSTER,
  ScannedProperty.MSG_REGION,
  ScannedProperty.TRACE_ON,
  ScannedProperty.TIMER_DELAY_SEC,
  ScannedProperty.TIMER_DELAY_MS,
  ScannedProperty.TIMER_DELIVER_MS,
  ScannedProperty.INNER_NUM
]
const TIMER_PROPERTIES = [PropertyName.TIMER_DELAY_SEC, PropertyName.TIMER_DELAY_MS, PropertyName.TIMER_DELIVER_MS]
const MAX_POOLED_REPLIES = 4096

/** SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE. SendMessageProcessor */
export class SendProcessor {
  private readonly broker: Broker
  private readonly header = new SendHeaderView()
  private readonly scan = new PropertyScan()
  private readonly topicNames = new Interner()
  private readonly replies: DirectReply[] = []
  private readonly plain: PutMessage
  /** Properties that every stored message gets from the broker. */
  private readonly ownProperties: Properties
  private readonly ownPropertyBytes: Uint8Array
  private readonly answerFields: ExtFields
  private readonly directAllowed: boolean
  /** Sends that wait for their acknowledgement. */
  pending = 0

  constructor(broker: Broker) {
    this.broker = broker
    const { regionId, traceOn, brokerClusterName } = broker.options
    this.ownProperties = new Map([
      [PropertyName.MSG_REGION, regionId],
      [PropertyName.TRACE_ON, String(traceOn)],
      [PropertyName.CLUSTER, brokerClusterName]
    ])
    this.ownPropertyBytes = Buffer.from(encodeProperties(this.ownProperties))
    this.answerFields = { TRACE_ON: String(traceOn), MSG_REGION: regionId }
    // The direct way writes these two into its answers as constants.
    this.directAllowed = regionId === 'DefaultRegion' && traceOn && broker.options.brokerRole !== 'SLAVE'
    const scratch = Buffer.allocUnsafeSlow(MAX_PROPERTIES_BYTES)
    this.plain = {
      topic: '',
      queueId: 0,
      flag: 0,
      sysFlag: 0,
      bornTimestamp: 0,
      bornHost: hostOf('127.0.0.1', 0),
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: scratch,
      bodyStart: 0,
      bodyEnd: 0,
      properties: scratch,
      propertiesStart: 0,
      propertiesEnd: 0,
      waitStored: true
    }
  }

  register(): void {
    const { dispatcher } = this.broker
    const general = (request: RemotingCommand, connection: Connection) => this.general(request, connection)
    for (const code of [RequestCode.SEND_MESSAGE, RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE])
      dispatcher.register(code, general)
    if (this.directAllowed)
      dispatcher.registerDirect(RequestCode.SEND_MESSAGE_V2, (frame, connection) => this.direct(frame, connection))
  }

  /**
   * The way of a plain message: nothing is decoded into objects, and nothing is allocated. False leaves the frame to the
   * general way, which also gives all refusals.
   */
  private direct(frame: Frame, connection: Connection): boolean {
    const { header, scan, plain, broker } = this
    if (!header.decode(frame) || header.batch || frame.bodyEnd === frame.headerEnd) return false
    if (header.sysFlag & ~CLIENT_SYS_FLAGS || broker.stopping || this.pending >= broker.options.maxPendingSends)
      return false
    const topic = this.topicNames.get(header.bytes, header.topicStart, header.topicEnd)
    const config = broker.topics.get(topic)
    if (config === undefined || !this.isPlainTopic(config)) return false
    if (header.queueId < 0 || header.queueId >= Math.max(config.writeQueueNums, config.readQueueNums)) return false

    const length = header.propertiesEnd - header.propertiesStart
    const bytes = header.propertiesBytes
    scan.scan(bytes, header.propertiesStart, header.propertiesEnd)
    if (!scan.has(ScannedProperty.UNIQ_KEY)) return false
    for (const id of UNUSUAL) if (scan.has(id)) return false
    const own = this.ownPropertyBytes
    if (length + own.length + 1 > MAX_PROPERTIES_BYTES) return false

    const properties = plain.properties
    properties.set(bytes.subarray(header.propertiesStart, header.propertiesEnd))
    let end = length
    if (properties[end - 1] !== 2) properties[end++] = 2
    properties.set(own, end)
    plain.propertiesEnd = end + own.length
    plain.topic = topic
    plain.queueId = header.queueId
    plain.flag = header.flag
    plain.sysFlag = header.sysFlag
    plain.bornTimestamp = header.bornTimestamp
    plain.bornHost = bornHostOf(connection)
    plain.reconsumeTimes = header.reconsumeTimes
    plain.body = frame.bytes
    plain.bodyStart = frame.headerEnd
    plain.bodyEnd = frame.bodyEnd
    const waitStart = scan.start(ScannedProperty.WAIT)
    plain.waitStored = waitStart < 0 || bytes[waitStart] !== 0x66 // f
    connection.version = header.version

    const reply = this.replies.pop() ?? new DirectReply(this)
    reply.connection = connection
    reply.serializeType = frame.serializeType
    reply.opaque = header.opaque
    reply.oneWay = header.oneWay
    reply.topic = topic
    reply.queueId = header.queueId
    reply.bodyBytes = frame.bodyEnd - frame.headerEnd
    reply.id = bytes
    reply.idStart = scan.start(ScannedProperty.UNIQ_KEY)
    reply.idEnd = scan.end(ScannedProperty.UNIQ_KEY)
    // Unescaped properties lie in a buffer that the next message overwrites.
    if (bytes !== header.bytes) reply.keepId()
    this.pending++
    broker.store.put(plain, reply)
    return true
  }

  /** Neither reserved nor with rules of its own. */
  private isPlainTopic(config: TopicConfig): boolean {
    const { topicName, attributes } = config
    return (
      topicName.charCodeAt(0) !== 0x25 && // %RETRY%, %DLQ%
      !NOT_SENDABLE_TOPICS.has(topicName) &&
      attributes['cleanup.policy'] !== 'COMPACTION' &&
      config.topicFilterType === 'SINGLE_TAG' &&
      (this.broker.options.brokerPermission & Perm.WRITE) !== 0 &&
      this.broker.options.startAcceptSendRequestTimestamp === 0
    )
  }

  /** Called by a reply when its put has ended. */
  ended(reply: DirectReply, status: number): void {
    this.pending--
    if (isStored(status)) this.broker.stats.put(reply.topic, reply.queueId, 1, reply.bodyBytes)
    if (this.replies.length < MAX_POOLED_REPLIES) this.replies.push(reply)
  }

  /** What a refused put is answered. */
  refusal(status: number, reason: string | null): RemotingCommand {
    const code = PUT_RESPONSE[status] ?? ResponseCode.SYSTEM_ERROR
    let remark = reason
    if (status === PutStatus.SERVICE_NOT_AVAILABLE) remark = `service not available now: ${reason}`
    if (status === PutStatus.OS_PAGE_CACHE_BUSY)
      remark = `[PC_SYNCHRONIZED]broker busy, start flow control for a while: ${reason}`
    if (code === ResponseCode.MESSAGE_ILLEGAL)
      remark = `the message is illegal: ${reason}. msg body length limit ${this.broker.store.options.maxMessageSizeBytes}B, msg properties length limit 32KB.`
    return response(code, remark, { ...this.answerFields })
  }

  private general(request: RemotingCommand, connection: Connection): RemotingCommand | Promise<RemotingCommand> {
    try {
      const header = decodeHeader(request)
      this.checkState(request, header)
      const topic = this.broker.topics.get(header.topic)
      if (topic !== undefined) return this.send(request, header, topic, connection)
      return this.createTopic(header, connection)
        .then(made => this.send(request, header, made, connection))
        .catch(error => this.answerError(error))
    } catch (error) {
      return this.answerError(error)
    }
  }

  /** Refusals of sends name region and trace too. */
  private answerError(error: unknown): RemotingCommand {
    if (error instanceof BrokerError) return response(error.responseCode, error.message, { ...this.answerFields })
    throw error
  }

  /** What speaks against any message now. SendMessageProcessor#preSend, #msgCheck */
  private checkState(request: RemotingCommand, header: SendHeader): void {
    const { options, stopping, topics } = this.broker
    if (stopping)
      throw new BrokerError(understandsGoAway(request) ? 'GO_AWAY' : 'SERVICE_NOT_AVAILABLE', {
        reason: 'the broker stops'
      })
    if (options.brokerRole === 'SLAVE')
      throw new BrokerError('SYSTEM_BUSY', { reason: '[REJECTREQUEST]system busy, this broker is a slave' })
    if (this.pending >= options.maxPendingSends)
      throw new BrokerError('SYSTEM_BUSY', {
        reason: `[OVERLOAD]system busy, start flow control for a while: ${this.pending} messages wait for the disk`
      })
    if (Date.now() < options.startAcceptSendRequestTimestamp)
      throw new BrokerError('UNSUPPORTED', {
        reason: `broker unable to service, until ${new Date(options.startAcceptSendRequestTimestamp).toISOString()}`
      })
    if (!(options.brokerPermission & Perm.WRITE) && topics.get(header.topic)?.order)
      throw new BrokerError('TOPIC_NOT_WRITABLE', { broker: this.broker.host })
    const nameFault = checkTopicName(header.topic)
    if (nameFault !== null) throw new BrokerError('INVALID_PARAMETER', { reason: nameFault })
    if (NOT_SENDABLE_TOPICS.has(header.topic)) throw new BrokerError('TOPIC_NOT_SENDABLE', { topic: header.topic })
  }

  private async createTopic(header: SendHeader, connection: Connection): Promise<TopicConfig> {
    const { topic, defaultTopic, defaultTopicQueueNums } = header
    const made = await this.broker.topics.getOrCreate(
      topic,
      defaultTopic,
      defaultTopicQueueNums,
      header.unitMode ? 1 : 0
    )
    if (made === undefined) throw new BrokerError('TOPIC_NOT_EXIST', { topic, hint: HINT, remote: connection.remote })
    return made
  }

  private send(
    request: RemotingCommand,
    header: SendHeader,
    topic: TopicConfig,
    connection: Connection
  ): RemotingCommand | Promise<RemotingCommand> {
    const queueCount = Math.max(topic.writeQueueNums, topic.readQueueNums)
    if (header.queueId >= queueCount)
      throw new BrokerError('QUEUE_ID_ILLEGAL', {
        queueId: header.queueId,
        topicConfig: describe(topic),
        remote: connection.remote
      })
    const body = request.body
    if (body === null || body.length === 0)
      throw new BrokerError('MESSAGE_ILLEGAL', { reason: 'the message is illegal: it has no body' })
    const message: InnerMessage = {
      topic: header.topic,
      queueId: header.queueId >= 0 ? header.queueId : Math.floor(Math.random() * topic.writeQueueNums),
      flag: header.flag,
      sysFlag: (header.sysFlag & CLIENT_SYS_FLAGS) | (topic.topicFilterType === 'MULTI_TAG' ? SysFlag.MULTI_TAGS : 0),
      bornTimestamp: header.bornTimestamp,
      bornHost: bornHostOf(connection),
      reconsumeTimes: header.reconsumeTimes ?? 0,
      preparedTransactionOffset: 0,
      body,
      properties: decodeProperties(header.properties),
      waitStored: true
    }
    const isBatchQueue = this.broker.topics.queueTypeOf(message.topic) === 'BatchCQ'
    message.waitStored = message.properties.get(PropertyName.WAIT) !== 'false'
    const batch = request.code === RequestCode.SEND_BATCH_MESSAGE || header.batch === true
    if (isRetryTopic(message.topic)) {
      if (batch) throw new BrokerError('MESSAGE_ILLEGAL', { reason: 'batch request does not support retry group' })
      return this.sendToRetryTopic(header, message)
    }
    const innerBatch = batch && isBatchQueue && message.properties.has(PropertyName.UNIQ_KEY)
    if (!batch) checkInnerBatch(message, header.sysFlag, isBatchQueue)
    this.complete(message, topic)
    if (innerBatch) return this.putInnerBatch(message)
    return batch ? this.putBatch(message) : this.put(message)
  }

  /** Adds what the broker adds, and refuses what it does not serve. */
  private complete(message: InnerMessage, topic: TopicConfig | undefined): void {
    const { properties } = message
    properties.delete(PropertyName.POP_CK)
    for (const [name, value] of this.ownProperties) properties.set(name, value)
    if (!properties.get(PropertyName.UNIQ_KEY)) properties.set(PropertyName.UNIQ_KEY, createUniqueKey())
    if (properties.get(PropertyName.TRAN_MSG) === 'true')
      throw new BrokerError('NO_PERMISSION', {
        reason: `the broker[${this.broker.host}] sending transaction message is forbidden`
      })
    if (topic?.attributes['cleanup.policy'] === 'COMPACTION' && !properties.get(PropertyName.KEYS))
      throw new BrokerError('MESSAGE_ILLEGAL', { reason: 'the message has no key, which a compaction topic needs' })
  }

  /** A client that cannot send a message back sends it to the retry topic itself. SendMessageProcessor#handleRetryAndDLQ */
  private async sendToRetryTopic(header: SendHeader, message: InnerMessage): Promise<RemotingCommand> {
    const { groups, locks, topics } = this.broker
    const group = message.topic.slice(RETRY_PREFIX.length)
    const config = groups.get(group)
    if (config === undefined) throw new BrokerError('GROUP_NOT_EXIST', { group, hint: HINT })
    const limit = header.maxReconsumeTimes ?? config.retryMaxTimes
    if (message.reconsumeTimes > limit || locks.isHeld(group)) {
      const dlq = await topics.ensure(dlqTopicOf(group), 1, Perm.READ | Perm.WRITE)
      message.topic = dlq.topicName
      message.queueId = 0
      for (const name of [PropertyName.DELAY, ...TIMER_PROPERTIES]) message.properties.delete(name)
    }
    this.complete(message, topics.get(message.topic))
    return this.put(message)
  }

  private put(message: InnerMessage, count = 1, more: ExtFields = {}): Promise<RemotingCommand> {
    const { store, stats } = this.broker
    const transactionId = message.properties.get(PropertyName.UNIQ_KEY)!
    const { queueId } = message
    divertTimed(message, this.broker)
    divertDelayed(message, this.broker.delaysMs.length)
    const fields = { ...more, ...this.recallFields(message) }
    this.pending++
    return new Promise(resolve => {
      store.put(toPut(message), {
        onPut: (status, physicalOffset, queueOffset, _, reason) => {
          this.pending--
          if (!isStored(status)) {
            resolve(this.refusal(status, reason))
            return
          }
          stats.put(message.topic, message.queueId, count, message.body.length)
          const id = this.messageId(physicalOffset)
          resolve(this.stored(status, queueId, transactionId, id, queueOffset, fields))
        }
      })
    })
  }

  /** What names a message that waits for its time, so that it can be recalled. SendMessageProcessor#attachRecallHandle */
  private recallFields({ topic, properties }: InnerMessage): ExtFields {
    const realTopic = properties.get(PropertyName.REAL_TOPIC)
    if (topic !== TIMER_TOPIC || realTopic === undefined || isRetryTopic(realTopic)) return {}
    return {
      recallHandle: encodeRecallHandle({
        topic: realTopic,
        brokerName: this.broker.options.brokerName,
        // A request that is due then comes into the same slot.
        deliverMs: String(Number(properties.get(PropertyName.TIMER_OUT_MS)) + 1),
        uniqueKey: properties.get(PropertyName.UNIQ_KEY)!
      })
    }
  }

  /** A batch that its producer named as a whole is one record in a topic of batch queues. SendMessageProcessor#sendBatchMessage */
  private putInnerBatch(message: InnerMessage): Promise<RemotingCommand> {
    checkBatch(message)
    const batchUniqId = message.properties.get(PropertyName.UNIQ_KEY)!
    const count = countOfBatch(message.body)
    message.sysFlag |= INNER_BATCH_FLAGS
    message.properties.set(PropertyName.INNER_NUM, String(count))
    return this.put(message, count, { batchUniqId })
  }

  /** SendMessageProcessor#sendBatchMessage */
  private putBatch(message: InnerMessage): Promise<RemotingCommand> {
    const { store, stats } = this.broker
    checkBatch(message)
    const transactionId = message.properties.get(PropertyName.UNIQ_KEY)!
    const { topic, queueId } = message
    const physicalOffsets: number[] = []
    this.pending++
    return new Promise((resolve, reject) => {
      try {
        store.putBatch(
          toPut(message),
          {
            onPut: (status, _first, queueOffset, _, reason) => {
              this.pending--
              if (!isStored(status)) {
                resolve(this.refusal(status, reason))
                return
              }
              stats.put(topic, queueId, physicalOffsets.length, message.body.length)
              const ids = physicalOffsets.map(physicalOffset => this.messageId(physicalOffset)).join(',')
              resolve(this.stored(status, queueId, transactionId, ids, queueOffset))
            }
          },
          physicalOffsets
        )
      } catch (error) {
        this.pending--
        reject(error instanceof MessageError ? new BrokerError('MESSAGE_ILLEGAL', { reason: error.message }) : error)
      }
    }).catch(error => this.answerError(error)) as Promise<RemotingCommand>
  }

  private messageId(physicalOffset: number): string {
    return offsetMessageId(this.broker.store.options.storeHost, physicalOffset)
  }

  private stored(
    status: number,
    queueId: number,
    transactionId: string,
    msgId: string,
    queueOffset: number,
    more: ExtFields = {}
  ): RemotingCommand {
    return response(PUT_RESPONSE[status]!, null, {
      queueId: String(queueId),
      transactionId,
      msgId,
      ...this.answerFields,
      ...more,
      queueOffset: String(queueOffset)
    })
  }

  /** The store host as answers begin with it. */
  get hostHex(): Uint8Array {
    this.hostHexBytes ??= Buffer.from(
      Buffer.from(this.broker.store.options.storeHost.bytes).toString('hex').toUpperCase()
    )
    return this.hostHexBytes
  }
  private hostHexBytes: Uint8Array | null = null
}

/** Waits for the store on behalf of one plain send, then writes the answer in place. */
class DirectReply implements PutWaiter {
  connection!: Connection
  serializeType: SerializeType = 0
  opaque = 0
  oneWay = false
  topic = ''
  queueId = 0
  bodyBytes = 0
  id: Uint8Array = new Uint8Array(0)
  idStart = 0
  idEnd = 0
  private readonly owner: SendProcessor

  constructor(owner: SendProcessor) {
    this.owner = owner
  }

  /** Copies the id, which otherwise stays where it came in. */
  keepId(): void {
    this.id = this.id.slice(this.idStart, this.idEnd)
    this.idEnd -= this.idStart
    this.idStart = 0
  }

  onPut(
    status: number,
    physicalOffset: number,
    queueOffset: number,
    _storeTimestamp: number,
    reason: string | null
  ): void {
    const { connection, owner } = this
    if (!this.oneWay && !connection.closed) {
      if (isStored(status))
        writeSendResponse(
          connection,
          this.serializeType,
          this.opaque,
          PUT_RESPONSE[status]!,
          owner.hostHex,
          physicalOffset,
          this.queueId,
          queueOffset,
          this.id,
          this.idStart,
          this.idEnd
        )
      else {
        const answer = owner.refusal(status, reason)
        answer.opaque = this.opaque
        answer.serializeType = this.serializeType
        connection.send(answer)
      }
    }
    owner.ended(this, status)
  }
}

/** What speaks against a batch. SendMessageProcessor#sendBatchMessage */
function checkBatch(message: InnerMessage): void {
  const isDelayed = Number(message.properties.get(PropertyName.DELAY)) > 0
  if (isDelayed || TIMER_PROPERTIES.some(name => message.properties.has(name)))
    throw new BrokerError('MESSAGE_ILLEGAL', { reason: 'batch request does not support delay messages' })
  if (message.topic.startsWith(DLQ_PREFIX) || Buffer.byteLength(message.topic) > 127)
    throw new BrokerError('MESSAGE_ILLEGAL', {
      reason: `message topic length over 127 or not for batches: ${message.topic}`
    })
}

function countOfBatch(body: Uint8Array): number {
  let count = 0
  try {
    for (const batch = new BatchCursor(body); batch.next(); ) count++
  } catch (error) {
    throw error instanceof MessageError ? new BrokerError('MESSAGE_ILLEGAL', { reason: error.message }) : error
  }
  return count
}

/** A single send may bring a record that is a batch already, if it says so and its topic is made for that. HookUtils#checkInnerBatch */
function checkInnerBatch(message: InnerMessage, sysFlag: number, isBatchQueue: boolean): void {
  const number = message.properties.get(PropertyName.INNER_NUM)
  const isInnerBatch = (sysFlag & SysFlag.INNER_BATCH) !== 0
  if (number === undefined && !isInnerBatch) return
  const illegal = (reason: string) => new BrokerError('MESSAGE_ILLEGAL', { reason })
  if (!isInnerBatch) throw illegal(`the message had the property ${PropertyName.INNER_NUM} but is not an inner batch`)
  if (!isBatchQueue) throw illegal(`the message is an inner batch but the topic ${message.topic} has no batch queues`)
  const count = countOfBatch(message.body)
  if (String(count) !== number) throw illegal(`the message is an inner batch of ${number} messages but has ${count}`)
  message.sysFlag |= INNER_BATCH_FLAGS
}

/** The long names of V2's short ones. SendMessageRequestHeaderV2#createSendMessageRequestHeaderV1 */
function decodeHeader(request: RemotingCommand): SendHeader {
  if (request.code === RequestCode.SEND_MESSAGE) return SendMessageHeader.decode(request.extFields)
  const v2: HeaderValuesOf<typeof SendMessageV2Header> = SendMessageV2Header.decode(request.extFields)
  return {
    producerGroup: v2.a,
    topic: v2.b,
    defaultTopic: v2.c,
    defaultTopicQueueNums: v2.d,
    queueId: v2.e,
    sysFlag: v2.f,
    bornTimestamp: v2.g,
    flag: v2.h,
    properties: v2.i,
    reconsumeTimes: v2.j,
    unitMode: v2.k,
    maxReconsumeTimes: v2.l,
    batch: v2.m
  }
}

/** PermName#perm2String */
function describe(topic: TopicConfig): string {
  const perm = `${topic.perm & Perm.READ ? 'R' : '-'}${topic.perm & Perm.WRITE ? 'W' : '-'}${topic.perm & Perm.INHERIT ? 'X' : '-'}`
  const attributes = Object.entries(topic.attributes).map(([key, value]) => `${key}=${value}`)
  return `TopicConfig [topicName=${topic.topicName}, readQueueNums=${topic.readQueueNums}, writeQueueNums=${topic.writeQueueNums}, perm=${perm}, topicFilterType=${topic.topicFilterType}, topicSysFlag=${topic.topicSysFlag}, order=${topic.order}, attributes={${attributes.join(', ')}}]`
}
