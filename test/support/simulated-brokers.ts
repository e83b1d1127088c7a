import type { InSync, MasterInfo } from '../../broker/failover/election.ts'
import { ManualClock } from './manual-clock.ts'
import { ReplicationLedger } from './replication-ledger.ts'
import { below, type Random } from './seeded.ts'
import { type SetOptions, SimulatedBroker, type World } from './simulated-broker.ts'
import { SharedValues } from './simulated-coordinator.ts'
import { SimulatedNetwork } from './simulated-network.ts'
import { SimulatedOperator } from './simulated-operator.ts'

const PREFIX = '/skylark/c/b/'
/** Between two messages to each broker, on average. */
const SEND_MS = 30
const START_MS = 1_000_000
const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g
/** How much clocks are too fast or too slow; who takes epochs from them must not be far behind. */
const ELECTING_DRIFT = 0.01
const OPERATED_DRIFT = 0.0001

/** A set of brokers in simulated time, with an election or an operator: what must hold is watched all along. */
export class SimulatedBrokers implements World {
  readonly clock = new ManualClock(START_MS)
  readonly shared = new SharedValues(this.clock)
  readonly random: Random
  readonly network: SimulatedNetwork
  readonly options: SetOptions
  readonly operator: SimulatedOperator | null
  readonly nodes: readonly SimulatedBroker[]
  readonly ledger: ReplicationLedger
  failure: Error | null = null
  /** What happened, for whoever looks into a failure. */
  readonly story: string[] = []
  masterChanges = 0
  private lastEpoch = 0
  private lastMessage = 0
  private sends = false
  private masterText: string | null = null
  private inSyncText: string | null = null
  private inSync: Pick<InSync, 'members' | 'logs'> = { members: [], logs: [] }

  constructor(random: Random, options: SetOptions) {
    this.random = random
    this.options = options
    this.network = new SimulatedNetwork(this.clock, random)
    this.operator = options.elects ? null : new SimulatedOperator(this)
    const isGuarded = options.role === 'SYNC_MASTER' && (options.elects || options.inSyncReplicas > 1)
    this.ledger = new ReplicationLedger(isGuarded, message => this.fail(message))
    const drift = options.elects ? ELECTING_DRIFT : OPERATED_DRIFT
    const rate = () => 1 - drift + 2 * drift * random()
    this.nodes = Array.from({ length: options.count }, (_, i) => new SimulatedBroker(this, i + 1, rate()))
    for (const node of this.nodes) node.start()
    this.sendLater()
  }

  fail(message: string): void {
    if (this.failure !== null) return
    this.note(message)
    this.failure = new Error(message)
  }

  note(event: string): void {
    // Names of logs are other ones each time.
    this.story.push(`${Math.round(this.clock.now() - START_MS)} ms: ${event.replace(UUID, 'log')}`)
  }

  private sendLater(): void {
    this.clock.after(this.random() * 2 * SEND_MS, () => {
      for (const node of this.nodes)
        if (this.sends && node.isUp && node.listens)
          node.send(`message ${++this.lastMessage} ${'x'.repeat(below(this.random, 400))}`)
      this.sendLater()
    })
  }

  acknowledged(node: SimulatedBroker, offset: number, body: Buffer): void {
    const other = this.nodes.find(each => each !== node && each.failover?.holds)
    if (other !== undefined) this.fail(`node ${node.id} acknowledges, and ${other.id} is the master`)
    this.ledger.acknowledged(node, offset, body)
    this.note(`node ${node.id} acknowledges ${offset}`)
  }

  changedMaster(node: SimulatedBroker): void {
    this.masterChanges++
    this.ledger.require(node, 'leads')
  }

  private elected({ id, epoch }: MasterInfo): void {
    if (epoch <= this.lastEpoch) this.fail(`epoch ${epoch} of node ${id} does not follow ${this.lastEpoch}`)
    this.lastEpoch = epoch
    this.changedMaster(this.nodes[id - 1]!)
  }

