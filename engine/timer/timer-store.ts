import { join } from 'node:path'
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
import { TimerLog, TimerMagic, type TimerUnit } from './timer-log.ts'
import { TimerWheel, WHEEL_SLOTS } from './timer-wheel.ts'

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

/** A slot whose time has come: positions of its units in the timer log, oldest first. */
export interface DueSlot {
  time: number
  /** Of messages to deliver or to put again. */
  messages: number[]
  /** Of requests to delete messages of the same slot. */
  deletes: number[]
}

/** What a timer holds is written so long after a change at the latest. TimerMessageStore: timerFlushIntervalMs */
const SAVE_MS = 1000
const RETRY_MS = 1000
const BATCH = 32
const MAX_FOUND_BY_KEY = 64

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
  private readonly precisionMs: number
  private readonly rollWindowMs: number
  private readonly wheel: TimerWheel
  private readonly timerLog: TimerLog
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
    this.precisionMs = timerPrecisionMs
    this.rollWindowMs = timerRollWindowSlot * timerPrecisionMs
    this.wheel = new TimerWheel(files, join(store.dir, 'timerwheel'), parts.wheelSlots ?? WHEEL_SLOTS)
    this.timerLog = new TimerLog(files, join(store.dir, 'timerlog'), mappedFileSizeTimerLogBytes)
    this.checkpoint = new TimerCheckpoint(files, store.dir)
  }

  private slotOf(ms: number): number {
    return Math.floor(ms / this.precisionMs)
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
    this.wheel.open()
    this.timerLog.load(parts.log)
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
      checkpoint.logStart = this.timerLog.start
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
    const { checkpoint, timerLog, wheel, parts } = this
    wheel.clear()
    const { isOwn, lastTimerLogFlushPos: flushedPos } = checkpoint
    let lastPhysicalOffset = -1
    await timerLog.scan((unit, pos) => {
      // What was written later may be older, of a CommitLog whose end was lost. RocketMQ's checkpoint lags behind.
      if ((isOwn && pos >= flushedPos) || this.isClosed || !this.follows(unit)) return false
      if (unit.physicalOffset + unit.recordBytes > this.maxPhysicalOffset) return false
      this.add(unit, pos)
      lastPhysicalOffset = unit.physicalOffset
      return true
    })
    if (this.isClosed) return
    const isShort = timerLog.end < flushedPos
    if (this.isUnsure || isShort || (isOwn && timerLog.start > checkpoint.logStart)) {
      if (timerLog.end > 0 || this.bounds.max > 0)
        parts.log.warn({ end: timerLog.end }, 'timer files are missing or damaged: they are built from the queue again')
      this.reset()
    } else {
      timerLog.truncate()
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

  /** Whether a unit goes on where its slot ends. */
  private follows({ writeMs, delayMs, previousPos }: TimerUnit): boolean {
    const slot = this.slotOf(writeMs + delayMs)
    if (slot < this.readSlot) return true
    const lastPos = this.wheel.lastPos(slot)
    return previousPos === lastPos || (lastPos < 0 && previousPos < this.timerLog.start)
  }

  private add({ writeMs, delayMs, magic }: TimerUnit, pos: number): void {
    const slot = this.slotOf(writeMs + delayMs)
    if (slot >= this.readSlot) this.wheel.add(slot, pos, magic & TimerMagic.DELETE ? -1 : 1)
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
    this.timerLog.reset()
    this.wheel.clear()
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
    const next = this.wheel.next(this.readSlot)
    const idleUntil = next < 0 ? this.nowSlot - 1 : Math.min(next, this.nowSlot - 1)
    if (idleUntil <= this.readSlot) return
    this.readSlot = idleUntil
    this.doneSlot = idleUntil
    this.deliveredPos = -1
  }

  /** Gives a message its unit; false when the wheel has no room for it before older slots are delivered. TimerMessageStore#doEnqueue */
  private take({ properties, queueOffset, physicalOffset, sizeBytes }: MessageRecord): boolean {
    const { precisionMs, wheel, timerLog } = this
    const outMs = timeOf(properties.get(PropertyName.TIMER_OUT_MS))
    if (outMs === null) {
      this.parts.log.error({ queueOffset, physicalOffset }, 'a timer message does not say when it is due: passed over')
      return true
    }
    this.writeMs = Math.max(this.writeMs, this.nowSlot * precisionMs)
    const { dueMs, rolls } = this.place(outMs, this.writeMs)
    const ownSlot = this.slotOf(dueMs)
    const slot = Math.max(ownSlot, this.readSlot, this.nowSlot - wheel.slots / 2)
    if (slot - this.readSlot >= wheel.slots) return false
    const isDelete = properties.has(PropertyName.TIMER_DEL_UNIQKEY)
    const topic = properties.get(PropertyName.REAL_TOPIC) ?? ''
    const pos = timerLog.append({
      previousPos: wheel.lastPos(slot),
      magic: TimerMagic.DEFAULT | (rolls ? TimerMagic.ROLL : 0) | (isDelete ? TimerMagic.DELETE : 0),
      writeMs: this.writeMs,
      delayMs: (slot === ownSlot ? dueMs : slot * precisionMs) - this.writeMs,
      physicalOffset,
      recordBytes: sizeBytes,
      topicHash: javaHashCode(topic)
    })
    wheel.add(slot, pos, isDelete ? -1 : 1)
    if (slot !== ownSlot)
      this.late = { queueOffset: Math.min(this.late.queueOffset, queueOffset), slot: Math.max(this.late.slot, slot) }
    this.onTaken?.(topic, isDelete ? -1 : 1)
    return true
  }

  /** When a message is read that is due at `outMs`: what is due too late is put again before, with time to spare. */
  private place(outMs: number, writeMs: number): { dueMs: number; rolls: boolean } {
    const { rollWindowMs, precisionMs } = this
    const window = rollWindowMs / precisionMs
    const beyondMs = outMs - writeMs - rollWindowMs
    if (beyondMs < 0) return { dueMs: outMs, rolls: false }
    const isNear = beyondMs < Math.floor(window / 3) * precisionMs
    return { dueMs: writeMs + (isNear ? Math.floor(window / 2) * precisionMs : rollWindowMs), rolls: true }
  }

  /** Whether a message that was taken up before has been delivered, or put again. */
  private async isDone(record: MessageRecord): Promise<boolean> {
    const { properties, storeTimestamp } = record
    const outMs = timeOf(properties.get(PropertyName.TIMER_OUT_MS)) ?? 0
    const { dueMs, rolls } = this.place(outMs, this.slotOf(storeTimestamp) * this.precisionMs)
    if (this.isUnsure && this.slotOf(outMs) < this.nowSlot)
      return this.wasPutAgain(record, properties.get(PropertyName.REAL_TOPIC) ?? '')
    if (this.slotOf(outMs) < this.knownSlot) return !this.isUnsure
    return rolls && this.slotOf(dueMs) <= this.nowSlot && this.wasPutAgain(record, TIMER_TOPIC)
  }

  /** Whether a topic has a message that was made of this one. */
  private async wasPutAgain({ properties, physicalOffset }: MessageRecord, topic: string): Promise<boolean> {
    const key = properties.get(PropertyName.UNIQ_KEY)
    if (key === undefined) return false
    const { records } = await this.parts.store.queryByKey(topic, key, MAX_FOUND_BY_KEY, 0, Number.MAX_SAFE_INTEGER)
    return records.some(bytes => {
      const found = decodeRecord(bytes)
      const same = (name: string) => found.properties.get(name) === properties.get(name)
      return (
        found.physicalOffset > physicalOffset &&
        found.topic === topic &&
        found.properties.get(PropertyName.UNIQ_KEY) === key &&
        same(PropertyName.TIMER_OUT_MS) &&
        (topic !== TIMER_TOPIC || !same(PropertyName.TIMER_ROLL_TIMES))
      )
    })
  }

  /** When the next slot may be read, ms; infinite while nothing waits. */
  get nextReadMs(): number {
    const slot = this.hasRecovered ? this.wheel.next(this.readSlot) : -1
    return slot < 0 ? Number.POSITIVE_INFINITY : (slot + 1) * this.precisionMs
  }

  /**
   * The units of the next slot, whose time has come: from now on it gets no more. `passed` has to follow, or `unread`. Null
   * when it could not be read and is built again. Throws what the disk says.
   */
  async readNext(): Promise<DueSlot | null> {
    const time = this.wheel.next(this.readSlot)
    if (time !== this.doneSlot) this.deliveredPos = -1
    this.doneSlot = time
    this.readSlot = time + 1
    try {
      return await this.readSlotAt(time)
    } catch (error) {
      this.unread({ time })
      throw error
    }
  }

  private async readSlotAt(time: number): Promise<DueSlot | null> {
    const { generation } = this
    const messages: number[] = []
    const deletes: number[] = []
    const physicalOffsets: number[] = []
    for (let pos = this.wheel.lastPos(time); pos >= this.timerLog.start; ) {
      const unit = await this.timerLog.at(pos)
      if (generation !== this.generation) return null
      if (unit === null || this.slotOf(unit.writeMs + unit.delayMs) !== time || unit.previousPos >= pos) {
        this.rebuild(`no unit of ${new Date(time * this.precisionMs).toISOString()} at ${pos}`)
        return null
      }
      // A request that is itself put again deletes nothing yet.
      if ((unit.magic & (TimerMagic.DELETE | TimerMagic.ROLL)) === TimerMagic.DELETE) deletes.push(pos)
      else {
        messages.push(pos)
        physicalOffsets.push(unit.physicalOffset)
      }
      pos = unit.previousPos
    }
    const waiting = withoutRepeats(messages, physicalOffsets).filter(pos => pos > this.deliveredPos)
    return { time, messages: waiting.reverse(), deletes }
  }

  unitAt(pos: number): Promise<TimerUnit | null> {
    return this.timerLog.at(pos)
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
    this.wheel.passed(time)
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
    for (let time = this.wheel.next(this.readSlot); time >= 0 && time < slot; time = this.wheel.next(time + 1))
      this.wheel.passed(time)
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
    return this.wheel.count(this.slotOf(outMs))
  }

  /** How many messages wait, how many are not yet taken up, and for how long the first one has been due, ms. */
  get progress(): { waiting: number; offsetBehind: number; readBehindMs: number } {
    const { nextReadMs } = this
    return {
      waiting: this.wheel.total,
      offsetBehind: Math.max(0, this.bounds.max - this.queueOffset),
      readBehindMs: nextReadMs < Number.POSITIVE_INFINITY ? Math.max(0, this.parts.clock.now() - nextReadMs) : 0
    }
  }

  /** Removes files of the timer log whose messages are gone from the CommitLog. */
  async cleanUp(): Promise<void> {
    if (!this.hasRecovered) return
    const { start } = this.timerLog
    await this.timerLog.removeBelow(this.parts.store.minPhysicalOffset)
    if (this.timerLog.start !== start) this.saveLater()
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
    const { checkpoint, timerLog, parts, queueOffset, knownUntil } = this
    // A checkpoint would settle what is yet to be found out.
    if (this.isUnsure) return
    this.skipIdleSlots()
    const isMaster = parts.delivers()
    // While known messages are taken up again, those that come yet must not be held for delivered.
    const isWhole = queueOffset >= knownUntil
    const now = {
      lastReadTimeMs: (isWhole ? this.doneSlot : this.knownSlot) * this.precisionMs,
      lastTimerLogFlushPos: timerLog.end,
      lastTimerQueueOffset: isMaster ? queueOffset : Math.min(queueOffset, knownUntil),
      masterTimerQueueOffset: isMaster
        ? Math.max(knownUntil, Math.min(queueOffset, this.late.queueOffset))
        : knownUntil,
      deliveredPos: isWhole ? this.deliveredPos : -1,
      logStart: timerLog.start
    }
    await parts.store.flush()
    await timerLog.sync()
    await this.wheel.flush()
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
    this.wheel.close()
    this.timerLog.close()
  }
}

/** A whole number of ms; null when it is none. */
function timeOf(text: string | undefined): number | null {
  const ms = Number(text)
  return text !== undefined && text !== '' && Number.isSafeInteger(ms) && ms >= 0 ? ms : null
}

/** A crash may have given a message two units; the older one counts. Both lists begin with the newest. */
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
