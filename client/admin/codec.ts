import { parseBody, parseProperties } from '../../net/index.ts'
import { compareQueues, type MessageQueue } from '../message.ts'
import type { BrokerData, ClusterInfo, TopicConfig, TopicRouteData } from './bodies.ts'

// How bodies and headers of admin calls are read and written.

type Body = Uint8Array | string | null

/** A body as an object; an absent one is empty. Throws NetError BAD_JSON. */
export const parseObject = <T>(body: Body): Partial<T> => (body === null ? {} : (parseBody(body) as Partial<T>))

/** A map by queue: its keys are objects, or texts that hold them. In the order of queues. */
export function parseQueueTable<T extends object>(table: unknown): (MessageQueue & T)[] {
  const entries: [unknown, unknown][] = table instanceof Map ? [...table] : Object.entries(table ?? {})
  return entries
    .map(([key, value]) => {
      const { topic, brokerName, queueId } = (typeof key === 'string' ? parseBody(key) : key) as MessageQueue
      return { topic, brokerName, queueId, ...(value as T) }
    })
    .sort(compareQueues)
}

/** Integer keys come out of JSON as texts; as a Map of numbers they go back unquoted, as Java writes them. */
const byNumber = <T>(table: object | undefined): Map<number, T> =>
  new Map(
    Object.entries(table ?? {})
      .map(([id, value]): [number, T] => [Number(id), value])
      .sort(([a], [b]) => a - b)
  )

const withAddresses = (broker: BrokerData): BrokerData => ({ ...broker, brokerAddrs: byNumber(broker.brokerAddrs) })

export function parseRouteData(body: Body): TopicRouteData {
  const { queueDatas = [], brokerDatas = [], ...rest } = parseObject<TopicRouteData>(body)
  for (const mapping of Object.values(rest.topicQueueMappingByBroker ?? {}))
    mapping.currIdMap = byNumber(mapping.currIdMap)
  return { ...rest, queueDatas, brokerDatas: brokerDatas.map(withAddresses) }
}

export function parseClusterInfo(body: Body): ClusterInfo {
  const { brokerAddrTable = {}, clusterAddrTable = {} } = parseObject<ClusterInfo>(body)
  return {
    brokerAddrTable: Object.fromEntries(
      Object.entries(brokerAddrTable).map(([name, broker]) => [name, withAddresses(broker)])
    ),
    clusterAddrTable
  }
}

/** The broker that is asked for others of its name: the master, or else any. BrokerData#selectBrokerAddr */
export const selectAddress = ({ brokerAddrs }: BrokerData): string | undefined =>
  brokerAddrs.get(0) ?? brokerAddrs.values().next().value

const attributesOf = (attributes: Record<string, string>): string =>
  Object.entries(attributes)
    .map(([name, value]) => (name.startsWith('-') ? name : `${name}=${value}`))
    .join(',')

/** The header of UPDATE_AND_CREATE_TOPIC. MQClientAPIImpl#createTopic */
export const topicHeader = (config: TopicConfig): Record<string, string> => ({
  topic: config.topicName,
  defaultTopic: 'TBW102',
  readQueueNums: String(config.readQueueNums),
  writeQueueNums: String(config.writeQueueNums),
  perm: String(config.perm),
  topicFilterType: config.topicFilterType,
  topicSysFlag: String(config.topicSysFlag),
  order: String(config.order),
  attributes: attributesOf(config.attributes),
  force: 'false'
})

/** `key=value` lines with Java's comments and escapes, in their order. Properties#load */
export const parsePropertiesText = (body: Body): Map<string, string> =>
  parseProperties(Buffer.from(body ?? '').toString('utf8'))
