import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { decodeRecord, PropertyName, SCHEDULE_TOPIC } from '../message/index.ts'
import type { Broker } from './broker.ts'
import { ConfigFile } from './config-file.ts'
import { type DataVersion, dataVersionOf, newDataVersion, nextVersion } from './data-version.ts'
import { Delivery, MAX_WAIT_MS } from './delivery.ts'
import { copyOf } from './put.ts'

/** So many messages at most are put between two turns of the event loop. */
const BATCH = 32
const RETRY_MS = 100
/** A message that is due later than its level can account for was stored by a clock that was this much ahead: it is due now. */
const CLOCK_TOLERANCE_MS = 60_000

/** One delay: a queue of the schedule topic, whose messages are due in the order in which they lie. */
interface Level {
  readonly level: number
  readonly delayMs: number
  /** Queue offset of the next message to deliver. */
  offset: number
  /** When to look at it again; infinite while none waits. */
  wakeMs: number
  running: Promise<void> | null
}

/**
 * Delivers delayed messages: one timer waits for the next one that is due, of all levels; without any there is none. How
 * far each level has come stands in delayOffset.json. ScheduleMessageService
 */
export class DelayService {
  readonly version: DataVersion

  private readonly broker: Broker
  private readonly levels: Level[]
  /** Next queue offset by level: what is saved and told. */
  private readonly offsets = new Map<number, number>()
  private readonly file: ConfigFile
  private durable = new Map<number, number>()
  private started = false
  private closed = false
  private wakeMs = Number.POSITIVE_INFINITY
  private cancelWake: (() => void) | null = null
  private cancelSave: (() => void) | null = null
  private saving: Promise<void> = Promise.resolve()
  private dirty = false

  constructor(broker: Broker) {
    this.broker = broker
    this.version = newDataVersion()
    this.levels = broker.delaysMs.map((delayMs, i) => ({
      level: i + 1,
      delayMs,
      offset: 0,
      wakeMs: Number.POSITIVE_INFINITY,
      running: null
    }))
    const path = join(broker.options.storePathRootDir, 'config', 'delayOffset.json')
    this.file = new ConfigFile(broker.files, path, broker.log, () => ({
      dataVersion: this.version,
      offsetTable: this.durable
    }))
  }

  load(): void {
    const saved = this.file.load()
    if (saved !== null) this.fill(saved)
  }

  private fill(body: Record<string, unknown>): void {
    Object.assign(this.version, dataVersionOf(body.dataVersion))
    for (const [level, offset] of Object.entries((body.offsetTable ?? {}) as object))
      if (Number.isInteger(Number(level)) && Number.isSafeInteger(Number(offset)))
        this.offsets.set(Number(level), Number(offset))
  }

  /** Takes over how far the master has come. SlaveSynchronize#syncDelayOffset */
  adopt(body: Record<string, unknown>): void {
    this.fill(body)
    this.durable = new Map(this.offsets)
    this.file.saveWithin(this.broker.options.flushDelayOffsetIntervalMs)
  }

  /** Begins to deliver, with what became due while the broker was down. */
  start(): void {
    this.started = true
    for (const level of this.levels) {
      level.offset = this.offsets.get(level.level) ?? 0
      this.correct(level)
      this.rest(level)
    }
  }

  /** A log that lost its end, or its beginning, moves the level's place with it. */
  private correct(level: Level): void {
    const { store, log } = this.broker
    const queueId = level.level - 1
    const min = store.minQueueOffset(SCHEDULE_TOPIC, queueId)
    const max = store.maxQueueOffset(SCHEDULE_TOPIC, queueId)
    const offset = Math.min(Math.max(level.offset, min), max)
    if (offset === level.offset) return
    log.warn({ level: level.level, saved: level.offset, min, max }, 'the place of a delay level was corrected')
    this.advance(level, offset)
  }

  /** Called for every message that arrives in the schedule topic. */
  arrived(queueId: number, tagsCode: number): void {
    const level = this.levels[queueId]
    // While others wait in front of it, it needs no attention.
    if (level === undefined || level.running !== null || level.wakeMs !== Number.POSITIVE_INFINITY) return
    level.wakeMs = this.dueMs(level, tagsCode)
    this.wakeAt(level.wakeMs)
  }

  /** A unit of the schedule topic holds the time at which its message is due. ScheduleMessageService#correctDeliverTimestamp */
  private dueMs(level: Level, tagsCode: number): number {
    const nowMs = this.broker.clock.now()
    return tagsCode > nowMs + level.delayMs + CLOCK_TOLERANCE_MS ? nowMs : tagsCode
  }

  /** Lets a level be until its first message is due. */
  private rest(level: Level): void {
    const queueId = level.level - 1
    const unit = this.broker.store.unitAt(SCHEDULE_TOPIC, queueId, level.offset)
    if (unit !== null) level.wakeMs = this.dueMs(level, unit.tagsCode)
    else if (level.offset < this.broker.store.maxQueueOffset(SCHEDULE_TOPIC, queueId)) level.wakeMs = 0
    else level.wakeMs = Number.POSITIVE_INFINITY
    this.wakeAt(level.wakeMs)
  }

  private wakeAt(ms: number): void {
    if (ms >= this.wakeMs || !this.started || this.closed) return
    this.cancelWake?.()
    this.wakeMs = ms
    const waitMs = Math.min(Math.max(0, ms - this.broker.clock.now()), MAX_WAIT_MS)
    this.cancelWake = this.broker.clock.after(waitMs, () => this.wake())
  }

