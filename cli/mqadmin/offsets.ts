import { ClientError, type MessageQueue, type RollbackStats } from '../../client/index.ts'
import { ResponseCode } from '../../net/index.ts'
import { parseTime } from '../format.ts'
import type { Context, Run } from './command.ts'
import { front } from './shared.ts'

const THREE = '%-40s  %-40s  %-40s%n'

function printOffsets({ print }: Context, offsets: readonly (MessageQueue & { offset: number })[]): void {
  print(THREE, '#brokerName', '#queueId', '#offset')
  for (const { brokerName, queueId, offset } of offsets)
    print('%-40s  %-40d  %-40d%n', front(brokerName, 32), queueId, offset)
}

function printRollback({ print }: Context, all: readonly RollbackStats[], last: string): void {
  const columns = ['#brokerName', '#queueId', '#brokerOffset', '#consumerOffset', '#timestampOffset', last]
  const row = `${columns.map(() => '%-20s').join('  ')}%n`
  print(row, ...columns)
  for (const { brokerName, queueId, brokerOffset, consumerOffset, timestampOffset, rollbackOffset } of all)
    print(row, front(brokerName, 32), queueId, brokerOffset, consumerOffset, timestampOffset, rollbackOffset)
}

/** Old brokers do it only through the group's clients; without any the offsets are set from here. */
const needsClients = (error: unknown): boolean =>
  error instanceof ClientError && error.responseCode === ResponseCode.CONSUMER_NOT_ONLINE

/** ResetOffsetByTimeCommand */
async function resetOffsetByTime(context: Context): Promise<void> {
  const { given, admin, print } = context
  const [group, topic, text] = [given.text('g'), given.text('t'), given.text('s')]
  const timestamp = text === 'now' ? Date.now() : parseTime(text)
  const broker = given.get('b')
  const queueId = given.int('q', -1)
  if (broker !== undefined && queueId >= 0) {
    print(
      'start reset consumer offset by specified, group[%s], topic[%s], queueId[%s], broker[%s], timestamp(string)[%s], timestamp(long)[%s]%n',
      ...[group, topic, queueId, broker, text, timestamp]
    )
    const { brokerDatas } = await admin.topicRoute(topic)
    const found = brokerDatas.find(
      ({ brokerName, brokerAddrs }) => brokerName === broker || [...brokerAddrs.values()].includes(broker)
    )
    if (found === undefined) throw new Error(`no broker ${broker} has the topic ${topic}`)
    const address = found.brokerName === broker ? (found.brokerAddrs.get(0) ?? '') : broker
    const queue = { topic, brokerName: found.brokerName, queueId }
    const offset = given.has('o') ? given.int('o', 0) : await admin.searchOffset(queue, timestamp)
    print('reset consumer offset to %d%n', offset)
    if (offset > 0) await admin.resetOffsetOfQueue(address, topic, group, queueId, offset)
    return
  }
  const force = given.bool('f', true)
  const what = `[${group}], topic[${topic}], force[${force}], timestamp(string)[${text}], timestamp(long)[${timestamp}]`
  const options = { force, routeTopic: given.get('c') }
  try {
    const offsets = await admin.resetOffset(topic, group, timestamp, options)
    print('start reset consumer offset by specified, group%s%n', what)
    printOffsets(context, offsets)
  } catch (error) {
    if (!needsClients(error)) throw error
    const all = await admin.resetOffsetOffline(topic, group, timestamp, options)
    print('reset consumer offset by specified consumerGroup%s%n', what)
    printRollback(context, all, '#resetOffset')
  }
}

/** SkipAccumulationSubCommand */
async function skipAccumulatedMessage(context: Context): Promise<void> {
  const { given, admin } = context
  const [group, topic] = [given.text('g'), given.text('t')]
  const options = { force: given.bool('f', true), routeTopic: given.get('c') }
  try {
    printOffsets(context, await admin.resetOffset(topic, group, -1, options))
  } catch (error) {
    if (!needsClients(error)) throw error
    printRollback(context, await admin.resetOffsetOffline(topic, group, -1, options), '#rollbackOffset')
  }
}

/** CloneGroupOffsetCommand */
async function cloneGroupOffset({ given, admin, print }: Context): Promise<void> {
  const [from, to, topic] = [given.text('s'), given.text('d'), given.text('t')]
  await admin.cloneGroupOffset(from, to, topic)
  print('clone group offset success. srcGroup[%s], destGroup=[%s], topic[%s]', from, to, topic)
}

export const commands: Record<string, Run> = { resetOffsetByTime, skipAccumulatedMessage, cloneGroupOffset }
