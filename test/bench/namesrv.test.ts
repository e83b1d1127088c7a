import t from 'tap'
import { measureNameServer, namesrvText } from '../../bench/namesrv-program.ts'

t.test('the bench of the NameServer runs small', async t => {
  const report = await measureNameServer({ topics: 50, queues: 8, brokers: 3, questions: 100 })
  const { first, changed, unchanged, underQuestions, oneTopic, version, routeAfterChange, route, routeMeanwhile } =
    report
  const rounds = [first, changed, unchanged, underQuestions, oneTopic, version]
  for (const latency of [...rounds, routeAfterChange, route, routeMeanwhile])
    t.ok(latency.p50 > 0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max)
  t.ok(report.routeBytes > 300 && report.registrationBytes > 50 * 100)
  t.ok(report.memory.rss > report.memory.heapUsed)
  t.match(
    namesrvText(report),
    /A NameServer with 50 topics of 8 queues on each of 3 brokers\n[\s\S]*route, 100 by chance +\d/
  )
})
