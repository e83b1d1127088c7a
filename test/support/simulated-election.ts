import type { Coordinator, Write } from '../../broker/failover/coordinator.ts'
import { Election, type MasterInfo, type Member, type Place } from '../../broker/failover/election.ts'
import { EpochHistory } from '../../broker/replication/epochs.ts'
import { type Replica, ReplicaSet } from '../../broker/replication/replica-set.ts'
import type { Clock } from '../../engine/index.ts'
import { ManualClock } from './manual-clock.ts'
import { below, oneOf, type Random } from './seeded.ts'

const PREFIX = '/skylark/c/b/'
const TTL_MS = 2000
const CANDIDACY_MS = 500
const CALL_TIMEOUT_MS = 500
const PULL_MS = 30
const LAG_MS = 1500
const STEP_MS = 20
/** How many requests, and how many answers, do not come through in time. */
const LOSS = 0.08

interface Entry {
  readonly epoch: number
  readonly id: number
}

/** A node's clock: a little too fast or too slow, still while the node is paused, and gone with its process. */
class NodeClock implements Clock {
  paused = false
  generation = 0
  private readonly base: ManualClock
  private readonly rate: number
  private readonly late: (() => void)[] = []

  constructor(base: ManualClock, rate: number) {
    this.base = base
    this.rate = rate
  }

  readonly now = () => this.base.now() * this.rate

  after(ms: number, run: () => void): () => void {
    const { generation } = this
    let cancelled = false
    const fire = () => {
      if (!cancelled && generation === this.generation) run()
    }
    const cancel = this.base.after(ms / this.rate, () => this.deliver(fire))
    return () => {
      cancelled = true
      cancel()
    }
  }

  /** What reaches a paused process waits for it. */
  deliver(run: () => void): void {
    if (this.paused) this.late.push(run)
    else run()
  }

  resume(): void {
    this.paused = false
    for (const run of this.late.splice(0)) run()
  }

  kill(): void {
    this.generation++
    this.late.length = 0
    this.paused = false
  }
}

/** The key-value store with leases that all nodes share. */
class Shared {
  up = true
  readonly values = new Map<string, { value: string; lease: string | undefined }>()
  private readonly leases = new Map<string, { ttlMs: number; endMs: number }>()
  private readonly clock: ManualClock
  private nextLease = 1
  readonly watchers: (() => void)[] = []

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  /** Time passes for leases only while the store is up, as after a restart of etcd. */
  expire(stepMs: number): void {
    for (const [id, lease] of this.leases)
      if (!this.up) lease.endMs += stepMs
      else if (lease.endMs <= this.clock.now()) this.end(id)
  }

  end(id: string): void {
    this.leases.delete(id)
    for (const [key, { lease }] of this.values) if (lease === id) this.values.delete(key)
    for (const changed of this.watchers) changed()
  }

  grant(ttlMs: number): string {
    const id = String(this.nextLease++)
    this.leases.set(id, { ttlMs, endMs: this.clock.now() + ttlMs })
    return id
  }

  keepAlive(id: string): boolean {
    const lease = this.leases.get(id)
    if (lease === undefined) return false
    lease.endMs = this.clock.now() + lease.ttlMs
    return true
  }

  write(expected: readonly (readonly [string, string | null])[], values: readonly Write[]): boolean {
    for (const [key, value] of expected) if ((this.values.get(key)?.value ?? null) !== value) return false
    for (const { lease } of values) if (lease !== undefined && !this.leases.has(lease)) throw new Error('no such lease')
    for (const { key, value, lease } of values) this.values.set(key, { value, lease })
    for (const changed of this.watchers) changed()
    return true
  }
}

/** A node's way to the store: requests and answers are late, or get lost. */
class Client implements Coordinator {
  connected = true
  private readonly shared: Shared
  private readonly base: ManualClock
  private readonly clock: NodeClock
  private readonly random: Random

  constructor(shared: Shared, base: ManualClock, clock: NodeClock, random: Random) {
    this.shared = shared
    this.base = base
    this.clock = clock
    this.random = random
  }

