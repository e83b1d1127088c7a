import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { freePort } from './free-port.ts'

const START_TIMEOUT_MS = 30_000

/** The etcd of this machine; null without one. */
export function findEtcd(): string | null {
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(dir, 'etcd')
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {}
  }
  return null
}

/** An etcd of one node, whose data outlives its process. */
export interface EtcdProcess {
  readonly endpoint: string
  /** Resolves when it answers. */
  start(): Promise<void>
  kill(): Promise<void>
}

/** Prepares an etcd that keeps its data in a folder. */
export async function etcdIn(dir: string, path: string): Promise<EtcdProcess> {
  const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`]
  const args = [
    ['--name', 'one'],
    ['--data-dir', dir],
    ['--listen-client-urls', client],
    ['--advertise-client-urls', client],
    ['--listen-peer-urls', peer],
    ['--initial-advertise-peer-urls', peer],
    ['--initial-cluster', `one=${peer}`]
  ].flat()
  let child: ChildProcess | null = null
  return {
    endpoint: client,
    async start() {
      child = spawn(path, args, { stdio: 'ignore' })
      const deadline = Date.now() + START_TIMEOUT_MS
      const answers = () =>
        fetch(`${client}/health`).then(
          answer => answer.ok,
          () => false
        )
      while (!(await answers())) {
        if (Date.now() > deadline) throw new Error(`etcd does not answer within ${START_TIMEOUT_MS / 1000} s`)
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    },
    kill: () =>
      new Promise<void>(resolve => {
        if (child === null) resolve()
        else {
          child.once('exit', () => resolve())
          child.kill('SIGKILL')
          child = null
        }
      })
  }
}
