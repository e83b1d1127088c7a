import { createHmac } from 'node:crypto'
import { decodeProperties, ownAddress, PropertyName } from '../message/index.ts'
import {
  type Connection,
  ConsumeMessageDirectlyHeader,
  ConsumerGroupHeader,
  ConsumerRunningInfoHeader,
  type ExtFields,
  formatBody,
  GroupTopicHeader,
  type Log,
  parseBody,
  RemotingClient,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  response,
  responseName
} from '../net/index.ts'
import { ClientError } from './errors.ts'
import { type ConsumerData, heartbeatBody } from './heartbeat.ts'
import { decodeMessage, type Message, type MessageQueue } from './message.ts'
import { NameServers } from './name-servers.ts'
import { type ClientOptions, checkInteger, clientOptionDefaults, withDefaults } from './options.ts'
import { MASTER_ID, parseRoute, type TopicRoute } from './route.ts'

/** Default topic that lends its brokers to topics that do not exist yet. */
export const CREATE_TOPIC_KEY = 'TBW102'

interface Member {
  readonly group: string
  /** The topics whose routes are kept fresh. */
  topics(): Iterable<string>
  /** Called when the route of one of its topics is another than before. */
  onRouteChanged?(route: TopicRoute): void
}

/** A producer, as the instance sees it. MQProducerInner */
export interface ProducerMember extends Member {
  /** 39: a broker asks how a local transaction went. */
  onTransactionCheck?(check: TransactionCheck): void
  /** 326: a reply to a request. Returns whether it waited for it. */
  onReply?(reply: ReplyMessage): boolean
}

/** A consumer, as the instance sees it. MQConsumerInner */
export interface ConsumerMember extends Member {
  /** What heartbeats say of it now. */
  consumerData(): ConsumerData
  /** 40: the group has other members than before. */
  onConsumersChanged(): void
  /** 220: go on from these offsets. */
  resetOffsets(topic: string, offsets: readonly (readonly [MessageQueue, number])[]): void
  /** 221: consumed offsets by queue. */
  consumerStatus(topic: string): readonly (readonly [MessageQueue, number])[]
  /** 307: its state, as ConsumerRunningInfo has it. */
  runningInfo(): object
  /** 309: consume this message now; ConsumeMessageDirectlyResult. */
  consumeDirectly(message: Message): Promise<object>
}

/** CHECK_TRANSACTION_STATE, read. */
export interface TransactionCheck {
  /** The broker that asks. */
  address: string
  message: Message
  header: ExtFields
}

/** PUSH_REPLY_MESSAGE_TO_CLIENT, read. */
export interface ReplyMessage {
  correlationId: string
  header: ExtFields
  properties: Map<string, string>
  body: Uint8Array
}

/** A broker chosen for reading. */
export interface BrokerChoice {
  address: string
  brokerId: number
}

const seconds = (count: number): number => count * 1000
const HEARTBEAT_TIMEOUT_MS = seconds(3)
/** Failures of one topic's brokers ask for its route once in this time. */
const FAILURE_REFRESH_MS = 250

/**
 * What the producers and consumers of one client share: its id, connections, routes, heartbeats, and the requests that
 * brokers send. Members are registered before or after the start. MQClientInstance
 */
export class ClientInstance {
  readonly clientId: string
  readonly options: Readonly<ClientOptions>
  readonly log: Log
  readonly remoting: RemotingClient

  private readonly nameServers: NameServers
  private readonly producers = new Map<string, ProducerMember>()
  private readonly consumers = new Map<string, ConsumerMember>()
  private readonly routes = new Map<string, TopicRoute>()
  private readonly fetches = new Map<string, Promise<TopicRoute | null>>()
  /** When failures last asked for a route again, ms. */
  private readonly failures = new Map<string, number>()
  /** Address by broker name and id, out of all routes. */
  private brokers = new Map<string, ReadonlyMap<number, string>>()
  private brokerAddresses = new Set<string>()
  private timers: NodeJS.Timeout[] = []
  private closing = false

