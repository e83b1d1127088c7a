import {
  GetMaxOffsetHeader,
  QueryConsumerOffsetHeader,
  QueueHeader,
  RequestCode,
  ResponseCode,
  response,
  SearchOffsetHeader,
  UpdateConsumerOffsetHeader
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'

/** Where groups stand, and where queues begin and end. ConsumerManageProcessor, AdminBrokerProcessor */
export function registerOffsetRequests(broker: Broker): void {
  const { dispatcher, groups, offsets, topics } = broker

  // ConsumerManageProcessor#queryConsumerOffset
  dispatcher.register(RequestCode.QUERY_CONSUMER_OFFSET, request => {
    const { consumerGroup, topic, queueId, setZeroIfNotFound } = QueryConsumerOffsetHeader.decode(request.extFields)
    const offset = offsets.get(consumerGroup, topic, queueId)
    if (offset >= 0) return response(ResponseCode.SUCCESS, null, { offset: String(offset) })
    if (setZeroIfNotFound === false)
      return response(ResponseCode.QUERY_NOT_FOUND, 'Not found, do not set to zero, maybe this group boot first')
    const { store } = broker
    const first = store.minQueueOffset(topic, queueId) <= 0 ? store.unitAt(topic, queueId, 0) : null
    // A young queue is consumed from its start, whatever the group would choose.
    if (first === null ? store.maxQueueOffset(topic, queueId) === 0 : store.isInMemory(first.physicalOffset))
      return response(ResponseCode.SUCCESS, null, { offset: '0' })
    return response(ResponseCode.QUERY_NOT_FOUND, 'Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first')
  })

  // ConsumerManageProcessor#updateConsumerOffset
  dispatcher.register(RequestCode.UPDATE_CONSUMER_OFFSET, request => {
    const { consumerGroup, topic, queueId, commitOffset } = UpdateConsumerOffsetHeader.decode(request.extFields)
    if (groups.find(consumerGroup) === undefined)
      return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${consumerGroup} not exist!`)
    if (topics.get(topic) === undefined) return response(ResponseCode.TOPIC_NOT_EXIST, `Topic ${topic} not exist!`)
    if (queueId < 0 || commitOffset < 0)
      return response(
        ResponseCode.INVALID_PARAMETER,
        `queueId ${queueId} and offset ${commitOffset} must not be negative`
      )
    if (offsets.hasReset(consumerGroup, topic, queueId))
      return response(ResponseCode.SUCCESS, 'Offset has been previously reset')
    offsets.commit(consumerGroup, topic, queueId, commitOffset)
    return response(ResponseCode.SUCCESS)
  })

  dispatcher.register(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, async request => {
    const { topic, queueId, timestamp, boundaryType } = SearchOffsetHeader.decode(request.extFields)
    const boundary = boundaryType?.toUpperCase() === 'UPPER' ? 'UPPER' : 'LOWER'
    const offset = await broker.store.offsetByTime(topic, queueId, timestamp, boundary)
    return response(ResponseCode.SUCCESS, null, { offset: String(offset) })
  })

  dispatcher.register(RequestCode.GET_MAX_OFFSET, request => {
    const { topic, queueId } = GetMaxOffsetHeader.decode(request.extFields)
    return response(ResponseCode.SUCCESS, null, { offset: String(broker.store.maxQueueOffset(topic, queueId)) })
  })

  dispatcher.register(RequestCode.GET_MIN_OFFSET, request => {
    const { topic, queueId } = QueueHeader.decode(request.extFields)
    return response(ResponseCode.SUCCESS, null, { offset: String(broker.store.minQueueOffset(topic, queueId)) })
  })

  dispatcher.register(RequestCode.GET_EARLIEST_MSG_STORETIME, async request => {
    const { topic, queueId } = QueueHeader.decode(request.extFields)
    const { store } = broker
    const timestamp = await store.storeTimeOf(topic, queueId, store.minQueueOffset(topic, queueId))
    return response(ResponseCode.SUCCESS, null, { timestamp: String(timestamp) })
  })
}
