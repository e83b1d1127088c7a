import { RecordCheck, RecordCursor, viewOf } from '../message/index.ts'
import type { Checkpoint } from './checkpoint.ts'
import type { Clock } from './clock.ts'
import type { CommitLog } from './commit-log.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { DamageReport } from './damage.ts'
import type { KeyIndex } from './key-index.ts'
import type { Log } from './log.ts'
import { LogScanner, type ScanListener } from './log-scanner.ts'
import type { QueueIndex } from './queue-index.ts'
import type { Placer, Reput } from './reput.ts'
import type { StoreNotes } from './store-notes.ts'

export interface RecoveryProgress {
  doneBytes: number
  totalBytes: number
}

/** How far before the times in RocketMQ's checkpoint a segment is certainly durable. StoreCheckpoint#getMinTimestamp */
const CHECKPOINT_SLACK_MS = 3000
/** A record from further in the future than this has a broken time. */
const MAX_AHEAD_MS = 3_600_000
/** After a clean stop so much of the log's end is looked at. */
const LOOK_BACK_BYTES = 64 * 1024 * 1024
/** The smallest record. */
const MIN_RECORD_BYTES = 91

/** The unit of a record whose queue offset does not follow the one before it. */
interface Unit {
  topic: string
  queueId: number
  queueOffset: number
  physicalOffset: number
  sizeBytes: number
  tagsCode: number
  storeTimestamp: number
  count: number
}

/** Queue offset behind the messages of a unit. */
const behind = (unit: Unit): number => unit.queueOffset + unit.count

/** What recovery works on. */
export interface RecoveryParts {
  commitLog: CommitLog
  queues: ConsumeQueueStore
  index: KeyIndex | null
  reput: Reput
  checkpoint: Checkpoint
  notes: StoreNotes
  damage: DamageReport
  clock: Clock
  log: Log
}

/**
 * Finds the end of the log after a stop and brings the derived files in line with it. They are trusted up to where the
 * checkpoint says that they were durable, and cut there after an unclean stop; what lies behind, and whatever is found to
 * be missing before, is dispatched again from the log. CommitLog#recoverNormally, #recoverAbnormally
 */
export class Recovery implements ScanListener {
  private readonly parts: RecoveryParts
  private readonly checkCrc: boolean
  private readonly seenUntil: number | null
  private readonly progress: (progress: RecoveryProgress) => void
  private from = 0
  private totalBytes = 0
  /** Where to scan again from, because a queue lacks units from before the part that was scanned; -1 when none does. */
  private restartAt = -1
  /** Where the first record begins that nobody shall see yet; -1 when there is none. */
  private heldFrom = -1
  /** From here on, damage is what a power cut left of writes that were not durable. */
  private durableUntil = 0
  /** Where the log of a replica is torn; -1 when it is not. */
  private tornFrom = -1
  private readonly suspects = new Map<string, Unit>()

  /** In a log that is one of a set, records that end behind `seenUntil` are left to the reput; null is any other log. */
  constructor(
    parts: RecoveryParts,
    checkCrc: boolean,
    seenUntil: number | null,
    progress: (progress: RecoveryProgress) => void
  ) {
    this.parts = parts
    this.checkCrc = checkCrc
    this.seenUntil = seenUntil
    this.progress = progress
  }

  async run(cleanStop: boolean): Promise<void> {
    const { commitLog, queues, index, reput, clock, log } = this.parts
    const { segments } = commitLog
    if (segments.first === undefined) {
      for (const queue of queues.all()) queue.clear()
      index?.repair(0, cleanStop, () => -1)
      await this.correctCheckpoint(0)
      return
    }
    const trusted = cleanStop ? Number.POSITIVE_INFINITY : this.trustedUntil()
    this.dropDeletedTopics()
    if (!cleanStop) for (const queue of queues.all()) queue.truncate(trusted)
    index?.repair(trusted, cleanStop, physicalOffset => this.headAt(physicalOffset)?.storeTimestamp ?? -1)
    reput.indexedUntil = index?.endPhysicalOffset ?? -1
    this.from = this.recordBefore(this.dispatchFrom(trusted) - (cleanStop ? LOOK_BACK_BYTES : 0))
    const scanner = new LogScanner(segments, this.checkCrc, clock, log)
    const logEnd = segments.last!.endOffset
    let end: number
    this.durableUntil = trusted
    do {
      this.restartAt = -1
      this.heldFrom = -1
      this.tornFrom = -1
      this.suspects.clear()
      this.totalBytes = logEnd - this.from
      end = await scanner.scan(this.from, logEnd, this)
      this.settleSuspects()
      if (this.restartAt >= 0) {
        log.warn({ from: this.restartAt }, 'ConsumeQueue units are missing: they are built again from the CommitLog')
        this.from = this.restartAt
      }
    } while (this.restartAt >= 0)
    if (this.tornFrom >= 0) end = this.tornFrom
    this.progress({ doneBytes: this.totalBytes, totalBytes: this.totalBytes })
    await this.finish(end, cleanStop ? end : Math.min(trusted, end))
  }

