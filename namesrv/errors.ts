import { ResponseCode } from '../net/index.ts'

/** All that can stop or refuse a NameServer. */
export const NamesrvErrors = {
  REGISTRATION_BAD: 'Failed to decode RegisterBrokerBody: {reason}',
  KV_FILE_BAD: 'neither the KV file {path} nor its backup can be read: {reason}',
  FILE_NOT_SAVED: 'the change acts, but the file {path} could not be written: {reason}'
} as const

export type NamesrvErrorCode = keyof typeof NamesrvErrors

/** An error of this folder; `code` is for programs, the sentence for people, `details` for logs. */
export class NamesrvError extends Error {
  readonly code: NamesrvErrorCode
  readonly details: Readonly<Record<string, unknown>>
  /** What a request that caused this error is answered with. */
  readonly responseCode = ResponseCode.SYSTEM_ERROR

  constructor(code: NamesrvErrorCode, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(
      NamesrvErrors[code].replace(/\{(\w+)\}/g, (_, name: string) => String(details[name])),
      options
    )
    this.name = 'NamesrvError'
    this.code = code
    this.details = details
  }
}
