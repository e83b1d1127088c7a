import {
  formatBody,
  JoinMasterHeader,
  JoinMasterResponseHeader,
  parseBody,
  type RemotingCommand,
  ReplicateHeader,
  ReplicateResponseHeader,
  RequestCode,
  ResponseCode,
  request,
  response
} from '../../net/index.ts'
import type { EpochFile } from './epoch-file.ts'
import type { ReplicationHost } from './host.ts'

const FETCH_BYTES = 4 * 1024 * 1024
const WAIT_MS = 1000
const TIMEOUT_MS = 10_000
const RETRY_MS = 500

/** What `haStatus` shows of a slave. HARuntimeInfo.HAClientRuntimeInfo */
export interface SlaveStatus {
  masterAddress: string
  lastReadMs: number
  lastWriteMs: number
  masterMaxOffset: number
  /** Bytes that came within the last second that was counted. */
  bytesPerSecond: number
}

/**
 * The slave's half of replication: it finds from where on its log differs from its master's, cuts that off, and takes over
 * what the master has, byte by byte; and the master's topics, groups, offsets and delay progress when they changed.
 */
export class ReplicationSlave {
  readonly status: SlaveStatus = {
    masterAddress: '',
    lastReadMs: 0,
    lastWriteMs: 0,
    masterMaxOffset: 0,
    bytesPerSecond: 0
  }
  private readonly broker: ReplicationHost
  readonly epochs: EpochFile
  private readonly client: ReturnType<ReplicationHost['newCaller']>
  private running: Promise<void> | null = null
  private stopped = false
  private wake: () => void = () => {}
  private versions: string[] = []
  private syncing: Promise<void> | null = null
  private countedSince = 0
  private counted = 0

  constructor(broker: ReplicationHost, epochs: EpochFile) {
    this.broker = broker
    this.epochs = epochs
    this.client = broker.newCaller()
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
        if (!this.stopped && reason !== lastReason) log.warn({ master: address, reason }, 'replication waits')
        lastReason = reason
      }
      if (!this.stopped) await this.pause(RETRY_MS)
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
    let offset = await this.join(address)
    let ackOffset = this.held(offset)
    this.status.masterAddress = address
    broker.log.info({ master: address, offset }, 'replication runs')
    while (!this.stopped) {
      const answer = await this.ask(
        address,
        request(
          RequestCode.REPLICATE,
          ReplicateHeader.encode({
            brokerId: broker.options.brokerId,
            offset,
            ackOffset,
            maxBytes: FETCH_BYTES,
            waitMs: WAIT_MS
          })
        )
      )
      const header = ReplicateResponseHeader.decode(answer.extFields)
      if (header.offset !== offset) throw new Error(`the master answered for offset ${header.offset}, not ${offset}`)
      this.status.lastReadMs = broker.clock.now()
      this.status.masterMaxOffset = header.maxOffset
      const bytes = answer.body
      if (bytes !== null && bytes.length > 0) {
        if (header.epoch > epochs.history.last) await epochs.begin(header.epoch, header.epochStart)
        broker.store.appendRaw(offset, bytes)
        offset += bytes.length
        this.count(bytes.length)
        if (broker.store.options.flushDiskType === 'SYNC_FLUSH') await broker.store.flush()
        ackOffset = this.held(offset)
      }
      broker.store.replicated(Math.min(header.confirmOffset, offset))
      this.syncMetadata(address, header.versions)
    }
  }

  /** Up to where it may say that it holds the log: under SYNC_FLUSH, what is flushed. */
  private held(offset: number): number {
    const { options, flushedOffset } = this.broker.store
    return options.flushDiskType === 'SYNC_FLUSH' ? Math.min(offset, flushedOffset) : offset
  }

  private count(bytes: number): void {
    const nowMs = this.broker.clock.now()
    this.status.lastWriteMs = nowMs
    if (nowMs - this.countedSince >= 1000) {
      this.status.bytesPerSecond = this.counted
      this.counted = 0
      this.countedSince = nowMs
    }
    this.counted += bytes
  }

  /** Finds from where on the logs differ, and cuts this one there. Returns where to go on. */
  private async join(address: string): Promise<number> {
    const { broker, epochs } = this
    const { options } = broker
    const { store } = broker
    await epochs.fit(store.maxPhysicalOffset)
    const answer = await this.ask(
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
          fileSizeBytes: store.options.mappedFileSizeCommitLogBytes
        })
      )
    )
    const { startOffset, minOffset } = JoinMasterResponseHeader.decode(answer.extFields)
    const isEmpty = store.maxPhysicalOffset === 0 || store.maxPhysicalOffset === store.minPhysicalOffset
    if (startOffset < store.maxPhysicalOffset || (startOffset > store.maxPhysicalOffset && !isEmpty)) {
      broker.log.warn(
        { startOffset, maxOffset: store.maxPhysicalOffset },
        'the end of this log was never confirmed, or is not known to the master: it is cut off'
      )
      await epochs.truncate(startOffset)
      await broker.reopenStore(startOffset > minOffset ? startOffset : null)
      broker.store.replicated(Math.min(broker.store.confirmOffset, startOffset))
    }
    return startOffset
  }

  private async ask(address: string, command: RemotingCommand): Promise<RemotingCommand> {
    const answer = await this.client.invoke(address, command, TIMEOUT_MS)
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `the master answered ${answer.code}`)
    return answer
  }

  /** What changed at the master is fetched while the log goes on. SlaveSynchronize */
  private syncMetadata(address: string, text: string): void {
    const versions = text.split(' ')
    if (this.syncing !== null || versions.every((version, i) => version === this.versions[i])) return
    this.syncing = this.fetchMetadata(address, versions)
      .catch(error =>
        this.broker.log.warn({ reason: (error as Error).message }, "the master's tables could not be fetched")
      )
      .finally(() => {
        this.syncing = null
      })
  }

  private async fetchMetadata(address: string, versions: string[]): Promise<void> {
    const { topics, groups, offsets, delay: delays } = this.broker
    const tables: [number, (body: Record<string, unknown>) => void][] = [
      [RequestCode.GET_ALL_TOPIC_CONFIG, body => topics.adopt(body)],
      [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, body => groups.adopt(body)],
      [RequestCode.GET_ALL_CONSUMER_OFFSET, body => offsets.adopt(body)],
      [RequestCode.GET_ALL_DELAY_OFFSET, body => delays.adopt(body)]
    ]
    for (const [i, [code, adopt]] of tables.entries()) {
      if (versions[i] === this.versions[i]) continue
      const answer = await this.ask(address, request(code))
      adopt((parseBody(answer.body) ?? {}) as Record<string, unknown>)
      this.versions[i] = versions[i]!
    }
  }

  async close(): Promise<void> {
    this.stopped = true
    this.wake()
    await this.client.close()
    await this.running
    await this.syncing
  }
}
