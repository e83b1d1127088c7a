import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { readBrokerConfig } from '../../broker/index.ts'
import { parseAddress, parseProperties } from '../../net/index.ts'
import { flag, formatHelp, type Option, parseOptions, UsageError, value } from '../options.ts'
import { type ProcessSpec, type ProcessState, Supervisor, supervise } from './supervisor.ts'
import { CommandError, wholeNumber } from './terminal.ts'

const MAX_BROKERS = 100
/** Between the ports of two brokers: RocketMQ's VIP port lies 2 below, its HA port 1 above. */
export const PORT_STEP = 10

const options: readonly Option[] = [
  flag('h', 'help', 'Print help'),
  value(null, 'brokers', 'how many brokers run here, each as a process of its own'),
  value('n', 'namesrvAddr', "NameServers: '192.168.0.1:9876;192.168.0.2:9876'; before broker.conf and $NAMESRV_ADDR"),
  value('c', 'configFile', 'a file of settings, key=value, from which those of each broker are made')
]

/** Whether a command line of `skylark broker` asks for several. */
export const asksForSeveral = (args: readonly string[]): boolean => args.some(arg => /^--?brokers(=|$)/.test(arg))

/**
 * What a broker among several is set to: what the file says, but for its name, folders and ports. Throws CommandError when
 * there are not that many ports.
 */
export function settingsOfBroker(base: Readonly<Record<string, string>>, index: number): Record<string, string> {
  const name = `${base.brokerName ?? hostname()}-${index}`
  const root = resolve(base.storePathRootDir!)
  const settings: Record<string, string> = { ...base, brokerName: name, storePathRootDir: join(root, name) }
  if (base.storePathCommitLog) settings.storePathCommitLog = join(base.storePathCommitLog, name)
  for (const [key, preset] of [
    ['listenPort', '10911'],
    ['haListenPort', '0']
  ] as const) {
    const first = Number(base[key] ?? preset)
    const port = first === 0 ? 0 : first + index * PORT_STEP
    if (port > 65_535) throw new CommandError(`broker ${index} has no port: ${key} ${first} and ${PORT_STEP} a broker`)
    settings[key] = String(port)
  }
  // Changes while it runs go to its own file.
  delete settings.brokerConfigPath
  return settings
}

/** A line on how a process is, when that changes. */
function tell({ spec, status, pid, address, restarts }: ProcessState, reason: string): void {
  const parts = [status, address && `at ${address}`, pid && `pid ${pid}`, restarts && `restart ${restarts}`, reason]
  process.stdout.write(`${spec.name}: ${parts.filter(Boolean).join(', ')}\n`)
}

/** Runs several brokers on this host until a signal. */
export async function brokers(args: readonly string[]): Promise<void> {
  let given: ReturnType<typeof parseOptions>
  try {
    given = parseOptions(options, args)
  } catch (error) {
    throw error instanceof UsageError ? new CommandError(error.message) : error
  }
  if (given.has('h')) {
    process.stdout.write(`${formatHelp('skylark broker', options)}\n`)
    return
  }
  const count = wholeNumber('--brokers', 1, MAX_BROKERS)(given.text('brokers'))
  const path = given.get('c')
  // What is wrong with the file is said once, and of this file.
  const { options: read } = readBrokerConfig(path)
  const base = path === undefined ? {} : Object.fromEntries(parseProperties(readFileSync(path, 'utf8')))
  base.storePathRootDir = read.storePathRootDir
  const namesrvAddr = given.get('n') ?? read.namesrvAddr ?? ''
  for (const address of namesrvAddr.split(';')) if (address.trim() !== '') parseAddress(address)
  if (namesrvAddr !== '') base.namesrvAddr = namesrvAddr

  const specs = Array.from({ length: count }, (_, index): ProcessSpec => {
    const settings = settingsOfBroker(base, index)
    const configFile = join(settings.storePathRootDir!, 'broker.conf')
    return { name: settings.brokerName!, program: 'mqbroker', configFile, settings }
  })
  const supervisor = new Supervisor()
  supervisor.onChange = tell
  await supervise(supervisor, async () => {
    await supervisor.start(specs)
  })
}
