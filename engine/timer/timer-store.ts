import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  decodeRecord,
  javaHashCode,
  type MessageRecord,
  PropertyName,
  readI64,
  TIMER_TOPIC,
  viewOf
} from '../../message/index.ts'
import type { Clock } from '../clock.ts'
import type { Files } from '../files.ts'
import type { Log } from '../log.ts'
import type { MessageStore } from '../message-store.ts'
import { TimerCheckpoint } from './timer-checkpoint.ts'
import { type DueSlot, TimerFiles } from './timer-files.ts'
import { TimerMagic, type TimerUnit } from './timer-log.ts'
import { outMsOf, placeOf, wasPutAgain } from './timer-message.ts'
import { WHEEL_SLOTS } from './timer-wheel.ts'

export interface TimerParts {
  store: MessageStore
  files: Files
  clock: Clock
  log: Log
  /** Whether due messages are delivered here; a slave only follows. */
  delivers: () => boolean
  /** How many slots the wheel has. Default: RocketMQ's two weeks of seconds. */
  wheelSlots?: number
}

/** What a timer holds is written so long after a change at the latest. TimerMessageStore: timerFlushIntervalMs */
const SAVE_MS = 1000
const RETRY_MS = 1000
const BATCH = 32

/**
 * Messages that wait for their time. They lie in one queue of the CommitLog, {@link TIMER_TOPIC}; for each one the timer
 * log gets a unit, and the wheel tells by time which units are due. Both follow from the queue and are built from it again
 * when they are lost; what was delivered stands in the checkpoint alone. TimerMessageStore
 */
export class TimerStore {
  /** Called when a message was taken up (1) or a request to delete one (-1), with the topic that it is meant for. */
  onTaken: ((topic: string, count: 1 | -1) => void) | null = null
  /** Called when a slot may be due earlier than was thought. */
  onWaiting: (() => void) | null = null
  /** Called when all is counted anew. */
  onRebuild: (() => void) | null = null
  /** The next message of the queue to take up. */
  queueOffset = 0

  private readonly parts: TimerParts
  private readonly rollWindowSlots: number
  private readonly timerFiles: TimerFiles
  private readonly checkpoint: TimerCheckpoint
  /** Slots before this one get nothing more: they are delivered, or about to be. */
  private readSlot = 0
  /** Slots before this one are delivered, and of it the units up to deliveredPos. doneSlot <= readSlot. */
  private doneSlot = 0
  private deliveredPos = -1
  /** Messages below this queue offset were taken up before: those that were due before knownSlot are delivered. */
  private knownUntil = 0
  private knownSlot = 0
  /** The first message that came too late for its own slot and waits in another. */
  private late = { queueOffset: Number.POSITIVE_INFINITY, slot: -1 }
  /** Where the checkpoint is lost: what is due may be delivered or not. */
  private isUnsure = false
  private writeMs = 0
  private generation = 0
  private isClosed = false
  private hasRecovered = false
  private hasArrived = false
  private working: Promise<void> | null = null
  private saving: Promise<void> = Promise.resolve()
  private cancelRetry: (() => void) | null = null
  private cancelSave: (() => void) | null = null
  private lastFailure = ''
  /** End of the CommitLog when this was opened. */
  private maxPhysicalOffset = 0
  /** What a master has told while this could not take it over yet. */
  private told: Uint8Array | null = null

  constructor(parts: TimerParts) {
    this.parts = parts
    const { store, files } = parts
    const { timerPrecisionMs, timerRollWindowSlot, mappedFileSizeTimerLogBytes } = store.options
    this.rollWindowSlots = timerRollWindowSlot
    const slots = parts.wheelSlots ?? WHEEL_SLOTS
    this.timerFiles = new TimerFiles(files, store.dir, mappedFileSizeTimerLogBytes, slots, timerPrecisionMs)
    this.checkpoint = new TimerCheckpoint(files, store.dir)
  }

  private slotOf(ms: number): number {
    return this.timerFiles.slotOf(ms)
  }

  private get nowSlot(): number {
    return this.slotOf(this.parts.clock.now())
  }

  private get bounds(): { min: number; max: number } {
    const { store } = this.parts
    return { min: store.minQueueOffset(TIMER_TOPIC, 0), max: store.maxQueueOffset(TIMER_TOPIC, 0) }
  }