  /**
   * With `lastingId` the instance name DEFAULT stays as it is, so that the id is the same after a restart.
   * Throws ClientError NO_NAMESRV or OPTION_BAD, NetError ADDRESS_BAD.
   */
  constructor(given: Partial<ClientOptions> = {}, lastingId = false) {
    const options = withDefaults(clientOptionDefaults, given)
    for (const option of [
      'pollNameServerIntervalMs',
      'heartbeatBrokerIntervalMs',
      'requestTimeoutMs',
      'connectTimeoutMs'
    ] as const)
      checkInteger(option, options[option], 1)
    this.options = options
    this.log = options.log
    this.nameServers = new NameServers(options.namesrvAddr || (process.env.NAMESRV_ADDR ?? ''))
    this.clientId = clientIdOf(options, lastingId)
    this.remoting = new RemotingClient({
      connectTimeoutMs: options.connectTimeoutMs,
      serializeType: options.serializeType,
      log: options.log
    })
    this.remoting.onConnect = (connection, address) => this.greet(connection, address)
    this.registerHandlers()
  }

  get namesrvAddresses(): readonly string[] {
    return this.nameServers.addresses
  }

  /** Begins to refresh routes and to send heartbeats. Without effect on a second call. MQClientInstance#start */
  start(): void {
    if (this.timers.length > 0) return
    this.timers = [
      setInterval(() => void this.refreshRoutes(), this.options.pollNameServerIntervalMs),
      setInterval(() => void this.sendHeartbeats(), this.options.heartbeatBrokerIntervalMs)
    ]
  }

  /** Ends heartbeats and connections; members have been unregistered. */
  async close(): Promise<void> {
    this.closing = true
    for (const timer of this.timers) clearInterval(timer)
    await this.remoting.close()
  }

  /** Throws ClientError GROUP_TAKEN. */
  registerProducer(producer: ProducerMember): void {
    this.add('producer', this.producers, producer)
  }

  /** Throws ClientError GROUP_TAKEN. */
  registerConsumer(consumer: ConsumerMember): void {
    this.add('consumer', this.consumers, consumer)
  }

  /** Tells every broker that the group is left. MQClientInstance#unregisterProducer */
  async unregisterProducer({ group }: ProducerMember): Promise<void> {
    if (this.producers.delete(group)) await this.leave({ clientID: this.clientId, producerGroup: group })
  }

  /** Tells every broker that the group is left. MQClientInstance#unregisterConsumer */
  async unregisterConsumer({ group }: ConsumerMember): Promise<void> {
    if (this.consumers.delete(group)) await this.leave({ clientID: this.clientId, consumerGroup: group })
  }

  /** The route as it is known now, without asking. */
  knownRoute(topic: string): TopicRoute | undefined {
    return this.routes.get(topic)
  }

  /** A topic's route, asked for when it is not known. Throws ClientError ROUTE_NOT_FOUND or NAMESRV_UNREACHABLE. */
  async route(topic: string): Promise<TopicRoute> {
    const route = this.routes.get(topic) ?? (await this.refreshRoute(topic))
    if (route === null) throw new ClientError('ROUTE_NOT_FOUND', { topic, reason: 'no NameServer knows it' })
    return route
  }

  /**
   * Where a topic can be sent to: its route, or for an unknown topic that of `createTopicKey`, with as many queues on
   * each broker as the broker will create. Throws as `route`. DefaultMQProducerImpl#tryToFindTopicPublishInfo
   */
  async routeForSending(topic: string, createTopicKey: string, queueCount: number): Promise<TopicRoute> {
    const sendable = (found: TopicRoute): TopicRoute => {
      if (found.publishQueues.length > 0) return found
      throw new ClientError('ROUTE_NOT_FOUND', { topic, reason: 'no broker that is up takes messages of it' })
    }
    const known = this.routes.get(topic)
    const route = known !== undefined && known.publishQueues.length > 0 ? known : await this.refreshRoute(topic)
    // A topic that exists and takes no messages does not get them elsewhere.
    if (route !== null) return sendable(route)
    const model = await this.fetchRoute(createTopicKey)
    if (model === null)
      throw new ClientError('ROUTE_NOT_FOUND', { topic, reason: `it does not exist, and nor does ${createTopicKey}` })
    const assumed = sendable(model.assumedFor(topic, queueCount))
    this.adopt(assumed)
    return assumed
  }

