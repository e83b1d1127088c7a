import { crc32 } from '../../message/index.ts'

/** From `startOffset` on, the log was written by the master of this epoch. EpochEntry */
export interface Epoch {
  readonly epoch: number
  readonly startOffset: number
}

/**
 * Which master wrote which part of a log. Two logs that agree on where an epoch began are equal up to where the shorter
 * one's part of that epoch ends: so a replica finds, without comparing bytes, from where on it differs. EpochFileCache
 *
 * Invariant: epochs and start offsets grow, both strictly.
 */
export class EpochHistory {
  private readonly list: Epoch[]

  /** Throws RangeError when the epochs do not grow. */
  constructor(epochs: readonly Epoch[] = []) {
    this.list = []
    for (const { epoch, startOffset } of epochs) this.begin(epoch, startOffset)
  }

  get epochs(): readonly Epoch[] {
    return this.list
  }

  /** 0 before the first. */
  get last(): number {
    return this.list.at(-1)?.epoch ?? 0
  }

  /** A new master writes from `startOffset` on. An epoch in which nothing was written leaves no trace. Throws RangeError. */
  begin(epoch: number, startOffset: number): void {
    if (!Number.isSafeInteger(epoch) || epoch <= this.last)
      throw new RangeError(`epoch ${epoch} does not follow epoch ${this.last}`)
    while (this.list.length > 0 && this.list.at(-1)!.startOffset === startOffset) this.list.pop()
    const before = this.list.at(-1)
    if (!Number.isSafeInteger(startOffset) || startOffset < 0 || (before && startOffset < before.startOffset))
      throw new RangeError(`epoch ${epoch} cannot begin at ${startOffset}`)
    this.list.push({ epoch, startOffset })
  }

  /** The log ends at `offset` now. */
  truncate(offset: number): void {
    while (this.list.length > 0 && this.list.at(-1)!.startOffset >= offset) this.list.pop()
  }

  /** The log begins at `offset` now: epochs that ended before it are forgotten. */
  forgetBefore(offset: number): void {
    while (this.list.length > 1 && this.list[1]!.startOffset <= offset) this.list.shift()
  }

  /** The epoch in which the byte at an offset was written; 0 when it lies before all. */
  at(offset: number): number {
    return this.list.findLast(each => each.startOffset <= offset)?.epoch ?? 0
  }

  /** Where the part of the `index`-th epoch ends in a log that ends at `logEnd`. */
  private endOf(index: number, logEnd: number): number {
    return Math.min(this.list[index + 1]?.startOffset ?? logEnd, logEnd)
  }

  /**
   * Up to which offset a log with this history, ending at `ownEnd`, equals a log with the other history that ends at
   * `otherEnd`; -1 when they have nothing in common. AutoSwitchHAClient: the slave's truncation
   */
  commonEnd(ownEnd: number, other: EpochHistory, otherEnd: number): number {
    for (let i = this.list.length - 1; i >= 0; i--) {
      const { epoch, startOffset } = this.list[i]!
      const j = other.list.findIndex(each => each.epoch === epoch && each.startOffset === startOffset)
      if (j >= 0) return Math.min(this.endOf(i, ownEnd), other.endOf(j, otherEnd))
    }
    return -1
  }

  /** The text of RocketMQ's epoch file: count, checksum of the rest, then `epoch-startOffset` a line. CheckpointFile */
  format(): string {
    const lines = this.list.map(({ epoch, startOffset }) => `${epoch}-${startOffset}\n`).join('')
    return `${this.list.length}\n${crc32(Buffer.from(lines))}\n${lines}`
  }

  /** Throws RangeError when the text is no epoch file, or a broken one. */
  static parse(text: string): EpochHistory {
    const [count, checksum, ...lines] = text.split('\n')
    const entries = lines.filter(line => line.trim() !== '')
    const rest = entries.map(line => `${line}\n`).join('')
    if (Number(count) !== entries.length)
      throw new RangeError(`the epoch file names ${count} epochs, but has ${entries.length}`)
    if (Number(checksum) !== 0 && Number(checksum) !== crc32(Buffer.from(rest)))
      throw new RangeError('the epoch file has another checksum than it names')
    return new EpochHistory(
      entries.map(line => {
        const [, epoch, startOffset] = /^(\d+)-(\d+)$/.exec(line.trim()) ?? []
        if (epoch === undefined) throw new RangeError(`"${line}" is no epoch`)
        return { epoch: Number(epoch), startOffset: Number(startOffset) }
      })
    )
  }
}
