import { mkdirSync, writeFileSync } from 'node:fs'
import { type ConsumerRunningInfo, compareQueues, lagOf, queueKey } from '../../client/index.ts'
import { isRetryTopic, RETRY_PREFIX } from '../../message/index.ts'
import { versionName } from '../../net/index.ts'
import { format, timeMsText, timeText } from '../format.ts'
import type { Context, Run } from './command.ts'
import { front, hashOrder, queueText } from './shared.ts'

/** ProducerConnectionSubCommand */
async function producerConnection({ given, admin, print }: Context): Promise<void> {
  const connections = await admin.producerConnection(given.text('g'), given.text('t'))
  for (const [i, { clientId, clientAddr, language, version }] of connections.entries())
    print('%04d  %-32s %-22s %-8s %s%n', i + 1, clientId, clientAddr, language, versionName(version))
}

/** ConsumerConnectionSubCommand */
async function consumerConnection({ given, admin, print }: Context): Promise<void> {
  const connection = await admin.consumerConnection(given.text('g'), given.get('b'))
  const row = '%-36s %-22s %-10s %s%n'
  print(row, '#ClientId', '#ClientAddr', '#Language', '#Version')
  for (const { clientId, clientAddr, language, version } of connection.connectionSet)
    print(row, clientId, clientAddr, language, versionName(version))
  print('%nBelow is subscription:%n')
  print('%-20s %s%n', '#Topic', '#SubExpression')
  for (const topic of hashOrder(Object.keys(connection.subscriptionTable)))
    print('%-20s %s%n', topic, connection.subscriptionTable[topic]!.subString)
  print('%nConsumeType: %s%n', connection.consumeType)
  print('MessageModel: %s%n', connection.messageModel)
  print('ConsumeFromWhere: %s%n', connection.consumeFromWhere)
}

/** ProducerSubCommand */
async function producer({ given, admin, print }: Context): Promise<void> {
  for (const [group, instances] of Object.entries(await admin.producers(given.text('b')))) {
    if (instances.length === 0) print('producer group (%s) instances are empty%n', group)
    for (const { clientId, remoteIP, language, version, lastUpdateTimestamp } of instances)
      print(
        'producer group (%s) instance : clientId=%s,remoteIP=%s, language=%s, version=%d, lastUpdateTimestamp=%d%n',
        ...[group, clientId, remoteIP, language, version, lastUpdateTimestamp]
      )
  }
}

/** ConsumerProgressSubCommand */
async function consumerProgress(context: Context): Promise<void> {
  const group = context.given.get('g')
  await (group === undefined ? progressOfAll(context) : progressOf(context, group))
}

async function progressOf({ given, admin, print }: Context, group: string): Promise<void> {
  const stats = await admin.consumeStats(group, given.get('t'), { routeTopic: given.get('c') })
  const owners = given.bool('s') ? await ownersOf({ admin }, group) : null
  const names = '%-64s  %-32s  %-4s  %-20s  %-20s  '
  const columns = ['#Topic', '#Broker Name', '#QID', '#Broker Offset', '#Consumer Offset']
  const owner = owners === null ? '' : '%-20s '
  // The last column's head stands one place further left than its values do in RocketMQ's table.
  const head = `${names}${owner}%-20s %-20s%s%n`
  print(head, ...columns, ...(owners === null ? [] : ['#Client IP']), '#Diff', '#Inflight', '#LastTime')
  let inflightTotal = 0
  for (const queue of stats.queues) {
    const { topic, brokerName, queueId, brokerOffset, consumerOffset, pullOffset = 0, lastTimestamp } = queue
    const inflight = pullOffset - consumerOffset
    inflightTotal += inflight
    const time = lastTimestamp === 0 ? 'N/A' : timeText(lastTimestamp)
    print(
      `${names}${owner}%-20d %-20d %s%n`,
      ...[front(topic, 64), front(brokerName, 32), queueId, brokerOffset, consumerOffset],
      ...(owners === null ? [] : [owners.get(queueKey(queue)) ?? 'N/A']),
      ...[brokerOffset - consumerOffset, inflight, time]
    )
  }
  print('%nConsume TPS: %.2f%n', stats.consumeTps)
  print('Consume Diff Total: %d%n', lagOf(stats))
  print('Consume Inflight Total: %d%n', inflightTotal)
}

