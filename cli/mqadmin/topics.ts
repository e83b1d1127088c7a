import { averagely, type TopicConfig, topicConfigDefaults } from '../../client/index.ts'
import { isDlqTopic, isRetryTopic } from '../../message/index.ts'
import { formatBody } from '../../net/index.ts'
import { doubleText, timeMsText } from '../format.ts'
import type { Context, Run } from './command.ts'
import { forEachBroker, front, hashOrder, parseAttributes, readJsonArray, topicConfigText } from './shared.ts'

const UNIT = 1
const UNIT_SUBSCRIPTION = 2

/** UpdateTopicSubCommand */
async function updateTopic(context: Context): Promise<void> {
  const { given, admin, print } = context
  const attributes = given.get('a')
  const config: TopicConfig = {
    ...topicConfigDefaults,
    topicName: given.text('t'),
    readQueueNums: given.int('r', 8),
    writeQueueNums: given.int('w', 8),
    perm: given.int('p', topicConfigDefaults.perm),
    order: given.bool('o'),
    topicSysFlag: (given.bool('u') ? UNIT : 0) | (given.bool('s') ? UNIT_SUBSCRIPTION : 0),
    attributes: attributes === undefined ? {} : parseAttributes(attributes)
  }
  const conf = (brokerName: string) => `${brokerName}:${config.writeQueueNums}`
  const address = given.get('b')
  if (address !== undefined) {
    await admin.updateTopic(address, config)
    if (config.order) {
      const { brokerAddrTable } = await admin.clusterInfo()
      const broker = Object.values(brokerAddrTable).find(({ brokerAddrs }) =>
        [...brokerAddrs.values()].includes(address)
      )
      if (broker === undefined) throw new Error(`no NameServer knows a broker at ${address}`)
      await admin.addOrderConf(config.topicName, conf(broker.brokerName))
      print('set broker orderConf. isOrder=%s, orderConf=[%s]%n', config.order, conf(broker.brokerName))
    }
    print('create topic to %s success.%n', address)
  } else {
    await forEachBroker(context, async each => {
      await admin.updateTopic(each, config)
      print('create topic to %s success.%n', each)
    })
    if (config.order) {
      const { clusterAddrTable } = await admin.clusterInfo()
      const orderConf = hashOrder(clusterAddrTable[given.text('c')] ?? [])
        .map(conf)
        .join(';')
      await admin.putOrderConf(config.topicName, orderConf)
      print('set cluster orderConf. isOrder=%s, orderConf=[%s]%n', config.order, orderConf)
    }
  }
  print('%s%n', topicConfigText(config))
}

/** UpdateTopicListSubCommand */
async function updateTopicList(context: Context): Promise<void> {
  const configs = readJsonArray<TopicConfig>(context)?.map(config => ({ ...topicConfigDefaults, ...config }))
  if (!configs?.length) return
  await forEachBroker(context, async address => {
    await context.admin.updateTopics(address, configs)
    context.print('submit batch of topic config to %s success, please check the result later.%n', address)
  })
}

/** DeleteTopicSubCommand */
async function deleteTopic({ given, admin, print }: Context): Promise<void> {
  const [topic, cluster] = [given.text('t'), given.text('c')]
  await admin.deleteTopicOfBrokers(topic, cluster)
  print('delete topic [%s] from cluster [%s] success.%n', topic, cluster)
  await admin.deleteTopicOfNameServers(topic, cluster)
  print('delete topic [%s] from NameServer success.%n', topic)
}

/** UpdateTopicPermSubCommand */
async function updateTopicPerm(context: Context): Promise<void> {
  const { given, admin, print, help } = context
  const topicName = given.text('t')
  const perm = given.int('p', 0)
  const { queueDatas, brokerDatas } = await admin.topicRoute(topicName)
  const [first] = queueDatas
  if (first === undefined) throw new Error(`the topic ${topicName} has no queues`)
  const { readQueueNums, writeQueueNums, topicSysFlag } = first
  const config = { ...topicConfigDefaults, topicName, readQueueNums, writeQueueNums, topicSysFlag, perm }
  const address = given.get('b')
  if (address === undefined) {
    const done = await forEachBroker(context, async each => {
      await admin.updateTopic(each, config)
      print('update topic perm from %s to %s in %s success.%n', first.perm, perm, each)
    })
    if (!done) help()
    return
  }
  const broker = brokerDatas.find(({ brokerAddrs }) => brokerAddrs.get(0) === address)
  if (broker === undefined) {
    print('updateTopicPerm error broker not exit or broker is not master!.%n')
    return
  }
  const before = queueDatas.find(({ brokerName }) => brokerName === broker.brokerName)?.perm ?? 0
  if (before === perm) {
    print('new perm equals to the old one!%n')
    return
  }
  await admin.updateTopic(address, config)
  print('update topic perm from %s to %s in %s success.%n', before, perm, address)
  print('%s.%n', topicConfigText(config))
}

const ROUTE_ROW = '%-45s %-32s %-50s %-10s %-11s %-5s%n'
const ROUTE_LINE = '-'.repeat(158)

