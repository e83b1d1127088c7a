import t from 'tap'
import type { ClusterFigures } from '../../cli/skylark/cluster-figures.ts'
import { bytesText, screen } from '../../cli/skylark/top.ts'
import { runCli, startCli } from '../support/cli.ts'
import { openCluster, textOf } from '../support/cluster.ts'
import { until } from '../support/until.ts'

t.test('top shows once what a cluster does: as text, and as JSON', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 2)
  await cluster.sendTo('orders', 0, 'one', 'two')
  await cluster.sendTo('orders', 1, 'three')
  const seen: string[] = []
  const consumer = cluster.push({ group: 'kitchen' })
  consumer.subscribe('orders')
  await consumer.start(messages => void seen.push(...messages.map(textOf)))
  await until('all were consumed', () => seen.length === 3)
  await consumer.close()
  await cluster.sendTo('orders', 1, 'four')

  const json = await runCli(t, 'skylark', ['top', '--once', '--json', '-n', cluster.namesrvAddr])
  t.equal(json.exitCode, 0)
  const figures: ClusterFigures = JSON.parse(json.stdout)
  t.match(figures.brokers, [
    { name: 'broker-a', id: 0, up: true, inRate: 0, outRate: 0, dispatchLag: 0, slaves: 0, replicaLag: null }
  ])
  t.match(
    figures.topics.find(({ topic }) => topic === 'orders'),
    { inRate: 0, messages: 4, queues: 2 }
  )
  t.same(figures.groups, [{ group: 'kitchen', topics: ['orders'], lag: 1, outRate: 0 }])

  const text = await runCli(t, 'skylark', ['top', '--once', '-n', cluster.namesrvAddr])
  t.equal(text.exitCode, 0)
  t.match(text.stdout, /^BROKER +ROLE +ADDRESS +IN\/S +OUT\/S +DISK +UNDISPATCHED +UNREPLICATED$/m)
  t.match(text.stdout, /^broker-a +master +127\.0\.0\.1:\d+ +0 +0 +\d+ % +0 B +-$/m)
  t.match(text.stdout, /^orders +0 +4 +2$/m)
  t.match(text.stdout, /^kitchen +1 +0 +orders$/m)
  t.notMatch(text.stdout, '\x1b', 'no colours in a pipe')
})

t.test('rates are those of the second in between', async t => {
  const cluster = await openCluster(t)
  await cluster.createTopic('orders', 1)
  const watching = startCli(t, 'skylark', ['top', '--json', '-n', cluster.namesrvAddr])
  let sending = true
  const load = (async () => {
    while (sending) await cluster.sendTo('orders', 0, 'x')
  })()
  await watching.printed(/"brokers":\[\{[^}]*"inRate":[1-9][^}]*\}.*"topic":"orders","inRate":[1-9]/)
  sending = false
  await load
  watching.child.kill('SIGINT')
  t.equal(await watching.ended, 0)
})

t.test('without a NameServer it says so', async t => {
  const { exitCode, stderr } = await runCli(t, 'skylark', ['top', '--once', '-n', '127.0.0.1:1'])
  t.equal(exitCode, 1)
  t.match(stderr, /^no NameServer of 127\.0\.0\.1:1 answers: /)
})

const broker = { address: '192.0.2.1:10911', up: true, inRate: 12_345.6, outRate: 0.25, diskUsed: 0.234 }
const figures: ClusterFigures = {
  time: '2026-11-24T20:00:00Z',
  brokers: Array.from({ length: 30 }, (_, i) => ({
    ...{
      ...broker,
      name: `a-broker-with-a-long-name-${i}`,
      id: i % 2,
      dispatchLag: 2048,
      slaves: 1,
      replicaLag: 3_000_000
    }
  })),
  topics: Array.from({ length: 30 }, (_, i) => ({ topic: `topic-${i}`, inRate: i, messages: i, queues: 8 })),
  topicCount: 1000,
  groups: Array.from({ length: 30 }, (_, i) => ({ group: `g${i}`, topics: ['a', 'b'], lag: i, outRate: i }))
}

t.test('it fits, whatever the size of the terminal', async t => {
  for (const columns of [20, 40, 80, 200])
    for (const rows of [6, 10, 24, 100]) {
      const lines = screen(figures, 'ns', { columns, rows })
      t.ok(lines.length <= rows, `${lines.length} lines in ${rows}`)
      t.ok(
        lines.every(line => line.length <= columns),
        `${columns} columns`
      )
    }
  const [head, , first, second] = screen(figures, 'ns', { columns: 200, rows: 100 })
  t.match(
    head,
    /^\d\d:\d\d:\d\d {2}in 370,368\/s, out 8\/s {2}\| {2}30 brokers, 1000 topics \(the first 30\), 30 groups {2}\| {2}ns$/
  )
  t.match(first, /^a-broker-with-a-long-name-0 {2,}master, 1 slave {2,}\S+ +12,346 +0\.3 +23 % +2\.0 KiB +2\.9 MiB$/)
  t.match(second, /^a-broker-with-a-long-name-1 +slave 1 /)
  t.equal(bytesText(null), '-')
})
