import t from 'tap'
import { skylarkPair } from '../../bench/pairs.ts'
import { measureReplication, type ReplicationReport, replicationText } from '../../bench/replication-program.ts'
import { temporaryDirectory } from '../support/broker.ts'

t.test('the bench of replication runs small', async t => {
  const folder = temporaryDirectory(t)
  const small = { bodyBytes: 1024, warmUpMs: 100, measureMs: 150, rounds: 1, catchUpBytes: 4 * 2 ** 20 }
  const report = await measureReplication([skylarkPair], { inFlight: [1, 32], ...small, folder })
  t.equal(report.results.length, 2)
  for (const { messagesPerSecond, errors, firstError } of report.results) {
    t.equal(errors, 0, firstError ?? 'no errors')
    t.ok(messagesPerSecond > 0)
  }
  t.match(report.catchUps, [{ target: 'Skylark' }])
  t.ok(report.catchUps[0]!.bytes <= 2 * small.catchUpBytes)

  const twice = (one: { target: string; messagesPerSecond: number }) => [
    { ...one, messagesPerSecond: 40 },
    { ...one, target: 'other', messagesPerSecond: 10 }
  ]
  const text = replicationText({
    ...report,
    results: report.results.flatMap(twice) as ReplicationReport['results'],
    catchUps: [{ target: 'Skylark', bytes: 3e8, seconds: 2 }]
  })
  t.match(text, 'send, raw, binary, 32 in flight, 4.0 × other')
  t.match(text, 'Skylark: a new slave catches up with 300 MB at 150 MB/s')
})
