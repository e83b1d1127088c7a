import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { EpochFile } from '../../broker/replication/epoch-file.ts'
import { ReplicaSet } from '../../broker/replication/replica-set.ts'
import { realFiles } from '../../engine/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { formatBody, parseBody, RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { type OpenBroker, openBroker, temporaryDirectory, until } from '../support/broker.ts'
import { bodiesOf, pull, send, sendAll, sendEach } from '../support/messages.ts'

interface Node {
  open: OpenBroker
  dir: string
}

async function nameServer(t: Test): Promise<string> {
  const server = new NameServer({ listenPort: 0 })
  await server.start()
  t.teardown(() => server.close())
  return server.address
}

async function node(
  t: Test,
  role: BrokerOptions['brokerRole'],
  dir: string,
  options: Partial<BrokerOptions>
): Promise<Node> {
  const brokerId = role === 'SLAVE' ? 1 : 0
  const open = await openBroker(t, {
    brokerRole: role,
    brokerId,
    storePathRootDir: dir,
    slaveReadEnable: true,
    ...options
  })
  return { open, dir }
}

const end = ({ open }: Node): number => open.broker.store.maxPhysicalOffset
const caughtUp = (master: Node, slave: Node) => until('the slave has caught up', () => end(slave) === end(master))

/** The logs of stopped brokers, file by file. */
function logOf(dir: string): Record<string, string> {
  const log = join(dir, 'commitlog')
  return Object.fromEntries(readdirSync(log).map(name => [name, readFileSync(join(log, name)).toString('base64')]))
}
const sameLogs = (t: Test, a: Node, b: Node) => {
  const [one, other] = [logOf(a.dir), logOf(b.dir)]
  t.same(Object.keys(one), Object.keys(other))
  for (const name of Object.keys(one)) t.ok(one[name] === other[name], `${name} is byte-identical`)
}

t.test('a slave takes over the log byte by byte, and serves it', async t => {
  const namesrvAddr = await nameServer(t)
  const master = await node(t, 'ASYNC_MASTER', temporaryDirectory(t), { namesrvAddr })
  const bodies = Array.from({ length: 3000 }, (_, i) => `${i} ${'x'.repeat(i % 2000)}`)
  await sendEach(master.open, bodies)
  const slave = await node(t, 'SLAVE', temporaryDirectory(t), { namesrvAddr })
  await caughtUp(master, slave)
  t.ok(readdirSync(join(master.dir, 'commitlog')).length > 0)

  await sendEach(master.open, ['more'])
  await until('the last one can be pulled', () => slave.open.broker.store.maxQueueOffset('orders', 0) === 3001)
  const seen: string[] = []
  while (seen.length < 3001) seen.push(...bodiesOf(await pull(slave.open, { topic: 'orders', offset: seen.length })))
  t.same(seen, [...bodies, 'more'])
  t.equal((await send(slave.open, { topic: 'orders', body: 'x' })).code, ResponseCode.SYSTEM_BUSY)

  await slave.open.broker.close()
  await master.open.broker.close()
  sameLogs(t, master, slave)
})

t.test("a slave has the master's topics, groups, offsets and delay progress", async t => {
  const namesrvAddr = await nameServer(t)
  const master = await node(t, 'ASYNC_MASTER', temporaryDirectory(t), { namesrvAddr })
  const slave = await node(t, 'SLAVE', temporaryDirectory(t), { namesrvAddr })
  await sendAll(master.open, { topic: 'orders', body: 'x', queues: 3 })
  master.open.broker.groups.get('CG')
  master.open.broker.offsets.commit('CG', 'orders', 2, 77)
  const { topics, groups, offsets } = slave.open.broker
  await until('the offset is there', () => offsets.get('CG', 'orders', 2) === 77)
  t.match(topics.get('orders'), { readQueueNums: 3, perm: 6 })
  t.ok(groups.find('CG'))
})

