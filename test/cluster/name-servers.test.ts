import t, { type Test } from 'tap'
import { Admin, Producer, PullConsumer, PushConsumer } from '../../client/index.ts'
import { openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { textOf } from '../support/cluster.ts'
import { send } from '../support/messages.ts'
import { type ServerProcess, startBrokerProcess, startNameServerProcess } from '../support/processes.ts'

/** Three NameServers, one of which stops to answer or dies. */
async function threeNameServers(t: Test): Promise<{ all: ServerProcess[]; namesrvAddr: string }> {
  const all = await Promise.all([startNameServerProcess(t), startNameServerProcess(t), startNameServerProcess(t)])
  return { all, namesrvAddr: all.map(({ address }) => address).join(';') }
}

async function addressesOf(namesrv: string): Promise<string[]> {
  const admin = new Admin({ namesrvAddr: namesrv })
  try {
    const { brokerAddrTable } = await admin.clusterInfo()
    return Object.values(brokerAddrTable).flatMap(({ brokerAddrs }) => [...brokerAddrs.values()])
  } finally {
    await admin.close()
  }
}

for (const [how, signal] of [
  ['dead', 'SIGKILL'],
  ['silent', 'SIGSTOP']
] as const)
  t.test(`one of three NameServers is ${how}: clients and brokers go on, and new ones find their way`, async t => {
    const { all, namesrvAddr } = await threeNameServers(t)
    const open = await openBroker(t, { namesrvAddr, registerBrokerTimeoutMs: 1000 })
    // A client asks one by chance: of several clients some meet the one that is gone.
    const client = { namesrvAddr, requestTimeoutMs: 300 }
    const producers = Array.from({ length: 6 }, () => new Producer({ group: 'P', ...client }))
    for (const producer of producers) {
      await producer.start()
      t.teardown(() => producer.close())
    }
    const seen: string[] = []
    const consumer = new PushConsumer({ group: 'C', ...client, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
    t.equal((await send(open, { topic: 'orders', body: 'before' })).code, 0)
    consumer.subscribe('orders')
    await consumer.start(messages => void seen.push(...messages.map(textOf)))
    t.teardown(() => consumer.close())

    const lost = all[1]!
    if (signal === 'SIGKILL') await lost.kill()
    else lost.process.kill(signal)

    for (const [i, producer] of producers.entries()) {
      const { status } = await producer.send({ topic: 'orders', body: `after ${i}` })
      t.equal(status, 'SEND_OK', 'its first send finds a route')
    }
    await until('all are consumed', () => producers.every((_, i) => seen.includes(`after ${i}`)))

    const late = new PullConsumer({ group: 'late', ...client, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
    late.subscribe('orders')
    await late.start()
    t.teardown(() => late.close())
    const polled: string[] = []
    await until('a consumer that comes now gets all', async () => {
      polled.push(...(await late.poll(100)).map(textOf))
      return polled.length === 7
    })

    // What changes reaches the others, and is not held up.
    const second = await startBrokerProcess(t, {
      storePathRootDir: temporaryDirectory(t),
      brokerName: 'broker-b',
      registerBrokerTimeoutMs: 500,
      registerNameServerPeriodMs: 500,
      namesrvAddr
    })
    for (const { address } of all.filter(one => one !== lost))
      t.ok((await addressesOf(address)).includes(second.address), 'a new broker is known to the others')
    if (signal !== 'SIGSTOP') return
    lost.process.kill('SIGCONT')
    await until('the one that was silent knows it too', async () =>
      (await addressesOf(lost.address)).includes(second.address)
    )
  })

t.test('a broker that dies leaves the routes at once, one that falls silent does not', async t => {
  const { address } = await startNameServerProcess(t)
  const start = (brokerName: string) =>
    startBrokerProcess(t, { storePathRootDir: temporaryDirectory(t), brokerName, namesrvAddr: address })
  const [dying, staying] = await Promise.all([start('broker-a'), start('broker-b')])
  t.equal((await addressesOf(address)).length, 2)
  const begin = Date.now()
  await dying.kill()
  await until('it has left', async () => (await addressesOf(address)).length === 1)
  t.ok(Date.now() - begin < 10_000, 'far sooner than the 120 s after which silence counts')
  t.same(await addressesOf(address), [staying.address])

  staying.process.kill('SIGSTOP')
  t.same(await addressesOf(address), [staying.address], 'silence alone changes nothing for 120 s')
  staying.process.kill('SIGCONT')
})