  /** Asks for a route again; null when the topic does not exist. Throws ClientError NAMESRV_UNREACHABLE or REFUSED. */
  refreshRoute(topic: string): Promise<TopicRoute | null> {
    const running = this.fetches.get(topic)
    if (running !== undefined) return running
    const fetching = this.fetchRoute(topic)
      .then(route => (route === null ? null : this.adopt(route)))
      .finally(() => this.fetches.delete(topic))
    this.fetches.set(topic, fetching)
    return fetching
  }

  /**
   * A broker has not done what it was asked for: it may have left the routes, or another one may be the master now. The
   * topic's route is asked for again, if that was not just done. Never rejects.
   */
  async brokerFailed(topic: string): Promise<void> {
    const now = Date.now()
    if (now - (this.failures.get(topic) ?? 0) < FAILURE_REFRESH_MS) return
    this.failures.set(topic, now)
    await this.refreshRoute(topic).catch(() => null)
  }

  /** The address of a broker's master, without asking. MQClientInstance#findBrokerAddressInPublish */
  masterAddress(brokerName: string): string | undefined {
    return this.brokers.get(brokerName)?.get(MASTER_ID)
  }

  /**
   * Where to read from: the broker of this id, else, unless `onlyThisBroker`, another of the same name; for a slave
   * first the one of the next id. MQClientInstance#findBrokerAddressInSubscribe
   */
  readAddress(brokerName: string, brokerId = MASTER_ID, onlyThisBroker = false): BrokerChoice | undefined {
    const addresses = this.brokers.get(brokerName)
    if (addresses === undefined) return undefined
    const ids = brokerId === MASTER_ID ? [brokerId] : [brokerId, brokerId + 1]
    if (!onlyThisBroker) ids.push(...addresses.keys())
    for (const id of ids) {
      const address = addresses.get(id)
      if (address !== undefined) return { address, brokerId: id }
    }
    return undefined
  }

  /** `readAddress`, which first asks for the route of `topic` when the broker is not known. Throws BROKER_NOT_FOUND. */
  async findReadAddress(
    topic: string,
    brokerName: string,
    brokerId = MASTER_ID,
    onlyThisBroker = false
  ): Promise<BrokerChoice> {
    let choice = this.readAddress(brokerName, brokerId, onlyThisBroker)
    if (choice === undefined) {
      await this.refreshRoute(topic)
      choice = this.readAddress(brokerName, brokerId, onlyThisBroker)
    }
    if (choice === undefined) throw new ClientError('BROKER_NOT_FOUND', { brokerName, purpose: `serve ${topic}` })
    return choice
  }

  /** Every broker address of every route, slaves included unless told otherwise. */
  knownBrokers(mastersOnly = false): string[] {
    return [...this.brokers.values()].flatMap(addresses =>
      [...addresses].filter(([id]) => !mastersOnly || id === MASTER_ID).map(([, address]) => address)
    )
  }

  /** Calls a peer; any answer is returned. Throws NetError. */
  invoke(
    address: string,
    command: RemotingCommand,
    timeoutMs = this.options.requestTimeoutMs
  ): Promise<RemotingCommand> {
    return this.remoting.invoke(address, this.signed(command), timeoutMs)
  }

