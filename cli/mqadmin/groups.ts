import {
  type GroupRetryPolicy,
  groupConfigDefaults,
  type SubscriptionGroupConfig,
  selectAddress
} from '../../client/index.ts'
import { parseBody } from '../../net/index.ts'
import type { Context, Run } from './command.ts'
import { forEachBroker, groupFields, parseAttributes, readJsonArray } from './shared.ts'

/** SubscriptionGroupConfig#toString */
const groupText = (config: SubscriptionGroupConfig): string =>
  `SubscriptionGroupConfig{${groupFields(config)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')}}`

/** UpdateSubGroupSubCommand */
async function updateSubGroup(context: Context): Promise<void> {
  const { given, admin, print, help } = context
  const policy = given.get('p')
  const attributes = given.get('attributes')
  const defaults = groupConfigDefaults
  const config: SubscriptionGroupConfig = {
    ...defaults,
    groupName: given.text('g'),
    consumeEnable: given.bool('s', defaults.consumeEnable),
    consumeFromMinEnable: given.bool('m'),
    consumeBroadcastEnable: given.bool('d'),
    consumeMessageOrderly: given.bool('o'),
    retryQueueNums: given.int('q', defaults.retryQueueNums),
    retryMaxTimes: given.int('r', defaults.retryMaxTimes),
    groupRetryPolicy: policy === undefined ? defaults.groupRetryPolicy : (parseBody(policy) as GroupRetryPolicy),
    brokerId: given.int('i', defaults.brokerId),
    whichBrokerWhenConsumeSlowly: given.int('w', defaults.whichBrokerWhenConsumeSlowly),
    notifyConsumerIdsChangedEnable: given.bool('a', defaults.notifyConsumerIdsChangedEnable),
    attributes: attributes === undefined ? {} : parseAttributes(attributes)
  }
  const update = async (address: string) => {
    await admin.updateGroup(address, config)
    print('create subscription group to %s success.%n', address)
  }
  if (await forEachBroker(context, update, { goOn: true })) print('%s', groupText(config))
  else help()
}

/** UpdateSubGroupListSubCommand */
async function updateSubGroupList(context: Context): Promise<void> {
  const configs = readJsonArray<SubscriptionGroupConfig>(context)?.map(config => ({
    ...groupConfigDefaults,
    ...config
  }))
  if (!configs?.length) return
  await forEachBroker(context, async (address, cluster) => {
    await context.admin.updateGroups(address, configs)
    const what = cluster === null ? 'group config' : 'subscription group config'
    context.print('submit batch of %s to %s success, please check the result later.%n', what, address)
  })
}

/** DeleteSubscriptionGroupCommand */
async function deleteSubGroup(context: Context): Promise<void> {
  const { given, admin, print, help, warn } = context
  const group = given.text('g')
  const done = await forEachBroker(context, async (address, cluster) => {
    await admin.deleteGroup(address, group, { cleanOffset: given.bool('r') })
    if (cluster === null) print('delete subscription group [%s] from broker [%s] success.%n', group, address)
    else print('delete subscription group [%s] from broker [%s] in cluster [%s] success.%n', group, address, cluster)
  })
  if (!done) help()
  else if (!given.has('b')) await admin.deleteGroupTopics(group, given.text('c')).catch(warn)
}

/** SetConsumeModeSubCommand */
async function setConsumeMode(context: Context): Promise<void> {
  const { given, admin, print, help } = context
  const [topic, group, mode] = [given.text('t'), given.text('g'), given.text('m')]
  if (mode !== 'PULL' && mode !== 'POP') throw new TypeError(`the mode is "${mode}", it is PULL or POP`)
  const shared = given.int('q', 0)
  const set = async (address: string) => {
    await admin.setConsumeMode(address, topic, group, mode, shared)
    print('set consume mode to %s success.%n', address)
  }
  if (await forEachBroker(context, set, { goOn: true }))
    print('topic[%s] group[%s] consume mode[%s] popShareQueueNum[%d]', topic, group, mode, shared)
  else help()
}

/** GetConsumerConfigSubCommand */
async function getConsumerConfig({ given, admin, print }: Context): Promise<void> {
  const group = given.text('g')
  const { brokerAddrTable, clusterAddrTable } = await admin.clusterInfo()
  for (const [name, broker] of Object.entries(brokerAddrTable)) {
    const address = selectAddress(broker)
    const config = address === undefined ? undefined : await admin.groupConfig(address, group)
    if (config === undefined) continue
    const cluster = Object.keys(clusterAddrTable).find(each => clusterAddrTable[each]!.includes(name))
    const line = '='.repeat(29)
    print(`${line}%s:%s${line}%n`, cluster, name)
    for (const [field, text] of groupFields({ ...groupConfigDefaults, ...config }))
      print('%-40s=  %s%n', field, text ?? '')
  }
}

export const commands: Record<string, Run> = {
  updateSubGroup,
  updateSubGroupList,
  deleteSubGroup,
  setConsumeMode,
  getConsumerConfig
}
