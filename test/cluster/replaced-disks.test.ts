import t, { type Test } from 'tap'
import { seeded } from '../support/seeded.ts'
import type { SimulatedBroker } from '../support/simulated-broker.ts'
import { SimulatedBrokers } from '../support/simulated-brokers.ts'

/** A set of three that has elected its master, and acknowledged messages that all hold. */
async function wholeSet(t: Test, flushDiskType: 'ASYNC_FLUSH' | 'SYNC_FLUSH' = 'ASYNC_FLUSH') {
  const random = seeded(1)
  const options = { count: 3, elects: true, role: 'SYNC_MASTER', inSyncReplicas: 1, minInSyncReplicas: 1 } as const
  const set = new SimulatedBrokers(random, { ...options, flushDiskType })
  t.teardown(() => set.close())
  await set.run(3000)
  await until(set, () => set.master !== undefined && set.nodes.every(node => set.mayLead(node)), true)
  const master = set.master!
  return { set, master, slaves: set.nodes.filter(node => node !== master) }
}

async function until(set: SimulatedBrokers, holds: () => boolean, sends = false): Promise<void> {
  for (let i = 0; i < 100 && !holds(); i++) await set.run(200, sends)
  if (!holds()) throw new Error('it does not come to that')
}

const kill = (...nodes: SimulatedBroker[]) => {
  for (const node of nodes) node.kill('all')
}

t.test('a member whose disk was replaced is not elected, and is in sync when it has all again', async t => {
  const { set, master, slaves } = await wholeSet(t)
  const [replaced, other] = slaves
  kill(replaced!, other!, master)
  replaced!.replaceDisk()
  replaced!.start()
  await set.run(10_000)
  t.equal(set.master, undefined, 'alone it does not lead')
  other!.start()
  await until(set, () => set.master !== undefined)
  t.equal(set.master, other)
  await until(set, () => set.mayLead(replaced!))
  master.start()
  await until(set, () => set.isWhole)
  set.checkLogs()
})

t.test('after a power cut without flushes a member is not elected before it has all again', async t => {
  const { set, master, slaves } = await wholeSet(t)
  const [hit, other] = slaves
  kill(other!, master)
  hit!.kill({ first: 0 })
  hit!.start()
  await set.run(10_000)
  t.equal(set.master, undefined)
  master.start()
  await until(set, () => set.master !== undefined)
  t.equal(set.master, master)
  other!.start()
  await until(set, () => set.isWhole && set.nodes.every(node => set.mayLead(node)))
  set.checkLogs()
})

t.test('when a power cut hits all members, the longest log is taken', async t => {
  const { set } = await wholeSet(t)
  for (const node of set.nodes) node.kill({ first: 0 })
  set.ledger.forget()
  for (const node of set.nodes) node.start()
  await until(set, () => set.isWhole)
  set.checkLogs()
  t.ok(set.master!.store.maxPhysicalOffset > 0)
})

t.test('when the disks of all members are replaced, people decide', async t => {
  const { set } = await wholeSet(t)
  kill(...set.nodes)
  set.ledger.forget()
  for (const node of set.nodes) {
    node.replaceDisk()
    node.start()
  }
  await set.run(10_000)
  t.equal(set.master, undefined)
})