t.test('a sync master acknowledges what its slave holds', async t => {
  const namesrvAddr = await nameServer(t)
  const options = { namesrvAddr, inSyncReplicas: 2, store: { slaveTimeoutMs: 500 } }
  const master = await node(t, 'SYNC_MASTER', temporaryDirectory(t), options)
  const alone = await send(master.open, { topic: 'orders', body: 'alone' })
  t.equal(alone.code, ResponseCode.FLUSH_SLAVE_TIMEOUT)
  t.match(alone.extFields, { queueOffset: '0' })
  t.equal(master.open.broker.store.maxQueueOffset('orders', 0), 0, 'nobody sees it before it is replicated')

  const dir = temporaryDirectory(t)
  const slave = await node(t, 'SLAVE', dir, { namesrvAddr })
  await caughtUp(master, slave)
  await until('it can be seen now', () => master.open.broker.store.maxQueueOffset('orders', 0) === 1)
  for (let i = 0; i < 50; i++) {
    const before = end(slave)
    const answer = await send(master.open, { topic: 'orders', body: `message ${i}` })
    t.equal(answer.code, ResponseCode.SUCCESS)
    t.ok(end(slave) > before)
  }
  const status = await master.open.ask(RequestCode.GET_BROKER_HA_STATUS)
  t.match(JSON.parse(Buffer.from(status.body!).toString()), {
    master: true,
    inSyncSlaveNums: 1,
    haConnectionInfo: [{ addr: slave.open.broker.address, inSync: true, diff: 0 }]
  })
})

t.test('with too few replicas in sync nothing is stored', async t => {
  const master = await node(t, 'SYNC_MASTER', temporaryDirectory(t), { inSyncReplicas: 2, minInSyncReplicas: 2 })
  const answer = await send(master.open, { topic: 'orders', body: 'x' })
  t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
  t.match(answer.remark, /minInSyncReplicas asks for 2/)
  t.equal(end(master), 0)
  const unsafe = await send(master.open, { topic: 'orders', body: 'x', properties: { WAIT: 'false' } })
  t.equal(unsafe.code, ResponseCode.SUCCESS, 'who does not wait is not refused')
})

t.test('strangers and impossible offsets are refused', async t => {
  const master = await node(t, 'SYNC_MASTER', temporaryDirectory(t), {
    inSyncReplicas: 2,
    store: { slaveTimeoutMs: 200 }
  })
  const { ask } = master.open
  const join = { clusterName: 'DefaultCluster', brokerName: 'broker-a', brokerId: '1', address: 'x:1', maxOffset: '0' }
  const fetch = { brokerId: '1', offset: '0', ackOffset: '0', maxBytes: '1000', waitMs: '0' }
  t.equal((await ask(RequestCode.REPLICATE, fetch)).code, ResponseCode.ILLEGAL_OPERATION)
  t.equal((await ask(RequestCode.JOIN_MASTER, { ...join, brokerName: 'other' })).code, ResponseCode.ILLEGAL_OPERATION)
  t.equal((await ask(RequestCode.JOIN_MASTER, { ...join, brokerId: '0' })).code, ResponseCode.ILLEGAL_OPERATION)
  t.equal((await ask(RequestCode.JOIN_MASTER, join)).code, ResponseCode.SUCCESS)
  const huge = { ...fetch, offset: '999999999', ackOffset: '999999999' }
  t.equal((await ask(RequestCode.REPLICATE, huge)).code, ResponseCode.ILLEGAL_OPERATION)
  t.equal((await ask(RequestCode.REPLICATE, { ...fetch, ackOffset: '999' })).code, ResponseCode.ILLEGAL_OPERATION)
  t.equal((await send(master.open, { topic: 'orders', body: 'x' })).code, ResponseCode.FLUSH_SLAVE_TIMEOUT)
})

t.test('who has joined again on another connection is refused on the old one, and counts on the new one', async t => {
  const master = await node(t, 'SYNC_MASTER', temporaryDirectory(t), { inSyncReplicas: 2 })
  const { address } = master.open.broker
  const [old, late] = [new RemotingClient(), new RemotingClient()]
  t.teardown(() => Promise.all([old.close(), late.close()]))
  const join = { clusterName: 'DefaultCluster', brokerName: 'broker-a', brokerId: '1', address: 'x:1', maxOffset: '0' }
  const fetch = { brokerId: '1', offset: '0', ackOffset: '0', maxBytes: '1000', waitMs: '0' }
  const ask = async (client: RemotingClient, code: number, fields: Record<string, string>) =>
    (await client.invoke(address, request(code, fields), 5000)).code
  t.equal(await ask(old, RequestCode.JOIN_MASTER, join), ResponseCode.SUCCESS)
  t.equal(await ask(late, RequestCode.JOIN_MASTER, join), ResponseCode.SUCCESS)
  t.equal(await ask(old, RequestCode.REPLICATE, fetch), ResponseCode.ILLEGAL_OPERATION)
  t.equal(await ask(late, RequestCode.REPLICATE, fetch), ResponseCode.SUCCESS)
})

