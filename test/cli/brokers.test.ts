import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { settingsOfBroker } from '../../cli/skylark/brokers.ts'
import { Admin, Producer } from '../../client/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { temporaryDirectory, until } from '../support/broker.ts'
import { runCli, startCli } from '../support/cli.ts'

const SMALL = `mappedFileSizeCommitLog=4194304
mappedFileSizeConsumeQueue=20000
maxHashSlotNum=1000
maxIndexNum=4000
`

function configFile(t: Test, more = ''): { file: string; dir: string } {
  const dir = temporaryDirectory(t)
  const file = join(dir, 'broker.conf')
  writeFileSync(file, `brokerName=shop\nlistenPort=0\nstorePathRootDir=${join(dir, 'store')}\n${SMALL}${more}`)
  return { file, dir }
}

async function clusterOf(t: Test): Promise<{ namesrvAddr: string; brokers(): Promise<Record<string, string>> }> {
  const server = new NameServer({ listenPort: 0 })
  await server.start()
  t.teardown(() => server.close())
  const admin = new Admin({ namesrvAddr: server.address })
  t.teardown(() => admin.close())
  return {
    namesrvAddr: server.address,
    async brokers() {
      const { brokerAddrTable } = await admin.clusterInfo()
      return Object.fromEntries(Object.values(brokerAddrTable).map(one => [one.brokerName, one.brokerAddrs.get(0)!]))
    }
  }
}

t.test('several brokers run on one host, each with its own store, and one that dies comes back', async t => {
  const { namesrvAddr, brokers } = await clusterOf(t)
  const { file, dir } = configFile(t)
  const running = startCli(t, 'skylark', ['broker', '--brokers', '2', '-c', file, '-n', namesrvAddr])
  const [, pid] = await running.printed(/^shop-1: serves, at \S+, pid (\d+)$/m)
  await running.printed(/^shop-0: serves, at \S+, pid \d+$/m)
  const before = await brokers()
  t.same(Object.keys(before).sort(), ['shop-0', 'shop-1'])
  const producer = new Producer({ group: 'P', namesrvAddr })
  await producer.start()
  t.teardown(() => producer.close())
  t.equal((await producer.send({ topic: 'orders', body: 'one' })).status, 'SEND_OK')

  process.kill(Number(pid), 'SIGKILL')
  await running.printed(/^shop-1: starts again, at \S+, SIGKILL; next start in 0\.5 s$/m)
  const [, again] = await running.printed(/^shop-1: serves, at \S+, pid (\d+), restart 1$/m)
  t.not(again, pid)
  await until('it is registered again', async () => (await brokers())['shop-1'] === before['shop-1'])

  running.child.kill('SIGTERM')
  t.equal(await running.ended, 0)
  t.same(await brokers(), {}, 'the NameServer was told')
  for (const name of ['shop-0', 'shop-1']) {
    t.ok(existsSync(join(dir, 'store', name, 'checkpoint')), `${name} has a store of its own`)
    t.notOk(existsSync(join(dir, 'store', name, 'abort')), `${name} was stopped in order`)
    t.match(readFileSync(join(dir, 'store', name, 'broker.conf'), 'utf8'), `brokerName = ${name}\n`)
  }
  t.match(running.stderr, /^\[shop-0\] \{"level":30,.*"the broker serves"/m, 'lines of children say whose they are')
})

t.test('children end with a supervisor that was killed', async t => {
  const { namesrvAddr, brokers } = await clusterOf(t)
  const { file, dir } = configFile(t)
  const running = startCli(t, 'skylark', ['broker', '--brokers=1', '-c', file, '-n', namesrvAddr])
  await running.printed(/^shop-0: serves/m)
  running.child.kill('SIGKILL')
  await until('the broker has left', async () => Object.keys(await brokers()).length === 0)
  await until('it was stopped in order', () => !existsSync(join(dir, 'store', 'shop-0', 'abort')))
})

t.test('names, folders and ports are apart', async t => {
  const base = { brokerName: 'a', storePathRootDir: '/s', storePathCommitLog: '/log', haListenPort: '10912' }
  t.same(settingsOfBroker(base, 2), {
    brokerName: 'a-2',
    storePathRootDir: '/s/a-2',
    storePathCommitLog: '/log/a-2',
    listenPort: '10931',
    haListenPort: '10932'
  })
  t.match(settingsOfBroker({ ...base, listenPort: '0', haListenPort: '0' }, 2), { listenPort: '0', haListenPort: '0' })
  t.throws(() => settingsOfBroker({ ...base, listenPort: '65530' }, 1), {
    message: 'broker 1 has no port: listenPort 65530 and 10 a broker'
  })
})

t.test('a broker that cannot start stops all, with what it said', async t => {
  const { file, dir } = configFile(t)
  const first = startCli(t, 'skylark', ['broker', '--brokers', '1', '-c', file])
  await first.printed(/^shop-0: serves/m)
  const second = await runCli(t, 'skylark', ['broker', '--brokers', '2', '-c', file])
  t.equal(second.exitCode, 1)
  t.match(second.stderr, /\nshop-0 did not start: .*pid \d+/)
  t.notOk(existsSync(join(dir, 'store', 'shop-1', 'abort')), 'the other one was stopped in order')
  first.child.kill('SIGINT')
  t.equal(await first.ended, 0)
})

t.test('mistakes are told in one sentence', async t => {
  const bad = configFile(t, 'flushDiskType=SOMETIMES\n')
  for (const [args, code, text] of [
    [['--brokers', 'many'], 2, /^--brokers is "many"; it is a whole number from 1 to 100\n$/],
    [['--brokers'], 2, /^Missing argument for option: brokers\n$/],
    [['--brokers', '2', '-c', bad.file], 1, /^\S+broker\.conf: flushDiskType is "SOMETIMES"; allowed is .*\n$/],
    [['--brokers', '2', '-n', 'nowhere'], 1, /^"nowhere" is no address: it reads host:port\n$/]
  ] as const) {
    const { exitCode, stderr } = await runCli(t, 'skylark', ['broker', ...args])
    t.equal(exitCode, code, args.join(' '))
    t.match(stderr, text)
  }
})
