import { PutStatus } from '../../engine/index.ts'
import { decodeRecord, dlqTopicOf, offsetMessageId, PropertyName, retryTopicOf } from '../../message/index.ts'
import { ConsumerSendMsgBackHeader, RequestCode, ResponseCode, response } from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { BrokerError, HINT } from '../errors.ts'
import { copyOf, divertDelayed, putInner } from '../put.ts'
import { isWritable, Perm } from '../topics.ts'

/** A first failure waits as long as this level says, each further one a level more. */
const FIRST_RETRY_LEVEL = 3
const STATUS_NAMES = Object.fromEntries(Object.entries(PutStatus).map(([name, status]) => [status, name]))

/**
 * A message that a consumer could not consume goes to its group's retry topic, later each time, and when it has failed
 * too often to the group's dead letters. AbstractSendMessageProcessor#consumerSendMsgBack
 */
export function registerSendBackRequest(broker: Broker): void {
  const { dispatcher, groups, options, stats, topics } = broker

  dispatcher.register(RequestCode.CONSUMER_SEND_MSG_BACK, async request => {
    const { group, offset, delayLevel, unitMode, maxReconsumeTimes } = ConsumerSendMsgBackHeader.decode(
      request.extFields
    )
    const config = groups.get(group)
    if (config === undefined) throw new BrokerError('GROUP_NOT_EXIST', { group, hint: HINT })
    if (options.brokerRole === 'SLAVE')
      throw new BrokerError('UNSUPPORTED', { reason: 'this broker is a slave: it takes no messages back' })
    if (!isWritable(options.brokerPermission)) throw new BrokerError('TOPIC_NOT_WRITABLE', { broker: broker.host })
    // A group without retry queues wants its failures dropped.
    if (config.retryQueueNums <= 0) return response(ResponseCode.SUCCESS)

    const retry = await topics.ensure(
      retryTopicOf(group),
      config.retryQueueNums,
      Perm.READ | Perm.WRITE,
      unitMode ? 2 : 0
    )
    if (!isWritable(retry.perm))
      return response(ResponseCode.NO_PERMISSION, `the topic[${retry.topicName}] sending message is forbidden`)
    const bytes = await broker.store.readByPhysicalOffset(offset)
    if (bytes === null) return response(ResponseCode.SYSTEM_ERROR, `look message by offset failed, ${offset}`)

    const record = decodeRecord(bytes)
    const isDead = record.reconsumeTimes >= (maxReconsumeTimes ?? config.retryMaxTimes) || delayLevel < 0
    const target = isDead ? await topics.ensure(dlqTopicOf(group), 1, Perm.READ | Perm.WRITE) : retry
    const queueCount = isDead ? 1 : config.retryQueueNums
    const message = copyOf(record, {
      topic: target.topicName,
      queueId: Math.floor(Math.random() * queueCount),
      reconsumeTimes: record.reconsumeTimes + 1
    })
    const { properties } = message
    const originTopic = properties.get(PropertyName.RETRY_TOPIC) || record.topic
    properties.set(PropertyName.RETRY_TOPIC, originTopic)
    properties.set(
      PropertyName.ORIGIN_MESSAGE_ID,
      properties.get(PropertyName.ORIGIN_MESSAGE_ID) || offsetMessageId(record.storeHost, record.physicalOffset)
    )
    properties.set(PropertyName.WAIT, 'false')
    const level = isDead ? 0 : delayLevel || FIRST_RETRY_LEVEL + record.reconsumeTimes
    properties.set(PropertyName.DELAY, String(level))
    divertDelayed(message, broker.delaysMs.length)

    const { status, reason } = await putInner(broker.store, message)
    if (status !== PutStatus.OK)
      return response(ResponseCode.SYSTEM_ERROR, `${STATUS_NAMES[status]}${reason === null ? '' : `: ${reason}`}`)
    stats.put(message.topic, message.queueId, 1, message.body.length)
    stats.sentBack(group, originTopic)
    return response(ResponseCode.SUCCESS)
  })
}
