import { Failover, type FailoverHost } from '../../broker/failover/failover.ts'
import { type BrokerOptions, brokerDefaults } from '../../broker/options.ts'
import { PUT_RESPONSE } from '../../broker/put.ts'
import { beginAnew } from '../../broker/replication/begin-anew.ts'
import { EpochFile } from '../../broker/replication/epoch-file.ts'
import type { EpochHistory } from '../../broker/replication/epochs.ts'
import { BOOT_ID_PATH, checkLogId, forgetLogId } from '../../broker/replication/log-id.ts'
import { ReplicationMaster } from '../../broker/replication/master.ts'
import { ReplicationSlave } from '../../broker/replication/slave.ts'
import { type MessageStore, messageOf, openStore, PutStatus, type StoreOptions } from '../../engine/index.ts'
import {
  type Connection,
  type Log,
  RequestCode,
  RequestDispatcher,
  ResponseCode,
  request,
  response,
  silentLog
} from '../../net/index.ts'
import type { ManualClock } from './manual-clock.ts'
import { ProcessClock } from './process-clock.ts'
import { below, type Random } from './seeded.ts'
import { type SharedValues, SimulatedCoordinator } from './simulated-coordinator.ts'
import { type Crash, SimulatedFiles } from './simulated-files.ts'
import type { Peer, SimulatedNetwork } from './simulated-network.ts'

const STORE_DIR = '/store'
const LOG_DIR = `${STORE_DIR}/commitlog`
const TOPIC = 'orders'
const FILE_BYTES = 4096
const STORE: Partial<StoreOptions> = {
  mappedFileSizeCommitLogBytes: FILE_BYTES,
  mappedFileSizeConsumeQueueBytes: 640,
  maxMessageSizeBytes: 1024,
  messageIndexEnable: false,
  enableCompaction: false,
  flushIntervalCommitLogMs: 150,
  flushIntervalConsumeQueueMs: 400,
  syncFlushTimeoutMs: 1500,
  slaveTimeoutMs: 1500
}
const TABLES = [
  RequestCode.GET_ALL_TOPIC_CONFIG,
  RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
  RequestCode.GET_ALL_CONSUMER_OFFSET,
  RequestCode.GET_ALL_DELAY_OFFSET
]
export interface SetOptions {
  readonly count: number
  readonly role: 'ASYNC_MASTER' | 'SYNC_MASTER'
  readonly minInSyncReplicas: number
  /** Without an election: how many hold what is acknowledged. */
  readonly inSyncReplicas: number
  /** Whether they elect their master in etcd; otherwise an operator says which one it is. */
  readonly elects: boolean
  readonly flushDiskType: StoreOptions['flushDiskType']
}

/** What simulated brokers share. */
export interface World {
  readonly clock: ManualClock
  readonly shared: SharedValues
  readonly random: Random
  readonly network: SimulatedNetwork
  readonly options: SetOptions
  /** Who says which of them is the master; null when they elect it. */
  readonly operator: { readonly masterId: number; readonly masterAddress: string | null } | null
  fail(message: string): void
  note(event: string): void
  /** A put is acknowledged. */
  acknowledged(node: SimulatedBroker, physicalOffset: number, body: Buffer): void
}

const nothing = { adopt() {} }

/** A broker of which nothing is left but its store, its replication and its failover, on a simulated disk. */
export class SimulatedBroker implements FailoverHost, Peer {
  readonly id: number
  readonly address: string
  readonly clock: ProcessClock
  readonly coordinator: SimulatedCoordinator
  readonly topics = nothing
  readonly groups = nothing
  readonly offsets = nothing
  readonly delay = nothing
  readonly log: Log
  readonly scheduler = {
    every: (_name: string, intervalMs: number, run: () => void) => {
      const again = () =>
        this.clock.after(intervalMs, () => {
          run()
          again()
        })
      again()
    }
  }
  files: SimulatedFiles
  options!: BrokerOptions
  store!: MessageStore
  listens = false
  dispatcher = new RequestDispatcher()
  failover: Failover | null = null
  master: ReplicationMaster | null = null
  slave: ReplicationSlave | null = null
  runs = false
  startedMs = Number.NEGATIVE_INFINITY
  private boots = 0
  private isReplicated = true
  private saved: SimulatedFiles | null = null
  /** Whether the store can be asked. */
  isOpen = false
  /** Up to here its log was compared with what is confirmed: as far as it says so, and as far as something is acknowledged. */
  confirmedUntil = 0
  heldUntil = 0
  private readonly world: World

