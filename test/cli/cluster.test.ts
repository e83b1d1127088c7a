import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { planCluster } from '../../cli/skylark/cluster.ts'
import { Admin } from '../../client/index.ts'
import { temporaryDirectory, until } from '../support/broker.ts'
import { runCli, startCli } from '../support/cli.ts'

t.test('cluster up runs NameServers, masters and slaves until Ctrl+C, and says where they are', async t => {
  const dir = temporaryDirectory(t)
  const args = ['cluster', 'up', '--names', '2', '--masters', '2', '--slaves', '1', '--dir', dir, '--base-port', '0']
  const running = startCli(t, 'skylark', args)
  const [, namesrvAddr] = await running.printed(/export NAMESRV_ADDR="(\S+)"\n/)
  await running.printed(/Ctrl\+C ends all in order\.\n/)
  t.match(running.stdout, /^DefaultCluster is ready after /)
  const names = ['namesrv-1', 'namesrv-2', 'broker-a', 'broker-a-slave-1', 'broker-b', 'broker-b-slave-1']
  const rows = [...running.stdout.matchAll(/^ {2}(\S+) +(NameServer|master|slave) +(\S+:\d+) +(\d+) +(\S+)$/gm)]
  t.same(
    rows.map(([, name, , , , folder]) => [name, folder]),
    names.map(name => [name, join(dir, name)])
  )

  const addresses = namesrvAddr!.split(';')
  t.equal(addresses.length, 2)
  for (const address of addresses) {
    const admin = new Admin({ namesrvAddr: address })
    const { brokerAddrTable } = await admin.clusterInfo()
    const known = Object.values(brokerAddrTable).map(({ brokerName, brokerAddrs }) => [brokerName, ...brokerAddrs])
    const at = (name: string) => rows.find(row => row[1] === name)![3]!
    t.same(known.sort(), [
      ['broker-a', [0, at('broker-a')], [1, at('broker-a-slave-1')]],
      ['broker-b', [0, at('broker-b')], [1, at('broker-b-slave-1')]]
    ])
    await admin.close()
  }

  const produced = await runCli(t, 'skylark', ['produce', 'hello', 'one espresso', '-n', namesrvAddr!])
  t.equal(produced.exitCode, 0)
  const admin = new Admin({ namesrvAddr: namesrvAddr! })
  t.teardown(() => admin.close())
  await until('both slaves follow', async () => {
    const masters = rows.filter(([, , role]) => role === 'master')
    const status = await Promise.all(masters.map(([, , , address]) => admin.haStatus(address!)))
    return status.every(({ haConnectionInfo }) => haConnectionInfo.length === 1 && haConnectionInfo[0]!.diff === 0)
  })

  running.child.kill('SIGINT')
  t.equal(await running.ended, 0)
  for (const name of names) {
    t.notOk(existsSync(join(dir, name, 'store', 'abort')), `${name} was stopped in order`)
    t.match(readFileSync(join(dir, name, `${name}.log`), 'utf8'), /"stopping"/)
  }
  t.equal(running.stderr, '', 'nothing to complain of')
})

t.test('ports are apart, and known beforehand', async t => {
  const plan = planCluster({ names: 2, masters: 2, slaves: 1, dir: '/d', basePort: 7000 })
  const ports = (specs: readonly { name: string; settings: Record<string, string> }[]) =>
    specs.map(({ name, settings }) => `${name} ${settings.listenPort}`)
  t.same(ports(plan.names), ['namesrv-1 7000', 'namesrv-2 7001'])
  t.same(ports(plan.masters('ns')), ['broker-a 7100', 'broker-b 7120'])
  t.same(ports(plan.slaves('ns')), ['broker-a-slave-1 7110', 'broker-b-slave-1 7130'])
  t.match(plan.slaves('ns')[1]!.settings, { brokerName: 'broker-b', brokerId: '1', brokerRole: 'SLAVE' })
})

t.test('a cluster that cannot start ends what runs, and says why', async t => {
  const dir = temporaryDirectory(t)
  const first = startCli(t, 'skylark', ['cluster', 'up', '--masters', '1', '--dir', dir, '--base-port', '0'])
  await first.printed(/Ctrl\+C ends all in order\.\n/)
  const second = await runCli(t, 'skylark', ['cluster', 'up', '--masters', '1', '--dir', dir, '--base-port', '0'])
  t.equal(second.exitCode, 1)
  t.match(second.stderr, /\nbroker-a did not start: the store \S+ is in use by another process \(.*pid \d+/)
  first.child.kill('SIGTERM')
  t.equal(await first.ended, 0)
})
