import type { InSync, MasterInfo } from '../../broker/failover/election.ts'
import { Failover, type FailoverHost } from '../../broker/failover/failover.ts'
import { type BrokerOptions, brokerDefaults } from '../../broker/options.ts'
import { PUT_RESPONSE } from '../../broker/put.ts'
import { EpochFile } from '../../broker/replication/epoch-file.ts'
import type { EpochHistory } from '../../broker/replication/epochs.ts'
import { BOOT_ID_PATH, checkLogId, forgetLogId } from '../../broker/replication/log-id.ts'
import type { ReplicationMaster } from '../../broker/replication/master.ts'
import type { ReplicationSlave } from '../../broker/replication/slave.ts'
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
import { ManualClock } from './manual-clock.ts'
import { ProcessClock } from './process-clock.ts'
import { below, oneOf, type Random } from './seeded.ts'
import { SharedValues, SimulatedCoordinator } from './simulated-coordinator.ts'
import { type Crash, SimulatedFiles } from './simulated-files.ts'
import { type Peer, SimulatedNetwork } from './simulated-network.ts'

const STORE_DIR = '/store'
const LOG_DIR = `${STORE_DIR}/commitlog`
const PREFIX = '/skylark/c/b/'
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
/** Between two messages to each broker, on average. */
const SEND_MS = 30
const START_MS = 1_000_000

export interface SetOptions {
  readonly count: number
  readonly role: 'ASYNC_MASTER' | 'SYNC_MASTER'
  readonly minInSyncReplicas: number
  readonly flushDiskType: StoreOptions['flushDiskType']
}

const nothing = { adopt() {} }

/** A broker of which nothing is left but its store, its replication and its failover, on a simulated disk. */
class SimulatedBroker implements FailoverHost, Peer {
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
  private boots = 0
  private saved: SimulatedFiles | null = null
  /** Whether the store can be asked. */
  isOpen = false
  /** Up to here its log was compared with what is confirmed: as far as it says so, and as far as something is acknowledged. */
  confirmedUntil = 0
  heldUntil = 0
  private readonly world: SimulatedBrokers

  constructor(world: SimulatedBrokers, id: number, rate: number) {
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
    this.open().catch(error => this.world.fail(`node ${this.id} does not start: ${(error as Error).stack}`))
  }

  private async open(): Promise<void> {
    const { role, minInSyncReplicas, flushDiskType } = this.world.options
    this.options = {
      ...brokerDefaults,
      storePathRootDir: STORE_DIR,
      brokerName: 'b',
      brokerClusterName: 'c',
      brokerId: this.id,
      brokerRole: role,
      minInSyncReplicas,
      haMaxTimeSlaveNotCatchupMs: 1500,
      store: { ...STORE, flushDiskType }
    }
    await checkLogId(this.files, STORE_DIR, flushDiskType === 'ASYNC_FLUSH')
    await this.openStore(Number.POSITIVE_INFINITY)
    const dispatcher = new RequestDispatcher(this.log)
    dispatcher.register(RequestCode.SEND_MESSAGE, ({ body }) => this.put(Buffer.from(body!)))
    // What is no message does not change.
    for (const code of TABLES) dispatcher.register(code, () => response(ResponseCode.SUCCESS, null, null, '{}'))
    this.dispatcher = dispatcher
    this.failover = new Failover(this, this.coordinator, this.clock)
    this.failover.start()
    this.listens = true
  }

  private async openStore(cutAt: number): Promise<void> {
    const { files, clock, log } = this
    this.store = await openStore(STORE_DIR, this.options.store, { files, clock, log, cutAt, isReplicated: true })
    this.isOpen = true
  }

