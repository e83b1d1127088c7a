import { formatBody } from '../net/index.ts'
import { type BrokerGroup, MASTER_ID, PERM_WRITE, type RouteForm, type SharedQueues } from './broker-group.ts'
import type { TopicQueueMapping } from './registration.ts'

/** What a route shows beside where the topic lies. */
export interface RouteExtras {
  /** Whether the smallest slave may stand in for a master that is gone. */
  mayAct: boolean
  orderConf: string | undefined
  /** Of a static topic, by broker name. */
  mappings: ReadonlyMap<string, TopicQueueMapping> | null
  /** Shows the brokers there, and groups without master. */
  zone: string | undefined
}

/** RouteInfoManager#pickupTopicRouteData, ZoneRouteRPCHook */
export function encodeRoute(queues: readonly SharedQueues[], form: RouteForm, extras: RouteExtras): Buffer {
  const { mayAct, orderConf, mappings, zone } = extras
  const shown = zone === undefined ? queues : queues.filter(({ group }) => inZone(group, zone))
  const format = (value: unknown): string => formatBody(value, { standard: form === 'standard' })
  const brokerDatas = shown.map(({ group, data }) =>
    mayAct && hasActingMaster(group, data.perm) ? format(actingBrokerData(group)) : group.text[form]
  )
  const fields = [
    `"brokerDatas":[${brokerDatas.join()}]`,
    // Filter servers went with 4.x.
    '"filterServerTable":{}',
    ...(orderConf === undefined ? [] : [`"orderTopicConf":${format(orderConf)}`]),
    `"queueDatas":[${shown.map(({ text }) => text).join()}]`,
    ...(mappings === null ? [] : [`"topicQueueMappingByBroker":${format(mappings)}`])
  ]
  return Buffer.from(`{${fields.join()}}`)
}

/** Without a master, and with a topic that takes no messages: a slave may stand in for reading. */
const hasActingMaster = (group: BrokerGroup, perm: number): boolean =>
  group.actingMaster && !group.replicas.has(MASTER_ID) && (perm & PERM_WRITE) === 0

/** The smallest slave under the master's id. */
function actingBrokerData(group: BrokerGroup) {
  const [[, acting], ...others] = [...group.addresses] as [[number, string], ...[number, string][]]
  return { ...group.data, brokerAddrs: new Map([[MASTER_ID, acting], ...others]) }
}

const inZone = ({ zoneName, replicas }: BrokerGroup, zone: string): boolean =>
  zoneName?.toLowerCase() === zone.toLowerCase() || !replicas.has(MASTER_ID)
