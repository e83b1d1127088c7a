import { connect } from 'node:net'
import { LANGUAGE_OTHER, MQ_VERSION } from './codes.ts'
import type { RemotingCommand } from './command.ts'
import { Connection, type ConnectionOptions, connectionDefaults } from './connection.ts'
import { RequestDispatcher } from './dispatcher.ts'
import { NetError } from './errors.ts'
import { BINARY_HEADER, type SerializeType } from './frame.ts'
import { readsOf } from './reading.ts'

export interface RemotingClientOptions extends ConnectionOptions {
  /** Default: 3,000. */
  connectTimeoutMs: number
  /** Header type of requests: 0 JSON, 1 binary. Default: 1. */
  serializeType: SerializeType
  /** What the client calls itself; an index into LANGUAGES. Default: OTHER. */
  language: number
}

export const clientDefaults: Readonly<RemotingClientOptions> = Object.freeze({
  ...connectionDefaults,
  connectTimeoutMs: 3000,
  serializeType: BINARY_HEADER,
  language: LANGUAGE_OTHER
})

/** `host:port`, IPv6 hosts in brackets. Throws NetError ADDRESS_BAD. */
export function parseAddress(address: string): { host: string; port: number } {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(address.trim()) ?? []
  if (host === undefined || Number(port) > 65535) throw new NetError('ADDRESS_BAD', { address })
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
}

/** Calls peers over one connection each, opened when first needed. NettyRemotingClient */
export class RemotingClient {
  /** Serves what peers ask of us. */
  readonly dispatcher: RequestDispatcher
  /** Called with each new connection, before anything is sent on it. */
  onConnect: ((connection: Connection, address: string) => void) | null = null

  private readonly options: RemotingClientOptions
  private readonly connections = new Map<string, Promise<Connection>>()
  private readonly open = new Map<string, Connection>()
  private closed = false

  constructor(options: Partial<RemotingClientOptions> = {}) {
    this.options = { ...clientDefaults, ...options }
    this.dispatcher = new RequestDispatcher(this.options.log)
  }

  /**
   * Sends a request and waits for its answer. Throws NetError CONNECT_FAILED, REQUEST_TIMEOUT, CONNECTION_CLOSED.
   * A connection that was silent for all that time is closed. NettyClientConfig#clientCloseSocketIfTimeout
   */
  async invoke(address: string, command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    const connection = this.open.get(address) ?? (await this.connection(address))
    const { lastActiveMs } = connection
    try {
      return await connection.invoke(this.own(command), timeoutMs)
    } catch (error) {
      // A peer that has said nothing since may be gone without a word: the next call shall not wait for it again.
      if ((error as NetError).code === 'REQUEST_TIMEOUT' && connection.lastActiveMs === lastActiveMs) connection.close()
      throw error
    }
  }

  /** Sends a request that is never answered, once the peer has room for it. Throws NetError CONNECT_FAILED. */
  async invokeOneWay(address: string, command: RemotingCommand): Promise<void> {
    const connection = this.open.get(address) ?? (await this.connection(address))
    while (connection.saturated && !connection.closed) await connection.drained()
    connection.invokeOneWay(this.own(command))
  }

  /** The open connection to an address, if there is one: the hot path's way without a promise. */
  openConnection(address: string): Connection | undefined {
    return this.open.get(address)
  }

  /** The connection to an address. Throws NetError CONNECT_FAILED. */
  connection(address: string): Promise<Connection> {
    let opening = this.connections.get(address)
    if (opening === undefined) {
      if (this.closed)
        return Promise.reject(new NetError('CONNECT_FAILED', { address, reason: 'the client is closed' }))
      opening = this.connect(address)
      this.connections.set(address, opening)
      opening.catch(() => this.connections.delete(address))
    }
    return opening
  }

  closeConnection(address: string): void {
    this.open.get(address)?.close()
  }

  /** Ends all connections; what waits for an answer fails with CONNECTION_CLOSED. */
  async close(): Promise<void> {
    this.closed = true
    for (const opening of this.connections.values())
      opening.then(
        connection => connection.close(),
        () => {}
      )
    this.connections.clear()
    this.open.clear()
  }

  private own(command: RemotingCommand): RemotingCommand {
    command.serializeType = this.options.serializeType
    command.language = this.options.language
    command.version = MQ_VERSION
    return command
  }

  private async connect(address: string): Promise<Connection> {
    const { host, port } = parseAddress(address)
    let connection: Connection | null = null
    const socket = connect({ host, port, noDelay: true, onread: readsOf(bytes => connection?.receive(bytes)) })
    await new Promise<void>((resolve, reject) => {
      const fail = (reason: string, cause?: Error) => {
        socket.destroy()
        reject(new NetError('CONNECT_FAILED', { address, reason }, { cause }))
      }
      socket.setTimeout(this.options.connectTimeoutMs, () =>
        fail(`no answer within ${this.options.connectTimeoutMs} ms`)
      )
      // Node's error for a name with several addresses has a code and no message.
      socket.once('error', (error: NodeJS.ErrnoException) => fail(error.message || String(error.code), error))
      socket.once('connect', () => {
        socket.setTimeout(0)
        socket.removeAllListeners('error')
        socket.removeAllListeners('timeout')
        resolve()
      })
    })
    const opened = new Connection(socket, this.dispatcher, this.options)
    connection = opened
    this.open.set(address, opened)
    opened.onClose(() => {
      if (this.open.get(address) !== opened) return
      this.open.delete(address)
      this.connections.delete(address)
    })
    this.onConnect?.(opened, address)
    return opened
  }
}
