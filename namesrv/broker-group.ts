import { type Connection, formatBody } from '../net/index.ts'
import type { DataVersion, TopicConfig } from './registration.ts'

export const MASTER_ID = 0
export const PERM_WRITE = 2

/** Standard JSON, or with unquoted integer keys as releases before 4.9.4 read it. */
export type RouteForm = 'standard' | 'java'

/** The queues of one topic on one broker, as clients are told. Fields here and below are in the order of the wire. */
export interface QueueData {
  readonly brokerName: string
  readonly perm: number
  readonly readQueueNums: number
  readonly topicSysFlag: number
  readonly writeQueueNums: number
}

/** One object stands for all equal queue data of a group: 10,000 topics on 100 brokers need but a few. */
export interface SharedQueues {
  /** No two have the same. */
  readonly id: number
  readonly group: BrokerGroup
  readonly data: QueueData
  readonly text: string
}

export interface BrokerData {
  brokerAddrs: ReadonlyMap<number, string>
  brokerName: string
  cluster: string
  enableActingMaster: boolean
  zoneName: string | undefined
}

/** One process of a group: master or slave. BrokerLiveInfo */
export interface Replica {
  readonly address: string
  haServerAddr: string
  version: DataVersion
  connection: Connection
  lastUpdateMs: number
  timeoutMs: number
  /** Of its last registration; empty when the next one has to be read whatever it says. */
  fingerprint: string
}

/** Who registers. RegisterBrokerRequestHeader */
export interface BrokerIdentity {
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

/** The smallest id of a group has changed; `notify` has the addresses to tell. NotifyMinBrokerIdChangeRequestHeader */
export interface MinBrokerIdChange {
  minBrokerId: number
  minBrokerAddr: string
  offlineBrokerAddr?: string
  haBrokerAddr?: string
  notify: string[]
}

let lastQueuesId = 0

/** A master and its slaves, which share a name. */
export class BrokerGroup {
  readonly name: string
  readonly cluster: string
  zoneName: string | undefined = undefined
  actingMaster = false
  readonly replicas = new Map<number, Replica>()
  /** Its broker data as routes show them. */
  text: Readonly<Record<RouteForm, string>> = { standard: '', java: '' }
  /** All different queue data of this group, by their numbers. */
  private readonly queues = new Map<string, SharedQueues>()

  constructor(name: string, cluster: string) {
    this.name = name
    this.cluster = cluster
  }

  /** Infinity while there is no replica. */
  get smallestId(): number {
    return Math.min(...this.replicas.keys())
  }

  /** Addresses by id, in the order of the ids. */
  get addresses(): Map<number, string> {
    return new Map([...this.replicas].sort(([a], [b]) => a - b).map(([id, { address }]) => [id, address]))
  }

  get data(): BrokerData {
    return {
      brokerAddrs: this.addresses,
      brokerName: this.name,
      cluster: this.cluster,
      enableActingMaster: this.actingMaster,
      zoneName: this.zoneName
    }
  }

  /** Writes its data anew; false when they are what they were. */
  refreshText(): boolean {
    const { data } = this
    const before = this.text.standard
    this.text = { standard: formatBody(data, { standard: true }), java: formatBody(data) }
    return this.text.standard !== before
  }

  /** Something of the group changed that its replicas do not know of: their next registrations are read whatever they say. */
  readNextRegistrations(): void {
    for (const replica of this.replicas.values()) replica.fingerprint = ''
  }

  /** The one object for these numbers. */
  share(queues: Omit<TopicConfig, 'topicName'>, perm = queues.perm): SharedQueues {
    const { readQueueNums, topicSysFlag, writeQueueNums } = queues
    // Cheaper than the text of the data, which all topics of a registration would have to be written for.
    const key = `${perm} ${readQueueNums} ${topicSysFlag} ${writeQueueNums}`
    const known = this.queues.get(key)
    if (known !== undefined) return known
    const data = { brokerName: this.name, perm, readQueueNums, topicSysFlag, writeQueueNums }
    const shared = { id: ++lastQueuesId, group: this, data, text: JSON.stringify(data) }
    this.queues.set(key, shared)
    return shared
  }
}
