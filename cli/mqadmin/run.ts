import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Admin, Credentials } from '../../client/index.ts'
import { format } from '../format.ts'
import { flag, formatHelp, type Option, parseOptions, UsageError, value } from '../options.ts'
import type { Command } from './command.ts'
import { commands } from './table.ts'

/** Where a command writes, and what it is told from outside. */
export interface Surroundings {
  stdout: { write(text: string): unknown }
  stderr: { write(text: string): unknown }
  env: Readonly<Record<string, string | undefined>>
}

/** Where `skylark start` listens. */
const DEFAULT_NAMESRV = '127.0.0.1:9876'
const OK = 0
const FAILED = 1

/** `-h` and `-n`, which every command has. ServerUtil#buildCommandlineOptions */
const COMMON: readonly Option[] = [
  flag('h', 'help', 'Print help'),
  value('n', 'namesrvAddr', "NameServers: '192.168.0.1:9876;192.168.0.2:9876'; else $NAMESRV_ADDR, or this machine")
]

/** Runs one command; returns the exit code. MQAdminStartup#main */
export async function runMqadmin(args: readonly string[], surroundings: Surroundings = process): Promise<number> {
  const { stdout, stderr } = surroundings
  const print = (template: string, ...values: unknown[]) => stdout.write(format(template, ...values))
  const [name, second] = args
  if (name === undefined || (name === 'help' && second === undefined) || name === '-h' || name === '--help') {
    print('The most commonly used mqadmin commands are:%n')
    for (const command of commands) print('   %-35s %s%n', command.name, command.text)
    print("%nSee 'mqadmin help <command>' for more information on a specific command.%n")
    return OK
  }
  const wanted = name === 'help' ? second! : name
  const command = commands.find(each => each.name.toLowerCase() === wanted.toLowerCase())
  if (command === undefined) {
    print('The sub command %s not exist.%n', wanted)
    return FAILED
  }
  const options = [...COMMON, ...command.options]
  const help = () => stdout.write(`${formatHelp(`mqadmin ${command.name}`, options)}\n`)
  if (name === 'help') {
    help()
    return OK
  }
  try {
    const given = parseOptions(options, args.slice(1))
    if (given.has('h')) {
      help()
      return OK
    }
    return await execute(command, given, surroundings, help)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    stderr.write(`${error.message}\n`)
    help()
    return FAILED
  }
}

async function execute(
  command: Command,
  given: ReturnType<typeof parseOptions>,
  { stdout, stderr, env }: Surroundings,
  help: () => void
): Promise<number> {
  const namesrvAddr = given.get('n') || env.NAMESRV_ADDR || DEFAULT_NAMESRV
  const [family, client, { failureText }] = await Promise.all([
    command.load(),
    import('../../client/index.ts'),
    import('./failure.ts')
  ])
  let exitCode = OK
  let admin: Admin | null = null
  try {
    admin = new client.Admin({ namesrvAddr, credentials: credentialsOf(env) })
    await family[command.name]!({
      given,
      admin,
      namesrvAddr,
      print: (template, ...values) => stdout.write(format(template, ...values)),
      help,
      warn: error => {
        exitCode = FAILED
        stderr.write(`${failureText(error)}\n`)
      }
    })
  } catch (error) {
    exitCode = FAILED
    stderr.write(
      `org.apache.rocketmq.tools.command.SubCommandException: ${command.javaClass} command failed\nCaused by: ${failureText(error)}\n`
    )
  } finally {
    await admin?.close()
  }
  return exitCode
}

/** The keys in $ROCKETMQ_HOME/conf/tools.yml, with which every request is signed. AclUtils#getAclRPCHook */
function credentialsOf({ ROCKETMQ_HOME: home }: Surroundings['env']): Credentials | null {
  if (!home) return null
  let text: string
  try {
    text = readFileSync(join(home, 'conf', 'tools.yml'), 'utf8')
  } catch {
    return null
  }
  const entry = (name: string) => new RegExp(`^\\s*${name}:\\s*["']?([^"'\\s#]+)`, 'm').exec(text)?.[1]
  const accessKey = entry('accessKey')
  const secretKey = entry('secretKey')
  return accessKey === undefined || secretKey === undefined ? null : { accessKey, secretKey }
}
