import type { Socket } from 'node:net'
import { decodeCommand, encodeHead, isResponse, ONE_WAY_FLAG, RESPONSE_FLAG, type RemotingCommand } from './command.ts'
import type { RequestDispatcher } from './dispatcher.ts'
import { NetError } from './errors.ts'
import { BINARY_AT, BINARY_HEADER, type Frame, FrameDecoder } from './frame.ts'
import { type Log, silentLog } from './log.ts'

export interface ConnectionOptions {
  /** Largest frame, its length field included, in bytes. Default: 16 MiB. */
  maxFrameBytes: number
  /** Unsent bytes from which a peer counts as slow: its requests are read no further until it has caught up. Default: 4 MiB. */
  highWaterMarkBytes: number
  log: Log
}

export const connectionDefaults: Readonly<ConnectionOptions> = Object.freeze({
  maxFrameBytes: 16 * 1024 * 1024,
  highWaterMarkBytes: 4 * 1024 * 1024,
  log: silentLog
})

/** Room for answers that are written in place; advance `pos` by what was written. */
export class OutputBuffer {
  readonly bytes: Buffer
  readonly view: DataView
  pos = 0

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes)
    this.view = new DataView(this.bytes.buffer, 0, sizeBytes)
  }
}

const OUTPUT_BYTES = 64 * 1024
const MAX_POOLED = 64
const pool: OutputBuffer[] = []

/** Who waits for the answer to a request; `expect` sets when the wait ends. */
export interface Waiter {
  /** Reads the answer, which carries the flag of one, from its frame; false leaves it to `resolve`. */
  resolveFrame?(frame: Frame): boolean
  resolve(answer: RemotingCommand): void
  reject(error: NetError): void
  deadline: number
  timeoutMs: number
}

let lastConnectionId = 0

/** One TCP connection, seen from either end: requests and answers travel in both directions. */
export class Connection {
  readonly id = ++lastConnectionId
  /** `ip:port` of the peer. */
  readonly remote: string
  readonly remoteAddress: string
  readonly remotePort: number
  /** What the owner keeps for this connection. */
  readonly state = new Map<symbol | string, unknown>()
  /** Release and language that the peer named last. */
  version = 0
  language: number | null = null
  closed = false
  /** When something last arrived, ms; the server closes idle connections by it. */
  lastActiveMs = Date.now()

  private readonly socket: Socket
  private readonly dispatcher: RequestDispatcher
  private readonly options: ConnectionOptions
  private readonly decoder: FrameDecoder
  private readonly pending = new Map<number, Waiter>()
  private nextOpaque = 0
  private timer: NodeJS.Timeout | null = null
  private timerAt = Number.POSITIVE_INFINITY
  private out: OutputBuffer | null = null
  private flushQueued = false
  private closeReason = 'the peer ended it'
  private readonly closeCallbacks: (() => void)[] = []
  private readonly drainCallbacks: (() => void)[] = []

  constructor(socket: Socket, dispatcher: RequestDispatcher, options: Partial<ConnectionOptions> = {}) {
    this.socket = socket
    this.dispatcher = dispatcher
    this.options = { ...connectionDefaults, ...options }
    this.decoder = new FrameDecoder(this.options.maxFrameBytes)
    this.remoteAddress = socket.remoteAddress ?? '127.0.0.1'
    this.remotePort = socket.remotePort ?? 0
    this.remote = `${this.remoteAddress}:${this.remotePort}`
    socket.setNoDelay(true)
    socket.on('data', chunk => this.onData(chunk as Buffer))
    socket.on('error', error => {
      this.closeReason = error.message
    })
    socket.on('end', () => this.close('the peer ended it'))
    socket.on('close', () => this.onClosed())
    socket.on('drain', () => this.onDrained())
  }

  /** Answers a request, in the request's own header type. */
  reply(request: RemotingCommand, answer: RemotingCommand): void {
    answer.opaque = request.opaque
    answer.flag |= RESPONSE_FLAG
    answer.serializeType = request.serializeType
    this.send(answer)
  }

  /** Sends a command as it is. */
  send(command: RemotingCommand): void {
    const head = encodeHead(command)
    this.writeBytes(head)
    if (command.body !== null) this.writeBytes(command.body)
  }

  /** Sends a request and waits for its answer. Throws NetError REQUEST_TIMEOUT or CONNECTION_CLOSED. */
  invoke(command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    return new Promise((resolve, reject) => {
      this.expect(this.prepare(command), timeoutMs, { resolve, reject, deadline: 0, timeoutMs })
      if (!this.closed) this.send(command)
    })
  }

  /** Sends a request that is never answered. */
  invokeOneWay(command: RemotingCommand): void {
    this.prepare(command)
    command.flag |= ONE_WAY_FLAG
    if (!this.closed) this.send(command)
  }

  /** An opaque for a request that the caller writes itself. */
  takeOpaque(): number {
    this.nextOpaque = (this.nextOpaque + 1) & 0x7fff_ffff
    return this.nextOpaque
  }

  /** Waits for the answer to the request with this opaque. */
  expect(opaque: number, timeoutMs: number, waiter: Waiter): void {
    if (this.closed) {
      waiter.reject(this.closedError())
      return
    }
    waiter.timeoutMs = timeoutMs
    waiter.deadline = Date.now() + timeoutMs
    this.pending.set(opaque, waiter)
    if (waiter.deadline < this.timerAt) this.armTimer(waiter.deadline)
  }

