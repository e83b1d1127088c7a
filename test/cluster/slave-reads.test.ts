import t from 'tap'
import { Producer, PushConsumer } from '../../client/index.ts'
import { realClock } from '../../engine/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { formatBody, parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { openBroker, until } from '../support/broker.ts'
import { bodiesOf, pull, sendEach } from '../support/messages.ts'

t.test('when the master is gone, consumers go on with its slave', async t => {
  const server = new NameServer({ listenPort: 0 })
  await server.start()
  t.teardown(() => server.close())
  const namesrvAddr = server.address
  const common = { namesrvAddr, slaveReadEnable: true, shutdownWaitTimeMs: 0 }
  const master = await openBroker(t, { ...common, brokerRole: 'ASYNC_MASTER' })
  const slave = await openBroker(t, { ...common, brokerRole: 'SLAVE', brokerId: 1 })
  const producer = new Producer({ group: 'P', namesrvAddr })
  await producer.start()
  t.teardown(() => producer.close())
  const bodies = Array.from({ length: 200 }, (_, i) => `message ${i}`)
  for (const body of bodies) await producer.send({ topic: 'orders', body })
  const { store } = slave.broker
  const count = () =>
    store.queueIds('orders').reduce((sum, queueId) => sum + store.maxQueueOffset('orders', queueId), 0)
  await until(
    'the slave serves all',
    () => count() === bodies.length && slave.broker.topics.get('orders') !== undefined
  )
  await master.broker.close()

  const consumed = new Set<string>()
  const consumer = new PushConsumer({ group: 'C', namesrvAddr, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  consumer.subscribe('orders')
  await consumer.start(messages => {
    for (const { body } of messages) consumed.add(body.toString())
  })
  t.teardown(() => consumer.close())
  await until('all are consumed from the slave', () => consumed.size === bodies.length)
  await consumer.close()
  let committed = 0
  for (const queueId of store.queueIds('orders'))
    committed += Math.max(0, slave.broker.offsets.get('C', 'orders', queueId))
  t.equal(committed, bodies.length, 'their progress is kept there')

  const back = await slave.ask(RequestCode.CONSUMER_SEND_MSG_BACK, { group: 'C', offset: '0', delayLevel: '0' })
  t.equal(back.code, ResponseCode.SYSTEM_ERROR)
  t.match(back.remark, /slave/)
})

t.test('a slave sends consumers to the master while that lives, and nobody back', async t => {
  let aheadMs = 0
  const clock = { ...realClock, now: () => realClock.now() + aheadMs }
  const master = await openBroker(t, { slaveReadEnable: true })
  const options = { brokerRole: 'SLAVE', brokerId: 1, masterAddress: master.broker.address } as const
  const slave = await openBroker(t, { ...options, slaveReadEnable: true }, { clock })
  await sendEach(master, ['one', 'two'])
  await until('it has them', () => slave.broker.store.maxQueueOffset('orders', 0) === 2)
  await until('and their topic', () => slave.broker.topics.get('orders') !== undefined)

  const found = await pull(slave, { topic: 'orders' })
  t.match(found, { code: ResponseCode.SUCCESS, extFields: { suggestWhichBrokerId: '0', nextBeginOffset: '2' } })
  const retry = { code: ResponseCode.PULL_RETRY_IMMEDIATELY }
  for (const suspendMs of [0, 60_000])
    for (const offset of [2, 7])
      t.match(
        await pull(slave, { topic: 'orders', offset, suspendMs }),
        { ...retry, extFields: { suggestWhichBrokerId: '0', nextBeginOffset: String(offset) } },
        `offset ${offset}, which the master may know, held for ${suspendMs} ms`
      )
  const waiting = pull(slave, { topic: 'orders', offset: 2, suspendMs: 60_000 })
  await sendEach(master, ['three'])
  t.same(bodiesOf(await waiting), ['three'], 'who waits at the slave gets what comes meanwhile')

  await master.broker.close()
  aheadMs = 60_000
  t.equal((await pull(slave, { topic: 'orders', offset: 3 })).code, ResponseCode.PULL_NOT_FOUND)
  t.match(await pull(slave, { topic: 'orders', offset: 7 }), { ...retry, extFields: { nextBeginOffset: '7' } })
})

t.test("a slave keeps locks and offsets until its master's come, as RocketMQ's does", async t => {
  const master = await openBroker(t)
  const slave = await openBroker(t, { brokerRole: 'SLAVE', brokerId: 1, masterAddress: master.broker.address })
  await sendEach(master, ['one'])
  await until('it has the topic', () => slave.broker.topics.get('orders') !== undefined)
  const queue = { topic: 'orders', brokerName: 'broker-a', queueId: 0 }
  const lock = formatBody({ consumerGroup: 'C', clientId: 'one', mqSet: [queue] })
  const locked = await slave.ask(RequestCode.LOCK_BATCH_MQ, {}, lock)
  t.match(parseBody(locked.body), { lockOKMQSet: [queue] })
  t.equal((await slave.ask(RequestCode.UNLOCK_BATCH_MQ, {}, lock)).code, ResponseCode.SUCCESS)

  slave.broker.groups.get('C')
  const commit = { consumerGroup: 'C', topic: 'orders', queueId: '0', commitOffset: '5' }
  t.equal((await slave.ask(RequestCode.UPDATE_CONSUMER_OFFSET, commit)).code, ResponseCode.SUCCESS)
  t.equal(slave.broker.offsets.get('C', 'orders', 0), 5)
  master.broker.groups.get('C')
  master.broker.offsets.commit('C', 'orders', 0, 3)
  await until("the master's is there", () => slave.broker.offsets.get('C', 'orders', 0) === 3)
})