  constructor(world: World, id: number, rate: number) {
    this.world = world
    this.id = id
    this.address = `node-${id}:1`
    this.clock = new ProcessClock(world.clock, rate)
    this.coordinator = new SimulatedCoordinator(world.shared, world.clock, this.clock, world.random)
    this.files = this.newDisk()
    const note = (fields: object, message: string) =>
      world.note(`node ${id}: ${message} ${JSON.stringify({ ...fields, err: undefined })}`)
    this.log = {
      ...silentLog,
      info: note,
      warn: note,
      error: (fields, message) =>
        world.fail(`node ${id} logs an error: ${message} ${(fields as { err?: Error }).err?.stack ?? ''}`)
    }
    world.network.add(this)
  }

  private newDisk(): SimulatedFiles {
    const files = new SimulatedFiles()
    const { random } = this.world
    files.now = this.clock.now
    files.setContent(BOOT_ID_PATH, Buffer.from(String(++this.boots)))
    files.later = done => this.clock.after(random() < 0.02 ? below(random, 200) : random() * 3, done)
    return files
  }

  get isUp(): boolean {
    return this.runs && !this.clock.paused
  }

  start(): void {
    if (this.runs) return
    this.runs = true
    this.startedMs = this.world.clock.now()
    const { files } = this
    this.open().catch(error => {
      // One that is killed while it starts has another view of its disk.
      if (this.files === files) this.world.fail(`node ${this.id} does not start: ${(error as Error).stack}`)
    })
  }

  private async open(): Promise<void> {
    const { files } = this
    const { operator, options } = this.world
    const { role, minInSyncReplicas, inSyncReplicas, flushDiskType } = options
    const isSlave = operator !== null && operator.masterId !== this.id
    this.isReplicated = operator === null || isSlave || role !== 'ASYNC_MASTER'
    this.options = {
      ...brokerDefaults,
      storePathRootDir: STORE_DIR,
      brokerName: 'b',
      brokerClusterName: 'c',
      brokerId: operator === null || isSlave ? this.id : 0,
      brokerRole: isSlave ? 'SLAVE' : role,
      minInSyncReplicas,
      inSyncReplicas,
      haMaxTimeSlaveNotCatchupMs: 1500,
      store: { ...STORE, flushDiskType }
    }
    await checkLogId(this.files, STORE_DIR, flushDiskType === 'ASYNC_FLUSH')
    await this.openStore(Number.POSITIVE_INFINITY)
    if (this.files !== files) return
    const dispatcher = new RequestDispatcher(this.log)
    dispatcher.register(RequestCode.SEND_MESSAGE, ({ body }) =>
      this.master === null ? null : this.put(Buffer.from(body!))
    )
    // What is no message does not change.
    for (const code of TABLES) dispatcher.register(code, () => response(ResponseCode.SUCCESS, null, null, '{}'))
    this.dispatcher = dispatcher
    if (operator === null) {
      this.failover = new Failover(this, this.coordinator, this.clock)
      this.failover.start()
    } else if (isSlave) {
      this.slave = new ReplicationSlave(this, EpochFile.load(this.files, STORE_DIR))
      this.slave.start()
    } else {
      const master = new ReplicationMaster(this, EpochFile.load(this.files, STORE_DIR))
      await master.start()
      if (this.files !== files) return
      this.master = master
    }
    this.listens = true
  }

  private async openStore(cutAt: number): Promise<void> {
    const { files, clock, log, isReplicated } = this
    this.store = await openStore(STORE_DIR, this.options.store, { files, clock, log, cutAt, isReplicated })
    this.isOpen = true
  }

