import { type Connection, formatBody } from '../net/index.ts'
import type { NameServerOptions } from './options.ts'
import {
  type DataVersion,
  type Registration,
  sameVersion,
  type TopicConfig,
  type TopicQueueMapping
} from './registration.ts'

const MASTER_ID = 0
const PERM_READ = 4
const PERM_WRITE = 2
/** The topic by whose route brokers learn of the members of their group; it always shows them as they are. TopicValidator */
const MEMBER_TOPIC_PREFIX = 'rmq_sys_SYNC_BROKER_MEMBER_'
const DEFAULT_TIMEOUT_MS = 120_000

/** The queues of one topic on one broker, as clients are told. Fields here and below are in the order of the wire. */
export interface QueueData {
  readonly brokerName: string
  readonly perm: number
  readonly readQueueNums: number
  readonly topicSysFlag: number
  readonly writeQueueNums: number
}

/** One object stands for all equal queue data of a broker: 10,000 topics on 100 brokers need but a few. */
interface SharedQueues {
  readonly data: QueueData
  readonly text: string
}

interface BrokerData {
  brokerAddrs: ReadonlyMap<number, string>
  brokerName: string
  cluster: string
  enableActingMaster: boolean
  zoneName: string | undefined
}

/** One process of a group: master or slave. BrokerLiveInfo */
interface Replica {
  readonly address: string
  haServerAddr: string
  version: DataVersion
  connection: Connection
  lastUpdateMs: number
  timeoutMs: number
  /** Of its last registration; empty when the next one has to be read whatever it says. */
  fingerprint: string
}

/** A master and its slaves, which share a name. */
interface BrokerGroup {
  readonly name: string
  readonly cluster: string
  zoneName: string | undefined
  actingMaster: boolean
  readonly replicas: Map<number, Replica>
  /** All different queue data of this group, by their numbers. */
  readonly queues: Map<string, SharedQueues>
  /** Its broker data as routes show them. */
  text: { standard: string; java: string }
}

interface Topic {
  /** By broker name; never empty. */
  readonly queues: Map<string, SharedQueues>
  /** Of a static topic, by broker name. */
  readonly mappings: Map<string, TopicQueueMapping>
  /** The route as it is sent, in each form, once it was asked for. */
  readonly route: { standard: Buffer | null; java: Buffer | null }
}

/** Standard JSON, or with unquoted integer keys as releases before 4.9.4 read it. */
export type RouteForm = 'standard' | 'java'

/** Who registers. RegisterBrokerRequestHeader */
interface BrokerIdentity {
  brokerName: string
  brokerAddr: string
  clusterName: string
  brokerId: number
  haServerAddr?: string | undefined
  heartbeatTimeoutMillis?: number | undefined
  /** Undefined with releases that do not know it. */
  enableActingMaster?: boolean | undefined
  zoneName?: string | undefined
}

/** What became of a registration: `outdated` when another address holds the id with a newer state, `unknown` when a single topic comes from a broker that has not registered yet. */
type RegisterResult = 'registered' | 'outdated' | 'unknown'

/** The smallest id of a group has changed; `notify` has the addresses to tell. NotifyMinBrokerIdChangeRequestHeader */
export interface MinBrokerIdChange {
  minBrokerId: number
  minBrokerAddr: string
  offlineBrokerAddr?: string
  haBrokerAddr?: string
  notify: string[]
}

const smallestId = (group: BrokerGroup): number => Math.min(...group.replicas.keys())

/**
 * Which broker has which topics, and where it is. Invariant: every broker name among a topic's queues has a group, every
 * group has a replica, and every topic has queues. RouteInfoManager
 */
export class RouteTable {
  /** Called when the smallest id of a group changes and its members are to be told. */
  onMinBrokerIdChange: ((change: MinBrokerIdChange) => void) | null = null
  /** Called when a group comes that was not there. */
  onGroupAdded: (() => void) | null = null

  private readonly groups = new Map<string, BrokerGroup>()
  private readonly topics = new Map<string, Topic>()
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

  /** Takes a registration that says the same as the last one without reading it; false when it has to be read. */
  refresh(broker: BrokerIdentity, fingerprint: string, connection: Connection): boolean {
    const replica = this.groups.get(broker.brokerName)?.replicas.get(broker.brokerId)
    if (replica?.fingerprint !== fingerprint) return false
    replica.connection = connection
    replica.lastUpdateMs = Date.now()
    return true
  }

