import type { Clock } from '../../engine/index.ts'
import { isSameLog } from '../replication/log-id.ts'
import type { Coordinator } from './coordinator.ts'

/** How far a log goes: the epoch of its last byte, and its end. */
export interface Place {
  readonly epoch: number
  readonly offset: number
  /** The name of the log. */
  readonly log: string
}

/** Who is the master. */
export interface MasterInfo {
  readonly id: number
  readonly address: string
  readonly epoch: number
  /** The lease that its office ends with; no two terms of office share one. */
  readonly lease: string
}

/** A member that stands for election, as etcd has it. */
export interface Candidate extends Place {
  readonly id: number
  readonly address: string
  /** The state of `epoch` when it stood: a place that was published for an earlier election says nothing. */
  readonly round: string | null
}

/** Who has all that is acknowledged, as etcd has it. */
export interface InSync {
  readonly epoch: number
  /** The master of that epoch, which is one of the members. */
  readonly master: number
  /** Grows with each write, so that a late one of before cannot be taken for the current one. */
  readonly version: number
  readonly members: readonly number[]
  /** The log of each: a member whose log has another name has lost what it had. */
  readonly logs: readonly string[]
}

/** Broker ids, and the names of their logs. */
export type Logs = ReadonlyMap<number, string>

/** The broker, as its election sees and moves it. */
export interface Member {
  readonly id: number
  readonly address: string
  /** Takes nothing over from any master from now on, and tells how far its log goes. */
  stand(): Promise<Place>
  /** Begins an epoch; acknowledges what all of `members` hold, itself left aside. */
  lead(epoch: number, members: Logs): Promise<void>
  /** Follows a master; null: it leads no longer, and nobody is known yet. Called again and again with the same one. */
  follow(master: MasterInfo | null): Promise<void>
  /** While it leads: who follows closely now, without itself. */
  following(): Logs
  /** From now on acknowledges only what all of these hold. */
  require(members: ReadonlySet<number>): void
  /** Whether a replica has all that was ever acknowledged. */
  hasAllConfirmed(id: number): boolean
}

export interface ElectionOptions {
  /** What all keys of the set begin with; ends with a slash. */
  readonly prefix: string
  readonly ttlMs: number
  /** How long a candidate waits for the other ones. */
  readonly candidacyMs: number
  /** Called when something failed; the next attempt follows. */
  readonly onError: (error: Error) => void
}

const sameIds = (a: Logs, b: ReadonlySet<number>) => a.size === b.size && [...a.keys()].every(id => b.has(id))
const sameLogs = (a: Logs, b: Logs) => a.size === b.size && [...a].every(([id, log]) => b.get(id) === log)

/**
 * Elects the master of a set. Whoever creates the key `master`, which lives as long as its lease, is the master of the next
 * epoch; only members of the in-sync set may. The master acknowledges what the whole in-sync set holds, and writes a smaller
 * set before it acknowledges without a member: so whoever is elected has all that was ever acknowledged, whatever clocks do.
 * A member whose log has got another name since is not elected before it has all again; only when all members lost the end
 * of their logs, to a power cut without flushes, the longest one is taken.
 *
 * A lease is taken for held until half its time has gone since the last request that kept it alive was sent; it ends at the
 * coordinator after all of it. In between nobody acknowledges.
 *
 * Keys: `master` MasterInfo, `epoch` a number that grows, `insync` InSync, `members/ID` Candidate; values are JSON.
 */
export class Election {
  private readonly member: Member
  private readonly coordinator: Coordinator
  /** Monotonic. */
  private readonly clock: Clock
  private readonly options: ElectionOptions
  private stopped = false
  private running: Promise<void> = Promise.resolve()
  private wake: (() => void) | null = null

  private master: MasterInfo | null = null
  private leading = false
  private lease: string | null = null
  private leasedUntilMs = Number.NEGATIVE_INFINITY
  private standing: { round: string | null; sinceMs: number } | null = null

  /** While leading: what `insync` holds; the text is null when a write of it got no answer. */
  private inSync: InSync = { epoch: 0, master: 0, version: 0, members: [], logs: [] }
  private inSyncText: string | null = null
  /** While leading: all that may stand in `insync`, or come to stand there, without itself. */
  private possible: ReadonlySet<number> = new Set()

  constructor(member: Member, coordinator: Coordinator, clock: Clock, options: ElectionOptions) {
    this.member = member
    this.coordinator = coordinator
    this.clock = clock
    this.options = options
  }

