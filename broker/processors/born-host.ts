import { type Host, hostOf } from '../../message/index.ts'
import type { Connection } from '../../net/index.ts'

const BORN_HOST = Symbol('born host')

/** The peer as records name it. */
export function bornHostOf(connection: Connection): Host {
  let host = connection.state.get(BORN_HOST) as Host | undefined
  if (host === undefined) {
    host = hostOf(connection.remoteAddress, connection.remotePort)
    connection.state.set(BORN_HOST, host)
  }
  return host
}
