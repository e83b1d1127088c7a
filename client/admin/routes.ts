import {
  type ExtFields,
  JSON_HEADER,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request
} from '../../net/index.ts'
import { ClientInstance } from '../client-instance.ts'
import { ClientError } from '../errors.ts'
import type { MessageQueue } from '../message.ts'
import { type ClientOptions, withDefaults } from '../options.ts'
import type { ClusterInfo, TopicRouteData } from './bodies.ts'
import { parseClusterInfo, parseObject, parseRouteData, selectAddress } from './codec.ts'

/** What an Admin can be told beside every client's options. */
export type AdminOptions = ClientOptions

/** Whom a question about a topic goes to. */
export interface ReadOptions {
  /** Only this broker. Default: all that have the topic. */
  address?: string | undefined
  /** The topic whose route is taken. Default: the topic itself. */
  routeTopic?: string | undefined
}

/** Asks NameServers and brokers, and knows where they are. */
export class RouteAdmin {
  protected readonly instance: ClientInstance
  protected readonly timeoutMs: number

  /** Throws ClientError NO_NAMESRV or OPTION_BAD, NetError ADDRESS_BAD. */
  constructor(options: Partial<AdminOptions> = {}) {
    // JSON headers carry codes that binary ones cannot.
    this.instance = new ClientInstance({
      requestTimeoutMs: 5000,
      ...withDefaults<Partial<AdminOptions>>({ serializeType: JSON_HEADER }, options)
    })
    this.timeoutMs = this.instance.options.requestTimeoutMs
  }

  /** Ends all connections. */
  close(): Promise<void> {
    return this.instance.close()
  }

  get namesrvAddresses(): readonly string[] {
    return this.instance.namesrvAddresses
  }

  /** Sends any request to a broker or NameServer and expects SUCCESS: for codes that have no method here. */
  call(address: string, command: RemotingCommand, timeoutMs = this.timeoutMs): Promise<RemotingCommand> {
    return this.instance.call(address, command, timeoutMs)
  }

  /** All brokers. MQAdminExt#examineBrokerClusterInfo */
  async clusterInfo(): Promise<ClusterInfo> {
    const { body } = await this.askNameServer(RequestCode.GET_BROKER_CLUSTER_INFO)
    return parseClusterInfo(body)
  }

  /** Addresses of a cluster's brokers; null when there is no such cluster. CommandUtil#fetchMasterAddrByClusterName */
  async clusterAddresses(cluster: string, { slaves = false } = {}): Promise<string[] | null> {
    const { brokerAddrTable, clusterAddrTable } = await this.clusterInfo()
    const names = clusterAddrTable[cluster]
    if (names === undefined) return null
    return names.flatMap(name =>
      [...(brokerAddrTable[name]?.brokerAddrs ?? [])].filter(([id]) => slaves || id === 0).map(([, address]) => address)
    )
  }

  /** Where a topic lies. Throws REFUSED with TOPIC_NOT_EXIST (17). MQAdminExt#examineTopicRouteInfo */
  async topicRoute(topic: string): Promise<TopicRouteData> {
    const { body } = await this.askNameServer(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
    return parseRouteData(body)
  }

  /** The clusters that hold a topic. MQAdminExt#getTopicClusterList */
  async topicClusters(topic: string): Promise<string[]> {
    const { clusterAddrTable } = await this.clusterInfo()
    const { brokerDatas } = await this.topicRoute(topic)
    const name = brokerDatas[0]?.brokerName ?? ''
    return Object.keys(clusterAddrTable).filter(cluster => clusterAddrTable[cluster]!.includes(name))
  }

  /** Every topic that the NameServer knows. MQAdminExt#fetchAllTopicList */
  async topics(): Promise<string[]> {
    const { body } = await this.askNameServer(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)
    return parseObject<{ topicList: string[] }>(body).topicList ?? []
  }

  /** The topics of one cluster. MQAdminExt#fetchTopicsByCLuster */
  async topicsOfCluster(cluster: string): Promise<string[]> {
    const { body } = await this.askNameServer(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster })
    return parseObject<{ topicList: string[] }>(body).topicList ?? []
  }

  protected ask(
    address: string,
    code: number,
    header: Record<string, string | number | boolean | undefined> = {},
    body?: string
  ): Promise<RemotingCommand> {
    return this.call(address, request(code, fields(header), body))
  }

  protected askNameServer(code: number, header: Record<string, string> = {}): Promise<RemotingCommand> {
    return this.instance.callNameServer(request(code, header), this.timeoutMs)
  }

  /** The route of the first of these topics that has one. */
  protected async firstRoute(topics: readonly string[]): Promise<TopicRouteData> {
    let failure: unknown
    for (const topic of topics) {
      try {
        return await this.topicRoute(topic)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  protected async addressOf({ topic, brokerName }: MessageQueue, routeTopic = topic): Promise<string> {
    return (await this.instance.findReadAddress(routeTopic, brokerName)).address
  }
}

/** Fields as a header carries them; those that are undefined are left out. */
export const fields = (values: Record<string, string | number | boolean | undefined>): ExtFields =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, String(value)])
  )

/** One address per broker name: its master, or else a slave. */
export const addressesOf = ({ brokerDatas }: TopicRouteData): string[] =>
  brokerDatas.map(selectAddress).filter(address => address !== undefined)

export const anyOf = (addresses: readonly string[]): string | undefined =>
  addresses[Math.floor(Math.random() * addresses.length)]

export const notOnline = (group: string): ClientError =>
  new ClientError('GROUP_NOT_ONLINE', { group, responseCode: ResponseCode.CONSUMER_NOT_ONLINE })

/** MixAll#properties2String */
export const formatProperties = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