  /** Calls a peer and expects SUCCESS. Throws ClientError REFUSED, NetError. */
  async call(
    address: string,
    command: RemotingCommand,
    timeoutMs = this.options.requestTimeoutMs
  ): Promise<RemotingCommand> {
    const answer = await this.invoke(address, command, timeoutMs)
    if (answer.code !== ResponseCode.SUCCESS) throw refusal(address, command, answer)
    return answer
  }

  /** Sends what is never answered. Throws NetError when there is no connection. */
  invokeOneWay(address: string, command: RemotingCommand): Promise<void> {
    return this.remoting.invokeOneWay(address, this.signed(command))
  }

  /** Calls the NameServer in use; any answer is returned. Throws ClientError NAMESRV_UNREACHABLE. */
  invokeNameServer(command: RemotingCommand, timeoutMs = this.options.requestTimeoutMs): Promise<RemotingCommand> {
    return this.nameServers.invoke(this.remoting, this.signed(command), timeoutMs)
  }

  /** Calls the NameServer in use and expects SUCCESS. Throws ClientError NAMESRV_UNREACHABLE or REFUSED. */
  async callNameServer(command: RemotingCommand, timeoutMs = this.options.requestTimeoutMs): Promise<RemotingCommand> {
    const answer = await this.invokeNameServer(command, timeoutMs)
    if (answer.code !== ResponseCode.SUCCESS)
      throw refusal(`a NameServer of ${this.namesrvAddresses.join(';')}`, command, answer)
    return answer
  }

  /** Tells the brokers of this client's members; resolves when all have answered or failed. Never rejects. */
  async sendHeartbeats(): Promise<void> {
    // Producers are no business of slaves.
    const addresses = this.knownBrokers(this.consumers.size === 0)
    await Promise.all(
      addresses.map(async address => {
        try {
          await this.call(address, this.heartbeat(), HEARTBEAT_TIMEOUT_MS)
        } catch (error) {
          this.log.warn({ address, reason: (error as Error).message }, 'a broker did not take the heartbeat')
        }
      })
    )
  }

  /**
   * The ids of the clients in a consumer group, by a broker of the topic; empty when it knows none.
   * Throws ClientError, NetError. MQClientInstance#findConsumerIdList
   */
  async consumerIds(topic: string, group: string): Promise<string[]> {
    const { brokers } = await this.route(topic)
    const broker = brokers[Math.floor(Math.random() * brokers.length)]
    if (broker === undefined) return []
    const { address } = await this.findReadAddress(topic, broker.brokerName)
    const answer = await this.invoke(
      address,
      request(RequestCode.GET_CONSUMER_LIST_BY_GROUP, ConsumerGroupHeader.encode({ consumerGroup: group }))
    )
    if (answer.code !== ResponseCode.SUCCESS) return []
    const { consumerIdList = [] } = parseBody(answer.body) as { consumerIdList?: string[] }
    return consumerIdList
  }

  private add<M extends Member>(kind: string, members: Map<string, M>, member: M): void {
    if (members.has(member.group)) throw new ClientError('GROUP_TAKEN', { kind, group: member.group })
    members.set(member.group, member)
  }

  private async leave(header: ExtFields): Promise<void> {
    await Promise.all(
      this.knownBrokers().map(async address => {
        // A broker that there is no connection to has forgotten this client by itself.
        if (this.remoting.openConnection(address) === undefined) return
        try {
          await this.call(address, request(RequestCode.UNREGISTER_CLIENT, header))
        } catch (error) {
          this.log.warn({ address, reason: (error as Error).message }, 'a broker did not take the farewell')
        }
      })
    )
  }

  private members(): Member[] {
    return [...this.producers.values(), ...this.consumers.values()]
  }

