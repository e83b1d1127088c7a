import t from 'tap'
import { type ExtFields, parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker } from '../support/broker.ts'
import { consumer } from '../support/consumer.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { pull, sendAll } from '../support/messages.ts'
import { mqadminRecording } from '../support/recordings.ts'

const bodyOf = async <T>({ ask }: OpenBroker, code: number, fields: ExtFields | null = null): Promise<T> => {
  const answer = await ask(code, fields)
  if (answer.code !== ResponseCode.SUCCESS) throw new Error(`${answer.code} ${answer.remark}`)
  return parseBody(answer.body) as T
}
type Queue = { queueId: number; topic: string }
type Offsets = { brokerOffset: number; consumerOffset: number; lastTimestamp: number; pullOffset: number }
interface ConsumeStats {
  consumeTps: number
  offsetTable: Map<Queue, Offsets>
}
const entries = <V>(table: Map<Queue, V> | Record<string, never>) =>
  table instanceof Map ? [...table].map(([{ topic, queueId }, value]) => [`${topic} ${queueId}`, value]) : []

async function open(t: Test) {
  const clock = new ManualClock()
  const broker = await openBroker(t, {}, { clock })
  const times: number[] = []
  for (const body of ['a', 'b', 'c']) {
    await sendAll(broker, { topic: 'orders', body, queues: 2 })
    times.push(clock.now())
    clock.advance(1000)
  }
  broker.broker.groups.get('CG')
  return { ...broker, clock, times }
}
type Test = Parameters<typeof openBroker>[0]

t.test('the status of a topic: its queues, and what comes in', async t => {
  const broker = await open(t)
  const { offsetTable, topicPutTps } = await bodyOf<{ offsetTable: Map<Queue, object>; topicPutTps: number }>(
    broker,
    RequestCode.GET_TOPIC_STATS_INFO,
    { topic: 'orders' }
  )
  t.same(entries(offsetTable), [
    ['orders 0', { lastUpdateTimestamp: broker.times[2], maxOffset: 3, minOffset: 0 }],
    ['orders 1', { lastUpdateTimestamp: 0, maxOffset: 0, minOffset: 0 }]
  ])
  t.equal(topicPutTps, 0.3)
  t.match(await broker.ask(RequestCode.GET_TOPIC_STATS_INFO, { topic: 'bills' }), {
    code: ResponseCode.TOPIC_NOT_EXIST,
    remark: 'topic[bills] not exist'
  })
})

t.test('the progress of a group: where queues end, what it has pulled and consumed', async t => {
  const broker = await open(t)
  const { offsets } = broker.broker
  offsets.commit('CG', 'orders', 0, 2)
  offsets.pulled('CG', 'orders', 0, 3)
  await broker.broker.topics.ensure('%RETRY%CG', 1, 6)
  offsets.commit('CG', '%RETRY%CG', 0, 0)
  offsets.commit('CG', 'gone', 0, 5)
  const stats = (fields: ExtFields = {}) =>
    bodyOf<ConsumeStats>(broker, RequestCode.GET_CONSUME_STATS, { consumerGroup: 'CG', ...fields })
  const orders = [
    ['orders 0', { brokerOffset: 3, consumerOffset: 2, lastTimestamp: broker.times[1], pullOffset: 3 }],
    ['orders 1', { brokerOffset: 0, consumerOffset: 0, lastTimestamp: 0, pullOffset: 0 }]
  ]
  const retry = ['%RETRY%CG 0', { brokerOffset: 0, consumerOffset: 0, lastTimestamp: 0, pullOffset: 0 }]
  t.same(entries((await stats()).offsetTable), [...orders, retry])
  t.same(entries((await stats({ topic: 'orders' })).offsetTable), orders)
  t.same(entries((await stats({ topicList: 'orders;gone' })).offsetTable), orders)
  t.same(entries((await stats({ consumerGroup: 'nobody' })).offsetTable), [])
  await consumer(t, broker, { topics: ['%RETRY%CG'] })
  t.same(entries((await stats()).offsetTable), [retry], 'an online group has left what it does not subscribe to')
})

t.test('the rate of a group comes from what it was handed', async t => {
  const broker = await open(t)
  await pull(broker, { topic: 'orders' })
  broker.broker.offsets.commit('CG', 'orders', 0, 3)
  const { consumeTps } = await bodyOf<ConsumeStats>(broker, RequestCode.GET_CONSUME_STATS, { consumerGroup: 'CG' })
  t.equal(consumeTps, 0.3)
})

