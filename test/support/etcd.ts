import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import { temporaryDirectory } from './broker.ts'
import { until } from './until.ts'

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

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

export interface EtcdProcess {
  readonly endpoint: string
  start(): Promise<void>
  kill(): Promise<void>
}

/** An etcd of one node, whose data outlives its process; the test's end kills it. */
export async function openEtcd(t: Test, path: string): Promise<EtcdProcess> {
  const dir = temporaryDirectory(t)
  const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`]
  let child: ChildProcess | null = null
  const kill = () =>
    new Promise<void>(resolve => {
      if (child === null) resolve()
      else {
        child.once('exit', () => resolve())
        child.kill('SIGKILL')
        child = null
      }
    })
  t.teardown(kill)
  const start = async () => {
    child = spawn(
      path,
      [
        ['--name', 'one'],
        ['--data-dir', dir],
        ['--listen-client-urls', client],
        ['--advertise-client-urls', client],
        ['--listen-peer-urls', peer],
        ['--initial-advertise-peer-urls', peer],
        ['--initial-cluster', `one=${peer}`]
      ].flat(),
      { stdio: 'ignore' }
    )
    await until('etcd answers', () =>
      fetch(`${client}/health`).then(
        answer => answer.ok,
        () => false
      )
    )
  }
  await start()
  return { endpoint: client, start, kill }
}
