import t from 'tap'
import { formatBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { openNameServer, type Registration } from '../support/name-server.ts'

const TWO = { orders: {}, bills: {} }
const acting = (brokerId: number, more: Registration = {}): Registration => ({
  topics: TWO,
  brokerId: String(brokerId),
  brokerAddr: `10.0.0.${brokerId + 1}:10911`,
  haServerAddr: `10.0.0.${brokerId + 1}:10912`,
  enableActingMaster: 'true',
  ...more
})

t.test('an unknown topic is answered with RocketMQ’s text', async t => {
  const { client } = await openNameServer(t)
  t.match(await client.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'nothing' }), {
    code: ResponseCode.TOPIC_NOT_EXIST,
    remark:
      'No topic route info in name server for the topic: nothing\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.',
    body: null
  })
  t.equal((await client.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, {})).code, ResponseCode.INVALID_PARAMETER)
})

t.test(
  'clients from 4.9.4 on, and all that ask for it, get standard JSON; others unquoted numbers as keys',
  async t => {
    const { client } = await openNameServer(t)
    await client.register({ topics: TWO })
    const forms = [
      [401, {}, '{"0":"10.0.0.1:10911"}'],
      [513, {}, '{"0":"10.0.0.1:10911"}'],
      [399, {}, '{0:"10.0.0.1:10911"}'],
      [0, { acceptStandardJsonOnly: 'true' }, '{"0":"10.0.0.1:10911"}']
    ] as const
    for (const [version, more, brokerAddrs] of forms) {
      const { body } = await client.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'orders', ...more }, null, {
        version
      })
      t.equal(
        Buffer.from(body!).toString(),
        `{"brokerDatas":[{"brokerAddrs":${brokerAddrs},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}`
      )
    }
  }
)

t.test('a route shows each change: brokers that come and go, slaves, queues', async t => {
  const { client, connect } = await openNameServer(t)
  const [a, b, slave] = [await connect(), await connect(), await connect()]
  const names = async () => (await client.route('orders'))?.queueDatas.map(({ brokerName }) => brokerName).sort()
  await a.register({ topics: TWO })
  t.same(await names(), ['broker-a'])
  await b.register({ topics: { orders: {}, other: {} }, brokerName: 'broker-b', brokerAddr: '10.0.0.2:10911' })
  t.same(await names(), ['broker-a', 'broker-b'])
  await slave.register({ topics: TWO, brokerId: '1', brokerAddr: '10.0.0.3:10911' })
  t.match(await client.route('orders'), {
    brokerDatas: [{ brokerAddrs: { 0: '10.0.0.1:10911', 1: '10.0.0.3:10911' } }, { brokerName: 'broker-b' }]
  })
  await a.register({ topics: { orders: { queues: 12 }, bills: {} }, version: 2 })
  t.match(await client.route('orders'), { queueDatas: [{ readQueueNums: 12 }, { readQueueNums: 4 }] })
  const leave = { brokerAddr: '10.0.0.1:10911', brokerName: 'broker-a', clusterName: 'DefaultCluster', brokerId: '0' }
  await a.ask(RequestCode.UNREGISTER_BROKER, leave)
  t.match((await client.route('orders'))?.brokerDatas[0], { brokerAddrs: { 1: '10.0.0.3:10911' } })
  await slave.ask(RequestCode.UNREGISTER_BROKER, { ...leave, brokerAddr: '10.0.0.3:10911', brokerId: '1' })
  t.same(await names(), ['broker-b'])
  t.equal(await client.route('bills'), undefined)
})

t.test('the order conf of a topic is in its route where that is switched on', async t => {
  for (const orderMessageEnable of [true, false]) {
    const { client } = await openNameServer(t, { orderMessageEnable })
    await client.register({ topics: TWO })
    const conf = async () => (await client.route('orders'))?.orderTopicConf
    t.equal(await conf(), undefined)
    const order = { namespace: 'ORDER_TOPIC_CONFIG', key: 'orders' }
    await client.ask(RequestCode.PUT_KV_CONFIG, { ...order, value: 'broker-a:4' })
    t.equal(await conf(), orderMessageEnable ? 'broker-a:4' : undefined)
    await client.ask(RequestCode.DELETE_KV_CONFIG, order)
    t.equal(await conf(), undefined)
  }
})

t.test('static topics come with where their queues are', async t => {
  const { client } = await openNameServer(t)
  const mapping = {
    bname: 'broker-a',
    currIdMap: { 0: 0, 1: 1 },
    dirty: false,
    epoch: 5,
    topic: 'orders',
    totalQueues: 2
  }
  await client.register({ topics: TWO, mappings: { orders: mapping } })
  t.same((await client.route('orders'))?.topicQueueMappingByBroker, { 'broker-a': mapping })
  t.equal((await client.route('bills'))?.topicQueueMappingByBroker, undefined)
  const old = await client.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'orders' }, null, { version: 300 })
  t.match(Buffer.from(old.body!).toString(), '"currIdMap":{0:0,1:1}')
})

t.test('a zone narrows a route down to its own brokers and to groups without a master', async t => {
  const { client, connect } = await openNameServer(t)
  await client.register({ topics: TWO, __ZONE_NAME: 'east' })
  await (await connect()).register({
    topics: TWO,
    brokerName: 'broker-b',
    brokerAddr: '10.0.0.2:10911',
    __ZONE_NAME: 'west'
  })
  await (await connect()).register({ topics: TWO, brokerName: 'broker-c', brokerAddr: '10.0.0.3:10911', brokerId: '1' })
  const names = async (zone: Record<string, string>) => {
    const route = await client.get(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'orders', ...zone })
    const { brokerDatas, queueDatas } = route as Record<string, { brokerName: string }[]>
    t.same(
      queueDatas!.map(({ brokerName }) => brokerName),
      brokerDatas!.map(({ brokerName }) => brokerName)
    )
    return brokerDatas!.map(({ brokerName }) => brokerName)
  }
  t.same(await names({ __ZONE_MODE: 'true', __ZONE_NAME: 'EAST' }), ['broker-a', 'broker-c'])
  t.same(await names({ __ZONE_MODE: 'true', __ZONE_NAME: 'nowhere' }), ['broker-c'])
  t.same(await names({ __ZONE_MODE: 'false', __ZONE_NAME: 'east' }), ['broker-a', 'broker-b', 'broker-c'])
})

