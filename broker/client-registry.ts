import { ALL_TAGS, type SubscriptionData } from '../message/index.ts'
import type { Connection } from '../net/index.ts'

/** One client of a group, on the connection of its last heartbeat. ClientChannelInfo */
export interface ClientChannel {
  readonly connection: Connection
  readonly clientId: string
  readonly language: number | null
  readonly version: number
  lastHeartbeatMs: number
}

/** A consumer group that is online. ConsumerGroupInfo */
export class ConsumerGroup {
  readonly name: string
  readonly channels = new Map<Connection, ClientChannel>()
  readonly subscriptions = new Map<string, SubscriptionData>()
  consumeType = 'CONSUME_PASSIVELY'
  messageModel = 'CLUSTERING'
  consumeFromWhere = 'CONSUME_FROM_LAST_OFFSET'

  constructor(name: string) {
    this.name = name
  }

  clientIds(): string[] {
    return [...new Set([...this.channels.values()].map(channel => channel.clientId))]
  }

  /** Takes over what the newest heartbeat subscribes to; true when topics came or went. ConsumerGroupInfo#updateSubscription */
  subscribe(wanted: readonly SubscriptionData[]): boolean {
    let changed = false
    const topics = new Set<string>()
    for (const subscription of wanted) {
      topics.add(subscription.topic)
      const held = this.subscriptions.get(subscription.topic)
      if (held === undefined) changed = true
      if (held === undefined || subscription.subVersion > held.subVersion)
        this.subscriptions.set(subscription.topic, subscription)
    }
    for (const topic of this.subscriptions.keys())
      if (!topics.has(topic)) {
        this.subscriptions.delete(topic)
        changed = true
      }
    return changed
  }
}

export interface ConsumerHeartbeat {
  groupName: string
  consumeType: string
  messageModel: string
  consumeFromWhere: string
  subscriptions: SubscriptionData[]
}

/** Who produces and consumes here. ProducerManager, ConsumerManager */
export class ClientRegistry {
  readonly consumers = new Map<string, ConsumerGroup>()
  readonly producers = new Map<string, Map<Connection, ClientChannel>>()
  /** Called when the members or topics of a group changed, with those to be told. */
  onConsumersChanged: ((group: ConsumerGroup) => void) | null = null
  /** Called when a group has lost its last member. */
  onGroupGone: ((group: string) => void) | null = null

  private readonly watched = new WeakSet<Connection>()
  private roundRobin = 0

  producer(group: string, channel: ClientChannel): void {
    let channels = this.producers.get(group)
    if (channels === undefined) {
      channels = new Map()
      this.producers.set(group, channels)
    }
    this.keep(channels, channel)
  }

  /** Takes in a consumer's heartbeat; true when members or topics changed. ConsumerManager#registerConsumer */
  consumer(heartbeat: ConsumerHeartbeat, channel: ClientChannel, notify: boolean): boolean {
    let group = this.consumers.get(heartbeat.groupName)
    if (group === undefined) {
      group = new ConsumerGroup(heartbeat.groupName)
      this.consumers.set(group.name, group)
    }
    group.consumeType = heartbeat.consumeType
    group.messageModel = heartbeat.messageModel
    group.consumeFromWhere = heartbeat.consumeFromWhere
    const isNew = this.keep(group.channels, channel)
    const changed = group.subscribe(heartbeat.subscriptions) || isNew
    if (changed && notify) this.onConsumersChanged?.(group)
    return changed
  }

  /** A heartbeat without subscriptions; false when the group or this member is not known. */
  refreshConsumer(groupName: string, channel: ClientChannel): boolean {
    const held = this.consumers.get(groupName)?.channels.get(channel.connection)
    if (held === undefined) return false
    held.lastHeartbeatMs = channel.lastHeartbeatMs
    return true
  }

  private keep(channels: Map<Connection, ClientChannel>, channel: ClientChannel): boolean {
    const { connection } = channel
    const held = channels.get(connection)
    channels.set(connection, channel)
    if (!this.watched.has(connection)) {
      this.watched.add(connection)
      connection.onClose(() => this.connectionClosed(connection))
    }
    return held === undefined || held.clientId !== channel.clientId
  }

  unregisterProducer(group: string, connection: Connection): void {
    const channels = this.producers.get(group)
    channels?.delete(connection)
    if (channels?.size === 0) this.producers.delete(group)
  }

  unregisterConsumer(groupName: string, connection: Connection, notify: boolean): void {
    const group = this.consumers.get(groupName)
    if (group === undefined || !group.channels.delete(connection)) return
    if (group.channels.size === 0) {
      this.consumers.delete(groupName)
      this.onGroupGone?.(groupName)
    } else if (notify) this.onConsumersChanged?.(group)
  }

  private connectionClosed(connection: Connection): void {
    for (const group of [...this.producers.keys()]) this.unregisterProducer(group, connection)
    for (const group of [...this.consumers.keys()]) this.unregisterConsumer(group, connection, true)
  }

  /** Closes connections whose clients have been silent for `timeoutMs`. ClientHousekeepingService */
  expire(timeoutMs: number, now = Date.now()): void {
    const tables = [...this.producers.values(), ...[...this.consumers.values()].map(group => group.channels)]
    for (const channels of tables)
      for (const channel of [...channels.values()])
        if (now - channel.lastHeartbeatMs > timeoutMs) channel.connection.close('its client sent no heartbeat')
  }

  get isEmpty(): boolean {
    return this.producers.size === 0 && this.consumers.size === 0
  }

  /** The member of a consumer group with this client id. */
  findConsumer(groupName: string, clientId: string): ClientChannel | undefined {
    for (const channel of this.consumers.get(groupName)?.channels.values() ?? [])
      if (channel.clientId === clientId) return channel
    return undefined
  }

  /** The producer with this client id, in whatever group. */
  findProducer(clientId: string): ClientChannel | undefined {
    for (const channels of this.producers.values())
      for (const channel of channels.values()) if (channel.clientId === clientId) return channel
    return undefined
  }

  /** Members of a producer group take turns. ProducerManager#getAvailableChannel */
  anyProducer(group: string): ClientChannel | undefined {
    const channels = [...(this.producers.get(group)?.values() ?? [])]
    return channels.length === 0 ? undefined : channels[this.roundRobin++ % channels.length]
  }

  /** Groups that are online and subscribe to a topic. ConsumerManager#queryTopicConsumeByWho */
  groupsOfTopic(topic: string): string[] {
    return [...this.consumers.values()].filter(group => group.subscriptions.has(topic)).map(group => group.name)
  }
}

/** Which ConsumeQueue units a tag subscription lets through: null lets all. ExpressionMessageFilter#isMatchedByConsumeQueue */
export class TagFilter {
  private readonly codes: ReadonlySet<number>

  private constructor(codes: ReadonlySet<number>) {
    this.codes = codes
  }

  static of(subscription: SubscriptionData): TagFilter | null {
    if (subscription.subString === ALL_TAGS || subscription.classFilterMode || subscription.codeSet.length === 0)
      return null
    return new TagFilter(new Set(subscription.codeSet))
  }

  matchesTagsCode(tagsCode: number): boolean {
    return this.codes.has(tagsCode | 0)
  }
}
