import t from 'tap'
import { pictureOf } from '../../bench/picture.ts'
import { readBenchOptions, runBench } from '../../bench/program.ts'
import { median, type Report, ratioToCeiling, reportText } from '../../bench/report.ts'
import { canonicalChoice, canonicalWorkload, type Result, type Scenario, scenariosOf } from '../../bench/scenarios.ts'
import { ceiling, skylark } from '../../bench/targets.ts'
import { temporaryDirectory } from '../support/broker.ts'

const options = (...args: string[]) => readBenchOptions('bench', '', { rounds: 1, warmUpMs: 3000 }, args)

t.test('the whole bench runs small, and every way of loading gets something done', async t => {
  const folder = temporaryDirectory(t)
  const small = ['--seconds', '0.15', '--warm-up', '0.1', '--in-flight', '1,64', '--pull-in-flight', '4']
  const asked = options(...small, '--rates', '2000', '--pull-messages', '2000', '--folder', folder)
  const targets = [ceiling, skylark(folder, 'async')]
  const report = await runBench(targets, { ...asked, workload: { ...asked.workload, idleMs: 90 } })
  for (const {
    scenario,
    target,
    messagesPerSecond,
    latencyUs,
    cpuUsPerMessage,
    residentBytes,
    errors,
    firstError,
    ...rest
  } of report.results) {
    const what = `${target} ${JSON.stringify(scenario)}`
    t.equal(errors, 0, `${what}: ${firstError}`)
    t.ok(messagesPerSecond > 0, what)
    t.ok(latencyUs.p50 <= latencyUs.p99 && latencyUs.p99 <= latencyUs.p999 && latencyUs.p999 <= latencyUs.max, what)
    t.ok(cpuUsPerMessage > 0 && residentBytes > 10e6, what)
    t.ok(rest.loopDelayMs !== null, what)
  }
  t.equal(report.results.filter(({ target }) => target === 'ceiling').length, 6)
  t.equal(report.results.filter(({ target }) => target === 'Skylark').length, 9)
  t.match(report.starts, [{ target: 'Skylark' }])
  t.ok(report.starts[0]!.firstSendMs > 0)
})

t.test('the canonical workload is the one that is documented', async t => {
  t.match(options().workload, { ...canonicalWorkload, bodyBytes: 1024, queueCount: 8, pullBatch: 32 })
  t.same(options().choice, canonicalChoice)
  const sends = scenariosOf(canonicalChoice).filter(({ work, through }) => work === 'send' && through === 'raw')
  t.same(
    sends
      .filter(({ headers, ratePerSecond }) => headers === 'binary' && !ratePerSecond)
      .map(({ inFlight }) => inFlight),
    [1, 32, 256, 1024]
  )
})

const scenario: Scenario = { work: 'send', through: 'raw', headers: 'binary', inFlight: 256 }
const result = (target: string, messagesPerSecond: number, changes: Partial<Scenario> = {}): Result => ({
  scenario: { ...scenario, ...changes },
  target,
  messagesPerSecond,
  megabytesPerSecond: messagesPerSecond / 1000,
  latencyUs: { p50: 1500, p99: 2500, p999: 12_345, max: 20_000 },
  cpuUsPerMessage: 4.321,
  residentBytes: 100 * 2 ** 20,
  loopDelayMs: { p999: 1.5, max: 3 },
  errors: 0,
  firstError: null
})

t.test('the median is a result that was measured', async t => {
  t.equal(median([result('a', 3), result('a', 1), result('a', 2)]).messagesPerSecond, 2)
  t.equal(median([result('a', 4), result('a', 1)]).messagesPerSecond, 1)
})

t.test('a ratio compares the same way of loading, and an SDK with the raw load', async t => {
  const results = [result('ceiling', 400), result('ceiling', 100, { inFlight: 1 }), result('Skylark', 200)]
  t.equal(ratioToCeiling(results[2]!, results), 0.5)
  t.equal(ratioToCeiling(result('Skylark', 100, { through: 'sdk' }), results), 0.25)
  t.equal(ratioToCeiling(result('Skylark', 100, { headers: 'json' }), results), null)
  t.equal(ratioToCeiling(result('Skylark', 100, { ratePerSecond: 100 }), results), null)
  t.equal(ratioToCeiling(results[0]!, results), null)
})

const report: Report = {
  ...{ skylark: '1.2.3', node: '20.0.0', machine: '2 × <Test> & "more"', folder: '/somewhere', rounds: 3 },
  workload: canonicalWorkload,
  durability: { Skylark: 'kept' },
  starts: [{ target: 'Skylark', firstSendMs: 123.4, idleCpuPercent: 0.5, idleResidentBytes: 70 * 2 ** 20 }],
  results: [
    result('ceiling', 400_000),
    result('Skylark', 180_000),
    { ...result('Skylark', 5), errors: 2, firstError: 'x' }
  ]
}

t.test('the report says what was measured', async t => {
  const text = reportText(report)
  t.match(text, 'Skylark 1.2.3 on Node.js 20.0.0')
  t.match(text, 'medians of 3 alternating rounds')
  t.match(text, 'Skylark: kept')
  t.match(text, 'first message acknowledged 123 ms after its start; idle it takes 0.5 % of a core and 70 MiB')
  t.match(
    text,
    /send, raw, binary, 256 in flight {2}Skylark +180,000 +1\.50 +2\.50 +12\.3 +20\.0 +4\.32 +100 +1\.50 +0\.45/
  )
  t.match(text, '2 errors of Skylark at send, raw, binary, 256 in flight: x')
})

t.test('the picture is one of SVG, with what is special escaped', async t => {
  const picture = pictureOf(report)
  t.match(picture, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
  t.match(picture, 'Skylark: 180,000/s, p99 2.50 ms')
  t.match(picture, '2 × &lt;Test&gt; &amp; &quot;more&quot;')
  // Every element is closed: by itself, or by its own name.
  const open: string[] = []
  for (const [, closing, name, rest] of picture.matchAll(/<(\/?)(\w+)([^>]*)>/g)) {
    if (closing) t.equal(open.pop(), name)
    else if (!rest!.endsWith('/')) open.push(name!)
  }
  t.same(open, [])
})