/** Which address reads which queue; what cannot be learnt is left out. */
async function ownersOf({ admin }: Pick<Context, 'admin'>, group: string): Promise<Map<string, string>> {
  const owners = new Map<string, string>()
  try {
    const { connectionSet } = await admin.consumerConnection(group)
    for (const { clientId } of connectionSet) {
      const { mqTable } = await admin.consumerRunningInfo(group, clientId)
      for (const queue of mqTable) owners.set(queueKey(queue), clientId.split('@', 1)[0]!)
    }
  } catch {
    // Offline, or older than the question.
  }
  return owners
}

async function progressOfAll({ admin, print }: Context): Promise<void> {
  print(
    '%-64s  %-6s  %-24s %-5s  %-14s  %-7s  %s%n',
    ...['#Group', '#Count', '#Version', '#Type', '#Model', '#TPS', '#Diff Total']
  )
  for (const topic of await admin.topics()) {
    if (!isRetryTopic(topic)) continue
    const group = topic.slice(RETRY_PREFIX.length)
    const stats = await admin.consumeStats(group).catch(() => null)
    const connection = await admin.consumerConnection(group).catch(() => null)
    const clients = connection?.connectionSet ?? []
    const version = Math.min(...clients.map(client => client.version))
    const passive = connection?.consumeType === 'CONSUME_PASSIVELY'
    print(
      '%-64s  %-6d  %-24s %-5s  %-14s  %-7d  %d%n',
      front(group, 64),
      clients.length,
      connection === null ? 'OFFLINE' : versionName(version),
      connection === null ? '' : connection.consumeType === 'CONSUME_ACTIVELY' ? 'PULL' : 'PUSH',
      passive ? connection.messageModel : '',
      Math.trunc(stats?.consumeTps ?? 0),
      stats === null ? 0 : lagOf(stats)
    )
  }
}

const TWO_MINUTES_MS = 120_000
const ONE_MINUTE_MS = 60_000

/** ConsumerStatusSubCommand */
async function consumerStatus({ given, admin, print, warn }: Context): Promise<void> {
  const group = given.text('g')
  const { connectionSet } = await admin.consumerConnection(group, given.get('b'))
  const jstack = given.has('s')
  const chosen = given.get('i')
  if (chosen !== undefined) {
    print('%s', runningInfoText(await admin.consumerRunningInfo(group, chosen, { jstack })))
    return
  }
  const row = '%-10s %-40s %-20s %s%n'
  print(row, '#Index', '#ClientId', '#Version', '#ConsumerRunningInfoFile')
  const now = Date.now()
  const infos = new Map<string, ConsumerRunningInfo>()
  for (const { clientId, version } of connectionSet) {
    try {
      const info = await admin.consumerRunningInfo(group, clientId, { jstack })
      infos.set(clientId, info)
      mkdirSync(String(now), { recursive: true })
      const path = `${now}/${clientId}`
      writeFileSync(path, runningInfoText(info))
      print(row, infos.size, clientId, versionName(version), path)
    } catch (error) {
      warn(error)
    }
  }
  const [first, ...others] = [...infos.keys()].sort().map(clientId => infos.get(clientId)!)
  if (first === undefined) return
  const started = now - Number(first.properties.PROP_CONSUMER_START_TIMESTAMP) > TWO_MINUTES_MS
  const same = others.every(other => subscriptionsOf(other) === subscriptionsOf(first))
  if (isPush(first) && started && !same) {
    print('%n%nWARN: Different subscription in the same group of consumer!!!')
    return
  }
  print('%n%nSame subscription in the same group of consumer')
  print('%n%nRebalance OK%n')
  for (const [clientId, info] of infos) for (const trouble of troublesOf(clientId, info, now)) print('%s%n', trouble)
}

const isPush = ({ properties }: ConsumerRunningInfo): boolean => properties.PROP_CONSUME_TYPE === 'CONSUME_PASSIVELY'

const subscriptionsOf = ({ subscriptionSet }: ConsumerRunningInfo): string =>
  subscriptionSet
    .map(({ topic, subString }) => `${topic} ${subString}`)
    .sort()
    .join('\n')

/** Queues that do not move. ConsumerRunningInfo#analyzeProcessQueue */
function troublesOf(clientId: string, info: ConsumerRunningInfo, now: number): string[] {
  if (!isPush(info)) return []
  const orderly = info.properties.PROP_CONSUMEORDERLY === 'true'
  return info.mqTable.flatMap(queue => {
    const name = `${clientId} ${queueText(queue)}`
    const unlocked = now - Number(queue.lastLockTimestamp)
    const idle = now - Number(queue.lastConsumeTimestamp)
    if (orderly && !queue.locked) return [`${name} can't lock for a while, ${unlocked}ms`]
    if (orderly && queue.droped && Number(queue.tryUnlockTimes) > 0)
      return [`${name} unlock ${queue.tryUnlockTimes} times, still failed`]
    if (!orderly && idle > ONE_MINUTE_MS && Number(queue.cachedMsgCount) > 0)
      return [`${name} can't consume for a while, maybe blocked, ${idle}ms`]
    return []
  })
}