  /** Room for `sizeBytes` behind what is already gathered; all of it is written once, after the current event. */
  output(sizeBytes: number): OutputBuffer {
    let out = this.out
    if (out !== null && out.bytes.length - out.pos < sizeBytes) {
      this.flush()
      out = null
    }
    if (out === null) {
      out = (sizeBytes <= OUTPUT_BYTES ? pool.pop() : undefined) ?? new OutputBuffer(Math.max(OUTPUT_BYTES, sizeBytes))
      this.out = out
    }
    if (!this.flushQueued) {
      this.flushQueued = true
      queueMicrotask(() => {
        this.flushQueued = false
        this.flush()
      })
    }
    return out
  }

  /** Adds bytes: small ones are copied, large ones are written as they are and must not change until they are sent. */
  writeBytes(bytes: Uint8Array): void {
    if (bytes.length <= OUTPUT_BYTES / 4) {
      const out = this.output(bytes.length)
      out.bytes.set(bytes, out.pos)
      out.pos += bytes.length
      return
    }
    this.flush()
    if (!this.closed) this.socket.write(bytes)
  }

  private flush(): void {
    const out = this.out
    if (out === null || out.pos === 0) return
    this.out = null
    if (this.closed) return
    this.socket.write(out.bytes.subarray(0, out.pos), () => {
      out.pos = 0
      if (out.bytes.length === OUTPUT_BYTES && pool.length < MAX_POOLED) pool.push(out)
    })
    if (this.saturated) this.socket.pause()
  }

  get unsentBytes(): number {
    return this.socket.writableLength + (this.out?.pos ?? 0)
  }

  /** Whether the peer reads too slowly for more answers now. */
  get saturated(): boolean {
    return this.socket.writableLength > this.options.highWaterMarkBytes
  }

  /** Calls once when the peer has caught up. */
  onDrain(callback: () => void): void {
    this.drainCallbacks.push(callback)
  }

  onClose(callback: () => void): void {
    this.closeCallbacks.push(callback)
  }

  /** Ends the connection; what was written still goes out. */
  close(reason = 'closed by this side'): void {
    if (this.closed) return
    this.closeReason = reason
    this.flush()
    this.closed = true
    this.socket.end()
    // A peer that never ends its side must not keep the socket.
    setTimeout(() => this.socket.destroy(), 1000).unref()
    this.onClosed()
  }

  /** Called by the decoder. */
  onFrame(frame: Frame): void {
    const { view, headerStart } = frame
    if (frame.serializeType === BINARY_HEADER && view.getInt32(headerStart + BINARY_AT.flag) & RESPONSE_FLAG) {
      const opaque = view.getInt32(headerStart + BINARY_AT.opaque)
      if (this.pending.get(opaque)?.resolveFrame?.(frame)) {
        this.pending.delete(opaque)
        return
      }
    } else {
      const direct = this.dispatcher.direct(frame.code)
      if (direct?.(frame, this)) return
    }
    const command = decodeCommand(frame)
    if (isResponse(command)) {
      const waiting = this.pending.get(command.opaque)
      if (waiting === undefined) {
        this.options.log.debug({ remote: this.remote, opaque: command.opaque }, 'an answer came too late')
        return
      }
      this.pending.delete(command.opaque)
      waiting.resolve(command)
      return
    }
    this.version = command.version
    this.language = command.language
    this.dispatcher.dispatch(command, this)
  }

  private onData(chunk: Buffer): void {
    this.lastActiveMs = Date.now()
    if (this.closed) return
    try {
      this.decoder.push(chunk, this)
    } catch (error) {
      this.options.log.warn({ remote: this.remote, reason: (error as Error).message }, 'closed a connection')
      this.close((error as Error).message)
      this.socket.destroy()
    }
  }

  private onDrained(): void {
    this.socket.resume()
    for (const callback of this.drainCallbacks.splice(0)) callback()
  }

  private onClosed(): void {
    this.closed = true
    this.out = null
    this.settleAll()
    for (const callback of this.closeCallbacks.splice(0)) callback()
    this.drainCallbacks.length = 0
  }

  private prepare(command: RemotingCommand): number {
    command.opaque = this.takeOpaque()
    return command.opaque
  }

  private closedError(): NetError {
    return new NetError('CONNECTION_CLOSED', { address: this.remote, reason: this.closeReason })
  }

  private settleAll(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    const waiting = [...this.pending.values()]
    this.pending.clear()
    for (const waiter of waiting) waiter.reject(this.closedError())
  }

  /** One timer for the earliest deadline of all calls in flight. */
  private armTimer(deadline: number): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timerAt = deadline
    this.timer = setTimeout(() => this.expire(), Math.max(1, deadline - Date.now()))
  }

  private expire(): void {
    this.timer = null
    this.timerAt = Number.POSITIVE_INFINITY
    const now = Date.now()
    let earliest = Number.POSITIVE_INFINITY
    for (const [opaque, waiter] of this.pending) {
      const { deadline, timeoutMs } = waiter
      if (deadline <= now) {
        this.pending.delete(opaque)
        waiter.reject(new NetError('REQUEST_TIMEOUT', { address: this.remote, timeoutMs }))
      } else if (deadline < earliest) earliest = deadline
    }
    if (earliest !== Number.POSITIVE_INFINITY) this.armTimer(earliest)
  }
}
