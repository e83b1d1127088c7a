import {
  formatBody,
  JoinMasterHeader,
  JoinMasterResponseHeader,
  type RemotingCommand,
  ReplicateHeader,
  ReplicateResponseHeader,
  RequestCode,
  ResponseCode,
  request,
  response
} from '../../net/index.ts'
import { BrokerError } from '../errors.ts'
import type { EpochFile } from './epoch-file.ts'
import type { ReplicationHost } from './host.ts'
import { JavaMaster } from './java-master.ts'
import { logIdOf } from './log-id.ts'
import { MasterTables } from './master-tables.ts'
import { SlaveStatus } from './slave-status.ts'

const FETCH_BYTES = 1024 * 1024
const WAIT_MS = 1000
const TIMEOUT_MS = 10_000
const RETRY_MS = 500
/** One that was just elected serves replicas in a moment. */
const ELECTED_RETRY_MS = 50
const MAX_RETRY_MS = 8000

/**
 * The slave's half of replication: it finds from where on its log differs from its master's, cuts that off, and takes over
 * what the master has, byte by byte; and the master's topics, groups, offsets and delay progress when they changed.
 */
export class ReplicationSlave {
  readonly status = new SlaveStatus()
  private readonly broker: ReplicationHost
  readonly epochs: EpochFile
  private readonly client: ReturnType<ReplicationHost['newCaller']>
  private running: Promise<void> | null = null
  private stopped = false
  private wake: () => void = () => {}
  private readonly tables: MasterTables
  private readonly javaMaster: JavaMaster
  private retryMs = RETRY_MS

  constructor(broker: ReplicationHost, epochs: EpochFile) {
    this.broker = broker
    this.epochs = epochs
    this.client = broker.newCaller()
    this.tables = new MasterTables(broker, this.client)
    this.javaMaster = new JavaMaster(broker, this.client, epochs, this.status, this.tables)
  }

  start(): void {
    // Consumers see what the master calls confirmed, and nothing before it says so.
    this.broker.store.replicated(this.broker.store.confirmOffset)
    this.broker.dispatcher.register(RequestCode.JOIN_MASTER, () =>
      response(ResponseCode.ILLEGAL_OPERATION, 'this broker is a slave itself')
    )
    this.running = this.follow()
  }

