/** What a master knows of one replica. */
export interface Replica {
  readonly brokerId: number
  readonly address: string
  /** The name of its log. */
  readonly log: string
  /** It holds everything below. */
  ackOffset: number
  /** When it last held all that there was, ms. */
  caughtUpMs: number
  /** When it asked last, ms, and where the log ended then. */
  askedMs: number
  askedEnd: number
  /** Whether a request of it is not answered yet. */
  isWaiting: boolean
  /** Bytes that it got since `sentSinceMs`. */
  sentBytes: number
  sentSinceMs: number
  /** Of the second before. */
  bytesPerSecond: number
}

const SECOND_MS = 1000

export interface ReplicaRules {
  /** Whether acknowledgements wait for replicas at all. */
  readonly isSync: boolean
  /** How many hold a message before it is confirmed, the master included. */
  readonly inSyncReplicas: number
  /** With fewer in sync, the master included, nothing is taken. */
  readonly minInSyncReplicas: number
  /** Whether all that are in sync must hold it. */
  readonly allAckInSyncStateSet: boolean
  /** ms. */
  readonly maxLagMs: number
}

/**
 * Who follows a master and how far each has come; from that, how much of the log is confirmed. A replica counts as in sync
 * while it catches up with the log's end again and again. DefaultHAService, AutoSwitchHAService
 *
 * Invariant: the confirmed offset never goes back, and never beyond what enough replicas hold.
 */
export class ReplicaSet {
  private readonly replicas = new Map<number, Replica>()
  private readonly rules: ReplicaRules
  private confirmed: number
  /** End of what masters of before wrote: they may have acknowledged it. */
  private readonly inherited: number
  /** Who must hold a message, the master left aside; null: the rules say how many. */
  private members: ReadonlySet<number> | null = null

  /** Everything below `confirmed` was confirmed before; the log ends at `logEnd`. */
  constructor(rules: ReplicaRules, confirmed: number, logEnd: number) {
    this.rules = rules
    this.confirmed = confirmed
    this.inherited = logEnd
  }

  join(brokerId: number, address: string, log: string, ackOffset: number, nowMs: number): Replica {
    const replica: Replica = {
      brokerId,
      address,
      log,
      ackOffset,
      caughtUpMs: nowMs - this.rules.maxLagMs,
      askedMs: nowMs,
      askedEnd: Number.POSITIVE_INFINITY,
      isWaiting: false,
      sentBytes: 0,
      sentSinceMs: nowMs,
      bytesPerSecond: 0
    }
    this.replicas.set(brokerId, replica)
    return replica
  }

  has(brokerId: number): boolean {
    return this.replicas.has(brokerId)
  }

  /** Whether it has not joined again on another connection since. */
  isCurrent(replica: Replica): boolean {
    return this.replicas.get(replica.brokerId) === replica
  }

  /** A replica whose connection is gone; another one under its id stays. */
  leave(replica: Replica): void {
    if (this.isCurrent(replica)) this.replicas.delete(replica.brokerId)
  }

  /** It holds everything below `offset`; the master's log ends at `maxOffset`. */
  acknowledge(replica: Replica, offset: number, maxOffset: number, nowMs: number): void {
    if (offset > replica.ackOffset) replica.ackOffset = offset
    if (offset >= maxOffset) replica.caughtUpMs = nowMs
    // Under load the log is never at rest: it had all that there was when it asked before.
    else if (offset >= replica.askedEnd) replica.caughtUpMs = Math.max(replica.caughtUpMs, replica.askedMs)
    replica.askedEnd = maxOffset
    replica.askedMs = nowMs
  }

  /** It got so many bytes. */
  sent(replica: Replica, bytes: number, nowMs: number): void {
    this.startSecond(replica, nowMs)
    replica.sentBytes += bytes
  }

  /** How long a replica waits for its next bytes, ms, so that it gets at most `maxBytesPerSecond`. */
  waitMs(replica: Replica, maxBytesPerSecond: number, nowMs: number): number {
    this.startSecond(replica, nowMs)
    return replica.sentBytes < maxBytesPerSecond ? 0 : replica.sentSinceMs + SECOND_MS - nowMs
  }

