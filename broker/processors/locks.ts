import { formatBody, NetError, type RemotingCommand, RequestCode, ResponseCode, response } from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { listOf, objectBody, textOf } from './clients.ts'

interface LockRequest {
  group: string
  clientId: string
  queues: { brokerName: string; queueId: number; topic: string }[]
}

/** LockBatchRequestBody, UnlockBatchRequestBody. Throws NetError BODY_BAD. */
function lockRequestOf(request: RemotingCommand): LockRequest {
  const body = objectBody(request)
  const group = textOf(body.consumerGroup)
  const clientId = textOf(body.clientId)
  if (group === '' || clientId === '')
    throw new NetError('BODY_BAD', { reason: `it names no ${group === '' ? 'consumerGroup' : 'clientId'}` })
  const queues = listOf(body.mqSet).map(queue => ({
    brokerName: textOf(queue.brokerName),
    queueId: Number(queue.queueId),
    topic: textOf(queue.topic)
  }))
  for (const { topic, queueId } of queues)
    if (topic === '' || !Number.isInteger(queueId))
      throw new NetError('BODY_BAD', { reason: `a queue has the topic "${topic}" and the number ${queueId}` })
  return { group, clientId, queues }
}

/** Which member of a group may consume a queue in order. AdminBrokerProcessor */
export function registerLockRequests({ dispatcher, locks }: Broker): void {
  // AdminBrokerProcessor#lockBatchMQ
  dispatcher.register(RequestCode.LOCK_BATCH_MQ, request => {
    const { group, clientId, queues } = lockRequestOf(request)
    const lockOKMQSet = queues.filter(({ topic, queueId }) => locks.lock(group, topic, queueId, clientId))
    return response(ResponseCode.SUCCESS, null, null, formatBody({ lockOKMQSet }))
  })

  // AdminBrokerProcessor#unlockBatchMQ
  dispatcher.register(RequestCode.UNLOCK_BATCH_MQ, request => {
    const { group, clientId, queues } = lockRequestOf(request)
    for (const { topic, queueId } of queues) locks.unlock(group, topic, queueId, clientId)
    return response(ResponseCode.SUCCESS)
  })
}