  /**
   * Opens the files, and in the background takes up where they end. Resolves when new messages may come. Throws what the
   * disk says.
   */
  async open(): Promise<void> {
    const { checkpoint, parts } = this
    this.timerFiles.open(parts.log)
    checkpoint.load(parts.clock.now())
    const { max } = this.bounds
    this.isUnsure = !checkpoint.isKnown
    this.knownUntil = checkpoint.isKnown ? Math.min(checkpoint.masterTimerQueueOffset, max) : max
    this.readSlot = checkpoint.isKnown ? this.slotOf(checkpoint.lastReadTimeMs) : this.nowSlot - 1
    this.doneSlot = this.readSlot
    this.knownSlot = this.readSlot
    this.deliveredPos = checkpoint.deliveredPos
    const { lastTimerQueueOffset } = checkpoint
    this.queueOffset = Math.min(lastTimerQueueOffset, max)
    if (!checkpoint.isOwn) this.queueOffset = Math.min(this.queueOffset, this.knownUntil)
    // The end of the queue was lost: other messages will take these places. What the log says of them counts no more.
    if (lastTimerQueueOffset > max) {
      this.queueOffset = 0
      checkpoint.lastTimerQueueOffset = 0
      checkpoint.masterTimerQueueOffset = this.knownUntil
      checkpoint.lastTimerLogFlushPos = 0
      checkpoint.logStart = this.timerFiles.units.start
      await checkpoint.save(parts.clock.now())
    }
    this.maxPhysicalOffset = parts.store.maxPhysicalOffset
    this.work(() => this.recover())
  }

  /** Does one thing at a time. */
  private work(job: () => Promise<void>): void {
    this.working = job()
      .catch(error => {
        this.failed(error, 'the timer of delayed messages cannot go on now; trying again every second')
        this.cancelRetry = this.parts.clock.after(RETRY_MS, () => this.arrived())
      })
      .finally(() => {
        this.working = null
        if (this.hasArrived && this.cancelRetry === null) this.arrived()
      })
  }

  private failed(error: unknown, text: string): void {
    const { message } = error as Error
    if (message !== this.lastFailure && !this.isClosed) this.parts.log.error({ err: error }, text)
    this.lastFailure = message
  }

  /** Builds the wheel from the timer log; where that is damaged, both from the queue. TimerMessageStore#recover */
  private async recover(): Promise<void> {
    const { checkpoint, timerFiles, parts } = this
    const { units, wheel } = timerFiles
    const { isOwn, lastTimerLogFlushPos: flushedPos } = checkpoint
    let lastPhysicalOffset = -1
    await timerFiles.build(this.readSlot, ({ physicalOffset, recordBytes }, pos) => {
      // What was written later may be older, of a CommitLog whose end was lost. RocketMQ's checkpoint lags behind.
      if ((isOwn && pos >= flushedPos) || this.isClosed) return false
      if (physicalOffset + recordBytes > this.maxPhysicalOffset) return false
      lastPhysicalOffset = physicalOffset
      return true
    })
    if (this.isClosed) return
    const isShort = units.end < flushedPos
    if (this.isUnsure || isShort || (isOwn && units.start > checkpoint.logStart)) {
      if (units.end > 0 || this.bounds.max > 0)
        parts.log.warn({ end: units.end }, 'timer files are missing or damaged: they are built from the queue again')
      this.reset()
    } else {
      units.truncate()
      // RocketMQ's checkpoint may speak of units that were never written.
      if (!isOwn && lastPhysicalOffset >= 0) await this.goBackTo(lastPhysicalOffset)
    }
    await wheel.compare(this.readSlot)
    this.queueOffset = Math.max(this.queueOffset, this.bounds.min)
    this.hasRecovered = true
    if (this.bounds.max > 0) this.saveLater()
    if (this.told !== null) this.adopt(this.told)
    this.onWaiting?.()
    await this.takeAll()
  }

  /** The message behind that of the last unit is the next one. TimerMessageStore#reviseQueueOffset */
  private async goBackTo(physicalOffset: number): Promise<void> {
    const bytes = await this.parts.store.readByPhysicalOffset(physicalOffset)
    const record = bytes === null ? null : decodeRecord(bytes)
    if (record?.topic === TIMER_TOPIC) this.queueOffset = Math.min(this.queueOffset, record.queueOffset + 1)
  }

