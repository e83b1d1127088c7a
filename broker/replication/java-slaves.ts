import { lookup } from 'node:dns/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { listenOn, parseAddress } from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { BrokerError } from '../errors.ts'
import { encodePieceHeader, ReportReader, wholeRecords } from './java-frames.ts'
import { JavaPeer } from './java-peer.ts'
import type { ReplicationMaster } from './master.ts'
import type { Replica } from './replica-set.ts'

/** More than any master has slaves. */
const MAX_CONNECTIONS = 64

/** A broker that NameServers list under this one's name. */
interface Member {
  readonly brokerId: number
  readonly address: string
}

/**
 * The port of RocketMQ's HA protocol. Its peers do not say who they are, and what they report is believed by RocketMQ.
 * Here a peer is a slave when it comes from the address of one that the NameServers list under this broker's name, when
 * that one's place is free, and when its log is the beginning of this one. DefaultHAService
 */
export class JavaSlaves {
  private readonly broker: Broker
  private readonly master: ReplicationMaster
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private asking: Promise<Map<number, string>> | null = null
  private lastReason = ''

  constructor(broker: Broker, master: ReplicationMaster) {
    this.broker = broker
    this.master = master
    this.server = createServer({ noDelay: true }, socket => void this.serve(socket))
    this.server.maxConnections = MAX_CONNECTIONS
  }

  /** Returns the port. Throws NetError ADDRESS_IN_USE or LISTEN_FAILED. */
  listen(port: number): Promise<number> {
    return listenOn(this.server, port, this.broker.options.listenHost, this.broker.log)
  }

  private async serve(socket: Socket): Promise<void> {
    const { broker, master } = this
    const remote = plainAddress(socket.remoteAddress ?? '')
    this.sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.sockets.delete(socket))
    const slave = new SlaveConnection(broker, master, socket)
    try {
      await slave.serve(await this.membersAt(remote))
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const reason = `${remote}: ${message}`
      if (reason !== this.lastReason && !broker.stopping)
        broker.log[code === 'LOG_DIFFERS' ? 'error' : 'warn'](
          { remote, reason: message },
          'the HA port let go of a peer'
        )
      this.lastReason = reason
    }
    socket.destroy()
  }

  /** Which slaves a peer may be. Throws BrokerError HA_REFUSED when none. */
  private async membersAt(remote: string): Promise<Member[]> {
    this.asking ??= this.broker.nameServers.members().finally(() => {
      this.asking = null
    })
    const found: Member[] = []
    for (const [brokerId, address] of await this.asking) {
      if (brokerId <= 0) continue
      const hosts = await lookup(parseAddress(address).host, { all: true }).catch(() => [])
      if (hosts.some(host => plainAddress(host.address) === remote)) found.push({ brokerId, address })
    }
    if (found.length === 0)
      throw new BrokerError('HA_REFUSED', { reason: 'the NameServers list no slave of this broker at that address' })
    return found
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()))
    for (const socket of this.sockets) socket.destroy()
    await closed
  }
}

/** An IPv4 address that comes in an IPv6 one is the same. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '').toLowerCase()

/** One slave: it reports how far its log goes, and is sent what follows. DefaultHAConnection */
class SlaveConnection {
  private readonly broker: Broker
  private readonly master: ReplicationMaster
  private readonly socket: Socket
  /** Its first report. */
  private readonly reported: Promise<number>
  /** Up to here it was sent the log. */
  private sentOffset = 0
  private onReport: (offset: number) => void = () => {}

  constructor(broker: Broker, master: ReplicationMaster, socket: Socket) {
    this.broker = broker
    this.master = master
    this.socket = socket
    this.reported = new Promise((resolve, reject) => {
      this.onReport = resolve
      socket.once('close', () => reject(new Error('it went without a report')))
    })
    this.reported.catch(() => {})
    this.listen()
  }

  private listen(): void {
    const { socket } = this
    const silence = setTimeout(
      () => socket.destroy(new Error('nothing came from it')),
      this.broker.options.haHousekeepingIntervalMs
    )
    silence.unref()
    socket.once('close', () => clearTimeout(silence))
    const reports = new ReportReader()
    socket.on('data', chunk => {
      silence.refresh()
      const offset = reports.push(chunk)
      if (offset !== null) this.onReport(offset)
    })
  }

