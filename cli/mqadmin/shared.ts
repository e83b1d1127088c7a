import { readFileSync } from 'node:fs'
import type { Message, MessageQueue, SubscriptionGroupConfig, TopicConfig } from '../../client/index.ts'
import { javaHashCode } from '../../message/index.ts'
import { parseBody } from '../../net/index.ts'
import type { Context } from './command.ts'

// What several commands print or look up in the same way.

/** The masters of a cluster, or all its brokers; says so when there is no such cluster. CommandUtil#fetchMasterAddrByClusterName */
export async function addressesOfCluster(
  { admin, print }: Context,
  cluster: string,
  slaves = false
): Promise<string[]> {
  const addresses = await admin.clusterAddresses(cluster, { slaves })
  if (addresses === null) noSuchCluster(print)
  return addresses ?? []
}

/** CommandUtil: ERROR_MESSAGE */
export const noSuchCluster = (print: Context['print']): void =>
  print('[error] Make sure the specified clusterName exists or the name server connected to is correct.')

/** Runs for the broker of `-b`, or for each of the cluster of `-c`. Returns whether one of them was given. */
export async function forEachBroker(
  context: Context,
  run: (address: string, cluster: string | null) => Promise<void>,
  { slaves = false, goOn = false } = {}
): Promise<boolean> {
  const { given, warn } = context
  const address = given.get('b')
  const cluster = given.get('c')
  if (address !== undefined) await run(address, null)
  else if (cluster !== undefined)
    for (const each of await addressesOfCluster(context, cluster, slaves)) {
      try {
        await run(each, cluster)
      } catch (error) {
        if (!goOn) throw error
        warn(error)
      }
    }
  return address !== undefined || cluster !== undefined
}

/** Longer texts are cut, so that columns keep their width. UtilAll#frontStringAtLeast */
export const front = (text: string, length: number): string => text.slice(0, length)

/** The order in which a HashMap of this size lists its keys; the size doubles when it is three quarters full. */
export function hashOrder(keys: readonly string[], initialSize = 16): string[] {
  let size = initialSize
  while (keys.length > size * 0.75) size *= 2
  const bucket = (key: string): number => {
    const hash = javaHashCode(key)
    return (hash ^ (hash >>> 16)) & (size - 1)
  }
  return [...keys].sort((a, b) => bucket(a) - bucket(b))
}

/** The size of the map into which MessageDecoder reads properties. */
const PROPERTIES_SIZE = 128

/** `{KEYS=a, TAGS=b}` */
export const propertiesText = ({ properties }: Message): string =>
  `{${hashOrder([...properties.keys()], PROPERTIES_SIZE)
    .map(name => `${name}=${properties.get(name)}`)
    .join(', ')}}`

/** MessageQueue#toString */
export const queueText = ({ topic, brokerName, queueId }: MessageQueue): string =>
  `MessageQueue [topic=${topic}, brokerName=${brokerName}, queueId=${queueId}]`

/** MessageExt#toString */
export const messageText = (message: Message): string =>
  `MessageExt [brokerName=${message.brokerName || null}, queueId=${message.queueId}, storeSize=${message.sizeBytes}, ` +
  `queueOffset=${message.queueOffset}, sysFlag=${message.sysFlag}, bornTimestamp=${message.bornTimestamp}, ` +
  `bornHost=/${message.bornHost.text}, storeTimestamp=${message.storeTimestamp}, storeHost=/${message.storeHost.text}, ` +
  `msgId=${message.offsetMessageId}, commitLogOffset=${message.physicalOffset}, ` +
  `bodyCRC=${message.bodyCrc}, reconsumeTimes=${message.reconsumeTimes}, ` +
  `preparedTransactionOffset=${message.preparedTransactionOffset}, toString()=Message{topic='${message.topic}', ` +
  `flag=${message.flag}, properties=${propertiesText(message)}, ` +
  `body=[${[...new Int8Array(message.body)].join(', ')}], transactionId='null'}]`

const permText = (perm: number): string => (perm & 4 ? 'R' : '-') + (perm & 2 ? 'W' : '-') + (perm & 1 ? 'X' : '-')

const mapText = (map: Readonly<Record<string, string>>): string =>
  `{${hashOrder(Object.keys(map))
    .map(name => `${name}=${map[name]}`)
    .join(', ')}}`

/** TopicConfig#toString */
export const topicConfigText = (config: TopicConfig): string =>
  `TopicConfig [topicName=${config.topicName}, readQueueNums=${config.readQueueNums}, ` +
  `writeQueueNums=${config.writeQueueNums}, perm=${permText(config.perm)}, topicFilterType=${config.topicFilterType}, ` +
  `topicSysFlag=${config.topicSysFlag}, order=${config.order}, attributes=${mapText(config.attributes)}]`

/** The fields of a group by name, as texts, in the order of SubscriptionGroupConfig. */
export function groupFields(config: SubscriptionGroupConfig): [string, string | null][] {
  const { exponentialRetryPolicy: exponential, customizedRetryPolicy: customized, type } = config.groupRetryPolicy
  const exponentialText = exponential
    ? `ExponentialRetryPolicy{initial=${exponential.initial}, max=${exponential.max}, multiplier=${exponential.multiplier}}`
    : null
  const customizedText = customized ? `CustomizedRetryPolicy{next=[${customized.next.join(', ')}]}` : null
  const policy = `GroupRetryPolicy{type=${type}, exponentialRetryPolicy=${exponentialText}, customizedRetryPolicy=${customizedText}}`
  return [
    ['groupName', config.groupName],
    ['consumeEnable', String(config.consumeEnable)],
    ['consumeFromMinEnable', String(config.consumeFromMinEnable)],
    ['consumeBroadcastEnable', String(config.consumeBroadcastEnable)],
    ['consumeMessageOrderly', String(config.consumeMessageOrderly)],
    ['retryQueueNums', String(config.retryQueueNums)],
    ['retryMaxTimes', String(config.retryMaxTimes)],
    ['groupRetryPolicy', policy],
    ['brokerId', String(config.brokerId)],
    ['whichBrokerWhenConsumeSlowly', String(config.whichBrokerWhenConsumeSlowly)],
    ['notifyConsumerIdsChangedEnable', String(config.notifyConsumerIdsChangedEnable)],
    ['groupSysFlag', String(config.groupSysFlag)],
    ['consumeTimeoutMinute', String(config.consumeTimeoutMinute)],
    ['subscriptionDataSet', config.subscriptionDataSet ? JSON.stringify(config.subscriptionDataSet) : null],
    ['attributes', mapText(config.attributes)]
  ]
}

/** `+a=b,-c` by name, the signs included; a removed one has no value. Throws when it does not fit. AttributeParser#parseToMap */
export function parseAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (const part of text.split(',').filter(part => part !== '')) {
    const [, add, value = '', remove] = /^(\+[^=]+)=(.+)$|^(-[^=]+)$/.exec(part) ?? []
    const name = add ?? remove
    if (name === undefined) throw new TypeError(`the attribute "${part}" reads neither +name=value nor -name`)
    if (name in attributes) throw new TypeError(`the attribute "${name}" is given twice`)
    attributes[name] = value
  }
  return attributes
}

/** An array out of a JSON file; null when there is no such file, of which it tells. */
export function readJsonArray<T>({ given, print }: Context): T[] | null {
  const path = given.text('f')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    print('the file path %s does not exists%n', path)
    return null
  }
  const items = parseBody(text)
  if (!Array.isArray(items)) throw new TypeError(`the file ${path} holds no JSON array`)
  return items as T[]
}

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