  /** Empties log and wheel, to be filled from the queue. */
  private reset(): void {
    this.generation++
    this.timerFiles.reset()
    this.readSlot = this.doneSlot
    this.knownSlot = this.doneSlot
    this.deliveredPos = -1
    this.queueOffset = this.bounds.min
    this.onRebuild?.()
  }

  /** What was read from the timer log cannot be: it is built from the queue again. */
  private rebuild(reason: string): void {
    this.parts.log.error({ reason }, 'the timer log is damaged: it is built from the queue again')
    this.knownUntil = Math.max(this.knownUntil, Math.min(this.queueOffset, this.late.queueOffset))
    this.reset()
    this.arrived()
  }

  /** Called when a message arrives in the queue. */
  arrived(): void {
    this.hasArrived = true
    this.cancelRetry?.()
    this.cancelRetry = null
    if (this.working !== null || this.isClosed) return
    this.work(() => (this.hasRecovered ? this.takeAll() : this.recover()))
  }

  private async takeAll(): Promise<void> {
    do {
      await nextTurn()
      this.hasArrived = false
      while (!this.isClosed && (await this.takeSome())) await nextTurn()
    } while (this.hasArrived && !this.isClosed)
  }

  /** Takes up messages of the queue; false when there are no more, or none now. */
  private async takeSome(): Promise<boolean> {
    const { generation, queueOffset } = this
    // A slave has to hear first what its master has delivered.
    if (this.isUnsure && !this.parts.delivers()) return false
    this.skipIdleSlots()
    const read = this.parts.store.getMessages(TIMER_TOPIC, 0, queueOffset, BATCH)
    const { status, slices, nextBeginOffset } = read instanceof Promise ? await read : read
    if (status === 'NO_MATCHED_LOGIC_QUEUE' || status === 'NO_MESSAGE_IN_QUEUE') return false
    for (const record of slices.map(({ bytes, start }) => decodeRecord(bytes, start))) {
      const isDone = record.queueOffset < this.knownUntil && (await this.isDone(record))
      if (generation !== this.generation) return true
      if (!isDone && !this.take(record)) return false
      this.queueOffset = record.queueOffset + 1
    }
    if (generation !== this.generation) return true
    this.queueOffset = nextBeginOffset
    if (nextBeginOffset >= this.knownUntil) this.isUnsure = false
    if (nextBeginOffset === queueOffset) return false
    this.saveLater()
    this.onWaiting?.()
    return true
  }

  /** While nothing waits, time passes without anybody who looks. */
  private skipIdleSlots(): void {
    if (!this.parts.delivers() || this.readSlot !== this.doneSlot) return
    const next = this.timerFiles.wheel.next(this.readSlot)
    const idleUntil = next < 0 ? this.nowSlot - 1 : Math.min(next, this.nowSlot - 1)
    if (idleUntil <= this.readSlot) return
    this.readSlot = idleUntil
    this.doneSlot = idleUntil
    this.deliveredPos = -1
  }

  /** Gives a message its unit; false when the wheel has no room for it before older slots are delivered. TimerMessageStore#doEnqueue */
  private take(record: MessageRecord): boolean {
    const { properties, queueOffset, physicalOffset, sizeBytes } = record
    const { timerFiles } = this
    const { precisionMs, wheel } = timerFiles
    const outMs = outMsOf(record)
    if (outMs === null) {
      this.parts.log.error({ queueOffset, physicalOffset }, 'a timer message does not say when it is due: passed over')
      return true
    }
    this.writeMs = Math.max(this.writeMs, this.nowSlot * precisionMs)
    const { dueMs, rolls } = placeOf(outMs, this.writeMs, this.rollWindowSlots, precisionMs)
    const ownSlot = this.slotOf(dueMs)
    const slot = Math.max(ownSlot, this.readSlot, this.nowSlot - wheel.slots / 2)
    if (slot - this.readSlot >= wheel.slots) return false
    const isDelete = properties.has(PropertyName.TIMER_DEL_UNIQKEY)
    const topic = properties.get(PropertyName.REAL_TOPIC) ?? ''
    timerFiles.add({
      magic: TimerMagic.DEFAULT | (rolls ? TimerMagic.ROLL : 0) | (isDelete ? TimerMagic.DELETE : 0),
      writeMs: this.writeMs,
      delayMs: (slot === ownSlot ? dueMs : slot * precisionMs) - this.writeMs,
      physicalOffset,
      recordBytes: sizeBytes,
      topicHash: javaHashCode(topic)
    })
    if (slot !== ownSlot)
      this.late = { queueOffset: Math.min(this.late.queueOffset, queueOffset), slot: Math.max(this.late.slot, slot) }
    this.onTaken?.(topic, isDelete ? -1 : 1)
    return true
  }

