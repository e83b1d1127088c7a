import { retryTopicOf, type SubscriptionData } from '../../message/index.ts'
import {
  ConsumerGroupHeader,
  formatBody,
  LANGUAGES,
  NetError,
  ProducerGroupHeader,
  parseBody,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response,
  UnregisterClientHeader
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import type { ClientChannel, ConsumerHeartbeat } from '../client-registry.ts'
import { Perm } from '../topics.ts'

/** A body that must be a JSON object. Throws NetError BODY_BAD or BAD_JSON. */
export function objectBody(request: RemotingCommand): Record<string, unknown> {
  if (request.body === null) throw new NetError('BODY_BAD', { reason: 'there is none' })
  const value = parseBody(request.body)
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new NetError('BODY_BAD', { reason: 'it is no JSON object' })
  return value as Record<string, unknown>
}

export const textOf = (value: unknown, otherwise = ''): string => (typeof value === 'string' ? value : otherwise)
export const listOf = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter(item => item !== null && typeof item === 'object') : []

/** The subscription in a heartbeat; fields that are missing get Java's defaults. */
export function subscriptionDataOf(value: Record<string, unknown>): SubscriptionData {
  const strings = (list: unknown): string[] => (Array.isArray(list) ? list.map(String) : [])
  return {
    topic: textOf(value.topic),
    subString: textOf(value.subString, '*') || '*',
    tagsSet: strings(value.tagsSet),
    codeSet: strings(value.codeSet).map(Number),
    subVersion: Number(value.subVersion ?? 0),
    expressionType: value.expressionType === 'SQL92' ? 'SQL92' : 'TAG',
    classFilterMode: value.classFilterMode === true
  }
}

/** Who is there: heartbeats, departures, members of groups. ClientManageProcessor, ConsumerManageProcessor */
export function registerClientRequests(broker: Broker): void {
  const { dispatcher, clients, groups, topics } = broker

  // ClientManageProcessor#heartBeat
  dispatcher.register(RequestCode.HEART_BEAT, async (request, connection) => {
    const body = objectBody(request)
    const clientId = textOf(body.clientID)
    if (clientId === '') throw new NetError('BODY_BAD', { reason: 'the heartbeat names no clientID' })
    const channel: ClientChannel = {
      connection,
      clientId,
      language: request.language,
      version: request.version,
      lastHeartbeatMs: Date.now()
    }
    let known = true
    let changed = false
    const withoutSub = body.withoutSub === true && Number(body.heartbeatFingerprint) !== 0
    for (const consumer of listOf(body.consumerDataSet)) {
      const groupName = textOf(consumer.groupName)
      if (withoutSub) {
        known = clients.refreshConsumer(groupName, channel) && known
        continue
      }
      const group = groups.get(groupName)
      if (group === undefined) {
        broker.log.warn({ group: groupName, clientId }, 'a heartbeat of an unknown group was passed over')
        continue
      }
      const heartbeat: ConsumerHeartbeat = {
        groupName,
        consumeType: textOf(consumer.consumeType, 'CONSUME_PASSIVELY'),
        messageModel: textOf(consumer.messageModel, 'CLUSTERING'),
        consumeFromWhere: textOf(consumer.consumeFromWhere, 'CONSUME_FROM_LAST_OFFSET'),
        subscriptions: listOf(consumer.subscriptionDataSet).map(subscriptionDataOf)
      }
      if (group.retryQueueNums > 0)
        await topics.ensure(
          retryTopicOf(groupName),
          group.retryQueueNums,
          Perm.READ | Perm.WRITE,
          consumer.unitMode === true ? 2 : 0
        )
      if (connection.closed) return null
      changed = clients.consumer(heartbeat, channel, true) || changed
    }
    for (const producer of listOf(body.producerDataSet)) clients.producer(textOf(producer.groupName), channel)
    return response(ResponseCode.SUCCESS, null, {
      IS_SUPPORT_HEART_BEAT_V2: 'true',
      IS_SUB_CHANGE: String(changed || !known)
    })
  })

  // ClientManageProcessor#unregisterClient
  dispatcher.register(RequestCode.UNREGISTER_CLIENT, (request, connection) => {
    const { producerGroup, consumerGroup } = UnregisterClientHeader.decode(request.extFields)
    if (producerGroup !== undefined) clients.unregisterProducer(producerGroup, connection)
    if (consumerGroup !== undefined) clients.unregisterConsumer(consumerGroup, connection, true)
    return response(ResponseCode.SUCCESS)
  })

  // ConsumerManageProcessor#getConsumerListByGroup
  dispatcher.register(RequestCode.GET_CONSUMER_LIST_BY_GROUP, request => {
    const { consumerGroup } = ConsumerGroupHeader.decode(request.extFields)
    const consumerIdList = clients.consumers.get(consumerGroup)?.clientIds() ?? []
    if (consumerIdList.length === 0)
      return response(ResponseCode.SYSTEM_ERROR, `no consumer for this group, ${consumerGroup}`)
    return response(ResponseCode.SUCCESS, null, null, formatBody({ consumerIdList }))
  })

  // ClientManageProcessor#checkClientConfig
  dispatcher.register(RequestCode.CHECK_CLIENT_CONFIG, request => {
    const subscription = (objectBody(request).subscriptionData ?? {}) as Record<string, unknown>
    const type = textOf(subscription.expressionType, 'TAG')
    if (type === 'TAG') return response(ResponseCode.SUCCESS)
    return response(ResponseCode.SYSTEM_ERROR, `The broker does not support consumer to filter message by ${type}`)
  })

  // AdminBrokerProcessor#getConsumerConnectionList
  dispatcher.register(RequestCode.GET_CONSUMER_CONNECTION_LIST, request => {
    const { consumerGroup } = ConsumerGroupHeader.decode(request.extFields)
    const group = clients.consumers.get(consumerGroup)
    if (group === undefined)
      return response(ResponseCode.CONSUMER_NOT_ONLINE, `the consumer group[${consumerGroup}] not online`)
    const body = formatBody({
      connectionSet: [...group.channels.values()].map(connectionOf),
      consumeFromWhere: group.consumeFromWhere,
      consumeType: group.consumeType,
      messageModel: group.messageModel,
      subscriptionTable: group.subscriptions
    })
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  // AdminBrokerProcessor#getProducerConnectionList
  dispatcher.register(RequestCode.GET_PRODUCER_CONNECTION_LIST, request => {
    const { producerGroup } = ProducerGroupHeader.decode(request.extFields)
    const channels = clients.producers.get(producerGroup)
    if (channels === undefined)
      return response(ResponseCode.SYSTEM_ERROR, `the producer group[${producerGroup}] not exist`)
    const connectionSet = [...channels.values()].map(connectionOf)
    return response(ResponseCode.SUCCESS, null, null, formatBody({ connectionSet }))
  })

  // AdminBrokerProcessor#getAllProducerInfo
  dispatcher.register(RequestCode.GET_ALL_PRODUCER_INFO, () => {
    const data = new Map(
      [...clients.producers].map(([group, channels]) => [
        group,
        [...channels.values()].map(channel => ({
          clientId: channel.clientId,
          language: languageOf(channel),
          lastUpdateTimestamp: channel.lastHeartbeatMs,
          remoteIP: `/${channel.connection.remote}`,
          version: channel.version
        }))
      ])
    )
    return response(ResponseCode.SUCCESS, null, null, formatBody({ data }))
  })
}

const languageOf = (channel: ClientChannel): string => LANGUAGES[channel.language ?? -1] ?? 'OTHER'

/** As the lists of connections show a client. Connection */
function connectionOf(channel: ClientChannel): Record<string, unknown> {
  return {
    clientAddr: channel.connection.remote,
    clientId: channel.clientId,
    language: languageOf(channel),
    version: channel.version
  }
}
