import type { SimulatedBroker } from './simulated-broker.ts'

/** What was acknowledged and called confirmed, by whom, and whether it stays so. */
export class ReplicationLedger {
  acknowledgedCount = 0
  /** Everything below is acknowledged. */
  acknowledgedEnd = 0
  /** The log as far as anybody has called it confirmed. */
  private confirmed = Buffer.alloc(64 * 1024)
  private confirmedEnd = 0
  private readonly acknowledgedBy = new Map<number, number>()
  private readonly fail: (message: string) => void
  /** Whether what is acknowledged is held by others: what a master alone calls confirmed may go with it. */
  private readonly isGuarded: boolean

  constructor(isGuarded: boolean, fail: (message: string) => void) {
    this.isGuarded = isGuarded
    this.fail = fail
  }

  acknowledged(node: SimulatedBroker, offset: number, body: Buffer): void {
    this.acknowledgedCount++
    const epoch = node.master?.epochs.history.last ?? 0
    const by = this.acknowledgedBy.get(epoch)
    if (by !== undefined && by !== node.id) this.fail(`nodes ${by} and ${node.id} both acknowledge in epoch ${epoch}`)
    this.acknowledgedBy.set(epoch, node.id)
    if (!this.isGuarded) return
    this.checkConfirmed(node)
    const end = offset + node.bytes(offset, offset + 4).readInt32BE(0)
    if (end > this.confirmedEnd) this.fail(`node ${node.id} acknowledges what it does not call confirmed`)
    if (!this.confirmed.subarray(offset, end).includes(body)) this.fail(`message at ${offset} is not in the log`)
    this.acknowledgedEnd = Math.max(this.acknowledgedEnd, end)
  }

  /** Logs are alike as far as anybody calls them confirmed, or shows them to consumers. */
  checkConfirmed(node: SimulatedBroker): void {
    if (!this.isGuarded) return
    const end = Math.max(node.store.confirmOffset, node.seenEnd)
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
  }

  /** What all have lost counts no longer. */
  forget(): void {
    this.acknowledgedEnd = 0
    this.confirmedEnd = 0
  }

  /** A node holds everything that is acknowledged. */
  require(node: SimulatedBroker, what: string): void {
    const { acknowledgedEnd: end } = this
    const from = node.heldUntil
    if (from >= end) return
    node.heldUntil = end
    if (!node.bytes(from, end).equals(this.confirmed.subarray(from, end)))
      this.fail(`node ${node.id} ${what} without all that is acknowledged, ${from} to ${end}`)
  }
}
