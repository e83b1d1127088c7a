/** All that can go wrong in a client. */
export const ClientErrors = {
  OPTION_BAD: 'the option {option} is {value}: {reason}',
  NO_NAMESRV: 'no NameServer is given: set namesrvAddr or NAMESRV_ADDR, as host:port;host:port',
  NAMESRV_UNREACHABLE: 'no NameServer of {addresses} answers: {reason}',
  ROUTE_NOT_FOUND: 'no broker serves the topic {topic}: {reason}',
  BROKER_NOT_FOUND: 'no address is known of {brokerName}, which should {purpose}',
  REFUSED: '{address} answered {name} ({responseCode}) to request {requestCode}: {remark}',
  GROUP_BAD: 'the group cannot be used: {reason}',
  GROUP_TAKEN: 'this client already has a {kind} of group {group}',
  NOT_RUNNING: 'the {kind} of group {group} is {state}',
  MESSAGE_BAD: 'the message cannot be sent: {reason}',
  SEND_TIMEOUT: 'not sent to {topic} within {timeoutMs} ms, after {attempts} attempts: {reason}',
  SEND_FAILED: 'not sent to {topic} after {attempts} attempts: {reason}',
  NO_REPLY: 'no reply to the request in {topic} within {timeoutMs} ms',
  NOT_ASSIGNED: 'the queue {queue} is not assigned to this consumer',
  OFFSET_BAD: 'the offset {offset} of queue {queue} cannot be taken: {reason}',
  MODE_MIXED: 'the consumer does not do both: {reason}',
  RECALL_BAD: 'the message cannot be recalled: {reason}',
  REPLY_BAD: 'the message of topic {topic} cannot be replied to: {reason}',
  GROUP_NOT_ONLINE: 'no client of group {group} is connected',
  NO_PROGRESS: 'group {group} has consumed nothing, and no client of it is connected',
  NO_PROGRESS_BROADCASTING: 'the clients of group {group} broadcast: they keep their offsets themselves',
  MESSAGE_NOT_FOUND: 'no message of topic {topic} has the key {key}'
} as const

export type ClientErrorCode = keyof typeof ClientErrors

/** An error of this folder; `code` is for programs, the sentence for people, `details` for logs. */
export class ClientError extends Error {
  readonly code: ClientErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ClientErrorCode, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(
      ClientErrors[code].replace(/\{(\w+)\}/g, (_, name: string) => String(details[name])),
      options
    )
    this.name = 'ClientError'
    this.code = code
    this.details = details
  }

  /** RocketMQ's code when a broker or NameServer refused, else null. */
  get responseCode(): number | null {
    return typeof this.details.responseCode === 'number' ? this.details.responseCode : null
  }
}
