import { connect, type Socket } from 'node:net'
import CRC32 from 'crc-32'
import type { Test } from 'tap'
import { NameServer, type NameServerOptions } from '../../namesrv/index.ts'
import {
  type ExtFields,
  encodeCommand,
  parseAddress,
  parseBody,
  type RemotingCommand,
  RequestCode,
  request
} from '../../net/index.ts'
import { CommandReader } from './frames.ts'

/** A peer of the NameServer: one connection of its own. */
export class Peer {
  private readonly socket: Socket
  private readonly reader = new CommandReader()
  private readonly waiting: ((answer: RemotingCommand) => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', chunk => {
      this.reader.push(chunk)
      for (const answer of this.reader.commands.splice(0)) this.waiting.shift()?.(answer)
    })
  }

  static async open(t: Test, address: string): Promise<Peer> {
    const socket = connect(parseAddress(address))
    t.teardown(() => socket.destroy())
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new Peer(socket)
  }

  /** Sends a whole frame as it is, and waits for the next answer. */
  send(frame: Uint8Array): Promise<RemotingCommand> {
    return new Promise(resolve => {
      this.waiting.push(resolve)
      this.socket.write(frame)
    })
  }

  ask(
    code: number,
    extFields: ExtFields | null = null,
    body: Uint8Array | string | null = null,
    fields: Partial<RemotingCommand> = {}
  ): Promise<RemotingCommand> {
    return this.send(encodeCommand({ ...request(code, extFields, body), ...fields }))
  }

  /** The body of an answer that has to succeed. */
  async get(code: number, extFields: ExtFields | null = null): Promise<unknown> {
    const answer = await this.ask(code, extFields)
    if (answer.code !== 0) throw new Error(`answer ${answer.code}: ${answer.remark}`)
    return parseBody(answer.body)
  }

  /** A topic's route, undefined when there is none. */
  async route(topic: string): Promise<TopicRoute | undefined> {
    const answer = await this.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
    return answer.code === 0 ? (parseBody(answer.body) as TopicRoute) : undefined
  }

  register({ topics = {}, version = 1, stateVersion = 0, mappings = {}, ...header }: Registration = {}) {
    const body = registrationBody(topics, { counter: version, stateVersion }, mappings)
    return this.ask(RequestCode.REGISTER_BROKER, registrationHeader(body, header), body)
  }

  end(): void {
    this.socket.destroy()
  }
}

export interface TopicRoute {
  brokerDatas: { brokerAddrs: Record<string, string>; brokerName: string; cluster: string }[]
  queueDatas: { brokerName: string; perm: number; readQueueNums: number; writeQueueNums: number }[]
  orderTopicConf?: string
  topicQueueMappingByBroker?: Record<string, { currIdMap: Record<string, number> }>
}

/** Topics by name with what differs from a topic of 4 queues that can be read and written. */
export type Topics = Record<string, { perm?: number; queues?: number; topicSysFlag?: number }>

/** A registration of the master of `broker-a`, but for what is given; undefined leaves a header field out. */
export interface Registration {
  topics?: Topics
  version?: number
  stateVersion?: number
  mappings?: Record<string, unknown>
  brokerName?: string
  brokerAddr?: string
  clusterName?: string
  brokerId?: string
  haServerAddr?: string
  heartbeatTimeoutMillis?: string
  enableActingMaster?: string | undefined
  __ZONE_NAME?: string
}

export const crcOf = (body: Uint8Array | string): string => String(CRC32.buf(Buffer.from(body)) & 0x7fff_ffff)

export function registrationHeader(body: Uint8Array | string, header: Omit<Registration, 'topics'> = {}): ExtFields {
  const fields: Record<string, string | undefined> = {
    brokerName: 'broker-a',
    brokerAddr: '10.0.0.1:10911',
    clusterName: 'DefaultCluster',
    brokerId: '0',
    haServerAddr: '10.0.0.1:10912',
    enableActingMaster: 'false',
    compressed: 'false',
    bodyCrc32: crcOf(body),
    ...(header as Record<string, string>)
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ExtFields
}

let registrations = 0

/** As a 5.x broker writes it; no two have the same mappingDataVersion. */
export function registrationBody(
  topics: Topics,
  version: { counter: number; stateVersion?: number } = { counter: 1 },
  mappings: Record<string, unknown> = {}
): string {
  const topicConfigTable = Object.fromEntries(
    Object.entries(topics).map(([topicName, { perm = 6, queues = 4, topicSysFlag = 0 }]) => [
      topicName,
      {
        attributes: {},
        order: false,
        perm,
        readQueueNums: queues,
        topicFilterType: 'SINGLE_TAG',
        topicName,
        topicSysFlag,
        writeQueueNums: queues
      }
    ])
  )
  return JSON.stringify({
    filterServerList: [],
    topicConfigSerializeWrapper: {
      dataVersion: { counter: version.counter, stateVersion: version.stateVersion ?? 0, timestamp: 1_700_000_000_000 },
      mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: 1_700_000_000_000 + ++registrations },
      topicConfigTable,
      topicQueueMappingDetailMap: {},
      topicQueueMappingInfoMap: mappings
    }
  })
}

export interface OpenNameServer {
  server: NameServer
  /** A client's connection. */
  client: Peer
  /** One more connection. */
  connect(): Promise<Peer>
}

/** A NameServer on a free port; the test's end closes it. */
export async function openNameServer(t: Test, options: Partial<NameServerOptions> = {}): Promise<OpenNameServer> {
  const server = new NameServer({ listenPort: 0, ...options })
  await server.start()
  t.teardown(() => server.close())
  return { server, client: await Peer.open(t, server.address), connect: () => Peer.open(t, server.address) }
}