  private call<T>(run: () => T): Promise<T> {
    const { shared, base, clock, random } = this
    return new Promise((resolve, reject) => {
      clock.after(CALL_TIMEOUT_MS, () => reject(new Error('timeout')))
      const { connected } = this
      const { generation } = clock
      // Some are stuck on the way, and arrive when nobody waits any more.
      base.after(random() < LOSS ? below(random, 3000) : below(random, 40), () => {
        if (!connected || !shared.up) return
        let result: T
        try {
          result = run()
        } catch (error) {
          clock.after(1, () => reject(error))
          return
        }
        // The answer is lost, or whoever asked is gone.
        if (random() < LOSS || generation !== clock.generation) return
        clock.after(below(random, 40), () => {
          if (this.connected) resolve(result)
        })
      })
    })
  }

  grant(ttlMs: number) {
    return this.call(() => this.shared.grant(ttlMs))
  }
  keepAlive(lease: string) {
    return this.call(() => this.shared.keepAlive(lease))
  }
  revoke(lease: string) {
    return this.call(() => this.shared.end(lease))
  }
  read(prefix: string) {
    return this.call(() => {
      const all = new Map<string, string>()
      for (const [key, { value }] of this.shared.values) if (key.startsWith(prefix)) all.set(key, value)
      return all
    })
  }
  write(expected: readonly (readonly [string, string | null])[], values: readonly Write[]) {
    return this.call(() => this.shared.write(expected, values))
  }
  /** Some changes are not told. */
  watch(_prefix: string, onChange: () => void) {
    const { shared, clock, random } = this
    const { generation } = clock
    shared.watchers.push(() => {
      if (random() >= LOSS && generation === clock.generation)
        clock.after(below(random, 60), () => {
          if (this.connected && shared.up) onChange()
        })
    })
  }
  close() {}
}

/** A broker of which nothing is left but its log, its election, and its replication. */
class Node implements Member {
  readonly id: number
  readonly address: string
  readonly clock: NodeClock
  readonly client: Client
  readonly cut = new Set<Node>()
  log: Entry[] = []
  history = new EpochHistory()
  election: Election | null = null
  private replicas: ReplicaSet | null = null
  private required: ReadonlySet<number> = new Set()
  private ledAtMs = 0
  /** Entries below are acknowledged, by this node as the current master. */
  private acknowledged = 0
  private master: MasterInfo | null = null
  /** Changes with whom it follows; answers of before are ignored. */
  private attempt = 0
  private joined: Replica | null = null
  private life = 0
  private readonly world: SimulatedSet

  constructor(world: SimulatedSet, id: number, rate: number) {
    this.world = world
    this.id = id
    this.address = `node-${id}`
    this.clock = new NodeClock(world.clock, rate)
    this.client = new Client(world.shared, world.clock, this.clock, world.random)
  }

  get runs(): boolean {
    return this.election !== null && !this.clock.paused
  }

  start(): void {
    this.election = new Election(this.inThisLife(), this.client, this.clock, {
      prefix: PREFIX,
      ttlMs: TTL_MS,
      candidacyMs: CANDIDACY_MS,
      onError: error => {
        if (!['timeout', 'no such lease'].includes(error.message)) this.world.failure ??= error
      }
    })
    this.election.start()
    this.pullLater()
  }

  /** The process is killed; what is written stays. */
  kill(): void {
    this.clock.kill()
    this.life++
    this.election = null
    this.replicas = null
    this.master = null
    this.attempt++
    this.joined = null
  }

  /** This node as the election of one life sees it: what a killed process had begun is never done. */
  private inThisLife(): Member {
    const life = ++this.life
    const alive = () => life === this.life
    const never = <T>(): Promise<T> => new Promise(() => {})
    return {
      id: this.id,
      address: this.address,
      stand: () => (alive() ? this.stand() : never()),
      lead: (epoch, members) => (alive() ? this.lead(epoch, members) : never()),
      follow: master => (alive() ? this.follow(master) : never()),
      following: () => (alive() ? this.following() : new Set()),
      require: members => {
        if (alive()) this.require(members)
      },
      hasAllConfirmed: id => alive() && this.hasAllConfirmed(id)
    }
  }

