import { BINARY_HEADER, type Log, type SerializeType, silentLog } from '../net/index.ts'
import { ClientError } from './errors.ts'

/** What every producer, consumer and admin client can be told. ClientConfig */
export interface ClientOptions {
  /** NameServers, `host:port` separated by `;`. Default: the environment's NAMESRV_ADDR. */
  namesrvAddr: string
  /** Tells the clients of one process apart; `DEFAULT` becomes one of its own per client. Default: `DEFAULT`. */
  instanceName: string
  /** The address in the client's id. Default: this machine's. */
  clientIp: string
  /** Appended to the client's id. Default: none. */
  unitName: string
  /** Put in front of every topic and group, as `namespace%name`. Default: none. */
  namespace: string
  /** How often routes are asked for again, ms. Default: 30,000. */
  pollNameServerIntervalMs: number
  /** How often brokers are told that this client lives, ms. Default: 30,000. */
  heartbeatBrokerIntervalMs: number
  /** Limit of calls other than sends and pulls, ms. Default: 3,000. */
  requestTimeoutMs: number
  /** Default: 3,000. */
  connectTimeoutMs: number
  /** Header type of requests: 0 JSON, 1 binary. Default: 1. */
  serializeType: SerializeType
  /** Signs every request with these when set. Default: null. */
  credentials: Credentials | null
  /** Default: silent. */
  log: Log
}

/** Who a client is to a broker with access control. SessionCredentials */
export interface Credentials {
  accessKey: string
  secretKey: string
  securityToken?: string
}

export const clientOptionDefaults: Readonly<ClientOptions> = Object.freeze({
  namesrvAddr: '',
  instanceName: 'DEFAULT',
  clientIp: '',
  unitName: '',
  namespace: '',
  pollNameServerIntervalMs: 30_000,
  heartbeatBrokerIntervalMs: 30_000,
  requestTimeoutMs: 3000,
  connectTimeoutMs: 3000,
  serializeType: BINARY_HEADER,
  credentials: null,
  log: silentLog
})

/** Options with the defaults filled in; an option that is undefined counts as not given. */
export function withDefaults<T extends object>(defaults: Readonly<T>, given: Partial<T>): T {
  return { ...defaults, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
}

/** Throws ClientError OPTION_BAD unless the option is a whole number from `min` to `max`. */
export function checkInteger(option: string, value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return
  throw new ClientError('OPTION_BAD', {
    option,
    value: typeof value === 'string' ? `"${value}"` : String(value),
    reason: `it is a whole number from ${min}${max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`}`
  })
}
