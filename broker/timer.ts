import { setImmediate as nextTurn } from 'node:timers/promises'
import { type DueSlot, TimerMagic, TimerStore, type TimerUnit } from '../engine/index.ts'
import { type MessageRecord, PropertyName } from '../message/index.ts'
import type { Broker } from './broker.ts'
import { Delivery, MAX_WAIT_MS } from './delivery.ts'
import { copyOf } from './put.ts'
import { Meter, TEN_SECONDS } from './statistics.ts'
import { TimerMetrics } from './timer-metrics.ts'

/** So many messages at most are put between two turns of the event loop. */
const BATCH = 32
const RETRY_MS = 500

/** A message whose time has come, and its unit in the timer log. */
interface Waiting {
  pos: number
  unit: TimerUnit
  record: MessageRecord
}

interface DeleteRequest {
  /** What the request was counted under. */
  topic: string
  /** Whether there was a message to delete. */
  isMet: boolean
}

const isRolled = (unit: TimerUnit): boolean => (unit.magic & TimerMagic.ROLL) !== 0

/**
 * Delivers messages with an arbitrary delay: one timer waits for the next slot of the wheel that holds something; without
 * any there is none. On a slave it only keeps the files. TimerMessageStore
 */
export class TimerService {
  readonly store: TimerStore
  readonly metrics: TimerMetrics
  private readonly broker: Broker
  private readonly taken: Meter
  private readonly given: Meter
  private started = false
  private stopped = false
  private running: Promise<void> | null = null
  private wakeMs = Number.POSITIVE_INFINITY
  private cancelWake: (() => void) | null = null
  private endPause: () => void = () => {}

  constructor(broker: Broker) {
    const { store, files, clock, log } = broker
    this.broker = broker
    this.metrics = new TimerMetrics(files, store.dir, log)
    this.taken = new Meter(this.tick, [TEN_SECONDS])
    this.given = new Meter(this.tick, [TEN_SECONDS])
    this.store = new TimerStore({ store, files, clock, log, delivers: () => this.started })
    this.store.onWaiting = () => this.rest()
    this.store.onRebuild = () => this.metrics.clear()
    this.store.onTaken = (topic, count) => {
      this.taken.add(this.tick, 1, 0)
      // A slave hears from its master what waits.
      if (broker.options.brokerRole !== 'SLAVE') this.metrics.add(topic, count, clock.now())
    }
  }

  private get tick(): number {
    return Math.floor(this.broker.clock.now() / 1000)
  }

  /** Opens the files. Throws what the disk says. */
  async open(): Promise<void> {
    const { timerRollWindowSlot, timerPrecisionMs, fileReservedTimeHours } = this.broker.store.options
    if (timerRollWindowSlot * timerPrecisionMs > fileReservedTimeHours * 3_600_000)
      this.broker.log.warn(
        { timerRollWindowSlot, fileReservedTime: fileReservedTimeHours },
        'timer messages may be deleted before they are due: timerRollWindowSlot is more than fileReservedTime'
      )
    this.metrics.load()
    await this.store.open()
  }

  /** Begins to deliver, with what became due while the broker was down. */
  start(): void {
    this.started = true
    this.store.arrived()
    this.rest()
  }

  /** On a slave: takes over how far the master has come. SlaveSynchronize#syncTimerCheckPoint */
  adopt(checkpoint: Uint8Array): void {
    this.store.adopt(checkpoint)
  }

  /** Lets all be until the next slot is due. */
  private rest(): void {
    if (this.started && !this.stopped && this.running === null) this.wakeAt(this.store.nextReadMs)
  }

  private wakeAt(ms: number): void {
    if (ms >= this.wakeMs) return
    this.cancelWake?.()
    this.wakeMs = ms
    const waitMs = Math.min(Math.max(0, ms - this.broker.clock.now()), MAX_WAIT_MS)
    this.cancelWake = this.broker.clock.after(waitMs, () => this.wake())
  }

  private wake(): void {
    this.cancelWake = null
    this.wakeMs = Number.POSITIVE_INFINITY
    this.running = this.deliverDue().then(
      () => this.ended(this.store.nextReadMs),
      error => {
        this.broker.log.error({ err: error }, 'timer messages could not be delivered')
        this.ended(this.broker.clock.now() + RETRY_MS)
      }
    )
  }

  private ended(nextMs: number): void {
    this.running = null
    if (!this.stopped) this.wakeAt(nextMs)
  }

  /** Delivers all slots that are due. Throws what the disk says. */
  private async deliverDue(): Promise<void> {
    const { broker, store } = this
    while (!this.stopped && store.nextReadMs <= broker.clock.now()) {
      const slot = await store.readNext()
      if (slot === null) continue
      let isWhole = false
      try {
        isWhole = await this.deliverSlot(slot)
      } finally {
        if (isWhole) store.passed(slot)
        else store.unread(slot)
      }
    }
  }

  /** False when it was stopped. */
  private async deliverSlot({ messages, deletes }: DueSlot): Promise<boolean> {
    const requests = await this.readDeletes(deletes)
    for (let from = 0; from < messages.length; ) {
      if (this.stopped) return false
      const batch = await this.read(messages.slice(from, from + BATCH))
      const count = await this.deliver(batch, requests)
      from += count
      if (count < batch.length) await this.pause()
      else await nextTurn()
    }
    // What was to be deleted was counted as gone, and was not there.
    for (const { topic, isMet } of requests.values()) if (!isMet) this.metrics.add(topic, 1, this.broker.clock.now())
    return true
  }

