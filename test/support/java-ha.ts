import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import { encodePieceHeader, encodeReport, PieceReader, ReportReader } from '../../broker/replication/java-frames.ts'
import {
  formatBody,
  parseAddress,
  RemotingServer,
  RequestCode,
  RequestDispatcher,
  ResponseCode,
  response,
  silentLog,
  ViewMessageHeader
} from '../../net/index.ts'
import { SMALL_STORE } from './broker.ts'
import { inRepo } from './repo.ts'
import { until } from './until.ts'

/** One connection between a master of RocketMQ and its slave, as TCP brought it. */
export interface RecordedConversation {
  /** What the slave sent, and what the master did. */
  reports: Buffer[]
  pieces: Buffer[]
}

/** The recorded conversations, by connection. */
export function haRecordings(): RecordedConversation[] {
  const conversations = new Map<number, RecordedConversation>()
  for (const line of readFileSync(inRepo('test', 'compat', 'data', 'ha', 'ha.jsonl'), 'utf8').split('\n')) {
    if (line === '') continue
    const { conn, dir, frame } = JSON.parse(line) as { conn: number; dir: 'c2s' | 's2c'; frame?: string }
    const conversation = conversations.get(conn) ?? { reports: [], pieces: [] }
    conversations.set(conn, conversation)
    if (frame !== undefined)
      (dir === 'c2s' ? conversation.reports : conversation.pieces).push(Buffer.from(frame, 'base64'))
  }
  return [...conversations.values()]
}

/** A log as bytes, and where it begins. */
export class ByteLog {
  bytes: Buffer
  minOffset: number

  constructor(bytes: Uint8Array = new Uint8Array(0), minOffset = 0) {
    this.bytes = Buffer.from(bytes)
    this.minOffset = minOffset
  }

  get maxOffset(): number {
    return this.minOffset + this.bytes.length
  }

  append(bytes: Uint8Array): void {
    this.bytes = Buffer.concat([this.bytes, bytes])
  }

  /** The record at an offset, or null. QueryMessageProcessor#viewMessageById */
  recordAt(offset: number): Buffer | null {
    const at = offset - this.minOffset
    if (at < 0 || at + 4 > this.bytes.length) return null
    const size = this.bytes.readInt32BE(at)
    return size > 0 && at + size <= this.bytes.length ? this.bytes.subarray(at, at + size) : null
  }
}

/** The port of a RocketMQ broker that clients use, as far as another broker asks it: it knows no requests of ours. */
export class ScriptedJavaBroker {
  readonly log: ByteLog
  /** Answers by code, beside those about the log. */
  readonly bodies = new Map<number, unknown>([
    [RequestCode.GET_ALL_TOPIC_CONFIG, { topicConfigTable: {} }],
    [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, { subscriptionGroupTable: {} }],
    [RequestCode.GET_ALL_CONSUMER_OFFSET, { offsetTable: {} }],
    [RequestCode.GET_ALL_DELAY_OFFSET, { offsetTable: {} }]
  ])
  mappedFileSizeCommitLog: number = SMALL_STORE.mappedFileSizeCommitLogBytes
  private readonly dispatcher = new RequestDispatcher(silentLog)
  private readonly server = new RemotingServer(this.dispatcher)
  private port = 0