  /** Whoever may be elected has everything that is acknowledged. */
  private check(): void {
    for (const node of this.nodes) if (node.isOpen) this.ledger.checkConfirmed(node)
    this.operator?.look()
    const master = this.shared.text(`${PREFIX}master`)
    if (master !== null && master !== this.masterText) this.elected(JSON.parse(master) as MasterInfo)
    this.masterText = master ?? this.masterText
    const inSync = this.shared.text(`${PREFIX}insync`)
    if (inSync !== null && inSync !== this.inSyncText) {
      this.inSync = JSON.parse(inSync) as InSync
      this.note(`in sync ${inSync}`)
    }
    this.inSyncText = inSync
    for (const node of this.nodes)
      if (node.heldUntil < this.ledger.acknowledgedEnd && this.mayLead(node)) this.ledger.require(node, 'may lead')
  }

  /** Whether it is a member of the in-sync set that has not lost since what it had. */
  mayLead({ id, logName }: SimulatedBroker): boolean {
    const { members, logs } = this.inSync
    return members.includes(id) && logs[members.indexOf(id)] === logName
  }

  /** Whether others go on having what a node has, even if the last in-sync set that a master wrote is still on its way. */
  mayLose(victim: SimulatedBroker): boolean {
    if (this.operator !== null) return this.operator.mayLose(victim)
    return (
      (this.isWhole && this.nodes.every(each => this.mayLead(each)) && this.shared.underWay === 0) ||
      this.nodes.some(each => each !== victim && each.isUp && each.failover?.holds && this.mayLead(each))
    )
  }

  /** Whether a power cut takes nothing that only this node has. */
  mayLosePower(victim: SimulatedBroker): boolean {
    // What a master that has no replicas finds behind a tear it keeps.
    const isAlone = victim.master !== null && !this.options.elects && this.options.role === 'ASYNC_MASTER'
    return this.options.flushDiskType === 'SYNC_FLUSH' ? !isAlone : this.mayLose(victim)
  }

  /** Lets time pass, with producers at work. */
  async run(ms: number, sends = true): Promise<void> {
    this.sends = sends
    const endMs = this.clock.now() + ms
    do {
      // All that follows from an event, before the next one.
      await new Promise(resolve => setImmediate(resolve))
      this.check()
    } while (this.failure === null && this.clock.runNext(endMs))
    if (this.failure !== null) throw this.failure
    this.clock.advance(endMs - this.clock.now())
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

  /** The one that is the master, and may acknowledge. */
  get master(): SimulatedBroker | undefined {
    const masters = this.nodes.filter(({ master, failover }) => master !== null && failover?.holds !== false)
    return masters.length === 1 ? masters[0] : undefined
  }

  /** One master, and all logs at its end. */
  get isWhole(): boolean {
    const { master, nodes, options } = this
    if (master === undefined || !master.isOpen) return false
    const end = master.store.maxPhysicalOffset
    return nodes.every(
      ({ id, isOpen, slave, store }) =>
        isOpen &&
        (slave === null) === (master.id === id) &&
        store.maxPhysicalOffset === end &&
        (options.role === 'ASYNC_MASTER' || store.confirmOffset === end)
    )
  }

  /** All logs are byte-identical, and hold what was acknowledged. */
  checkLogs(): void {
    const [first, ...others] = this.nodes
    const { minPhysicalOffset, maxPhysicalOffset } = first!.store
    const log = first!.bytes(minPhysicalOffset, maxPhysicalOffset)
    for (const node of others)
      if (!node.bytes(minPhysicalOffset, maxPhysicalOffset).equals(log)) this.fail(`logs of 1 and ${node.id} differ`)
    for (const node of this.nodes) this.ledger.require(node, 'ends')
    if (this.failure !== null) throw this.failure
  }

  /** Ends all, and lets what waits go. */
  close(): void {
    for (const node of this.nodes) node.kill('all')
    this.clock.clear()
  }
}
