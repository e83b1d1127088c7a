import { decodeRecallHandle, PropertyName, type RecallHandle } from '../../message/index.ts'
import {
  type Connection,
  formatBody,
  RecallMessageHeader,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { BrokerError } from '../errors.ts'
import { type InnerMessage, isStored, putInner } from '../put.ts'
import { divertTimed } from '../timer-hook.ts'
import { Perm } from '../topics.ts'
import { bornHostOf } from './born-host.ts'

const RECALL_TAG = '_RECALL_TAG_'

/** Messages with an arbitrary delay: what slaves are told of them, and how one is recalled. */
export function registerTimerRequests(broker: Broker): void {
  const { dispatcher, options } = broker
  const answerFields = { MSG_REGION: options.regionId }
  const refused = (code: number, reason: string) => response(code, `recall failed, ${reason}`, { ...answerFields })

  // AdminBrokerProcessor#getTimerCheckPoint, #getTimerMetrics
  dispatcher.register(RequestCode.GET_TIMER_CHECK_POINT, () =>
    broker.timer === null
      ? response(ResponseCode.SYSTEM_ERROR, 'The checkpoint is null: timerWheelEnable is false')
      : response(ResponseCode.SUCCESS, null, null, broker.timer.store.checkpointBody())
  )
  dispatcher.register(RequestCode.GET_TIMER_METRICS, () =>
    broker.timer === null
      ? response(ResponseCode.SYSTEM_ERROR, 'The timer message store is null: timerWheelEnable is false')
      : response(ResponseCode.SUCCESS, null, null, formatBody(broker.timer.metrics.toBody()))
  )
  dispatcher.register(RequestCode.RECALL_MESSAGE, recall)

  /** Deletes a message that is not yet due. RecallMessageProcessor */
  async function recall(request: RemotingCommand, connection: Connection): Promise<RemotingCommand> {
    if (!options.recallMessageEnable) return refused(ResponseCode.NO_PERMISSION, 'operation is forbidden')
    if (options.brokerRole === 'SLAVE') return refused(ResponseCode.SLAVE_NOT_AVAILABLE, 'this broker is a slave')
    const isOpen = broker.clock.now() >= options.startAcceptSendRequestTimestamp
    const isWritable = (options.brokerPermission & Perm.WRITE) !== 0 || options.allowRecallWhenBrokerNotWriteable
    if (!isOpen || !isWritable) return refused(ResponseCode.SERVICE_NOT_AVAILABLE, 'broker service not available')
    const { topic, recallHandle, producerGroup } = RecallMessageHeader.decode(request.extFields)
    if (broker.topics.get(topic) === undefined)
      return refused(ResponseCode.TOPIC_NOT_EXIST, `the topic[${topic}] not exist`)
    const handle = decodeRecallHandle(recallHandle)
    const reason = handle === null ? 'recall handle is invalid' : faultOf(handle, topic)
    if (handle === null || reason !== null) return refused(ResponseCode.ILLEGAL_OPERATION, reason!)
    const message = deleteRequest(handle, producerGroup ?? '', connection)
    try {
      divertTimed(message, broker)
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return refused(ResponseCode.SYSTEM_ERROR, error.message)
    }
    const { status, reason: refusal } = await putInner(broker.store, message)
    if (!isStored(status)) return refused(ResponseCode.SYSTEM_ERROR, `execute error: ${refusal}`)
    broker.stats.put(message.topic, 0, 1, message.body.length)
    return response(ResponseCode.SUCCESS, null, { ...answerFields, msgId: handle.uniqueKey })
  }

  /** Why a handle is refused; null when it is fine. */
  function faultOf(handle: RecallHandle, topic: string): string | null {
    if (handle.topic !== topic) return `topic not match: the handle is for ${handle.topic}`
    if (handle.brokerName !== options.brokerName) return `the handle is for broker ${handle.brokerName}`
    const leftMs = Number(handle.deliverMs) - broker.clock.now()
    if (leftMs > 0 && leftMs < options.timerMaxDelaySec * 1000) return null
    return `timestamp invalid: ${handle.deliverMs}`
  }

  function deleteRequest(handle: RecallHandle, producerGroup: string, connection: Connection): InnerMessage {
    const nowMs = broker.clock.now()
    const key = broker.timer?.deleteKey(handle.topic, handle.uniqueKey) ?? handle.uniqueKey
    return {
      topic: handle.topic,
      queueId: 0,
      flag: 0,
      sysFlag: 0,
      bornTimestamp: nowMs,
      bornHost: bornHostOf(connection),
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: Buffer.from('0'),
      properties: new Map([
        [PropertyName.TAGS, RECALL_TAG],
        [PropertyName.TIMER_DEL_UNIQKEY, key],
        [PropertyName.UNIQ_KEY, handle.uniqueKey],
        [PropertyName.TIMER_DELIVER_MS, handle.deliverMs],
        [PropertyName.BORN_TIMESTAMP, String(nowMs)],
        [PropertyName.PGROUP, producerGroup]
      ]),
      waitStored: true
    }
  }
}
