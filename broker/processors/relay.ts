import { decodeOffsetMessageId, MessageError } from '../../message/index.ts'
import {
  ConsumeMessageDirectlyHeader,
  ConsumerRunningInfoHeader,
  type ExtFields,
  formatBody,
  GetConsumerStatusHeader,
  NetError,
  parseBody,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request as requestOf,
  response
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import type { ClientChannel } from '../client-registry.ts'
import { BrokerError } from '../errors.ts'

/** Broker2Client#callClient, #getConsumeStatus */
const CALL_TIMEOUT_MS = 10_000
const STATUS_TIMEOUT_MS = 5000

/** Requests that the broker passes on to a client, on the client's own connection. AdminBrokerProcessor, Broker2Client */
export function registerRelayRequests(broker: Broker): void {
  const { dispatcher, clients, groups, options, topics } = broker

  const memberOf = (group: string, clientId: string | undefined): ClientChannel => {
    const member = clients.findConsumer(group, clientId ?? '')
    if (member === undefined)
      throw new BrokerError('UNSUPPORTED', { reason: `The Consumer <${group}> <${clientId ?? null}> not online` })
    return member
  }

  // AdminBrokerProcessor#callConsumer
  const call = async (
    code: number,
    group: string,
    { connection, clientId }: ClientChannel,
    extFields: ExtFields | null,
    body: Uint8Array | null
  ): Promise<RemotingCommand> => {
    try {
      const answer = await connection.invoke(requestOf(code, extFields, body), CALL_TIMEOUT_MS)
      return response(answer.code, answer.remark, answer.extFields, answer.body)
    } catch (error) {
      const { message } = error as Error
      if (error instanceof NetError && error.code === 'REQUEST_TIMEOUT')
        return response(ResponseCode.CONSUME_MSG_TIMEOUT, `consumer <${group}> <${clientId}> Timeout: ${message}`)
      return response(ResponseCode.SYSTEM_ERROR, `invoke consumer <${group}> <${clientId}> Exception: ${message}`)
    }
  }

  // AdminBrokerProcessor#getConsumerRunningInfo
  dispatcher.register(RequestCode.GET_CONSUMER_RUNNING_INFO, request => {
    const { consumerGroup, clientId } = ConsumerRunningInfoHeader.decode(request.extFields)
    const member = memberOf(consumerGroup, clientId)
    return call(request.code, consumerGroup, member, { ...request.extFields }, request.body)
  })

  // AdminBrokerProcessor#consumeMessageDirectly
  dispatcher.register(RequestCode.CONSUME_MESSAGE_DIRECTLY, async request => {
    const { consumerGroup, clientId, topic, msgId } = ConsumeMessageDirectlyHeader.decode(request.extFields)
    const member = memberOf(consumerGroup, clientId)
    const fields = {
      ...request.extFields,
      brokerName: options.brokerName,
      topicSysFlag: String(topics.get(topic ?? '')?.topicSysFlag ?? 0),
      groupSysFlag: String(groups.find(consumerGroup)?.groupSysFlag ?? 0)
    }
    const record = await broker.store.readByPhysicalOffset(physicalOffsetOf(msgId))
    if (record === null) return response(ResponseCode.SYSTEM_ERROR, `can not find message by the message id, ${msgId}`)
    return call(request.code, consumerGroup, member, fields, record)
  })

  // Broker2Client#getConsumeStatus
  dispatcher.register(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, async request => {
    const { topic, group, clientAddr } = GetConsumerStatusHeader.decode(request.extFields)
    const members = [...(clients.consumers.get(group)?.channels.values() ?? [])]
    if (members.length === 0)
      return response(ResponseCode.SYSTEM_ERROR, `No Any Consumer online in the consumer group: [${group}]`)
    const consumerTable = new Map<string, unknown>()
    await Promise.all(
      members
        .filter(({ clientId }) => !clientAddr || clientId === clientAddr)
        .map(async ({ clientId, connection }) => {
          const ask = requestOf(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, { topic, group })
          try {
            const answer = await connection.invoke(ask, STATUS_TIMEOUT_MS)
            if (answer.code !== ResponseCode.SUCCESS || answer.body === null) return
            const table = (parseBody(answer.body) as { messageQueueTable?: unknown } | null)?.messageQueueTable
            if (table) consumerTable.set(clientId, table)
          } catch (error) {
            broker.log.warn({ err: error, group, clientId }, 'a consumer did not tell its status')
          }
        })
    )
    return response(ResponseCode.SUCCESS, null, null, formatBody({ consumerTable, messageQueueTable: {} }))
  })
}

function physicalOffsetOf(msgId: string | undefined): number {
  try {
    return decodeOffsetMessageId(msgId ?? '').physicalOffset
  } catch (error) {
    if (error instanceof MessageError) throw new BrokerError('INVALID_PARAMETER', { reason: error.message })
    throw error
  }
}
