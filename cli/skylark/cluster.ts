import { appendFileSync, mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Admin } from '../../client/index.ts'
import { PORT_STEP } from './brokers.ts'
import { type ProcessSpec, type ProcessState, printLine, Supervisor, supervise } from './supervisor.ts'
import { duration, styled } from './terminal.ts'

export interface ClusterOptions {
  names: number
  masters: number
  /** Of each master. */
  slaves: number
  dir: string
  /** 0 takes free ports. */
  basePort: number
}

const CLUSTER_NAME = 'DefaultCluster'
const FIRST_BROKER = 100
const CHECK_MS = 50
/** Warnings and errors are shown; all else is in the logs. */
const SHOWN_LEVEL = 40

/** `broker-a` to `broker-z`. */
const masterName = (index: number): string => `broker-${String.fromCharCode('a'.charCodeAt(0) + index)}`
const logOf = ({ configFile, name }: ProcessSpec): string => join(dirname(configFile), `${name}.log`)

/** All processes of a cluster, in the stages in which they start. Brokers learn the NameServers' addresses in between. */
export function planCluster({ names, masters, slaves, dir, basePort }: ClusterOptions): {
  names: ProcessSpec[]
  masters(namesrvAddr: string): ProcessSpec[]
  slaves(namesrvAddr: string): ProcessSpec[]
} {
  const port = (offset: number): string => String(basePort === 0 ? 0 : basePort + offset)
  const broker = (name: string, index: number, settings: Record<string, string>): ProcessSpec => ({
    name,
    program: 'mqbroker',
    configFile: join(dir, name, 'broker.conf'),
    settings: {
      brokerClusterName: CLUSTER_NAME,
      listenPort: port(FIRST_BROKER + index * PORT_STEP),
      storePathRootDir: join(dir, name, 'store'),
      ...settings
    }
  })
  const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
  return {
    names: range(names).map(i => {
      const name = `namesrv-${i + 1}`
      const settings = { listenPort: port(i), kvConfigPath: join(dir, name, 'kvConfig.json') }
      return { name, program: 'mqnamesrv', configFile: join(dir, name, 'namesrv.conf'), settings }
    }),
    masters: namesrvAddr =>
      range(masters).map(i =>
        broker(masterName(i), i * (slaves + 1), { brokerName: masterName(i), brokerId: '0', namesrvAddr })
      ),
    slaves: namesrvAddr =>
      range(masters).flatMap(i =>
        range(slaves).map(j =>
          broker(`${masterName(i)}-slave-${j + 1}`, i * (slaves + 1) + j + 1, {
            brokerName: masterName(i),
            brokerId: String(j + 1),
            brokerRole: 'SLAVE',
            slaveReadEnable: 'true',
            namesrvAddr
          })
        )
      )
  }
}

/** Starts a cluster on this machine, says what is where, and ends it in order on a signal. */
export async function clusterUp(options: ClusterOptions): Promise<void> {
  const begin = performance.now()
  const dir = resolve(options.dir)
  mkdirSync(dir, { recursive: true })
  const plan = planCluster({ ...options, dir })
  const supervisor = new Supervisor()
  let isUp = false
  supervisor.onLine = (spec, stream, line) => {
    appendFileSync(logOf(spec), `${line}\n`)
    if (stream === process.stderr && !supervisor.stopped && levelOf(line) >= SHOWN_LEVEL) printLine(spec, stream, line)
  }
  supervisor.onChange = ({ spec, status, pid }, reason) => {
    if (isUp && !supervisor.stopped)
      process.stdout.write(`${spec.name}: ${[status, pid && `pid ${pid}`, reason].filter(Boolean).join(', ')}\n`)
  }
  await supervise(supervisor, async () => {
    const nameServers = await supervisor.start(plan.names)
    const namesrvAddr = nameServers.map(({ address }) => address).join(';')
    const brokers = await supervisor.start(plan.masters(namesrvAddr))
    brokers.push(...(await supervisor.start(plan.slaves(namesrvAddr))))
    await registered(nameServers, brokers)
    isUp = true
    print(dir, nameServers, brokers, duration(performance.now() - begin))
  })
}

function levelOf(line: string): number {
  try {
    return JSON.parse(line).level ?? SHOWN_LEVEL
  } catch {
    return SHOWN_LEVEL
  }
}

/** Resolves when every NameServer knows every broker. */
async function registered(nameServers: readonly ProcessState[], brokers: readonly ProcessState[]): Promise<void> {
  for (const { address } of nameServers) {
    const admin = new Admin({ namesrvAddr: address })
    try {
      for (;;) {
        const { brokerAddrTable } = await admin.clusterInfo()
        const known = new Set(Object.values(brokerAddrTable).flatMap(({ brokerAddrs }) => [...brokerAddrs.values()]))
        if (brokers.every(broker => known.has(broker.address))) break
        await delay(CHECK_MS)
      }
    } finally {
      await admin.close()
    }
  }
}

function print(dir: string, nameServers: ProcessState[], brokers: ProcessState[], took: string): void {
  const rows = [...nameServers, ...brokers.toSorted((a, b) => (a.spec.name < b.spec.name ? -1 : 1))].map(
    ({ spec, address, pid }) => [
      spec.name,
      spec.program === 'mqnamesrv' ? 'NameServer' : spec.settings.brokerRole === 'SLAVE' ? 'slave' : 'master',
      address,
      String(pid),
      join(dir, spec.name)
    ]
  )
  const head = ['NAME', 'ROLE', 'ADDRESS', 'PID', 'FOLDER']
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(row => row[i]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd()
  const command = (text: string) => `  ${styled(process.stdout, 'cyan', text)}`
  const namesrvAddr = nameServers.map(({ address }) => address).join(';')
  const [master] = brokers
  process.stdout.write(
    [
      `${styled(process.stdout, 'bold', CLUSTER_NAME)} is ready after ${took}.`,
      '',
      `  ${styled(process.stdout, 'dim', line(head))}`,
      ...rows.map(row => `  ${line(row)}`),
      '',
      'Try, in another terminal:',
      '',
      command(`export NAMESRV_ADDR="${namesrvAddr}"`),
      command('npx skylark top'),
      command('npx skylark produce hello -c 10000 -s 1000'),
      command('npx skylark consume hello'),
      command('npx mqadmin clusterList'),
      command(`kill -9 ${master!.pid}    # ${master!.spec.name} dies; it is started again`),
      '',
      'Each folder has settings, data and log. Ctrl+C ends all in order.',
      ''
    ].join('\n')
  )
}
