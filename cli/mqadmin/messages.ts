import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TextDecoder } from 'node:util'
import type { Message, MessageQueue, MessageTrack } from '../../client/index.ts'
import { formatBody } from '../../net/index.ts'
import { parseTime, timeMsText } from '../format.ts'
import type { Context, Run } from './command.ts'
import { messageText, propertiesText, queueText } from './shared.ts'

const PULL_COUNT = 32

/** Where bodies are put, each under its message's id. QueryMsgByIdSubCommand#createBodyFile */
function writeBody(message: Message, suffix = ''): string {
  const folder = join(tmpdir(), 'rocketmq', 'msgbodys')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, message.messageId + suffix)
  writeFileSync(path, message.body)
  return path
}

/** Throws when the character set is unknown. */
const decoderOf = (charset: string): TextDecoder => new TextDecoder(charset)

const LINE = '%-20s %s%n'

function printFields({ print }: Context, message: Message, bodyPath: string): void {
  print(LINE, 'Topic:', message.topic)
  print(LINE, 'Tags:', `[${message.tags ?? null}]`)
  print(LINE, 'Keys:', `[${message.keys ?? null}]`)
  print(LINE, 'Queue ID:', message.queueId)
  print(LINE, 'Queue Offset:', message.queueOffset)
  print(LINE, 'CommitLog Offset:', message.physicalOffset)
  print(LINE, 'Reconsume Times:', message.reconsumeTimes)
  print(LINE, 'Born Timestamp:', timeMsText(message.bornTimestamp))
  print(LINE, 'Store Timestamp:', timeMsText(message.storeTimestamp))
  print(LINE, 'Born Host:', message.bornHost.text)
  print(LINE, 'Store Host:', message.storeHost.text)
  print(LINE, 'System Flag:', message.sysFlag)
  print(LINE, 'Properties:', propertiesText(message))
  print(LINE, 'Message Body Path:', bodyPath)
}

/** What each group did with it; `end` ends each line. */
async function printTracks({ admin, print, warn }: Context, message: Message, end: string): Promise<void> {
  try {
    const tracks = await admin.messageTracks(message)
    print(tracks.length === 0 ? '%n%nWARN: No Consumer' : '%n%n')
    for (const track of tracks) print(`%s${end}`, trackText(track))
  } catch (error) {
    warn(error)
  }
}

const trackText = ({ consumerGroup, trackType, exceptionDesc }: MessageTrack): string =>
  `MessageTrack [consumerGroup=${consumerGroup}, trackType=${trackType}, exceptionDesc=${exceptionDesc}]`

async function printMessage(context: Context, message: Message): Promise<void> {
  const charset = context.given.get('f')
  const decoder = charset === undefined ? null : decoderOf(charset)
  const path = writeBody(message)
  context.print(LINE, 'OffsetID:', message.offsetMessageId)
  printFields(context, message, path)
  if (decoder !== null) context.print(LINE, 'Message Body:', decoder.decode(message.body))
  await printTracks(context, message, '%n')
}

/** QueryMsgByIdSubCommand */
async function queryMsgById(context: Context): Promise<void> {
  const { given, admin, print } = context
  const topic = given.text('t')
  const ids = given
    .text('i')
    .split(',')
    .map(id => id.trim())
    .filter(id => id !== '')
  const find = (id: string) => admin.messageById(topic, id, { cluster: given.get('c') })
  if (given.has('g') && given.has('d')) {
    for (const id of ids) await giveTo(context, find, id)
  } else if (given.bool('s')) {
    const { resend } = await import('./sending.ts')
    for (const id of ids) {
      print('prepare resend msg. originalMsgId=%s', id)
      print('%s', await resend(context, await find(id)))
    }
  } else if (!given.has('s')) for (const id of ids) await printMessage(context, await find(id))
}

