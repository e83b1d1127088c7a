import t from 'tap'
import { findEtcd } from '../../bench/etcd.ts'
import { failoverText, failoverWorkload, measureFailover, spreadOf } from '../../bench/failover-program.ts'
import { temporaryDirectory } from '../support/broker.ts'

const etcd = findEtcd()
const skip = etcd === null ? 'there is no etcd on this machine' : false

t.test('the bench of failover runs small, and nothing is lost', { skip }, async t => {
  const workload = { ...failoverWorkload, kills: 1, brokers: 2, senders: 2, folder: temporaryDirectory(t) }
  const report = await measureFailover(workload, etcd!)
  t.equal(report.lost, 0)
  t.ok(report.acknowledged > 0)
  t.ok(report.acknowledgedMs[0]! > 0 && report.consumedMs[0]! >= report.acknowledgedMs[0]! - 1000)
  t.match(failoverText(report), /1 kills of the master of 2 brokers, leases of 2000 ms;[\s\S]*lost 0, consumed more/)
})

t.test('spreads name times that were measured', async t => {
  const times = Array.from({ length: 50 }, (_, i) => 50 - i)
  t.same(spreadOf(times), { p50: 25, p99: 50, max: 50 })
  t.same(spreadOf([7]), { p50: 7, p99: 7, max: 7 })
})
