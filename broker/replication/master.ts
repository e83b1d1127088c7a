import { randomInt } from 'node:crypto'
import {
  type Connection,
  formatBody,
  JoinMasterHeader,
  JoinMasterResponseHeader,
  parseBody,
  type RemotingCommand,
  ReplicateHeader,
  ReplicateResponseHeader,
  RequestCode,
  ResponseCode,
  response
} from '../../net/index.ts'
import type { EpochFile } from './epoch-file.ts'
import { type Epoch, EpochHistory } from './epochs.ts'
import type { ReplicationHost } from './host.ts'
import { type Replica, ReplicaSet } from './replica-set.ts'

const REPLICA = Symbol('replica')
const MAX_BODY_BYTES = 8 * 1024 * 1024
const MAX_WAIT_MS = 5000
/** How often replicas that fell behind are noticed while nothing is written. */
const CHECK_MS = 1000

/** What a replica tells of its log. */
interface ReplicaBody {
  epochs?: Epoch[]
  fileSizeBytes?: number
  /** Its name. */
  log?: string
}

/** A request that found nothing new and waits for it. */
interface Held {
  answer(): void
  cancel(): void
}

/**
 * The master's half of replication: replicas ask for the log from an offset on, over the same frames as everybody, and each
 * request acknowledges what came before it. A request that finds nothing new is held like a long poll.
 */
export class ReplicationMaster {
  readonly replicas: ReplicaSet
  private readonly broker: ReplicationHost
  readonly epochs: EpochFile
  private readonly held = new Set<Held>()
  private readonly electedFor: number | null
  private wakeQueued = false
  private closed = false

  /** Without an election it takes an epoch of its own. */
  constructor(broker: ReplicationHost, epochs: EpochFile, electedFor: number | null = null) {
    this.broker = broker
    this.epochs = epochs
    this.electedFor = electedFor
    const { options } = broker
    this.replicas = new ReplicaSet(
      {
        isSync: options.brokerRole === 'SYNC_MASTER',
        inSyncReplicas: options.inSyncReplicas,
        minInSyncReplicas: options.minInSyncReplicas,
        allAckInSyncStateSet: options.allAckInSyncStateSet,
        maxLagMs: options.haMaxTimeSlaveNotCatchupMs
      },
      broker.store.confirmOffset,
      broker.store.maxPhysicalOffset
    )
  }

  /** Begins its epoch, and serves replicas. */
  async start(): Promise<void> {
    const { store, dispatcher, scheduler, options, clock, failover } = this.broker
    const { history } = this.epochs
    // Seconds since 1970: masters that know nothing of each other do not take the same number.
    const epoch = this.electedFor ?? Math.max(history.last + 1, Math.floor(clock.now() / 1000))
    await this.epochs.fit(store.maxPhysicalOffset)
    // What was written before there were epochs is this log's own: replicas that copied some of it need not begin anew.
    if (this.electedFor === null && history.last === 0 && store.maxPhysicalOffset > store.minPhysicalOffset)
      await this.epochs.begin(randomInt(1, 1_000_000_000), store.minPhysicalOffset)
    await this.epochs.begin(epoch, store.maxPhysicalOffset)
    dispatcher.register(RequestCode.JOIN_MASTER, (request, connection) => this.join(request, connection))
    dispatcher.register(RequestCode.REPLICATE, (request, connection) => this.replicate(request, connection))
    store.onWritten = () => this.wake()
    // Without its lease a master acknowledges nothing.
    if (failover !== null) store.mayAcknowledge = () => failover.holds
    store.replicated(this.replicas.confirmOffset(clock.now()))
    this.update()
    // An election looks after its in-sync set itself.
    if (options.brokerRole === 'SYNC_MASTER' && this.electedFor === null)
      scheduler.every('watch replicas', CHECK_MS, () => this.update())
  }

  /** Tells a replica from where on its log differs. Throws NetError. AutoSwitchHAClient: handshake */
  private join(request: RemotingCommand, connection: Connection): RemotingCommand {
    const { options, store, clock, log } = this.broker
    const header = JoinMasterHeader.decode(request.extFields)
    const { clusterName, brokerName, brokerId, maxOffset, address } = header
    if (this.closed) return response(ResponseCode.SYSTEM_BUSY, 'this broker is no master any more')
    if (clusterName !== options.brokerClusterName || brokerName !== options.brokerName || brokerId <= 0)
      return response(
        ResponseCode.ILLEGAL_OPERATION,
        `${clusterName}/${brokerName} with id ${brokerId} is no replica of ${options.brokerClusterName}/${options.brokerName}`
      )
    const body = (request.body === null ? null : parseBody(request.body)) as ReplicaBody | null
    const theirs = new EpochHistory(body?.epochs ?? [])
    const { history } = this.epochs
    if (theirs.last > history.last)
      return response(
        ResponseCode.ILLEGAL_OPERATION,
        `the replica's log was written by a later master (epoch ${theirs.last}) than this one (epoch ${history.last})`
      )
    const { mappedFileSizeCommitLogBytes: fileSizeBytes } = store.options
    if (body?.fileSizeBytes !== undefined && body.fileSizeBytes !== fileSizeBytes)
      return response(
        ResponseCode.ILLEGAL_OPERATION,
        `the replica's mappedFileSizeCommitLog is ${body.fileSizeBytes}, this broker's ${fileSizeBytes}`
      )
    const common = theirs.commonEnd(maxOffset, history, store.maxPhysicalOffset)
    // A log without epochs in common is taken up again from this one's beginning; so is one that ends before it.
    const startOffset = maxOffset > 0 && common >= store.minPhysicalOffset ? common : store.minPhysicalOffset
    const before = connection.state.get(REPLICA) as Replica | undefined
    if (before !== undefined) this.replicas.leave(before)
    // What it holds, and has flushed if it must, its first request says.
    const replica = this.replicas.join(brokerId, address, String(body?.log ?? ''), 0, clock.now())
    connection.state.set(REPLICA, replica)
    connection.onClose(() => {
      this.replicas.leave(replica)
      this.update()
    })
    log.info({ brokerId, address, startOffset, maxOffset }, 'a replica joined')
    const fields = { startOffset, minOffset: store.minPhysicalOffset, maxOffset: store.maxPhysicalOffset }
    return response(
      ResponseCode.SUCCESS,
      null,
      JoinMasterResponseHeader.encode(fields),
      formatBody({ epochs: history.epochs })
    )
  }