  private wake(): void {
    this.cancelWake = null
    this.wakeMs = Number.POSITIVE_INFINITY
    const nowMs = this.broker.clock.now()
    let next = Number.POSITIVE_INFINITY
    for (const level of this.levels) {
      if (level.running !== null || level.wakeMs === Number.POSITIVE_INFINITY) continue
      // The clock may have been set since.
      const dueMs = this.dueMs(level, level.wakeMs)
      if (dueMs > nowMs) next = Math.min(next, dueMs)
      else
        level.running = this.deliverDue(level).finally(() => {
          level.running = null
          if (level.wakeMs > this.broker.clock.now()) this.wakeAt(level.wakeMs)
          else this.rest(level)
        })
    }
    if (next !== Number.POSITIVE_INFINITY) this.wakeAt(next)
  }

  /** Delivers all that is due, giving way to other work between batches. */
  private async deliverDue(level: Level): Promise<void> {
    try {
      for (let count = this.countDue(level); count > 0 && !this.closed; count = this.countDue(level)) {
        if (!(await this.deliver(level, count))) {
          level.wakeMs = this.broker.clock.now() + RETRY_MS
          return
        }
        await nextTurn()
      }
      level.wakeMs = 0
    } catch (error) {
      this.broker.log.error({ err: error, level: level.level }, 'delayed messages could not be delivered')
      level.wakeMs = this.broker.clock.now() + RETRY_MS
    }
  }

  /** How many messages at the head are due, a batch at most; units without a message count too. */
  private countDue(level: Level): number {
    const { store, clock } = this.broker
    const queueId = level.level - 1
    const left = Math.min(BATCH, store.maxQueueOffset(SCHEDULE_TOPIC, queueId) - level.offset)
    const nowMs = clock.now()
    for (let count = 0; count < left; count++) {
      const unit = store.unitAt(SCHEDULE_TOPIC, queueId, level.offset + count)
      if (unit !== null && this.dueMs(level, unit.tagsCode) > nowMs) return count
    }
    return left
  }

  /** Puts `count` messages into their own topics, in order; false when the store took not all of them. */
  private async deliver(level: Level, count: number): Promise<boolean> {
    const { store } = this.broker
    const end = level.offset + count
    const read = store.getMessages(SCHEDULE_TOPIC, level.level - 1, level.offset, count)
    const { status, slices, nextBeginOffset } = read instanceof Promise ? await read : read
    if (status === 'OFFSET_TOO_SMALL' || status === 'OFFSET_OVERFLOW_BADLY') {
      this.correct(level)
      return true
    }
    const deliveries: { queueOffset: number; delivery: Delivery }[] = []
    for (const { bytes, start } of slices) {
      const record = decodeRecord(bytes, start)
      // Behind units whose messages are gone, the read has gone on to messages that are not due.
      if (record.queueOffset >= end) break
      const message = copyOf(record, {
        topic: record.properties.get(PropertyName.REAL_TOPIC) ?? '',
        queueId: Number(record.properties.get(PropertyName.REAL_QID)),
        // Whoever takes over has what the level's place calls delivered.
        waitStored: this.broker.failover !== null
      })
      const delivery = new Delivery(message)
      deliveries.push({ queueOffset: record.queueOffset, delivery })
      delivery.put(store)
      // What follows must not overtake it.
      if (delivery.isRefused) break
    }
    await Promise.all(deliveries.map(({ delivery }) => delivery.done))
    for (const { queueOffset, delivery } of deliveries) {
      if (delivery.isRefused) return false
      const { topic, queueId, body } = delivery.message
      if (delivery.isStored) this.broker.stats.put(topic, queueId, 1, body.length)
      else
        this.broker.log.error(
          { level: level.level, queueOffset, topic, reason: delivery.reason },
          'a delayed message cannot be delivered and is passed over'
        )
      this.advance(level, queueOffset + 1)
    }
    const next = Math.min(nextBeginOffset, end)
    if (next > level.offset) this.advance(level, next)
    return deliveries.length > 0 || next === level.offset
  }

  private advance(level: Level, offset: number): void {
    level.offset = offset
    this.offsets.set(level.level, offset)
    this.dirty = true
    this.saveLater()
  }

  private saveLater(): void {
    if (this.cancelSave !== null || this.closed) return
    this.cancelSave = this.broker.clock.after(this.broker.options.flushDelayOffsetIntervalMs, () => {
      this.cancelSave = null
      this.saving = this.save()
    })
  }

  /** What the file calls delivered survives a power cut: the log is flushed first. */
  private async save(): Promise<void> {
    this.dirty = false
    const offsets = new Map(this.offsets)
    try {
      await this.broker.store.flush()
      this.durable = offsets
      nextVersion(this.version)
      await this.file.save()
    } catch (error) {
      this.dirty = true
      this.broker.log.error({ err: error }, 'how far the delay levels have come could not be saved')
    }
  }

  /** delayOffset.json, and the body of GET_ALL_DELAY_OFFSET. DelayOffsetSerializeWrapper */
  toBody(): { dataVersion: DataVersion; offsetTable: ReadonlyMap<number, number> } {
    return { dataVersion: this.version, offsetTable: this.offsets }
  }

  /** How far each level that was ever used has come. ScheduleMessageService#buildRunningStats */
  progress(): { level: number; offset: number; maxOffset: number }[] {
    return [...this.offsets].map(([level, offset]) => ({
      level,
      offset,
      maxOffset: this.broker.store.maxQueueOffset(SCHEDULE_TOPIC, level - 1)
    }))
  }

  /** Stops delivering, and saves how far it has come. Messages that are due then come with the next start. */
  async close(): Promise<void> {
    this.closed = true
    this.cancelWake?.()
    await Promise.all(this.levels.map(level => level.running))
    this.cancelSave?.()
    await this.saving
    if (this.dirty) await this.save()
    await this.file.close()
  }
}
