import t from 'tap'
import { type ExtFields, parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { createTopic, type OpenBroker, openBroker, temporaryDirectory } from '../support/broker.ts'
import { send, sendAll } from '../support/messages.ts'
import { openNameServer } from '../support/name-server.ts'
import { mqadminRecording, recording } from '../support/recordings.ts'

interface Config {
  topicName: string
  attributes: Record<string, string>
}

const bodyOf = async <T>({ ask }: OpenBroker, code: number, fields: ExtFields | null = null): Promise<T> => {
  const answer = await ask(code, fields)
  if (answer.code !== ResponseCode.SUCCESS) throw new Error(`${answer.code} ${answer.remark}`)
  return parseBody(answer.body) as T
}
const get = (open: OpenBroker, topic: string) => bodyOf<Config>(open, RequestCode.GET_TOPIC_CONFIG, { topic })
const remove = ({ ask }: OpenBroker, topic: string) => ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic })

t.test('a topic is created and changed as the request says', async t => {
  const open = await openBroker(t)
  t.match(await createTopic(open, 'orders'), { code: ResponseCode.SUCCESS })
  t.same(await get(open, 'orders'), {
    attributes: {},
    order: false,
    perm: 6,
    readQueueNums: 4,
    topicFilterType: 'SINGLE_TAG',
    topicName: 'orders',
    topicSysFlag: 0,
    writeQueueNums: 4
  })
  await createTopic(open, 'orders', { readQueueNums: 8, writeQueueNums: 2, perm: 4, order: true, topicSysFlag: 1 })
  t.match(await get(open, 'orders'), { readQueueNums: 8, writeQueueNums: 2, perm: 4, order: true, topicSysFlag: 1 })
})

t.test('a new topic is known to the NameServers when the request is answered', async t => {
  const nameServer = await openNameServer(t)
  const open = await openBroker(t, { namesrvAddr: nameServer.server.address })
  t.equal(await nameServer.client.route('orders'), undefined)
  await createTopic(open, 'orders', { readQueueNums: 3 })
  t.match(await nameServer.client.route('orders'), {
    brokerDatas: [{ brokerName: 'broker-a', brokerAddrs: { 0: open.broker.address } }],
    queueDatas: [{ readQueueNums: 3, writeQueueNums: 4, perm: 6 }]
  })
})

t.test('the same again changes nothing, anything else makes a new version', async t => {
  const open = await openBroker(t)
  await createTopic(open, 'orders')
  const { counter } = open.broker.topics.version
  await createTopic(open, 'orders')
  t.equal(open.broker.topics.version.counter, counter)
  await createTopic(open, 'orders', { perm: 4 })
  t.equal(open.broker.topics.version.counter, counter + 1)
})

t.test('topics outlive the broker', async t => {
  const storePathRootDir = temporaryDirectory(t)
  const before = await openBroker(t, { storePathRootDir })
  await createTopic(before, 'orders', { attributes: '+message.type=FIFO' })
  await before.broker.close()
  const after = await openBroker(t, { storePathRootDir })
  t.match(await get(after, 'orders'), { readQueueNums: 4, attributes: { 'message.type': 'FIFO' } })
})

t.test('attributes are added, changed and removed one by one', async t => {
  const open = await openBroker(t)
  const after = async (attributes: string) => {
    const { code, remark } = await createTopic(open, 'orders', { attributes })
    return code === ResponseCode.SUCCESS ? (await get(open, 'orders')).attributes : `${code} ${remark}`
  }
  for (const [attributes, result] of [
    ['-message.type', '1 only add attribute is supported while creating topic. key: message.type'],
    ['+message.type=FIFO,+reserve.time=5', { 'message.type': 'FIFO', 'reserve.time': '5' }],
    ['', { 'message.type': 'FIFO', 'reserve.time': '5' }],
    ['+message.type=NORMAL', { 'message.type': 'NORMAL', 'reserve.time': '5' }],
    ['-reserve.time', { 'message.type': 'NORMAL' }],
    [
      '+message.type=NOPE',
      '1 value is not in set: [UNSPECIFIED, MIXED, TRANSACTION, PRIORITY, FIFO, DELAY, LITE, NORMAL]'
    ],
    ['message.type=FIFO', '1 add/alter attribute format is wrong: message.type'],
    ['+message.type', '1 delete attribute format is wrong: +message.type'],
    ['+message.type=NORMAL,+message.type=FIFO', '1 key duplication: +message.type'],
    ['+message.type=MIXED', '29 MIXED message type is not supported.'],
    ['+reserve.time=-5', '1 value is not in range(-1, 9223372036854775807)'],
    ['+queue.type=BatchCQ', '1 attempt to update an unchangeable attribute. key: queue.type'],
    ['-queue.type', '1 attempt to delete an unchangeable attribute. key: queue.type'],
    ['+no.such=1', '1 unsupported key: no.such'],
    ['-no.such', '1 attempt to delete a nonexistent key: no.such'],
    ['+toString=1', '1 unsupported key: toString'],
    [', ,', { 'message.type': 'NORMAL' }]
  ] as const)
    t.same(await after(attributes), result, attributes)
})

