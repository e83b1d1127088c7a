import {
  type BatchMessage,
  type CompressionType,
  checkGroupName,
  compressBody,
  copyOf,
  createUniqueKey,
  decodeRecallHandle,
  encodeBatch,
  encodeProperties,
  isRetryTopic,
  NAME_VALUE_SEPARATOR,
  PROPERTY_SEPARATOR,
  type Properties,
  PropertyName
} from '../message/index.ts'
import { RecallMessageHeader, RecallMessageResponseHeader, RequestCode, ResponseCode, request } from '../net/index.ts'
import { ClientInstance, CREATE_TOPIC_KEY, type ProducerMember } from './client-instance.ts'
import { ClientError } from './errors.ts'
import { FaultStrategy } from './fault-strategy.ts'
import type { Message, MessageQueue, OutgoingMessage } from './message.ts'
import { withNamespace, withoutNamespace } from './namespace.ts'
import { type ClientOptions, checkInteger, clientOptionDefaults, withDefaults } from './options.ts'
import { bodyBytes, checkSendable, encodeOwnProperties } from './outgoing.ts'
import type { Publication } from './publication.ts'
import { PendingReplies, replyTo } from './replies.ts'
import { type MessageQueueSelector, selectByHash } from './selectors.ts'
import { Sender, Sending, type SendResult } from './sending.ts'

/** How a producer works; every option but `group` may be left out. DefaultMQProducer */
export interface ProducerOptions extends ClientOptions {
  /** The producer's group: brokers ask any of its members how a transaction went. */
  group: string
  /** The topic whose brokers and settings a topic gets that does not exist yet. Default: TBW102. */
  createTopicKey: string
  /** How many queues on each broker such a topic gets at most. Default: 4. */
  defaultTopicQueueCount: number
  /** Limit of a send with all its attempts, ms. Default: 3,000. */
  sendTimeoutMs: number
  /** How often a failed send is tried again, on another broker if there is one. Default: 2. retryTimesWhenSendFailed */
  retryTimes: number
  /** Try again, too, when a broker has stored a message but not as safely as it is set to. Default: false. */
  retryAnotherBrokerWhenNotStored: boolean
  /** Answers after which a send is tried again. Default: 1, 2, 14, 16, 17, 204, 205, 1500. */
  retryResponseCodes: readonly number[]
  /** Bodies of so many bytes and more travel compressed. Default: 4,096. compressMsgBodyOverHowmuch */
  compressBodyOverBytes: number
  /** `zlib`, `lz4` (with the package lz4-napi) or `zstd` (from Node.js 22.15). Default: zlib. */
  compressionType: CompressionType
  /** zlib's level, 0 to 9. Default: 5. */
  compressionLevel: number
  /** Larger bodies are refused. Default: 4 MiB. maxMessageSize */
  maxMessageBytes: number
  /** Avoid brokers that were slow or failed, for a time that grows with it. Default: false. sendLatencyFaultEnable */
  latencyFaultTolerance: boolean
}

export const producerDefaults: Readonly<ProducerOptions> = Object.freeze({
  ...clientOptionDefaults,
  group: '',
  createTopicKey: CREATE_TOPIC_KEY,
  defaultTopicQueueCount: 4,
  sendTimeoutMs: 3000,
  retryTimes: 2,
  retryAnotherBrokerWhenNotStored: false,
  retryResponseCodes: Object.freeze([
    ResponseCode.SYSTEM_ERROR,
    ResponseCode.SYSTEM_BUSY,
    ResponseCode.SERVICE_NOT_AVAILABLE,
    ResponseCode.NO_PERMISSION,
    ResponseCode.TOPIC_NOT_EXIST,
    ResponseCode.NO_BUYER_ID,
    ResponseCode.NOT_IN_CURRENT_UNIT,
    ResponseCode.GO_AWAY
  ]),
  compressBodyOverBytes: 4096,
  compressionType: 'zlib',
  compressionLevel: 5,
  maxMessageBytes: 4 * 1024 * 1024,
  latencyFaultTolerance: false
})