/** Gives a message to the consumer of `-g` and `-d`, which must be one that is pushed to. */
async function giveTo(context: Context, find: (id: string) => Promise<Message>, id: string): Promise<void> {
  const { given, admin, print, warn } = context
  const [group, clientId] = [given.text('g'), given.text('d')]
  try {
    const { properties } = await admin.consumerRunningInfo(group, clientId)
    if (properties.PROP_CONSUME_TYPE !== 'CONSUME_PASSIVELY') {
      print('this %s client is not push consumer ,not support direct push %n', clientId)
      return
    }
    const result = await admin.consumeDirectly(group, clientId, await find(id))
    const { order, autoCommit, consumeResult, remark, spentTimeMills } = result
    const values = `order=${order}, autoCommit=${autoCommit}, consumeResult=${consumeResult}, remark=${remark}`
    print('ConsumeMessageDirectlyResult [%s, spentTimeMills=%s]', values, spentTimeMills)
  } catch (error) {
    warn(error)
  }
}

const HOUR_MS = 3600 * 1000

/** QueryMsgByKeySubCommand */
async function queryMsgByKey({ given, admin, print }: Context): Promise<void> {
  const [topic, key] = [given.text('t'), given.text('k')]
  const type = given.get('p') || 'K'
  if (type !== 'K' && type !== 'T') {
    print('index type error, just support K for keys or T for tags')
    return
  }
  const messages = await admin.queryByKey(topic, key, {
    maxCount: given.int('m', 64),
    begin: given.int('b', 0),
    end: given.has('e') ? given.int('e', 0) : undefined,
    cluster: given.get('c'),
    type,
    lastKey: given.get('l')
  })
  print('%-50s %4s %40s %-200s%n', '#Message ID', '#QID', '#Offset', '#IndexKey')
  for (const { messageId, queueId, queueOffset, storeTimestamp, physicalOffset } of messages) {
    const hour = storeTimestamp - (storeTimestamp % HOUR_MS)
    const indexKey = [hour, topic, type, key, messageId, physicalOffset].join('@')
    print('%-50s %4d %40d %-200s%n', messageId, queueId, queueOffset, indexKey)
  }
}

const HALF_SPAN_MS = 36 * HOUR_MS

/** QueryMsgByUniqueKeySubCommand */
async function queryMsgByUniqueKey(context: Context): Promise<void> {
  const { given, admin } = context
  const [topic, id, cluster] = [given.text('t'), given.text('i'), given.get('c')]
  if (given.has('g') && given.has('d')) {
    await giveTo(context, () => admin.messageById(topic, id, { cluster }), id)
    return
  }
  const now = Date.now()
  const both = given.has('s') && given.has('e')
  const messages = await admin.queryByUniqueKey(topic, id, {
    begin: both ? given.int('s', 0) : now - HALF_SPAN_MS,
    end: both ? given.int('e', 0) : now + HALF_SPAN_MS,
    cluster
  })
  messages.sort((a, b) => a.storeTimestamp - b.storeTimestamp)
  for (const [i, message] of messages.slice(0, given.has('a') ? messages.length : 1).entries()) {
    printFields(context, message, writeBody(message, i === 0 ? '' : `_${i}`))
    await printTracks(context, message, '')
  }
}

/** QueryMsgByOffsetSubCommand */
async function queryMsgByOffset(context: Context): Promise<void> {
  const { given, admin } = context
  const queue = { topic: given.text('t'), brokerName: given.text('b'), queueId: given.int('i', 0) }
  const { messages } = await admin.pull(queue, given.int('o', 0), 1, { routeTopic: given.get('r') })
  if (messages[0] !== undefined) await printMessage(context, messages[0])
}

/** From where to where a queue is read: all of it, or the times that the options name. */
async function rangeOf(
  { given, admin }: Context,
  queue: MessageQueue,
  beginOption: string,
  routeTopic?: string
): Promise<{ min: number; max: number }> {
  const [begin, end] = [given.get(beginOption), given.get('e')]
  const route = { routeTopic }
  const min = await admin.minOffset(queue, route)
  const max = await admin.maxOffset(queue, route)
  return {
    min: begin === undefined ? min : await admin.searchOffset(queue, parseTime(begin), route),
    max: end === undefined ? max : await admin.searchOffset(queue, parseTime(end), route)
  }
}