t.test('a topic can have every kind of queues, and be compacted', async t => {
  const open = await openBroker(t)
  const kinds = ['queue.type=SimpleCQ', 'queue.type=BatchCQ', 'cleanup.policy=DELETE', 'cleanup.policy=COMPACTION']
  for (const kind of kinds)
    t.match(await createTopic(open, kind.replace(/\W/g, '_'), { attributes: `+${kind}` }), { code: 0 })
})

t.test('values that a topic cannot have are refused by name', async t => {
  const open = await openBroker(t)
  for (const [topic, fields, remark] of [
    ['no such/topic', {}, 'The specified topic: no such/topic, contains illegal characters'],
    [' ', {}, 'The specified topic is blank.'],
    ['x'.repeat(128), {}, 'is longer than topic max length: 127'],
    ['TBW102', {}, 'The topic[TBW102] is conflict with system topic.'],
    ['broker-a', {}, 'The topic[broker-a] is conflict with system topic.'],
    ['rmq_sys_x', {}, 'The topic[rmq_sys_x] is conflict with system topic.'],
    ['orders', { perm: 9 }, 'perm = [9]'],
    ['orders', { perm: -1 }, 'perm = [-1]'],
    ['orders', { readQueueNums: -2 }, 'readQueueNums = [-2]'],
    ['orders', { writeQueueNums: 2_000_000_000 }, 'writeQueueNums = [2000000000]'],
    ['orders', { topicFilterType: 'NOPE' }, 'topicFilterType = [NOPE]']
  ] as const) {
    const answer = await createTopic(open, topic, fields)
    t.equal(answer.code, ResponseCode.INVALID_PARAMETER, remark)
    t.ok(answer.remark?.includes(remark), answer.remark ?? '')
  }
  t.match(await open.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, { topic: 'orders' }), {
    code: 29,
    remark: /readQueueNums/
  })
  t.match(await open.ask(RequestCode.GET_TOPIC_CONFIG, { topic: 'orders' }), {
    code: ResponseCode.TOPIC_NOT_EXIST,
    remark: 'No topic in this broker. topic: orders'
  })
})

t.test('a list of topics is created as a whole, or not at all', async t => {
  const open = await openBroker(t)
  const list = (...topicConfigList: object[]) =>
    open.ask(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, {}, JSON.stringify({ topicConfigList }))
  t.match(await list({ topicName: 'a' }, { topicName: 'TBW102' }), { code: 29, remark: /TBW102/ })
  t.equal(open.broker.topics.get('a'), undefined)
  const { counter } = open.broker.topics.version
  t.match(await list({ topicName: 'a', perm: 4 }, { topicName: 'b', attributes: { '+message.type': 'FIFO' } }), {
    code: 0
  })
  t.match(await get(open, 'a'), { perm: 4, readQueueNums: 16, writeQueueNums: 16 })
  t.match(await get(open, 'b'), { attributes: { 'message.type': 'FIFO' } })
  t.equal(open.broker.topics.version.counter, counter + 1, 'in one step')
  t.match(await list(), { code: 0 })
  for (const body of [null, '{}', 'no json', '[]', '{"topicConfigList":[{"perm":6}]}'])
    t.match(await open.ask(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, {}, body), { code: 29, remark: String }, `${body}`)
})

