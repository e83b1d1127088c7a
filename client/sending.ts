import {
  type Connection,
  type Frame,
  type NetError,
  type RemotingCommand,
  ResponseCode,
  SendAnswerView,
  type SendFields,
  SendMessageResponseHeader,
  type Waiter
} from '../net/index.ts'
import { type ClientInstance, refusal } from './client-instance.ts'
import { ClientError } from './errors.ts'
import type { FaultStrategy } from './fault-strategy.ts'
import type { MessageQueue } from './message.ts'
import { Publication } from './publication.ts'

/** What became of a message: stored in every case, and in all but the first not as safely as the broker promises. */
export type SendStatus = 'SEND_OK' | 'FLUSH_DISK_TIMEOUT' | 'FLUSH_SLAVE_TIMEOUT' | 'SLAVE_NOT_AVAILABLE'

/** Answers of brokers that take no messages for now, and may have left the routes. */
const GOING: ReadonlySet<number> = new Set([
  ResponseCode.GO_AWAY,
  ResponseCode.SERVICE_NOT_AVAILABLE,
  ResponseCode.NO_PERMISSION,
  ResponseCode.TOPIC_NOT_EXIST
])

/** Where a message was stored. SendResult */
export interface SendResult {
  status: SendStatus
  /** The id that this client gave the message; of a batch the ids of all, separated by commas. */
  messageId: string
  /** The id by which the message is found without a key; of a batch the ids of all, separated by commas. */
  offsetMessageId: string
  queue: MessageQueue
  /** The offset in the queue; of a batch that of its first message. */
  queueOffset: number
  /** Of a message with a delay in ms, from a broker that lets it be recalled. */
  recallHandle?: string
}

const STATUS: Readonly<Record<number, SendStatus>> = {
  [ResponseCode.SUCCESS]: 'SEND_OK',
  [ResponseCode.FLUSH_DISK_TIMEOUT]: 'FLUSH_DISK_TIMEOUT',
  [ResponseCode.FLUSH_SLAVE_TIMEOUT]: 'FLUSH_SLAVE_TIMEOUT',
  [ResponseCode.SLAVE_NOT_AVAILABLE]: 'SLAVE_NOT_AVAILABLE'
}

/** How a producer sends; these are options of ProducerOptions, where they are explained. */
export interface SenderOptions {
  createTopicKey: string
  defaultTopicQueueCount: number
  retryTimes: number
  retryAnotherBrokerWhenNotStored: boolean
  retryResponseCodes: readonly number[]
}

/** What all sends of a producer share. */
export class Sender {
  readonly instance: ClientInstance
  readonly group: string
  readonly options: SenderOptions
  readonly faults: FaultStrategy | null
  readonly publications = new Map<string, Publication>()
  closed = false

  private inFlight = 0
  private whenIdle: (() => void) | null = null

  constructor(instance: ClientInstance, group: string, options: SenderOptions, faults: FaultStrategy | null) {
    this.instance = instance
    this.group = group
    this.options = options
    this.faults = faults
  }

  /** By the topic's name as brokers know it. */
  publication(topic: string): Publication {
    let publication = this.publications.get(topic)
    if (publication === undefined) {
      const { createTopicKey: defaultTopic, defaultTopicQueueCount } = this.options
      const target = { producerGroup: this.group, topic, defaultTopic, defaultTopicQueueCount }
      publication = new Publication(target, this.instance.options.serializeType)
      this.publications.set(topic, publication)
    }
    return publication
  }

  /**
   * Asks where the topic can be sent to; those who ask at once share one question. Throws ClientError ROUTE_NOT_FOUND or
   * NAMESRV_UNREACHABLE, NetError.
   */
  findRoute(publication: Publication): Promise<void> {
    const { createTopicKey, defaultTopicQueueCount } = this.options
    publication.finding ??= this.instance
      .routeForSending(publication.topic, createTopicKey, defaultTopicQueueCount)
      .then(route => {
        publication.route = route
      })
      .finally(() => {
        publication.finding = null
      })
    return publication.finding
  }

  /** Resolves when no send is under way. */
  async idle(): Promise<void> {
    if (this.inFlight > 0)
      await new Promise<void>(resolve => {
        this.whenIdle = resolve
      })
  }

  began(): void {
    this.inFlight++
  }

  ended(): void {
    if (--this.inFlight > 0) return
    this.whenIdle?.()
    this.whenIdle = null
  }
}

const answerView = new SendAnswerView()