  constructor(log: ByteLog) {
    this.log = log
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  async start(t: Test): Promise<this> {
    const answer = (code: number, body: () => string | Uint8Array) =>
      this.dispatcher.register(code, () => response(ResponseCode.SUCCESS, null, null, body()))
    answer(RequestCode.GET_BROKER_CONFIG, () => `mappedFileSizeCommitLog=${this.mappedFileSizeCommitLog}\n`)
    answer(RequestCode.GET_BROKER_RUNTIME_INFO, () => {
      const { minOffset, maxOffset } = this.log
      return formatBody({ table: { commitLogMinOffset: String(minOffset), commitLogMaxOffset: String(maxOffset) } })
    })
    for (const code of this.bodies.keys()) answer(code, () => formatBody(this.bodies.get(code)))
    this.dispatcher.register(RequestCode.VIEW_MESSAGE_BY_ID, ({ extFields }) => {
      const record = this.log.recordAt(ViewMessageHeader.decode(extFields).offset)
      return record === null
        ? response(ResponseCode.SYSTEM_ERROR, 'can not find message by the offset')
        : response(ResponseCode.SUCCESS, null, null, record)
    })
    this.port = (await this.server.listen(0, '127.0.0.1')).port
    t.teardown(() => this.server.close())
    return this
  }
}

/** The HA port of a RocketMQ master: sends its log from the first report on, in pieces that end anywhere. */
export class ScriptedHaPort {
  readonly reports: number[] = []
  /** What is sent instead, whatever is reported. */
  script: readonly Uint8Array[] | null = null
  pieceBytes = 32_768
  private readonly log: ByteLog
  private readonly server: Server
  private readonly sockets = new Set<Socket>()

  constructor(log: ByteLog) {
    this.log = log
    this.server = createServer(socket => this.serve(socket))
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async start(t: Test): Promise<this> {
    await new Promise<void>(resolve => this.server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => this.close())
    return this
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket)
    socket.on('error', () => {})
    const reader = new ReportReader()
    let next = -1
    const send = () => {
      while (next >= 0 && next < this.log.maxOffset) {
        const at = next - this.log.minOffset
        const piece = this.log.bytes.subarray(at, at + this.pieceBytes)
        socket.write(Buffer.concat([encodePieceHeader(next, piece.length), piece]))
        next += piece.length
      }
    }
    socket.on('data', chunk => {
      const offset = reader.push(chunk)
      if (offset === null) return
      this.reports.push(offset)
      if (next >= 0) return
      next = offset
      for (const bytes of this.script ?? []) socket.write(bytes)
      if (this.script === null) send()
    })
    const timer = setInterval(() => this.script === null && send(), 5)
    socket.on('close', () => {
      clearInterval(timer)
      this.sockets.delete(socket)
    })
  }

  /** Ends the connections, as a master that dies. */
  drop(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  get connections(): number {
    return this.sockets.size
  }

  async close(): Promise<void> {
    this.drop()
    await new Promise(resolve => this.server.close(resolve))
  }
}

/** The HA client of a RocketMQ slave, or of somebody who says anything. */
export class ScriptedSlave {
  readonly socket: Socket
  readonly log: ByteLog
  heartbeats = 0
  private readonly received: Buffer[] = []
  closed = false
  private readonly isAcknowledging: boolean

  /** Connects to an HA port; with `acknowledges`, each piece is reported as RocketMQ's slaves do. */
  constructor(t: Test, haAddress: string, log: ByteLog, acknowledges = true) {
    this.log = log
    this.isAcknowledging = acknowledges
    this.socket = connect(parseAddress(haAddress))
    t.teardown(() => this.socket.destroy())
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
    })
    const reader = new PieceReader()
    this.socket.on('data', chunk => {
      this.received.push(chunk)
      reader.push(chunk, (offset, bytes) => this.take(offset, bytes))
    })
  }

  /** Sizes of the pieces that came. */
  get pieces(): number[] {
    const sizes: number[] = []
    const all = Buffer.concat(this.received)
    for (let pos = 0; pos < all.length; pos += 12 + sizes.at(-1)!) sizes.push(all.readInt32BE(pos + 8))
    return sizes
  }

  private take(offset: number, bytes: Uint8Array): void {
    if (this.log.bytes.length === 0) this.log.minOffset = offset
    if (offset !== this.log.maxOffset) throw new Error(`a piece for ${offset}, the log ends at ${this.log.maxOffset}`)
    if (bytes.length === 0) this.heartbeats++
    else {
      this.log.append(bytes)
      if (this.isAcknowledging) this.report()
    }
  }

  report(offset = this.log.maxOffset): void {
    this.socket.write(encodeReport(offset))
  }

  isClosed(): Promise<void> {
    return until('the connection is closed', () => this.closed)
  }
}