t.test('all groups of a broker, and how much they have before them', async t => {
  const broker = await open(t)
  const { offsets, groups } = broker.broker
  offsets.commit('CG', 'orders', 0, 1)
  offsets.pulled('CG', 'orders', 0, 3)
  const stats = (isOrder: string) =>
    bodyOf<{ consumeStatsList: Record<string, ConsumeStats[]>[] }>(broker, RequestCode.GET_BROKER_CONSUME_STATS, {
      isOrder
    })
  const all = await stats('false')
  t.match(all, { brokerAddr: broker.broker.address, totalDiff: 2, totalInflightDiff: 2 })
  t.same(
    all.consumeStatsList.flatMap(each => Object.keys(each)),
    groups.names()
  )
  const own = all.consumeStatsList.find(each => 'CG' in each)!.CG!
  t.match(entries(own[0]!.offsetTable)[0], ['orders 0', { brokerOffset: 3, consumerOffset: 1 }])
  t.match(await stats('true'), { totalDiff: 0 }, 'the topic is not ordered')
})

t.test('figures are told by name and key', async t => {
  const broker = await open(t)
  const view = (statsName: string, statsKey: string) =>
    broker.ask(RequestCode.VIEW_BROKER_STATS_DATA, { statsName, statsKey })
  t.same(parseBody((await view('TOPIC_PUT_NUMS', 'orders')).body), {
    statsDay: { avgpt: 1, sum: 3, tps: 0.3 },
    statsHour: { avgpt: 1, sum: 3, tps: 0.3 },
    statsMinute: { avgpt: 1, sum: 3, tps: 0.3 }
  })
  t.match(await view('nope', 'nope'), { code: 1, remark: 'The stats <nope> <nope> not exist' })
})

const runtimeInfo = async (open: OpenBroker) =>
  (await bodyOf<{ table: Record<string, string> }>(open, RequestCode.GET_BROKER_RUNTIME_INFO)).table

t.test('runtime information has the keys of RocketMQ', async t => {
  const broker = await open(t)
  await sendAll(
    broker,
    { topic: 'orders', body: 'x', properties: { DELAY: '1' } },
    { topic: 'orders', body: 'x', properties: { DELAY: '3' } }
  )
  for (const levels of [1, 3]) {
    broker.clock.advance(levels * 5000)
    while (!broker.broker.delay.progress().some(({ level }) => level === levels))
      await new Promise(resolve => setImmediate(resolve))
  }
  const recorded = [...mqadminRecording('brokerStatus')].find(frame => frame.note.startsWith('response to 28'))!
  const names = (table: Record<string, string>) =>
    Object.keys(table)
      .map(name => name.replace(/^commitLogDiskRatio_.*/, 'commitLogDiskRatio_path'))
      .sort()
  const theirs = (parseBody(recorded.body) as { table: Record<string, string> }).table
  const ours = await runtimeInfo(broker)
  const own = ['damagedBytes', 'damagedRanges', 'forciblyDeletedCommitLogFiles']
  const expected = [...names(theirs), 'getTransferedTps', ...own].sort()
  t.same(names(ours), expected, 'those of 5.x, one by its name in 4.x, and what RocketMQ has not')
  const shape = (text: string) => text.replace(/\d+(\.\d+(e-?\d+)?)?/g, '0').replace(/[KMGT]iB/g, 'iB')
  for (const [name, value] of Object.entries(theirs))
    if (name in ours && name !== 'remainHowManyDataToFlush') t.equal(shape(ours[name]!), shape(value), name)
})

t.test('runtime information tells what is going on', async t => {
  const broker = await open(t)
  await pull(broker, { topic: 'orders' })
  await pull(broker, { topic: 'orders', offset: 3 })
  await sendAll(broker, { topic: 'orders', body: 'later', properties: { DELAY: '1' } })
  const { store, bootTimestamp } = broker.broker
  t.match(await runtimeInfo(broker), {
    brokerActive: 'true',
    brokerVersionDesc: 'V5_5_0',
    bootTimestamp: String(bootTimestamp),
    msgPutTotalTodayNow: '3',
    msgGetTotalTodayNow: '3',
    putMessageTimesTotal: '4',
    putTps: /^0\.4 /,
    getFoundTps: /^0\.1 /,
    getMissTps: /^0\.1 /,
    getTotalTps: /^0\.2 /,
    getTransferredTps: /^0\.3 /,
    commitLogMinOffset: '0',
    commitLogMaxOffset: String(store.maxPhysicalOffset),
    earliestMessageTimeStamp: String(broker.times[0]),
    dispatchBehindBytes: '0',
    commitLogDirCapacity: /^Total : [\d.]+ .?i?B, Free : [\d.]+ .?i?B\.$/
  })
})

t.test('queues of topics that are gone are removed', async t => {
  const broker = await open(t)
  const { store, topics } = broker.broker
  await sendAll(broker, { topic: 'bills', body: 'x' })
  await topics.delete('bills')
  t.match(await broker.ask(RequestCode.CLEAN_UNUSED_TOPIC), { code: ResponseCode.SUCCESS })
  t.same(store.topics(), ['orders'])
})
