import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { Admin, Producer, PushConsumer, topicConfigDefaults } from '../../client/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { RequestCode, ResponseCode, request } from '../../net/index.ts'
import { openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { send, sendFields } from '../support/messages.ts'
import { type BrokerProcess, startBrokerProcess } from '../support/processes.ts'

async function nameServer(t: Test): Promise<string> {
  const server = new NameServer({ listenPort: 0 })
  await server.start()
  t.teardown(() => server.close())
  return server.address
}

t.test('a rolling restart under load loses nothing, and no send fails', async t => {
  const namesrvAddr = await nameServer(t)
  const nodes: { options: Partial<BrokerOptions> & { storePathRootDir: string }; process: BrokerProcess }[] = []
  for (const brokerName of ['broker-a', 'broker-b'])
    for (const [brokerId, brokerRole] of [
      [0, 'ASYNC_MASTER'],
      [1, 'SLAVE']
    ] as const) {
      const options = {
        ...{ brokerName, brokerId, brokerRole, namesrvAddr, slaveReadEnable: true, shutdownWaitTimeMs: 400 },
        storePathRootDir: temporaryDirectory(t)
      }
      nodes.push({ options, process: await startBrokerProcess(t, options) })
    }
  const admin = new Admin({ namesrvAddr })
  t.teardown(() => admin.close())
  const config = { ...topicConfigDefaults, topicName: 'orders', readQueueNums: 4, writeQueueNums: 4 }
  for (const { options, process } of nodes) if (options.brokerId === 0) await admin.updateTopic(process.address, config)

  const producer = new Producer({ group: 'P', namesrvAddr })
  await producer.start()
  t.teardown(() => producer.close())
  const consumed = new Map<string, number>()
  const consumer = new PushConsumer({ group: 'C', namesrvAddr, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  consumer.subscribe('orders')
  await consumer.start(messages => {
    for (const { body } of messages) consumed.set(body.toString(), (consumed.get(body.toString()) ?? 0) + 1)
  })
  t.teardown(() => consumer.close())

  const acknowledged = { 'broker-a': 0, 'broker-b': 0 } as Record<string, number>
  const failures: string[] = []
  const sent: string[] = []
  let loading = true
  const load = async (line: number) => {
    for (let i = 0; loading; i++) {
      const body = `${line}-${i}`
      try {
        const { queue } = await producer.send({ topic: 'orders', body })
        sent.push(body)
        acknowledged[queue.brokerName]!++
      } catch (error) {
        failures.push(`${body}: ${(error as Error).message}`)
      }
      await delay(2)
    }
  }
  const lines = Array.from({ length: 4 }, (_, line) => load(line))
  const isRegistered = async ({ brokerName, brokerId }: Partial<BrokerOptions>, address: string) =>
    (await admin.clusterInfo()).brokerAddrTable[brokerName!]?.brokerAddrs.get(brokerId!) === address
  for (const node of nodes) {
    const { options } = node
    const { address } = node.process
    await node.process.stop()
    t.equal(node.process.process.exitCode, 0, 'it was stopped in order')
    t.notOk(await isRegistered(options, address), 'and has left the routes')
    const before = { ...acknowledged }
    node.process = await startBrokerProcess(t, { ...options, listenPort: Number(address.split(':')[1]) })
    t.ok(await isRegistered(options, address))
    if (options.brokerId !== 0) continue
    const { brokerName } = options
    await until('the other one takes messages', () =>
      Object.entries(acknowledged).some(([name, count]) => name !== brokerName && count > before[name]!)
    )
  }
  loading = false
  await Promise.all(lines)

  t.same(failures, [])
  t.ok(acknowledged['broker-a']! > 0 && acknowledged['broker-b']! > 0)
  await until('all that was acknowledged is consumed', () => sent.every(body => consumed.has(body)))
  t.comment(`${sent.length} sent, ${[...consumed.values()].filter(count => count > 1).length} consumed more than once`)
})

t.test('a broker that hands over has left the routes and still serves, until nobody comes any more', async t => {
  const namesrvAddr = await nameServer(t)
  const open = await openBroker(t, { namesrvAddr, shutdownWaitTimeMs: 60_000 })
  t.equal((await send(open, { topic: 'orders', body: 'before' })).code, ResponseCode.SUCCESS)
  const admin = new Admin({ namesrvAddr })
  t.teardown(() => admin.close())
  t.same(Object.keys((await admin.clusterInfo()).brokerAddrTable), ['broker-a'])

  const handingOver = open.broker.handOver()
  await until('it has left', async () => Object.keys((await admin.clusterInfo()).brokerAddrTable).length === 0)
  t.equal((await send(open, { topic: 'orders', body: 'meanwhile' })).code, ResponseCode.SUCCESS)
  t.equal((await send(open, { topic: 'a new topic registers nothing'.replaceAll(' ', '_'), body: 'x' })).code, 0)
  await handingOver
  t.same((await admin.clusterInfo()).brokerAddrTable, {})
})

t.test('with enableShutdownGracefully, clients that understand it are sent away, others are served', async t => {
  const namesrvAddr = await nameServer(t)
  const open = await openBroker(t, { namesrvAddr, shutdownWaitTimeMs: 60_000, enableShutdownGracefully: true })
  t.equal((await send(open, { topic: 'orders', body: 'before' })).code, ResponseCode.SUCCESS)
  const handingOver = open.broker.handOver()
  await until('newer clients are sent away', async () => {
    const { code } = await send(open, { topic: 'orders', body: 'newer' })
    return code === ResponseCode.GO_AWAY
  })
  t.equal((await open.ask(RequestCode.GET_BROKER_RUNTIME_INFO)).code, ResponseCode.GO_AWAY)
  const connection = await open.client.connection(open.broker.address)
  const older = {
    ...request(RequestCode.SEND_MESSAGE_V2, sendFields({ topic: 'orders' }), Buffer.from('x')),
    version: 475
  }
  t.equal((await connection.invoke(older, 5000)).code, ResponseCode.SUCCESS)
  await handingOver
})

t.test('a send that is refused by the only broker that is known asks where to go', async t => {
  const namesrvAddr = await nameServer(t)
  const first = await openBroker(t, { namesrvAddr, brokerName: 'broker-a' })
  const producer = new Producer({ group: 'P', namesrvAddr })
  await producer.start()
  t.teardown(() => producer.close())
  t.equal((await producer.send({ topic: 'orders', body: 'one' })).queue.brokerName, 'broker-a')

  const second = await openBroker(t, { namesrvAddr, brokerName: 'broker-b' })
  await send(second, { topic: 'orders', body: 'created' })
  await first.broker.close()
  t.equal((await producer.send({ topic: 'orders', body: 'two' })).queue.brokerName, 'broker-b')
})