  private startSecond(replica: Replica, nowMs: number): void {
    if (nowMs - replica.sentSinceMs < SECOND_MS) return
    replica.bytesPerSecond = nowMs - replica.sentSinceMs < 2 * SECOND_MS ? replica.sentBytes : 0
    replica.sentBytes = 0
    replica.sentSinceMs = nowMs
  }

  /**
   * From now on the members of an in-sync set must hold a message, all of them and whether connected or not, the master left
   * aside. The log ends at `maxOffset`.
   */
  require(members: ReadonlySet<number>, maxOffset: number): void {
    // So far the master alone was asked: all that it has may have been acknowledged.
    if (this.members?.size === 0 && this.rules.minInSyncReplicas <= 1)
      this.confirmed = Math.max(this.confirmed, maxOffset)
    this.members = members
  }

  /** Whether a replica holds everything that was ever confirmed, by this master or by one before. */
  hasAllConfirmed(brokerId: number): boolean {
    const replica = this.replicas.get(brokerId)
    return replica !== undefined && replica.ackOffset >= Math.max(this.confirmed, this.inherited)
  }

  /** Whether everything below `offset` is confirmed. */
  isConfirmed(offset: number, nowMs: number): boolean {
    return this.confirmOffset(nowMs) >= offset
  }

  private confirmedByMembers(members: ReadonlySet<number>): number {
    if (members.size + 1 < this.rules.minInSyncReplicas) return this.confirmed
    let offset = Number.POSITIVE_INFINITY
    for (const id of members) offset = Math.min(offset, this.replicas.get(id)?.ackOffset ?? 0)
    if (offset === Number.POSITIVE_INFINITY) return offset
    this.confirmed = Math.max(this.confirmed, offset)
    return this.confirmed
  }

  all(): Replica[] {
    return [...this.replicas.values()]
  }

  isInSync(replica: Replica, nowMs: number): boolean {
    return nowMs - replica.caughtUpMs < this.rules.maxLagMs
  }

  /** The ids of those that an election requires, connected or not; without one, of those in sync. */
  syncStateSet(nowMs: number): ReadonlySet<number> {
    return this.members ?? new Set(this.inSync(nowMs).map(({ brokerId }) => brokerId))
  }

  inSync(nowMs: number): Replica[] {
    return this.all().filter(replica => this.isInSync(replica, nowMs))
  }

  /** Up to where the log is confirmed; infinite while nobody is asked. */
  confirmOffset(nowMs: number): number {
    const { isSync, inSyncReplicas, allAckInSyncStateSet } = this.rules
    if (isSync && this.members !== null) return this.confirmedByMembers(this.members)
    if (!isSync || (inSyncReplicas <= 1 && !allAckInSyncStateSet)) return Number.POSITIVE_INFINITY
    // A replica that lags holds what it holds: it counts for old messages, and is missed for new ones.
    const counted = allAckInSyncStateSet ? this.inSync(nowMs) : this.all()
    const acks = counted.map(({ ackOffset }) => ackOffset).sort((a, b) => b - a)
    const needed = Math.max(inSyncReplicas - 1, allAckInSyncStateSet ? acks.length : 0)
    if (needed === 0) return Number.POSITIVE_INFINITY
    const offset = acks[needed - 1]
    if (offset !== undefined && offset > this.confirmed) this.confirmed = offset
    return this.confirmed
  }

  /** Why no message that waits for replicas is taken; null while enough are in sync. */
  refusal(nowMs: number): string | null {
    const { isSync, minInSyncReplicas } = this.rules
    if (!isSync || minInSyncReplicas <= 1) return null
    const { members } = this
    const count = this.inSync(nowMs).filter(({ brokerId }) => members === null || members.has(brokerId)).length + 1
    return count >= minInSyncReplicas
      ? null
      : `${count} of this broker's replicas are in sync, the master included; minInSyncReplicas asks for ${minInSyncReplicas}`
  }
}
