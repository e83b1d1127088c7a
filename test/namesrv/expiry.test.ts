import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { type ExtFields, RequestCode, ResponseCode } from '../../net/index.ts'
import { until } from '../support/broker.ts'
import { CommandReader } from '../support/frames.ts'
import { openNameServer } from '../support/name-server.ts'

const TWO = { orders: {}, bills: {} }
const BROKER_A = { brokerName: 'broker-a', brokerAddr: '10.0.0.1:10911', clusterName: 'DefaultCluster', brokerId: '0' }

t.test('a broker leaves all routes when its connection closes', async t => {
  const { client, connect } = await openNameServer(t)
  const broker = await connect()
  await broker.register({ topics: TWO })
  await broker.register({ topics: TWO, brokerName: 'broker-b', brokerAddr: '10.0.0.2:10911' })
  broker.end()
  await until('both brokers are gone', async () => (await client.route('orders')) === undefined)
  t.same(await client.get(RequestCode.GET_BROKER_CLUSTER_INFO), { brokerAddrTable: {}, clusterAddrTable: {} })
})

t.test('a broker that registered again on another connection does not leave with the first', async t => {
  const { client, connect } = await openNameServer(t)
  const [first, second] = [await connect(), await connect()]
  await first.register({ topics: TWO })
  await second.register({ topics: TWO })
  await first.register({ topics: TWO, brokerName: 'broker-b', brokerAddr: '10.0.0.2:10911' })
  first.end()
  await until('broker-b is gone', async () => (await client.route('orders'))?.queueDatas.length === 1)
  t.match(await client.route('orders'), { queueDatas: [{ brokerName: 'broker-a' }] })
})

/** A clock of the test's own. */
function stopClock(t: Test): { nowMs: number } {
  const clock = { nowMs: Date.now() }
  t.intercept(Date, 'now', { value: () => clock.nowMs })
  return clock
}

t.test('a broker that is silent for longer than it said leaves, after 120 s unless it says; others stay', async t => {
  const clock = stopClock(t)
  const { client, connect } = await openNameServer(t, { scanNotActiveBrokerIntervalMs: 5 })
  const register = async (name: string, heartbeatTimeoutMillis?: string) => {
    const peer = await connect()
    const header = { brokerName: name, brokerAddr: `${name}:10911` }
    await peer.register({ topics: TWO, ...header, ...(heartbeatTimeoutMillis && { heartbeatTimeoutMillis }) })
    return { peer, header: { ...BROKER_A, ...header } }
  }
  await register('silent')
  await register('short', '10000')
  await register('patient', '500000')
  const asking = await register('asking')
  const beating = await register('beating')
  const registering = await register('registering')
  const names = async () => (await client.route('orders'))?.queueDatas.map(({ brokerName }) => brokerName).sort()

  clock.nowMs += 10_001
  await until('the short one is gone', async () => !(await names())?.includes('short'))
  t.ok((await names())?.includes('silent'))
  await asking.peer.ask(RequestCode.QUERY_DATA_VERSION, asking.header)
  await beating.peer.ask(RequestCode.BROKER_HEARTBEAT, beating.header)
  await registering.peer.register({ topics: TWO, ...registering.header })

  clock.nowMs += 110_000
  await until('the silent one is gone', async () => !(await names())?.includes('silent'))
  t.same(await names(), ['asking', 'beating', 'patient', 'registering'])
})

t.test('a heartbeat or question of a broker that is not known is answered, and brings nothing back', async t => {
  const { client } = await openNameServer(t)
  t.equal((await client.ask(RequestCode.BROKER_HEARTBEAT, BROKER_A)).code, ResponseCode.SUCCESS)
  t.match(await client.ask(RequestCode.QUERY_DATA_VERSION, BROKER_A), { code: 0, extFields: { changed: 'true' } })
  t.same(await client.get(RequestCode.GET_BROKER_CLUSTER_INFO), { brokerAddrTable: {}, clusterAddrTable: {} })
})

t.test('to unregister is to leave at once; who is not known may do so too', async t => {
  const { client } = await openNameServer(t)
  await client.register({ topics: TWO })
  for (let i = 0; i < 2; i++) {
    t.equal((await client.ask(RequestCode.UNREGISTER_BROKER, BROKER_A)).code, ResponseCode.SUCCESS)
    t.equal(await client.route('orders'), undefined)
  }
  await client.register({ topics: TWO })
  t.match(await client.route('orders'), { queueDatas: [{ brokerName: 'broker-a' }] }, 'and it may come back')
})

