import { decodeRecords, type MessageRecord } from '../../message/index.ts'
import {
  type ExtFields,
  PullMessageHeader,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SendMessageV2Header
} from '../../net/index.ts'
import type { OpenBroker } from './broker.ts'

const PullFlags = { SUSPEND: 2, SUBSCRIPTION: 4 } as const
let lastKey = 0

export interface Sent {
  topic: string
  body: string | Uint8Array
  queueId?: number
  /** Beside UNIQ_KEY, which every message gets unless `uniqueKey` is ''. */
  properties?: Record<string, string>
  uniqueKey?: string
  sysFlag?: number
  flag?: number
  reconsumeTimes?: number
  maxReconsumeTimes?: number
  defaultTopic?: string
  queues?: number
}

/** The header of a send as clients write it. */
export function sendFields(sent: Omit<Sent, 'body'>): ExtFields {
  const uniqueKey = sent.uniqueKey ?? `KEY${String(++lastKey).padStart(29, '0')}`
  const properties = { ...(uniqueKey === '' ? {} : { UNIQ_KEY: uniqueKey }), ...sent.properties }
  const text = Object.entries(properties)
    .map(([name, value]) => `${name}\u0001${value}\u0002`)
    .join('')
  return SendMessageV2Header.encode({
    a: 'PG',
    b: sent.topic,
    c: sent.defaultTopic ?? 'TBW102',
    d: sent.queues ?? 4,
    e: sent.queueId ?? 0,
    f: sent.sysFlag ?? 0,
    g: 1_700_000_000_000,
    h: sent.flag ?? 0,
    i: text,
    j: sent.reconsumeTimes ?? 0,
    k: false,
    l: sent.maxReconsumeTimes,
    m: false
  })
}

/** Sends one message and gives the broker's answer. */
export const send = ({ ask }: OpenBroker, sent: Sent): Promise<RemotingCommand> =>
  ask(RequestCode.SEND_MESSAGE_V2, sendFields(sent), sent.body)

/** Sends messages that must be stored, the first one alone, for it may create the topic; gives their queue offsets. */
export async function sendAll(open: OpenBroker, first: Sent, ...rest: Sent[]): Promise<number[]> {
  const answers = [await send(open, first), ...(await Promise.all(rest.map(message => send(open, message))))]
  return answers.map(answer => {
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(`not stored: ${answer.code} ${answer.remark}`)
    return Number(answer.extFields!.queueOffset)
  })
}

/** Sends these bodies to queue 0 of `orders`. */
export const sendEach = (open: OpenBroker, bodies: readonly string[]): Promise<number[]> => {
  const [first, ...rest] = bodies.map(body => ({ topic: 'orders', body }))
  return sendAll(open, first!, ...rest)
}

export interface Pulled {
  topic: string
  queueId?: number
  offset?: number
  group?: string
  max?: number
  /** Subscription in the request; null uses the group's registered one. Default: `*`. */
  expression?: string | null
  /** How long to wait for a message; 0 not at all. */
  suspendMs?: number
  commitOffset?: number
  subVersion?: number
}

export function pullFields(pull: Pulled): ExtFields {
  const expression = pull.expression === undefined ? '*' : pull.expression
  return PullMessageHeader.encode({
    consumerGroup: pull.group ?? 'CG',
    topic: pull.topic,
    queueId: pull.queueId ?? 0,
    queueOffset: pull.offset ?? 0,
    maxMsgNums: pull.max ?? 32,
    sysFlag:
      (expression === null ? 0 : PullFlags.SUBSCRIPTION) |
      (pull.suspendMs ? PullFlags.SUSPEND : 0) |
      (pull.commitOffset === undefined ? 0 : 1),
    commitOffset: pull.commitOffset ?? 0,
    suspendTimeoutMillis: pull.suspendMs ?? 0,
    subscription: expression ?? undefined,
    subVersion: pull.subVersion ?? 0
  })
}

export const pull = ({ ask }: OpenBroker, pulled: Pulled): Promise<RemotingCommand> =>
  ask(RequestCode.PULL_MESSAGE, pullFields(pulled))

export const recordsOf = (answer: RemotingCommand): MessageRecord[] => decodeRecords(answer.body ?? new Uint8Array(0))
export const bodiesOf = (answer: RemotingCommand): string[] =>
  recordsOf(answer).map(record => Buffer.from(record.body).toString())
