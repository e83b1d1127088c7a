import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import CRC32 from 'crc-32'
import { NetError, parseBody, type RemotingCommand } from '../net/index.ts'
import { NamesrvError } from './errors.ts'
import { inSlices } from './slices.ts'
import { TopicScanner, UnusualText } from './topic-scanner.ts'

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
/** Of a topic that does not say. TopicConfig */
const TOPIC_PRESETS = { perm: 6, readQueueNums: 16, writeQueueNums: 16, topicSysFlag: 0 } as const

const inflate = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.inflate)
/** Node's own, where it has one, takes a third of the time. */
const checksum = (zlib as { crc32?: (bytes: Uint8Array) => number }).crc32 ?? CRC32.buf

/** CRC-32 with the sign bit cleared. UtilAll#crc32 */
export const crc32 = (bytes: Uint8Array): number => checksum(bytes) & 0x7fff_ffff

export const sameVersion = (a: DataVersion, b: DataVersion): boolean =>
  a.counter === b.counter && a.timestamp === b.timestamp && a.stateVersion === b.stateVersion

/**
 * The body of REGISTER_BROKER: JSON or compressed, which its first byte tells, as the header's flag does not (every 5.x
 * broker says `compressed=false` of a compressed body). Throws NamesrvError REGISTRATION_BAD.
 */
export async function readRegistration(body: Uint8Array | null): Promise<Registration> {
  try {
    if (body === null) return readJson({})
    if (body[0] === ZLIB_FIRST_BYTE)
      return await readInflated(await inflate(body, { maxOutputLength: MAX_INFLATED_BYTES }))
    return (await scanJson(body)) ?? readJson(parseBody(body))
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
  const bytes = body === null ? Buffer.alloc(0) : bufferOf(body)
  const at = bytes.subarray(0, 4096).indexOf('"mappingDataVersion":{')
  const end = at < 0 ? 0 : bytes.indexOf('}', at)
  const sums = [checksum(bytes.subarray(0, Math.max(at, 0))), checksum(bytes.subarray(end)), bytes.length - end]
  return JSON.stringify({ ...extFields, bodyCrc32: sums })
}

/** Null when it is not written as brokers write it: then it has to be read as a whole. */
async function scanJson(body: Uint8Array): Promise<Registration | null> {
  const scanner = new TopicScanner(bufferOf(body), TOPIC_PRESETS)
  const topics: TopicConfig[] = []
  try {
    await inSlices(scanner, topic => topics.push(topic))
    return { ...readJson(parseBody(scanner.rest())), topics }
  } catch (error) {
    if (error instanceof UnusualText || error instanceof NetError) return null
    throw error
  }
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
        perm: int(config.perm, TOPIC_PRESETS.perm),
        readQueueNums: int(config.readQueueNums, TOPIC_PRESETS.readQueueNums),
        writeQueueNums: int(config.writeQueueNums, TOPIC_PRESETS.writeQueueNums),
        topicSysFlag: int(config.topicSysFlag, TOPIC_PRESETS.topicSysFlag)
      }
    }),
    mappings: new Map(
      Object.entries(object(wrapper.topicQueueMappingInfoMap)).map(([topic, mapping]) => [topic, readMapping(mapping)])
    )
  }
}

/** RegisterBrokerBody#decode */
async function readInflated(bytes: Buffer): Promise<Registration> {
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
  function* texts(): Generator<string> {
    for (let count = int32(); count > 0; count--) yield text()
  }
  const version = readDataVersion(text())
  const topics: TopicConfig[] = []
  await inSlices(texts(), line => topics.push(readTopicText(line)))
  text() // The filter servers, which went with 4.x.
  const mappings = new Map<string, TopicQueueMapping>()
  // Releases before 5.0.0 end here.
  if (pos < bytes.length)
    await inSlices(texts(), json => {
      const mapping = parseBody(json)
      mappings.set(String(object(mapping).topic), readMapping(mapping))
    })
  return { version, topics, mappings }
}

/** `name read write perm filterType [attributes]`. TopicConfig#decode */
function readTopicText(text: string): TopicConfig {
  const [topicName, read, write, perm] = text.split(' ', 4)
  if (topicName === undefined || perm === undefined) throw new Error(`"${text.slice(0, 100)}" is no topic`)
  return {
    topicName,
    perm: int(perm, TOPIC_PRESETS.perm),
    readQueueNums: int(read, TOPIC_PRESETS.readQueueNums),
    writeQueueNums: int(write, TOPIC_PRESETS.writeQueueNums),
    topicSysFlag: TOPIC_PRESETS.topicSysFlag
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

/** The same bytes. */
const bufferOf = ({ buffer, byteOffset, length }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, length)

const object = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {}

/** A whole number, which may also stand as text. */
export function int(value: unknown, fallback: number): number {
  if (value === null || value === undefined) return fallback
  const number = Number(value)
  if (!Number.isInteger(number)) throw new Error(`"${String(value).slice(0, 100)}" is no whole number`)
  return number
}
