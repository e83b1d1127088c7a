import { crc32 } from '../message/index.ts'
import {
  formatBody,
  type Log,
  parseBody,
  type RemotingClient,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request
} from '../net/index.ts'
import type { BrokerOptions } from './options.ts'
import { isReadable, isWritable, Perm, type TopicConfig, type TopicTable } from './topics.ts'

const UNREGISTER_TIMEOUT_MS = 3000
const QUERY_TIMEOUT_MS = 3000

/** What is asked of each NameServer, and what to do with its answer. */
interface Call {
  make(): RemotingCommand
  onAnswer?(address: string, answer: RemotingCommand): void
  onFailure?(address: string): void
}

/** What a broker tells NameServers of itself. */
export interface BrokerIdentity {
  address: string
  haAddress: string
}

/** Of GET_BROKER_CLUSTER_INFO. BrokerData */
interface ClusterMember {
  cluster: string
  brokerAddrs: Record<string, string>
}

/** Tells every NameServer, in parallel and each for itself, what this broker serves. BrokerOuterAPI */
export class NameServers {
  private readonly options: BrokerOptions
  private readonly client: RemotingClient
  private readonly topics: TopicTable
  private readonly identity: BrokerIdentity
  private readonly log: Log
  private addressList: string[]
  private left = false
  private reachable = new Map<string, boolean>()
  /** Who has to be told all topics, whatever version it names; with how often they had changed when it missed one. */
  private readonly lacking = new Map<string, number>()
  /** What the last registration of a slave was told; null while no master is known. */
  masterAddress: string | null = null
  /** Where that master serves RocketMQ's slaves. */
  masterHaAddress: string | null = null

  constructor(options: BrokerOptions, client: RemotingClient, topics: TopicTable, identity: BrokerIdentity) {
    this.options = options
    this.client = client
    this.topics = topics
    this.identity = identity
    this.log = options.log
    this.addressList = []
    this.setAddresses(options.namesrvAddr)
  }

  get addresses(): readonly string[] {
    return this.addressList
  }

  setAddresses(namesrvAddr: string): void {
    const known = this.addressList
    this.addressList = parseAddresses(namesrvAddr)
    for (const address of this.addressList) if (!known.includes(address)) this.lacking.set(address, 0)
  }

  /** Registers with all topics. Resolves when every NameServer has answered or failed; never throws. BrokerController#registerBrokerAll */
  async registerAll(): Promise<void> {
    await this.register('all', this.addressList)
  }

  /**
   * Keeps the broker registered: with each NameServer in full, unless `forceRegister` is off and it holds this version of the
   * topics already. A slave always registers, for the answer names its master. BrokerOuterAPI#needRegister
   */
  async keepRegistered(): Promise<void> {
    const { forceRegister, brokerId } = this.options
    if (forceRegister || brokerId !== 0 || this.left) {
      await this.registerAll()
      return
    }
    const version = formatBody(this.topics.version)
    const changed = this.addressList.filter(address => this.lacking.has(address))
    const asked = this.addressList.filter(address => !this.lacking.has(address))
    await this.toEach('ask for its version', QUERY_TIMEOUT_MS, asked, {
      make: () => request(RequestCode.QUERY_DATA_VERSION, this.identityFields(), version),
      onAnswer: (address, answer) => {
        if (answer.extFields?.changed !== 'false') changed.push(address)
      }
    })
    await this.register('all', changed)
  }

  /**
   * Registers a changed topic alone, and all with NameServers that missed a change: they would have the latest version and
   * not its topics. More than one are not sent alone, for a NameServer that began anew would take them for all there are,
   * where it refuses a single one. BrokerController#registerIncrementBrokerData
   */
  async registerChanged(topics: readonly TopicConfig[]): Promise<void> {
    const alone = (address: string) => topics.length === 1 && !this.lacking.has(address)
    const inStep = this.addressList.filter(alone)
    const others = this.addressList.filter(address => !alone(address))
    await Promise.all([this.register(topics, inStep), this.register('all', others)])
  }

