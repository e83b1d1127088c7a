import t from 'tap'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { openBroker, until } from '../support/broker.ts'
import { bodiesOf, pull, recordsOf, sendAll, sendEach } from '../support/messages.ts'

const heartbeat = (group: string, topic: string, expression: string, subVersion: number, model = 'CLUSTERING') =>
  JSON.stringify({
    clientID: `client-of-${group}`,
    consumerDataSet: [
      {
        groupName: group,
        consumeType: 'CONSUME_PASSIVELY',
        messageModel: model,
        consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
        subscriptionDataSet: [
          { topic, subString: expression, tagsSet: [expression], codeSet: [2598919], subVersion, expressionType: 'TAG' }
        ]
      }
    ],
    producerDataSet: []
  })

t.test('a pull answers records as they are stored, and where to go on', async t => {
  const open = await openBroker(t)
  await sendEach(open, ['a', 'b', 'c'])
  const answer = await pull(open, { topic: 'orders', offset: 1 })
  t.equal(answer.code, ResponseCode.SUCCESS)
  t.equal(answer.remark, 'FOUND')
  t.match(answer.extFields, { suggestWhichBrokerId: '0', nextBeginOffset: '3', minOffset: '0', maxOffset: '3' })
  t.same(bodiesOf(answer), ['b', 'c'])
})

t.test('a pull gets as many messages as it asks for, and at most 32', async t => {
  const open = await openBroker(t)
  await sendEach(
    open,
    Array.from({ length: 100 }, (_, i) => String(i))
  )
  t.equal(recordsOf(await pull(open, { topic: 'orders', max: 5 })).length, 5)
  t.equal(recordsOf(await pull(open, { topic: 'orders', max: 1000 })).length, 32)
})

t.test('a message larger than a transfer is handed out alone', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: Buffer.alloc(600_000, 1) }, { topic: 'orders', body: 'small' })
  const answer = await pull(open, { topic: 'orders' })
  t.same(
    recordsOf(answer).map(record => record.body.length),
    [600_000]
  )
})

t.test('what stands against a pull is answered as RocketMQ answers it', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'x' })
  const cases: [string, Parameters<typeof pull>[1], number, string | RegExp, object?][] = [
    ['an unknown topic', { topic: 'nothing' }, 17, 'topic[nothing] not exist, apply first please! '],
    ['an unknown queue', { topic: 'orders', queueId: 99 }, 29, /queueId\[99\] is illegal/],
    ['a negative queue', { topic: 'orders', queueId: -1 }, 29, /queueId\[-1\] is illegal/],
    ['before the start', { topic: 'orders', offset: -1 }, 21, 'OFFSET_TOO_SMALL', { nextBeginOffset: '0' }],
    ['far behind the end', { topic: 'orders', offset: 99 }, 21, 'OFFSET_OVERFLOW_BADLY', { nextBeginOffset: '1' }],
    ['at the end', { topic: 'orders', offset: 1 }, 19, 'OFFSET_OVERFLOW_ONE', { nextBeginOffset: '1' }],
    ['an empty queue', { topic: 'orders', queueId: 3 }, 19, 'NO_MATCHED_LOGIC_QUEUE'],
    ['an empty queue, further on', { topic: 'orders', queueId: 3, offset: 5 }, 21, 'NO_MATCHED_LOGIC_QUEUE'],
    [
      'no tag that matches',
      { topic: 'orders', expression: 'None' },
      20,
      'NO_MATCHED_MESSAGE',
      { nextBeginOffset: '1' }
    ],
    ['a group that is not online', { topic: 'orders', expression: null }, 24, "the consumer's group info not exist"]
  ]
  for (const [what, request, code, remark, fields] of cases) {
    const answer = await pull(open, request)
    t.equal(answer.code, code, what)
    t.match(answer.remark, remark, what)
    if (fields) t.match(answer.extFields, fields, what)
  }
})

t.test('tags decide what a group gets', async t => {
  const open = await openBroker(t)
  const tags = ['TagA', 'TagB', undefined, 'TagC', 'TagA']
  for (const [i, tag] of tags.entries())
    await sendAll(open, { topic: 'orders', body: String(i), ...(tag ? { properties: { TAGS: tag } } : {}) })
  t.same(bodiesOf(await pull(open, { topic: 'orders', expression: 'TagA || TagC' })), ['0', '3', '4'])
  t.same(bodiesOf(await pull(open, { topic: 'orders', expression: '*' })), ['0', '1', '2', '3', '4'])
})

t.test('a pull at the end waits for the next message', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first' })
  const waiting = pull(open, { topic: 'orders', offset: 1, suspendMs: 15_000 })
  await until('the pull is held', () => open.broker.heldPulls.size === 1)
  await sendAll(open, { topic: 'orders', body: 'second' })
  t.same(bodiesOf(await waiting), ['second'])
  t.equal(open.broker.heldPulls.size, 0)
})