/** TopicRouteSubCommand */
async function topicRoute({ given, admin, print }: Context): Promise<void> {
  const route = await admin.topicRoute(given.text('t'))
  if (!given.has('l')) {
    const sorted = Object.fromEntries(Object.entries(route).sort(([a], [b]) => (a < b ? -1 : 1)))
    print('%s%n', formatBody(sorted, { indent: '\t' }))
    return
  }
  const byName = (a: { brokerName: string }, b: { brokerName: string }) => (a.brokerName < b.brokerName ? -1 : 1)
  let [read, write] = [0, 0]
  print(ROUTE_ROW, '#ClusterName', '#BrokerName', '#BrokerAddrs', '#ReadQueue', '#WriteQueue', '#Perm')
  for (const { cluster, brokerName, brokerAddrs } of route.brokerDatas.sort(byName)) {
    const queues = route.queueDatas.find(queue => queue.brokerName === brokerName)
    if (queues === undefined) continue
    read += queues.readQueueNums
    write += queues.writeQueueNums
    const addresses = `{${[...brokerAddrs].map(([id, address]) => `${id}=${address}`).join(', ')}}`
    print(ROUTE_ROW, cluster, brokerName, addresses, queues.readQueueNums, queues.writeQueueNums, queues.perm)
  }
  print('%s%n', ROUTE_LINE)
  print(ROUTE_ROW, 'Total:', new Set(route.queueDatas.map(({ brokerName }) => brokerName)).size, '', read, write, '')
}

/** TopicStatusSubCommand */
async function topicStatus({ given, admin, print }: Context): Promise<void> {
  const { queues, topicPutTps } = await admin.topicStats(given.text('t'), { routeTopic: given.get('c') })
  print('%-32s  %-4s  %-20s  %-20s    %s%n', '#Broker Name', '#QID', '#Min Offset', '#Max Offset', '#Last Updated')
  for (const { brokerName, queueId, minOffset, maxOffset, lastUpdateTimestamp } of queues) {
    const time = lastUpdateTimestamp > 0 ? timeMsText(lastUpdateTimestamp) : ''
    print('%-32s  %-4d  %-20d  %-20d    %s%n', front(brokerName, 32), queueId, minOffset, maxOffset, time)
  }
  print('%nTopic Put TPS: %s%n', doubleText(topicPutTps))
}

/** TopicClusterSubCommand */
async function topicClusterList({ given, admin, print }: Context): Promise<void> {
  for (const cluster of await admin.topicClusters(given.text('t'))) print('%s%n', cluster)
}

/** TopicListSubCommand */
async function topicList({ given, admin, print }: Context): Promise<void> {
  if (!given.has('c')) {
    for (const topic of await admin.topics()) print('%s%n', topic)
    return
  }
  const { clusterAddrTable } = await admin.clusterInfo()
  print('%-20s  %-48s  %-48s%n', '#Cluster Name', '#Topic', '#Consumer Group')
  for (const topic of await admin.topics()) {
    if (isRetryTopic(topic) || isDlqTopic(topic)) continue
    let cluster = ''
    let groups: string[] = []
    try {
      const { brokerDatas } = await admin.topicRoute(topic)
      const name = brokerDatas[0]?.brokerName ?? ''
      cluster = Object.keys(clusterAddrTable).find(each => clusterAddrTable[each]!.includes(name)) ?? 'null'
      groups = await admin.groupsOfTopic(topic)
    } catch {
      // A topic that vanishes meanwhile, or whose broker is down, is listed without a group.
    }
    for (const group of groups.length > 0 ? groups : [''])
      print('%-20s  %-64s  %-64s%n', front(cluster, 20), front(topic, 64), front(group, 64))
  }
}

/** UpdateOrderConfCommand */
async function updateOrderConf({ given, admin, print, help }: Context): Promise<void> {
  const topic = given.text('t')
  const method = given.text('m')
  if (method === 'get') print('get orderConf success. topic=[%s], orderConf=[%s] ', topic, await admin.orderConf(topic))
  else if (method === 'put') {
    const conf = given.get('v')
    if (!conf) throw new Error('please set orderConf with option -v.')
    await admin.putOrderConf(topic, conf)
    print('update orderConf success. topic=[%s], orderConf=[%s]', topic, conf)
  } else if (method === 'delete') {
    await admin.deleteOrderConf(topic)
    print('delete orderConf success. topic=[%s]', topic)
  } else help()
}

/** AllocateMQSubCommand */
async function allocateMQ({ given, admin, print }: Context): Promise<void> {
  const clients = given.text('i').split(',')
  const queues = await admin.topicQueues(given.text('t'))
  const share = (client: string) =>
    averagely
      .allocate(client, queues, clients)
      .map(({ topic, brokerName, queueId }) => ({ brokerName, queueId, topic }))
  const result = Object.fromEntries(hashOrder(clients).map(client => [client, share(client)]))
  print('%s%n', formatBody({ result }))
}

export const commands: Record<string, Run> = {
  updateTopic,
  updateTopicList,
  deleteTopic,
  updateTopicPerm,
  topicRoute,
  topicStatus,
  topicClusterList,
  topicList,
  updateOrderConf,
  allocateMQ
}