  /** Serves it as one of the members, until the connection ends. Throws the reason. */
  async serve(members: readonly Member[]): Promise<void> {
    const { broker, master, socket } = this
    const { clock, store } = broker
    const end = await this.reported
    const { brokerId, address, start } = await this.admit(members, end)
    if (socket.destroyed) return
    this.sentOffset = start
    const replica = master.replicas.join(brokerId, address, '', 0, clock.now())
    socket.once('close', () => {
      master.replicas.leave(replica)
      master.update()
    })
    this.onReport = offset => {
      if (offset < 0 || offset > this.sentOffset) {
        socket.destroy(new Error(`it reports offset ${offset}, but was sent the log up to ${this.sentOffset}`))
        return
      }
      master.replicas.acknowledge(replica, offset, store.maxPhysicalOffset, clock.now())
      master.update()
    }
    this.onReport(end)
    broker.log.info({ brokerId, address, offset: start }, 'a slave of RocketMQ follows')
    await pipeline(this.pieces(replica), socket)
  }

  /** Which member it is: one whose place is free, and whose log is the beginning of this one. Throws BrokerError. */
  private async admit(members: readonly Member[], end: number): Promise<Member & { start: number }> {
    let reason: unknown = new BrokerError('HA_REFUSED', { reason: 'the slaves at that address are connected already' })
    for (const member of members) {
      if (this.master.replicas.has(member.brokerId)) continue
      try {
        return { ...member, start: await this.startFor(new JavaPeer(member.address, this.broker.caller), end) }
      } catch (error) {
        reason = error
      }
    }
    throw reason
  }

  /** From where on it lacks the log. Throws BrokerError when its log is not the beginning of this one. */
  private async startFor(peer: JavaPeer, end: number): Promise<number> {
    const { store } = this.broker
    const { minPhysicalOffset, maxPhysicalOffset } = store
    if (end < 0 || end > maxPhysicalOffset || (end > 0 && end < minPhysicalOffset))
      throw new BrokerError('LOG_DIFFERS', {
        reason: `it ends at ${end}, the master's goes from ${minPhysicalOffset} to ${maxPhysicalOffset}`
      })
    await peer.checkFileSize(store)
    // RocketMQ gives a new slave its last file alone; but one that is to take over needs all.
    if (end === 0) return minPhysicalOffset
    if ((await store.tailBefore(end)).end !== end)
      throw new BrokerError('HA_REFUSED', {
        reason: `its log ends at ${end}, within a message: once it is started again, it cuts that message off`
      })
    await peer.compareTail(store, end)
    return end
  }

  /**
   * What it is sent: pieces of the log that end where records do, so that its log does too whenever the connection ends; and
   * a heartbeat when there is nothing new.
   */
  private async *pieces(replica: Replica): AsyncGenerator<Uint8Array> {
    const { broker, master, socket } = this
    const { options, store, clock } = broker
    const { replicas } = master
    /** Of a record that is larger than a piece. */
    let left = 0
    while (!socket.destroyed) {
      const offset = this.sentOffset
      const waitMs = options.haFlowControlEnable
        ? replicas.waitMs(replica, options.maxHaTransferBytesPerSecond, clock.now())
        : 0
      if (waitMs > 0) await new Promise<void>(resolve => clock.after(waitMs, resolve))
      if (offset === store.maxPhysicalOffset) {
        await master.more(options.haSendHeartbeatIntervalMs)
        if (offset === store.maxPhysicalOffset) yield encodePieceHeader(offset, 0)
        continue
      }
      const bytes = await store.readRaw(offset, options.haTransferBatchSizeBytes)
      if (bytes.length === 0)
        throw new BrokerError('LOG_DIFFERS', { reason: `what it lacks from offset ${offset} on was deleted` })
      left ||= wholeRecords(bytes)
      const piece = bytes.subarray(0, left)
      left -= piece.length
      this.sentOffset += piece.length
      yield encodePieceHeader(offset, piece.length)
      yield piece
      replicas.sent(replica, piece.length, clock.now())
    }
  }
}
