import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { NameServer } from '../namesrv/index.ts'
import { freePort } from './free-port.ts'
import { durabilityOf, type Flush, scratchFolder, type Target } from './targets.ts'
import { type Usage, usageOf } from './usage.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const poms = join(root, 'bench', 'peers')
/** Kept between runs, in a folder that no commit holds. */
const cache = join(root, 'node_modules', '.cache', 'skylark-bench')
const START_TIMEOUT_MS = 120_000

/** Flags that RocketMQ's own start script gives the JVM, with a heap that fits a small machine. runbroker.sh */
const JVM_FLAGS = [
  '-Xms1g',
  '-Xmx1g',
  '-XX:+UseG1GC',
  '-XX:MaxDirectMemorySize=2g',
  '--add-opens=java.base/java.nio=ALL-UNNAMED',
  '--add-opens=java.base/sun.nio.ch=ALL-UNNAMED',
  '--add-opens=java.base/java.lang=ALL-UNNAMED',
  '--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED',
  '--add-exports=java.base/sun.nio.ch=ALL-UNNAMED'
]

/** The jars of RocketMQ's broker; null where there is no Java or no Maven to fetch them. `ROCKETMQ_JARS` names others. */
export async function rocketmqJars(): Promise<string | null> {
  try {
    await run('java', ['-version'])
    if (process.env.ROCKETMQ_JARS) return process.env.ROCKETMQ_JARS
    await run('mvn', ['-v'])
  } catch {
    return null
  }
  const version = createHash('sha256')
    .update(readFileSync(join(poms, 'pom.xml')))
    .digest('hex')
    .slice(0, 12)
  const jars = join(cache, `rocketmq-${version}`)
  if (existsSync(jars)) return jars
  const unfinished = `${jars}.${process.pid}`
  mkdirSync(unfinished, { recursive: true })
  try {
    process.stderr.write('fetching Apache RocketMQ from Maven Central\n')
    const copy = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${unfinished}`]
    await run('mvn', ['-q', '-B', ...copy], { cwd: poms })
    renameSync(unfinished, jars)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return jars
}

/** Resolves when somebody listens. */
async function listening(port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  for (;;) {
    const socket = connect({ port, host: '127.0.0.1' })
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false
    )
    socket.destroy()
    if (connected) return
    if (child.exitCode !== null) throw new Error(`RocketMQ's broker ended with ${child.exitCode} while it started`)
    if (Date.now() > deadline) throw new Error(`RocketMQ's broker does not listen after ${START_TIMEOUT_MS / 1000} s`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** A broker of Apache RocketMQ in a process of its own. */
export interface RocketmqBroker {
  readonly address: string
  usage(): Promise<Usage>
  stop(): Promise<void>
}

/** Starts a broker in a folder; settings are those of broker.conf beside the ports and the store. Resolves when it listens. */
export async function startRocketmq(
  jars: string,
  home: string,
  given: Readonly<Record<string, string | number>>
): Promise<RocketmqBroker> {
  const port = await freePort()
  const conf = join(home, 'broker.conf')
  const settings = {
    brokerIP1: '127.0.0.1',
    listenPort: port,
    haListenPort: await freePort(),
    storePathRootDir: join(home, 'store'),
    storePathCommitLog: join(home, 'store', 'commitlog'),
    // With their defaults a machine that is busy for a moment makes it refuse sends.
    waitTimeMillsInSendQueue: 5000,
    osPageCacheBusyTimeOutMills: 10_000,
    ...given
  }
  mkdirSync(join(home, 'conf'), { recursive: true })
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(conf, lines.join(''))
  const options = [`-Duser.home=${home}`, `-Drocketmq.log.root.level=WARN`, '-cp', join(jars, '*')]
  const child = spawn('java', [...JVM_FLAGS, ...options, 'org.apache.rocketmq.broker.BrokerStartup', '-c', conf], {
    env: { ...process.env, ROCKETMQ_HOME: home },
    stdio: 'ignore'
  })
  const ended = once(child, 'exit')
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(patience)
  }
  try {
    await listening(port, child)
  } catch (error) {
    await stop()
    throw error
  }
  return { address: `127.0.0.1:${port}`, usage: async () => usageOf(child.pid!), stop }
}

/** Apache RocketMQ's broker as it is configured by default, at a NameServer of ours like Skylark's. */
export function rocketmq(jars: string, folder: string, flush: Flush): Target {
  return {
    name: 'RocketMQ 5.5.0',
    durability: durabilityOf[flush],
    hasNameServer: true,
    async start() {
      const home = scratchFolder(folder)
      const nameServer = new NameServer({ listenPort: 0 })
      await nameServer.start()
      const settings = {
        brokerName: 'bench',
        namesrvAddr: nameServer.address,
        flushDiskType: flush === 'sync' ? 'SYNC_FLUSH' : 'ASYNC_FLUSH'
      }
      const close = async () => {
        await nameServer.close()
        home.remove()
      }
      try {
        const { address, usage, stop } = await startRocketmq(jars, home.path, settings)
        return {
          address,
          namesrvAddr: nameServer.address,
          usage,
          watchLoop: () => {},
          stop: async () => {
            await stop()
            await close()
          }
        }
      } catch (error) {
        await close()
        throw error
      }
    }
  }
}
