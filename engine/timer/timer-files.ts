import { join } from 'node:path'
import type { Files } from '../files.ts'
import type { Log } from '../log.ts'
import { TimerLog, TimerMagic, type TimerUnit } from './timer-log.ts'
import { TimerWheel } from './timer-wheel.ts'

/** A slot whose time has come: positions of its units in the timer log, oldest first. */
export interface DueSlot {
  time: number
  /** Of messages to deliver or to put again. */
  messages: number[]
  /** Of requests to delete messages of the same slot. */
  deletes: number[]
}

/** The timer log and the wheel that follows from it: each slot's units are a chain, which the wheel has the end of. */
export class TimerFiles {
  readonly units: TimerLog
  readonly wheel: TimerWheel
  readonly precisionMs: number

  constructor(files: Files, dir: string, fileSizeBytes: number, wheelSlots: number, precisionMs: number) {
    this.units = new TimerLog(files, join(dir, 'timerlog'), fileSizeBytes)
    this.wheel = new TimerWheel(files, join(dir, 'timerwheel'), wheelSlots)
    this.precisionMs = precisionMs
  }

  /** Opens the files, making them if need be. Throws what the disk says. */
  open(log: Log): void {
    this.wheel.open()
    this.units.load(log)
  }

  close(): void {
    this.wheel.close()
    this.units.close()
  }

  slotOf(ms: number): number {
    return Math.floor(ms / this.precisionMs)
  }

  /**
   * Builds the wheel, of slots from `firstSlot` on, out of the timer log as far as that is whole and `belongs` says so; the
   * log ends there.
   */
  async build(firstSlot: number, belongs: (unit: TimerUnit, pos: number) => boolean): Promise<void> {
    const { units, wheel } = this
    wheel.clear()
    await units.scan((unit, pos) => {
      if (!belongs(unit, pos)) return false
      const slot = this.slotOf(unit.writeMs + unit.delayMs)
      if (slot < firstSlot) return true
      const lastPos = wheel.lastPos(slot)
      const isNext = unit.previousPos === lastPos || (lastPos < 0 && unit.previousPos < units.start)
      if (isNext) this.count(unit, slot, pos)
      return isNext
    })
  }

  private count({ magic }: TimerUnit, slot: number, pos: number): void {
    this.wheel.add(slot, pos, magic & TimerMagic.DELETE ? -1 : 1)
  }

  /** Adds a unit at the end of its slot. Throws what the disk says: then nothing was added. */
  add(unit: Omit<TimerUnit, 'previousPos'>): void {
    const slot = this.slotOf(unit.writeMs + unit.delayMs)
    const chained = { ...unit, previousPos: this.wheel.lastPos(slot) }
    this.count(chained, slot, this.units.append(chained))
  }

  /** Empties both, to be filled anew. */
  reset(): void {
    this.units.reset()
    this.wheel.clear()
  }

  /** The units of a slot; a position instead where its chain is broken. Throws what the disk says. */
  async read(time: number): Promise<DueSlot | number> {
    const messages: number[] = []
    const deletes: number[] = []
    const physicalOffsets: number[] = []
    for (let pos = this.wheel.lastPos(time); pos >= this.units.start; ) {
      const unit = await this.units.at(pos)
      if (unit === null || this.slotOf(unit.writeMs + unit.delayMs) !== time || unit.previousPos >= pos) return pos
      // A request that is itself put again deletes nothing yet.
      if ((unit.magic & (TimerMagic.DELETE | TimerMagic.ROLL)) === TimerMagic.DELETE) deletes.push(pos)
      else {
        messages.push(pos)
        physicalOffsets.push(unit.physicalOffset)
      }
      pos = unit.previousPos
    }
    return { time, messages: withoutRepeats(messages, physicalOffsets).reverse(), deletes }
  }

  /** Makes durable what was added, the units first. Throws what the disk says. */
  async flush(): Promise<void> {
    await this.units.sync()
    await this.wheel.flush()
  }
}

/** RocketMQ may give a message two units; the older one counts. Both lists begin with the newest. */
function withoutRepeats(positions: number[], physicalOffsets: number[]): number[] {
  if (physicalOffsets.every((offset, i) => i === 0 || offset < physicalOffsets[i - 1]!)) return positions
  const seen = new Set<number>()
  const isFirst = new Set<number>()
  for (let i = positions.length - 1; i >= 0; i--)
    if (!seen.has(physicalOffsets[i]!)) {
      seen.add(physicalOffsets[i]!)
      isFirst.add(positions[i]!)
    }
  return positions.filter(pos => isFirst.has(pos))
}
