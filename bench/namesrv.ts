// `node dist/bench/namesrv.js`: a NameServer that knows many topics on many brokers; `--json` for machines.
import { parseArgs } from 'node:util'
import { GOALS, measureNameServer, namesrvText, namesrvWorkload } from './namesrv-program.ts'

const number = (preset: number) => ({ type: 'string', default: String(preset) }) as const
const { values } = parseArgs({
  options: {
    topics: number(namesrvWorkload.topics),
    queues: number(namesrvWorkload.queues),
    brokers: number(namesrvWorkload.brokers),
    questions: number(namesrvWorkload.questions),
    json: { type: 'boolean', default: false }
  }
})
const report = await measureNameServer({
  topics: Number(values.topics),
  queues: Number(values.queues),
  brokers: Number(values.brokers),
  questions: Number(values.questions)
})
if (values.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
else {
  const kept = (isKept: boolean) => (isKept ? 'kept' : 'missed')
  const registered = Math.max(report.first.p99, report.changed.p99, report.unchanged.p99)
  const told = Math.max(report.route.p99, report.routeMeanwhile.p99)
  process.stdout.write(namesrvText(report))
  process.stdout.write(`Goals: route p99 <= 1 ms ${kept(told <= GOALS.routeP99)}, `)
  process.stdout.write(`registration p99 <= 50 ms ${kept(registered <= GOALS.registration)}.\n`)
}
