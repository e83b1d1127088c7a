import { layout, readI64, viewOf, writeI64 } from '../../message/index.ts'
import { type Files, writeFully } from '../files.ts'
import { BitSet } from './bit-set.ts'

/** What is due in one unit of time: a chain of units in the timer log, found by its last one. */
export const TIMER_SLOT = layout({ time: 'i64', firstPos: 'i64', lastPos: 'i64', count: 'i32', magic: 'i32' })
/** Two weeks of seconds: RocketMQ keeps one, and another to tell past from future. TimerWheel */
export const WHEEL_SLOTS = 2 * 7 * 86_400
const PIECE_BYTES = 4096 * TIMER_SLOT.bytes

/**
 * The slots of a timer, in memory as in RocketMQ's file `timerwheel`. A slot is named by its time, in units of the timer's
 * precision since 1970, and lies at that modulo the number of slots; it holds something while it has that time. All of it
 * follows from the timer log, and is written for RocketMQ: only what changed. TimerWheel
 */
export class TimerWheel {
  private readonly files: Files
  private readonly path: string
  readonly slots: number
  /** Memory that nothing was written to takes no room. */
  private readonly bytes: Uint8Array
  private readonly view: DataView
  /** Places of slots that wait for their time, and of those that are not in the file as they are here. */
  private readonly waiting: BitSet
  private readonly changed: BitSet
  private fd = -1
  /** How many messages wait, counted as `count` does. */
  total = 0

  constructor(files: Files, path: string, slots: number) {
    this.files = files
    this.path = path
    this.slots = slots
    this.bytes = new Uint8Array(slots * TIMER_SLOT.bytes)
    this.view = viewOf(this.bytes)
    this.waiting = new BitSet(slots)
    this.changed = new BitSet(slots)
  }

  /** Opens the file, making it if need be; one of another size is made anew. Throws what the disk says. */
  open(): void {
    const { files } = this
    this.fd = files.open(this.path)
    const sizeBytes = files.sizeOf(this.fd)
    if (sizeBytes === this.bytes.length) return
    if (sizeBytes !== 0) files.truncate(this.fd, 0)
    files.truncate(this.fd, this.bytes.length)
  }

  close(): void {
    if (this.fd >= 0) this.files.close(this.fd)
    this.fd = -1
  }

  /** Forgets all slots. */
  clear(): void {
    for (let place = this.waiting.next(0); place >= 0; place = this.waiting.next(place + 1)) {
      this.bytes.fill(0, place * TIMER_SLOT.bytes, (place + 1) * TIMER_SLOT.bytes)
      this.changed.add(place)
    }
    this.waiting.clear()
    this.total = 0
  }

  /** Whether the file is there, of its size, and can be compared. */
  openForReading(): boolean {
    if (!this.files.exists(this.path)) return false
    this.fd = this.files.open(this.path)
    return this.files.sizeOf(this.fd) === this.bytes.length
  }

  private holds(time: number): boolean {
    return readI64(this.view, (time % this.slots) * TIMER_SLOT.bytes) === time
  }

  /** Position of a slot's last unit in the timer log; -1 when it has none. */
  lastPos(time: number): number {
    if (!this.holds(time)) return -1
    return readI64(this.view, (time % this.slots) * TIMER_SLOT.bytes + TIMER_SLOT.at.lastPos)
  }

  /** How many messages a slot has; each request to delete one counts as one less. */
  count(time: number): number {
    if (!this.holds(time)) return 0
    return this.view.getInt32((time % this.slots) * TIMER_SLOT.bytes + TIMER_SLOT.at.count)
  }

  /** Adds the unit at `pos` to a slot. */
  add(time: number, pos: number, count: 1 | -1): void {
    const { view } = this
    const place = time % this.slots
    const at = place * TIMER_SLOT.bytes
    if (!this.holds(time)) {
      this.bytes.fill(0, at, at + TIMER_SLOT.bytes)
      writeI64(view, at, time)
      writeI64(view, at + TIMER_SLOT.at.firstPos, pos)
    }
    writeI64(view, at + TIMER_SLOT.at.lastPos, pos)
    view.setInt32(at + TIMER_SLOT.at.count, view.getInt32(at + TIMER_SLOT.at.count) + count)
    this.total += count
    this.waiting.add(place)
    this.changed.add(place)
  }

  /** The earliest slot at or behind `from` that waits, of those less than a turn of the wheel away; -1 without one. */
  next(from: number): number {
    const start = from % this.slots
    let place = this.waiting.next(start)
    if (place < 0) place = this.waiting.next(0)
    return place < 0 ? -1 : from - start + place + (place < start ? this.slots : 0)
  }

  /** A slot's time has passed. Its content stays where it is, as RocketMQ leaves it. */
  passed(time: number): void {
    this.total -= this.count(time)
    this.waiting.delete(time % this.slots)
  }

  /**
   * Compares the file with what was built from the timer log: what it has as it should be need not be written, and what it
   * has from `from` on that is not here is to be overwritten.
   */
  async compare(from: number): Promise<void> {
    const piece = Buffer.alloc(PIECE_BYTES)
    const view = viewOf(piece)
    for (let pos = this.files.nextData(this.fd, 0); pos >= 0; pos = this.files.nextData(this.fd, pos + PIECE_BYTES)) {
      pos -= pos % TIMER_SLOT.bytes
      const end = await this.files.readAsync(this.fd, piece, pos)
      for (let at = 0; at + TIMER_SLOT.bytes <= end; at += TIMER_SLOT.bytes) {
        const place = (pos + at) / TIMER_SLOT.bytes
        const own = this.bytes.subarray(pos + at, pos + at + TIMER_SLOT.bytes)
        if (this.waiting.has(place) && piece.compare(own, 0, own.length, at, at + own.length) === 0)
          this.changed.delete(place)
        else if (readI64(view, at) >= from) this.changed.add(place)
      }
    }
  }

  /** How many slots the file does not have as they are here. */
  get changedCount(): number {
    let count = 0
    for (let place = this.changed.next(0); place >= 0; place = this.changed.next(place + 1)) count++
    return count
  }

  /** Writes the slots that changed, neighbours together, and makes them durable. Throws what the disk says. */
  async flush(): Promise<void> {
    const { changed } = this
    for (let first = changed.next(0); first >= 0; first = changed.next(first)) {
      let end = first + 1
      while (end < this.slots && changed.has(end)) end++
      const length = (end - first) * TIMER_SLOT.bytes
      writeFully(this.files, this.fd, this.bytes, first * TIMER_SLOT.bytes, length, first * TIMER_SLOT.bytes)
      for (let place = first; place < end; place++) changed.delete(place)
    }
    await this.files.sync(this.fd)
  }
}