t.test('a master that returns after another took over cuts off what was never replicated, and follows', async t => {
  const [dirA, dirB] = [temporaryDirectory(t), temporaryDirectory(t)]
  let a = await node(t, 'ASYNC_MASTER', dirA, {})
  let b = await node(t, 'SLAVE', dirB, { masterAddress: a.open.broker.address })
  await sendEach(
    a.open,
    Array.from({ length: 500 }, (_, i) => `shared ${i}`)
  )
  await caughtUp(a, b)
  await b.open.broker.close()
  await sendEach(
    a.open,
    Array.from({ length: 300 }, (_, i) => `lost ${i}`)
  )
  await a.open.broker.close()

  b = await node(t, 'ASYNC_MASTER', dirB, {})
  await sendEach(
    b.open,
    Array.from({ length: 200 }, (_, i) => `new ${i}`)
  )
  a = await node(t, 'SLAVE', dirA, { masterAddress: b.open.broker.address })
  await caughtUp(b, a)
  await until('the last one can be pulled', () => a.open.broker.store.maxQueueOffset('orders', 0) === 700)
  const bodies: string[] = []
  while (bodies.length < 700) bodies.push(...bodiesOf(await pull(a.open, { topic: 'orders', offset: bodies.length })))
  t.equal(bodies[499], 'shared 499')
  t.equal(bodies[500], 'new 0')
  t.equal(bodies[699], 'new 199')
  const epochsOf = async ({ open }: Node) =>
    parseBody((await open.ask(RequestCode.GET_BROKER_EPOCH_CACHE)).body!) as Record<string, unknown>
  const epochs = await epochsOf(b)
  t.match(epochs, { clusterName: 'DefaultCluster', brokerName: 'broker-a', brokerId: 0, maxOffset: end(b) })
  t.match(epochs.epochList, [{ startOffset: 0 }, { endOffset: end(b) }])
  t.same((await epochsOf(a)).epochList, epochs.epochList, 'a slave tells the same')
  await a.open.broker.close()
  await b.open.broker.close()
  sameLogs(t, a, b)
})

t.test('a slave whose log the master has deleted long ago starts anew', async t => {
  const [dirA, dirB] = [temporaryDirectory(t), temporaryDirectory(t)]
  const short = { mappedFileSizeCommitLogBytes: 65_536, fileReservedTimeHours: 1e-9 }
  const a = await node(t, 'ASYNC_MASTER', dirA, { store: short })
  let b = await node(t, 'SLAVE', dirB, {
    masterAddress: a.open.broker.address,
    store: { mappedFileSizeCommitLogBytes: 65_536 }
  })
  await sendEach(a.open, ['old'])
  await caughtUp(a, b)
  await b.open.broker.close()
  const { store } = a.open.broker
  while (store.minPhysicalOffset === 0) {
    await sendEach(
      a.open,
      Array.from({ length: 100 }, () => 'x'.repeat(3000))
    )
    store.requestCleanUp()
    await store.cleanUp()
  }
  b = await node(t, 'SLAVE', dirB, {
    masterAddress: a.open.broker.address,
    store: { mappedFileSizeCommitLogBytes: 65_536 }
  })
  await caughtUp(a, b)
  t.equal(b.open.broker.store.minPhysicalOffset, store.minPhysicalOffset)
  await until(
    'queues are alike',
    () => b.open.broker.store.maxQueueOffset('orders', 0) === store.maxQueueOffset('orders', 0)
  )
  t.equal(b.open.broker.store.minQueueOffset('orders', 0), store.minQueueOffset('orders', 0))
})

