import t from 'tap'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { openNameServer } from '../support/name-server.ts'

const TWO = { orders: {}, bills: {} }
const BROKER_B = { brokerName: 'broker-b', brokerAddr: '10.0.0.2:10911', clusterName: 'other' }

t.test('topics are listed: all, of a cluster, and by their unit flags', async t => {
  const { client } = await openNameServer(t)
  await client.register({
    topics: { ...TWO, unit: { topicSysFlag: 1 }, sub: { topicSysFlag: 2 }, both: { topicSysFlag: 3 } }
  })
  await client.register({ topics: { orders: {}, logs: {} }, ...BROKER_B })
  const list = async (code: number, fields: Record<string, string> | null = null) => {
    const { topicList } = (await client.get(code, fields)) as { topicList: string[] }
    return topicList.sort()
  }
  t.same(await list(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER), ['bills', 'both', 'logs', 'orders', 'sub', 'unit'])
  t.same(await list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: 'other' }), ['logs', 'orders'])
  t.same(await list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: 'none' }), [])
  t.same(await list(RequestCode.GET_UNIT_TOPIC_LIST), ['both', 'unit'])
  t.same(await list(RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST), ['both', 'sub'])
  t.same(await list(RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST), ['sub'])
})

t.test('system topics are the names of clusters and brokers, and a broker that knows the rest', async t => {
  const { client } = await openNameServer(t)
  t.same(await client.get(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS), { topicList: [] })
  await client.register({ topics: TWO })
  await client.register({ topics: TWO, ...BROKER_B })
  const { topicList, brokerAddr } = (await client.get(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS)) as {
    topicList: string[]
    brokerAddr: string
  }
  t.same(topicList.sort(), ['DefaultCluster', 'broker-a', 'broker-b', 'other'])
  t.equal(brokerAddr, '10.0.0.1:10911')
})

t.test('lists that are switched off are refused', async t => {
  const { client } = await openNameServer(t, { enableTopicList: false, enableAllTopicList: false })
  for (const code of [
    RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
    RequestCode.GET_TOPICS_BY_CLUSTER,
    RequestCode.GET_UNIT_TOPIC_LIST,
    RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST,
    RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST
  ])
    t.match(await client.ask(code, { cluster: 'other' }), { code: ResponseCode.SYSTEM_ERROR, remark: 'disable' })
})

t.test('a topic is deleted from all brokers, or from those of a cluster', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO })
  await client.register({ topics: TWO, ...BROKER_B })
  const remove = (fields: Record<string, string>) => client.ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, fields)
  t.equal((await remove({ topic: 'orders', clusterName: 'other' })).code, ResponseCode.SUCCESS)
  t.match((await client.route('orders'))?.queueDatas, [{ brokerName: 'broker-a' }])
  t.equal((await client.route('orders'))?.queueDatas.length, 1)
  await remove({ topic: 'orders', clusterName: 'none' })
  t.ok(await client.route('orders'))
  await remove({ topic: 'bills' })
  t.equal(await client.route('bills'), undefined)
  t.equal((await remove({ topic: 'nothing' })).code, ResponseCode.SUCCESS)
})

t.test('a single topic can be registered for brokers that are known', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO })
  const queues = (brokerName: string) => ({ brokerName, perm: 6, readQueueNums: 3, topicSysFlag: 0, writeQueueNums: 3 })
  const body = JSON.stringify({ queueDatas: [queues('broker-a'), queues('nobody')] })
  const register = (text: string | null) => client.ask(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: 'single' }, text)
  t.equal((await register(body)).code, ResponseCode.SUCCESS)
  t.same((await client.route('single'))?.queueDatas, [queues('broker-a')])
  for (const text of [null, '{}', '{"queueDatas":[]}']) t.equal((await register(text)).code, ResponseCode.SUCCESS)
  for (const text of ['{', '{"queueDatas":[{"perm":"x"}]}', '{"queueDatas":[null]}', 'null'])
    t.equal((await register(text)).code, ResponseCode.INVALID_PARAMETER, text)
})

t.test('write permission is wiped from all topics of a broker, and comes back with a change of each', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: { ...TWO, TBW102: { perm: 7 } } })
  await client.register({ topics: TWO, ...BROKER_B })
  const perm = async (topic: string) => (await client.route(topic))?.queueDatas[0]?.perm
  const wiped = await client.ask(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'broker-a' })
  t.match(wiped, { code: ResponseCode.SUCCESS, extFields: { wipeTopicCount: '3' } })
  t.equal(await perm('orders'), 4)
  t.equal(await perm('TBW102'), 5)
  t.equal((await client.route('orders'))?.queueDatas[1]?.perm, 6, 'other brokers keep theirs')

  await client.register({ topics: { orders: {} }, version: 2 })
  t.equal(await perm('orders'), 6)
  t.equal(await perm('bills'), 4)
  await client.register({ topics: { ...TWO, TBW102: { perm: 7 } }, version: 2 })
  t.equal(await perm('bills'), 4, 'a full registration of a version that is known restores nothing')
  await client.register({ topics: { ...TWO, TBW102: { perm: 7 } }, version: 3 })
  t.equal(await perm('bills'), 6)
})

t.test('adding write permission makes all topics of a broker readable and writable', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: { orders: { perm: 4 }, bills: { perm: 7 } } })
  const added = await client.ask(RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName: 'broker-a' })
  t.match(added, { code: ResponseCode.SUCCESS, extFields: { addTopicCount: '2' } })
  t.match(await client.route('orders'), { queueDatas: [{ perm: 6 }] })
  t.match(await client.route('bills'), { queueDatas: [{ perm: 6 }] })
  for (const [code, count] of [
    [RequestCode.ADD_WRITE_PERM_OF_BROKER, 'addTopicCount'],
    [RequestCode.WIPE_WRITE_PERM_OF_BROKER, 'wipeTopicCount']
  ] as const)
    t.match(await client.ask(code, { brokerName: 'nobody' }), { code: 0, extFields: { [count]: '0' } })
})