  /** RouteInfoManager#registerBroker */
  register(
    broker: BrokerIdentity,
    registration: Registration,
    fingerprint: string,
    connection: Connection
  ): RegisterResult {
    const { brokerName, brokerAddr, brokerId } = broker
    const known = this.groups.get(brokerName)
    const holder = known?.replicas.get(brokerId)
    if (holder === undefined && registration.topics.length === 1) return 'unknown'
    const again = holder?.address === brokerAddr
    if (holder !== undefined && !again && holder.version.stateVersion > registration.version.stateVersion)
      return 'outdated'

    const group = known ?? this.addGroup(brokerName, broker.clusterName)
    const minIdBefore = smallestId(group)
    group.actingMaster = broker.enableActingMaster === true
    group.zoneName = broker.zoneName
    // A role switch: the address had another id before.
    for (const [id, replica] of group.replicas)
      if (replica.address === brokerAddr && id !== brokerId) group.replicas.delete(id)
    group.replicas.set(brokerId, {
      address: brokerAddr,
      haServerAddr: broker.haServerAddr ?? '',
      version: registration.version,
      connection,
      lastUpdateMs: Date.now(),
      timeoutMs: broker.heartbeatTimeoutMillis ?? DEFAULT_TIMEOUT_MS,
      fingerprint
    })

    const primeSlave =
      brokerId !== MASTER_ID && broker.enableActingMaster !== undefined && brokerId === smallestId(group)
    if (brokerId === MASTER_ID || primeSlave) {
      const changed = !again || !sameVersion(holder.version, registration.version)
      this.takeTopics(group, registration, changed, primeSlave && group.actingMaster)
    }
    this.showGroup(group)
    // The newcomer knows; an empty group had no smallest id.
    if (brokerId < minIdBefore && minIdBefore !== Number.POSITIVE_INFINITY)
      this.tellMinBrokerId(group, { haBrokerAddr: broker.haServerAddr ?? '' }, [brokerId])
    return 'registered'
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

  /** Adds or replaces the queues of a topic on brokers that are known. RouteInfoManager#registerTopic */
  registerTopic(topicName: string, queues: readonly QueueData[]): void {
    for (const queue of queues) {
      const group = this.groups.get(queue.brokerName)
      if (group !== undefined) this.setQueues(topicName, this.shared(group, queue))
    }
  }

  /** From all brokers, or from those of a cluster. A broker that still has it brings it back. */
  deleteTopic(topicName: string, cluster?: string): void {
    for (const brokerName of this.topics.get(topicName)?.queues.keys() ?? [])
      if (cluster === undefined || this.groups.get(brokerName)!.cluster === cluster)
        this.dropQueues(topicName, brokerName)
  }

  /** Takes the write permission of all topics of a broker, until it registers a change; returns how many it has. */
  wipeWritePermission(brokerName: string): number {
    return this.changePermissions(brokerName, perm => perm & ~PERM_WRITE)
  }

  /** Makes all topics of a broker readable and writable; returns how many it has. */
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
    if (zone !== undefined) return this.encodeRoute(topicName, topic, form, zone)
    topic.route[form] ??= this.encodeRoute(topicName, topic, form)
    return topic.route[form]
  }

  /** After a change that is not in this table: an order conf, or a setting. Without a name, of all topics. */
  forgetRoute(topicName?: string): void {
    if (topicName === undefined) for (const topic of this.topics.values()) forget(topic)
    else forget(this.topics.get(topicName))
  }

  /** ClusterInfo */
  clusterInfo(): { brokerAddrTable: Map<string, BrokerData>; clusterAddrTable: Map<string, string[]> } {
    const clusterAddrTable = new Map<string, string[]>()
    for (const { name, cluster } of this.groups.values()) {
      const names = clusterAddrTable.get(cluster)
      if (names === undefined) clusterAddrTable.set(cluster, [name])
      else names.push(name)
    }
    const brokerAddrTable = new Map([...this.groups].map(([name, group]) => [name, brokerData(group)]))
    return { brokerAddrTable, clusterAddrTable }
  }

  /** Addresses by broker id. */
  members(brokerName: string): ReadonlyMap<number, string> {
    const group = this.groups.get(brokerName)
    return group === undefined ? new Map() : addresses(group)
  }

  topicNames(): string[] {
    return [...this.topics.keys()]
  }

