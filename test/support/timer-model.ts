import type { Test } from 'tap'
import {
  type Clock,
  type DueSlot,
  type MessageStore,
  openStore,
  PutStatus,
  TimerMagic,
  TimerStore
} from '../../engine/index.ts'
import { TIMER_TOPIC } from '../../message/index.ts'
import { keepLog } from './log.ts'
import { ManualClock } from './manual-clock.ts'
import { below, type Random } from './seeded.ts'
import { type Crash, SimulatedFiles, STORE_DIR } from './simulated-files.ts'
import { putMessageOf, readQueue, settle, TINY_STORE } from './store-model.ts'

const SECOND_MS = 1000
const WINDOW_SLOTS = 8
const WHEEL_SLOTS = 160
const TOPIC = 'orders'

interface Timed {
  key: string
  /** The slot in which it waits, as a time. */
  outMs: number
  status: number | null
  /** A request to delete it was put, acknowledged or not. */
  isDeleted: boolean
}

/** One life of the process: its timers end with it. */
class LifeClock implements Clock {
  isOver = false
  private readonly clock: ManualClock

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  now = (): number => this.clock.now()

  after(ms: number, run: () => void): () => void {
    return this.clock.after(ms, () => {
      if (!this.isOver) run()
    })
  }
}

/** A timer on a simulated disk beside a list of what was put into it. What is due, the model delivers, as a broker does. */
export class TimerModel {
  disk = new SimulatedFiles()
  readonly clock = new ManualClock()
  readonly log = keepLog()
  readonly all: Timed[] = []
  store!: MessageStore
  timer!: TimerStore
  /** Deliveries that were saved as such: they must not happen again. */
  settled = new Map<string, number>()
  /** Where units say that a message is, and none is. */
  readonly missing: number[] = []
  private life = new LifeClock(this.clock)
  private readonly random: Random
  private delivering: Promise<void> = Promise.resolve()

  constructor(random: Random) {
    this.random = random
  }

  async open(): Promise<void> {
    const { disk, log } = this
    disk.now = this.clock.now
    this.life = new LifeClock(this.clock)
    const options = {
      ...TINY_STORE,
      flushDiskType: 'SYNC_FLUSH',
      timerRollWindowSlot: WINDOW_SLOTS,
      mappedFileSizeTimerLogBytes: 1024
    } as const
    const clock = this.life
    const store = await openStore(STORE_DIR, options, { files: disk, clock, log })
    const timer = new TimerStore({ store, files: disk, clock, log, delivers: () => true, wheelSlots: WHEEL_SLOTS })
    await timer.open()
    store.onArrival = topic => topic === TIMER_TOPIC && timer.arrived()
    this.store = store
    this.timer = timer
  }

  async close(): Promise<void> {
    await this.delivering
    await this.timer.close()
    await this.store.close()
    this.life.isOver = true
  }

  crash(keeps: Crash['keeps']): void {
    this.life.isOver = true
    this.disk = this.disk.crash({ keeps })
  }

  private send(key: string, outMs: number, more: Record<string, string>, onStored: (status: number) => void): void {
    const properties = { UNIQ_KEY: key, TIMER_OUT_MS: String(outMs), REAL_TOPIC: TOPIC, REAL_QID: '0', ...more }
    const message = putMessageOf(TIMER_TOPIC, 0, Buffer.from(key), properties)
    this.store.put(message, { onPut: status => onStored(status) })
  }

  /** Puts a message that is due within four windows; some are late already. */
  put(): void {
    const slot = Math.floor(this.clock.now() / SECOND_MS) + below(this.random, 4 * WINDOW_SLOTS) - 2
    const timed: Timed = { key: `k${this.all.length}`, outMs: slot * SECOND_MS, status: null, isDeleted: false }
    this.all.push(timed)
    this.send(timed.key, timed.outMs, {}, status => {
      timed.status = status
    })
  }

