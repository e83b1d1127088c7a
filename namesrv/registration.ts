import { inflateSync } from 'node:zlib'
import CRC32 from 'crc-32'
import { parseBody, type RemotingCommand } from '../net/index.ts'
import { NamesrvError } from './errors.ts'

/** What counts the changes of a broker's topics. */
export interface DataVersion {
  counter: number
  stateVersion: number
  timestamp: number
}

export interface TopicConfig {
  topicName: string
  perm: number
  readQueueNums: number
  writeQueueNums: number
  topicSysFlag: number
}

/** What a broker tells of a static topic; all of its fields pass through. TopicQueueMappingInfo */
export interface TopicQueueMapping {
  bname: string
  currIdMap: ReadonlyMap<number, number>
}

/** What a broker registers. RegisterBrokerBody */
export interface Registration {
  version: DataVersion
  topics: TopicConfig[]
  /** By topic. */
  mappings: Map<string, TopicQueueMapping>
}

const ZLIB_FIRST_BYTE = 0x78
/** Room for a million topics; a body that inflates further is an attack. */
const MAX_INFLATED_BYTES = 64 * 1024 * 1024
const DEFAULT_QUEUES = 16
const DEFAULT_PERM = 6

/** CRC-32 with the sign bit cleared. UtilAll#crc32 */
export const crc32 = (bytes: Uint8Array): number => CRC32.buf(bytes) & 0x7fff_ffff

export const sameVersion = (a: DataVersion, b: DataVersion): boolean =>
  a.counter === b.counter && a.timestamp === b.timestamp && a.stateVersion === b.stateVersion

/**
 * The body of REGISTER_BROKER: JSON or compressed, which its first byte tells, as the header's flag does not (every 5.x
 * broker says `compressed=false` of a compressed body). Throws NamesrvError REGISTRATION_BAD.
 */
export function readRegistration(body: Uint8Array | null): Registration {
  try {
    if (body === null) return readJson({})
    return body[0] === ZLIB_FIRST_BYTE ? readCompressed(body) : readJson(parseBody(body))
  } catch (cause) {
    throw new NamesrvError('REGISTRATION_BAD', { reason: (cause as Error).message }, { cause })
  }
}

/** A DataVersion in JSON; all zero when there is none. Throws NetError BAD_JSON. */
export function readDataVersion(body: Uint8Array | string | null): DataVersion {
  return dataVersion(body === null ? null : parseBody(body))
}

/**
 * Two registrations with one fingerprint say the same: header and body, but for `mappingDataVersion`, which brokers make
 * anew for every registration.
 */
export function fingerprintOf({ extFields, body }: RemotingCommand): string {
  const bytes = Buffer.from(body ?? [])
  const at = bytes.subarray(0, 4096).indexOf('"mappingDataVersion":{')
  const end = at < 0 ? 0 : bytes.indexOf('}', at)
  const sums = [CRC32.buf(bytes.subarray(0, Math.max(at, 0))), CRC32.buf(bytes.subarray(end)), bytes.length - end]
  return JSON.stringify({ ...extFields, bodyCrc32: sums })
}

/** Releases before 3.0.11 send the wrapper without its envelope. */
function readJson(body: unknown): Registration {
  const envelope = object(body)
  const wrapper = object(envelope.topicConfigSerializeWrapper ?? envelope)
  return {
    version: dataVersion(wrapper.dataVersion),
    topics: Object.entries(object(wrapper.topicConfigTable)).map(([name, value]) => {
      const config = object(value)
      return {
        topicName: config.topicName == null ? name : String(config.topicName),
        perm: int(config.perm, DEFAULT_PERM),
        readQueueNums: int(config.readQueueNums, DEFAULT_QUEUES),
        writeQueueNums: int(config.writeQueueNums, DEFAULT_QUEUES),
        topicSysFlag: int(config.topicSysFlag, 0)
      }
    }),
    mappings: new Map(
      Object.entries(object(wrapper.topicQueueMappingInfoMap)).map(([topic, mapping]) => [topic, readMapping(mapping)])
    )
  }
}

/** RegisterBrokerBody#decode */
function readCompressed(body: Uint8Array): Registration {
  const bytes = inflateSync(body, { maxOutputLength: MAX_INFLATED_BYTES })
  let pos = 0
  const int32 = (): number => {
    pos += 4
    return bytes.readInt32BE(pos - 4)
  }
  const text = (): string => {
    const length = int32()
    if (length < 0 || length > bytes.length - pos) throw new RangeError(`a text of ${length} bytes`)
    pos += length
    return bytes.toString('utf8', pos - length, pos)
  }
  const version = readDataVersion(text())
  const topics: TopicConfig[] = []
  for (let count = int32(); count > 0; count--) topics.push(readTopicText(text()))
  text() // The filter servers, which went with 4.x.
  const mappings = new Map<string, TopicQueueMapping>()
  // Releases before 5.0.0 end here.
  if (pos < bytes.length)
    for (let count = int32(); count > 0; count--) {
      const mapping = parseBody(text())
      mappings.set(String(object(mapping).topic), readMapping(mapping))
    }
  return { version, topics, mappings }
}

/** `name read write perm filterType [attributes]`. TopicConfig#decode */
function readTopicText(text: string): TopicConfig {
  const [topicName, read, write, perm] = text.split(' ')
  if (topicName === undefined || perm === undefined) throw new Error(`"${text.slice(0, 100)}" is no topic`)
  return {
    topicName,
    perm: int(perm, DEFAULT_PERM),
    readQueueNums: int(read, DEFAULT_QUEUES),
    writeQueueNums: int(write, DEFAULT_QUEUES),
    topicSysFlag: 0
  }
}

function readMapping(value: unknown): TopicQueueMapping {
  const mapping = object(value)
  const currIdMap = Object.entries(object(mapping.currIdMap)).map(([id, at]) => [int(id, 0), int(at, 0)] as const)
  return { ...mapping, bname: String(mapping.bname), currIdMap: new Map(currIdMap) }
}

function dataVersion(value: unknown): DataVersion {
  const version = object(value)
  return {
    counter: int(version.counter, 0),
    stateVersion: int(version.stateVersion, 0),
    timestamp: int(version.timestamp, 0)
  }
}

const object = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {}

/** A whole number, which may also stand as text. */
export function int(value: unknown, fallback: number): number {
  if (value === null || value === undefined) return fallback
  const number = Number(value)
  if (!Number.isInteger(number)) throw new Error(`"${String(value).slice(0, 100)}" is no whole number`)
  return number
}