/** A broker that notes what it is told on its own port. */
async function listeningBroker(t: Test) {
  const notices: ExtFields[] = []
  const server = createServer(socket => {
    const reader = new CommandReader()
    socket.on('data', chunk => {
      reader.push(chunk)
      for (const { code, flag, extFields } of reader.commands.splice(0)) {
        t.equal(code, RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE)
        t.equal(flag, 2, 'it is not to be answered')
        notices.push(extFields!)
      }
    })
    t.teardown(() => socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return { address, notices }
}

t.test('members of a group learn of its smallest id where that is switched on', async t => {
  const { connect } = await openNameServer(t, { notifyMinBrokerIdChanged: true })
  const [a, b, c] = [await listeningBroker(t), await listeningBroker(t), await listeningBroker(t)]
  const register = async (brokerId: number, brokerAddr: string) => {
    const peer = await connect()
    const haServerAddr = `ha-${brokerId}`
    await peer.register({
      topics: TWO,
      brokerId: String(brokerId),
      brokerAddr,
      haServerAddr,
      enableActingMaster: 'true'
    })
    return peer
  }
  await register(2, c.address)
  await register(1, b.address)
  await until('2 learns of 1', () => c.notices.length === 1)
  t.same(c.notices.splice(0), [{ minBrokerId: '1', minBrokerAddr: b.address, haBrokerAddr: 'ha-1' }])
  t.same(b.notices, [], 'who comes is not told')

  const master = await register(0, a.address)
  await until('both learn of 0', () => c.notices.length === 1 && b.notices.length === 1)
  for (const { notices } of [b, c])
    t.same(notices.splice(0), [{ minBrokerId: '0', minBrokerAddr: a.address, haBrokerAddr: 'ha-0' }])

  master.end()
  await until('both learn that 0 left', () => c.notices.length === 1 && b.notices.length === 1)
  for (const { notices } of [b, c])
    t.same(notices, [{ minBrokerId: '1', minBrokerAddr: b.address, offlineBrokerAddr: a.address }])
  t.same(a.notices, [])
})

t.test('nobody is told of the smallest id by default, and a member that cannot be reached does no harm', async t => {
  for (const notifyMinBrokerIdChanged of [false, true]) {
    const { client, connect } = await openNameServer(t, { notifyMinBrokerIdChanged })
    const member = await listeningBroker(t)
    await client.register({ topics: TWO, brokerId: '3', brokerAddr: '127.0.0.1:1', enableActingMaster: 'true' })
    await client.register({ topics: TWO, brokerId: '2', brokerAddr: member.address, enableActingMaster: 'true' })
    await (await connect()).register({ topics: TWO, brokerAddr: 'no address', enableActingMaster: 'true' })
    if (notifyMinBrokerIdChanged) await until('it is told', () => member.notices.length === 1)
    t.ok(await client.route('orders'))
    t.equal(member.notices.length, notifyMinBrokerIdChanged ? 1 : 0)
  }
})

t.test('silence is looked for only while there are brokers', async t => {
  const INTERVAL_MS = 7
  const running = new Set<unknown>()
  const { setInterval, clearInterval } = globalThis
  t.intercept(globalThis, 'setInterval', {
    value: (callback: () => void, delayMs: number) => {
      const timer = setInterval(callback, delayMs)
      if (delayMs === INTERVAL_MS) running.add(timer)
      return timer
    }
  })
  t.intercept(globalThis, 'clearInterval', {
    value: (timer: NodeJS.Timeout) => {
      running.delete(timer)
      clearInterval(timer)
    }
  })
  const { client } = await openNameServer(t, { scanNotActiveBrokerIntervalMs: INTERVAL_MS })
  t.equal(running.size, 0)
  await client.register({ topics: TWO })
  await client.register({ topics: TWO, brokerName: 'broker-b', brokerAddr: '10.0.0.2:10911' })
  t.equal(running.size, 1)
  await client.ask(RequestCode.UNREGISTER_BROKER, BROKER_A)
  await client.ask(RequestCode.UNREGISTER_BROKER, { ...BROKER_A, brokerName: 'broker-b', brokerAddr: '10.0.0.2:10911' })
  await until('the timer ends', () => running.size === 0)
  await client.register({ topics: TWO })
  t.equal(running.size, 1)
})
