import { timeText } from '../format.ts'
import type { Context, Run } from './command.ts'
import { forEachBroker, front, noSuchCluster } from './shared.ts'

/** BrokerStatusSubCommand */
async function brokerStatus(context: Context): Promise<void> {
  const { admin, print } = context
  const show = async (address: string, cluster: string | null) => {
    const figures = await admin.brokerRuntimeInfo(address)
    for (const name of Object.keys(figures).sort()) {
      if (cluster !== null) print('%-24s ', address)
      print('%-32s: %s%n', name, figures[name])
    }
  }
  await forEachBroker(context, show, { slaves: true, goOn: true })
}

/** GetBrokerConfigCommand */
async function getBrokerConfig({ given, admin, print }: Context): Promise<void> {
  const show = async (title: string, address: string) => {
    print('============%s============%n', title)
    for (const [key, value] of await admin.brokerConfig(address)) print('%-50s=  %s%n', key, value)
    print('%n')
  }
  const address = given.get('b')
  if (address !== undefined) {
    await show(address, address)
    return
  }
  const { brokerAddrTable, clusterAddrTable } = await admin.clusterInfo()
  const names = clusterAddrTable[given.text('c')]
  if (names === undefined) noSuchCluster(print)
  for (const name of names ?? []) {
    const { brokerAddrs = new Map<number, string>() } = brokerAddrTable[name] ?? {}
    const master = brokerAddrs.get(0) ?? 'NO_MASTER'
    if (brokerAddrs.has(0)) await show(`Master: ${master}`, master)
    else print('============Master: %s============%n', master)
    for (const [id, slave] of brokerAddrs) if (id !== 0) await show(`My Master: ${master}=====Slave: ${slave}`, slave)
  }
}

/** UpdateBrokerConfigSubCommand */
async function updateBrokerConfig(context: Context): Promise<void> {
  const { given, admin, print, help } = context
  const update = async (address: string) => {
    await admin.updateBrokerConfig(address, { [given.text('k')]: given.text('v') })
    print('update broker config success, %s%n', address)
  }
  if (!(await forEachBroker(context, update, { slaves: given.has('a'), goOn: true }))) help()
}

const STATS_ROW = '%-64s  %-64s  %-32s  %-4s  %-20s  %-20s  %-20s  %s%n'

/** BrokerConsumeStatsSubCommad */
async function brokerConsumeStats({ given, admin, print }: Context): Promise<void> {
  const options = { isOrder: given.bool('o'), timeoutMs: given.int('t', 50_000) }
  const level = given.int('l', 0)
  const { groups, totalDiff } = await admin.brokerConsumeStats(given.text('b'), options)
  const columns = [
    '#Topic',
    '#Group',
    '#Broker Name',
    '#QID',
    '#Broker Offset',
    '#Consumer Offset',
    '#Diff',
    '#LastTime'
  ]
  print(STATS_ROW, ...columns)
  for (const { group, stats } of groups)
    for (const queue of stats.flatMap(({ queues }) => queues)) {
      const { topic, brokerName, queueId, brokerOffset, consumerOffset, lastTimestamp } = queue
      const diff = brokerOffset - consumerOffset
      if (diff < level || lastTimestamp <= 0) continue
      const names = [front(topic, 64), group, front(brokerName, 32), queueId]
      print(STATS_ROW, ...names, brokerOffset, consumerOffset, diff, timeText(lastTimestamp))
    }
  print('%nDiff Total: %d%n', totalDiff)
}

/** CleanExpiredCQSubCommand and its like: one broker, a cluster, or all clusters. */
async function clean(context: Context, run: (address: string) => Promise<void>): Promise<void> {
  const { admin, print } = context
  if (!(await forEachBroker(context, run, { slaves: true }))) {
    const { brokerAddrTable } = await admin.clusterInfo()
    for (const { brokerAddrs } of Object.values(brokerAddrTable))
      for (const address of brokerAddrs.values()) await run(address)
  }
  print('success')
}

export const commands: Record<string, Run> = {
  brokerStatus,
  getBrokerConfig,
  updateBrokerConfig,
  brokerConsumeStats,
  cleanExpiredCQ: context => clean(context, address => context.admin.cleanExpiredConsumeQueue(address)),
  cleanUnusedTopic: context => clean(context, address => context.admin.cleanUnusedTopic(address)),
  deleteExpiredCommitLog: context => clean(context, address => context.admin.deleteExpiredCommitLog(address))
}
