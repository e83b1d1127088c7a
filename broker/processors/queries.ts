import {
  ConsumeTimeSpanHeader,
  CorrectionOffsetHeader,
  formatBody,
  GroupHeader,
  GroupTopicHeader,
  QueryConsumeQueueHeader,
  QueryMessageHeader,
  RequestCode,
  ResponseCode,
  response,
  TopicHeader,
  ViewMessageHeader
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'

/** An answer must fit into a frame. */
const MAX_ANSWER_BYTES = 15 * 1024 * 1024
/** Units of one QUERY_CONSUME_QUEUE answer, at most. */
const MAX_UNITS = 10_000
const MAX_LONG = 9_223_372_036_854_775_807n

/** `yyyy-MM-dd#HH:mm:ss:SSS` in local time. UtilAll#formatDate */
function timeText(ms: number): string {
  const t = new Date(ms)
  const pad = (n: number, digits = 2) => String(n).padStart(digits, '0')
  return `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())}#${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}:${pad(t.getMilliseconds(), 3)}`
}

/** Looking up messages, queues, and who consumes what. QueryMessageProcessor, AdminBrokerProcessor */
export function registerQueryRequests(broker: Broker): void {
  const { dispatcher, clients, offsets, options, topics } = broker

  // QueryMessageProcessor#queryMessage
  dispatcher.register(RequestCode.QUERY_MESSAGE, async request => {
    const { topic, key, maxNum, beginTimestamp, endTimestamp } = QueryMessageHeader.decode(request.extFields)
    const byUniqueKey = request.extFields?._UNIQUE_KEY_QUERY?.toLowerCase() === 'true'
    const found = await broker.store.queryByKey(
      topic,
      key,
      byUniqueKey ? options.defaultQueryMaxNum : maxNum,
      beginTimestamp,
      endTimestamp
    )
    if (found.records.length === 0)
      return response(ResponseCode.QUERY_NOT_FOUND, 'can not find message, maybe time range not correct', {
        indexLastUpdatePhyoffset: '0',
        indexLastUpdateTimestamp: '0'
      })
    const records = [found.records[0]!]
    let total = records[0]!.length
    for (const record of found.records.slice(1)) {
      total += record.length
      if (total > MAX_ANSWER_BYTES) break
      records.push(record)
    }
    return response(
      ResponseCode.SUCCESS,
      null,
      {
        indexLastUpdatePhyoffset: String(found.lastUpdatePhysicalOffset),
        indexLastUpdateTimestamp: String(found.lastUpdateTimestamp)
      },
      Buffer.concat(records)
    )
  })

  // QueryMessageProcessor#viewMessageById
  dispatcher.register(RequestCode.VIEW_MESSAGE_BY_ID, async request => {
    const { offset } = ViewMessageHeader.decode(request.extFields)
    const record = await broker.store.readByPhysicalOffset(offset)
    if (record === null) return response(ResponseCode.SYSTEM_ERROR, `can not find message by the offset, ${offset}`)
    return response(ResponseCode.SUCCESS, null, null, record)
  })

  // AdminBrokerProcessor#queryTopicConsumeByWho
  dispatcher.register(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, request => {
    const { topic } = TopicHeader.decode(request.extFields)
    const groupList = [...new Set([...clients.groupsOfTopic(topic), ...offsets.groupsOf(topic)])]
    return response(ResponseCode.SUCCESS, null, null, formatBody({ groupList }))
  })

  // AdminBrokerProcessor#queryTopicsByConsumer
  dispatcher.register(RequestCode.QUERY_TOPICS_BY_CONSUMER, request => {
    const { group } = GroupHeader.decode(request.extFields)
    const body = formatBody({ brokerAddr: broker.address, topicList: offsets.topicsOf(group) })
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  // AdminBrokerProcessor#querySubscriptionByConsumer
  dispatcher.register(RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, request => {
    const { group, topic } = GroupTopicHeader.decode(request.extFields)
    const subscriptionData = clients.consumers.get(group)?.subscriptions.get(topic ?? '')
    return response(ResponseCode.SUCCESS, null, null, formatBody({ group, subscriptionData, topic }))
  })

  // AdminBrokerProcessor#queryConsumeTimeSpan
  dispatcher.register(RequestCode.QUERY_CONSUME_TIME_SPAN, async request => {
    const { group, topic } = ConsumeTimeSpanHeader.decode(request.extFields)
    const { store } = broker
    const config = topics.get(topic)
    if (config === undefined) return response(ResponseCode.TOPIC_NOT_EXIST, `topic[${topic}] not exist`)
    const consumeTimeSpanSet: object[] = []
    for (let queueId = 0; queueId < config.writeQueueNums; queueId++) {
      const max = store.maxQueueOffset(topic, queueId)
      const next = offsets.get(group, topic, queueId)
      const minTimeStamp = await store.storeTimeOf(topic, queueId, store.minQueueOffset(topic, queueId))
      const maxTimeStamp = await store.storeTimeOf(topic, queueId, max - 1)
      const consumeTimeStamp = next > 0 ? await store.storeTimeOf(topic, queueId, next - 1) : minTimeStamp
      const waitsSince = next < max ? await store.storeTimeOf(topic, queueId, Math.max(next, 0)) : -1
      consumeTimeSpanSet.push({
        consumeTimeStamp,
        consumeTimeStampStr: timeText(consumeTimeStamp),
        delayTime: waitsSince < 0 ? 0 : Math.max(0, broker.clock.now() - waitsSince),
        maxTimeStamp,
        maxTimeStampStr: timeText(maxTimeStamp),
        messageQueue: { brokerName: options.brokerName, queueId, topic },
        minTimeStamp,
        minTimeStampStr: timeText(minTimeStamp)
      })
    }
    return response(ResponseCode.SUCCESS, null, null, formatBody({ consumeTimeSpanSet }))
  })

  // AdminBrokerProcessor#queryCorrectionOffset
  dispatcher.register(RequestCode.QUERY_CORRECTION_OFFSET, request => {
    const { topic, filterGroups, compareGroup } = CorrectionOffsetHeader.decode(request.extFields)
    const left = (filterGroups ?? '').split(',')
    const correctionOffsets = new Map<number, number | bigint>()
    for (const group of offsets.groupsOf(topic)) {
      if (left.includes(group)) continue
      for (const [queueId, offset] of offsets.queuesOf(group, topic)!) {
        if (offset < broker.store.minQueueOffset(topic, queueId)) continue
        const least = correctionOffsets.get(queueId)
        if (least === undefined || offset < least) correctionOffsets.set(queueId, offset)
      }
    }
    for (const [queueId, offset] of offsets.queuesOf(compareGroup ?? '', topic) ?? [])
      if ((correctionOffsets.get(queueId) ?? 0) > offset) correctionOffsets.set(queueId, MAX_LONG)
    return response(ResponseCode.SUCCESS, null, null, formatBody({ correctionOffsets }))
  })

  // AdminBrokerProcessor#queryConsumeQueue
  dispatcher.register(RequestCode.QUERY_CONSUME_QUEUE, request => {
    const { topic, queueId, index, count, consumerGroup } = QueryConsumeQueueHeader.decode(request.extFields)
    const { store } = broker
    if (!store.queueIds(topic).includes(queueId))
      return response(ResponseCode.SYSTEM_ERROR, `${queueId}@${topic} is not exist!`)
    const minQueueIndex = store.minQueueOffset(topic, queueId)
    const maxQueueIndex = store.maxQueueOffset(topic, queueId)
    if (index < minQueueIndex || index >= maxQueueIndex)
      return response(ResponseCode.SUCCESS, `Index ${index} of ${queueId}@${topic} is not exist!`)
    const end = Math.min(index + Math.min(count, MAX_UNITS), maxQueueIndex)
    const queueData: object[] = []
    for (let at = index; at < end; at++) {
      const unit = store.unitAt(topic, queueId, at)
      if (unit !== null)
        queueData.push({
          eval: false,
          physicOffset: unit.physicalOffset,
          physicSize: unit.sizeBytes,
          tagsCode: unit.tagsCode
        })
    }
    const subscriptionData = clients.consumers.get(consumerGroup ?? '')?.subscriptions.get(topic)
    const filterData = consumerGroup === undefined ? undefined : 'null'
    const body = formatBody({ filterData, maxQueueIndex, minQueueIndex, queueData, subscriptionData })
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  // AdminBrokerProcessor#getAllConsumerOffset
  dispatcher.register(RequestCode.GET_ALL_CONSUMER_OFFSET, () =>
    response(ResponseCode.SUCCESS, null, null, formatBody(offsets.toBody()))
  )

  // AdminBrokerProcessor#getAllMessageRequestMode: a slave of RocketMQ asks; no group pops
  dispatcher.register(RequestCode.GET_ALL_MESSAGE_REQUEST_MODE, () =>
    response(ResponseCode.SUCCESS, null, null, formatBody({ messageRequestModeMap: {} }))
  )

  // AdminBrokerProcessor#getAllDelayOffset
  dispatcher.register(RequestCode.GET_ALL_DELAY_OFFSET, () =>
    response(ResponseCode.SUCCESS, null, null, formatBody(broker.delay.toBody()))
  )
}