  topicNamesOfCluster(cluster: string): string[] {
    return this.topicNamesWhere(({ queues }) =>
      [...queues.keys()].some(brokerName => this.groups.get(brokerName)!.cluster === cluster)
    )
  }

  /** Topics whose flags, as the first broker has them, pass a check. */
  topicNamesByFlag(check: (topicSysFlag: number) => boolean): string[] {
    return this.topicNamesWhere(({ queues }) => check([...queues.values()][0]!.data.topicSysFlag))
  }

  private topicNamesWhere(check: (topic: Topic) => boolean): string[] {
    return [...this.topics].filter(([, topic]) => check(topic)).map(([name]) => name)
  }

  private addGroup(name: string, cluster: string): BrokerGroup {
    const group: BrokerGroup = {
      name,
      cluster,
      zoneName: undefined,
      actingMaster: false,
      replicas: new Map(),
      queues: new Map(),
      text: { standard: '', java: '' }
    }
    this.groups.set(name, group)
    this.onGroupAdded?.()
    return group
  }

  /** Topics that are not known yet are taken even when the version did not change. */
  private takeTopics(group: BrokerGroup, registration: Registration, changed: boolean, readOnly: boolean): void {
    const { topics, mappings } = registration
    if (this.options.deleteTopicWithBrokerRegistration && mappings.size === 0) {
      const named = new Set(topics.map(({ topicName }) => topicName))
      for (const [topicName, { queues }] of this.topics)
        if (queues.has(group.name) && !named.has(topicName)) this.dropQueues(topicName, group.name)
    }
    for (const config of topics) {
      if (!changed && this.topics.get(config.topicName)?.queues.has(group.name)) continue
      const perm = readOnly ? config.perm & ~PERM_WRITE : config.perm
      this.setQueues(config.topicName, this.shared(group, config, perm))
    }
    if (!changed) return
    for (const [topicName, mapping] of mappings) {
      const topic = this.topics.get(topicName)
      topic?.mappings.set(mapping.bname, mapping)
      forget(topic)
    }
  }

  private shared(group: BrokerGroup, queues: Omit<TopicConfig, 'topicName'>, perm = queues.perm): SharedQueues {
    const { readQueueNums, topicSysFlag, writeQueueNums } = queues
    // Cheaper than the text of the data, which all topics of a registration would have to be written for.
    const key = `${perm} ${readQueueNums} ${topicSysFlag} ${writeQueueNums}`
    const known = group.queues.get(key)
    if (known !== undefined) return known
    const data = { brokerName: group.name, perm, readQueueNums, topicSysFlag, writeQueueNums }
    const shared = { data, text: JSON.stringify(data) }
    group.queues.set(key, shared)
    return shared
  }

  private setQueues(topicName: string, queues: SharedQueues): void {
    const { brokerName } = queues.data
    let topic = this.topics.get(topicName)
    if (topic === undefined) {
      topic = { queues: new Map(), mappings: new Map(), route: { standard: null, java: null } }
      this.topics.set(topicName, topic)
    }
    if (topic.queues.get(brokerName) === queues) return
    topic.queues.set(brokerName, queues)
    forget(topic)
  }

  private dropQueues(topicName: string, brokerName: string): void {
    const topic = this.topics.get(topicName)!
    topic.queues.delete(brokerName)
    if (topic.queues.size === 0) this.topics.delete(topicName)
    forget(topic)
    this.readNextRegistration(brokerName)
  }

  private changePermissions(brokerName: string, change: (perm: number) => number): number {
    const group = this.groups.get(brokerName)
    let count = 0
    for (const [topicName, { queues }] of this.topics) {
      const data = queues.get(brokerName)?.data
      if (group === undefined || data === undefined) continue
      this.setQueues(topicName, this.shared(group, data, change(data.perm)))
      count++
    }
    return count
  }

  private removeReplicas(leaves: (replica: Replica, group: BrokerGroup) => boolean): void {
    for (const group of this.groups.values())
      for (const [id, replica] of group.replicas) if (leaves(replica, group)) this.removeReplica(group, id, replica)
  }

  private removeReplica(group: BrokerGroup, id: number, replica: Replica): void {
    const { name } = group
    group.replicas.delete(id)
    if (group.replicas.size === 0) {
      for (const [topicName, { queues }] of this.topics) if (queues.has(name)) this.dropQueues(topicName, name)
      this.groups.delete(name)
      return
    }
    this.readNextRegistration(name)
    this.showGroup(group)
    if (!group.actingMaster) return
    // Nobody takes messages for a group without master.
    if (!group.replicas.has(MASTER_ID)) this.wipeWritePermission(name)
    if (id < smallestId(group)) this.tellMinBrokerId(group, { offlineBrokerAddr: replica.address }, [])
  }

