import t from 'tap'
import { Producer, PushConsumer } from '../../client/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { openBroker, until } from '../support/broker.ts'

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
