import { type ClusterInfo, lagOf } from '../../client/index.ts'
import { isDlqTopic, isRetryTopic } from '../../message/index.ts'
import { format } from '../format.ts'
import type { Context, Run } from './command.ts'
import { front, sleep } from './shared.ts'

/** Every broker of the clusters, sorted by name, with its figures; empty ones when it does not answer. */
async function* brokersOf(
  { admin, warn, given }: Context,
  { brokerAddrTable, clusterAddrTable }: ClusterInfo
): AsyncGenerator<{ cluster: string; name: string; id: number; address: string; figures: Record<string, string> }> {
  const wanted = given.get('c')
  for (const cluster of wanted ? [wanted] : Object.keys(clusterAddrTable))
    for (const name of [...(clusterAddrTable[cluster] ?? [])].sort())
      for (const [id, address] of brokerAddrTable[name]?.brokerAddrs ?? []) {
        const figures = await admin.brokerRuntimeInfo(address).catch(error => {
          warn(error)
          return {}
        })
        yield { cluster, name, id, address, figures }
      }
}

const MORE_ROW = '%-16s  %-32s %14s %14s %14s %14s%n'
const BASE_HEAD = '%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %-11s  %-12s  %-8s  %-10s%n'
const BASE_ROW = '%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %11s  %-12s  %-8s  %10s%n'
const HOUR_MS = 3600 * 1000
/** Timer congestion is shown in units of ten thousand. */
const TEN_THOUSAND = 10_000

async function printMore(context: Context, info: ClusterInfo): Promise<void> {
  const { print } = context
  print(MORE_ROW, '#Cluster Name', '#Broker Name', '#InTotalYest', '#OutTotalYest', '#InTotalToday', '#OutTotalToday')
  for await (const broker of brokersOf(context, info)) {
    const grown = (what: string, from: string, to: string): number =>
      Number(broker.figures[`${what}${to}`] ?? 0) - Number(broker.figures[`${what}${from}`] ?? 0)
    const both = (from: string, to: string) => [grown('msgPutTotal', from, to), grown('msgGetTotal', from, to)]
    const yesterday = both('YesterdayMorning', 'TodayMorning')
    print(MORE_ROW, broker.cluster, broker.name, ...yesterday, ...both('TodayMorning', 'TodayNow'))
  }
}

async function printBase(context: Context, info: ClusterInfo): Promise<void> {
  const { print } = context
  print(
    BASE_HEAD,
    ...['#Cluster Name', '#Broker Name', '#BID', '#Addr', '#Version', '#InTPS(LOAD)', '#OutTPS(LOAD)'],
    ...['#Timer(Progress)', '#PCWait(ms)', '#Hour', '#SPACE', '#ACTIVATED']
  )
  for await (const { cluster, name, id, address, figures } of brokersOf(context, info)) {
    const number = (key: string) => Number(figures[key] || 0)
    const rate = (key: string) => Number(figures[key]?.trim().split(' ')[0] || 0)
    const load = (queue: string, unknown = '') =>
      `${figures[`${queue}ThreadPoolQueueSize`] ?? unknown},${figures[`${queue}ThreadPoolQueueHeadWaitTimeMills`] ?? unknown}ms`
    const earliest = figures.earliestMessageTimeStamp
    const hours = earliest ? (Date.now() - Number(earliest)) / HOUR_MS : 0
    print(
      BASE_ROW,
      cluster,
      name,
      id,
      address,
      figures.brokerVersionDesc ?? '',
      format('%9.2f(%s)', rate('putTps'), load('send')),
      format('%9.2f(%s|%s)', rate('getTransferredTps'), load('pull'), load('ack', 'N')),
      format(
        '%d-%d(%.1fw, %.1f, %.1f)',
        number('timerReadBehind'),
        number('timerOffsetBehind'),
        number('timerCongestNum') / TEN_THOUSAND,
        number('timerEnqueueTps'),
        number('timerDequeueTps')
      ),
      figures.pageCacheLockTimeMills ?? '',
      hours.toFixed(2),
      number('commitLogDiskRatio').toFixed(4),
      figures.brokerActive === 'true'
    )
  }
}

/** ClusterListSubCommand */
async function clusterList(context: Context): Promise<void> {
  const { given, admin } = context
  for (;;) {
    const info = await admin.clusterInfo()
    await (given.has('m') ? printMore : printBase)(context, info)
    if (!given.has('i')) return
    await sleep(given.int('i', 1) * 1000)
  }
}

const STATS_ROW = '%-64s  %-64s %12s %11s %11s %14s %14s%n'

/** StatsAllSubCommand */
async function statsAll(context: Context): Promise<void> {
  const { given, admin, print } = context
  const wanted = given.get('t')
  const topics = await admin.topics()
  const counts = ['#Accumulation', '#InTPS', '#OutTPS', '#InMsg24Hour', '#OutMsg24Hour']
  print(STATS_ROW, '#Topic', '#Consumer Group', ...counts)
  for (const topic of topics) {
    if (isRetryTopic(topic) || isDlqTopic(topic) || (wanted && topic !== wanted)) continue
    // A topic that vanishes meanwhile, or whose broker is down, is left out.
    await printStats(context, topic, given.has('a')).catch(() => {})
  }
}

async function printStats({ admin, print }: Context, topic: string, activeOnly: boolean): Promise<void> {
  const { brokerDatas } = await admin.topicRoute(topic)
  const groups = await admin.groupsOfTopic(topic)
  /** Rate and count of today over all masters; those that have counted nothing refuse to tell. */
  const traffic = async (name: string, key: string): Promise<{ tps: number; count: number }> => {
    const total = { tps: 0, count: 0 }
    for (const { brokerAddrs } of brokerDatas) {
      const master = brokerAddrs.get(0)
      const stats = master === undefined ? null : await admin.brokerStats(master, name, key).catch(() => null)
      if (stats === null) continue
      total.tps += stats.statsMinute.tps
      total.count += stats.statsDay.sum || stats.statsHour.sum || stats.statsMinute.sum
    }
    return total
  }
  const inward = await traffic('TOPIC_PUT_NUMS', topic)
  const name = front(topic, 64)
  if (groups.length === 0 && (!activeOnly || inward.count > 0))
    print(STATS_ROW, name, '', 0, inward.tps.toFixed(2), '', inward.count, 'NO_CONSUMER')
  for (const group of groups) {
    const outward = await traffic('GROUP_GET_NUMS', `${topic}@${group}`)
    const lag = await admin.consumeStats(group, topic).then(
      stats => Math.max(0, lagOf(stats)),
      () => 0
    )
    if (activeOnly && inward.count === 0 && outward.count === 0) continue
    const rates = [inward.tps.toFixed(2), outward.tps.toFixed(2)]
    print(STATS_ROW, name, front(group, 64), lag, ...rates, inward.count, outward.count)
  }
}

export const commands: Record<string, Run> = { clusterList, statsAll }
