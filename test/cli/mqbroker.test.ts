import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Admin, Producer } from '../../client/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { runCli, startCli } from '../support/cli.ts'

const BOOT =
  /The broker\[([\w-]+), (127\.0\.0\.1:\d+)\] boot success\. serializeType=JSON(?: and name server is (\S+))?\n/

/** A broker.conf for a small store in a folder of its own. */
function configFile(t: Test, settings: Readonly<Record<string, string | number>> = {}): { file: string; dir: string } {
  const dir = temporaryDirectory(t)
  const file = join(dir, 'broker.conf')
  const all = {
    brokerName: 'broker-a',
    listenPort: 0,
    storePathRootDir: join(dir, 'store'),
    mappedFileSizeCommitLog: 4 * 1024 * 1024,
    mappedFileSizeConsumeQueue: 20_000,
    maxHashSlotNum: 1000,
    maxIndexNum: 4000,
    ...settings
  }
  const text = Object.entries(all).map(([key, value]) => `${key} = ${value}\n`)
  writeFileSync(file, `# a broker\n${text.join('')}`)
  return { file, dir }
}

async function startNameServer(t: Test): Promise<NameServer> {
  const server = new NameServer({ listenPort: 0 })
  await server.start()
  t.teardown(() => server.close())
  return server
}

t.test('mqbroker runs with the settings of broker.conf, serves, and a signal ends it in order', async t => {
  const { address: namesrvAddr } = await startNameServer(t)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const { file, dir } = configFile(t, { brokerClusterName: 'kitchen', autoCreateTopicEnable: 'true' })
    const running = startCli(t, 'mqbroker', ['-c', file, '-n', namesrvAddr])
    const [, name, address, told] = await running.printed(BOOT)
    t.same([name, told], ['broker-a', namesrvAddr])

    const admin = new Admin({ namesrvAddr })
    t.equal((await admin.clusterInfo()).brokerAddrTable['broker-a']?.brokerAddrs.get(0), address)
    t.same((await admin.clusterInfo()).clusterAddrTable, { kitchen: ['broker-a'] })
    const producer = new Producer({ group: 'P', namesrvAddr })
    await producer.start()
    t.equal((await producer.send({ topic: 'orders', body: 'one' })).status, 'SEND_OK')

    running.child.kill(signal)
    t.equal(await running.ended, 0, signal)
    t.notOk(existsSync(join(dir, 'store', 'abort')), 'the store was closed in order')
    t.same((await admin.clusterInfo()).brokerAddrTable, {}, 'and the NameServer was told')
    await producer.close()
    await admin.close()
  }
})

t.test('NameServers come from -n, else from broker.conf, else from NAMESRV_ADDR', async t => {
  const servers = await Promise.all([startNameServer(t), startNameServer(t), startNameServer(t)])
  const [option, file, env] = servers.map(({ address }) => address) as [string, string, string]
  const calls: [string[], Record<string, string>, string][] = [
    [['-n', option], { namesrvAddr: file }, option],
    [[], { namesrvAddr: file }, file],
    [[], {}, env]
  ]
  for (const [args, settings, expected] of calls) {
    const config = configFile(t, settings)
    const running = startCli(t, 'mqbroker', ['-c', config.file, ...args], { env: { NAMESRV_ADDR: env } })
    t.equal((await running.printed(BOOT))[3], expected)
    running.child.kill('SIGTERM')
    t.equal(await running.ended, 0)
  }
})

t.test('-p prints all settings as they hold, -m those that matter, and both end', async t => {
  const { file, dir } = configFile(t, { fileReservedTime: 48 })
  const all = await runCli(t, 'mqbroker', ['-c', file, '-p'])
  t.equal(all.exitCode, 0)
  t.match(all.stdout, /^brokerName=broker-a$/m)
  t.match(all.stdout, /^fileReservedTime=48$/m)
  t.match(all.stdout, /^waitTimeMillsInSendQueue=/m)
  const important = await runCli(t, 'mqbroker', ['-c', file, '-m'])
  t.equal(important.exitCode, 0)
  t.match(important.stdout, /^fileReservedTime=48$/m)
  t.notMatch(important.stdout, /waitTimeMillsInSendQueue/)
  t.notOk(existsSync(join(dir, 'store')), 'neither touches the store')
})

t.test('a file that cannot be used stops the start, and names file, key, value and what is allowed', async t => {
  const dir = temporaryDirectory(t)
  const bad = configFile(t, { flushDiskType: 'SOMETIMES_FLUSH' })
  const number = configFile(t, { listenPort: 'many' })
  for (const [args, text] of [
    [['-c', join(dir, 'missing.conf')], /^the configuration file \S+missing\.conf cannot be read: ENOENT/],
    [['-c', bad.file], /broker\.conf: flushDiskType is "SOMETIMES_FLUSH"; allowed is .*ASYNC_FLUSH/],
    [['-c', number.file], /broker\.conf: listenPort is "many"; allowed is a whole number from 0 to 65535/],
    [['-n', 'nowhere'], /^"nowhere" is no address: it reads host:port/]
  ] as const) {
    const { exitCode, stderr, stdout } = await runCli(t, 'mqbroker', args)
    t.equal(exitCode, 1)
    t.match(stderr, text)
    t.equal(stderr.split('\n').length, 2, 'one sentence')
    t.equal(stdout, '')
  }
})

t.test('a second broker on the same store stops, and names who holds it; the first one goes on', async t => {
  const { file } = configFile(t)
  const first = startCli(t, 'mqbroker', ['-c', file])
  await first.printed(BOOT)
  const second = await runCli(t, 'mqbroker', ['-c', file])
  t.equal(second.exitCode, 1)
  t.match(second.stderr, `pid ${first.pid}`)
  t.notMatch(second.stderr, /\n {4}at /, 'no stack')
  t.equal(second.stdout, '')
  first.child.kill('SIGTERM')
  t.equal(await first.ended, 0)
})

t.test('listening for other machines is warned of', async t => {
  const { file } = configFile(t, { bindAddress: '0.0.0.0', brokerIP1: '127.0.0.1' })
  const running = startCli(t, 'mqbroker', ['-c', file])
  await running.printed(BOOT)
  running.child.kill('SIGTERM')
  t.equal(await running.ended, 0)
  t.match(running.stderr, /listening for other machines without access control/)
})

t.test('`skylark broker` is the same', async t => {
  const help = await runCli(t, 'mqbroker', ['-h'])
  t.equal(help.exitCode, 0)
  t.match(help.stdout, /^usage: mqbroker \[-c <arg>\] \[-h\] \[-m\] \[-n <arg>\] \[-p\]\n/)
  t.equal((await runCli(t, 'skylark', ['broker', '-h'])).stdout, help.stdout)
})

t.test('a reader of the settings that has seen enough is no failure', async t => {
  const running = startCli(t, 'mqbroker', ['-p'])
  running.child.stdout!.destroy()
  t.equal(await running.ended, 0)
  t.equal(running.stderr, '')
})