/**
 * One message (or batch) under way: what its request says, the wait for the answer, and the attempts in which it is
 * sent. One object for all of it, as there are many. DefaultMQProducerImpl#sendDefaultImpl
 */
export class Sending implements SendFields, Waiter {
  queueId = 0
  sysFlag = 0
  bornTimestamp = 0
  flag = 0
  properties = ''
  reconsumeTimes = 0
  maxReconsumeTimes: number | undefined = undefined

  deadline = 0
  timeoutMs: number

  /** The request code. */
  readonly code: number
  oneWay = false
  body: Uint8Array
  readonly messageId: string
  /** Chooses the queue; a message with a queue of its own is sent only once. */
  choose: ((queues: readonly MessageQueue[]) => MessageQueue) | null = null

  private readonly sender: Sender
  private readonly publication: Publication
  private readonly endsAt: number
  private readonly totalTimeoutMs: number
  private readonly onDone: (result: SendResult | null) => void
  private readonly onFailed: (error: Error) => void
  private attempts = 0
  private queue: MessageQueue | null = null
  private connection: Connection | null = null
  private failure: Error | null = null
  /** What an attempt came to that is being bettered. */
  private halfStored: SendResult | null = null

  constructor(
    sender: Sender,
    publication: Publication,
    code: number,
    body: Uint8Array,
    messageId: string,
    timeoutMs: number,
    onDone: (result: SendResult | null) => void,
    onFailed: (error: Error) => void
  ) {
    this.sender = sender
    this.publication = publication
    this.code = code
    this.body = body
    this.messageId = messageId
    this.timeoutMs = timeoutMs
    this.totalTimeoutMs = timeoutMs
    this.endsAt = Date.now() + timeoutMs
    this.onDone = onDone
    this.onFailed = onFailed
    sender.began()
  }

  start(): void {
    if (this.publication.route === null)
      this.sender.findRoute(this.publication).then(
        () => this.attempt(),
        error => this.end(error)
      )
    else this.attempt()
  }

  /** Ends it before an attempt was made. */
  abandon(error: Error): void {
    this.end(error)
  }

  /** Called by the connection when the answer is there. */
  resolveFrame(frame: Frame): boolean {
    if (!answerView.decode(frame) || STATUS[answerView.code] === undefined) return false
    const { code, msgId, queueId, queueOffset, recallHandle } = answerView
    this.stored(code, msgId, queueId, queueOffset, recallHandle)
    return true
  }

  /** The same for an answer in any other form. */
  resolve(answer: RemotingCommand): void {
    if (STATUS[answer.code] === undefined) {
      const refused = refusal(this.sender.instance.masterAddress(this.queue!.brokerName) ?? '', this, answer)
      this.failed(refused, this.sender.options.retryResponseCodes.includes(answer.code))
      return
    }
    try {
      const { msgId, queueId, queueOffset } = SendMessageResponseHeader.decode(answer.extFields)
      this.stored(answer.code, msgId, queueId, queueOffset, answer.extFields?.recallHandle)
    } catch (error) {
      this.failed(error as Error, true)
    }
  }

  /** Called by the connection when there is no answer. */
  reject(error: NetError): void {
    this.sender.faults?.failed(this.queue!.brokerName, Date.now())
    const { connection } = this
    // A broker that has said nothing since may be gone without a word: the next send shall not wait for it again.
    if (error.code === 'REQUEST_TIMEOUT' && connection !== null && connection.lastActiveMs <= this.bornTimestamp)
      connection.close()
    this.failed(error, true)
  }

  private attempt(): void {
    const { publication, sender } = this
    const now = Date.now()
    if (sender.closed) {
      this.end(new ClientError('NOT_RUNNING', { kind: 'producer', group: sender.group, state: 'closed' }))
      return
    }
    if (now >= this.endsAt) {
      this.giveUp('SEND_TIMEOUT')
      return
    }
    if (publication.route === null) {
      // Meanwhile the last broker that takes messages of the topic has left.
      this.start()
      return
    }
    try {
      this.queue =
        this.choose?.(publication.route.publishQueues) ??
        publication.nextQueue(this.queue?.brokerName ?? null, sender.faults, now)
    } catch (error) {
      this.end(error as Error)
      return
    }
    this.attempts++
    const address = sender.instance.masterAddress(this.queue.brokerName)
    const connection = address === undefined ? undefined : sender.instance.remoting.openConnection(address)
    if (connection !== undefined && !(this.oneWay && connection.saturated)) this.write(connection, now)
    else
      this.connect(this.queue.brokerName).then(
        opened => this.write(opened, Date.now()),
        error => this.reject(error)
      )
  }

