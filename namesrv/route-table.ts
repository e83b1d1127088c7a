import type { Connection } from '../net/index.ts'
import {
  type BrokerData,
  BrokerGroup,
  type BrokerIdentity,
  MASTER_ID,
  type MinBrokerIdChange,
  PERM_WRITE,
  type QueueData,
  type Replica,
  type RouteForm,
  type SharedQueues
} from './broker-group.ts'
import type { NameServerOptions } from './options.ts'
import { type Placement, Placements, queuesOn } from './placements.ts'
import {
  type DataVersion,
  type Registration,
  sameVersion,
  type TopicConfig,
  type TopicQueueMapping
} from './registration.ts'
import { encodeRoute } from './route-text.ts'
import { inSlices } from './slices.ts'

const PERM_READ = 4
/** The topic by whose route brokers learn of the members of their group; it always shows them as they are. TopicValidator */
const MEMBER_TOPIC_PREFIX = 'rmq_sys_SYNC_BROKER_MEMBER_'
const DEFAULT_TIMEOUT_MS = 120_000

interface Topic {
  placement: Placement
  /** Of a static topic, by broker name. */
  mappings: Map<string, TopicQueueMapping> | null
}

/**
 * What became of a registration: `outdated` when another address holds the id with a newer state, `unknown` when a single
 * topic comes from a broker that has not registered yet, `gone` when the broker left before all its topics were taken.
 */
type RegisterResult = 'registered' | 'outdated' | 'unknown' | 'gone'

/**
 * Which broker has which topics, and where it is. Invariant: every group among a topic's queues is known, every group has a
 * replica, and every topic has queues. RouteInfoManager
 */
export class RouteTable {
  /** Called when the smallest id of a group changes and its members are to be told. */
  onMinBrokerIdChange: ((change: MinBrokerIdChange) => void) | null = null
  /** Called when a group comes that was not there. */
  onGroupAdded: (() => void) | null = null

  private readonly groups = new Map<string, BrokerGroup>()
  private readonly topics = new Map<string, Topic>()
  private readonly placements = new Placements()
  private lastTurn: Promise<unknown> = Promise.resolve()
  private readonly options: NameServerOptions
  private readonly orderConf: (topic: string) => string | undefined

  /** `orderConf` gives a topic's order conf for its route. */
  constructor(options: NameServerOptions, orderConf: (topic: string) => string | undefined) {
    this.options = options
    this.orderConf = orderConf
  }

  get isEmpty(): boolean {
    return this.groups.size === 0
  }

  /**
   * Makes changes one after the other: a registration of many topics is taken in slices, between which routes are read and
   * brokers leave, and nothing else happens.
   */
  inTurn<T>(change: () => T | Promise<T>): Promise<T> {
    const turn = this.lastTurn.then(change)
    this.lastTurn = turn.catch(() => {})
    return turn
  }

  /** Takes a registration that says the same as the last one without reading it; false when it has to be read. */
  refresh(broker: BrokerIdentity, fingerprint: string, connection: Connection): boolean {
    const replica = this.groups.get(broker.brokerName)?.replicas.get(broker.brokerId)
    if (replica?.fingerprint !== fingerprint) return false
    replica.connection = connection
    replica.lastUpdateMs = Date.now()
    return true
  }

  /** In its turn. RouteInfoManager#registerBroker */
  async register(
    broker: BrokerIdentity,
    registration: Registration,
    fingerprint: string,
    connection: Connection
  ): Promise<RegisterResult> {
    const { brokerName, brokerAddr, brokerId } = broker
    // It left while it waited for its turn.
    if (connection.closed) return 'gone'
    const known = this.groups.get(brokerName)
    const holder = known?.replicas.get(brokerId)
    if (holder === undefined && registration.topics.length === 1) return 'unknown'
    const again = holder?.address === brokerAddr
    if (holder !== undefined && !again && holder.version.stateVersion > registration.version.stateVersion)
      return 'outdated'

    const group = known ?? this.addGroup(brokerName, broker.clusterName)
    const minIdBefore = group.smallestId
    group.actingMaster = broker.enableActingMaster === true
    group.zoneName = broker.zoneName
    // A role switch: the address had another id before.
    for (const [id, replica] of group.replicas)
      if (replica.address === brokerAddr && id !== brokerId) group.replicas.delete(id)
    const replica: Replica = {
      address: brokerAddr,
      haServerAddr: broker.haServerAddr ?? '',
      version: registration.version,
      connection,
      lastUpdateMs: Date.now(),
      timeoutMs: broker.heartbeatTimeoutMillis ?? DEFAULT_TIMEOUT_MS,
      fingerprint
    }
    group.replicas.set(brokerId, replica)
    this.showGroup(group)
    // The newcomer knows; an empty group had no smallest id.
    if (brokerId < minIdBefore && minIdBefore !== Number.POSITIVE_INFINITY)
      this.tellMinBrokerId(group, { haBrokerAddr: broker.haServerAddr ?? '' }, [brokerId])

    const primeSlave =
      brokerId !== MASTER_ID && broker.enableActingMaster !== undefined && brokerId === group.smallestId
    if (brokerId !== MASTER_ID && !primeSlave) return 'registered'
    const changed = !again || !sameVersion(holder.version, registration.version)
    const stays = () => group.replicas.get(brokerId) === replica
    return (await this.takeTopics(group, registration, changed, primeSlave && group.actingMaster, stays))
      ? 'registered'
      : 'gone'
  }