  private get minOffset(): number {
    return this.parts.commitLog.minOffset
  }

  /** The beginning of the segment that holds an offset: there a record begins. */
  private startOf(physicalOffset: number): number {
    const { segments } = this.parts.commitLog
    if (physicalOffset <= this.minOffset) return this.minOffset
    return (segments.at(physicalOffset) ?? segments.last!).startOffset
  }

  /** Where a record begins, at an offset or not far before it: scanning need not begin with the segment. */
  private recordBefore(physicalOffset: number): number {
    const start = this.startOf(physicalOffset)
    if (!this.parts.checkpoint.isOwn || physicalOffset <= start) return start
    if (this.headAt(physicalOffset) !== null) return physicalOffset
    let best = start
    for (const queue of this.parts.queues.all()) {
      const candidate = queue.lastRecordBefore(physicalOffset)
      if (candidate > best && this.headAt(candidate) !== null) best = candidate
    }
    return best
  }

  /** After an unclean stop: up to where log and derived files are certainly durable. */
  private trustedUntil(): number {
    const { checkpoint, commitLog } = this.parts
    if (checkpoint.isOwn) return checkpoint.logicsPhysicalOffset
    const safeMs = Math.min(checkpoint.physicMsgTimestamp, checkpoint.logicsMsgTimestamp) - CHECKPOINT_SLACK_MS
    for (const { startOffset } of commitLog.segments.list.toReversed()) {
      const head = this.headAt(startOffset)
      if (head === null) continue
      const known = checkpoint.logicsPhysicalOffset
      if (known > 0 ? startOffset <= known : head.storeTimestamp <= safeMs) return startOffset
    }
    return this.minOffset
  }

  /** A stop while a topic was being deleted leaves its queues. */
  private dropDeletedTopics(): void {
    const { notes, queues } = this.parts
    for (const [topic, end] of notes.deletedTopics) {
      if (end <= this.minOffset) notes.deletedTopics.delete(topic)
      const ids = queues.queueIds(topic)
      if (ids.length > 0 && ids.every(id => queues.find(topic, id)!.physicalEnd <= end)) queues.deleteTopic(topic)
    }
  }

  /** From where on the log must be dispatched so that nothing derived is missing. */
  private dispatchFrom(trusted: number): number {
    const { checkpoint, index, queues } = this.parts
    let from = trusted
    if (checkpoint.isOwn) {
      from = Math.min(from, checkpoint.logicsPhysicalOffset)
      if (index !== null && index.endPhysicalOffset < checkpoint.indexPhysicalOffset)
        from = Math.min(from, index.endPhysicalOffset)
      for (const queue of this.lostQueues()) from = Math.min(from, this.resumeAt(queue))
    } else {
      const dispatched = Math.max(0, ...[...queues.all()].map(queue => queue.physicalEnd - 1))
      from = Math.min(from, dispatched, index?.endPhysicalOffset ?? from)
    }
    for (const queue of queues.all()) {
      // Nothing of the log was deleted, but the queue begins late: its first files are gone.
      if (this.minOffset === 0 && queue.minOffset > 0 && queue.isReal(queue.minOffset)) queue.clear()
      if (!queue.isWhole) from = Math.min(from, this.resumeAt(queue))
    }
    return from
  }

  private resumeAt(queue: QueueIndex): number {
    return queue.maxOffset === queue.minOffset ? this.minOffset : queue.physicalEnd
  }

  /** Queues of which there is less than was noted. */
  private *lostQueues(): Generator<QueueIndex> {
    const { notes, queues, log } = this.parts
    for (const [topic, bounds] of Object.entries(notes.queues))
      for (const [id, [min, max]] of Object.entries(bounds)) {
        const queue = queues.get(topic, Number(id))
        const beginsLate = queue.minOffset > min && queue.maxOffset > queue.minOffset
        if (max === min || (queue.maxOffset >= max && !beginsLate)) continue
        log.warn(
          { topic, queueId: queue.queueId },
          'a ConsumeQueue lost files: they are built again from the CommitLog'
        )
        if (beginsLate) queue.clear()
        yield queue
      }
  }