/** How one send differs. */
export interface SendOptions<A = unknown> {
  /** Send to this queue, and once. */
  queue?: MessageQueue
  /** Choose the queue with this, and send once. */
  selector?: MessageQueueSelector<A>
  /** What the selector gets. */
  arg?: A
  /** Instead of the producer's `sendTimeoutMs`. */
  timeoutMs?: number
}

/** A message whose properties are complete. */
export interface RawMessage {
  /** As brokers know it. */
  topic: string
  body: Uint8Array
  properties: Properties
  flag?: number
  sysFlag?: number
  reconsumeTimes?: number
  maxReconsumeTimes?: number
}

const NO_OPTIONS = Object.freeze({})
const DEFAULT_GROUP = 'DEFAULT_PRODUCER'

type State = 'not started' | 'running' | 'closed'

/**
 * Sends messages. Many sends may be under way at once: they travel over one connection to each broker, and what is sent
 * within one turn of the event loop goes out together. DefaultMQProducer
 */
export class Producer {
  readonly options: Readonly<ProducerOptions>
  /** What this producer shares with others, if it was given one. */
  readonly instance: ClientInstance
  protected readonly sender: Sender
  /** How brokers reach this producer. */
  protected readonly member: ProducerMember
  private readonly ownsInstance: boolean
  private readonly replies = new PendingReplies()
  /** Topics whose brokers were all met because of requests. */
  private readonly requestTopics = new Set<string>()
  private state: State = 'not started'

  /** Throws ClientError GROUP_BAD, OPTION_BAD or NO_NAMESRV. */
  constructor(given: Partial<ProducerOptions> & { group: string }, instance?: ClientInstance) {
    const options = withDefaults(producerDefaults, given)
    const reason = checkGroupName(options.group)
    if (reason !== null) throw new ClientError('GROUP_BAD', { reason })
    if (options.group === DEFAULT_GROUP)
      throw new ClientError('GROUP_BAD', { reason: `${DEFAULT_GROUP} is the name of a group that was never set` })
    checkInteger('defaultTopicQueueCount', options.defaultTopicQueueCount, 1)
    checkInteger('sendTimeoutMs', options.sendTimeoutMs, 1)
    checkInteger('retryTimes', options.retryTimes, 0)
    checkInteger('compressBodyOverBytes', options.compressBodyOverBytes, 0)
    checkInteger('compressionLevel', options.compressionLevel, 0, 9)
    checkInteger('maxMessageBytes', options.maxMessageBytes, 1)
    this.options = options
    this.ownsInstance = instance === undefined
    this.instance = instance ?? new ClientInstance(options)
    const group = withNamespace(options.namespace, options.group)
    const faults = options.latencyFaultTolerance ? new FaultStrategy() : null
    const sender = new Sender(this.instance, group, options, faults)
    this.sender = sender
    this.member = {
      group,
      topics: () => sender.publications.keys(),
      onRouteChanged: route => {
        const publication = sender.publications.get(route.topic)
        if (publication !== undefined) publication.route = route.publishQueues.length > 0 ? route : null
      },
      onReply: reply => this.replies.take(reply)
    }
  }

  /** Lets the producer send; brokers are met with the first message to them. Throws ClientError GROUP_TAKEN. */
  async start(): Promise<void> {
    if (this.state === 'running') return
    this.checkState('not started')
    this.instance.registerProducer(this.member)
    this.instance.start()
    this.state = 'running'
  }

  /** Waits for the sends under way, takes leave of the brokers, and ends the connections. */
  async close(): Promise<void> {
    const { state } = this
    this.state = 'closed'
    if (state !== 'running') return
    await this.sender.idle()
    this.sender.closed = true
    this.replies.abandon(
      new ClientError('NOT_RUNNING', { kind: 'producer', group: this.options.group, state: 'closed' })
    )
    await this.instance.unregisterProducer(this.member)
    if (this.ownsInstance) await this.instance.close()
  }

