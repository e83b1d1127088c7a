import { ResponseCode } from './codes.ts'

/** All that can go wrong on the wire. */
export const NetErrors = {
  FRAME_TOO_LARGE: 'a frame of {length} bytes is over the limit of {max}',
  BAD_FRAME: 'the frame is malformed: {reason}',
  BAD_JSON: 'the JSON text is broken at character {position}: {reason}',
  HEADER_FIELD_MISSING: 'the request lacks the field {field}',
  HEADER_FIELD_BAD: 'the field {field} holds "{value}", which is no {type}',
  BODY_BAD: 'the body of the request is wrong: {reason}',
  ADDRESS_BAD: '"{address}" is no address: it reads host:port',
  ADDRESS_IN_USE: 'another process listens on {host}:{port}',
  LISTEN_FAILED: 'cannot listen on {host}:{port}: {reason}',
  CONNECT_FAILED: 'cannot connect to {address}: {reason}',
  CONNECTION_CLOSED: 'the connection to {address} was closed: {reason}',
  REQUEST_TIMEOUT: 'no response from {address} within {timeoutMs} ms',
  TOO_MANY_REQUESTS: '{max} requests to {address} wait for an answer already',
  CONFIG_UNREADABLE: 'the configuration file {path} cannot be read: {reason}',
  CONFIG_BAD_VALUE: '{file}: {key} is "{value}"; allowed is {allowed}',
  CONFIG_TEXT_BAD: 'string2Properties error',
  CONFIG_BLACKLISTED: 'Can not update config in black list.',
  CONFIG_FIXED: '{key} cannot be changed while the process runs: set it in the configuration file and start again'
} as const

export type NetErrorCode = keyof typeof NetErrors

/** Which of them a peer is told about as its own mistake; every other is SYSTEM_ERROR. */
const RESPONSE_CODES: Partial<Record<NetErrorCode, number>> = {
  HEADER_FIELD_MISSING: ResponseCode.INVALID_PARAMETER,
  HEADER_FIELD_BAD: ResponseCode.INVALID_PARAMETER,
  BODY_BAD: ResponseCode.INVALID_PARAMETER,
  BAD_JSON: ResponseCode.INVALID_PARAMETER,
  CONFIG_BAD_VALUE: ResponseCode.INVALID_PARAMETER,
  CONFIG_BLACKLISTED: ResponseCode.NO_PERMISSION,
  CONFIG_FIXED: ResponseCode.NO_PERMISSION
}

/** An error of this folder; `code` is for programs, the sentence for people, `details` for logs. */
export class NetError extends Error {
  readonly code: NetErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: NetErrorCode, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(
      NetErrors[code].replace(/\{(\w+)\}/g, (_, name: string) => String(details[name])),
      options
    )
    this.name = 'NetError'
    this.code = code
    this.details = details
  }

  /** What a request that caused this error is answered with. */
  get responseCode(): number {
    return RESPONSE_CODES[this.code] ?? ResponseCode.SYSTEM_ERROR
  }
}
