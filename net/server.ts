import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Connection, type ConnectionOptions, connectionDefaults } from './connection.ts'
import type { RequestDispatcher } from './dispatcher.ts'
import { NetError } from './errors.ts'
import type { Log } from './log.ts'
import { readingSocket } from './reading.ts'

export interface RemotingServerOptions extends ConnectionOptions {
  /** A connection on which nothing arrives for so long is closed. Default: 120,000. serverChannelMaxIdleTimeSeconds */
  idleTimeoutMs: number
}

export const serverDefaults: Readonly<RemotingServerOptions> = Object.freeze({
  ...connectionDefaults,
  idleTimeoutMs: 120_000
})

const IDLE_CHECKS_PER_TIMEOUT = 12
/** First bytes that are no frame's: a TLS hello, and the two versions of the PROXY protocol. */
const FOREIGN: Readonly<Record<number, string>> = {
  22: 'TLS is not enabled here',
  80: 'the PROXY protocol is not enabled here',
  13: 'the PROXY protocol is not enabled here'
}

/** Makes a server listen; port 0 takes a free one. Returns the port. Throws NetError ADDRESS_IN_USE or LISTEN_FAILED. */
export function listenOn(server: Server, port: number, host: string, log: Log): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new NetError(
          cause.code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'LISTEN_FAILED',
          { host, port, reason: cause.message },
          { cause }
        )
      )
    )
    server.listen({ port, host, backlog: 1024 }, () => {
      server.removeAllListeners('error')
      server.on('error', error => log.warn({ err: error }, 'accepting a connection failed'))
      resolve((server.address() as AddressInfo).port)
    })
  })
}

/** Accepts connections and serves their requests from one dispatch table. NettyRemotingServer */
export class RemotingServer {
  readonly connections = new Set<Connection>()
  /** Called with each new connection. */
  onConnection: ((connection: Connection) => void) | null = null

  private readonly dispatcher: RequestDispatcher
  private readonly options: RemotingServerOptions
  private readonly server: Server
  private idleTimer: NodeJS.Timeout | null = null

  constructor(dispatcher: RequestDispatcher, options: Partial<RemotingServerOptions> = {}) {
    this.dispatcher = dispatcher
    this.options = { ...serverDefaults, ...options }
    this.server = createServer({ noDelay: true, pauseOnConnect: true, allowHalfOpen: false }, accepted =>
      this.accept(accepted)
    )
  }

  /** Listens; port 0 takes a free one. Throws NetError ADDRESS_IN_USE or LISTEN_FAILED. */
  async listen(port: number, host: string): Promise<{ port: number; host: string }> {
    return { port: await listenOn(this.server, port, host, this.options.log), host }
  }

  /** Stops accepting, lets answers out, ends all connections. */
  async close(): Promise<void> {
    if (this.idleTimer !== null) clearInterval(this.idleTimer)
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()))
    for (const connection of this.connections) connection.close('the server stops')
    await closed
  }

  private accept(accepted: Socket): void {
    const { log } = this.options
    const onError = (error: Error) => log.debug({ reason: error.message }, 'a connection failed')
    accepted.on('error', onError)
    if (accepted.remoteAddress === undefined) {
      accepted.destroy()
      return
    }
    // The one place where a connection's first byte decides what it speaks; before the connection sees it.
    let receive = (first: Buffer): void => {
      const reason = FOREIGN[first[0]!]
      receive = bytes => connection.receive(bytes)
      if (reason === undefined) {
        receive(first)
        return
      }
      log.warn({ remote: connection.remote, reason }, 'closed a connection')
      connection.close(reason)
      socket.destroy()
    }
    const socket = readingSocket(accepted, bytes => receive(bytes))
    socket.on('error', onError)
    const connection = new Connection(socket, this.dispatcher, this.options)
    this.connections.add(connection)
    connection.onClose(() => this.connections.delete(connection))
    this.watchIdle()
    this.onConnection?.(connection)
  }

  /** One coarse timer for all connections, and none while there are none. */
  private watchIdle(): void {
    if (this.idleTimer !== null) return
    const { idleTimeoutMs } = this.options
    this.idleTimer = setInterval(() => {
      const oldest = Date.now() - idleTimeoutMs
      for (const connection of this.connections) if (connection.lastActiveMs < oldest) connection.close('it was idle')
      if (this.connections.size > 0) return
      clearInterval(this.idleTimer!)
      this.idleTimer = null
    }, idleTimeoutMs / IDLE_CHECKS_PER_TIMEOUT)
    this.idleTimer.unref()
  }
}
