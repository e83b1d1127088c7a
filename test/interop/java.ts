import { mkdirSync, readFileSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { inRepo } from '../support/repo.ts'
import { cached } from './cache.ts'
import { Driver } from './driver.ts'
import { type Cluster, execute, scratch } from './support.ts'

/** The clients that are run: the last 4.x, and the newest 5.x. */
export const javaVersions = ['4.9.8', '5.5.0'] as const
export type JavaVersion = (typeof javaVersions)[number]

const sources = inRepo('test', 'interop', 'java')

/** The class path of a version: its jars from Maven Central and our driver, fetched and compiled when missing. */
async function classPath(version: JavaVersion): Promise<string> {
  const pom = join(sources, `rocketmq-${version}`)
  const jars = await cached(`jars-${version}`, readFileSync(join(pom, 'pom.xml')), into =>
    execute(
      'mvn',
      ['-q', '-B', 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${into}`],
      pom
    )
  )
  const driver = join(sources, 'Driver.java')
  const classes = await cached(`classes-${version}`, readFileSync(driver), into =>
    execute('javac', ['-nowarn', '-encoding', 'UTF-8', '-cp', join(jars, '*'), '-d', into, driver], sources)
  )
  return `${classes}:${join(jars, '*')}`
}

/** Starts a JVM with our driver on a stock client. It writes nothing outside a temporary folder. */
export async function startJava(
  t: Test,
  cluster: Cluster,
  version: JavaVersion,
  headers: 'JSON' | 'ROCKETMQ' = 'JSON'
): Promise<Driver> {
  const command = await javaCommand(t, cluster, version, headers)
  return new Driver(t, 'java', [...command.args, 'Driver'], command.env)
}

/** What starts a JVM on a stock client: options, and the environment that users set. */
export async function javaCommand(
  t: Test,
  cluster: Cluster,
  version: JavaVersion,
  headers: 'JSON' | 'ROCKETMQ' = 'JSON'
): Promise<{ args: string[]; env: Record<string, string> }> {
  const home = scratch(t)
  mkdirSync(join(home, 'conf'))
  await copyFile(join(sources, 'logback.xml'), join(home, 'conf', 'logback_tools.xml'))
  return {
    args: [
      '-Xmx256m',
      '-XX:TieredStopAtLevel=1',
      '-XX:+UseSerialGC',
      '-XX:-UsePerfData',
      `-Duser.home=${home}`,
      `-Drocketmq.client.logRoot=${home}`,
      `-Dlogback.configurationFile=${join(home, 'conf', 'logback_tools.xml')}`,
      // How long a client waits between looks at its balance: 20 s, when nobody says otherwise.
      '-Drocketmq.client.rebalance.waitInterval=1000',
      `-Drocketmq.serialize.type=${headers}`,
      '-cp',
      await classPath(version)
    ],
    env: { NAMESRV_ADDR: cluster.namesrvAddr, ROCKETMQ_HOME: home }
  }
}
