/** All that can go wrong while reading or building a message. */
export const MessageErrors = {
  BAD_RECORD: 'no valid record at byte {position}: {reason}',
  BAD_BATCH: 'the batch body is broken at byte {position}: {reason}',
  BAD_MESSAGE_ID: '"{id}" is not an offset message id: it has 32 or 56 hexadecimal digits',
  BAD_SUBSCRIPTION: 'the subscription expression "{expression}" of topic {topic} names no tag',
  BAD_HOST: '"{address}" is not an IP address',
  BODY_NOT_DECOMPRESSED: 'the {type} body cannot be decompressed: {reason}',
  COMPRESSION_UNAVAILABLE: 'bodies cannot be compressed with {type} here: {reason}'
} as const

export type MessageErrorCode = keyof typeof MessageErrors

/** An error of this folder; `code` is for programs, the sentence for people, `details` for logs. */
export class MessageError extends Error {
  readonly code: MessageErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: MessageErrorCode, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(
      MessageErrors[code].replace(/\{(\w+)\}/g, (_, name: string) => String(details[name])),
      options
    )
    this.name = 'MessageError'
    this.code = code
    this.details = details
  }
}