  /** Address and HA address of the master that a slave belongs to; nothing for a master or without one. */
  masterOf(brokerName: string, brokerId: number): { masterAddr?: string; haServerAddr?: string } {
    const master = brokerId === MASTER_ID ? undefined : this.groups.get(brokerName)?.replicas.get(MASTER_ID)
    return master === undefined ? {} : { masterAddr: master.address, haServerAddr: master.haServerAddr }
  }

  /** Keeps a replica alive, and gives the version of its topics; undefined when it is not known. */
  heartbeat(brokerName: string, brokerAddr: string): DataVersion | undefined {
    for (const replica of this.groups.get(brokerName)?.replicas.values() ?? [])
      if (replica.address === brokerAddr) {
        replica.lastUpdateMs = Date.now()
        return replica.version
      }
    return undefined
  }

  /** RouteInfoManager#unRegisterBroker */
  unregister(brokerName: string, brokerAddr: string): void {
    this.removeReplicas((replica, group) => group.name === brokerName && replica.address === brokerAddr)
  }

  /** All that registered over a connection leave with it. RouteInfoManager#onChannelDestroy */
  connectionClosed(connection: Connection): void {
    this.removeReplicas(replica => replica.connection === connection)
  }

  /** Closes the connections of replicas that have been silent for longer than they said, by which they leave. */
  expire(nowMs: number): void {
    const silent = new Set<Connection>()
    for (const { replicas } of this.groups.values())
      for (const replica of replicas.values())
        if (replica.lastUpdateMs + replica.timeoutMs < nowMs) silent.add(replica.connection)
    for (const connection of silent) connection.close('its broker fell silent')
  }

  /** Adds or replaces the queues of a topic on brokers that are known; in its turn. RouteInfoManager#registerTopic */
  registerTopic(topicName: string, queues: readonly QueueData[]): void {
    for (const queue of queues) {
      const group = this.groups.get(queue.brokerName)
      if (group !== undefined) this.setQueues(topicName, group.share(queue))
    }
  }

  /** From all brokers, or from those of a cluster; in its turn. A broker that still has it brings it back. */
  deleteTopic(topicName: string, cluster?: string): void {
    for (const { group } of this.topics.get(topicName)?.placement.queues ?? [])
      if (cluster === undefined || group.cluster === cluster) {
        this.dropQueues(topicName, group)
        group.readNextRegistrations()
      }
  }

  /** Takes the write permission of all topics of a broker, until it registers a change; returns how many it has. In its turn. */
  wipeWritePermission(brokerName: string): number {
    return this.changePermissions(brokerName, perm => perm & ~PERM_WRITE)
  }

  /** Makes all topics of a broker readable and writable; returns how many it has. In its turn. */
  addWritePermission(brokerName: string): number {
    return this.changePermissions(brokerName, () => PERM_READ | PERM_WRITE)
  }

  /**
   * A topic's route as it is sent. A zone narrows it down to the brokers there and to groups without master. Null when
   * nobody has the topic.
   */
  route(topicName: string, form: RouteForm, zone?: string): Buffer | null {
    const topic = this.topics.get(topicName)
    if (topic === undefined) return null
    const { placement, mappings } = topic
    const orderConf = this.options.orderMessageEnable ? this.orderConf(topicName) : undefined
    const showsMembers = topicName.startsWith(MEMBER_TOPIC_PREFIX)
    // What only this topic has is not kept.
    const shared = zone === undefined && mappings === null && orderConf === undefined && !showsMembers
    const kept = shared ? placement.answers.get(form) : undefined
    if (kept !== undefined) return kept
    const mayAct = this.options.supportActingMaster && !showsMembers
    const answer = encodeRoute(placement.queues, form, { mayAct, orderConf, mappings, zone })
    if (shared) this.placements.keep(placement, form, answer)
    return answer
  }

  /** After a change of a setting that routes depend on. */
  forgetAnswers(): void {
    this.placements.forgetAnswers()
  }

  /** ClusterInfo */
  clusterInfo(): { brokerAddrTable: Map<string, BrokerData>; clusterAddrTable: Map<string, string[]> } {
    const clusterAddrTable = new Map<string, string[]>()
    for (const { name, cluster } of this.groups.values()) {
      const names = clusterAddrTable.get(cluster)
      if (names === undefined) clusterAddrTable.set(cluster, [name])
      else names.push(name)
    }
    const brokerAddrTable = new Map([...this.groups].map(([name, { data }]) => [name, data]))
    return { brokerAddrTable, clusterAddrTable }
  }

  /** Addresses by broker id. */
  members(brokerName: string): ReadonlyMap<number, string> {
    return this.groups.get(brokerName)?.addresses ?? new Map()
  }

