import type { Clock } from '../../engine/index.ts'
import { type RemotingCommand, RequestCode, ResponseCode, response } from '../../net/index.ts'
import type { BrokerOptions } from '../options.ts'
import { EpochFile } from '../replication/epoch-file.ts'
import type { ReplicationHost } from '../replication/host.ts'
import { logIdOf } from '../replication/log-id.ts'
import { ReplicationMaster } from '../replication/master.ts'
import { ReplicationSlave } from '../replication/slave.ts'
import type { Coordinator } from './coordinator.ts'
import { Election, type Logs, type MasterInfo, type Member, type Place } from './election.ts'
import { Etcd } from './etcd.ts'

const CANDIDACY_MS = 500

/** What only a master does. */
const MASTER_CODES = [
  RequestCode.SEND_MESSAGE,
  RequestCode.SEND_MESSAGE_V2,
  RequestCode.SEND_BATCH_MESSAGE,
  RequestCode.CONSUMER_SEND_MSG_BACK,
  RequestCode.RECALL_MESSAGE,
  RequestCode.LOCK_BATCH_MQ
]
/** What a slave does too, but no master that may have been replaced. */
const READ_CODES = [
  RequestCode.PULL_MESSAGE,
  RequestCode.LITE_PULL_MESSAGE,
  RequestCode.QUERY_CONSUMER_OFFSET,
  RequestCode.UPDATE_CONSUMER_OFFSET
]

/** Time that no one can set. */
const monotonic: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  }
}

/** Clients try again, and ask for the routes. */
const refused = (remark: string) => response(ResponseCode.SERVICE_NOT_AVAILABLE, remark)

function etcdOf({ etcdEndpoints, failoverLeaseMs }: BrokerOptions): Etcd {
  const endpoints = etcdEndpoints.split(/[;,\s]+/).filter(each => each !== '')
  return new Etcd(endpoints, failoverLeaseMs / 4)
}

/** What failover needs of its broker beside what replication does. */
export interface FailoverHost extends ReplicationHost {
  master: ReplicationMaster | null
  slave: ReplicationSlave | null
  /** Begins what only a master does. */
  serveAsMaster(epoch: number): void
  /** Ends what only a master does, and opens the store again, of which then the log's end is a whole record. */
  retire(): Promise<void>
  /** Tells the NameServers what it is. */
  announce(): void
}

/** A broker whose role an election decides: it changes between master and slave while it runs. */
export class Failover implements Member {
  readonly id: number
  private readonly broker: FailoverHost
  /** What it is as a master. */
  private readonly role: 'ASYNC_MASTER' | 'SYNC_MASTER'
  private readonly coordinator: Coordinator
  private readonly clock: Clock
  private readonly election: Election
  /** Between two roles: the store may be closed. */
  isSwitching = true
  private leads = false
  /** Whether the members in sync have all that this log had when it was elected: before, nothing is served. */
  private ready = false
  private ledAtMs = 0
  private required: ReadonlySet<number> = new Set()
  /** Who was in sync when it was elected. */
  private elected: Logs = new Map()
  private followed: MasterInfo | null = null
  private lastError = ''

  /** Throws RangeError when the broker's options do not name a member. */
  constructor(broker: FailoverHost, coordinator: Coordinator = etcdOf(broker.options), clock: Clock = monotonic) {
    const { options, log, dispatcher } = broker
    const { brokerId, brokerRole, brokerClusterName, brokerName, failoverLeaseMs } = options
    if (brokerRole === 'SLAVE')
      throw new RangeError(
        'with etcdEndpoints, brokerRole is ASYNC_MASTER or SYNC_MASTER: what the broker is once elected'
      )
    if (!(Number.isSafeInteger(brokerId) && brokerId > 0))
      throw new RangeError(
        `with etcdEndpoints, each broker of a name has a brokerId of its own above 0, not ${brokerId}`
      )
    this.broker = broker
    this.id = brokerId
    this.role = brokerRole
    this.coordinator = coordinator
    this.clock = clock
    this.election = new Election(this, coordinator, clock, {
      prefix: `/skylark/${brokerClusterName}/${brokerName}/`,
      ttlMs: failoverLeaseMs,
      candidacyMs: CANDIDACY_MS,
      onError: ({ message }) => {
        if (message !== this.lastError) log.warn({ reason: message }, 'failover: an attempt failed')
        this.lastError = message
      }
    })
    options.brokerRole = 'SLAVE'
    dispatcher.guard(MASTER_CODES, () => this.refuseWrite())
    dispatcher.guard(READ_CODES, () => this.refuseRead())
  }

  get address(): string {
    return this.broker.address
  }

