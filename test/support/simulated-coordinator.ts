import type { Coordinator, Write } from '../../broker/failover/coordinator.ts'
import type { ManualClock } from './manual-clock.ts'
import type { ProcessClock } from './process-clock.ts'
import { below, type Random } from './seeded.ts'

export const CALL_TIMEOUT_MS = 500
/** How many requests, and how many answers, do not come through in time. */
const LOSS = 0.08

/** The key-value store with leases that all members of a set share. */
export class SharedValues {
  /** Requests that have not arrived. */
  underWay = 0
  readonly values = new Map<string, { value: string; lease: string | undefined }>()
  private readonly leases = new Map<string, { ttlMs: number; endMs: number }>()
  private readonly clock: ManualClock
  private readonly watchers: (() => void)[] = []
  private nextLease = 1
  private downSinceMs: number | null = null

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  get up(): boolean {
    return this.downSinceMs === null
  }

  /** Time passes for leases only while the store is up, as after a restart of etcd. */
  set up(up: boolean) {
    if (up === this.up) return
    if (!up) this.expire()
    else for (const lease of this.leases.values()) lease.endMs += this.clock.now() - this.downSinceMs!
    this.downSinceMs = up ? null : this.clock.now()
  }

  text(key: string): string | null {
    return this.values.get(key)?.value ?? null
  }

  watch(onChange: () => void): void {
    this.watchers.push(onChange)
  }

  private changed(): void {
    for (const tell of this.watchers) tell()
  }

  private expireLater(ttlMs: number): void {
    this.clock.after(ttlMs, () => {
      if (this.up) this.expire()
    })
  }

  private expire(): void {
    for (const [id, lease] of this.leases) if (lease.endMs <= this.clock.now()) this.end(id)
  }

  end(id: string): void {
    this.leases.delete(id)
    for (const [key, { lease }] of this.values) if (lease === id) this.values.delete(key)
    this.changed()
  }

  grant(ttlMs: number): string {
    const id = String(this.nextLease++)
    this.leases.set(id, { ttlMs, endMs: this.clock.now() + ttlMs })
    this.expireLater(ttlMs)
    return id
  }

  keepAlive(id: string): boolean {
    this.expire()
    const lease = this.leases.get(id)
    if (lease === undefined) return false
    lease.endMs = this.clock.now() + lease.ttlMs
    this.expireLater(lease.ttlMs)
    return true
  }

  read(prefix: string): Map<string, string> {
    this.expire()
    const all = new Map<string, string>()
    for (const [key, { value }] of this.values) if (key.startsWith(prefix)) all.set(key, value)
    return all
  }

  write(expected: readonly (readonly [string, string | null])[], values: readonly Write[]): boolean {
    this.expire()
    for (const [key, value] of expected) if (this.text(key) !== value) return false
    for (const { lease } of values) if (lease !== undefined && !this.leases.has(lease)) throw new Error('no such lease')
    for (const { key, value, lease } of values) this.values.set(key, { value, lease })
    this.changed()
    return true
  }
}

/** A process's way to the store: requests and answers are late, or get lost. */
export class SimulatedCoordinator implements Coordinator {
  connected = true
  private readonly shared: SharedValues
  private readonly base: ManualClock
  private readonly clock: ProcessClock
  private readonly random: Random

  constructor(shared: SharedValues, base: ManualClock, clock: ProcessClock, random: Random) {
    this.shared = shared
    this.base = base
    this.clock = clock
    this.random = random
  }

  private call<T>(run: () => T): Promise<T> {
    const { shared, base, clock, random } = this
    return new Promise((resolve, reject) => {
      const cancel = clock.after(CALL_TIMEOUT_MS, () => reject(new Error('timeout')))
      const { connected } = this
      // Made now, so that it reaches this process and not a later one.
      let settle: () => void = () => {}
      const deliver = clock.inThisLife(() => {
        if (!this.connected) return
        cancel()
        settle()
      })
      // Some are stuck on the way, and arrive when nobody waits any more.
      shared.underWay++
      base.after(random() < LOSS ? below(random, 3000) : below(random, 40), () => {
        shared.underWay--
        if (!connected || !shared.up) return
        try {
          const result = run()
          settle = () => resolve(result)
        } catch (error) {
          settle = () => reject(error)
        }
        if (random() < LOSS) return
        base.after(below(random, 40), deliver)
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
    return this.call(() => this.shared.read(prefix))
  }
  write(expected: readonly (readonly [string, string | null])[], values: readonly Write[]) {
    return this.call(() => this.shared.write(expected, values))
  }
  /** Some changes are not told. */
  watch(_prefix: string, onChange: () => void) {
    const { shared, base, clock, random } = this
    const tell = clock.inThisLife(() => {
      if (this.connected && shared.up) onChange()
    })
    shared.watch(() => {
      if (random() >= LOSS) base.after(below(random, 60), tell)
    })
  }
  close() {}
}
