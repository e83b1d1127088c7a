// `npm run bench:failover`: how long clients wait for the next master when theirs is killed; `--json` for machines.
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { findEtcd } from './etcd.ts'
import { failoverText, failoverWorkload, measureFailover, spreadOf } from './failover-program.ts'

const GOAL_MS = 5000
const number = (preset: number) => ({ type: 'string', default: String(preset) }) as const
const { values } = parseArgs({
  options: {
    kills: number(failoverWorkload.kills),
    brokers: number(failoverWorkload.brokers),
    senders: number(failoverWorkload.senders),
    lease: number(failoverWorkload.leaseMs),
    folder: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false }
  }
})
const etcd = findEtcd()
if (etcd === null) {
  process.stderr.write(
    'The brokers elect their master in etcd, and there is none on this machine (apt install etcd-server)\n'
  )
  process.exit(1)
}
const report = await measureFailover(
  {
    ...failoverWorkload,
    kills: Number(values.kills),
    brokers: Number(values.brokers),
    senders: Number(values.senders),
    leaseMs: Number(values.lease),
    folder: values.folder
  },
  etcd,
  (kill, acknowledgedMs, consumedMs) =>
    process.stderr.write(
      `kill ${kill}: acknowledged again after ${Math.round(acknowledgedMs)} ms, consumed after ${Math.round(consumedMs)} ms\n`
    )
)
if (values.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
else {
  process.stdout.write(failoverText(report))
  const kept = spreadOf(report.acknowledgedMs).p99 <= GOAL_MS && report.lost === 0
  process.stdout.write(`Goal: p99 <= ${GOAL_MS} ms with nothing lost ${kept ? 'kept' : 'missed'}.\n`)
}
