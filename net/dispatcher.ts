import { ResponseCode } from './codes.ts'
import { isOneWay, type RemotingCommand, response } from './command.ts'
import type { Connection } from './connection.ts'
import type { Frame } from './frame.ts'
import { type Log, silentLog } from './log.ts'

/** Answers a request; null when there is no answer, or none yet. */
export type RequestHandler = (
  request: RemotingCommand,
  connection: Connection
) => RemotingCommand | null | Promise<RemotingCommand | null>

/** Serves a hot code from the frame itself; false sends the frame the general way. */
export type DirectHandler = (frame: Frame, connection: Connection) => boolean

/** An error that says itself what a peer is answered with. */
interface Answering {
  responseCode: number
  message: string
}

/** One table of all request codes that a process serves. */
export class RequestDispatcher {
  private readonly handlers = new Map<number, RequestHandler>()
  private readonly directHandlers = new Map<number, DirectHandler>()
  private readonly log: Log
  /** Asked before the handler of every request, none of which goes the direct way then; what it returns is the answer. */
  intercept: ((request: RemotingCommand) => RemotingCommand | null) | null = null

  constructor(log: Log = silentLog) {
    this.log = log
  }

  register(code: number, handler: RequestHandler): void {
    this.handlers.set(code, handler)
  }

  /** Beside `register`, whose handler stays the general way. */
  registerDirect(code: number, handler: DirectHandler): void {
    this.directHandlers.set(code, handler)
  }

  /** From now on `check` is asked before the handlers that these codes have; what it returns is the answer. */
  guard(codes: readonly number[], check: () => RemotingCommand | null): void {
    for (const code of codes) {
      const handler = this.handlers.get(code)
      if (handler !== undefined)
        this.handlers.set(code, (request, connection) => check() ?? handler(request, connection))
      const direct = this.directHandlers.get(code)
      if (direct !== undefined)
        this.directHandlers.set(code, (frame, connection) => check() === null && direct(frame, connection))
    }
  }

  direct(code: number): DirectHandler | undefined {
    return this.intercept === null ? this.directHandlers.get(code) : undefined
  }

  codes(): number[] {
    return [...this.handlers.keys()]
  }

  /** A table with all but these codes: what the VIP port serves. */
  without(codes: readonly number[]): RequestDispatcher {
    const other = new RequestDispatcher(this.log)
    for (const [code, handler] of this.handlers) if (!codes.includes(code)) other.register(code, handler)
    for (const [code, handler] of this.directHandlers) if (!codes.includes(code)) other.registerDirect(code, handler)
    return other
  }

  /** Runs the handler of a decoded request and sends its answer. Never throws. */
  dispatch(request: RemotingCommand, connection: Connection): void {
    const intercepted = this.intercept?.(request) ?? null
    if (intercepted !== null) {
      this.answer(request, connection, intercepted)
      return
    }
    const handler = this.handlers.get(request.code)
    if (handler === undefined) {
      this.answer(
        request,
        connection,
        response(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, ` request type ${request.code} not supported`)
      )
      return
    }
    try {
      const answer = handler(request, connection)
      if (answer instanceof Promise) {
        answer
          .then(late => this.answer(request, connection, late))
          .catch(error => this.fail(request, connection, error))
      } else this.answer(request, connection, answer)
    } catch (error) {
      this.fail(request, connection, error)
    }
  }

  private answer(request: RemotingCommand, connection: Connection, answer: RemotingCommand | null): void {
    if (answer !== null && !isOneWay(request)) connection.reply(request, answer)
  }

  private fail(request: RemotingCommand, connection: Connection, error: unknown): void {
    const { responseCode, message }: Partial<Answering> = error ?? {}
    const expected = typeof responseCode === 'number'
    if (!expected) this.log.error({ err: error, code: request.code, remote: connection.remote }, 'a handler failed')
    const code = expected ? responseCode : ResponseCode.SYSTEM_ERROR
    this.answer(request, connection, response(code, typeof message === 'string' ? message : String(error)))
  }
}
