import t from 'tap'
import { TIMER_TOPIC } from '../../message/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { ResponseCode } from '../../net/index.ts'
import { openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { bodiesOf, pull, send } from '../support/messages.ts'

const PENDING_MS = 5000

t.test('a slave that takes over delivers what waits, and not again what its master has delivered', async t => {
  const server = new NameServer({ listenPort: 0 })
  await server.start()
  t.teardown(() => server.close())
  const namesrvAddr = server.address
  const store = { timerPrecisionMs: 100 }
  const master = await openBroker(t, { namesrvAddr, store })
  const storePathRootDir = temporaryDirectory(t)
  const slave = await openBroker(t, { namesrvAddr, storePathRootDir, store, brokerRole: 'SLAVE', brokerId: 1 })

  const sendTimed = async (body: string, deliverMs: number) => {
    const answer = await send(master, { topic: 'orders', body, properties: { TIMER_DELIVER_MS: String(deliverMs) } })
    t.equal(answer.code, ResponseCode.SUCCESS)
  }
  const count = ({ broker }: typeof master) => broker.store.maxQueueOffset('orders', 0)
  const dueMs = Date.now() + PENDING_MS
  for (let i = 0; i < 20; i++) await sendTimed(`early ${i}`, Date.now() + 150)
  for (let i = 0; i < 20; i++) await sendTimed(`late ${i}`, dueMs)
  await until('the master has delivered', () => count(master) === 20)
  const { timer } = slave.broker
  await until('the slave knows', () => {
    const { waiting } = timer!.store.progress
    return waiting === 20 && timer!.store.queueOffset === 40 && count(slave) === 20
  })
  await until('counts come along', () => timer!.metrics.toBody().timingCount.get('orders')?.count === 20)
  await master.broker.close()
  await slave.broker.close()
  t.ok(Date.now() < dueMs, 'the rest is not due yet')

  const heir = await openBroker(t, { storePathRootDir, store })
  await until('the rest is delivered', () => count(heir) >= 40)
  t.ok(Date.now() >= dueMs)
  await until('none waits', () => heir.broker.timer!.store.progress.waiting === 0)
  t.equal(heir.broker.store.maxQueueOffset(TIMER_TOPIC, 0), 40)
  const bodies: string[] = []
  while (bodies.length < count(heir))
    bodies.push(...bodiesOf(await pull(heir, { topic: 'orders', offset: bodies.length })))
  const expected = ['early', 'late'].flatMap(kind => Array.from({ length: 20 }, (_, i) => `${kind} ${i}`))
  t.same(bodies.sort(), expected.sort(), 'each of them once')
})
