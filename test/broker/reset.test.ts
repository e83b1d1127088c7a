import t from 'tap'
import { type ExtFields, LANGUAGES, parseBody, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { type OpenBroker, openBroker, until } from '../support/broker.ts'
import { consumer } from '../support/consumer.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { pull, sendAll } from '../support/messages.ts'

type Table = Map<{ queueId: number; topic: string; brokerName: string }, number>

/** Five messages in queue 0 of two, a second apart; the group has consumed three. */
async function open(t: Test, options: Parameters<typeof openBroker>[1] = {}) {
  const clock = new ManualClock()
  const broker = await openBroker(t, options, { clock })
  const times: number[] = []
  for (const body of ['a', 'b', 'c', 'd', 'e']) {
    await sendAll(broker, { topic: 'orders', body, queues: 2 })
    times.push(clock.now())
    clock.advance(1000)
  }
  broker.broker.groups.get('CG')
  broker.broker.offsets.commit('CG', 'orders', 0, 3)
  broker.broker.offsets.commit('CG', 'orders', 1, 0)
  return { ...broker, times }
}
type Test = Parameters<typeof openBroker>[0]

const reset = ({ ask }: OpenBroker, timestamp: number, fields: ExtFields = {}) =>
  ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, {
    topic: 'orders',
    group: 'CG',
    timestamp: String(timestamp),
    isForce: 'true',
    ...fields
  })
const offsetsOf = (body: Uint8Array | null) =>
  [...(parseBody(body) as { offsetTable: Table }).offsetTable].map(([{ queueId }, offset]) => [queueId, offset])

t.test('offsets are reset to a time, and the next pull of each queue learns of it', async t => {
  const broker = await open(t)
  const { offsets } = broker.broker
  const answer = await reset(broker, broker.times[1]!)
  t.same(offsetsOf(answer.body), [
    [0, 1],
    [1, 0]
  ])
  t.same(Object.keys([...(parseBody(answer.body) as { offsetTable: Table }).offsetTable.keys()][0]!), [
    'brokerName',
    'queueId',
    'topic'
  ])
  t.equal(offsets.get('CG', 'orders', 0), 1)
  const commit = { consumerGroup: 'CG', topic: 'orders', queueId: '0', commitOffset: '5' }
  t.match(await broker.ask(RequestCode.UPDATE_CONSUMER_OFFSET, commit), { code: ResponseCode.SUCCESS })
  t.equal(offsets.get('CG', 'orders', 0), 1, 'commits until then do not count')
  t.match(await pull(broker, { topic: 'orders', offset: 3 }), {
    code: ResponseCode.PULL_OFFSET_MOVED,
    extFields: { nextBeginOffset: '1' }
  })
  t.match(await pull(broker, { topic: 'orders', offset: 1 }), { code: ResponseCode.SUCCESS })
  await broker.ask(RequestCode.UPDATE_CONSUMER_OFFSET, commit)
  t.equal(offsets.get('CG', 'orders', 0), 5)
})

t.test('a negative time is the end, and one queue can be reset to a place', async t => {
  const broker = await open(t)
  t.same(offsetsOf((await reset(broker, -1, { queueId: '-1', offset: '-1' })).body), [
    [0, 5],
    [1, 0]
  ])
  t.same(offsetsOf((await reset(broker, -1, { queueId: '0', offset: '2' })).body), [[0, 2]])
  t.same(offsetsOf((await reset(broker, broker.times[4]!, { queueId: '0', offset: '-1' })).body), [[0, 4]])
})

t.test('what cannot be reset is refused', async t => {
  const broker = await open(t)
  for (const [fields, code, remark] of [
    [{ topic: 'bills' }, ResponseCode.TOPIC_NOT_EXIST, 'Topic bills does not exist'],
    [{ group: 'nobody' }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, 'Group nobody does not exist'],
    [{ queueId: '0', offset: '99' }, 1, 'Target offset 99 not in consume queue range [0-5]'],
    [{ queueId: '9' }, 29, 'queueId[9] is illegal, topic:[orders] topicConfig.readQueueNums:[2]'],
    [{ timestamp: 'yesterday' }, 29, 'the field timestamp holds "yesterday", which is no whole number']
  ] as const)
    t.match(await reset(broker, 0, fields), { code, remark })
  t.equal(broker.broker.offsets.get('CG', 'orders', 0), 3)
})

t.test('with the old way, clients that are online are told to move', async t => {
  const broker = await open(t, { useServerSideResetOffset: false })
  const told: { code: number; fields: ExtFields | null; body: unknown }[] = []
  await consumer(t, broker, {
    answers: {
      [RequestCode.RESET_CONSUMER_CLIENT_OFFSET]: ({ code, extFields, body }) => {
        told.push({ code, fields: extFields, body: parseBody(body) })
        return null
      }
    }
  })
  const answer = await reset(broker, broker.times[1]!)
  t.same(offsetsOf(answer.body), [
    [0, 1],
    [1, 0]
  ])
  await until('the client is told', () => told.length === 1)
  t.match(told[0]!.fields, { topic: 'orders', group: 'CG', isForce: 'false', timestamp: String(broker.times[1]) })
  t.equal((told[0]!.body as { offsetTable: Table }).offsetTable.size, 2)
  t.equal(broker.broker.offsets.get('CG', 'orders', 0), 3, 'the client commits, when it has moved')

  t.same(offsetsOf((await reset(broker, -1, { isForce: 'false' })).body)[0], [0, 3], 'without force only backwards')

  const cpp = { ...request(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET), language: LANGUAGES.indexOf('CPP') }
  const connection = await broker.client.connection(broker.broker.address)
  await connection.invoke(
    { ...cpp, extFields: { topic: 'orders', group: 'CG', timestamp: '-1', isForce: 'true' } },
    20_000
  )
  await until('the client is told again', () => told.length === 3)
  t.same((told[2]!.body as { offsetTable: object[] }).offsetTable[0], {
    brokerName: 'broker-a',
    offset: 5,
    queueId: 0,
    topic: 'orders'
  })
})

t.test('with the old way, a group must have consumed and be online', async t => {
  const broker = await open(t, { useServerSideResetOffset: false })
  t.match(await reset(broker, 0), {
    code: ResponseCode.CONSUMER_NOT_ONLINE,
    remark: /^Consumer not online, so can not reset offset, Group: CG Topic: orders/
  })
  t.match(await reset(broker, 0, { group: 'new' }), { code: 1, remark: 'THe consumer group <new> not exist' })
})

t.test('a group takes over the offsets of another one', async t => {
  const broker = await open(t)
  const { offsets } = broker.broker
  offsets.commit('CG', 'gone', 0, 9)
  const clone = (fields: ExtFields) =>
    broker.ask(RequestCode.CLONE_GROUP_OFFSET, { srcGroup: 'CG', destGroup: 'copy', offline: 'true', ...fields })
  t.match(await clone({}), { code: ResponseCode.SUCCESS })
  t.equal(offsets.get('copy', 'orders', 0), 3)
  t.equal(offsets.get('copy', 'gone', 0), -1, 'a topic that is gone is left behind')
  t.match(await clone({ srcGroup: 'nobody' }), { code: ResponseCode.SUCCESS })

  await consumer(t, broker, { topics: ['bills'] })
  await clone({ destGroup: 'online', offline: 'false' })
  t.equal(offsets.get('online', 'orders', 0), -1, 'an online group has left what it does not subscribe to')
  await clone({ destGroup: 'one', topic: 'orders' })
  t.equal(offsets.get('one', 'orders', 0), 3)
})