t.test('a deleted topic takes its messages, offsets and figures along', async t => {
  const open = await openBroker(t)
  const { broker } = open
  await sendAll(open, { topic: 'orders', body: 'a' }, { topic: 'orders', body: 'b' })
  broker.offsets.commit('CG', 'orders', 0, 1)
  t.match(await remove(open, 'orders'), { code: ResponseCode.SUCCESS })
  t.equal(broker.topics.get('orders'), undefined)
  t.equal(broker.store.maxQueueOffset('orders', 0), 0)
  t.equal(broker.offsets.get('CG', 'orders', 0), -1)
  t.equal(broker.stats.view('TOPIC_PUT_NUMS', 'orders'), null)
  t.match(await send(open, { topic: 'orders', body: 'c' }), { code: 0, extFields: { queueOffset: '0' } })
})

t.test('retry topics of pop consumers go with their topic, those of groups stay', async t => {
  const open = await openBroker(t)
  const { broker } = open
  await createTopic(open, 'orders')
  for (const group of ['popping', 'other']) {
    broker.offsets.commit(group, 'orders', 0, 1)
    await broker.topics.ensure(`%RETRY%${group}_orders`, 1, 6)
  }
  // A group with this very name: the topic is its own.
  broker.groups.get('other_orders')
  await remove(open, 'orders')
  t.equal(broker.topics.get('%RETRY%popping_orders'), undefined)
  t.match(broker.topics.get('%RETRY%other_orders'), { perm: 6 })
})

t.test('a topic that is not there can be deleted, one of the system cannot', async t => {
  const open = await openBroker(t)
  t.match(await remove(open, 'NoSuchTopic'), { code: ResponseCode.SUCCESS })
  t.match(await remove(open, 'SELF_TEST_TOPIC'), {
    code: 29,
    remark: 'The topic[SELF_TEST_TOPIC] is conflict with system topic.'
  })
  t.match(await remove(open, ' '), { code: 29, remark: 'The specified topic is blank.' })
  t.match(await open.ask(RequestCode.DELETE_TOPIC_IN_BROKER), { code: 29 })
})

interface AllTopics {
  dataVersion: { counter: number; timestamp: number; stateVersion: number }
  topicConfigTable: Record<string, Config>
}

t.test('all topics are told at once, or page by page until the table changes', async t => {
  const open = await openBroker(t)
  await createTopic(open, 'orders')
  const whole = await bodyOf<AllTopics>(open, RequestCode.GET_ALL_TOPIC_CONFIG)
  const names = Object.keys(whole.topicConfigTable)
  t.ok(names.includes('orders') && names.includes('TBW102'))
  t.same(whole.topicConfigTable.orders, await get(open, 'orders'))

  const page = async (topicSeq: number, dataVersion: string, maxTopicNum = 5) => {
    const fields = { topicSeq: String(topicSeq), dataVersion, maxTopicNum: String(maxTopicNum) }
    const answer = await open.ask(RequestCode.GET_ALL_TOPIC_CONFIG, fields)
    t.equal(answer.extFields!.totalTopicNum, String(open.broker.topics.names().length))
    return parseBody(answer.body) as AllTopics
  }
  const seen: string[] = []
  let version = ''
  while (seen.length < names.length) {
    const { topicConfigTable, dataVersion } = await page(seen.length, version)
    version = JSON.stringify(dataVersion)
    seen.push(...Object.keys(topicConfigTable))
  }
  t.same(seen, names)
  await createTopic(open, 'bills')
  t.same(Object.keys((await page(5, version)).topicConfigTable), names.slice(0, 5), 'from the start again')
  t.same((await page(1000, '')).topicConfigTable, {})
})

t.test('answers have the fields that RocketMQ has', async t => {
  const open = await openBroker(t)
  const recorded = [...recording('metadata-5-json')].find(frame =>
    frame.note.startsWith('response to 21 GET_ALL_TOPIC_CONFIG')
  )!
  const ours = await open.ask(RequestCode.GET_ALL_TOPIC_CONFIG)
  const theirs = parseBody(recorded.body) as AllTopics
  t.same(Object.keys(parseBody(ours.body) as AllTopics), Object.keys(theirs))
  const shared = Object.entries(theirs.topicConfigTable).filter(([name]) => open.broker.topics.get(name) !== undefined)
  t.ok(shared.length > 10)
  for (const [name, config] of shared) t.same(await get(open, name), config, name)

  const systemTopics = [...mqadminRecording('exportMetadata')].find(frame => frame.note.startsWith('response to 305'))!
  const { topicList } = await bodyOf<{ topicList: string[] }>(open, RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER)
  t.same(topicList.sort(), (parseBody(systemTopics.body) as { topicList: string[] }).topicList.sort())
})