  private async connect(brokerName: string): Promise<Connection> {
    const { instance } = this.sender
    if (instance.masterAddress(brokerName) === undefined) await instance.refreshRoute(this.publication.topic)
    const address = instance.masterAddress(brokerName)
    if (address === undefined) throw new ClientError('BROKER_NOT_FOUND', { brokerName, purpose: 'take a message' })
    const connection = await instance.remoting.connection(address)
    // No answer holds those back who send one way.
    if (this.oneWay && connection.saturated) await connection.drained()
    return connection
  }

  private write(connection: Connection, now: number): void {
    const { instance } = this.sender
    const { credentials } = instance.options
    const { brokerName, queueId } = this.queue!
    this.queueId = queueId
    this.bornTimestamp = now
    this.connection = connection
    const writer = this.publication.writer(this.code, brokerName)
    const opaque = connection.takeOpaque()
    if (!this.oneWay) connection.expect(opaque, Math.max(1, this.endsAt - now), this)
    if (connection.closed) {
      if (this.oneWay) this.failed(connection.closedError(), true)
      return
    }
    if (credentials === null) writer.write(connection, opaque, this.oneWay, this, this.body)
    else connection.send(instance.signed(writer.command(opaque, this.oneWay, this, this.body)))
    if (this.oneWay) this.finish(null)
  }

  private stored(
    code: number,
    offsetMessageId: string,
    queueId: number,
    queueOffset: number,
    recallHandle: string | undefined
  ): void {
    const { faults, options } = this.sender
    const { brokerName } = this.queue!
    const now = Date.now()
    faults?.answered(brokerName, now - this.bornTimestamp, now)
    const status = STATUS[code]!
    const queue = this.queue!.queueId === queueId ? this.queue! : { ...this.queue!, queueId }
    const result: SendResult = { status, messageId: this.messageId, offsetMessageId, queue, queueOffset }
    if (recallHandle !== undefined) result.recallHandle = recallHandle
    if (code === ResponseCode.SUCCESS || !options.retryAnotherBrokerWhenNotStored || !this.mayRetry) {
      this.finish(result)
      return
    }
    this.halfStored = result
    this.attempt()
  }

  private get mayRetry(): boolean {
    return this.choose === null && !this.oneWay && this.attempts <= this.sender.options.retryTimes
  }

  private failed(error: Error, retryable: boolean): void {
    this.failure = error
    if (retryable && this.mayRetry) {
      this.retry(error)
      return
    }
    // The next message shall not go there, too.
    if (mayHaveLeft(error)) void this.sender.instance.brokerFailed(this.publication.topic)
    this.giveUp((error as NetError).code === 'REQUEST_TIMEOUT' ? 'SEND_TIMEOUT' : 'SEND_FAILED')
  }

  /**
   * A broker that is gone, or about to go, has left the routes: they are asked for again. When there is no other broker to
   * go to by what is known, that comes first.
   */
  private retry(error: Error): void {
    const { publication, sender } = this
    if (!mayHaveLeft(error)) {
      this.attempt()
      return
    }
    const failed = this.queue!.brokerName
    if (publication.route?.publishQueues.some(({ brokerName }) => brokerName !== failed)) {
      void sender.instance.brokerFailed(publication.topic)
      this.attempt()
      return
    }
    // What the NameServers do not tell, the next attempt will.
    void sender.instance
      .refreshRoute(publication.topic)
      .catch(() => null)
      .then(() => this.attempt())
  }

  private giveUp(code: 'SEND_TIMEOUT' | 'SEND_FAILED'): void {
    const { failure, attempts, halfStored } = this
    if (halfStored !== null) {
      this.finish(halfStored)
      return
    }
    const details = {
      topic: this.publication.topic,
      timeoutMs: this.totalTimeoutMs,
      attempts,
      reason: failure?.message ?? 'the time was over before the first',
      responseCode: (failure as Partial<ClientError> | null)?.responseCode
    }
    this.end(new ClientError(code, details, { cause: failure }))
  }

  private finish(result: SendResult | null): void {
    this.sender.ended()
    this.onDone(result)
  }

  private end(error: Error): void {
    this.sender.ended()
    this.onFailed(error)
  }
}

/** Whether a broker that failed so may take no messages any more. */
const mayHaveLeft = (error: Error): boolean =>
  !(error instanceof ClientError) || error.responseCode === null || GOING.has(error.responseCode)