  /** Whether it is the master, and nobody else can be. To be asked at each acknowledgement. */
  get holds(): boolean {
    return this.leading && this.clock.now() < this.leasedUntilMs
  }

  get isLeading(): boolean {
    return this.leading
  }

  /** The master as last seen, itself included. */
  get currentMaster(): MasterInfo | null {
    return this.master
  }

  start(): void {
    this.coordinator.watch(this.options.prefix, () => this.wake?.())
    this.running = this.run()
  }

  /** Ends; a lease that it has runs on until `release`. */
  async stop(): Promise<void> {
    this.stopped = true
    this.wake?.()
    await this.running
  }

  /** Lets others take over at once, after `stop`. */
  async release(): Promise<void> {
    this.leasedUntilMs = Number.NEGATIVE_INFINITY
    const { lease } = this
    this.lease = null
    if (lease !== null) await this.coordinator.revoke(lease).catch(this.options.onError)
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      try {
        if (this.leading) await this.renew()
        else await this.watch()
      } catch (error) {
        this.options.onError(error as Error)
      }
      if (this.stopped) return
      const { ttlMs, candidacyMs } = this.options
      await this.pause(this.standing === null ? ttlMs / 5 : candidacyMs / 5)
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.clock.after(ms, () => this.wake?.())
      this.wake = () => {
        this.wake = null
        cancel()
        resolve()
      }
    })
  }

  private async read() {
    const { prefix } = this.options
    const values = await this.coordinator.read(prefix)
    const text = (key: string) => values.get(prefix + key) ?? null
    const parse = <T>(value: string | null): T | null => (value === null ? null : (JSON.parse(value) as T))
    const candidates: Candidate[] = []
    for (const [key, value] of values)
      if (key.startsWith(`${prefix}members/`)) candidates.push(JSON.parse(value) as Candidate)
    return {
      master: parse<MasterInfo>(text('master')),
      round: text('epoch'),
      inSync: parse<InSync>(text('insync')),
      inSyncText: text('insync'),
      candidates
    }
  }

  private async watch(): Promise<void> {
    const state = await this.read()
    this.master = state.master
    if (state.master !== null) {
      // Elected, by a write that got no answer.
      if (state.master.lease === this.lease) {
        if (this.clock.now() < this.leasedUntilMs) await this.takeOffice(state.master, state.inSync!, state.inSyncText!)
        else if (!(await this.keepAlive())) this.lease = null
        return
      }
      this.standing = null
      await this.member.follow(state.master)
      return
    }
    if (state.inSync !== null && !state.inSync.members.includes(this.member.id)) return
    await this.stand(state)
  }

  private async stand(state: Awaited<ReturnType<Election['read']>>): Promise<void> {
    const { member, coordinator, clock, options } = this
    const { prefix, candidacyMs, ttlMs } = options
    const { round } = state
    if (this.standing === null || this.standing.round !== round) {
      const place = await member.stand()
      const candidate: Candidate = { id: member.id, address: member.address, ...place, round }
      await coordinator.write([], [{ key: `${prefix}members/${member.id}`, value: JSON.stringify(candidate) }])
      this.standing = { round, sinceMs: clock.now() }
      return
    }
    const candidates = state.candidates.filter(each => each.round === round)
    const eligible = this.eligible(candidates, state.inSync)
    const rank = eligible.findIndex(({ id }) => id === member.id)
    if (!candidates.some(({ id }) => id === member.id)) this.standing = null
    if (rank < 0 || this.standing === null) return
    // The best one first; the next one when that one does not come.
    const missing = state.inSync?.members.filter(each => !eligible.some(({ id }) => id === each))
    // An old master that still runs comes at once.
    const isOldMaster = (id: number) => id === state.inSync!.master
    const patience = missing === undefined ? 1 : missing.length === 0 ? 0 : missing.every(isOldMaster) ? 0.5 : 1
    if (clock.now() - this.standing.sinceMs < candidacyMs * (patience + rank)) return

    const sentMs = clock.now()
    const lease = await coordinator.grant(ttlMs)
    this.lease = lease
    this.leasedUntilMs = sentMs + ttlMs / 2
    const epoch = Math.max(Number(round ?? 0), ...eligible.map(each => each.epoch)) + 1
    const master: MasterInfo = { id: member.id, address: member.address, epoch, lease }
    const inSync: InSync = {
      epoch,
      master: member.id,
      version: 0,
      members: eligible.map(({ id }) => id),
      logs: eligible.map(({ log }) => log)
    }
    const inSyncText = JSON.stringify(inSync)
    const won = await coordinator.write(
      [
        [`${prefix}master`, null],
        [`${prefix}epoch`, round]
      ],
      [
        { key: `${prefix}master`, value: JSON.stringify(master), lease },
        { key: `${prefix}epoch`, value: String(epoch) },
        { key: `${prefix}insync`, value: inSyncText }
      ]
    )
    // An answer that came too late is looked at once more.
    if (won && clock.now() >= this.leasedUntilMs) return
    if (won) await this.takeOffice(master, inSync, inSyncText)
    else {
      this.lease = null
      await coordinator.revoke(lease)
    }
  }

  /** Who may be the master, the best one first. */
  private eligible(candidates: readonly Candidate[], inSync: InSync | null): Candidate[] {
    const ranked = candidates.toSorted((a, b) => b.epoch - a.epoch || b.offset - a.offset || a.id - b.id)
    if (inSync === null) return ranked
    const { members, logs } = inSync
    const logOf = ({ id }: Candidate) => logs[members.indexOf(id)]!
    const standing = ranked.filter(({ id }) => members.includes(id))
    const whole = standing.filter(each => each.log === logOf(each))
    if (whole.length > 0 || standing.length < members.length) return whole
    return standing.every(each => isSameLog(each.log, logOf(each))) ? standing : []
  }

  private async takeOffice(master: MasterInfo, inSync: InSync, inSyncText: string): Promise<void> {
    this.standing = null
    this.master = master
    this.inSync = inSync
    this.inSyncText = inSyncText
    const members = this.others(inSync)
    this.possible = new Set(members.keys())
    await this.member.lead(master.epoch, members)
    this.leading = true
  }

  private async leaveOffice(): Promise<void> {
    this.leading = false
    this.lease = null
    this.leasedUntilMs = Number.NEGATIVE_INFINITY
    this.master = null
    await this.member.follow(null)
  }

  private async renew(): Promise<void> {
    if (await this.keepAlive()) await this.updateInSync()
    else await this.leaveOffice()
  }

  /** False when the lease has ended. */
  private async keepAlive(): Promise<boolean> {
    const sentMs = this.clock.now()
    const alive = await this.coordinator.keepAlive(this.lease!)
    if (alive) this.leasedUntilMs = sentMs + this.options.ttlMs / 2
    return alive
  }

  /** Writes who is in sync: a member that is missing before anything is acknowledged without it, a new one after it has all. */
  private async updateInSync(): Promise<void> {
    const { member, coordinator, options } = this
    const { prefix } = options
    if (this.inSyncText === null) {
      const state = await this.read()
      if (state.master?.lease !== this.lease || state.inSync === null) return this.leaveOffice()
      this.inSync = state.inSync
      this.inSyncText = state.inSyncText
    }
    const wanted = member.following()
    const written = this.others(this.inSync)
    if (sameLogs(wanted, written) && sameIds(wanted, this.possible)) return
    this.possible = new Set([...this.possible, ...wanted.keys()])
    member.require(this.possible)
    if (![...wanted].every(([id, log]) => written.get(id) === log || member.hasAllConfirmed(id))) return
    const own = this.inSync.logs[this.inSync.members.indexOf(member.id)]!
    const members = [...wanted, [member.id, own] as const].sort(([a], [b]) => a - b)
    const inSync: InSync = {
      epoch: this.inSync.epoch,
      master: member.id,
      version: this.inSync.version + 1,
      members: members.map(([id]) => id),
      logs: members.map(([, log]) => log)
    }
    const before = this.inSyncText
    const text = JSON.stringify(inSync)
    this.inSyncText = null
    const done = await coordinator.write(
      [
        [`${prefix}master`, JSON.stringify(this.master)],
        [`${prefix}insync`, before]
      ],
      [{ key: `${prefix}insync`, value: text }]
    )
    // Otherwise the next turn looks what stands there.
    if (!done) return
    this.inSync = inSync
    this.inSyncText = text
    this.possible = new Set(wanted.keys())
    member.require(this.possible)
  }

  private others({ members, logs }: InSync): Logs {
    const all = new Map(members.map((id, i) => [id, logs[i]!]))
    all.delete(this.member.id)
    return all
  }
}