  topicNames(): string[] {
    return [...this.topics.keys()]
  }

  topicNamesOfCluster(cluster: string): string[] {
    return this.topicNamesWhere(queues => queues.some(({ group }) => group.cluster === cluster))
  }

  /** Topics whose flags, as the first broker has them, pass a check. */
  topicNamesByFlag(check: (topicSysFlag: number) => boolean): string[] {
    return this.topicNamesWhere(([first]) => check(first!.data.topicSysFlag))
  }

  private topicNamesWhere(check: (queues: readonly SharedQueues[]) => boolean): string[] {
    return [...this.topics].filter(([, { placement }]) => check(placement.queues)).map(([name]) => name)
  }

  private addGroup(name: string, cluster: string): BrokerGroup {
    const group = new BrokerGroup(name, cluster)
    this.groups.set(name, group)
    this.onGroupAdded?.()
    return group
  }

  /** Topics that are not known yet are taken even when the version did not change. False when the broker left meanwhile. */
  private async takeTopics(
    group: BrokerGroup,
    { topics, mappings }: Registration,
    changed: boolean,
    readOnly: boolean,
    stays: () => boolean
  ): Promise<boolean> {
    // A single topic is a change, and not all there is.
    if (this.options.deleteTopicWithBrokerRegistration && mappings.size === 0 && topics.length > 1) {
      const named = new Set(topics.map(({ topicName }) => topicName))
      const drop = ([topicName, { placement }]: [string, Topic]) => {
        if (!named.has(topicName) && queuesOn(placement, group)) this.dropQueues(topicName, group)
      }
      if (!(await inSlices(this.topics, drop, stays))) return false
    }
    const takes = (topicName: string): boolean => {
      const placement = changed ? undefined : this.topics.get(topicName)?.placement
      return placement === undefined || queuesOn(placement, group) === undefined
    }
    const take = (config: TopicConfig) => {
      if (!takes(config.topicName)) return
      const perm = readOnly ? config.perm & ~PERM_WRITE : config.perm
      this.setQueues(config.topicName, group.share(config, perm))
    }
    if (!(await inSlices(topics, take, stays))) return false
    for (const [topicName, mapping] of changed ? mappings : []) {
      const topic = this.topics.get(topicName)
      if (topic === undefined) continue
      topic.mappings ??= new Map()
      topic.mappings.set(mapping.bname, mapping)
    }
    return true
  }

  private setQueues(topicName: string, queues: SharedQueues): void {
    const topic = this.topics.get(topicName)
    const placement = this.placements.move(topic?.placement ?? null, queues.group, queues)!
    if (topic === undefined) this.topics.set(topicName, { placement, mappings: null })
    else topic.placement = placement
  }

  private dropQueues(topicName: string, group: BrokerGroup): void {
    const topic = this.topics.get(topicName)!
    const placement = this.placements.move(topic.placement, group, null)
    if (placement === null) this.topics.delete(topicName)
    else topic.placement = placement
  }

  private changePermissions(brokerName: string, change: (perm: number) => number): number {
    const group = this.groups.get(brokerName)
    let count = 0
    if (group === undefined) return count
    for (const [topicName, { placement }] of this.topics) {
      const data = queuesOn(placement, group)?.data
      if (data === undefined) continue
      this.setQueues(topicName, group.share(data, change(data.perm)))
      count++
    }
    return count
  }

  private removeReplicas(leaves: (replica: Replica, group: BrokerGroup) => boolean): void {
    for (const group of this.groups.values())
      for (const [id, replica] of group.replicas) if (leaves(replica, group)) this.removeReplica(group, id, replica)
  }

  private removeReplica(group: BrokerGroup, id: number, replica: Replica): void {
    group.replicas.delete(id)
    if (group.replicas.size === 0) {
      for (const topicName of this.topics.keys()) this.dropQueues(topicName, group)
      this.groups.delete(group.name)
      return
    }
    group.readNextRegistrations()
    this.showGroup(group)
    if (!group.actingMaster) return
    // Nobody takes messages for a group without master.
    if (!group.replicas.has(MASTER_ID)) this.wipeWritePermission(group.name)
    if (id < group.smallestId) this.tellMinBrokerId(group, { offlineBrokerAddr: replica.address }, [])
  }

  /** After a change of a group: answers that show it are made anew. */
  private showGroup(group: BrokerGroup): void {
    if (group.refreshText()) this.placements.forgetAnswers(group)
  }

  private tellMinBrokerId(
    group: BrokerGroup,
    reason: { offlineBrokerAddr?: string; haBrokerAddr?: string },
    notIds: readonly number[]
  ): void {
    if (!this.options.notifyMinBrokerIdChanged) return
    const minBrokerId = group.smallestId
    const notify = [...group.replicas].filter(([id]) => !notIds.includes(id)).map(([, { address }]) => address)
    this.onMinBrokerIdChange?.({
      minBrokerId,
      minBrokerAddr: group.replicas.get(minBrokerId)!.address,
      ...reason,
      notify
    })
  }
}
