import t from 'tap'
import { parseRoute } from '../../client/route.ts'
import { RequestCode } from '../../net/index.ts'
import { recording } from '../support/recordings.ts'

const BODY = {
  brokerDatas: [
    { cluster: 'C', brokerName: 'b', brokerAddrs: { 1: '10.0.0.2:10921', 0: '10.0.0.2:10911' } },
    { cluster: 'C', brokerName: 'a', brokerAddrs: { 0: '10.0.0.1:10911' } },
    { cluster: 'C', brokerName: 'slaves', brokerAddrs: { 1: '10.0.0.3:10911' } }
  ],
  queueDatas: [
    { brokerName: 'b', perm: 6, readQueueNums: 3, writeQueueNums: 2, topicSysFlag: 0 },
    { brokerName: 'a', perm: 4, readQueueNums: 1, writeQueueNums: 1, topicSysFlag: 0 },
    { brokerName: 'slaves', perm: 6, readQueueNums: 1, writeQueueNums: 1, topicSysFlag: 0 }
  ]
}
const texts = (queues: readonly { brokerName: string; queueId: number }[]) =>
  queues.map(({ brokerName, queueId }) => `${brokerName}:${queueId}`)

t.test('the routes that a real NameServer gave are understood', async t => {
  const topics = new Map<number, string>()
  let count = 0
  for (const { route, dir, header, body } of recording('producer-5-json')) {
    if (route !== 'namesrv') continue
    if (dir === 'c2s' && header.code === RequestCode.GET_ROUTEINFO_BY_TOPIC)
      topics.set(header.opaque, header.extFields!.topic!)
    const topic = topics.get(header.opaque)
    if (dir !== 's2c' || topic === undefined || header.code !== 0) continue
    count++
    const parsed = parseRoute(topic, body)
    t.match(parsed.brokers, [{ brokerName: 'broker-a', cluster: 'DefaultCluster' }])
    t.strictSame([...parsed.brokers[0]!.addresses], [[0, '127.0.0.2:29811']])
    t.equal(parsed.publishQueues.length, topic === 'TBW102' ? 8 : 2)
    t.match(parsed.publishQueues[1], { topic, brokerName: 'broker-a', queueId: 1 })
  }
  t.ok(count >= 2)
})

t.test('one sends to the write queues of brokers that have a master and let one write', async t => {
  t.strictSame(texts(parseRoute('T', JSON.stringify(BODY)).publishQueues), ['b:0', 'b:1'])
})

t.test('one reads the read queues of brokers that let one read, master or not', async t => {
  t.strictSame(texts(parseRoute('T', JSON.stringify(BODY)).subscribeQueues), ['a:0', 'b:0', 'b:1', 'b:2', 'slaves:0'])
})

t.test("the addresses of a broker come by id, also from RocketMQ's own JSON with bare numbers as keys", async t => {
  const legacy = JSON.stringify(BODY).replace(/"(\d+)":/g, '$1:')
  t.match(legacy, '{0:"10.0.0.2')
  for (const body of [legacy, JSON.stringify(BODY)])
    t.strictSame(
      [...parseRoute('T', body).brokers.find(({ brokerName }) => brokerName === 'b')!.addresses],
      [
        [0, '10.0.0.2:10911'],
        [1, '10.0.0.2:10921']
      ]
    )
})

t.test('an order configuration says which queues there are to send to', async t => {
  const route = parseRoute('T', JSON.stringify({ ...BODY, orderTopicConf: 'b:1;a:2' }))
  t.strictSame(texts(route.publishQueues), ['b:0', 'a:0', 'a:1'])
})

t.test('a topic that is yet to be created gets the queues that its broker will give it', async t => {
  const model = parseRoute('TBW102', JSON.stringify(BODY))
  const assumed = model.assumedFor('new', 2)
  t.strictSame(texts(assumed.publishQueues), ['b:0', 'b:1'])
  t.equal(assumed.publishQueues[0]!.topic, 'new')
  t.ok(assumed.assumed)
  t.strictSame(texts(model.assumedFor('new', 1).publishQueues), ['b:0'])
})

t.test('routes are the same whatever the order in which they name brokers and queues', async t => {
  const turned = { brokerDatas: [...BODY.brokerDatas].reverse(), queueDatas: [...BODY.queueDatas].reverse() }
  const route = parseRoute('T', JSON.stringify(BODY))
  t.ok(route.equals(parseRoute('T', JSON.stringify(turned))))
  const moved = { ...BODY, brokerDatas: BODY.brokerDatas.map(data => ({ ...data, brokerAddrs: { 0: '10.9.9.9:1' } })) }
  t.notOk(route.equals(parseRoute('T', JSON.stringify(moved))))
  t.notOk(route.equals(model(route)))
})

/** The same place for a topic that does not exist. */
const model = (route: ReturnType<typeof parseRoute>) => route.assumedFor('T', 100)
