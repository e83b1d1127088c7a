/** All that can stop or refuse the store. */
export const EngineErrors = {
  NATIVE_MISSING:
    'the package {package} is missing, which the store needs: run "npm install {package}" with a C++ toolchain at hand ({reason})',
  STORE_LOCKED: 'the store {path} is in use by another process (its abort file names pid {holder})',
  BAD_FILE:
    'the file {path} has {sizeBytes} bytes, but mappedFileSize is set to {expectedBytes}: set it to what the store was written with',
  COMPACTED_DAMAGED:
    'the file {path} of compacted messages has {count} whole records in a row, not {expected}: it is not compacted',
  NOT_A_STORE: 'there is no store in {path}: it has neither a CommitLog nor ConsumeQueues',
  NO_SUCH_QUEUE: 'the store {path} has no queue {queueId} of topic {topic}',
  STORE_CLOSED: 'the store was closed before the message could be read',
  FILE_REMOVED: 'the file {path} was removed',
  NOT_AT_END: 'bytes for offset {offset} cannot be appended to a log that ends at {end}',
  BAD_OPTION: 'the option {option} holds {value}; allowed is {allowed}'
} as const

export type EngineErrorCode = keyof typeof EngineErrors

/** An error of this folder; `code` is for programs, the sentence for people, `details` for logs. */
export class EngineError extends Error {
  readonly code: EngineErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: EngineErrorCode, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(
      EngineErrors[code].replace(/\{(\w+)\}/g, (_, name: string) => String(details[name])),
      options
    )
    this.name = 'EngineError'
    this.code = code
    this.details = details
  }
}