/** PrintMessageByQueueCommand#printMessage */
function printLines({ print }: Context, messages: readonly Message[], decoder: TextDecoder | null): void {
  for (const message of messages) {
    const body = decoder === null ? 'NOT PRINT BODY' : decoder.decode(message.body)
    print('MSGID: %s %s BODY: %s%n', message.messageId, messageText(message), body)
  }
}

/** PrintMessageSubCommand */
async function printMsg(context: Context): Promise<void> {
  const { given, admin, print, warn } = context
  const topic = given.text('t')
  const charset = decoderOf(given.get('c') ?? 'UTF-8')
  const decoder = given.bool('d', true) ? charset : null
  const expression = given.get('s') ?? '*'
  const routeTopic = given.get('l') ?? topic
  for (const found of await admin.topicQueues(routeTopic)) {
    const queue = { ...found, topic }
    const { min, max } = await rangeOf(context, queue, 'b', routeTopic)
    print('minOffset=%s, maxOffset=%s, %s%n', min, max, queueText(queue))
    for (let offset = min; offset < max; ) {
      const result = await admin.pull(queue, offset, PULL_COUNT, { expression, routeTopic }).catch(warn)
      if (result === undefined) break
      offset = result.nextOffset
      if (result.status === 'FOUND') {
        printLines(context, result.messages, decoder)
        continue
      }
      const what = result.status === 'NO_MATCHED_MSG' ? 'no matched msg' : 'print msg finished'
      print('%s %s. status=%s, offset=%s%n', queueText(queue), what, result.status, offset)
      if (result.status !== 'NO_MATCHED_MSG') break
    }
    print('--------------------------------------------------------%n')
  }
}

/** PrintMessageByQueueCommand */
async function printMsgByQueue(context: Context): Promise<void> {
  const { given, admin, print, warn } = context
  const charset = decoderOf(given.get('c') ?? 'UTF-8')
  const queue = { topic: given.text('t'), brokerName: given.text('a'), queueId: given.int('i', 0) }
  const { min, max } = await rangeOf(context, queue, 'b')
  const counts = new Map<string, number>()
  for (let offset = min; offset < max; ) {
    const result = await admin.pull(queue, offset, PULL_COUNT, { expression: given.get('s') ?? '*' }).catch(warn)
    if (result?.status !== 'FOUND') break
    offset = result.nextOffset
    for (const { tags } of result.messages) if (tags?.trim()) counts.set(tags, (counts.get(tags) ?? 0) + 1)
    if (given.bool('p')) printLines(context, result.messages, given.bool('d') ? charset : null)
  }
  if (given.bool('f'))
    for (const [tag, count] of [...counts].sort(([, a], [, b]) => b - a)) print('Tag: %-30s Count: %s%n', tag, count)
}

const MAX_MESSAGES = 128