  /** Follows whoever is the master, again and again. */
  private async follow(): Promise<void> {
    const { log } = this.broker
    let lastReason = ''
    while (!this.stopped) {
      const address = this.broker.masterAddress()
      try {
        if (address === null) throw new Error('no NameServer names a master')
        await this.followMaster(address)
      } catch (error) {
        const reason = (error as Error).message
        const level = error instanceof BrokerError ? 'error' : 'warn'
        if (!this.stopped && reason !== lastReason) log[level]({ master: address, reason }, 'replication waits')
        lastReason = reason
      }
      if (!this.stopped) await this.pause(this.broker.failover === null ? this.retryMs : ELECTED_RETRY_MS)
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.broker.clock.after(ms, resolve)
      this.wake = () => {
        cancel()
        resolve()
      }
    })
  }

  private async followMaster(address: string): Promise<void> {
    const { broker, epochs } = this
    const joined = await this.join(address)
    if (joined === null) {
      await this.followJavaMaster(address)
      return
    }
    let offset = joined
    this.retryMs = RETRY_MS
    let ackOffset = this.held(offset)
    this.status.masterAddress = address
    broker.log.info({ master: address, offset }, 'replication runs')
    let answer = await this.fetch(address, offset, ackOffset)
    while (!this.stopped) {
      const header = ReplicateResponseHeader.decode(answer.extFields)
      if (header.offset !== offset) throw new Error(`the master answered for offset ${header.offset}, not ${offset}`)
      const bytes = answer.body
      const end = offset + (bytes?.length ?? 0)
      this.status.read(broker.clock.now(), header.maxOffset, end - offset)
      // Far behind, the next bytes travel while these are written; else what is written is acknowledged first.
      const next = header.maxOffset - end > FETCH_BYTES ? this.fetch(address, end, ackOffset) : null
      next?.catch(() => {})
      if (bytes !== null && bytes.length > 0) {
        if (header.epoch > epochs.history.last) await epochs.begin(header.epoch, header.epochStart)
        broker.store.appendRaw(offset, bytes)
        offset = end
        if (broker.store.options.flushDiskType === 'SYNC_FLUSH') await broker.store.flush()
        ackOffset = this.held(offset)
      }
      broker.store.replicated(Math.min(header.confirmOffset, offset))
      this.tables.changed(address, header.versions.split(' '))
      answer = await (next ?? this.fetch(address, offset, ackOffset))
    }
  }

  private fetch(address: string, offset: number, ackOffset: number): Promise<RemotingCommand> {
    const { brokerId } = this.broker.options
    const fields = { brokerId, offset, ackOffset, maxBytes: FETCH_BYTES, waitMs: WAIT_MS }
    return this.ask(address, request(RequestCode.REPLICATE, ReplicateHeader.encode(fields)))
  }

  private async followJavaMaster(address: string): Promise<void> {
    // A refusal, of which only people can be the end, is not tried again twice a second.
    const { retryMs } = this
    this.retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
    await this.javaMaster.follow(address, () => {
      this.retryMs = RETRY_MS
    })
  }

  /** Up to where it may say that it holds the log: under SYNC_FLUSH, what is flushed. */
  private held(offset: number): number {
    const { options, flushedOffset } = this.broker.store
    return options.flushDiskType === 'SYNC_FLUSH' ? Math.min(offset, flushedOffset) : offset
  }

  /** Finds from where on the logs differ, and cuts this one there. Returns where to go on; null when the master is RocketMQ's. */
  private async join(address: string): Promise<number | null> {
    const { broker, epochs } = this
    const { options } = broker
    const { store } = broker
    await epochs.fit(store.maxPhysicalOffset)
    const answer = await this.client.invoke(
      address,
      request(
        RequestCode.JOIN_MASTER,
        JoinMasterHeader.encode({
          clusterName: options.brokerClusterName,
          brokerName: options.brokerName,
          brokerId: options.brokerId,
          address: broker.address,
          maxOffset: store.maxPhysicalOffset
        }),
        formatBody({
          epochs: epochs.history.epochs,
          fileSizeBytes: store.options.mappedFileSizeCommitLogBytes,
          log: await logIdOf(broker.files, options.storePathRootDir)
        })
      ),
      TIMEOUT_MS
    )
    if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED && broker.failover === null) return null
    const { startOffset, minOffset } = JoinMasterResponseHeader.decode(successful(answer).extFields)
    const isEmpty = store.maxPhysicalOffset === 0 || store.maxPhysicalOffset === store.minPhysicalOffset
    if (startOffset < store.maxPhysicalOffset || (startOffset > store.maxPhysicalOffset && !isEmpty)) {
      broker.log.warn(
        { startOffset, maxOffset: store.maxPhysicalOffset },
        'the end of this log was never confirmed, or is not known to the master: it is cut off'
      )
      await epochs.truncate(startOffset)
      await broker.reopenStore(startOffset > minOffset ? startOffset : null)
      this.tables.reset()
      broker.store.replicated(Math.min(broker.store.confirmOffset, startOffset))
    }
    return startOffset
  }

  private async ask(address: string, command: RemotingCommand): Promise<RemotingCommand> {
    return successful(await this.client.invoke(address, command, TIMEOUT_MS))
  }

  async close(): Promise<void> {
    this.stopped = true
    this.wake()
    this.javaMaster.close()
    await this.client.close()
    await this.running
    await this.tables.settled()
  }
}

function successful(answer: RemotingCommand): RemotingCommand {
  if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `the master answered ${answer.code}`)
  return answer
}