  onProgress(doneBytes: number): void {
    this.progress({ doneBytes, totalBytes: this.totalBytes })
  }

  onDamage(from: number, to: number): void {
    // What lies behind it others of the set may have, and what was in between: this log shall be like theirs.
    if (this.seenUntil !== null && from >= this.durableUntil) {
      if (this.tornFrom < 0) this.tornFrom = from
    } else this.parts.damage.add(from, to)
  }

  onRecord(cursor: RecordCursor, bytes: Buffer, physicalOffset: number): void {
    const { commitLog, clock, reput } = this.parts
    const { storeTimestamp } = cursor
    if (this.tornFrom >= 0) return
    if (storeTimestamp > commitLog.lastStoreTimestamp && storeTimestamp < clock.now() + MAX_AHEAD_MS)
      commitLog.lastStoreTimestamp = storeTimestamp
    if (this.heldFrom < 0 && physicalOffset + cursor.sizeBytes > (this.seenUntil ?? Number.POSITIVE_INFINITY))
      this.heldFrom = physicalOffset
    if (this.heldFrom < 0) reput.dispatch(cursor, bytes, physicalOffset, this.place)
    else reput.dispatch(cursor, bytes, physicalOffset, this.reserve, false)
  }

  /** Nobody sees the record yet, but the next message comes behind it. */
  private readonly reserve: Placer = (topic, queueId, queueOffset, _physicalOffset, _size, _tagsCode, _time, count) => {
    const queue = this.parts.queues.get(topic, queueId)
    queue.nextOffset = Math.max(queue.nextOffset, queueOffset + count)
  }

