import t from 'tap'
import { decodeOffsetMessageId } from '../../message/index.ts'
import { type ExtFields, parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker, until } from '../support/broker.ts'
import { consumer } from '../support/consumer.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { bodiesOf, recordsOf, type Sent, send, sendAll } from '../support/messages.ts'

const FOR_EVER = '9223372036854775807'
const bodyOf = async ({ ask }: OpenBroker, code: number, fields: ExtFields | null = null): Promise<unknown> => {
  const answer = await ask(code, fields)
  if (answer.code !== ResponseCode.SUCCESS) throw new Error(`${answer.code} ${answer.remark}`)
  return parseBody(answer.body)
}
const keyed = (body: string, KEYS: string): Sent => ({ topic: 'orders', body, properties: { KEYS } })
const query = ({ ask }: OpenBroker, key: string, fields: ExtFields = {}) =>
  ask(RequestCode.QUERY_MESSAGE, {
    topic: 'orders',
    key,
    maxNum: '32',
    beginTimestamp: '0',
    endTimestamp: FOR_EVER,
    ...fields
  })

t.test('messages are found by each of their keys, and by their unique key', async t => {
  const open = await openBroker(t)
  await sendAll(open, keyed('a', 'k1 all'), { ...keyed('b', 'k2 all'), uniqueKey: 'UNIQUE' }, keyed('c', 'all'))
  t.same(bodiesOf(await query(open, 'all')), ['a', 'b', 'c'])
  t.same(bodiesOf(await query(open, 'k2')), ['b'])
  t.equal(bodiesOf(await query(open, 'all', { maxNum: '2' })).length, 2)
  const answer = await query(open, 'UNIQUE', { _UNIQUE_KEY_QUERY: 'true', maxNum: '0' })
  t.same(bodiesOf(answer), ['b'], 'the broker chooses how many')
  t.match(answer.extFields, { indexLastUpdateTimestamp: /^\d{13}$/, indexLastUpdatePhyoffset: /^\d+$/ })
})

t.test('a key that no message has is not found', async t => {
  const open = await openBroker(t)
  await sendAll(open, keyed('a', 'k1'))
  const missing = {
    code: ResponseCode.QUERY_NOT_FOUND,
    remark: 'can not find message, maybe time range not correct',
    extFields: { indexLastUpdatePhyoffset: '0', indexLastUpdateTimestamp: '0' }
  }
  t.match(await query(open, 'k'), missing)
  t.match(await query(open, 'k1', { endTimestamp: '1' }), missing)
  t.match(await query(open, 'k1', { topic: 'bills' }), missing)
  t.match(await query(open, 'k1', { maxNum: '0' }), missing)
  t.match(await query(open, 'k1', { maxNum: '-1' }), missing)
  t.match(await query(open, 'k1', { maxNum: 'many' }), { code: 29, remark: /maxNum holds "many"/ })
})

t.test('an answer stays within a frame, however large the messages are', async t => {
  const open = await openBroker(t, { store: { mappedFileSizeCommitLogBytes: 32 * 1024 * 1024 } })
  const large = Buffer.alloc(4 * 1024 * 1024, 'x')
  const sent: Sent = { ...keyed('', 'big'), body: large }
  await sendAll(open, sent, sent, sent, sent, sent)
  const found = recordsOf(await query(open, 'big'))
  t.ok(found.length >= 1 && found.length < 5)
})

t.test('a message is shown by its place, and nothing where none begins', async t => {
  const open = await openBroker(t)
  const answer = await send(open, keyed('espresso', 'k'))
  const { physicalOffset } = decodeOffsetMessageId(answer.extFields!.msgId!)
  const view = (offset: number | string) => open.ask(RequestCode.VIEW_MESSAGE_BY_ID, { offset: String(offset) })
  t.same(bodiesOf(await view(physicalOffset)), ['espresso'])
  for (const offset of [physicalOffset + 1, -1, 99_999_999_999])
    t.match(await view(offset), { code: 1, remark: `can not find message by the offset, ${offset}` })
  t.match(await view('here'), { code: 29, remark: /offset/ })
})

t.test('who consumes a topic: groups that are online, and groups that were', async t => {
  const open = await openBroker(t)
  const groups = async (topic: string) =>
    ((await bodyOf(open, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic })) as { groupList: string[] }).groupList
  t.same(await groups('orders'), [])
  await consumer(t, open, { group: 'online', topics: ['orders'] })
  open.broker.offsets.commit('offline', 'orders', 0, 1)
  open.broker.offsets.commit('online', 'orders', 0, 1)
  t.same((await groups('orders')).sort(), ['offline', 'online'])
})

t.test('what a group consumes, and how it subscribes', async t => {
  const open = await openBroker(t)
  open.broker.offsets.commit('CG', 'orders', 0, 1)
  const topics = (group: string) => bodyOf(open, RequestCode.QUERY_TOPICS_BY_CONSUMER, { group })
  t.same(await topics('CG'), { brokerAddr: open.broker.address, topicList: ['orders'] })
  t.same(await topics('nobody'), { brokerAddr: open.broker.address, topicList: [] })
  const subscription = (fields: ExtFields) => bodyOf(open, RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, fields)
  t.same(await subscription({ group: 'CG', topic: 'orders' }), { group: 'CG', topic: 'orders' })
  await consumer(t, open, { expression: 'TagA' })
  t.match(await subscription({ group: 'CG', topic: 'orders' }), {
    group: 'CG',
    subscriptionData: { topic: 'orders', subString: 'TagA', tagsSet: ['TagA'], expressionType: 'TAG' }
  })
})