  /**
   * Sends a message and resolves when the broker has stored it. A failed send is tried again within its time; one whose
   * queue was chosen is not. Throws ClientError MESSAGE_BAD, ROUTE_NOT_FOUND, NAMESRV_UNREACHABLE, SEND_FAILED,
   * SEND_TIMEOUT or NOT_RUNNING.
   */
  send<A>(message: OutgoingMessage, options: SendOptions<A> = NO_OPTIONS): Promise<SendResult> {
    return new Promise((resolve, reject) => {
      this.begin(message, options, false, resolve as (result: SendResult | null) => void, reject)
    })
  }

  /** Sends a message that no broker answers; resolves when it is on its way. Throws as `send`. */
  sendOneWay<A>(message: OutgoingMessage, options: SendOptions<A> = NO_OPTIONS): Promise<void> {
    return new Promise((resolve, reject) => {
      this.begin(message, options, true, () => resolve(), reject)
    })
  }

  /**
   * Sends messages of one topic to one queue, in one request; they get offsets one after the other. They have no delay
   * and are not compressed. Throws as `send`.
   */
  sendBatch<A>(messages: readonly OutgoingMessage[], options: SendOptions<A> = NO_OPTIONS): Promise<SendResult> {
    return new Promise((resolve, reject) => {
      this.checkState('running')
      const [first] = messages
      if (first === undefined) throw new ClientError('MESSAGE_BAD', { reason: 'the batch has no messages' })
      if (isRetryTopic(first.topic)) throw new ClientError('MESSAGE_BAD', { reason: 'a retry topic takes no batches' })
      const ids: string[] = []
      const parts = messages.map((message): BatchMessage => {
        this.checkBatched(message, first)
        const id = createUniqueKey()
        ids.push(id)
        return {
          flag: message.flag ?? 0,
          body: bodyBytes(message.body, this.options.maxMessageBytes),
          properties: encodeProperty(PropertyName.UNIQ_KEY, id) + encodeOwnProperties(message)
        }
      })
      const wait = encodeOwnProperties({ topic: first.topic, body: '', waitForStore: first.waitForStore })
      this.sending(
        RequestCode.SEND_BATCH_MESSAGE,
        this.publication(first.topic),
        bodyBytes(encodeBatch(parts), this.options.maxMessageBytes),
        ids.join(','),
        encodeProperty(PropertyName.UNIQ_KEY, createUniqueKey()) + wait,
        this.chooser(first, options),
        options.timeoutMs,
        resolve as (result: SendResult | null) => void,
        reject
      ).start()
    })
  }

  /**
   * Sends a message that asks for a reply, and resolves with the reply. Throws ClientError NO_REPLY when none comes
   * within the time, else as `send`. DefaultMQProducerImpl#request
   */
  async request<A>(message: OutgoingMessage, options: SendOptions<A> = NO_OPTIONS): Promise<Message> {
    this.checkState('running')
    const timeoutMs = options.timeoutMs ?? this.options.sendTimeoutMs
    await this.meetRepliers(this.publication(message.topic))
    const { correlationId, reply, cancel } = this.replies.expect(message.topic, timeoutMs)
    try {
      await new Promise((resolve, reject) => {
        const extra =
          encodeProperty(PropertyName.CORRELATION_ID, correlationId) +
          encodeProperty(PropertyName.REPLY_TO_CLIENT, this.instance.clientId) +
          encodeProperty('TTL', String(timeoutMs))
        this.begin(message, { ...options, timeoutMs }, false, resolve, reject, extra)
      })
    } catch (error) {
      cancel()
      throw error
    }
    return reply
  }

  /**
   * Answers a message that asks for a reply. Throws ClientError REPLY_BAD when it does not ask, SEND_FAILED when its
   * sender has left, else as `send`.
   */
  async reply(request: Message, body: string | Uint8Array): Promise<SendResult> {
    const { topic, properties } = replyTo(request)
    const bytes = bodyBytes(body, this.options.maxMessageBytes)
    return this.sendCoded(RequestCode.SEND_REPLY_MESSAGE_V2, { topic, body: bytes, properties }, NO_OPTIONS)
  }