  /** A record's unit follows its queue's last one, or is there already; any other is suspect. */
  private readonly place: Placer = (
    topic,
    queueId,
    queueOffset,
    physicalOffset,
    sizeBytes,
    tagsCode,
    storeTimestamp,
    count
  ) => {
    const queue = this.parts.queues.find(topic, queueId)
    const next = queue?.maxOffset ?? 0
    if (queueOffset === next) {
      this.rejectSuspect(topic, queueId)
      this.parts.queues
        .get(topic, queueId)
        .append(queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
    } else {
      const unit = { topic, queueId, queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count }
      if (queue === undefined || queueOffset > next) this.suspect(unit)
      else this.compare(queue, unit)
    }
  }

  private compare(queue: QueueIndex, unit: Unit): void {
    const { queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count } = unit
    if (queueOffset < queue.minOffset || queue.holds(queueOffset, physicalOffset, sizeBytes, tagsCode)) return
    const there = queue.physicalAt(queueOffset)
    if (there === physicalOffset || !this.isMessage(queue, queueOffset))
      queue.correct(queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
    // Two messages claim one place. A topic that was deleted and made anew begins at 0 again; the newer one counts.
    else if (physicalOffset > there) {
      const before = this.suspects.get(`${unit.topic}/${unit.queueId}`)
      if (queueOffset === 0 || (before !== undefined && behind(before) === queueOffset)) this.suspect(unit)
      else this.reject(unit)
    }
  }

  /** Whether the log has the message that a unit speaks of. */
  private isMessage(queue: QueueIndex, queueOffset: number): boolean {
    if (!queue.isReal(queueOffset)) return false
    const head = this.headAt(queue.physicalAt(queueOffset), queue.sizeAt(queueOffset))
    if (head === null || queue.isMulti) return head !== null
    return head.topic === queue.topic && head.queueId === queue.queueId && head.queueOffset === queueOffset
  }

  private readonly headCursor = new RecordCursor()

  /** The whole record at an offset; null when none lies there. */
  private headAt(physicalOffset: number, sizeBytes = 0): RecordCursor | null {
    const segment = this.parts.commitLog.segments.at(physicalOffset)
    if (segment === undefined) return null
    const position = physicalOffset - segment.startOffset
    const bytes = Buffer.alloc(Math.max(4, sizeBytes))
    if (segment.read(bytes, position) < bytes.length) return null
    const view = viewOf(bytes)
    const size = view.getInt32(0)
    if (sizeBytes === 0 && size > 4 && size <= segment.sizeBytes - position) return this.headAt(physicalOffset, size)
    if (this.headCursor.at(view, bytes, 0, bytes.length) !== RecordCheck.OK) return null
    return this.headCursor.physicalOffset === physicalOffset ? this.headCursor : null
  }

  /** One record may carry a broken offset or queue; two in a row that agree are believed, and a gap is in front of them. */
  private suspect(unit: Unit): void {
    const key = `${unit.topic}/${unit.queueId}`
    const before = this.suspects.get(key)
    if (before !== undefined && behind(before) !== unit.queueOffset) this.reject(before)
    if (before === undefined || behind(before) !== unit.queueOffset) {
      this.suspects.set(key, unit)
      return
    }
    this.suspects.delete(key)
    this.accept(before)
    this.accept(unit)
  }

  private accept(unit: Unit): void {
    const { topic, queueId, queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count } = unit
    const { queues, checkpoint } = this.parts
    const queue = queues.get(topic, queueId)
    if (queueOffset > queue.maxOffset && !checkpoint.isOwn && this.startOf(this.resumeAt(queue)) < this.from) {
      const resumeAt = this.startOf(this.resumeAt(queue))
      this.restartAt = this.restartAt < 0 ? resumeAt : Math.min(this.restartAt, resumeAt)
      return
    }
    if (queueOffset < queue.maxOffset) queue.clear()
    queue.append(queueOffset, physicalOffset, sizeBytes, tagsCode, storeTimestamp, count)
  }

  private reject({ physicalOffset, sizeBytes }: Unit): void {
    this.parts.damage.add(physicalOffset, physicalOffset + sizeBytes)
  }

  private rejectSuspect(topic: string, queueId: number): void {
    if (this.suspects.size === 0) return
    const key = `${topic}/${queueId}`
    const unit = this.suspects.get(key)
    if (unit === undefined) return
    this.suspects.delete(key)
    this.reject(unit)
  }

  /** At the end nothing more can agree: what damaged parts or deleted files explain is believed. */
  private settleSuspects(): void {
    const { queues, damage, checkpoint } = this.parts
    for (const unit of this.suspects.values()) {
      const queue = queues.find(unit.topic, unit.queueId)
      const gap = unit.queueOffset - (queue?.maxOffset ?? 0)
      const explained = gap > 0 && gap * MIN_RECORD_BYTES <= damage.sizeBytes
      const isEmpty = queue === undefined || queue.minOffset === queue.maxOffset
      const mayBeOlder = gap > 0 && isEmpty && (!checkpoint.isOwn || this.minOffset > 0)
      if (explained || (mayBeOlder && unit.queueOffset * MIN_RECORD_BYTES <= unit.physicalOffset)) this.accept(unit)
      else this.reject(unit)
    }
    this.suspects.clear()
  }

  /** Cuts the torn end off, everywhere, and makes durable what may only be in memory since a process was killed. */
  private async finish(end: number, durable: number): Promise<void> {
    const { commitLog, queues, index, reput, log } = this.parts
    const { segments } = commitLog
    if (segments.truncate(end)) log.info({ end }, 'cut off what lay behind the last whole record of the CommitLog')
    commitLog.maxOffset = end
    commitLog.flushedOffset = durable
    for (const queue of queues.all()) {
      if (queue.physicalEnd > end) queue.truncate(end)
      await queue.correctMinOffset(this.minOffset)
    }
    this.keepPlaces()
    if (index !== null && index.endPhysicalOffset >= end) index.repair(end, false, () => commitLog.lastStoreTimestamp)
    reput.offset = this.heldFrom < 0 ? end : this.heldFrom
    // A failure comes back, and is told, with the next flush.
    await segments.sync().catch(() => {})
    await commitLog.flush()
    await this.correctCheckpoint(end)
  }

  /** A queue that is lost and of which the log has nothing any more goes on where it was. */
  private keepPlaces(): void {
    const { checkpoint, notes, queues } = this.parts
    if (!checkpoint.isOwn) return
    for (const [topic, bounds] of Object.entries(notes.queues))
      for (const [id, [, max]] of Object.entries(bounds)) {
        const queue = queues.get(topic, Number(id))
        if (queue.minOffset === queue.maxOffset && queue.maxOffset < max) queue.nextOffset = max
      }
  }

  /** What the checkpoint calls durable must not reach behind the end of the log: new messages will lie there. */
  private async correctCheckpoint(end: number): Promise<void> {
    const { checkpoint } = this.parts
    if (Math.max(checkpoint.logicsPhysicalOffset, checkpoint.confirmPhyOffset) <= end) return
    checkpoint.confirmPhyOffset = Math.min(checkpoint.confirmPhyOffset, end)
    checkpoint.logicsPhysicalOffset = Math.min(checkpoint.logicsPhysicalOffset, end)
    checkpoint.indexPhysicalOffset = Math.min(checkpoint.indexPhysicalOffset, end - 1)
    await checkpoint.save()
  }
}
