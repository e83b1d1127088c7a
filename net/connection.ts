import type { Socket } from 'node:net'
import { ResponseCode } from './codes.ts'
import {
  decodeCommand,
  encodeHead,
  isResponse,
  ONE_WAY_FLAG,
  RESPONSE_FLAG,
  type RemotingCommand,
  response
} from './command.ts'
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
/** What is larger is written as it is, not copied. */
const MAX_COPIED_BYTES = OUTPUT_BYTES / 4
const MAX_POOLED = 64
const pool: OutputBuffer[] = []

function release(out: OutputBuffer): void {
  out.pos = 0
  if (out.bytes.length === OUTPUT_BYTES && pool.length < MAX_POOLED) pool.push(out)
}

/** Requests in flight on one connection. NettySystemConfig#CLIENT_ASYNC_SEMAPHORE_VALUE */
const MAX_PENDING = 65535
/** How long a peer may take to end its side once this one has ended. */
const CLOSE_TIMEOUT_MS = 1000
const MAPPED_IPV4 = '::ffff:'

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
  private closeTimer: NodeJS.Timeout | null = null
  private timer: NodeJS.Timeout | null = null
  private timerAt = Number.POSITIVE_INFINITY
  private out: OutputBuffer | null = null
  private flushQueued = false
  private closeReason = 'the peer ended it'
  private readonly closeCallbacks: (() => void)[] = []
  private readonly drainCallbacks: (() => void)[] = []
  private readonly drainWaiters: (() => void)[] = []

  constructor(socket: Socket, dispatcher: RequestDispatcher, options: Partial<ConnectionOptions> = {}) {
    this.socket = socket
    this.dispatcher = dispatcher
    this.options = { ...connectionDefaults, ...options }
    this.decoder = new FrameDecoder(this.options.maxFrameBytes)
    const address = socket.remoteAddress ?? '127.0.0.1'
    this.remoteAddress = address.startsWith(MAPPED_IPV4) ? address.slice(MAPPED_IPV4.length) : address
    this.remotePort = socket.remotePort ?? 0
    this.remote = `${this.remoteAddress}:${this.remotePort}`
    socket.setNoDelay(true)
    socket.on('error', error => {
      this.closeReason = error.message
    })
    socket.on('end', () => this.close('the peer ended it'))
    socket.on('close', () => this.onClosed())
    socket.on('drain', () => this.onDrained())
  }

  /** Answers a request, in the request's own header type; with SYSTEM_ERROR when the answer cannot be sent. Never throws. */
  reply(request: RemotingCommand, answer: RemotingCommand): void {
    answer.opaque = request.opaque
    answer.flag |= RESPONSE_FLAG
    answer.serializeType = request.serializeType
    try {
      this.send(answer)
    } catch (error) {
      const { opaque, serializeType } = answer
      this.options.log.error({ err: error, code: request.code, remote: this.remote }, 'an answer cannot be sent')
      this.send({ ...response(ResponseCode.SYSTEM_ERROR, (error as Error).message), opaque, serializeType })
    }
  }

  /** Sends a command as it is. Throws NetError FRAME_TOO_LARGE. */
  send(command: RemotingCommand): void {
    if (this.closed) return
    const head = encodeHead(command)
    const length = head.length + (command.body?.length ?? 0)
    if (length > this.options.maxFrameBytes)
      throw new NetError('FRAME_TOO_LARGE', { length, max: this.options.maxFrameBytes })
    this.writeBytes(head)
    if (command.body !== null) this.writeBytes(command.body)
  }

  /**
   * Sends a request and waits for its answer.
   * Throws NetError REQUEST_TIMEOUT, CONNECTION_CLOSED, TOO_MANY_REQUESTS or FRAME_TOO_LARGE.
   */
  invoke(command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    return new Promise((resolve, reject) => {
      command.opaque = this.takeOpaque()
      const waiter = { resolve, reject, deadline: 0, timeoutMs }
      this.expect(command.opaque, timeoutMs, waiter)
      if (this.pending.get(command.opaque) !== waiter) return
      try {
        this.send(command)
      } catch (error) {
        this.pending.delete(command.opaque)
        reject(error)
      }
    })
  }

  /** Sends a request that is never answered. Throws NetError FRAME_TOO_LARGE. */
  invokeOneWay(command: RemotingCommand): void {
    command.opaque = this.takeOpaque()
    command.flag |= ONE_WAY_FLAG
    this.send(command)
  }

  /** An opaque for a request that the caller writes itself. */
  takeOpaque(): number {
    this.nextOpaque = (this.nextOpaque + 1) & 0x7fff_ffff
    return this.nextOpaque
  }

  /** Waits for the answer to the request with this opaque; rejects at once when the connection cannot take another. */
  expect(opaque: number, timeoutMs: number, waiter: Waiter): void {
    if (this.closed) {
      waiter.reject(this.closedError())
      return
    }
    if (this.pending.size >= MAX_PENDING) {
      waiter.reject(new NetError('TOO_MANY_REQUESTS', { address: this.remote, max: MAX_PENDING }))
      return
    }
    waiter.timeoutMs = timeoutMs
    waiter.deadline = performance.now() + timeoutMs
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
        this.flushGathered()
      })
    }
    return out
  }

  /** Adds bytes: small ones are copied, large ones are written as they are and must not change until they are sent. */
  writeBytes(bytes: Uint8Array): void {
    if (this.closed) return
    if (bytes.length <= MAX_COPIED_BYTES) {
      const out = this.output(bytes.length)
      out.bytes.set(bytes, out.pos)
      out.pos += bytes.length
      return
    }
    // One system call for what stands in front of them and for the bytes themselves.
    this.socket.cork()
    this.flush()
    this.socket.write(bytes, () => this.flushGathered())
    this.socket.uncork()
    this.pauseIfSaturated()
  }

  /** Behind bytes that a slow peer has not taken yet it is gathered further: their callback comes here again. */
  private flushGathered(): void {
    if (this.socket.writableLength === 0) this.flush()
  }

  private flush(): void {
    const out = this.out
    if (out === null) return
    this.out = null
    if (out.pos === 0 || this.closed || !this.socket.writable) {
      release(out)
      return
    }
    // The callback comes when the kernel has the bytes, or the socket is gone: until then nobody writes into them.
    this.socket.write(out.bytes.subarray(0, out.pos), () => {
      release(out)
      this.flushGathered()
    })
    this.pauseIfSaturated()
  }

  private pauseIfSaturated(): void {
    if (this.saturated) this.socket.pause()
  }

  /** Bytes that the kernel has not taken yet. */
  get unsentBytes(): number {
    return this.socket.writableLength + (this.out?.pos ?? 0)
  }

  /** Whether the peer reads too slowly for more answers now. Its requests are read no further until it has caught up. */
  get saturated(): boolean {
    return this.socket.writableLength > this.options.highWaterMarkBytes
  }

  /** Calls once when the peer has caught up; for use while `saturated`. Never called when the connection closes before. */
  onDrain(callback: () => void): void {
    this.drainCallbacks.push(callback)
  }

  /** Resolves when the peer has caught up or the connection is closed; for use while `saturated`. */
  drained(): Promise<void> {
    return new Promise(resolve => {
      if (this.closed) resolve()
      else this.drainWaiters.push(resolve)
    })
  }

  /** Calls once when the connection is closed, at once if it is. */
  onClose(callback: () => void): void {
    if (this.closed) this.guard(callback)
    else this.closeCallbacks.push(callback)
  }

  /** Ends the connection; what was written still goes out. */
  close(reason = 'closed by this side'): void {
    if (this.closed) return
    this.closeReason = reason
    this.flush()
    this.closed = true
    this.socket.end()
    this.closeTimer = setTimeout(() => this.socket.destroy(), CLOSE_TIMEOUT_MS).unref()
    this.onClosed()
  }

  /** Asked by the decoder: whether it should keep further frames back. */
  get full(): boolean {
    return this.saturated
  }

  /** Called by the decoder. */
  onFrame(frame: Frame): void {
    if (this.closed) return
    const { view, headerStart } = frame
    if (frame.serializeType === BINARY_HEADER && view.getInt32(headerStart + BINARY_AT.flag) & RESPONSE_FLAG) {
      const opaque = view.getInt32(headerStart + BINARY_AT.opaque)
      if (this.pending.get(opaque)?.resolveFrame?.(frame)) {
        this.pending.delete(opaque)
        return
      }
    } else if (frame.serializeType === BINARY_HEADER || this.pending.size === 0) {
      // A JSON header shows only when it is parsed whether it is an answer's; without a call in flight it is not.
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

  /** Takes bytes of the peer; they are only lent. */
  receive(chunk: Buffer): void {
    this.lastActiveMs = Date.now()
    if (!this.closed) this.read(() => this.decoder.push(chunk, this))
  }

  /** A frame that cannot be read ends this connection and nothing else. */
  private read(decode: () => void): void {
    try {
      decode()
    } catch (error) {
      const reason = (error as Error).message
      if (error instanceof NetError) this.options.log.warn({ remote: this.remote, reason }, 'closed a connection')
      else this.options.log.error({ err: error, remote: this.remote }, 'closed a connection')
      this.close(reason)
      this.socket.destroy()
    }
  }

  private onDrained(): void {
    for (const callback of this.drainCallbacks.splice(0)) this.guard(callback)
    for (const resolve of this.drainWaiters.splice(0)) resolve()
    if (!this.closed) this.read(() => this.decoder.resume(this))
    if (!this.saturated) this.socket.resume()
  }

  private onClosed(): void {
    if (this.socket.closed && this.closeTimer !== null) clearTimeout(this.closeTimer)
    this.closed = true
    this.out = null
    // Its owner forgets the connection before those who wait on it try again.
    for (const callback of this.closeCallbacks.splice(0)) this.guard(callback)
    this.settleAll()
    this.drainCallbacks.length = 0
    for (const resolve of this.drainWaiters.splice(0)) resolve()
  }

  /** Callbacks run from the event loop, where an error would end the process. */
  private guard(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.options.log.error({ err: error, remote: this.remote }, 'a callback of a connection failed')
    }
  }

  /** What calls fail with once the connection is closed. */
  closedError(): NetError {
    return new NetError('CONNECTION_CLOSED', { address: this.remote, reason: this.closeReason })
  }

  private settleAll(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    const waiting = [...this.pending.values()]
    this.pending.clear()
    for (const waiter of waiting) this.guard(() => waiter.reject(this.closedError()))
  }

  /** One timer for the earliest deadline of all calls in flight. */
  private armTimer(deadline: number): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timerAt = deadline
    this.timer = setTimeout(() => this.expire(), Math.max(1, deadline - performance.now()))
  }

  private expire(): void {
    this.timer = null
    this.timerAt = Number.POSITIVE_INFINITY
    const now = performance.now()
    let earliest = Number.POSITIVE_INFINITY
    for (const [opaque, waiter] of this.pending) {
      const { deadline, timeoutMs } = waiter
      if (deadline <= now) {
        this.pending.delete(opaque)
        this.guard(() => waiter.reject(new NetError('REQUEST_TIMEOUT', { address: this.remote, timeoutMs })))
      } else if (deadline < earliest) earliest = deadline
    }
    if (earliest !== Number.POSITIVE_INFINITY) this.armTimer(earliest)
  }
}
