import {
  CloneGroupOffsetHeader,
  formatBody,
  LANGUAGES,
  type RemotingCommand,
  RequestCode,
  ResetOffsetHeader,
  ResponseCode,
  request as requestOf,
  response
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { BrokerError } from '../errors.ts'
import type { TopicConfig } from '../topics.ts'

type Reset = ReturnType<typeof ResetOffsetHeader.decode>

/** Sets offsets of groups: to a time, to a place, to those of another group. AdminBrokerProcessor */
export function registerResetRequests(broker: Broker): void {
  const { dispatcher, clients, groups, offsets, options, topics } = broker

  // AdminBrokerProcessor#resetOffset
  dispatcher.register(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, async request => {
    const reset = ResetOffsetHeader.decode(request.extFields)
    const topic = topics.get(reset.topic)
    if (topic === undefined) return response(ResponseCode.TOPIC_NOT_EXIST, `Topic ${reset.topic} does not exist`)
    if (options.useServerSideResetOffset) return resetHere(reset, topic)
    return resetAtClients(reset, topic, request)
  })

  const answer = (topic: string, table: ReadonlyMap<number, number>): RemotingCommand => {
    const offsetTable = new Map(
      [...table].map(([queueId, offset]) => [{ brokerName: options.brokerName, queueId, topic }, offset])
    )
    return response(ResponseCode.SUCCESS, null, null, formatBody({ offsetTable }))
  }

  const offsetAt = (topic: string, queueId: number, timestamp: number): number | Promise<number> =>
    timestamp < 0
      ? broker.store.maxQueueOffset(topic, queueId)
      : broker.store.offsetByTime(topic, queueId, timestamp, 'LOWER')

  /** The broker sets the offsets; the next pull of each queue learns of it. AdminBrokerProcessor#resetOffsetInner */
  const resetHere = async (reset: Reset, config: TopicConfig): Promise<RemotingCommand> => {
    const { topic, group, timestamp, queueId = -1, offset = -1 } = reset
    if (options.brokerRole === 'SLAVE')
      throw new BrokerError('UNSUPPORTED', { reason: 'Can not reset offset in slave broker' })
    if (groups.find(group) === undefined)
      return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${group} does not exist`)
    if (queueId >= config.readQueueNums)
      throw new BrokerError('INVALID_PARAMETER', {
        reason: `queueId[${queueId}] is illegal, topic:[${topic}] topicConfig.readQueueNums:[${config.readQueueNums}]`
      })
    const table = new Map<number, number>()
    if (queueId >= 0 && offset !== -1) {
      const min = broker.store.minQueueOffset(topic, queueId)
      const max = broker.store.maxQueueOffset(topic, queueId)
      if (offset < min || offset > max + 1)
        return response(ResponseCode.SYSTEM_ERROR, `Target offset ${offset} not in consume queue range [${min}-${max}]`)
      table.set(queueId, offset)
    } else if (queueId >= 0) table.set(queueId, await offsetAt(topic, queueId, timestamp))
    else for (let id = 0; id < config.readQueueNums; id++) table.set(id, await offsetAt(topic, id, timestamp))
    for (const [id, target] of table) offsets.reset(group, topic, id, target)
    return answer(topic, table)
  }

  /** The old way: online clients are told to move. Broker2Client#resetOffset */
  const resetAtClients = async (
    { topic, group, timestamp, isForce }: Reset,
    config: TopicConfig,
    asked: RemotingCommand
  ): Promise<RemotingCommand> => {
    const table = new Map<number, number>()
    for (let queueId = 0; queueId < config.writeQueueNums; queueId++) {
      const current = offsets.get(group, topic, queueId)
      if (current < 0) return response(ResponseCode.SYSTEM_ERROR, `THe consumer group <${group}> not exist`)
      const wanted = Math.max(0, await offsetAt(topic, queueId, timestamp))
      table.set(queueId, isForce || wanted < current ? wanted : current)
    }
    const members = clients.consumers.get(group)?.channels
    if (members === undefined)
      throw new BrokerError('CONSUMER_NOT_ONLINE', {
        reason: `Consumer not online, so can not reset offset, Group: ${group} Topic: ${topic} Timestamp: ${timestamp}`
      })
    const { body } = answer(topic, table)
    const toCpp = LANGUAGES[asked.language ?? 0] === 'CPP'
    const cppTable = [...table].map(([queueId, offset]) => ({ brokerName: options.brokerName, offset, queueId, topic }))
    for (const { connection } of members.values())
      connection.invokeOneWay(
        requestOf(
          RequestCode.RESET_CONSUMER_CLIENT_OFFSET,
          { topic, group, timestamp: String(timestamp), isForce: 'false' },
          toCpp ? formatBody({ offsetTable: cppTable }) : body
        )
      )
    return answer(topic, table)
  }

  // AdminBrokerProcessor#cloneGroupOffset
  dispatcher.register(RequestCode.CLONE_GROUP_OFFSET, request => {
    const { srcGroup, destGroup, topic, offline } = CloneGroupOffsetHeader.decode(request.extFields)
    const subscriptions = clients.consumers.get(srcGroup)?.subscriptions
    for (const each of topic?.trim() ? [topic] : offsets.topicsOf(srcGroup)) {
      if (topics.get(each) === undefined) continue
      // Offsets of what the group does not subscribe to any more are left behind, unless it is offline.
      if (!offline && subscriptions !== undefined && subscriptions.size > 0 && !subscriptions.has(each)) continue
      offsets.clone(srcGroup, destGroup, each)
    }
    return response(ResponseCode.SUCCESS)
  })
}