  /** Whether a message that was taken up before has been delivered, or put again. */
  private async isDone(record: MessageRecord): Promise<boolean> {
    const { store } = this.parts
    const { precisionMs } = this.timerFiles
    const outMs = outMsOf(record) ?? 0
    if (this.isUnsure && this.slotOf(outMs) < this.nowSlot)
      return wasPutAgain(store, record, record.properties.get(PropertyName.REAL_TOPIC) ?? '')
    if (this.slotOf(outMs) < this.knownSlot) return !this.isUnsure
    const writeMs = this.slotOf(record.storeTimestamp) * precisionMs
    const { dueMs, rolls } = placeOf(outMs, writeMs, this.rollWindowSlots, precisionMs)
    return rolls && this.slotOf(dueMs) <= this.nowSlot && wasPutAgain(store, record, TIMER_TOPIC)
  }

  /** When the next slot may be read, ms; infinite while nothing waits. */
  get nextReadMs(): number {
    const { wheel, precisionMs } = this.timerFiles
    const slot = this.hasRecovered ? wheel.next(this.readSlot) : -1
    return slot < 0 ? Number.POSITIVE_INFINITY : (slot + 1) * precisionMs
  }

  /**
   * The units of the next slot, whose time has come: from now on it gets no more. `passed` has to follow, or `unread`. Null
   * when it could not be read and is built again. Throws what the disk says.
   */
  async readNext(): Promise<DueSlot | null> {
    const time = this.timerFiles.wheel.next(this.readSlot)
    if (time !== this.doneSlot) this.deliveredPos = -1
    this.doneSlot = time
    this.readSlot = time + 1
    try {
      const slot = await this.timerFiles.read(time)
      if (typeof slot !== 'number') return { ...slot, messages: slot.messages.filter(pos => pos > this.deliveredPos) }
      this.rebuild(`a slot has no unit at ${slot}`)
      return null
    } catch (error) {
      this.unread({ time })
      throw error
    }
  }

  unitAt(pos: number): Promise<TimerUnit | null> {
    return this.timerFiles.units.at(pos)
  }

  /** The message of a unit; null when it is gone. */
  async recordOf({ physicalOffset, recordBytes }: TimerUnit): Promise<MessageRecord | null> {
    const bytes = await this.parts.store.readByPhysicalOffset(physicalOffset, recordBytes)
    if (bytes === null) return null
    const record = decodeRecord(bytes)
    return record.topic === TIMER_TOPIC ? record : null
  }

  /** The messages of a slot up to that of the unit at `pos` are delivered. */
  delivered(pos: number): void {
    this.deliveredPos = pos
    this.saveLater()
  }

  /** All messages of a slot are delivered. */
  passed({ time }: DueSlot): void {
    this.doneSlot = time + 1
    this.deliveredPos = -1
    this.timerFiles.wheel.passed(time)
    if (this.late.slot <= time) this.late = { queueOffset: Number.POSITIVE_INFINITY, slot: -1 }
    this.saveLater()
    // There may be room in the wheel now.
    if (this.queueOffset < this.bounds.max) this.arrived()
  }

  /** What was not delivered of a slot comes again. */
  unread({ time }: Pick<DueSlot, 'time'>): void {
    if (this.readSlot === time + 1) this.readSlot = time
  }

