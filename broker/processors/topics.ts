import { checkTopicName, RETRY_PREFIX, SYSTEM_TOPICS } from '../../message/index.ts'
import {
  CreateTopicHeader,
  formatBody,
  GetAllTopicConfigHeader,
  NetError,
  RequestCode,
  ResponseCode,
  response,
  TopicHeader
} from '../../net/index.ts'
import { alterAttributes, parseAttributeChanges, TOPIC_ATTRIBUTES } from '../attributes.ts'
import type { Broker } from '../broker.ts'
import type { DataVersion } from '../data-version.ts'
import { BrokerError } from '../errors.ts'
import { type TopicConfig, topicConfigOf } from '../topics.ts'
import { listOf, objectBody, textOf } from './clients.ts'

/** More queues than any broker has use for: answers list them one by one. */
export const MAX_QUEUES = 65_536
const ALL_PERMS = 7
const FILTER_TYPES = ['SINGLE_TAG', 'MULTI_TAG']

/** Topics: created, changed, deleted, told. AdminBrokerProcessor */
export function registerTopicRequests(broker: Broker): void {
  const { dispatcher, topics, groups, offsets, stats } = broker

  /** Puts what requests want, whose attributes are changes to those that there are: all of it, or nothing. */
  const createTopics = async (wanted: readonly TopicConfig[]): Promise<void> => {
    const made = wanted.map(topic => {
      checkNewTopic(broker, topic)
      const current = topics.get(topic.topicName)?.attributes ?? null
      return { ...topic, attributes: alterAttributes(TOPIC_ATTRIBUTES, current, topic.attributes) }
    })
    await topics.put(...made)
  }

  // AdminBrokerProcessor#updateAndCreateTopic
  dispatcher.register(RequestCode.UPDATE_AND_CREATE_TOPIC, async request => {
    const { topic, attributes, ...values } = CreateTopicHeader.decode(request.extFields)
    await createTopics([topicConfigOf(topic, { ...values, attributes: parseAttributeChanges(attributes) })])
    return response(ResponseCode.SUCCESS)
  })

  // AdminBrokerProcessor#updateAndCreateTopicList
  dispatcher.register(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, async request => {
    const { topicConfigList } = objectBody(request)
    if (!Array.isArray(topicConfigList)) throw new NetError('BODY_BAD', { reason: 'it has no topicConfigList' })
    await createTopics(listOf(topicConfigList).map(value => topicConfigOf(textOf(value.topicName), value)))
    return response(ResponseCode.SUCCESS)
  })

  /** The topics in which pop consumers of this topic retry; a group's own retry topic can have such a name too. */
  const popRetryTopicsOf = (topic: string): string[] =>
    offsets
      .groupsOf(topic)
      .filter(group => groups.find(`${group}_${topic}`) === undefined)
      .flatMap(group => [`${RETRY_PREFIX}${group}_${topic}`, `${RETRY_PREFIX}${group}+${topic}`])
      .filter(name => topics.get(name) !== undefined)

  // AdminBrokerProcessor#deleteTopic
  dispatcher.register(RequestCode.DELETE_TOPIC_IN_BROKER, async request => {
    const topic = request.extFields?.topic ?? ''
    if (topic.trim() === '') throw new BrokerError('TOPIC_ILLEGAL', { reason: 'The specified topic is blank.' })
    checkNoSystemTopic(broker, topic)
    for (const each of [...popRetryTopicsOf(topic), topic]) {
      await topics.delete(each)
      offsets.deleteTopic(each)
      broker.store.deleteTopic(each)
      stats.forgetTopic(each)
    }
    return response(ResponseCode.SUCCESS)
  })

  // AdminBrokerProcessor#getTopicConfig
  dispatcher.register(RequestCode.GET_TOPIC_CONFIG, request => {
    const { topic } = TopicHeader.decode(request.extFields)
    const config = topics.get(topic)
    if (config === undefined) return response(ResponseCode.TOPIC_NOT_EXIST, `No topic in this broker. topic: ${topic}`)
    return response(ResponseCode.SUCCESS, null, null, formatBody(config))
  })

  // AdminBrokerProcessor#getAllTopicConfig
  dispatcher.register(RequestCode.GET_ALL_TOPIC_CONFIG, request => {
    const { topicSeq, maxTopicNum, dataVersion: known } = GetAllTopicConfigHeader.decode(request.extFields)
    const { dataVersion, topicConfigTable } = topics.toBody()
    const body = formatBody({
      dataVersion,
      mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: dataVersion.timestamp },
      topicConfigTable: pageOf(topicConfigTable, dataVersion, known, topicSeq, maxTopicNum),
      topicQueueMappingDetailMap: {},
      topicQueueMappingInfoMap: {}
    })
    return response(ResponseCode.SUCCESS, null, { totalTopicNum: String(topicConfigTable.size) }, body)
  })

  // AdminBrokerProcessor#getSystemTopicListFromBroker
  dispatcher.register(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER, () => {
    const topicList = [...new Set([...SYSTEM_TOPICS, ...topics.systemTopics])]
    return response(ResponseCode.SUCCESS, null, null, formatBody({ topicList }))
  })
}

function checkNoSystemTopic(broker: Broker, topic: string): void {
  if (broker.options.validateSystemTopicWhenUpdateTopic && broker.topics.isSystem(topic))
    throw new BrokerError('TOPIC_ILLEGAL', { reason: `The topic[${topic}] is conflict with system topic.` })
}

function checkNewTopic(broker: Broker, topic: TopicConfig): void {
  const illegal = (reason: string) => new BrokerError('TOPIC_ILLEGAL', { reason })
  const reason = checkTopicName(topic.topicName)
  if (reason !== null) throw illegal(reason)
  checkNoSystemTopic(broker, topic.topicName)
  for (const field of ['readQueueNums', 'writeQueueNums'] as const)
    if (topic[field] < 0 || topic[field] > MAX_QUEUES)
      throw illegal(`${field} = [${topic[field]}] value invalid: it lies between 0 and ${MAX_QUEUES}`)
  if (topic.perm < 0 || topic.perm > ALL_PERMS)
    throw illegal(`perm = [${topic.perm}] value invalid: it adds up of 4 to read, 2 to write and 1 to inherit`)
  if (!FILTER_TYPES.includes(topic.topicFilterType))
    throw illegal(`topicFilterType = [${topic.topicFilterType}] value invalid: it is ${FILTER_TYPES.join(' or ')}`)
}

/**
 * `max` entries of a table behind the first `seq`, which the peer has already; all of it again when the table has changed
 * since the state that the peer knows, and all at once when it asks for no page. TopicConfigManager#subTopicConfigTable
 */
export function pageOf<V>(
  table: ReadonlyMap<string, V>,
  version: DataVersion,
  known: string | undefined,
  seq = 0,
  max = Number.POSITIVE_INFINITY
): Map<string, V> {
  const unchanged = known === undefined || known === '' || known === formatBody(version) || seq === 0
  const start = unchanged ? Math.max(seq, 0) : 0
  return new Map([...table].slice(start, start + Math.max(max, 0)))
}