  /** Whether it is the master, and nobody else can be. */
  get holds(): boolean {
    return this.election.holds
  }

  get masterAddress(): string | null {
    return this.followed?.address ?? null
  }

  start(): void {
    this.election.start()
  }

  /** Keeps its role from here on; a master's lease runs out, if `release` does not end it before. */
  stop(): Promise<void> {
    return this.election.stop()
  }

  /** Lets another one take over at once. */
  async release(): Promise<void> {
    await this.election.release()
    this.coordinator.close()
  }

  private refuseWrite(): RemotingCommand | null {
    if (!this.ready && this.leads) this.look()
    if (this.leads && this.ready && this.election.holds) return null
    return refused(this.leads ? 'this broker does not hold its lease as the master' : 'this broker is not the master')
  }

  /** Why nothing is read here now; null when it may be. */
  refuseRead(): RemotingCommand | null {
    if (this.leads) return this.refuseWrite()
    return this.isSwitching ? refused('this broker waits for a master') : null
  }

  async stand(): Promise<Place> {
    await this.retire()
    const { store } = this.broker
    const epochs = this.loadEpochs()
    // An epoch of which no byte is left.
    const { epochs: all } = epochs.history
    if (all.length > 0 && all.at(-1)!.startOffset >= store.maxPhysicalOffset)
      await epochs.truncate(store.maxPhysicalOffset)
    const log = await logIdOf(this.broker.files, this.broker.options.storePathRootDir)
    const place = { epoch: epochs.history.last, offset: store.maxPhysicalOffset, log }
    this.broker.log.info(place, 'failover: no master; this broker stands for election')
    return place
  }

  async lead(epoch: number, members: Logs): Promise<void> {
    const { broker } = this
    broker.options.brokerRole = this.role
    broker.options.brokerId = 0
    this.required = new Set(members.keys())
    this.elected = members
    this.ledAtMs = this.clock.now()
    const master = new ReplicationMaster(broker, this.loadEpochs(), epoch)
    master.replicas.require(this.required, broker.store.maxPhysicalOffset)
    broker.master = master
    await master.start()
    this.isSwitching = false
    this.leads = true
    this.look()
    broker.serveAsMaster(epoch)
    broker.log.info(
      { epoch, members: [...this.required], address: broker.address },
      'failover: this broker is the master'
    )
    broker.announce()
  }

  async follow(master: MasterInfo | null): Promise<void> {
    const { broker } = this
    if (this.leads) {
      broker.log.warn({}, 'failover: this broker is no master any more')
      await this.retire()
    }
    if (master === null || master.lease === this.followed?.lease || master.id === this.id) return
    await broker.slave?.close()
    this.followed = master
    broker.slave = new ReplicationSlave(broker, this.loadEpochs())
    broker.slave.start()
    this.isSwitching = false
    broker.log.info({ master: master.address, epoch: master.epoch }, 'failover: this broker follows the master')
    broker.announce()
  }

  following(): Logs {
    const { broker } = this
    const { replicas } = broker.master!
    broker.master!.update()
    this.look()
    const logs = new Map(replicas.inSync(broker.clock.now()).map(({ brokerId, log }) => [brokerId, log]))
    // Those who took part in the election have yet to come.
    if (this.clock.now() - this.ledAtMs < broker.options.failoverLeaseMs)
      for (const [id, log] of this.elected) if (this.required.has(id) && !logs.has(id)) logs.set(id, log)
    return logs
  }

  require(members: ReadonlySet<number>): void {
    const { master, store } = this.broker
    this.required = members
    master!.replicas.require(members, store.maxPhysicalOffset)
    master!.update()
    this.look()
  }

  hasAllConfirmed(id: number): boolean {
    return this.broker.master!.replicas.hasAllConfirmed(id)
  }

  /** What a slave did not have yet could be lost with this broker again: consumers must not see it before. */
  private look(): void {
    this.ready ||= this.role === 'ASYNC_MASTER' || [...this.required].every(id => this.hasAllConfirmed(id))
  }

  private loadEpochs(): EpochFile {
    return EpochFile.load(this.broker.files, this.broker.options.storePathRootDir)
  }

  /** Neither master nor slave: nothing is served or taken over, and the log ends with a whole record. */
  private async retire(): Promise<void> {
    const { broker } = this
    this.isSwitching = true
    this.leads = false
    this.ready = false
    this.followed = null
    broker.options.brokerRole = 'SLAVE'
    broker.options.brokerId = this.id
    broker.master?.close()
    await broker.slave?.close()
    broker.master = null
    broker.slave = null
    await broker.retire()
  }
}