t.test('a held pull gets all messages that arrive in one go', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first' })
  const waiting = pull(open, { topic: 'orders', offset: 1, suspendMs: 15_000 })
  await until('the pull is held', () => open.broker.heldPulls.size === 1)
  const bodies = Array.from({ length: 10 }, (_, i) => String(i))
  await sendEach(open, bodies)
  const got = bodiesOf(await waiting)
  t.same(got, bodies.slice(0, got.length))
})

t.test('a held pull is not woken by tags that it does not want', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first', properties: { TAGS: 'TagA' } })
  const waiting = pull(open, { topic: 'orders', offset: 1, suspendMs: 15_000, expression: 'TagA' })
  await until('the pull is held', () => open.broker.heldPulls.size === 1)
  await sendAll(open, { topic: 'orders', body: 'other', properties: { TAGS: 'TagB' } })
  t.equal(open.broker.heldPulls.size, 1)
  await sendAll(open, { topic: 'orders', body: 'wanted', properties: { TAGS: 'TagA' } })
  t.same(bodiesOf(await waiting), ['wanted'])
})

t.test('a held pull is answered when its time is over', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first' })
  const answer = await pull(open, { topic: 'orders', offset: 1, suspendMs: 50 })
  t.equal(answer.code, ResponseCode.PULL_NOT_FOUND)
  t.match(answer.extFields, { nextBeginOffset: '1' })
})

t.test('a pull whose client leaves is held no longer', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'first' })
  pull(open, { topic: 'orders', offset: 1, suspendMs: 15_000 }).catch(() => {})
  await until('the pull is held', () => open.broker.heldPulls.size === 1)
  open.client.closeConnection(open.broker.address)
  await until('the pull is gone', () => open.broker.heldPulls.size === 0)
})

t.test('a group is served by what its heartbeat subscribes to', async t => {
  const open = await openBroker(t)
  await sendAll(
    open,
    { topic: 'orders', body: 'a', properties: { TAGS: 'TagA' } },
    { topic: 'orders', body: 'b', properties: { TAGS: 'TagB' } }
  )
  const beat = await open.ask(RequestCode.HEART_BEAT, null, heartbeat('CG', 'orders', 'TagA', 100))
  t.equal(beat.code, ResponseCode.SUCCESS)
  t.same(bodiesOf(await pull(open, { topic: 'orders', expression: null, subVersion: 100 })), ['a'])
  t.equal((await pull(open, { topic: 'orders', expression: null, subVersion: 101 })).code, 25)
  t.equal((await pull(open, { topic: 'TBW102', expression: null })).code, 24)
  t.match(open.broker.topics.get('%RETRY%CG'), { readQueueNums: 1, writeQueueNums: 1, perm: 6 })
})

t.test('a disabled group, a forbidden topic and a broadcasting group may not pull', async t => {
  const open = await openBroker(t)
  const { groups } = open.broker
  await sendAll(open, { topic: 'orders', body: 'x' })
  await open.ask(RequestCode.HEART_BEAT, null, heartbeat('CG', 'orders', '*', 1, 'BROADCASTING'))
  const config = groups.get('CG')!
  const forbiddenType = async () => {
    const answer = await pull(open, { topic: 'orders', expression: null })
    return [answer.code, answer.extFields?.forbiddenType]
  }
  await groups.put({ ...config, consumeBroadcastEnable: false })
  t.same(await forbiddenType(), [16, '4'])
  await groups.put({ ...config, consumeEnable: false })
  t.same(await forbiddenType(), [16, '2'])
  await groups.put(config)
  await groups.setReadForbidden('CG', 'orders', true)
  t.same(await forbiddenType(), [16, '5'])
  await groups.setReadForbidden('CG', 'orders', false)
  t.same(await forbiddenType(), [0, undefined])
})

t.test('an offset can be committed with a pull', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'a' }, { topic: 'orders', body: 'b' })
  await pull(open, { topic: 'orders', offset: 1, commitOffset: 1 })
  t.equal(open.broker.offsets.get('CG', 'orders', 0), 1)
})

t.test('a reset from the server moves the next pull', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'a' }, { topic: 'orders', body: 'b' })
  open.broker.offsets.reset('CG', 'orders', 0, 0)
  const moved = await pull(open, { topic: 'orders', offset: 2 })
  t.equal(moved.code, ResponseCode.PULL_OFFSET_MOVED)
  t.match(moved.extFields, { nextBeginOffset: '0' })
  t.same(bodiesOf(await pull(open, { topic: 'orders', offset: 0 })), ['a', 'b'])
})

t.test('a topic that may not be read is refused', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'x' })
  await open.broker.topics.put({ ...open.broker.topics.get('orders')!, perm: 2 })
  const answer = await pull(open, { topic: 'orders' })
  t.same([answer.code, answer.extFields?.forbiddenType], [16, '3'])
})
