import type { Test } from 'tap'
import {
  RemotingClient,
  type RemotingClientOptions,
  RemotingServer,
  type RemotingServerOptions,
  RequestDispatcher,
  response
} from '../../net/index.ts'
import { keepLog } from './log.ts'
import { RawClient } from './raw-client.ts'

/** Answers with the fields and the body of its request. */
export const ECHO = 1
/** Never answers. */
export const SILENCE = 2

/** A server on a free port that echoes, and ways to reach it; the test's end closes them all. */
export async function openServer(t: Test, options: Partial<RemotingServerOptions> = {}) {
  const log = keepLog()
  const dispatcher = new RequestDispatcher(log)
  dispatcher.register(ECHO, ({ extFields, body }) => response(0, null, extFields, body))
  dispatcher.register(SILENCE, () => null)
  const server = new RemotingServer(dispatcher, { log, ...options })
  const { host, port } = await server.listen(0, '127.0.0.1')
  const address = `${host}:${port}`
  t.teardown(() => server.close())
  return {
    server,
    dispatcher,
    address,
    log,
    /** A client of ours. */
    client(clientOptions: Partial<RemotingClientOptions> = {}): RemotingClient {
      const client = new RemotingClient(clientOptions)
      t.teardown(() => client.close())
      return client
    },
    /** A peer that may do anything. */
    async raw(): Promise<RawClient> {
      const raw = await RawClient.open(address)
      t.teardown(() => raw.close())
      return raw
    }
  }
}
