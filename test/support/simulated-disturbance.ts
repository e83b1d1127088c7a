import { oneOf } from './seeded.ts'
import type { SimulatedBroker } from './simulated-broker.ts'
import type { SimulatedBrokers } from './simulated-brokers.ts'

/** Something breaks in a set of brokers, or is whole again. */
export function disturb(set: SimulatedBrokers): void {
  const { random, nodes } = set
  const node = oneOf(random, nodes)
  const masters = nodesThatLead(set)
  const victim = masters.length > 0 && random() < 0.5 ? oneOf(random, masters) : node
  oneOf(random, DISTURBANCES)(set, victim, node)
}

const nodesThatLead = ({ nodes }: SimulatedBrokers) => nodes.filter(({ master }) => master !== null)

const DISTURBANCES: readonly ((set: SimulatedBrokers, victim: SimulatedBroker, node: SimulatedBroker) => void)[] = [
  (set, victim) => {
    if (!victim.runs) return victim.start()
    const loses = set.random() < 0.5 && set.mayLosePower(victim)
    if (loses && set.options.flushDiskType === 'ASYNC_FLUSH') set.operator?.lose(victim)
    victim.kill(loses ? { anyOf: set.random } : 'all')
    set.note(`node ${victim.id} ${loses ? 'loses its power' : 'is killed'}`)
  },
  (_set, _victim, node) => node.start(),
  (set, victim) => {
    if (victim.clock.paused) victim.clock.resume()
    else if (victim.runs) victim.clock.paused = true
    set.note(`node ${victim.id} ${victim.clock.paused ? 'stands still' : 'goes on'}`)
  },
  (set, { id, coordinator }) => {
    if (set.operator !== null) return set.operator.replace()
    coordinator.connected = !coordinator.connected
    set.note(`node ${id} ${coordinator.connected ? 'reaches' : 'does not reach'} etcd`)
  },
  (set, victim) => {
    const other = oneOf(set.random, set.nodes)
    if (other === victim) return
    set.network.block(victim, other)
    const both = set.random() < 0.7
    if (both) set.network.block(other, victim)
    set.note(`nothing gets from node ${victim.id} to ${other.id}${both ? ', nor back' : ''}`)
  },
  set => {
    set.network.breakOne()
    set.note('one end of a connection is reset')
  },
  set => {
    for (const { clock } of set.nodes) if (clock.paused) clock.resume()
    set.network.heal()
    set.note('all ways are open, and nobody stands still')
  },
  (_set, victim) => {
    if (victim.isOpen) victim.saveDisk()
  },
  (set, victim) => {
    if (!set.mayLose(victim)) return
    set.operator?.lose(victim)
    victim.kill('all')
    victim.replaceDisk()
    if (set.random() < 0.7) victim.start()
    // The master may go before it has noticed.
    const master = nodesThatLead(set).find(node => node !== victim)
    if (set.random() < 0.5) master?.kill('all')
    set.note(`node ${victim.id} is killed, and its disk replaced`)
  },
  set => {
    if (set.operator !== null) return set.operator.replace()
    set.shared.up = !set.shared.up || set.random() < 0.7
    set.note(`etcd is ${set.shared.up ? 'up' : 'down'}`)
  }
]