  /**
   * Deletes a message that is not yet due, by the handle in the result of its send; resolves with its id. Throws
   * ClientError RECALL_BAD for what is no handle, BROKER_NOT_FOUND, REFUSED where the broker does not allow it or the
   * message is due, ROUTE_NOT_FOUND, NAMESRV_UNREACHABLE. DefaultMQProducer#recallMessage
   */
  async recall(topic: string, recallHandle: string): Promise<string> {
    this.checkState('running')
    const fullTopic = withNamespace(this.options.namespace, topic)
    const handle = decodeRecallHandle(recallHandle)
    if (handle === null) throw new ClientError('RECALL_BAD', { reason: `${recallHandle} is no recall handle` })
    await this.instance.route(fullTopic)
    const { brokerName } = handle
    const address = this.instance.masterAddress(brokerName)
    if (address === undefined) throw new ClientError('BROKER_NOT_FOUND', { brokerName, purpose: 'recall a message' })
    const fields = { producerGroup: this.options.group, topic: fullTopic, recallHandle }
    const { extFields } = await this.instance.call(
      address,
      request(RequestCode.RECALL_MESSAGE, RecallMessageHeader.encode(fields)),
      this.options.sendTimeoutMs
    )
    return RecallMessageResponseHeader.decode(extFields).msgId
  }

  /** Sends a message as it is; for this folder's consumers, which send on what they could not consume. */
  sendRaw(message: RawMessage, options: Pick<SendOptions, 'queue' | 'timeoutMs'> = NO_OPTIONS): Promise<SendResult> {
    return this.sendCoded(RequestCode.SEND_MESSAGE_V2, message, options)
  }

  /** The queues that a topic can be sent to. Throws ClientError ROUTE_NOT_FOUND or NAMESRV_UNREACHABLE. */
  async publishQueues(topic: string): Promise<readonly MessageQueue[]> {
    this.checkState('running')
    const route = await this.instance.route(withNamespace(this.options.namespace, topic))
    return route.publishQueues.map(queue => this.own(queue))
  }

  /** Sends a complete message with a request code of its kind. */
  protected sendCoded(
    code: number,
    message: RawMessage,
    options: Pick<SendOptions, 'queue' | 'timeoutMs'>
  ): Promise<SendResult> {
    return new Promise((resolve, reject) => {
      this.checkState('running')
      const { properties } = message
      const key = properties.get(PropertyName.UNIQ_KEY) ?? createUniqueKey()
      properties.set(PropertyName.UNIQ_KEY, key)
      const { queue, timeoutMs } = options
      const sending = this.sending(
        code,
        this.sender.publication(message.topic),
        message.body,
        key,
        encodeProperties(properties),
        queue === undefined ? null : () => queue,
        timeoutMs,
        resolve as (result: SendResult | null) => void,
        reject
      )
      sending.flag = message.flag ?? 0
      sending.sysFlag = message.sysFlag ?? 0
      sending.reconsumeTimes = message.reconsumeTimes ?? 0
      sending.maxReconsumeTimes = message.maxReconsumeTimes
      sending.start()
    })
  }

  /** Brokers hand replies to clients that they know: all of them must know this one before its first request. */
  private async meetRepliers(publication: Publication): Promise<void> {
    if (this.requestTopics.has(publication.topic)) return
    await this.sender.findRoute(publication)
    await this.instance.sendHeartbeats()
    this.requestTopics.add(publication.topic)
  }