  private async register(what: readonly TopicConfig[] | 'all', addresses: readonly string[]): Promise<void> {
    if (addresses.length === 0 || this.left) return
    const topics = what === 'all' ? [...this.topics.all()] : what
    const { counter } = this.topics.version
    // Of plain objects alone, for which JSON.stringify does what formatBody does, in a quarter of the time.
    const body = Buffer.from(
      JSON.stringify({
        filterServerList: [],
        topicConfigSerializeWrapper: {
          dataVersion: this.topics.version,
          mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: this.topics.version.timestamp },
          topicConfigTable: Object.fromEntries(topics.map(topic => [topic.topicName, this.permitted(topic)])),
          topicQueueMappingDetailMap: {},
          topicQueueMappingInfoMap: {}
        }
      })
    )
    const header = {
      ...this.identityFields(),
      haServerAddr: this.identity.haAddress,
      enableActingMaster: 'false',
      compressed: 'false',
      bodyCrc32: String(crc32(body))
    }
    await this.toEach('register', this.options.registerBrokerTimeoutMs, addresses, {
      make: () => request(RequestCode.REGISTER_BROKER, header, body),
      onFailure: address => this.lacking.set(address, counter),
      onAnswer: (address, answer) => {
        if (what === 'all' && counter >= this.lacking.get(address)!) this.lacking.delete(address)
        const { masterAddr, haServerAddr } = answer.extFields ?? {}
        if (masterAddr) {
          this.masterAddress = masterAddr
          this.masterHaAddress = haServerAddr || null
        }
      }
    })
  }

  /** What the broker as a whole forbids, its topics do not offer. */
  private permitted(topic: TopicConfig): TopicConfig {
    const { brokerPermission } = this.options
    if (isReadable(brokerPermission) && isWritable(brokerPermission)) return topic
    return { ...topic, perm: topic.perm & (brokerPermission | Perm.INHERIT) }
  }

  /** Leaves all for good. */
  async unregisterAll(): Promise<void> {
    this.left = true
    await this.toEach('unregister', UNREGISTER_TIMEOUT_MS, this.addressList, {
      make: () => request(RequestCode.UNREGISTER_BROKER, this.identityFields())
    })
  }

  /**
   * The brokers of this one's name, by id, as the NameServers know them now. Throws when none answers.
   * GET_BROKER_CLUSTER_INFO, which NameServers of all versions serve
   */
  async members(): Promise<Map<number, string>> {
    const { brokerName, brokerClusterName } = this.options
    const members = new Map<number, string>()
    const ask = async (address: string) => {
      const answer = await this.client.invoke(address, request(RequestCode.GET_BROKER_CLUSTER_INFO), QUERY_TIMEOUT_MS)
      const { brokerAddrTable } = (parseBody(answer.body) ?? {}) as { brokerAddrTable?: Record<string, ClusterMember> }
      const known = brokerAddrTable?.[brokerName]
      if (known?.cluster !== brokerClusterName) return
      for (const [id, brokerAddr] of Object.entries(known.brokerAddrs)) members.set(Number(id), brokerAddr)
    }
    const answers = await Promise.allSettled(this.addressList.map(ask))
    if (answers.every(({ status }) => status === 'rejected')) throw new Error('no NameServer answers')
    return members
  }

  private identityFields(): Record<string, string> {
    const { brokerName, brokerClusterName, brokerId } = this.options
    return {
      brokerName,
      brokerAddr: this.identity.address,
      clusterName: brokerClusterName,
      brokerId: String(brokerId)
    }
  }

  private async toEach(what: string, timeoutMs: number, addresses: readonly string[], call: Call): Promise<void> {
    await Promise.all(
      addresses.map(async address => {
        try {
          const answer = await this.client.invoke(address, call.make(), timeoutMs)
          if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `code ${answer.code}`)
          call.onAnswer?.(address, answer)
          this.report(address, true, '')
        } catch (error) {
          call.onFailure?.(address)
          this.report(address, false, `${what}: ${(error as Error).message}`)
        }
      })
    )
  }

  /** Only changes are worth a line. */
  private report(address: string, ok: boolean, reason: string): void {
    if (this.reachable.get(address) === ok) return
    this.reachable.set(address, ok)
    if (ok) this.log.info({ address }, 'registered with a NameServer')
    else this.log.warn({ address, reason }, 'a NameServer cannot be reached; trying again with the next registration')
  }
}

function parseAddresses(text: string): string[] {
  return [...new Set(text.split(/[;,]/).map(address => address.trim()))].filter(address => address !== '')
}