t.test('a record that comes in two answers is served whole', async t => {
  const store = { mappedFileSizeCommitLogBytes: 32 * 1024 * 1024 }
  const master = await node(t, 'ASYNC_MASTER', temporaryDirectory(t), { store })
  await sendEach(
    master.open,
    Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat(40_000)}`)
  )
  t.ok(end(master) > 2 * 4 * 1024 * 1024, 'more than two answers hold')
  const slave = await node(t, 'SLAVE', temporaryDirectory(t), { masterAddress: master.open.broker.address, store })
  await caughtUp(master, slave)
  await until('all can be pulled', () => slave.open.broker.store.maxQueueOffset('orders', 0) === 300)
  t.equal(slave.open.broker.store.statistics.damagedBytes, 0)
})

t.test('a replica that follows a log which is never at rest is in sync', async t => {
  const rules = { isSync: true, inSyncReplicas: 2, minInSyncReplicas: 2, allAckInSyncStateSet: false, maxLagMs: 100 }
  const set = new ReplicaSet(rules, 0, 0)
  const replica = set.join(1, 'x:1', '', 0, 0)
  t.match(set.refusal(0), /minInSyncReplicas/)
  for (let nowMs = 0; nowMs <= 1000; nowMs += 10) set.acknowledge(replica, nowMs, nowMs + 10, nowMs)
  t.equal(set.refusal(1000), null)
  for (let nowMs = 1010; nowMs <= 1200; nowMs += 10) set.acknowledge(replica, 1000, nowMs + 10, nowMs)
  t.match(set.refusal(1200), /minInSyncReplicas/, 'one that stands still is not')
})

t.test('a master refuses a replica of a later master, and one whose files have another size', async t => {
  const { open } = await node(t, 'ASYNC_MASTER', temporaryDirectory(t), {})
  const join = { clusterName: 'DefaultCluster', brokerName: 'broker-a', brokerId: '1', address: 'x:1', maxOffset: '9' }
  const later = formatBody({ epochs: [{ epoch: 9_000_000_000, startOffset: 0 }] })
  t.match(await open.ask(RequestCode.JOIN_MASTER, join, later), {
    code: ResponseCode.ILLEGAL_OPERATION,
    remark: /written by a later master/
  })
  t.match(await open.ask(RequestCode.JOIN_MASTER, join, formatBody({ epochs: [], fileSizeBytes: 1 })), {
    code: ResponseCode.ILLEGAL_OPERATION,
    remark: /mappedFileSizeCommitLog is 1/
  })
})

t.test('a slave does not serve as a master, and sends nobody back', async t => {
  const namesrvAddr = await nameServer(t)
  const master = await node(t, 'ASYNC_MASTER', temporaryDirectory(t), { namesrvAddr, slaveReadEnable: true })
  const slave = await node(t, 'SLAVE', temporaryDirectory(t), { namesrvAddr })
  const join = { clusterName: 'DefaultCluster', brokerName: 'broker-a', brokerId: '2', address: 'x:1', maxOffset: '0' }
  t.match(await slave.open.ask(RequestCode.JOIN_MASTER, join), {
    code: ResponseCode.ILLEGAL_OPERATION,
    remark: /slave itself/
  })
  await sendEach(master.open, ['one'])
  await until('it is there', () => slave.open.broker.store.maxQueueOffset('orders', 0) === 1)
  await until('its topic too', () => slave.open.broker.topics.get('orders') !== undefined)
  t.equal((await pull(slave.open, { topic: 'orders', offset: 7 })).code, ResponseCode.PULL_RETRY_IMMEDIATELY)
  t.equal((await pull(master.open, { topic: 'orders', offset: 7 })).code, ResponseCode.PULL_OFFSET_MOVED)
})

t.test('a log from before there were epochs is not fetched twice', async t => {
  const dir = temporaryDirectory(t)
  let master = await node(t, 'ASYNC_MASTER', dir, {})
  await sendEach(master.open, ['old'])
  await master.open.broker.close()
  for (const name of ['epochFileCheckpoint', 'epochFileCheckpoint.bak']) rmSync(join(dir, name), { force: true })
  master = await node(t, 'ASYNC_MASTER', dir, {})
  const slaveDir = temporaryDirectory(t)
  let slave = await node(t, 'SLAVE', slaveDir, { masterAddress: master.open.broker.address })
  await caughtUp(master, slave)
  await slave.open.broker.close()
  const answer = await master.open.ask(
    RequestCode.JOIN_MASTER,
    {
      clusterName: 'DefaultCluster',
      brokerName: 'broker-a',
      brokerId: '1',
      address: 'x:1',
      maxOffset: `${end(master)}`
    },
    formatBody({ epochs: EpochFile.load(realFiles, slaveDir).history.epochs })
  )
  t.equal(answer.extFields?.startOffset, String(end(master)))
  slave = await node(t, 'SLAVE', slaveDir, { masterAddress: master.open.broker.address })
  await caughtUp(master, slave)
})