  /** The way of every single message. `extra` are further encoded properties. */
  protected begin<A>(
    message: OutgoingMessage,
    options: SendOptions<A>,
    oneWay: boolean,
    resolve: (result: SendResult | null) => void,
    reject: (error: Error) => void,
    extra = '',
    sysFlag = 0
  ): void {
    this.checkState('running')
    const { maxMessageBytes, compressBodyOverBytes, compressionType, compressionLevel } = this.options
    let body = bodyBytes(message.body, maxMessageBytes)
    // Nobody tells when a one-way message is out, so its bytes are its own.
    if (oneWay && body === message.body) body = copyOf(body)
    const id = createUniqueKey()
    const sending = this.sending(
      RequestCode.SEND_MESSAGE_V2,
      this.publication(message.topic),
      body,
      id,
      encodeProperty(PropertyName.UNIQ_KEY, id) + encodeOwnProperties(message) + extra,
      this.chooser(message, options),
      options.timeoutMs,
      resolve,
      reject
    )
    sending.flag = message.flag ?? 0
    sending.sysFlag = sysFlag
    sending.oneWay = oneWay
    if (body.length < compressBodyOverBytes) {
      sending.start()
      return
    }
    compressBody(body, compressionType, compressionLevel).then(
      compressed => {
        sending.body = compressed.body
        sending.sysFlag |= compressed.sysFlagBits
        sending.start()
      },
      error => sending.abandon(error)
    )
  }

  protected checkState(needed: State): void {
    const { state } = this
    if (state !== needed) throw new ClientError('NOT_RUNNING', { kind: 'producer', group: this.options.group, state })
  }

  /** A queue as the application knows it. */
  private own(queue: MessageQueue): MessageQueue {
    const { namespace } = this.options
    return namespace === '' ? queue : { ...queue, topic: withoutNamespace(namespace, queue.topic) }
  }

  private publication(topic: string): Publication {
    const wireTopic = withNamespace(this.options.namespace, topic)
    const known = this.sender.publications.get(wireTopic)
    if (known !== undefined) return known
    checkSendable(topic)
    return this.sender.publication(wireTopic)
  }

  /** A send that can no longer be refused. */
  private sending(
    code: number,
    publication: Publication,
    body: Uint8Array,
    id: string,
    properties: string,
    choose: Sending['choose'],
    timeoutMs = this.options.sendTimeoutMs,
    resolve: (result: SendResult | null) => void,
    reject: (error: Error) => void
  ): Sending {
    checkInteger('timeoutMs', timeoutMs, 1)
    const { namespace } = this.options
    const done =
      namespace === ''
        ? resolve
        : (result: SendResult | null) => resolve(result && { ...result, queue: this.own(result.queue) })
    const sending = new Sending(this.sender, publication, code, body, id, timeoutMs, done, reject)
    sending.properties = namespace === '' ? properties : properties + encodeProperty('INSTANCE_ID', namespace)
    sending.choose = choose
    return sending
  }

  /** What sends a message where its sender wants it; null leaves that to the producer. */
  private chooser<A>(message: OutgoingMessage, { queue, selector, arg }: SendOptions<A>): Sending['choose'] {
    const { namespace } = this.options
    if (queue !== undefined) {
      if (queue.topic !== message.topic)
        throw new ClientError('MESSAGE_BAD', {
          reason: `its topic is ${message.topic}, that of its queue ${queue.topic}`
        })
      return () => ({ ...queue, topic: withNamespace(namespace, queue.topic) })
    }
    if (selector !== undefined)
      return queues => {
        const chosen = selector(namespace === '' ? queues : queues.map(one => this.own(one)), message, arg as A)
        if (chosen === undefined) throw new ClientError('MESSAGE_BAD', { reason: 'its selector chose no queue' })
        return { ...chosen, topic: withNamespace(namespace, chosen.topic) }
      }
    const { shardingKey } = message
    return shardingKey === undefined ? null : queues => selectByHash(queues, message, shardingKey)
  }

  private checkBatched(message: OutgoingMessage, first: OutgoingMessage): void {
    const reason =
      message.topic !== first.topic
        ? `the batch has the topics ${first.topic} and ${message.topic}`
        : (message.waitForStore ?? true) !== (first.waitForStore ?? true)
          ? 'some messages of the batch wait for the store and some do not'
          : message.delayLevel || message.delayMs !== undefined || message.deliverAt !== undefined
            ? 'messages of a batch cannot be delayed'
            : null
    if (reason !== null) throw new ClientError('MESSAGE_BAD', { reason })
  }
}

const encodeProperty = (name: string, value: string): string => name + NAME_VALUE_SEPARATOR + value + PROPERTY_SEPARATOR
