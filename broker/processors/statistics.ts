import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeRecord } from '../../message/index.ts'
import {
  BrokerConsumeStatsHeader,
  formatBody,
  GetConsumeStatsHeader,
  MQ_VERSION,
  RequestCode,
  ResponseCode,
  response,
  StatsDataHeader,
  TopicHeader,
  versionName
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import type { TopicConfig } from '../topics.ts'

/** One queue of ConsumeStats. OffsetWrapper */
interface OffsetWrapper {
  brokerOffset: number
  consumerOffset: number
  lastTimestamp: number
  pullOffset: number
}

interface ConsumeStats {
  consumeTps: number
  offsetTable: Map<{ brokerName: string; queueId: number; topic: string }, OffsetWrapper>
}

/** How much goes through, how far consumers have come, how the broker is. AdminBrokerProcessor */
export function registerStatisticsRequests(broker: Broker): void {
  const { dispatcher, clients, groups, offsets, options, stats, topics } = broker
  const queueOf = (topic: string, queueId: number) => ({ brokerName: options.brokerName, queueId, topic })
  /** Of a queue's last message before an offset; 0 without one. */
  const timeBefore = async (topic: string, queueId: number, offset: number): Promise<number> =>
    offset <= 0 ? 0 : Math.max(0, await broker.store.storeTimeOf(topic, queueId, offset - 1))

  // AdminBrokerProcessor#getTopicStatsInfo
  dispatcher.register(RequestCode.GET_TOPIC_STATS_INFO, async request => {
    const { topic } = TopicHeader.decode(request.extFields)
    const config = topics.get(topic)
    if (config === undefined) return response(ResponseCode.TOPIC_NOT_EXIST, `topic[${topic}] not exist`)
    const offsetTable = new Map<object, object>()
    for (let queueId = 0; queueId < Math.max(config.readQueueNums, config.writeQueueNums); queueId++) {
      const maxOffset = broker.store.maxQueueOffset(topic, queueId)
      offsetTable.set(queueOf(topic, queueId), {
        lastUpdateTimestamp: await timeBefore(topic, queueId, maxOffset),
        maxOffset,
        minOffset: broker.store.minQueueOffset(topic, queueId)
      })
    }
    const body = formatBody({ offsetTable, topicPutTps: stats.putTps(topic) })
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  /** Where a group stands in a topic; null when it does not subscribe to the topic any more. */
  const consumeStats = async (group: string, config: TopicConfig): Promise<ConsumeStats | null> => {
    const topic = config.topicName
    const subscriptions = clients.consumers.get(group)?.subscriptions
    if (subscriptions !== undefined && subscriptions.size > 0 && !subscriptions.has(topic)) return null
    const offsetTable: ConsumeStats['offsetTable'] = new Map()
    for (let queueId = 0; queueId < config.readQueueNums; queueId++) {
      const consumerOffset = Math.max(0, offsets.get(group, topic, queueId))
      offsetTable.set(queueOf(topic, queueId), {
        brokerOffset: broker.store.maxQueueOffset(topic, queueId),
        consumerOffset,
        lastTimestamp: await timeBefore(topic, queueId, consumerOffset),
        pullOffset: Math.max(consumerOffset, offsets.pulledOffset(group, topic, queueId))
      })
    }
    return { consumeTps: stats.getTps(group, topic), offsetTable }
  }

  // AdminBrokerProcessor#getConsumeStats
  dispatcher.register(RequestCode.GET_CONSUME_STATS, async request => {
    const { consumerGroup, topic, topicList } = GetConsumeStatsHeader.decode(request.extFields)
    const listed = (topicList ?? '').split(';').filter(name => name !== '')
    const asked = topic?.trim() ? [topic] : listed.length > 0 ? listed : offsets.topicsOf(consumerGroup)
    const total: ConsumeStats = { consumeTps: 0, offsetTable: new Map() }
    for (const name of asked) {
      const config = topics.get(name)
      const one = config === undefined ? null : await consumeStats(consumerGroup, config)
      if (one === null) continue
      total.consumeTps += one.consumeTps
      for (const [queue, offset] of one.offsetTable) total.offsetTable.set(queue, offset)
    }
    return response(ResponseCode.SUCCESS, null, null, formatBody(total))
  })

  // AdminBrokerProcessor#fetchAllConsumeStatsInBroker
  dispatcher.register(RequestCode.GET_BROKER_CONSUME_STATS, async request => {
    const { isOrder } = BrokerConsumeStatsHeader.decode(request.extFields)
    const consumeStatsList: Record<string, ConsumeStats[]>[] = []
    let totalDiff = 0
    let totalInflightDiff = 0
    for (const group of groups.names()) {
      const list: ConsumeStats[] = []
      for (const topic of offsets.topicsOf(group)) {
        const config = topics.get(topic)
        if (config === undefined || (isOrder && !config.order)) continue
        const one = await consumeStats(group, config)
        if (one === null) continue
        list.push(one)
        for (const { brokerOffset, consumerOffset, pullOffset } of one.offsetTable.values()) {
          totalDiff += brokerOffset - consumerOffset
          totalInflightDiff += pullOffset - consumerOffset
        }
      }
      consumeStatsList.push({ [group]: list })
    }
    const body = formatBody({ brokerAddr: broker.address, consumeStatsList, totalDiff, totalInflightDiff })
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  // AdminBrokerProcessor#ViewBrokerStatsData
  dispatcher.register(RequestCode.VIEW_BROKER_STATS_DATA, request => {
    const { statsName, statsKey } = StatsDataHeader.decode(request.extFields)
    const data = stats.view(statsName, statsKey)
    if (data === null) return response(ResponseCode.SYSTEM_ERROR, `The stats <${statsName}> <${statsKey}> not exist`)
    return response(ResponseCode.SUCCESS, null, null, formatBody(data))
  })

  // AdminBrokerProcessor#getBrokerRuntimeInfo
  dispatcher.register(RequestCode.GET_BROKER_RUNTIME_INFO, async () =>
    response(ResponseCode.SUCCESS, null, null, formatBody({ table: await runtimeInfo(broker) }))
  )

  // AdminBrokerProcessor#deleteExpiredCommitLog: the next clean-ups do it
  dispatcher.register(RequestCode.DELETE_EXPIRED_COMMITLOG, () => {
    broker.store.requestCleanUp()
    return response(ResponseCode.SUCCESS)
  })

  // AdminBrokerProcessor#cleanExpiredConsumeQueue: they went with the CommitLog files that they spoke of
  dispatcher.register(RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, () => response(ResponseCode.SUCCESS))

  // AdminBrokerProcessor#cleanUnusedTopic
  dispatcher.register(RequestCode.CLEAN_UNUSED_TOPIC, () => {
    for (const topic of broker.store.topics()) {
      if (topics.get(topic) !== undefined || topics.isSystem(topic)) continue
      broker.log.info({ topic }, 'the queues of a topic that is gone were deleted')
      broker.store.deleteTopic(topic)
    }
    return response(ResponseCode.SUCCESS)
  })
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** UtilAll#humanReadableByteCount */
export function byteText(bytes: number): string {
  let unit = 0
  for (; bytes >= 1024 && unit < UNITS.length - 1; unit++) bytes /= 1024
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${UNITS[unit]}`
}

/** A number as Java prints a double. */
const doubleText = (n: number): string => (Number.isInteger(n) ? n.toFixed(1) : String(n))

const RANGES_SHOWN = 16

/** `from-to`, bytes of the log, separated by blanks; of many the first. */
function rangesText(ranges: readonly { from: number; to: number }[]): string {
  const shown = ranges.slice(0, RANGES_SHOWN).map(({ from, to }) => `${from}-${to}`)
  return shown.join(' ') + (ranges.length > RANGES_SHOWN ? ` and ${ranges.length - RANGES_SHOWN} more` : '')
}

function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const [days, hours, minutes] = [seconds / 86_400, (seconds % 86_400) / 3600, (seconds % 3600) / 60].map(Math.floor)
  return `[ ${days} days, ${hours} hours, ${minutes} minutes, ${seconds % 60} seconds ]`
}

/** Queues between threads, of which there are none here: RocketMQ's names and capacities. */
const THREAD_POOLS = { send: 10_000, pull: 100_000, litePull: 100_000, query: 20_000, ack: 100_000 } as const
const PUT_TIMES = '<=0ms 0~10ms 10~50ms 50~100ms 100~200ms 200~500ms 500ms~1s 1~2s 2~3s 3~4s 4~5s 5~10s 10s~'

/**
 * The table of GET_BROKER_RUNTIME_INFO, with RocketMQ's keys: tools look for them by name. What has no counterpart here is
 * told as nothing going on. AdminBrokerProcessor#prepareRuntimeInfo
 */
async function runtimeInfo(broker: Broker): Promise<Map<string, string>> {
  const { delay, options, stats, store } = broker
  const nowMs = broker.clock.now()
  const { put, found, miss, transferred } = stats.rates()
  const total = found.map((each, i) => each + miss[i]!)
  const triple = (rates: number[]) => rates.map(doubleText).join(' ')
  const puts = stats.totalPuts
  const ratio = store.diskUsedRatio.toFixed(2)
  const logDir = store.options.storePathCommitLog ?? join(options.storePathRootDir, 'commitlog')
  const disk = await statfs(options.storePathRootDir).catch(() => null)
  const first = await store.readByPhysicalOffset(store.minPhysicalOffset)
  const table: Record<string, string | number | boolean> = {
    brokerActive: !broker.stopping,
    brokerVersionDesc: versionName(MQ_VERSION),
    bootTimestamp: broker.bootTimestamp,
    runtime: durationText(nowMs - broker.bootTimestamp),
    startAcceptSendRequestTimeStamp: options.startAcceptSendRequestTimestamp,

    putTps: triple(put),
    getFoundTps: triple(found),
    getMissTps: triple(miss),
    getTotalTps: triple(total),
    getTransferredTps: triple(transferred),
    // The same under its name in 4.x, whose mqadmin clusterList stops without it.
    getTransferedTps: triple(transferred),
    msgPutTotalYesterdayMorning: stats.dailyPuts.yesterdayMorning,
    msgPutTotalTodayMorning: stats.dailyPuts.todayMorning,
    msgPutTotalTodayNow: stats.dailyPuts.total,
    msgGetTotalYesterdayMorning: stats.dailyGets.yesterdayMorning,
    msgGetTotalTodayMorning: stats.dailyGets.todayMorning,
    msgGetTotalTodayNow: stats.dailyGets.total,

    putMessageTimesTotal: puts.count,
    putMessageSizeTotal: puts.bytes,
    putMessageAverageSize: doubleText(puts.count === 0 ? 0 : puts.bytes / puts.count),
    putMessageFailedTimes: store.statistics.failedPutCount,
    putMessageEntireTimeMax: 0,
    putMessageDistributeTime: PUT_TIMES.split(' ')
      .map(step => `[${step}]:0 `)
      .join(''),
    putLatency99: '0.00',
    putLatency999: '0.00',
    getMessageEntireTimeMax: 0,
    pageCacheLockTimeMills: 0,

    commitLogMinOffset: store.minPhysicalOffset,
    commitLogMaxOffset: store.maxPhysicalOffset,
    earliestMessageTimeStamp: first === null ? -1 : decodeRecord(first).storeTimestamp,
    remainHowManyDataToFlush: byteText(store.maxPhysicalOffset - store.flushedOffset),
    remainTransientStoreBufferNumbs: 2_147_483_647,
    dispatchBehindBytes: store.maxPhysicalOffset - store.reputOffset,
    dispatchMaxBuffer: 0,
    commitLogDiskRatio: ratio,
    [`commitLogDiskRatio_${logDir}`]: ratio,
    consumeQueueDiskRatio: ratio,
    commitLogDirCapacity:
      disk === null
        ? ''
        : `Total : ${byteText(disk.blocks * disk.bsize)}, Free : ${byteText(disk.bavail * disk.bsize)}.`,

    // Skylark's own: parts of the log that hold no valid record, and what a full disk cost.
    damagedBytes: store.statistics.damagedBytes,
    damagedRanges: rangesText(store.damaged),
    forciblyDeletedCommitLogFiles: store.statistics.forciblyDeletedFileCount,

    ...timerProgress(broker),
    EndTransactionQueueSize: 0,
    EndTransactionThreadPoolQueueCapacity: 100_000
  }
  for (const [pool, capacity] of Object.entries(THREAD_POOLS)) {
    table[`${pool}ThreadPoolQueueSize`] = 0
    table[`${pool}ThreadPoolQueueCapacity`] = capacity
    table[`${pool}ThreadPoolQueueHeadWaitTimeMills`] = 0
  }
  for (const { level, offset, maxOffset } of delay.progress())
    table[`scheduleMessageOffset_${level}`] = `${offset},${maxOffset}`
  return new Map(Object.entries(table).map(([key, value]) => [key, String(value)]))
}

/** TimerMessageStore#getDequeueBehind, #getEnqueueBehindMessages, #getAllCongestNum, #getEnqueueTps, #getDequeueTps */
function timerProgress({ timer }: Broker): Record<string, string | number> {
  const { readBehindMs, offsetBehind, waiting } = timer?.store.progress ?? {
    readBehindMs: 0,
    offsetBehind: 0,
    waiting: 0
  }
  const { taken, given } = timer?.rates() ?? { taken: 0, given: 0 }
  return {
    timerReadBehind: Math.floor(readBehindMs / 1000),
    timerOffsetBehind: offsetBehind,
    timerCongestNum: waiting,
    timerEnqueueTps: taken.toFixed(1),
    timerDequeueTps: given.toFixed(1)
  }
}