  private put(body: Buffer): Promise<ReturnType<typeof response>> {
    return new Promise(resolve =>
      this.store.put(messageOf({ topic: 'orders', body, bornTimestamp: 0 }), {
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
    this.world.note(
      `node ${this.id} reopens: ${this.store.maxPhysicalOffset} confirmed ${this.store.confirmOffset} reput ${this.store.reputOffset}`
    )
    await this.store.close()
    this.isOpen = false
    this.forget()
    if (cutAt === null) {
      forgetLogId(this.files, STORE_DIR)
      this.files.removeDirectory(LOG_DIR)
      this.files.removeDirectory(`${STORE_DIR}/consumequeue`)
      for (const name of ['checkpoint', 'skylark.json', 'skylark.json.bak']) this.files.remove(`${STORE_DIR}/${name}`)
    }
    await this.openStore(cutAt ?? Number.POSITIVE_INFINITY)
  }

  private forget(): void {
    this.confirmedUntil = 0
    this.heldUntil = 0
  }

  masterAddress(): string | null {
    return this.failover?.masterAddress ?? null
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

/** A set of brokers that elect their master, in simulated time: what must hold is watched all along. */
export class SimulatedBrokers {
  readonly clock = new ManualClock(START_MS)
  readonly shared = new SharedValues(this.clock)
  readonly random: Random
  readonly network: SimulatedNetwork
  readonly options: SetOptions
  readonly nodes: readonly SimulatedBroker[]
  failure: Error | null = null
  elections = 0
  acknowledgedCount = 0
  /** The log as far as anybody has called it confirmed. */
  private confirmed = Buffer.alloc(64 * 1024)
  private confirmedEnd = 0
  /** Everything below is acknowledged. */
  private acknowledgedEnd = 0
  private readonly acknowledgedBy = new Map<number, number>()
  private lastEpoch = 0
  private lastLease = ''
  private lastMessage = 0
  private sends = false
  /** What happened, for whoever looks into a failure. */
  readonly story: string[] = []

  constructor(random: Random, options: SetOptions) {
    this.random = random
    this.options = options
    this.network = new SimulatedNetwork(this.clock, random)
    this.nodes = Array.from(
      { length: options.count },
      (_, i) => new SimulatedBroker(this, i + 1, 0.99 + random() * 0.02)
    )
    for (const node of this.nodes) node.start()
    this.sendLater()
  }

  fail(message: string): void {
    if (this.failure !== null) return
    this.note(message)
    this.failure = new Error(message)
  }

  note(event: string): void {
    this.story.push(`${Math.round(this.clock.now() - START_MS)} ms: ${event}`)
  }

  private sendLater(): void {
    this.clock.after(this.random() * 2 * SEND_MS, () => {
      for (const node of this.nodes)
        if (this.sends && node.isUp && node.failover !== null)
          node.send(`message ${++this.lastMessage} ${'x'.repeat(below(this.random, 400))}`)
      this.sendLater()
    })
  }

  private elected({ id, epoch, lease }: MasterInfo): void {
    if (lease === this.lastLease) return
    this.elections++
    this.lastLease = lease
    if (epoch <= this.lastEpoch) this.fail(`epoch ${epoch} of node ${id} does not follow ${this.lastEpoch}`)
    this.lastEpoch = epoch
    this.requireAcknowledged(this.nodes[id - 1]!, 'leads')
  }

  acknowledged(node: SimulatedBroker, offset: number, body: Buffer): void {
    this.acknowledgedCount++
    const epoch = node.master?.epochs.history.last ?? 0
    const by = this.acknowledgedBy.get(epoch)
    if (by !== undefined && by !== node.id) this.fail(`nodes ${by} and ${node.id} both acknowledge in epoch ${epoch}`)
    this.acknowledgedBy.set(epoch, node.id)
    for (const other of this.nodes)
      if (other !== node && other.failover?.holds)
        this.fail(`node ${node.id} acknowledges, and ${other.id} is the master`)
    if (this.options.role === 'ASYNC_MASTER') return
    this.checkConfirmed(node)
    const record = node.bytes(offset, offset + 4)
    const end = offset + record.readInt32BE(0)
    if (end > this.confirmedEnd) this.fail(`node ${node.id} acknowledges what it does not call confirmed`)
    if (!this.confirmed.subarray(offset, end).includes(body)) this.fail(`message at ${offset} is not in the log`)
    this.acknowledgedEnd = Math.max(this.acknowledgedEnd, end)
    this.note(`node ${node.id} acknowledges ${end}`)
  }

  /** Logs are alike as far as anybody calls them confirmed. */
  private checkConfirmed(node: SimulatedBroker): void {
    const { store } = node
    // Recovery goes on behind the blank end of a file, in which there is nothing to be seen.
    const isBlank = store.reputOffset % FILE_BYTES === 0
    const seen = isBlank ? store.confirmOffset : Math.max(store.confirmOffset, store.reputOffset)
    const end = Math.min(seen, store.maxPhysicalOffset)
    if (end <= node.confirmedUntil) return
    const from = node.confirmedUntil
    node.confirmedUntil = end
    const bytes = node.bytes(from, end)
    if (bytes.length !== end - from) this.fail(`node ${node.id} has no bytes below its confirm offset ${end}`)
    const known = Math.min(end, this.confirmedEnd) - from
    if (known > 0 && !this.confirmed.subarray(from, from + known).equals(bytes.subarray(0, known)))
      this.fail(`node ${node.id} calls confirmed what differs from what was: ${from} to ${end}`)
    if (end <= this.confirmedEnd) return
    if (end > this.confirmed.length) this.confirmed = Buffer.concat([this.confirmed, Buffer.alloc(end)])
    bytes.copy(this.confirmed, from)
    this.confirmedEnd = end
    this.note(`node ${node.id} calls confirmed ${end}`)
  }

  private requireAcknowledged(node: SimulatedBroker, what: string): void {
    if (node.heldUntil >= this.acknowledgedEnd || this.failure !== null) return
    const from = node.heldUntil
    const bytes = node.bytes(from, this.acknowledgedEnd)
    if (!bytes.equals(this.confirmed.subarray(from, this.acknowledgedEnd)))
      this.fail(`node ${node.id} ${what} without all that is acknowledged, ${from} to ${this.acknowledgedEnd}`)
    node.heldUntil = this.acknowledgedEnd
  }

  private masterText: string | null = null
  private inSyncText: string | null = null
  private inSync: Pick<InSync, 'members' | 'logs'> = { members: [], logs: [] }

  /** Whoever may be elected has everything that is acknowledged. */
  private check(): void {
    const master = this.shared.text(`${PREFIX}master`)
    if (master !== null && master !== this.masterText) this.elected(JSON.parse(master) as MasterInfo)
    this.masterText = master
    if (this.options.role === 'ASYNC_MASTER') return
    for (const node of this.nodes) if (node.isOpen) this.checkConfirmed(node)
    const text = this.shared.text(`${PREFIX}insync`)
    if (text === null) return
    if (text !== this.inSyncText) {
      this.inSyncText = text
      this.inSync = JSON.parse(text) as InSync
      this.note(`in sync ${text}`)
    }
    for (const node of this.nodes)
      if (node.heldUntil < this.acknowledgedEnd && this.mayLead(node)) this.requireAcknowledged(node, 'may lead')
  }

  /** Whether it is a member of the in-sync set that has not lost since what it had. */
  private mayLead({ id, logName }: SimulatedBroker): boolean {
    const { members, logs } = this.inSync
    return members.includes(id) && logs[members.indexOf(id)] === logName
  }

  /** Lets time pass, with producers at work. */
  async run(ms: number, sends = true): Promise<void> {
    this.sends = sends
    const endMs = this.clock.now() + ms
    while (this.failure === null && this.clock.runNext(endMs)) {
      await new Promise(resolve => setImmediate(resolve))
      this.check()
    }
    if (this.failure !== null) throw this.failure
    this.clock.advance(endMs - this.clock.now())
  }

  /** Something breaks, or is whole again. */
  disturb(): void {
    const { random, nodes, shared, network } = this
    const node = oneOf(random, nodes)
    const masters = nodes.filter(({ master }) => master !== null)
    const victim = masters.length > 0 && random() < 0.5 ? oneOf(random, masters) : node
    switch (below(random, 10)) {
      case 0:
        if (!victim.runs) victim.start()
        else {
          const keeps = random() < 0.5 ? 'all' : this.powerCut(victim)
          victim.kill(keeps)
          this.note(`node ${victim.id} ${keeps === 'all' ? 'is killed' : 'loses its power'}`)
        }
        return
      case 1:
        node.start()
        return
      case 2:
        if (victim.clock.paused) victim.clock.resume()
        else if (victim.runs) victim.clock.paused = true
        this.note(`node ${victim.id} ${victim.clock.paused ? 'stands still' : 'goes on'}`)
        return
      case 3:
        victim.coordinator.connected = !victim.coordinator.connected
        this.note(`node ${victim.id} ${victim.coordinator.connected ? 'reaches' : 'does not reach'} etcd`)
        return
      case 4: {
        const other = oneOf(random, nodes)
        if (other === victim) return
        network.block(victim, other)
        const both = random() < 0.7
        if (both) network.block(other, victim)
        this.note(`nothing gets from node ${victim.id} to ${other.id}${both ? ', nor back' : ''}`)
        return
      }
      case 5:
        network.breakOne()
        this.note('one end of a connection is reset')
        return
      case 6:
        for (const each of nodes) if (each.clock.paused) each.clock.resume()
        network.heal()
        this.note('all ways are open, and nobody stands still')
        return
      case 7:
        if (victim.isOpen) victim.saveDisk()
        return
      case 8:
        if (!this.canLose(victim)) return
        victim.kill('all')
        victim.replaceDisk()
        this.note(`node ${victim.id} is killed, and its disk replaced`)
        return
      default:
        shared.up = !shared.up || random() < 0.7
        this.note(`etcd is ${shared.up ? 'up' : 'down'}`)
    }
  }

  /** What is left on a disk. */
  private powerCut(victim: SimulatedBroker): Crash['keeps'] {
    const isDurable = this.options.flushDiskType === 'SYNC_FLUSH'
    return isDurable || this.canLose(victim) ? { anyOf: this.random } : 'all'
  }

  /** Whether others go on having what a node has, even if the last in-sync set that a master wrote is still on its way. */
  private canLose(victim: SimulatedBroker): boolean {
    const holder = this.nodes.find(node => node !== victim && node.isUp && this.mayLead(node) && node.failover?.holds)
    const others = this.nodes.filter(node => node !== victim && this.mayLead(node))
    return holder !== undefined || (this.isWhole && others.length > 0 && this.shared.underWay === 0)
  }

  heal(): void {
    this.shared.up = true
    this.network.heal()
    for (const node of this.nodes) {
      node.coordinator.connected = true
      node.start()
      node.clock.resume()
    }
  }

  /** One master, and all logs at its end. */
  get isWhole(): boolean {
    const masters = this.nodes.filter(({ failover }) => failover?.holds)
    if (masters.length !== 1) return false
    const { store } = masters[0]!
    return this.nodes.every(
      node =>
        node.isOpen &&
        (node.slave === null) !== (node.master === null) &&
        node.store.maxPhysicalOffset === store.maxPhysicalOffset &&
        (this.options.role === 'ASYNC_MASTER' || node.store.confirmOffset >= store.maxPhysicalOffset)
    )
  }

  /** All logs are byte-identical, and hold what was acknowledged. */
  checkLogs(): void {
    const [first, ...others] = this.nodes
    const end = first!.store.maxPhysicalOffset
    const log = first!.bytes(first!.store.minPhysicalOffset, end)
    for (const node of others)
      if (!node.bytes(node.store.minPhysicalOffset, end).equals(log)) this.fail(`logs of 1 and ${node.id} differ`)
    for (const node of this.nodes) this.requireAcknowledged(node, 'ends')
    if (this.failure !== null) throw this.failure
  }

  /** Ends all, and lets what waits go. */
  close(): void {
    for (const node of this.nodes) node.kill('all')
    this.clock.clear()
  }
}
