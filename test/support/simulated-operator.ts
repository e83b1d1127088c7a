import { below } from './seeded.ts'
import type { SimulatedBroker } from './simulated-broker.ts'
import type { SimulatedBrokers } from './simulated-brokers.ts'

/** Two masters that start within a second would take the same epoch. */
const REPLACE_MS = 2500

/** A person who replaces masters as the manual says: the old one is stopped, and of the others the largest log leads. */
export class SimulatedOperator {
  /** 0 while there is none. */
  masterId = 1
  /** Whose disk was replaced, and who has not been in sync since. */
  private readonly lost = new Set<number>()
  private readonly set: SimulatedBrokers

  constructor(set: SimulatedBrokers) {
    this.set = set
  }

  get master(): SimulatedBroker | undefined {
    return this.set.nodes[this.masterId - 1]
  }

  get masterAddress(): string | null {
    return this.master?.address ?? null
  }

  /** Wants another master, whatever the one that there is does. */
  replace(): void {
    const { set, master } = this
    if (master === undefined || set.clock.now() - master.startedMs < REPLACE_MS) return
    master.kill('all')
    this.masterId = 0
    set.note(`the operator stops the master, node ${master.id}`)
  }

  /** Whether a disk can be replaced, and all that is acknowledged found again. */
  mayLose(victim: SimulatedBroker): boolean {
    const { lost, set } = this
    if (victim.id === this.masterId || this.masterId === 0) return false
    return new Set([...lost, victim.id]).size < set.options.inSyncReplicas
  }

  lose(victim: SimulatedBroker): void {
    this.lost.add(victim.id)
  }

  /** Looks at the brokers, and does what is to be done. */
  look(): void {
    const { set, lost, master } = this
    if (master === undefined) {
      this.choose()
      return
    }
    const replicas = master.listens ? master.master?.replicas : undefined
    for (const { brokerId, log } of lost.size > 0 ? (replicas?.inSync(master.clock.now()) ?? []) : [])
      if (replicas!.hasAllConfirmed(brokerId) && log === set.nodes[brokerId - 1]!.logName) lost.delete(brokerId)
    if (!master.runs && below(set.random, 200) === 0) master.start()
  }

  private choose(): void {
    const { set, lost } = this
    const { count, inSyncReplicas } = set.options
    const known = set.nodes.filter(node => node.isUp && node.slave !== null && node.isOpen && !lost.has(node.id))
    // Each message that was acknowledged is with one of them.
    if (known.length < count - inSyncReplicas + 1) return
    const end = (node: SimulatedBroker) => node.store.maxPhysicalOffset
    const epoch = (node: SimulatedBroker) => node.slave!.epochs.history.last
    const best = known.reduce((a, b) => ((epoch(b) - epoch(a) || end(b) - end(a)) > 0 ? b : a))
    this.masterId = best.id
    set.note(`the operator makes node ${best.id} the master: ${epoch(best)} ${end(best)}`)
    best.kill('all')
    set.changedMaster(best)
    best.start()
  }
}