  /** Asks for the routes of all topics that the members use, and forgets the others. */
  private async refreshRoutes(): Promise<void> {
    const topics = new Set(this.members().flatMap(member => [...member.topics()]))
    for (const known of [this.routes, this.failures])
      for (const topic of known.keys()) if (!topics.has(topic)) known.delete(topic)
    this.indexBrokers()
    for (const topic of topics) {
      try {
        await this.refreshRoute(topic)
      } catch (error) {
        this.log.warn({ topic, reason: (error as Error).message }, 'a route could not be refreshed')
        if ((error as ClientError).code === 'NAMESRV_UNREACHABLE') return
      }
    }
  }

  /** A route, or null when no NameServer knows the topic. */
  private async fetchRoute(topic: string): Promise<TopicRoute | null> {
    const command = request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
    const answer = await this.invokeNameServer(command)
    if (answer.code === ResponseCode.TOPIC_NOT_EXIST) return null
    if (answer.code !== ResponseCode.SUCCESS || answer.body === null)
      throw refusal(`a NameServer of ${this.namesrvAddresses.join(';')}`, command, answer)
    return parseRoute(topic, answer.body)
  }

  /** Keeps a route; the one known before stays in use when nothing changed. */
  private adopt(route: TopicRoute): TopicRoute {
    const { topic } = route
    const known = this.routes.get(topic)
    if (known?.equals(route)) return known
    // The newest last, so that its addresses win.
    this.routes.delete(topic)
    this.routes.set(topic, route)
    this.indexBrokers()
    this.log.debug({ topic, queues: route.queues }, 'a route has changed')
    for (const member of this.members())
      for (const own of member.topics()) if (own === topic) member.onRouteChanged?.(route)
    return route
  }

  private indexBrokers(): void {
    this.brokers = new Map()
    for (const { brokers } of this.routes.values())
      for (const { brokerName, addresses } of brokers) this.brokers.set(brokerName, addresses)
    this.brokerAddresses = new Set(this.knownBrokers())
  }

  /** A broker's new connection begins with a heartbeat, so that the broker knows whom it carries. */
  private greet(connection: Connection, address: string): void {
    if (this.closing || !this.brokerAddresses.has(address)) return
    if (this.producers.size + this.consumers.size === 0) return
    const command = this.signed(this.heartbeat())
    command.serializeType = this.options.serializeType
    connection.invoke(command, HEARTBEAT_TIMEOUT_MS).catch(() => {})
  }

  private heartbeat(): RemotingCommand {
    const consumers = [...this.consumers.values()].map(consumer => consumer.consumerData())
    return request(RequestCode.HEART_BEAT, {}, heartbeatBody(this.clientId, this.producers.keys(), consumers))
  }

  /** Signed when there are credentials: all fields' values by key, then the body, under the secret key. AclClientRPCHook */
  signed(command: RemotingCommand): RemotingCommand {
    const { credentials } = this.options
    if (credentials === null) return command
    const { Signature: _, ...fields } = command.extFields ?? {}
    fields.AccessKey = credentials.accessKey
    if (credentials.securityToken) fields.SecurityToken = credentials.securityToken
    const hmac = createHmac('sha1', credentials.secretKey)
    for (const name of Object.keys(fields).sort()) hmac.update(fields[name]!)
    if (command.body !== null) hmac.update(command.body)
    command.extFields = { ...fields, Signature: hmac.digest('base64') }
    return command
  }