t.test('routes are refused for the first seconds where that is asked for', async t => {
  for (const waitForServiceMs of [60_000, 0]) {
    const { client } = await openNameServer(t, { needWaitForService: true, waitForServiceMs })
    await client.register({ topics: TWO })
    const answer = await client.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'orders' })
    if (waitForServiceMs > 0) t.match(answer, { code: ResponseCode.SYSTEM_ERROR, remark: 'name server not ready' })
    else t.equal(answer.code, ResponseCode.SUCCESS)
  }
})

t.test('a slave that acts as master brings its topics for reading only', async t => {
  const { client } = await openNameServer(t)
  await client.register(acting(2))
  t.match(await client.route('orders'), { queueDatas: [{ perm: 4 }] })
})

t.test('when its master leaves, the topics of an acting group can be read only, until it is back', async t => {
  const { client, connect } = await openNameServer(t)
  const [master, slave] = [await connect(), await connect()]
  await master.register(acting(0))
  await slave.register(acting(2))
  t.match(await client.route('orders'), { queueDatas: [{ perm: 6 }] })
  const leave = { brokerName: 'broker-a', brokerAddr: '10.0.0.1:10911', clusterName: 'DefaultCluster', brokerId: '0' }
  await master.ask(RequestCode.UNREGISTER_BROKER, leave)
  t.match(await client.route('orders'), { queueDatas: [{ perm: 4 }], brokerDatas: [{ brokerAddrs: { 2: String } }] })
  await master.register(acting(0))
  t.match(await client.route('orders'), { queueDatas: [{ perm: 6 }] })
})

t.test('the smallest slave is shown as master where acting masters are supported', async t => {
  const members = 'rmq_sys_SYNC_BROKER_MEMBER_broker-a'
  for (const supportActingMaster of [true, false]) {
    const { client } = await openNameServer(t, { supportActingMaster })
    await client.register(acting(2, { topics: { ...TWO, [members]: { perm: 1 } } }))
    await client.register(acting(3))
    const addresses = async (topic: string) => (await client.route(topic))?.brokerDatas[0]?.brokerAddrs
    t.same(
      await addresses('orders'),
      supportActingMaster ? { 0: '10.0.0.3:10911', 3: '10.0.0.4:10911' } : { 2: '10.0.0.3:10911', 3: '10.0.0.4:10911' }
    )
    t.same(await addresses(members), { 2: '10.0.0.3:10911', 3: '10.0.0.4:10911' }, 'members see who they are')
    await client.ask(RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName: 'broker-a' })
    t.same(await addresses('orders'), { 2: '10.0.0.3:10911', 3: '10.0.0.4:10911' }, 'none acts for a topic to write to')
  }
})

t.test('cluster info names the brokers of each cluster, with unquoted numbers as keys', async t => {
  const { client, connect } = await openNameServer(t)
  await client.register({ topics: TWO })
  await client.register({ topics: TWO, brokerId: '1', brokerAddr: '10.0.0.3:10911' })
  await (await connect()).register({
    topics: TWO,
    brokerName: 'broker-b',
    clusterName: 'other',
    brokerAddr: '10.0.0.2:10911'
  })
  const { body } = await client.ask(RequestCode.GET_BROKER_CLUSTER_INFO)
  t.equal(
    Buffer.from(body!).toString(),
    '{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.3:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false},"broker-b":{"brokerAddrs":{0:"10.0.0.2:10911"},"brokerName":"broker-b","cluster":"other","enableActingMaster":false}},"clusterAddrTable":{"DefaultCluster":["broker-a"],"other":["broker-b"]}}'
  )
})

t.test('members of a group are told by id; of an unknown one there are none', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO, brokerId: '1', brokerAddr: '10.0.0.3:10911' })
  await client.register({ topics: TWO })
  for (const [brokerName, brokerAddrs] of [
    [
      'broker-a',
      new Map([
        [0, '10.0.0.1:10911'],
        [1, '10.0.0.3:10911']
      ])
    ],
    ['nobody', new Map()]
  ] as const) {
    const { body } = await client.ask(RequestCode.GET_BROKER_MEMBER_GROUP, {
      brokerName,
      clusterName: 'DefaultCluster'
    })
    const brokerMemberGroup = { brokerAddrs, brokerName, cluster: 'DefaultCluster' }
    t.equal(Buffer.from(body!).toString(), formatBody({ brokerMemberGroup }))
  }
})

t.test('several NameServers share nothing', async t => {
  const [one, other] = [await openNameServer(t), await openNameServer(t)]
  await one.client.register({ topics: TWO })
  await one.client.ask(RequestCode.PUT_KV_CONFIG, { namespace: 'n', key: 'k', value: 'v' })
  t.equal(await other.client.route('orders'), undefined)
  t.equal((await other.client.ask(RequestCode.GET_KV_CONFIG, { namespace: 'n', key: 'k' })).code, 22)
})

t.test('an unknown request is answered with RocketMQ’s text', async t => {
  const { client } = await openNameServer(t)
  t.match(await client.ask(9999), {
    code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
    remark: ' request type 9999 not supported'
  })
})