t.test('the span of time that a group has before it', async t => {
  const clock = new ManualClock()
  const open = await openBroker(t, {}, { clock })
  const at: number[] = []
  for (const body of ['a', 'b', 'c']) {
    await sendAll(open, { topic: 'orders', body, queues: 2 })
    at.push(clock.now())
    clock.advance(1000)
  }
  open.broker.offsets.commit('CG', 'orders', 0, 2)
  const { consumeTimeSpanSet } = (await bodyOf(open, RequestCode.QUERY_CONSUME_TIME_SPAN, {
    topic: 'orders',
    group: 'CG'
  })) as { consumeTimeSpanSet: object[] }
  t.match(consumeTimeSpanSet, [
    {
      messageQueue: { brokerName: 'broker-a', queueId: 0, topic: 'orders' },
      minTimeStamp: at[0],
      maxTimeStamp: at[2],
      consumeTimeStamp: at[1],
      delayTime: 1000,
      minTimeStampStr: /^\d{4}-\d\d-\d\d#\d\d:\d\d:\d\d:000$/
    },
    { messageQueue: { queueId: 1 }, minTimeStamp: -1, maxTimeStamp: -1, consumeTimeStamp: -1, delayTime: 0 }
  ])
  const none = await open.ask(RequestCode.QUERY_CONSUME_TIME_SPAN, { topic: 'bills', group: 'CG' })
  t.match(none, { code: ResponseCode.TOPIC_NOT_EXIST, remark: 'topic[bills] not exist' })
})

t.test('the least offset of all groups, and of which groups', async t => {
  const open = await openBroker(t)
  const { offsets } = open.broker
  offsets.commit('A', 'orders', 0, 5)
  offsets.commit('B', 'orders', 0, 3)
  offsets.commit('B', 'orders', 1, 7)
  const correction = async (fields: ExtFields = {}) => {
    const { correctionOffsets } = (await bodyOf(open, RequestCode.QUERY_CORRECTION_OFFSET, {
      topic: 'orders',
      ...fields
    })) as { correctionOffsets: object }
    return correctionOffsets
  }
  t.same(await correction(), { 0: 3, 1: 7 })
  t.same(await correction({ filterGroups: 'B,C' }), { 0: 5 })
  t.same(await correction({ filterGroups: 'B', compareGroup: 'B' }), { 0: 9_223_372_036_854_775_807n })
  t.same(await correction({ topic: 'bills' }), {})
})

t.test('the units of a queue are shown as they are', async t => {
  const open = await openBroker(t)
  await sendAll(
    open,
    { topic: 'orders', body: 'a', properties: { TAGS: 'T0' } },
    { topic: 'orders', body: 'b', properties: { TAGS: 'T1' } },
    { topic: 'orders', body: 'c' }
  )
  const units = (fields: ExtFields = {}) =>
    open.ask(RequestCode.QUERY_CONSUME_QUEUE, { topic: 'orders', queueId: '0', index: '0', count: '2', ...fields })
  const body = parseBody((await units()).body) as { queueData: { physicOffset: number; physicSize: number }[] }
  const first = body.queueData[0]!
  t.same(body, {
    maxQueueIndex: 3,
    minQueueIndex: 0,
    queueData: [
      { eval: false, physicOffset: first.physicOffset, physicSize: first.physicSize, tagsCode: 2652 },
      {
        eval: false,
        physicOffset: first.physicOffset + first.physicSize,
        physicSize: body.queueData[1]!.physicSize,
        tagsCode: 2653
      }
    ]
  })
  t.match(parseBody((await units({ count: '99', index: '1' })).body), { queueData: { length: 2 } })
  t.match(parseBody((await units({ count: '0' })).body), { queueData: { length: 0 } })
  t.match(await units({ index: '77' }), { code: 0, remark: 'Index 77 of 0@orders is not exist!', body: null })
  t.match(await units({ index: '-1' }), { code: 0, remark: 'Index -1 of 0@orders is not exist!' })
  t.match(await units({ queueId: '7' }), { code: 1, remark: '7@orders is not exist!' })
  t.match(await units({ topic: 'bills' }), { code: 1, remark: '0@bills is not exist!' })
  await consumer(t, open, { expression: 'T0' })
  t.match(parseBody((await units({ consumerGroup: 'CG' })).body), {
    filterData: 'null',
    subscriptionData: { subString: 'T0' }
  })
})

t.test('slaves read all offsets', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'a' })
  open.broker.offsets.commit('CG', 'orders', 0, 5)
  open.broker.offsets.pulled('CG', 'orders', 0, 6)
  const { body } = await open.ask(RequestCode.GET_ALL_CONSUMER_OFFSET)
  t.match(parseBody(body), {
    dataVersion: { counter: 1, stateVersion: 0 },
    groupTopicMap: { CG: ['orders'] },
    offsetTable: { 'orders@CG': { 0: 5 } },
    pullOffsetTable: { 'orders@CG': { 0: 6 } }
  })
  t.match(Buffer.from(body!).toString(), /"orders@CG":\{0:5\}/, 'keys as Java writes them')
})

t.test('a client that is gone consumes nothing', async t => {
  const open = await openBroker(t)
  const client = await consumer(t, open)
  await client.close()
  await until('it is gone', () => open.broker.clients.consumers.size === 0)
  t.same(await bodyOf(open, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic: 'orders' }), { groupList: [] })
})