  /** What brokers ask. ClientRemotingProcessor */
  private registerHandlers(): void {
    const { dispatcher } = this.remoting
    const unknownGroup = (group: string) =>
      response(ResponseCode.SYSTEM_ERROR, `The Consumer Group <${group}> not exist in this consumer`)

    dispatcher.register(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, ({ extFields }) => {
      this.consumers.get(extFields?.consumerGroup ?? '')?.onConsumersChanged()
      return null
    })

    dispatcher.register(RequestCode.CHECK_TRANSACTION_STATE, async ({ extFields, body }, connection) => {
      const message = await decodeMessage(body ?? new Uint8Array(0), extFields?.bname ?? '')
      const producer = this.producers.get(message.properties.get(PropertyName.PGROUP) ?? '')
      producer?.onTransactionCheck?.({ address: this.addressOf(connection), message, header: extFields ?? {} })
      return null
    })

    dispatcher.register(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, ({ extFields, body }) => {
      const { group, topic } = GroupTopicHeader.decode(extFields)
      this.consumers.get(group)?.resetOffsets(topic ?? '', readOffsets(body))
      return null
    })

    dispatcher.register(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, ({ extFields }) => {
      const { group, topic } = GroupTopicHeader.decode(extFields)
      const offsets = this.consumers.get(group)?.consumerStatus(topic ?? '') ?? []
      return response(
        ResponseCode.SUCCESS,
        null,
        null,
        formatBody({
          consumerTable: {},
          messageQueueTable: new Map(offsets.map(([queue, offset]) => [key(queue), offset]))
        })
      )
    })

    dispatcher.register(RequestCode.GET_CONSUMER_RUNNING_INFO, ({ extFields }) => {
      const { consumerGroup } = ConsumerRunningInfoHeader.decode(extFields)
      const consumer = this.consumers.get(consumerGroup)
      if (consumer === undefined) return unknownGroup(consumerGroup)
      return response(ResponseCode.SUCCESS, null, null, formatBody(consumer.runningInfo()))
    })

    dispatcher.register(RequestCode.CONSUME_MESSAGE_DIRECTLY, async ({ extFields, body }) => {
      const { consumerGroup } = ConsumeMessageDirectlyHeader.decode(extFields)
      const consumer = this.consumers.get(consumerGroup)
      if (consumer === undefined) return unknownGroup(consumerGroup)
      const message = await decodeMessage(body ?? new Uint8Array(0), extFields?.brokerName ?? '')
      return response(ResponseCode.SUCCESS, null, null, formatBody(await consumer.consumeDirectly(message)))
    })

    dispatcher.register(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, ({ extFields, body }) => {
      const header = extFields ?? {}
      const properties = decodeProperties(header.properties)
      const correlationId = properties.get(PropertyName.CORRELATION_ID) ?? ''
      const reply = { correlationId, header, properties, body: body ?? new Uint8Array(0) }
      for (const producer of this.producers.values()) if (producer.onReply?.(reply)) break
      return response(ResponseCode.SUCCESS)
    })
  }

  private addressOf(connection: Connection): string {
    for (const address of this.brokerAddresses) if (this.remoting.openConnection(address) === connection) return address
    return connection.remote
  }
}

/** ClientConfig#buildMQClientId */
function clientIdOf({ clientIp, instanceName, unitName }: ClientOptions, lasting: boolean): string {
  const name = instanceName === 'DEFAULT' && !lasting ? `${process.pid}#${process.hrtime.bigint()}` : instanceName
  return `${clientIp || ownAddress()}@${name}${unitName && `@${unitName}`}`
}

/** A queue as the key of a body's map, its fields as Java orders them. */
const key = ({ brokerName, queueId, topic }: MessageQueue): MessageQueue => ({ brokerName, queueId, topic })

/** ResetOffsetBody, whose keys are queues, or the list that C++ clients get. */
function readOffsets(body: Uint8Array | null): [MessageQueue, number][] {
  const { offsetTable } = parseBody(body) as {
    offsetTable?: Map<MessageQueue, number> | (MessageQueue & { offset: number })[]
  }
  if (offsetTable instanceof Map) return [...offsetTable].map(([queue, offset]) => [queue, Number(offset)])
  if (Array.isArray(offsetTable)) return offsetTable.map(({ offset, ...queue }) => [queue, Number(offset)])
  return []
}

/** The error for an answer that is none of the codes that its caller can use. */
export function refusal(address: string, command: { code: number }, answer: RemotingCommand): ClientError {
  return new ClientError('REFUSED', {
    address,
    requestCode: command.code,
    responseCode: answer.code,
    name: responseName(answer.code),
    remark: answer.remark ?? 'no remark'
  })
}
