import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { SMALL_STORE } from './broker.ts'

export interface ServerProcess {
  process: ChildProcess
  address: string
  /** Ends it without warning. */
  kill(): Promise<void>
}

export interface BrokerProcess extends ServerProcess {
  /** Ends it in order. */
  stop(): Promise<void>
}

/** Starts a broker as a process of its own; the test's end kills it at the latest. */
export async function startBrokerProcess(
  t: Test,
  options: Partial<BrokerOptions> & { storePathRootDir: string },
  onStarted: (child: ChildProcess) => void = () => {}
): Promise<BrokerProcess> {
  const child = fork(new URL('./broker-process.js', import.meta.url), [
    JSON.stringify({
      listenPort: 0,
      vipPortEnable: false,
      brokerName: 'broker-a',
      ...options,
      store: { ...SMALL_STORE, ...options.store }
    })
  ])
  t.teardown(() => child.kill('SIGKILL'))
  onStarted(child)
  const ended = once(child, 'exit')
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await ended
  }
  const address = await new Promise<string>((resolve, reject) => {
    child.once('message', message => resolve((message as { address: string }).address))
    child.once('exit', (code, signal) => reject(new Error(`the broker ended while it started: ${code ?? signal}`)))
  })
  return { process: child, address, kill: () => end('SIGKILL'), stop: () => end('SIGTERM') }
}

/** Starts a NameServer as a process of its own, on a free port unless told one. */
export async function startNameServerProcess(
  t: Test,
  listen: { host: string; port: number } = { host: '127.0.0.1', port: 0 }
): Promise<ServerProcess> {
  const child = fork(new URL('./name-server-process.js', import.meta.url), [listen.host, String(listen.port)])
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  return {
    process: child,
    address,
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    }
  }
}