  /** Requests to delete, by what they name. */
  private async readDeletes(positions: number[]): Promise<Map<string, DeleteRequest>> {
    const requests = new Map<string, DeleteRequest>()
    for (const pos of positions) {
      const [waiting] = await this.read([pos])
      const key = waiting?.record.properties.get(PropertyName.TIMER_DEL_UNIQKEY)
      const topic = waiting?.record.properties.get(PropertyName.REAL_TOPIC)
      if (key !== undefined && topic !== undefined) requests.set(key, { topic, isMet: false })
    }
    return requests
  }

  /** A message for each position; null for those that are gone. */
  private async read(positions: number[]): Promise<(Waiting | null)[]> {
    const { store } = this
    return Promise.all(
      positions.map(async pos => {
        const unit = await store.unitAt(pos)
        const record = unit === null ? null : await store.recordOf(unit)
        if (unit !== null && record !== null) return { pos, unit, record }
        if (this.stopped) return null
        this.broker.log.error(
          { physicalOffset: unit?.physicalOffset, minPhysicalOffset: this.broker.store.minPhysicalOffset },
          'a timer message is gone from the CommitLog before it was due'
        )
        return null
      })
    )
  }

  /** Puts messages into their topics, in order; returns how many of them are dealt with. */
  private async deliver(batch: (Waiting | null)[], requests: Map<string, DeleteRequest>): Promise<number> {
    const deliveries: (Delivery | null)[] = []
    for (const waiting of batch) {
      const delivery = waiting === null || this.isDeleted(waiting, requests) ? null : this.deliveryOf(waiting)
      deliveries.push(delivery)
      delivery?.put(this.broker.store)
      // What follows must not overtake it.
      if (delivery?.isRefused) break
    }
    await Promise.all(deliveries.map(delivery => delivery?.done))
    for (const [i, delivery] of deliveries.entries()) {
      if (delivery?.isRefused) return i
      const waiting = batch[i] ?? null
      if (waiting === null) continue
      if (delivery !== null) this.count(delivery, waiting)
      this.store.delivered(waiting.pos)
    }
    return deliveries.length
  }

  private isDeleted({ unit, record: { properties } }: Waiting, requests: Map<string, DeleteRequest>): boolean {
    if (requests.size === 0 || isRolled(unit)) return false
    const topic = properties.get(PropertyName.REAL_TOPIC) ?? ''
    const request = requests.get(this.deleteKey(topic, properties.get(PropertyName.UNIQ_KEY) ?? ''))
    if (request === undefined) return false
    request.isMet = true
    return true
  }

  /** Names the message that a request with TIMER_DEL_UNIQKEY deletes. TimerMessageStore#buildDeleteKey */
  deleteKey(topic: string, uniqueKey: string): string {
    return this.broker.options.appendTopicForTimerDeleteKey ? `${topic}+${uniqueKey}` : uniqueKey
  }

  private count({ message: { topic, queueId, body }, isStored, reason }: Delivery, { record }: Waiting): void {
    this.given.add(this.tick, 1, 0)
    this.metrics.add(record.properties.get(PropertyName.REAL_TOPIC) ?? '', -1, this.broker.clock.now())
    if (isStored) this.broker.stats.put(topic, queueId, 1, body.length)
    else this.broker.log.error({ topic, reason }, 'a timer message cannot be delivered and is passed over')
  }

  /** What is put for a message. TimerMessageStore#convert */
  private deliveryOf({ unit, record }: Waiting): Delivery {
    const { properties } = record
    const topic = properties.get(PropertyName.REAL_TOPIC) ?? ''
    const message = copyOf(record, {
      ...(isRolled(unit) ? {} : { topic, queueId: Number(properties.get(PropertyName.REAL_QID)) }),
      // Whoever takes over has what the checkpoint calls delivered.
      waitStored: this.broker.failover !== null
    })
    const set = (name: string, value: number) => message.properties.set(name, String(value))
    set(PropertyName.TIMER_ENQUEUE_MS, unit.writeMs)
    if (isRolled(unit))
      set(PropertyName.TIMER_ROLL_TIMES, Number(properties.get(PropertyName.TIMER_ROLL_TIMES) ?? 0) + 1)
    set(PropertyName.TIMER_DEQUEUE_MS, this.broker.clock.now())
    return new Delivery(message)
  }

  private pause(): Promise<void> {
    return new Promise(resolve => {
      this.cancelWake = this.broker.clock.after(RETRY_MS, resolve)
      this.endPause = resolve
    })
  }

  /** Numbers for `brokerStatus`: messages a second, taken up and delivered. */
  rates(): { taken: number; given: number } {
    const rate = (meter: Meter) => {
      const { count, seconds } = meter.within(TEN_SECONDS, this.tick)
      return count / seconds
    }
    return { taken: rate(this.taken), given: rate(this.given) }
  }

  /** Stops delivering; resolves when what was put is stored or refused. What is due then comes with the next start. */
  async stop(): Promise<void> {
    this.stopped = true
    this.cancelWake?.()
    this.endPause()
    await this.running
  }

  /** Saves how far it has come and closes the files, before the store is closed. */
  async close(): Promise<void> {
    await this.store.close()
    await this.metrics.close()
  }
}