  /** Something of the group changed that its replicas do not know of. */
  private readNextRegistration(brokerName: string): void {
    for (const replica of this.groups.get(brokerName)?.replicas.values() ?? []) replica.fingerprint = ''
  }

  /** After a change of a group: routes that show it are made anew. */
  private showGroup(group: BrokerGroup): void {
    const { standard } = group.text
    const data = brokerData(group)
    group.text = { standard: formatBody(data, { standard: true }), java: formatBody(data) }
    if (group.text.standard === standard) return
    for (const topic of this.topics.values()) if (topic.queues.has(group.name)) forget(topic)
  }

  private tellMinBrokerId(
    group: BrokerGroup,
    reason: { offlineBrokerAddr?: string; haBrokerAddr?: string },
    notIds: readonly number[]
  ): void {
    if (!this.options.notifyMinBrokerIdChanged) return
    const minBrokerId = smallestId(group)
    const notify = [...group.replicas].filter(([id]) => !notIds.includes(id)).map(([, { address }]) => address)
    this.onMinBrokerIdChange?.({
      minBrokerId,
      minBrokerAddr: group.replicas.get(minBrokerId)!.address,
      ...reason,
      notify
    })
  }

  /** RouteInfoManager#pickupTopicRouteData, ZoneRouteRPCHook */
  private encodeRoute(topicName: string, topic: Topic, form: RouteForm, zone?: string): Buffer {
    const groups = [...topic.queues.keys()]
      .map(brokerName => this.groups.get(brokerName)!)
      .filter(group => zone === undefined || inZone(group, zone))
    const mayAct = this.options.supportActingMaster && !topicName.startsWith(MEMBER_TOPIC_PREFIX)
    const format = (value: unknown): string => formatBody(value, { standard: form === 'standard' })
    const brokerDatas = groups.map(group =>
      mayAct && hasActingMaster(group, topic) ? format(actingBrokerData(group)) : group.text[form]
    )
    const queueDatas = groups.map(({ name }) => topic.queues.get(name)!.text)
    const orderConf = this.options.orderMessageEnable ? this.orderConf(topicName) : undefined
    const fields = [
      `"brokerDatas":[${brokerDatas.join()}]`,
      // Filter servers went with 4.x.
      '"filterServerTable":{}',
      ...(orderConf === undefined ? [] : [`"orderTopicConf":${format(orderConf)}`]),
      `"queueDatas":[${queueDatas.join()}]`,
      ...(topic.mappings.size === 0 ? [] : [`"topicQueueMappingByBroker":${format(topic.mappings)}`])
    ]
    return Buffer.from(`{${fields.join()}}`)
  }
}

function forget(topic: Topic | undefined): void {
  if (topic === undefined) return
  topic.route.standard = null
  topic.route.java = null
}

/** Addresses by id, in the order of the ids. */
const addresses = ({ replicas }: BrokerGroup): Map<number, string> =>
  new Map([...replicas].sort(([a], [b]) => a - b).map(([id, { address }]) => [id, address]))

const brokerData = (group: BrokerGroup): BrokerData => ({
  brokerAddrs: addresses(group),
  brokerName: group.name,
  cluster: group.cluster,
  enableActingMaster: group.actingMaster,
  zoneName: group.zoneName
})

/** Without a master, and with a topic that takes no messages: a slave may stand in for reading. */
const hasActingMaster = (group: BrokerGroup, topic: Topic): boolean =>
  group.actingMaster && !group.replicas.has(MASTER_ID) && (topic.queues.get(group.name)!.data.perm & PERM_WRITE) === 0

/** The smallest slave under the master's id. */
function actingBrokerData(group: BrokerGroup): BrokerData {
  const [[, acting], ...others] = [...addresses(group)] as [[number, string], ...[number, string][]]
  return { ...brokerData(group), brokerAddrs: new Map([[MASTER_ID, acting], ...others]) }
}

const inZone = ({ zoneName, replicas }: BrokerGroup, zone: string): boolean =>
  zoneName?.toLowerCase() === zone.toLowerCase() || !replicas.has(MASTER_ID)
