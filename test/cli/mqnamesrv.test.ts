import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Admin } from '../../client/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { runCli, startCli } from '../support/cli.ts'

const BOOT = /The Name Server boot success\. serializeType=JSON, address (127\.0\.0\.1:\d+)\n/

t.test('mqnamesrv runs with the settings of its file, until a signal ends it in order', async t => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const dir = temporaryDirectory(t)
    const file = join(dir, 'namesrv.conf')
    writeFileSync(file, `listenPort=0\nkvConfigPath=${join(dir, 'kv.json')}\n`)
    const running = startCli(t, 'mqnamesrv', ['-c', file])
    const [, address] = await running.printed(BOOT)
    t.match(running.stdout, `load config properties file OK, ${file}\n`)
    const admin = new Admin({ namesrvAddr: address! })
    await admin.putKv('space', 'key', 'value')
    await admin.close()
    running.child.kill(signal)
    t.equal(await running.ended, 0, signal)

    const again = startCli(t, 'mqnamesrv', ['-c', file])
    const second = new Admin({ namesrvAddr: (await again.printed(BOOT))[1]! })
    t.equal(await second.kv('space', 'key'), 'value', 'and what it was told is there after a new start')
    await second.close()
  }
})

t.test('-p prints all settings as they hold, and ends', async t => {
  const file = join(temporaryDirectory(t), 'namesrv.conf')
  writeFileSync(file, 'listenPort = 12345\n')
  const { exitCode, stdout } = await runCli(t, 'mqnamesrv', ['-c', file, '-p'])
  t.equal(exitCode, 0)
  t.match(stdout, /^listenPort=12345$/m)
  t.match(stdout, /^scanNotActiveBrokerInterval=5000$/m)
})

t.test('a file that cannot be used stops the start, and names file, key, value and what is allowed', async t => {
  const dir = temporaryDirectory(t)
  const missing = join(dir, 'missing.conf')
  const bad = join(dir, 'bad.conf')
  writeFileSync(bad, 'listenPort=many\n')
  for (const [path, text] of [
    [missing, `the configuration file ${missing} cannot be read: ENOENT`],
    [bad, `${bad}: listenPort is "many"; allowed is a whole number from 0 to 65535\n`]
  ] as const) {
    const { exitCode, stderr, stdout } = await runCli(t, 'mqnamesrv', ['-c', path])
    t.equal(exitCode, 1)
    t.ok(stderr.startsWith(text), stderr)
    t.notMatch(stderr, /\n {4}at /, 'no stack')
    t.equal(stdout, '')
  }
})

t.test('an unknown key is a warning that names the nearest one', async t => {
  const dir = temporaryDirectory(t)
  const file = join(dir, 'namesrv.conf')
  writeFileSync(file, `listenPort=0\nkvConfigPath=${join(dir, 'kv.json')}\nlistenHost=127.0.0.1\nlistenport=1\n`)
  const running = startCli(t, 'mqnamesrv', ['-c', file])
  await running.printed(BOOT)
  running.child.kill('SIGTERM')
  t.equal(await running.ended, 0)
  const warnings = running.stderr
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
    .filter(({ level }) => level === 40)
  t.match(
    warnings.map(({ msg }) => msg),
    [/the key listenHost is unknown/, /the key listenport is unknown; did you mean listenPort\?/]
  )
})

t.test('a command line that does not fit is answered with the reason and the help page', async t => {
  const wrong = await runCli(t, 'mqnamesrv', ['-z'])
  t.equal(wrong.exitCode, 1)
  t.equal(wrong.stderr, 'Unrecognized option: -z\n')
  const help = await runCli(t, 'mqnamesrv', ['-h'])
  t.equal(help.exitCode, 0)
  t.equal(help.stdout, wrong.stdout)
  t.match(help.stdout, /^usage: mqnamesrv \[-c <arg>\] \[-h\] \[-n <arg>\] \[-p\]\n/)
  const alias = await runCli(t, 'skylark', ['namesrv', '-h'])
  t.equal(alias.stdout, help.stdout, '`skylark namesrv` is the same')
})
