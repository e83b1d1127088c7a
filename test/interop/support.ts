import { spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { Broker } from '../../broker/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { parseBody, RemotingClient, RequestCode, request } from '../../net/index.ts'

/** A broker and its NameServer, as clients need to know them. */
export interface Cluster {
  namesrvAddr: string
  clusterName: string
  brokerName: string
  brokerAddr: string
}

/** Whether the tests run against a cluster that somebody else has started. */
export const isForeign = Boolean(process.env.SKYLARK_INTEROP_TARGET)

/**
 * A NameServer and a broker of ours, ended with the test. With SKYLARK_INTEROP_TARGET=host:port, the NameServer of a
 * cluster that runs already and has one broker: Apache RocketMQ itself must pass these tests too.
 */
export async function startCluster(t: Test): Promise<Cluster> {
  const target = process.env.SKYLARK_INTEROP_TARGET
  if (target) return describeCluster(target)

  const nameServer = new NameServer({ listenPort: 0 })
  await nameServer.start()
  t.teardown(() => nameServer.close())
  const broker = new Broker({
    storePathRootDir: join(scratch(t), 'store'),
    listenPort: 0,
    namesrvAddr: nameServer.address
  })
  await broker.start()
  t.teardown(() => broker.close())
  return describeCluster(nameServer.address)
}

async function describeCluster(namesrvAddr: string): Promise<Cluster> {
  const client = new RemotingClient()
  const reply = await client.invoke(namesrvAddr, request(RequestCode.GET_BROKER_CLUSTER_INFO), 5_000)
  await client.close()
  const info = parseBody(reply.body) as { brokerAddrTable: Record<string, BrokerData> }
  const [broker] = Object.values(info.brokerAddrTable)
  if (broker === undefined) throw new Error(`the NameServer at ${namesrvAddr} knows no broker`)
  return { namesrvAddr, clusterName: broker.cluster, brokerName: broker.brokerName, brokerAddr: broker.brokerAddrs[0] }
}

interface BrokerData {
  cluster: string
  brokerName: string
  brokerAddrs: { 0: string }
}

/** A temporary folder that goes with the test. */
export function scratch(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'skylark-interop-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }))
  return dir
}

/** A name for a topic or group that no earlier run on the same cluster has used. */
let named = 0
const run = Date.now().toString(36)
export const fresh = (kind: string): string => `${kind}_${run}_${++named}`

/** Waits until a condition holds. The bound is there for what never comes, not to measure time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: () => string,
  boundMs = 90_000
): Promise<void> {
  const deadline = Date.now() + boundMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what()}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** Whether all tools are there. Where they aren't, CI fails and everybody else sees which test was skipped, and why. */
export function hasTools(t: Test, ...names: string[]): boolean {
  const missing = names.filter(name => !isOnPath(name))
  if (missing.length === 0) return true
  const reason = `${missing.join(', ')} not found`
  if (process.env.CI) t.fail(reason)
  else t.skip(`clients that need ${names.join(', ')}`, { skip: reason }, () => {})
  return false
}

function isOnPath(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(dir => {
    try {
      accessSync(join(dir, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Starts a program as a user would, and ends it with the test. */
export function launch(t: Test, program: string, args: string[], env: Record<string, string>): Printing {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', line => lines.push(line))
  const closed = new Promise<void>((resolve, reject) => {
    child.on('close', () => resolve())
    child.on('error', reject)
  })
  t.teardown(() => {
    child.kill('SIGKILL')
    return closed
  })
  return { lines, ended: closed.then(() => lines) }
}

/** What prints: its lines so far, and all of them once it has ended. */
export interface Printing {
  lines: string[]
  ended: Promise<string[]>
}

/** Runs a program to its end; throws what it printed when it fails. */
export function execute(program: string, args: string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let printed = ''
    child.stdout.on('data', chunk => {
      printed += chunk
    })
    child.stderr.on('data', chunk => {
      printed += chunk
    })
    child.on('error', reject)
    child.on('close', code => {
      if (code === 0) resolve(printed)
      else reject(new Error(`${program} ${args.join(' ')} ended with ${code}:\n${printed}`))
    })
  })
}