  /** Asks to delete a message that is not yet due. */
  delete(): void {
    const waiting = this.all.filter(each => each.outMs > this.clock.now() && each.status === PutStatus.OK)
    const timed = waiting[below(this.random, waiting.length)]
    if (timed === undefined) return
    timed.isDeleted = true
    this.send(timed.key, timed.outMs, { TIMER_DEL_UNIQKEY: timed.key }, () => {})
  }

  /** Delivers what is due, unless it is under way. */
  deliver(): Promise<void> {
    const { life } = this
    this.delivering = this.delivering
      .then(() => this.deliverDue(life))
      .catch(error => {
        if (!life.isOver) throw error
      })
    return this.delivering
  }

  private async deliverDue(life: LifeClock): Promise<void> {
    const { timer } = this
    while (!life.isOver && timer.nextReadMs <= this.clock.now()) {
      const slot = await timer.readNext().catch(() => null)
      if (slot === null) return
      await this.deliverSlot(slot).then(
        () => timer.passed(slot),
        () => timer.unread(slot)
      )
    }
  }

  private async deliverSlot(slot: DueSlot): Promise<void> {
    const { timer, store } = this
    const deleted = new Set<string | undefined>()
    for (const pos of slot.deletes) {
      const record = await timer.recordOf((await timer.unitAt(pos))!)
      deleted.add(record?.properties.get('TIMER_DEL_UNIQKEY'))
    }
    for (const pos of slot.messages) {
      const unit = (await timer.unitAt(pos))!
      const record = await timer.recordOf(unit)
      if (record === null) {
        this.missing.push(unit.physicalOffset)
        continue
      }
      const rolls = (unit.magic & TimerMagic.ROLL) !== 0
      const times = Number(record.properties.get('TIMER_ROLL_TIMES') ?? 0)
      const properties = Object.fromEntries(record.properties)
      if (rolls) properties.TIMER_ROLL_TIMES = String(times + 1)
      if (rolls || !deleted.has(record.properties.get('UNIQ_KEY'))) {
        const message = putMessageOf(rolls ? TIMER_TOPIC : TOPIC, 0, record.body, properties)
        const { status } = await store.putMessage({ ...message, waitStored: false })
        if (status !== PutStatus.OK) throw new Error(`delivery ended with ${status}`)
      }
      timer.delivered(pos)
    }
  }

  /** Lets time pass in steps, so that rolls come into their own slots. */
  async pass(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      await this.takeUp()
      this.clock.advance(SECOND_MS)
      await this.deliver()
    }
    await this.takeUp()
  }

  /** Lets what came be taken up, if the disk lets it. */
  private async takeUp(): Promise<void> {
    await settle()
    for (let i = 0; i < 50 && this.timer.progress.offsetBehind > 0; i++) await settle()
  }

  /** How often each message is in its topic. */
  async delivered(): Promise<Map<string, number>> {
    const counts = new Map<string, number>()
    for (const record of await readQueue(this.store, TOPIC, 0)) {
      const key = Buffer.from(record.body).toString()
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    return counts
  }

  /** Lets what is delivered now be saved as such, and remembers it. */
  async save(): Promise<void> {
    // What an earlier crash has doubled may come now.
    await this.pass(3)
    const delivered = await this.delivered()
    await this.pass(3)
    this.settled = delivered
  }

  /** Waits until all is due; then each message was delivered that was not deleted, and none again that was settled. */
  async verify(t: Test, about: string): Promise<void> {
    await this.pass(5 * WINDOW_SLOTS)
    const problems = this.missing.map(offset => `no message at ${offset}`)
    const counts = await this.delivered()
    for (const { key, status, isDeleted } of this.all) {
      const count = counts.get(key) ?? 0
      if (status === PutStatus.OK && !isDeleted && count === 0) problems.push(`${key} is lost`)
      const before = this.settled.get(key)
      if (before !== undefined && count > before) problems.push(`${key} was delivered again`)
    }
    t.same(problems, [], about)
  }

  /** How many messages were delivered more than once. */
  async repeated(): Promise<number> {
    return [...(await this.delivered()).values()].filter(count => count > 1).length
  }
}