  async stand(): Promise<Place> {
    this.attempt++
    this.master = null
    this.joined = null
    if (this.history.last > 0 && this.history.epochs.at(-1)!.startOffset >= this.log.length)
      this.history.truncate(this.log.length)
    return { epoch: this.history.last, offset: this.log.length }
  }

  async lead(epoch: number, members: ReadonlySet<number>): Promise<void> {
    this.world.elected(this, epoch)
    this.history.begin(epoch, this.log.length)
    this.replicas = new ReplicaSet(
      { isSync: true, inSyncReplicas: 1, minInSyncReplicas: 1, allAckInSyncStateSet: true, maxLagMs: LAG_MS },
      0,
      this.log.length
    )
    this.acknowledged = this.log.length
    this.ledAtMs = this.clock.now()
    this.require(members)
  }

  async follow(master: MasterInfo | null): Promise<void> {
    this.replicas = null
    if (master !== null && master.lease === this.master?.lease) return
    this.attempt++
    this.joined = null
    this.master = master?.id === this.id ? null : master
  }

  following(): ReadonlySet<number> {
    const now = this.clock.now()
    const ids = new Set(this.replicas!.inSync(now).map(({ brokerId }) => brokerId))
    if (now - this.ledAtMs < TTL_MS)
      for (const id of this.required) if (!this.replicas!.all().some(({ brokerId }) => brokerId === id)) ids.add(id)
    return ids
  }

  require(members: ReadonlySet<number>): void {
    this.required = members
    this.replicas!.require(members, this.log.length)
    this.acknowledge()
  }

  hasAllConfirmed(id: number): boolean {
    return this.replicas!.hasAllConfirmed(id)
  }

  /** A producer sends. */
  produce(): void {
    if (this.replicas === null || !this.election!.holds) return
    this.log.push({ epoch: this.history.last, id: this.world.nextId++ })
    this.acknowledge()
  }

  private acknowledge(): void {
    if (this.replicas === null || !this.election!.holds) return
    const confirmed = Math.min(this.replicas.confirmOffset(this.clock.now()), this.log.length)
    if (confirmed <= this.acknowledged) return
    for (const entry of this.log.slice(this.acknowledged, confirmed)) this.world.acknowledged(this, entry)
    this.acknowledged = confirmed
  }

  private pullLater(): void {
    this.clock.after(PULL_MS, () => {
      this.pull()
      this.pullLater()
    })
  }

  /** Asks the master for what follows, which acknowledges what it has. */
  private pull(): void {
    if (this.master === null) return
    const target = this.world.nodes[this.master.id - 1]!
    const { attempt, joined } = this
    const { length } = this.log
    const reach = (node: Node, run: () => void) => {
      if (!this.cut.has(target) && node.election !== null)
        this.world.clock.after(below(this.world.random, 15), () => {
          if (node.election !== null) node.clock.deliver(run)
        })
    }
    if (joined === null) {
      const theirs = new EpochHistory(this.history.epochs)
      reach(target, () => {
        if (target.replicas === null) return
        const common = Math.max(0, theirs.commonEnd(length, target.history, target.log.length))
        const replica = target.replicas.join(this.id, this.address, common, target.clock.now())
        reach(this, () => {
          if (attempt !== this.attempt || this.log.length !== length) return
          this.log.length = common
          this.history.truncate(common)
          this.joined = replica
        })
      })
      return
    }
    reach(target, () => {
      // Another connection's replica is refused.
      if (target.replicas === null || !target.replicas.all().includes(joined)) {
        reach(this, () => {
          if (attempt === this.attempt) this.joined = null
        })
        return
      }
      target.replicas.acknowledge(joined, length, target.log.length, target.clock.now())
      target.acknowledge()
      const index = target.history.epochs.findLastIndex(each => each.startOffset <= length)
      const epoch = target.history.epochs[index]
      const end = target.history.epochs[index + 1]?.startOffset ?? target.log.length
      const entries = target.log.slice(length, Math.min(end, length + 5))
      reach(this, () => {
        if (attempt !== this.attempt || this.log.length !== length || entries.length === 0) return
        if (epoch !== undefined && epoch.epoch > this.history.last) this.history.begin(epoch.epoch, epoch.startOffset)
        this.log.push(...entries)
      })
    })
  }
}

