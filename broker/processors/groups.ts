import { checkGroupName } from '../../message/index.ts'
import {
  DeleteSubscriptionGroupHeader,
  formatBody,
  GetAllGroupConfigHeader,
  GroupForbiddenHeader,
  GroupHeader,
  NetError,
  RequestCode,
  ResponseCode,
  response
} from '../../net/index.ts'
import { alterAttributes, GROUP_ATTRIBUTES } from '../attributes.ts'
import type { Broker } from '../broker.ts'
import { BrokerError } from '../errors.ts'
import { type GroupConfig, groupConfigOf } from '../groups.ts'
import { listOf, objectBody, textOf } from './clients.ts'
import { MAX_QUEUES, pageOf } from './topics.ts'

/** Consumer groups: created, changed, deleted, told. AdminBrokerProcessor */
export function registerGroupRequests(broker: Broker): void {
  const { dispatcher, groups, offsets, stats } = broker

  const groupOf = (value: Record<string, unknown>): GroupConfig => {
    const config = groupConfigOf(textOf(value.groupName), value)
    const reason = checkGroupName(config.groupName)
    if (reason !== null) throw new BrokerError('INVALID_PARAMETER', { reason })
    for (const [field, number] of Object.entries(config))
      if (typeof number === 'number' && !Number.isSafeInteger(number))
        throw new BrokerError('INVALID_PARAMETER', { reason: `${field} is ${number}, which is no whole number` })
    if (config.retryQueueNums > MAX_QUEUES)
      throw new BrokerError('INVALID_PARAMETER', {
        reason: `retryQueueNums is ${config.retryQueueNums}, allowed are ${MAX_QUEUES}`
      })
    const current = groups.find(config.groupName)?.attributes ?? null
    return { ...config, attributes: alterAttributes(GROUP_ATTRIBUTES, current, config.attributes) }
  }

  // AdminBrokerProcessor#updateAndCreateSubscriptionGroup
  dispatcher.register(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, async request => {
    await groups.put(groupOf(objectBody(request)))
    return response(ResponseCode.SUCCESS)
  })

  // AdminBrokerProcessor#updateAndCreateSubscriptionGroupList
  dispatcher.register(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, async request => {
    const { groupConfigList } = objectBody(request)
    if (!Array.isArray(groupConfigList)) throw new NetError('BODY_BAD', { reason: 'it has no groupConfigList' })
    await groups.put(...listOf(groupConfigList).map(groupOf))
    return response(ResponseCode.SUCCESS)
  })

  // AdminBrokerProcessor#deleteSubscriptionGroup
  dispatcher.register(RequestCode.DELETE_SUBSCRIPTIONGROUP, async request => {
    const { groupName, cleanOffset, removeOffset } = DeleteSubscriptionGroupHeader.decode(request.extFields)
    await groups.delete(groupName)
    // Clients up to 4.9 say removeOffset.
    if (cleanOffset || removeOffset) offsets.deleteGroup(groupName)
    stats.forgetGroup(groupName)
    return response(ResponseCode.SUCCESS)
  })

  // AdminBrokerProcessor#getSubscriptionGroup
  dispatcher.register(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, request => {
    const config = groups.get(GroupHeader.decode(request.extFields).group)
    if (config === undefined) return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, 'No group in this broker')
    return response(ResponseCode.SUCCESS, null, null, formatBody(config))
  })

  // AdminBrokerProcessor#getAllSubscriptionGroup
  dispatcher.register(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, request => {
    const { groupSeq, maxGroupNum, dataVersion: known } = GetAllGroupConfigHeader.decode(request.extFields)
    const { dataVersion, forbiddenTable, subscriptionGroupTable: table } = groups.toBody()
    const body = formatBody({
      dataVersion,
      forbiddenTable,
      subscriptionGroupTable: pageOf(table, dataVersion, known, groupSeq, maxGroupNum)
    })
    return response(ResponseCode.SUCCESS, null, { totalGroupNum: String(table.size) }, body)
  })

  // AdminBrokerProcessor#updateAndGetGroupForbidden
  dispatcher.register(RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, async request => {
    const { group, topic, readable } = GroupForbiddenHeader.decode(request.extFields)
    if (readable !== undefined) await groups.setReadForbidden(group, topic, !readable)
    const body = formatBody({ group, readable: !groups.isReadForbidden(group, topic), topic })
    return response(ResponseCode.SUCCESS, '', null, body)
  })
}
