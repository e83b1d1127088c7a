import { connect } from 'node:net'
import { NetError, parseAddress, type RemotingClient } from '../../net/index.ts'
import { BrokerError } from '../errors.ts'
import type { EpochFile } from './epoch-file.ts'
import type { ReplicationHost } from './host.ts'
import { encodeReport, PieceReader } from './java-frames.ts'
import { JavaPeer } from './java-peer.ts'
import type { MasterTables } from './master-tables.ts'
import type { SlaveStatus } from './slave-status.ts'

const CONNECT_TIMEOUT_MS = 3000
/** How often the tables are asked for: nothing tells of their changes. SlaveSynchronize */
const TABLES_MS = 3000

/**
 * Follows a master that is RocketMQ's: takes over its log byte by byte in its own HA protocol, and its tables. That protocol
 * knows no epochs and checks nothing, so the ends of the logs are compared before. DefaultHAClient
 */
export class JavaMaster {
  private readonly host: ReplicationHost
  private readonly client: Pick<RemotingClient, 'invoke'>
  private readonly epochs: EpochFile
  private readonly status: SlaveStatus
  private readonly tables: MasterTables
  private end: () => void = () => {}
  private closed = false

  constructor(
    host: ReplicationHost,
    client: Pick<RemotingClient, 'invoke'>,
    epochs: EpochFile,
    status: SlaveStatus,
    tables: MasterTables
  ) {
    this.host = host
    this.client = client
    this.epochs = epochs
    this.status = status
    this.tables = tables
  }

  /**
   * Follows it until the connection ends. Throws BrokerError LOG_DIFFERS when it must not be followed, and what network and
   * disk say.
   */
  async follow(address: string, onRunning: () => void): Promise<void> {
    const { host, status } = this
    await this.prepare(new JavaPeer(address, this.client))
    if (this.closed) return
    const haAddress = host.masterHaAddress() ?? haAddressOf(address)
    status.masterAddress = haAddress
    // What RocketMQ's master has, its consumers see.
    host.store.replicated(Number.POSITIVE_INFINITY)
    const cancel = this.syncTables(address)
    try {
      await this.receive(haAddress, onRunning)
    } finally {
      cancel()
    }
  }

  /** Makes sure that this log is the beginning of the master's; an empty one begins with the master's first message. */
  private async prepare(peer: JavaPeer): Promise<void> {
    const { host, epochs } = this
    await peer.checkFileSize(host.store)
    const { minOffset, maxOffset } = await peer.bounds()
    const { minPhysicalOffset, maxPhysicalOffset: end } = host.store
    const isEmpty = end === minPhysicalOffset
    if (!isEmpty && (end > maxOffset || end < minOffset))
      throw new BrokerError('LOG_DIFFERS', {
        reason: `it ends at ${end}, that of ${peer.address} goes from ${minOffset} to ${maxOffset}`
      })
    if (!isEmpty) await peer.compareTail(host.store, end)
    // Whatever wrote what is here: from now on it is RocketMQ, whose masters have no epochs.
    if (epochs.history.epochs.length > 0) await epochs.truncate(0)
    if (isEmpty && maxOffset > minOffset) await this.begin(peer, minOffset)
    await host.store.flush()
  }

  /** A report of 0 would bring no more than the master's last file: so the first message is fetched by its offset. */
  private async begin(peer: JavaPeer, minOffset: number): Promise<void> {
    const { host } = this
    const first = await peer.recordAt(minOffset)
    if (first === null) throw new Error(`${peer.address} gives no message at offset ${minOffset}`)
    if (host.store.maxPhysicalOffset > 0) {
      await host.reopenStore(null)
      this.tables.reset()
    }
    host.store.appendRaw(minOffset, first)
  }

  private async receive(haAddress: string, onRunning: () => void): Promise<void> {
    const { host, status } = this
    const { haSendHeartbeatIntervalMs, haHousekeepingIntervalMs } = host.options
    const { store } = host
    const socket = connect({ ...parseAddress(haAddress), noDelay: true, timeout: CONNECT_TIMEOUT_MS })
    const fail = (reason: string) => socket.destroy(new NetError('CONNECTION_CLOSED', { address: haAddress, reason }))
    socket.once('timeout', () => fail('it did not answer'))
    this.end = () => socket.destroy()
    let timer: NodeJS.Timeout | undefined
    let silence: NodeJS.Timeout | undefined
    let reported = 0
    const report = () => {
      reported = this.heldOffset
      socket.write(encodeReport(reported))
      timer?.refresh()
    }
    socket.once('connect', () => {
      host.log.info(
        { master: haAddress, offset: store.maxPhysicalOffset },
        "replication runs, in RocketMQ's HA protocol"
      )
      socket.setTimeout(0)
      timer = setInterval(report, haSendHeartbeatIntervalMs)
      silence = setTimeout(() => fail('nothing came from it'), haHousekeepingIntervalMs)
      report()
    })
    const reader = new PieceReader()
    try {
      for await (const chunk of socket) {
        onRunning()
        silence?.refresh()
        const before = store.maxPhysicalOffset
        reader.push(chunk as Buffer, (offset, bytes) => this.take(offset, bytes))
        const { maxPhysicalOffset } = store
        status.read(host.clock.now(), maxPhysicalOffset, maxPhysicalOffset - before)
        if (socket.readableLength > 0) continue
        if (store.options.flushDiskType === 'SYNC_FLUSH') await store.flush()
        if (this.heldOffset > reported) report()
      }
    } finally {
      clearInterval(timer)
      clearTimeout(silence)
      socket.destroy()
    }
    if (!this.closed) throw new NetError('CONNECTION_CLOSED', { address: haAddress, reason: 'the master ended it' })
  }

  private take(offset: number, bytes: Uint8Array): void {
    const { store } = this.host
    if (offset !== store.maxPhysicalOffset && store.maxPhysicalOffset > 0)
      throw new RangeError(`the master sends from offset ${offset} on, the log here ends at ${store.maxPhysicalOffset}`)
    if (bytes.length > 0) store.appendRaw(offset, bytes)
  }

  /** Up to where it may say that it holds the log: under SYNC_FLUSH, what is flushed. */
  private get heldOffset(): number {
    const { options, flushedOffset, maxPhysicalOffset } = this.host.store
    return options.flushDiskType === 'SYNC_FLUSH' ? Math.min(maxPhysicalOffset, flushedOffset) : maxPhysicalOffset
  }

  /** Returns what ends it. */
  private syncTables(address: string): () => void {
    let cancel = () => {}
    let ended = false
    const sync = async () => {
      await this.tables.sync(address)
      if (!ended) cancel = this.host.clock.after(TABLES_MS, sync)
    }
    void sync()
    return () => {
      ended = true
      cancel()
    }
  }

  close(): void {
    this.closed = true
    this.end()
  }
}

/** Where a RocketMQ broker listens for slaves, unless it is told otherwise. BrokerStartup */
function haAddressOf(address: string): string {
  const { host, port } = parseAddress(address)
  return `${host.includes(':') ? `[${host}]` : host}:${port + 1}`
}