/** A set of brokers with a coordinator, in simulated time: what was acknowledged, and whether it is kept, is watched all along. */
export class SimulatedSet {
  readonly clock = new ManualClock(1_000_000)
  readonly shared = new Shared(this.clock)
  readonly random: Random
  readonly nodes: readonly Node[]
  readonly acked = new Set<number>()
  failure: Error | null = null
  nextId = 1
  elections = 0
  private lastEpoch = 0

  constructor(random: Random, count: number) {
    this.random = random
    this.nodes = Array.from({ length: count }, (_, i) => new Node(this, i + 1, 0.98 + random() * 0.04))
    for (const node of this.nodes) node.start()
  }

  private fail(message: string): void {
    this.failure ??= new Error(`${message}, at ${this.clock.now() - 1_000_000} ms`)
  }

  elected(node: Node, epoch: number): void {
    this.elections++
    if (epoch <= this.lastEpoch) this.fail(`epoch ${epoch} of node ${node.id} does not follow ${this.lastEpoch}`)
    this.lastEpoch = Math.max(epoch, this.lastEpoch)
    this.requireAll(node)
  }

  private requireAll(node: Node): void {
    const ids = new Set(node.log.map(({ id }) => id))
    for (const id of this.acked) if (!ids.has(id)) this.fail(`node ${node.id} leads without ${id}`)
  }

  acknowledged(node: Node, entry: Entry): void {
    this.acked.add(entry.id)
    for (const other of this.nodes)
      if (other !== node && other.election?.holds) this.fail(`nodes ${node.id} and ${other.id} both acknowledge`)
  }

  /** Lets time pass, with producers at work. */
  async run(ms: number): Promise<void> {
    for (let past = 0; past < ms && this.failure === null; past += STEP_MS) {
      this.shared.expire(STEP_MS)
      this.clock.advance(STEP_MS)
      for (const node of this.nodes) if (node.runs) node.produce()
      await new Promise(resolve => setImmediate(resolve))
    }
    if (this.failure !== null) throw this.failure
  }

  /** Something breaks, or is whole again. */
  disturb(): void {
    const { random, nodes, shared } = this
    const node = oneOf(random, nodes)
    const masters = nodes.filter(each => each.election?.isLeading)
    const victim = masters.length > 0 && random() < 0.5 ? oneOf(random, masters) : node
    switch (below(random, 6)) {
      case 0:
        if (victim.election !== null) victim.kill()
        else victim.start()
        return
      case 1:
        if (node.election === null) node.start()
        return
      case 2:
        if (victim.clock.paused) victim.clock.resume()
        else if (victim.election !== null) victim.clock.paused = true
        return
      case 3:
        victim.client.connected = !victim.client.connected
        return
      case 4: {
        const other = oneOf(random, nodes)
        if (node.cut.delete(other)) other.cut.delete(node)
        else if (other !== node) {
          node.cut.add(other)
          other.cut.add(node)
        }
        return
      }
      default:
        shared.up = !shared.up || random() < 0.6
    }
  }

  heal(): void {
    this.shared.up = true
    for (const node of this.nodes) {
      node.client.connected = true
      node.cut.clear()
      if (node.election === null) node.start()
      node.clock.resume()
    }
  }

  /** Ends all, and lets what waits go. */
  close(): void {
    for (const node of this.nodes) node.kill()
    this.clock.clear()
  }

  /** One master, and all logs alike up to what has just been written. */
  get isWhole(): boolean {
    const masters = this.nodes.filter(({ election }) => election?.holds)
    if (masters.length !== 1) return false
    const { log } = masters[0]!
    return this.nodes.every(
      node =>
        node.log.length > log.length - 20 && node.log.every((entry, i) => i >= log.length || entry.id === log[i]!.id)
    )
  }

  check(): void {
    for (const node of this.nodes) if (node.election?.holds) this.requireAll(node)
    if (this.failure !== null) throw this.failure
  }
}