/** ConsumeMessageCommand */
async function consumeMessage(context: Context): Promise<void> {
  const { given, admin, print } = context
  const topic = given.text('t')
  const wanted = given.int('c', MAX_MESSAGES)
  const now = Date.now()
  const [begin, end] = [given.get('s'), given.get('e')].map(text => (text === undefined ? 0 : parseTime(text)))
  const complaint =
    (wanted <= 0 && 'Please input a positive messageNumber!') ||
    (given.has('i') && !given.has('b') && 'Please set the brokerName before queueId!') ||
    (given.has('o') && !given.has('i') && 'Please set queueId before offset!') ||
    (begin! > now && 'Please set the beginTimestamp before now!') ||
    (end! > now && 'Please set the endTimestamp before now!') ||
    (given.has('e') &&
      begin! > end! &&
      'Please make sure that the beginTimestamp is less than or equal to the endTimestamp')
  if (complaint) {
    print(complaint)
    return
  }
  if (given.has('i')) {
    const queue = { topic, brokerName: given.text('b'), queueId: given.int('i', 0) }
    const offset = given.int('o', 0)
    let { min, max } = await rangeOf(context, queue, 's')
    if (offset > max) {
      print('%s no matched msg, offset=%s%n', queueText(queue), offset)
      return
    }
    min = Math.max(min, offset)
    if (max - min > wanted) {
      // The word is RocketMQ's.
      print('The oldler %d message will be provided%n', wanted)
      max = min + wanted - 1
    }
    await printQueue(context, queue, min, max)
    return
  }
  let left = wanted
  for (const queue of await admin.topicQueues(topic)) {
    if (left <= 0) return
    let { min, max } = await rangeOf(context, queue, 's')
    if (max - min > left) {
      print('The older %d message of the %d queue will be provided%n', left, queue.queueId)
      max = min + left - 1
      left = 0
    } else left -= max - min
    await printQueue(context, queue, min, max)
  }
}

/** All messages from `min` to `max`, both included. ConsumeMessageCommand#pullMessageByQueue */
async function printQueue(context: Context, queue: MessageQueue, min: number, max: number): Promise<void> {
  const { given, admin, print, warn } = context
  const group = given.get('g')
  const decoder = decoderOf('UTF-8')
  for (let offset = min; offset <= max; ) {
    const result = await admin.pull(queue, offset, max - offset + 1, { group }).catch(warn)
    if (result === undefined) return
    offset = result.nextOffset
    if (result.status === 'FOUND') {
      print('Consume ok%n')
      printLines(context, result.messages, decoder)
      continue
    }
    const what = result.status === 'NO_MATCHED_MSG' ? 'no matched msg' : 'print msg finished'
    print('%s %s. status=%s, offset=%s%n', queueText(queue), what, result.status, offset)
    if (result.status !== 'NO_MATCHED_MSG') return
  }
}

const RULER = '======================================%n'

/** QueryConsumeQueueCommand */
async function queryCq({ given, admin, print }: Context): Promise<void> {
  const topic = given.text('t')
  const index = given.int('i', 0)
  let broker = given.get('b')
  if (!broker) {
    const [first] = (await admin.topicRoute(topic)).brokerDatas
    broker = first?.brokerAddrs.get(0)
    if (broker === undefined) throw new Error(`no master of the topic ${topic} is known`)
  }
  const view = await admin.queryConsumeQueue(
    broker,
    topic,
    given.int('q', 0),
    index,
    given.int('c', 10),
    given.get('g')
  )
  if (view.subscriptionData) {
    print('Subscription data: %n%s%n', formatBody(view.subscriptionData, { indent: '\t' }))
    print(RULER)
  }
  if (view.filterData != null) {
    print('Filter data: %n%s%n', view.filterData)
    print(RULER)
  }
  print('Queue data: %nmax: %d, min: %d%n', view.maxQueueIndex, view.minQueueIndex)
  print(RULER)
  for (const [i, entry] of (view.queueData ?? []).entries()) {
    const { physicOffset, physicSize, tagsCode, extendDataJson = null, bitMap = null, msg = null } = entry
    print('idx: %s%n', index + i)
    print(
      "ConsumeQueueData{physicOffset=%s, physicSize=%s, tagsCode=%s, extendDataJson='%s', bitMap='%s', eval=%s, msg='%s'}%n",
      ...[physicOffset, physicSize, tagsCode, extendDataJson, bitMap, entry.eval, msg]
    )
    print(RULER)
  }
}

export const commands: Record<string, Run> = {
  queryMsgById,
  queryMsgByKey,
  queryMsgByUniqueKey,
  queryMsgByOffset,
  printMsg,
  printMsgByQueue,
  consumeMessage,
  queryCq
}
