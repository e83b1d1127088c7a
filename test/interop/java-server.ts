import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Admin } from '../../client/index.ts'
import { inRepo } from '../support/repo.ts'
import { cached } from './cache.ts'
import { execute, scratch, until } from './support.ts'

/** What RocketMQ's server classes need of a JVM. */
export const serverJvm = [
  '-Xmx256m',
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
  '--add-opens=java.base/java.nio=ALL-UNNAMED',
  '--add-opens=java.base/sun.nio.ch=ALL-UNNAMED',
  '--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED',
  '--add-exports=java.base/sun.nio.ch=ALL-UNNAMED'
]

/** The folder with the jars of broker and NameServer, fetched when missing. */
export function serverJars(): Promise<string> {
  const pom = inRepo('test', 'interop', 'java', 'server-5.5.0')
  return cached('server-jars-5.5.0', readFileSync(join(pom, 'pom.xml')), into =>
    execute(
      'mvn',
      ['-q', '-B', 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${into}`],
      pom
    )
  )
}

/** A RocketMQ process. */
export interface JavaServer {
  readonly address: string
  /** SIGTERM, or SIGKILL. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

type Properties = Readonly<Record<string, string | number>>

async function start(t: Test, mainClass: string, port: number, properties: Properties): Promise<JavaServer> {
  const home = scratch(t)
  mkdirSync(join(home, 'conf'))
  const conf = join(home, 'server.conf')
  const lines = Object.entries({ listenPort: port, ...properties }).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(conf, lines.join(''))
  const output = openSync(join(home, 'output'), 'w')
  const classPath = join(await serverJars(), '*')
  const child: ChildProcess = spawn(
    'java',
    [...serverJvm, '-XX:-UsePerfData', `-Duser.home=${home}`, '-cp', classPath, mainClass, '-c', conf],
    { env: { ...process.env, ROCKETMQ_HOME: home, NAMESRV_ADDR: '' }, stdio: ['ignore', output, output] }
  )
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()))
  t.teardown(() => {
    child.kill('SIGKILL')
    return ended
  })
  return {
    address: `127.0.0.1:${port}`,
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return ended
    }
  }
}

/** A port that is free, and so are those before and behind it that a broker takes. */
export async function freePort(): Promise<number> {
  const listen = (port: number) =>
    new Promise<number>((resolve, reject) => {
      const server = createServer()
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        const { port: taken } = server.address() as { port: number }
        server.close(() => resolve(taken))
      })
    })
  for (;;) {
    const port = (await listen(0)) + 2
    try {
      for (const each of [port - 2, port, port + 1]) await listen(each)
      return port
    } catch {
      // Another one then.
    }
  }
}

/** Starts RocketMQ's NameServer. */
export async function startJavaNameServer(t: Test): Promise<JavaServer> {
  const server = await start(t, 'org.apache.rocketmq.namesrv.NamesrvStartup', await freePort(), {})
  const admin = new Admin({ namesrvAddr: server.address })
  t.teardown(() => admin.close())
  await until(
    () =>
      admin.clusterInfo().then(
        () => true,
        () => false
      ),
    () => 'the NameServer'
  )
  return server
}

/** Starts RocketMQ's broker, and waits until the NameServer knows it. */
export async function startJavaBroker(
  t: Test,
  namesrvAddr: string,
  properties: Properties & { brokerName: string; brokerId: number }
): Promise<JavaServer> {
  const { brokerName, brokerId, listenPort } = properties
  const port = listenPort === undefined ? await freePort() : Number(listenPort)
  const broker = await start(t, 'org.apache.rocketmq.broker.BrokerStartup', port, {
    namesrvAddr,
    brokerIP1: '127.0.0.1',
    brokerIP2: '127.0.0.1',
    bindAddress: '127.0.0.1',
    // On a machine that is busy with a test it would refuse sends.
    waitTimeMillsInSendQueue: 10_000,
    osPageCacheBusyTimeOutMills: 30_000,
    ...properties
  })
  const admin = new Admin({ namesrvAddr })
  t.teardown(() => admin.close())
  await until(
    async () => (await admin.clusterInfo()).brokerAddrTable[brokerName]?.brokerAddrs.get(brokerId) === broker.address,
    () => `${brokerName} with id ${brokerId} at the NameServer`
  )
  return broker
}
