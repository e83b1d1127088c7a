import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openStore } from '../../engine/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { runCli } from '../support/cli.ts'
import { goldenStore } from '../support/golden-stores.ts'
import { inRepo } from '../support/repo.ts'

const simple = goldenStore('simple')
const CONF = inRepo('test', 'compat', 'data', 'store', 'simple', 'broker.conf')
const store = (t: Test, ...args: string[]) => runCli(t, 'skylark', ['store', ...args])
const linesOf = (text: string): string[] => text.split('\n').filter(line => line !== '')

function flip(path: string, pos: number): void {
  const bytes = readFileSync(path)
  bytes[pos]! ^= 1
  writeFileSync(path, bytes)
}

t.test('check tells what a store holds, and that it is whole', async t => {
  const dir = simple.copy(t)
  for (const args of [[dir], [dir, '-c', CONF], ['--no-lock', dir]]) {
    const { exitCode, stdout, stderr } = await store(t, 'check', ...args)
    t.same({ exitCode, stderr }, { exitCode: 0, stderr: '' })
    t.same(linesOf(stdout), [
      'records   207 in 200,286 bytes, physical offsets 0 to 207683',
      'queues    4 with 207 units',
      'index     3 files with 580 entries',
      'No damage was found.'
    ])
  }
})

t.test('check names damage with its bytes, and its exit code is 1', async t => {
  const dir = simple.copy(t)
  const { physicalOffset, storeSize } = simple.expected.messages[10]!
  const range = { from: physicalOffset, to: physicalOffset + storeSize }
  flip(join(dir, 'commitlog', '0'.repeat(20)), physicalOffset + 9)
  const readable = await store(t, 'check', dir)
  t.equal(readable.exitCode, 1)
  const line = `damage  commitlog/${'0'.repeat(20)} bytes ${range.from} to ${range.to}: ${storeSize} bytes hold no valid record`
  t.match(readable.stdout, line)
  t.match(readable.stdout, `Damage was found: `)

  const { exitCode, stdout } = await store(t, 'check', '--json', dir)
  t.equal(exitCode, 1)
  const report = JSON.parse(stdout)
  t.match(report, { dir, recordCount: 206, damagedRanges: [range], damagedBytes: storeSize })
  t.ok(
    report.findings.some(
      (finding: { kind: string; from: number }) => finding.kind === 'log' && finding.from === range.from
    )
  )
})

t.test('what cannot be opened is told in a sentence, and the exit code is 2', async t => {
  const dir = simple.copy(t)
  const empty = temporaryDirectory(t)
  for (const command of ['check', 'dump', 'rebuild']) {
    const { exitCode, stderr } = await store(t, command, empty)
    t.equal(exitCode, 2)
    t.match(stderr, /^there is no store in .*\n$/)
  }
  t.match(await store(t, 'dump', dir, '-t', 'nobody'), { exitCode: 2, stderr: /has no queue .* of topic nobody/ })
  t.match(await store(t, 'dump', dir, '-q', '1'), { exitCode: 2, stderr: '--queue needs a --topic\n' })
  t.match(await store(t, 'dump', dir, '-t', 'GoldenA', '-f', 'noon'), { exitCode: 2, stderr: /--from is "noon"/ })
  t.match(await store(t, 'check', dir, '-c', join(dir, 'none.conf')), { exitCode: 2, stderr: /none\.conf/ })
  t.match(await store(t, 'check'), { exitCode: 2, stderr: /missing required argument/ })
})

t.test('a store that is in use is neither checked nor built again; it can be dumped', async t => {
  const dir = simple.copy(t)
  const open = await openStore(dir, simple.options)
  t.teardown(() => open.close())
  for (const command of ['check', 'rebuild'])
    t.match(await store(t, command, dir), {
      exitCode: 2,
      stdout: '',
      stderr: `the store ${dir} is in use by another process (its abort file names pid ${process.pid})\n`
    })
  t.match(await store(t, 'dump', dir, '-n', '1'), { exitCode: 0, stdout: / GoldenA 0@0 a\n$/ })
})

t.test('dump prints messages in the order of a queue, from an offset or a time, as text or JSON', async t => {
  const { sourceDir: dir, expected } = simple
  const wanted = expected.messages.filter(({ topic, queueId }) => topic === 'GoldenA' && queueId === 1)
  const queue = ['dump', dir, '-t', 'GoldenA', '-q', '1']
  const json = linesOf((await store(t, ...queue, '--json', '--body', 'base64')).stdout).map(line => JSON.parse(line))
  t.same(
    json.map(({ queueOffset, physicalOffset, messageId, properties }) => ({
      queueOffset,
      physicalOffset,
      offsetMsgId: messageId,
      properties
    })),
    wanted.map(({ queueOffset, physicalOffset, offsetMsgId, properties }) => ({
      queueOffset,
      physicalOffset,
      offsetMsgId,
      properties
    }))
  )
  t.equal(json[2].bodyBase64, wanted[2]!.body.base64)
  const from = await store(t, ...queue, '--from', '3', '--count', '2')
  t.same(
    linesOf(from.stdout).map(line => line.split(' ').slice(0, 4).join(' ')),
    wanted
      .slice(3, 5)
      .map(
        m => `${new Date(m.storeTimestamp).toISOString()} ${m.physicalOffset}+${m.storeSize} GoldenA 1@${m.queueOffset}`
      )
  )
  const time = new Date(wanted[5]!.storeTimestamp).toISOString()
  const byTime = await store(t, ...queue, '--from', time, '--count', '1', '--body', 'none')
  const first = wanted.find(({ storeTimestamp }) => storeTimestamp >= wanted[5]!.storeTimestamp)!
  t.match(byTime.stdout, ` GoldenA 1@${first.queueOffset}`)
  const all = await store(t, 'dump', dir, '--json', '--body', 'none')
  t.same(
    linesOf(all.stdout).map(line => JSON.parse(line).physicalOffset),
    expected.messages.map(({ physicalOffset }) => physicalOffset)
  )
  const { physicalOffset } = expected.messages[30]!
  const later = await store(t, 'dump', dir, '--from-physical', String(physicalOffset), '-n', '1')
  t.match(later.stdout, ` ${physicalOffset}+`)
})

t.test('rebuild makes queues and index again, and keeps the old ones aside when it is asked to', async t => {
  const dir = simple.copy(t)
  rmSync(join(dir, 'consumequeue', 'GoldenA'), { recursive: true })
  rmSync(join(dir, 'index'), { recursive: true })
  t.equal((await store(t, 'check', dir)).exitCode, 1)
  const { exitCode, stdout } = await store(t, 'rebuild', dir, '--keep', '-c', CONF)
  t.equal(exitCode, 0)
  t.match(stdout, 'Built 4 queues and the index again from physical offsets 0 to 207683.\n')
  t.match(stdout, /The old files are in .*replaced-\d+\.\n/)
  t.match(await store(t, 'check', dir), {
    exitCode: 0,
    stdout: /queues {4}4 with 207 units\nindex {5}3 files with 580/
  })
})