  /** End of the last message that consumers can see. */
  get seenEnd(): number {
    const { store } = this
    const unit = store.unitAt(TOPIC, 0, store.maxQueueOffset(TOPIC, 0) - 1)
    return unit === null ? 0 : unit.physicalOffset + unit.sizeBytes
  }

  private put(body: Buffer): Promise<ReturnType<typeof response>> {
    return new Promise(resolve =>
      this.store.put(messageOf({ topic: TOPIC, body, bornTimestamp: 0 }), {
        onPut: (status, physicalOffset, _queueOffset, _time, reason) => {
          if (status === PutStatus.OK) this.world.acknowledged(this, physicalOffset, body)
          resolve(response(PUT_RESPONSE[status] ?? ResponseCode.SYSTEM_ERROR, reason))
        }
      })
    )
  }

  /** A producer sends. */
  send(body: string): void {
    this.dispatcher.dispatch(request(RequestCode.SEND_MESSAGE, null, body), {
      reply() {}
    } as unknown as Connection)
  }

  async reopenStore(cutAt: number | null): Promise<void> {
    await this.store.close()
    this.isOpen = false
    this.forget()
    if (cutAt === null) beginAnew(this.files, this.options)
    await this.openStore(cutAt ?? Number.POSITIVE_INFINITY)
  }

  private forget(): void {
    this.confirmedUntil = 0
    this.heldUntil = 0
  }

  masterAddress(): string | null {
    const { operator } = this.world
    return operator === null ? (this.failover?.masterAddress ?? null) : operator.masterAddress
  }

  masterHaAddress(): string | null {
    return null
  }

  metadataVersions(): string {
    return '0 0 0 0'
  }

  serveAsMaster(): void {}

  async retire(): Promise<void> {
    await this.reopenStore(Number.POSITIVE_INFINITY)
  }

  announce(): void {}

  newCaller() {
    return this.world.network.newCaller(this)
  }

  /** The process is killed, or its machine loses its power: then a part of what was not flushed is gone. */
  kill(keeps: Crash['keeps']): void {
    if (!this.runs) return
    this.world.network.died(this, keeps !== 'all')
    this.clock.kill()
    this.files = this.files.crash({ keeps })
    if (keeps !== 'all') this.boots++
    this.files.setContent(BOOT_ID_PATH, Buffer.from(String(this.boots)))
    this.runs = false
    this.listens = false
    this.isOpen = false
    this.failover = null
    this.master = null
    this.slave = null
    this.forget()
  }

  /** Its disk is replaced by an empty one, or by what was copied of it. */
  replaceDisk(): void {
    this.files = this.saved?.copy() ?? this.newDisk()
    // As whoever restores a copy is told to do.
    forgetLogId(this.files, STORE_DIR)
    this.files.setContent(BOOT_ID_PATH, Buffer.from(String(this.boots)))
    this.saved = null
    this.forget()
  }

  saveDisk(): void {
    this.saved = this.files.copy()
  }

  /** The name of its log, as it will be at the next start. */
  get logName(): string {
    const text = this.files.readText(`${STORE_DIR}/logId.json`)
    if (text === null) return 'none'
    const { id, losses, boot } = JSON.parse(text) as { id: string; losses: number; boot: string }
    const isLost = this.world.options.flushDiskType === 'ASYNC_FLUSH' && this.files.exists(`${STORE_DIR}/abort`)
    return isLost && boot !== String(this.boots) ? 'lost' : `${id}/${losses}`
  }

  get history(): EpochHistory {
    return EpochFile.load(this.files, STORE_DIR).history
  }

  /** Bytes [from, to) of its log, with whatever lies where nothing was written. */
  bytes(from: number, to: number): Buffer {
    const parts: Buffer[] = []
    for (let at = from; at < to; ) {
      const start = at - (at % FILE_BYTES)
      const path = `${LOG_DIR}/${String(start).padStart(20, '0')}`
      const end = Math.min(start + FILE_BYTES, to)
      if (!this.files.exists(path)) break
      parts.push(this.files.contentOf(path).subarray(at - start, end - start))
      at = end
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }
}