const PROCESS_QUEUE_FIELDS = [
  'commitOffset',
  'cachedMsgMinOffset',
  'cachedMsgMaxOffset',
  'cachedMsgCount',
  'cachedMsgSizeInMiB',
  'transactionMsgMinOffset',
  'transactionMsgMaxOffset',
  'transactionMsgCount',
  'locked',
  'tryUnlockTimes',
  'lastLockTimestamp',
  'droped',
  'lastPullTimestamp',
  'lastConsumeTimestamp'
]

/** `20261123094041566`. UtilAll#timeMillisToHumanString */
const digits = (ms: number): string => timeMsText(ms).replace(/\D/g, '')

/** ConsumerRunningInfo#formatString */
function runningInfoText(info: ConsumerRunningInfo): string {
  const lines: string[] = []
  const line = (template: string, ...values: unknown[]) => lines.push(format(`${template}%n`, ...values))
  const mqTable = info.mqTable.sort(compareQueues)

  line('#Consumer Properties#')
  for (const [name, value] of Object.entries(info.properties)) line('%-40s: %s', name, value)

  line('%n%n#Consumer Subscription#')
  for (const [i, { topic, subString, ...more }] of info.subscriptionSet.entries()) {
    const classFilter = (more as { classFilterMode?: boolean }).classFilterMode ?? false
    line('%03d Topic: %-40s ClassFilter: %-8s SubExpression: %s', i + 1, topic, classFilter, subString)
  }

  const head = '%-64s  %-32s  %-4s  %-20s'
  line('%n%n#Consumer Offset#')
  line(head, '#Topic', '#Broker Name', '#QID', '#Consumer Offset')
  for (const queue of mqTable)
    line('%-32s  %-32s  %-4d  %-20d', queue.topic, queue.brokerName, queue.queueId, queue.commitOffset)

  line('%n%n#Consumer MQ Detail#')
  line(head, '#Topic', '#Broker Name', '#QID', '#ProcessQueueInfo')
  for (const queue of mqTable) {
    const detail = PROCESS_QUEUE_FIELDS.map(name => {
      const value = queue[name] ?? 0
      return `${name}=${name.endsWith('Timestamp') ? digits(Number(value)) : value}`
    })
    const text = `ProcessQueueInfo [${detail.join(', ')}]`
    line('%-64s  %-32s  %-4d  %s', queue.topic, queue.brokerName, queue.queueId, text)
  }

  line('%n%n#Consumer Pop Detail#')
  line('%-32s  %-32s  %-4s  %-20s', '#Topic', '#Broker Name', '#QID', '#ProcessQueueInfo')
  for (const { topic, brokerName, queueId, waitAckCount, droped, lastPopTimestamp } of info.mqPopTable) {
    const text = `PopProcessQueueInfo [waitAckCount:${waitAckCount}, droped:${droped}, lastPopTimestamp:${lastPopTimestamp}]`
    line('%-32s  %-32s  %-4d  %s', topic, brokerName, queueId, text)
  }

  line('%n%n#Consumer RT&TPS#')
  line(
    '%-64s  %14s %14s %14s %14s %18s %25s',
    ...['#Topic', '#Pull RT', '#Pull TPS', '#Consume RT', '#ConsumeOK TPS', '#ConsumeFailed TPS'],
    '#ConsumeFailedMsgsInHour'
  )
  for (const [topic, status] of Object.entries(info.statusTable)) {
    const { pullRT, pullTPS, consumeRT, consumeOKTPS, consumeFailedTPS, consumeFailedMsgs } = status
    line(
      '%-32s  %14.2f %14.2f %14.2f %14.2f %18.2f %25d',
      ...[topic, pullRT, pullTPS, consumeRT, consumeOKTPS, consumeFailedTPS, consumeFailedMsgs]
    )
  }

  line('%n%n#User Consume Info#')
  for (const [name, value] of Object.entries(info.userConsumerInfo)) line('%-40s: %s', name, value)
  if (info.jstack !== undefined) line('%n%n#Consumer jstack#%n%s', info.jstack)
  return lines.join('')
}

export const commands: Record<string, Run> = {
  producerConnection,
  consumerConnection,
  producer,
  consumerProgress,
  consumerStatus
}
