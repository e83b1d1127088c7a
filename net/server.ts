import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Connection, type ConnectionOptions, connectionDefaults } from './connection.ts'
import type { RequestDispatcher } from './dispatcher.ts'
import { NetError } from './errors.ts'

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
    this.server = createServer({ noDelay: true, pauseOnConnect: false, allowHalfOpen: false }, socket =>
      this.accept(socket)
    )
  }

  /** Listens; port 0 takes a free one. Throws NetError ADDRESS_IN_USE or LISTEN_FAILED. */
  listen(port: number, host: string): Promise<{ port: number; host: string }> {
    return new Promise((resolve, reject) => {
      this.server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new NetError(
            cause.code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'LISTEN_FAILED',
            { host, port, reason: cause.message },
            { cause }
          )
        )
      )
      this.server.listen({ port, host, backlog: 1024 }, () => {
        this.server.removeAllListeners('error')
        this.server.on('error', error => this.options.log.warn({ err: error }, 'accepting a connection failed'))
        resolve({ port: (this.server.address() as AddressInfo).port, host })
      })
    })
  }

  /** Stops accepting, lets answers out, ends all connections. */
  async close(): Promise<void> {
    if (this.idleTimer !== null) clearInterval(this.idleTimer)
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()))
    for (const connection of this.connections) connection.close('the server stops')
    await closed
  }

  private accept(socket: Socket): void {
    const { log } = this.options
    socket.on('error', error => log.debug({ reason: error.message }, 'a connection failed'))
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    // The one place where a connection's first byte decides what it speaks; before the connection sees it.
    socket.once('data', (first: Buffer) => {
      const reason = FOREIGN[first[0]!]
      if (reason === undefined) return
      log.warn({ remote: connection.remote, reason }, 'closed a connection')
      connection.close(reason)
      socket.destroy()
    })
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
