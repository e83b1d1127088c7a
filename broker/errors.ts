import { ResponseCode } from '../net/index.ts'

/** What RocketMQ appends where its users often need help. FAQUrl */
export const HINT = '\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.'

/** All that the broker itself refuses, with what a peer is answered. */
export const BrokerErrors = {
  TOPIC_NOT_EXIST: 'topic[{topic}] not exist, apply first please!{hint}',
  TOPIC_ILLEGAL: '{reason}',
  TOPIC_NOT_WRITABLE: 'the broker[{broker}] sending message is forbidden',
  TOPIC_NOT_SENDABLE: 'Sending message to topic[{topic}] is forbidden.',
  QUEUE_ID_ILLEGAL: 'request queueId[{queueId}] is illegal, {topicConfig} Producer: {remote}',
  GROUP_NOT_EXIST: 'subscription group [{group}] does not exist{hint}',
  SYSTEM_BUSY: '{reason}',
  SERVICE_NOT_AVAILABLE: 'service not available now: {reason}',
  GO_AWAY: '{reason}',
  NO_PERMISSION: '{reason}',
  INVALID_PARAMETER: '{reason}',
  MESSAGE_ILLEGAL: '{reason}',
  NOT_FOUND: '{reason}',
  UNSUPPORTED: '{reason}',
  CONSUMER_NOT_ONLINE: '{reason}',
  HA_REFUSED: '{reason}',
  LOG_DIFFERS:
    "the slave's log is not the beginning of its master's: {reason}. If the master is the right one, stop the slave, set its store aside, and start it with an empty one"
} as const

export type BrokerErrorCode = keyof typeof BrokerErrors

const RESPONSE_CODES: Readonly<Record<BrokerErrorCode, number>> = {
  TOPIC_NOT_EXIST: ResponseCode.TOPIC_NOT_EXIST,
  TOPIC_ILLEGAL: ResponseCode.INVALID_PARAMETER,
  TOPIC_NOT_WRITABLE: ResponseCode.NO_PERMISSION,
  TOPIC_NOT_SENDABLE: ResponseCode.NO_PERMISSION,
  QUEUE_ID_ILLEGAL: ResponseCode.INVALID_PARAMETER,
  GROUP_NOT_EXIST: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
  SYSTEM_BUSY: ResponseCode.SYSTEM_BUSY,
  SERVICE_NOT_AVAILABLE: ResponseCode.SERVICE_NOT_AVAILABLE,
  GO_AWAY: ResponseCode.GO_AWAY,
  NO_PERMISSION: ResponseCode.NO_PERMISSION,
  INVALID_PARAMETER: ResponseCode.INVALID_PARAMETER,
  MESSAGE_ILLEGAL: ResponseCode.MESSAGE_ILLEGAL,
  NOT_FOUND: ResponseCode.QUERY_NOT_FOUND,
  UNSUPPORTED: ResponseCode.SYSTEM_ERROR,
  CONSUMER_NOT_ONLINE: ResponseCode.CONSUMER_NOT_ONLINE,
  HA_REFUSED: ResponseCode.ILLEGAL_OPERATION,
  LOG_DIFFERS: ResponseCode.ILLEGAL_OPERATION
}

/** An error of this folder; `code` is for programs, `responseCode` for peers, the sentence for people. */
export class BrokerError extends Error {
  readonly code: BrokerErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: BrokerErrorCode, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(
      BrokerErrors[code].replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? '')),
      options
    )
    this.name = 'BrokerError'
    this.code = code
    this.details = details
  }

  /** What a request that caused this error is answered with. */
  get responseCode(): number {
    return RESPONSE_CODES[this.code]
  }
}