  private replicate(request: RemotingCommand, connection: Connection): RemotingCommand | null {
    const { store, clock, options } = this.broker
    const { offset, ackOffset, maxBytes, waitMs, brokerId } = ReplicateHeader.decode(request.extFields)
    const replica = connection.state.get(REPLICA) as Replica | undefined
    if (this.closed || replica?.brokerId !== brokerId || !this.replicas.isCurrent(replica))
      return response(ResponseCode.ILLEGAL_OPERATION, `broker ${brokerId} has not joined on this connection`)
    const { maxPhysicalOffset, minPhysicalOffset } = store
    if (offset > maxPhysicalOffset || ackOffset > offset || offset < minPhysicalOffset)
      return response(
        ResponseCode.ILLEGAL_OPERATION,
        `offset ${offset}, acknowledging ${ackOffset}, lies outside the log, which holds ${minPhysicalOffset} to ${maxPhysicalOffset}`
      )
    if (replica.isWaiting)
      return response(ResponseCode.ILLEGAL_OPERATION, `another request of broker ${brokerId} is not answered yet`)
    replica.isWaiting = true
    this.replicas.acknowledge(replica, ackOffset, maxPhysicalOffset, clock.now())
    this.update()
    const answer = () => {
      replica.isWaiting = false
      if (connection.closed || this.closed) return
      void this.answer(offset, Math.min(maxBytes, MAX_BODY_BYTES)).then(
        command => {
          this.replicas.sent(replica, command.body?.length ?? 0, clock.now())
          connection.reply(request, command)
        },
        error => connection.reply(request, response(ResponseCode.SYSTEM_ERROR, (error as Error).message))
      )
    }
    const waitForRateMs = options.haFlowControlEnable
      ? this.replicas.waitMs(replica, options.maxHaTransferBytesPerSecond, clock.now())
      : 0
    if (waitForRateMs > 0) clock.after(waitForRateMs, answer)
    else if (offset < maxPhysicalOffset) answer()
    else this.hold(answer, Math.min(Math.max(waitMs, 0), MAX_WAIT_MS))
    return null
  }

  /** Resolves when something was written, or after a time. */
  more(waitMs: number): Promise<void> {
    return new Promise(resolve => this.hold(resolve, waitMs))
  }

  private hold(answer: () => void, waitMs: number): void {
    const cancel = this.broker.clock.after(waitMs, () => {
      this.held.delete(held)
      answer()
    })
    const held: Held = { answer, cancel }
    this.held.add(held)
  }

  /** Whoever waits gets all that the current event writes in one answer. */
  private wake(): void {
    if (this.held.size === 0 || this.wakeQueued) return
    this.wakeQueued = true
    queueMicrotask(() => {
      this.wakeQueued = false
      const all = [...this.held]
      this.held.clear()
      for (const { answer, cancel } of all) {
        cancel()
        answer()
      }
    })
  }

  /** Bytes of one epoch and one file. */
  private async answer(offset: number, maxBytes: number): Promise<RemotingCommand> {
    const { store } = this.broker
    const { history } = this.epochs
    const index = history.epochs.findLastIndex(each => each.startOffset <= offset)
    const epoch = history.epochs[index]
    const epochEnd = history.epochs[index + 1]?.startOffset ?? Number.POSITIVE_INFINITY
    const body = await store.readRaw(offset, Math.min(maxBytes, epochEnd - offset))
    const fields = ReplicateResponseHeader.encode({
      offset,
      epoch: epoch?.epoch ?? 0,
      epochStart: epoch?.startOffset ?? 0,
      confirmOffset: store.confirmOffset,
      maxOffset: store.maxPhysicalOffset,
      versions: this.broker.metadataVersions()
    })
    return response(ResponseCode.SUCCESS, null, fields, body)
  }

  /** Lets go of puts that enough replicas hold now, and refuses new ones when too few are left. */
  update(): void {
    const { store, clock, failover } = this.broker
    if (this.closed) return
    const nowMs = clock.now()
    const confirmOffset = this.replicas.confirmOffset(nowMs)
    store.replicaRefusal = this.replicas.refusal(nowMs)
    // Without its lease a master confirms nothing more.
    store.replicated(failover?.holds === false ? Math.min(confirmOffset, store.confirmOffset) : confirmOffset)
  }

  close(): void {
    this.closed = true
    for (const { cancel } of this.held) cancel()
    this.held.clear()
  }
}