  /** Takes over how far the master has come. SlaveSynchronize#syncTimerCheckPoint */
  adopt(body: Uint8Array): void {
    this.told = this.hasRecovered ? null : body
    if (this.told !== null) return
    const view = viewOf(body)
    const readMs = readI64(view, 0)
    // A master without timer messages has nothing to tell yet.
    if (readMs === 0) return
    const slot = this.slotOf(readMs)
    this.knownUntil = readI64(view, 24)
    const { wheel } = this.timerFiles
    for (let time = wheel.next(this.readSlot); time >= 0 && time < slot; time = wheel.next(time + 1)) wheel.passed(time)
    this.readSlot = this.isUnsure ? slot : Math.max(this.readSlot, slot)
    this.isUnsure = false
    this.doneSlot = this.readSlot
    this.knownSlot = this.readSlot
    this.deliveredPos = -1
    this.saveLater()
    this.arrived()
  }

  /** How far it has come, for slaves: body of GET_TIMER_CHECK_POINT. */
  checkpointBody(): Uint8Array {
    return this.checkpoint.toBody()
  }

  /** Which state `checkpointBody` gives. */
  get version(): { counter: number; stateVersion: number; timestamp: number } {
    return this.checkpoint
  }

  /** How many messages wait for a time. */
  waitingAt(outMs: number): number {
    return this.timerFiles.wheel.count(this.slotOf(outMs))
  }

  /** How many messages wait, how many are not yet taken up, and for how long the first one has been due, ms. */
  get progress(): { waiting: number; offsetBehind: number; readBehindMs: number } {
    const { nextReadMs } = this
    return {
      waiting: this.timerFiles.wheel.total,
      offsetBehind: Math.max(0, this.bounds.max - this.queueOffset),
      readBehindMs: nextReadMs < Number.POSITIVE_INFINITY ? Math.max(0, this.parts.clock.now() - nextReadMs) : 0
    }
  }

  /** Removes files of the timer log whose messages are gone from the CommitLog. */
  async cleanUp(): Promise<void> {
    if (!this.hasRecovered) return
    const { units } = this.timerFiles
    const { start } = units
    await units.removeBelow(this.parts.store.minPhysicalOffset)
    if (units.start !== start) this.saveLater()
  }

  private saveLater(): void {
    if (this.isClosed) return
    this.cancelSave ??= this.parts.clock.after(SAVE_MS, () => {
      this.cancelSave = null
      void this.save()
    })
  }

  /**
   * Makes durable how far it has come: the messages that were delivered and taken up, then the units, then the wheel, and
   * last the checkpoint, which speaks of them.
   */
  private save(): Promise<void> {
    this.saving = this.saving.then(() =>
      this.saveNow().catch(error => {
        this.failed(error, 'how far the timer has come could not be saved')
        this.saveLater()
      })
    )
    return this.saving
  }

  private async saveNow(): Promise<void> {
    const { checkpoint, timerFiles, parts, queueOffset, knownUntil } = this
    const { units, precisionMs } = timerFiles
    // A checkpoint would settle what is yet to be found out.
    if (this.isUnsure) return
    this.skipIdleSlots()
    const isMaster = parts.delivers()
    // While known messages are taken up again, those that come yet must not be held for delivered.
    const isWhole = queueOffset >= knownUntil
    const now = {
      lastReadTimeMs: (isWhole ? this.doneSlot : this.knownSlot) * precisionMs,
      lastTimerLogFlushPos: units.end,
      lastTimerQueueOffset: isMaster ? queueOffset : Math.min(queueOffset, knownUntil),
      masterTimerQueueOffset: isMaster
        ? Math.max(knownUntil, Math.min(queueOffset, this.late.queueOffset))
        : knownUntil,
      deliveredPos: isWhole ? this.deliveredPos : -1,
      logStart: units.start
    }
    await parts.store.flush()
    await timerFiles.flush()
    Object.assign(checkpoint, now)
    await checkpoint.save(parts.clock.now())
    this.lastFailure = ''
  }

  /** Saves how far it has come, and closes the files. The store is closed after it. */
  async close(): Promise<void> {
    this.isClosed = true
    this.cancelRetry?.()
    const hasChanged = this.cancelSave !== null
    this.cancelSave?.()
    await this.working
    await this.saving
    if (hasChanged && this.hasRecovered) await this.save()
    this.timerFiles.close()
  }
}
