import { join } from 'node:path'
import { Checkpoint } from './checkpoint.ts'
import { type Clock, realClock } from './clock.ts'
import { CommitLog } from './commit-log.ts'
import { Compaction } from './compaction.ts'
import { ConsumeQueueStore } from './consume-queue-store.ts'
import { type DamagedRange, DamageReport } from './damage.ts'
import { DerivedWrites } from './derived-writes.ts'
import { EngineError } from './errors.ts'
import type { Files } from './files.ts'
import { KeyIndex } from './key-index.ts'
import { type Log, silentLog } from './log.ts'
import { type LogTail, tailBefore } from './log-tail.ts'
import { MappedFileQueue } from './mapped-file.ts'
import { realFiles } from './native/real-files.ts'
import { OpenFiles } from './open-files.ts'
import { checkedOptions, parseDelayLevels, type StoreOptions } from './options.ts'
import type { PutMessage, PutResult, PutWaiter } from './put-status.ts'
import type { QueueType } from './queue-index.ts'
import { type GetResult, type MessageFilter, Reader } from './reader.ts'
import { Recovery, type RecoveryProgress } from './recovery.ts'
import { type ArrivalListener, Reput } from './reput.ts'
import { Retention } from './retention.ts'
import { StoreNotes } from './store-notes.ts'

/** What a caller may put in the place of the disk, the time, and the log. */
export interface StoreSeams {
  files?: Files
  clock?: Clock
  log?: Log
  /** Topics of which the newest message of each key is kept, beside those that have compacted files. */
  compactedTopics?: () => Iterable<string>
  /** Which kind of queues a topic has that has none yet; by default a unit a message. */
  queueTypeOf?: (topic: string) => QueueType | undefined
  /** Hears how far recovery has come. */
  onProgress?: (progress: RecoveryProgress) => void
  /** Cuts the log off here before it is opened: what lies behind was never confirmed. */
  cutAt?: number
  /**
   * Whether the log is one of a set. Then what the last checkpoint does not call confirmed is seen when `replicated` says so,
   * and what a power cut tore is cut off with all that lies behind. Default: false.
   */
  isReplicated?: boolean
}

/** Counts since the store was opened, and how far what follows the log lies behind it. StoreStatsService */
export interface StoreStatistics {
  putMessageCount: number
  putBytes: number
  failedPutCount: number
  gotMessageCount: number
  gotBytes: number
  /** Reads that found messages, and reads that found none. */
  foundCount: number
  missedCount: number
  dispatchBehindBytes: number
  flushBehindBytes: number
  openFileCount: number
  damagedBytes: number
  /** CommitLog files that a full disk deleted, whether their messages were consumed or not. */
  forciblyDeletedFileCount: number
}

/** A checkpoint is written after so much of the log at the latest: it is what a start after a kill dispatches again. */
const CHECKPOINT_BYTES = 256 * 1024 * 1024

/** Opens the store in `dir`, creating it if need be. Throws EngineError STORE_LOCKED, BAD_FILE, BAD_OPTION, NATIVE_MISSING. */
export async function openStore(
  dir: string,
  options: Partial<StoreOptions> = {},
  seams: StoreSeams = {}
): Promise<MessageStore> {
  const store = new MessageStore(dir, checkedOptions(options), seams)
  await store.open()
  return store
}

/** Messages on disk, in RocketMQ's files: written, flushed, recovered, and read by queue, place, key and time. DefaultMessageStore */
export class MessageStore {
  readonly dir: string
  readonly options: StoreOptions

  private readonly files: Files
  private readonly clock: Clock
  private readonly log: Log
  private readonly onProgress: (progress: RecoveryProgress) => void
  private readonly cutAt: number
  private readonly isReplicated: boolean
  private readonly openFiles: OpenFiles
  private readonly segments: MappedFileQueue
  private readonly queues: ConsumeQueueStore
  private readonly index: KeyIndex | null
  private readonly commitLog: CommitLog
  private readonly reput: Reput
  private readonly checkpoint: Checkpoint
  private readonly notes: StoreNotes
  private readonly damage: DamageReport
  private readonly compaction: Compaction
  private readonly compactedTopics: () => Iterable<string>
  private readonly writes: DerivedWrites
  private readonly retention: Retention
  private reader!: Reader
  private unlock: () => void = () => {}
  private isOpen = false
  private cancelCheckpoint: (() => void) | null = null
  private saving: Promise<void> = Promise.resolve()
  private isSaving = false
  private noted = ''

  constructor(dir: string, options: StoreOptions, seams: StoreSeams) {
    this.dir = dir
    this.options = options
    this.files = seams.files ?? realFiles
    this.clock = seams.clock ?? realClock
    this.log = seams.log ?? silentLog
    this.onProgress = seams.onProgress ?? (() => {})
    this.cutAt = seams.cutAt ?? Number.POSITIVE_INFINITY
    this.isReplicated = seams.isReplicated ?? false
    const { files, clock, log } = this
    const logPath = options.storePathCommitLog ?? join(dir, 'commitlog')
    const queuePath = join(dir, 'consumequeue')
    this.openFiles = new OpenFiles(options.maxOpenFiles)
    this.checkpoint = new Checkpoint(files, dir)
    this.notes = new StoreNotes(files, dir)
    this.damage = new DamageReport(log)
    this.writes = new DerivedWrites(clock, log)
    this.writes.writeAll = () => {
      this.queues.writeOut()
      this.index?.writeOut()
    }
    this.segments = new MappedFileQueue(files, this.openFiles, logPath, options.mappedFileSizeCommitLogBytes)
    this.queues = new ConsumeQueueStore({
      files,
      openFiles: this.openFiles,
      dir: queuePath,
      fileSizeBytes: options.mappedFileSizeConsumeQueueBytes,
      batchDir: join(dir, 'batchconsumequeue'),
      batchFileSizeBytes: options.mappedFileSizeBatchConsumeQueueBytes,
      queueTypeOf: seams.queueTypeOf ?? (() => undefined),
      extensionDir: join(dir, 'consumequeue_ext'),
      extensionFileSizeBytes: options.mappedFileSizeConsumeQueueExtBytes,
      writes: this.writes,
      log
    })
    this.index = options.messageIndexEnable
      ? new KeyIndex(files, this.openFiles, join(dir, 'index'), options, this.writes, log)
      : null
    this.compactedTopics = seams.compactedTopics ?? (() => [])
    this.compaction = new Compaction({
      files,
      openFiles: this.openFiles,
      dir: join(dir, 'compaction'),
      options,
      queues: this.queues,
      clock,
      log,
      readRecord: (physicalOffset, sizeBytes) => this.reader.read(physicalOffset, sizeBytes)
    })
    const delaysMs = parseDelayLevels(options.messageDelayLevel)
    this.reput = new Reput(this.segments, this.queues, this.index, this.notes, delaysMs, clock, log)
    this.reput.beforeDispatch = () => this.index?.prepare()
    this.reput.onFailure = error => this.writes.failed(error)
    this.writes.onRecovered = () => void this.reput.catchUp()
    this.reput.multiDispatch = options.enableMultiDispatch
    this.reput.onDamage = (from, to) => this.damage.add(from, to)
    this.reput.onDispatched = () => this.checkpointLater()
    this.commitLog = new CommitLog(options, clock, log, this.segments, this.queues, this.writes, this.reput)
    this.retention = new Retention({
      files,
      logPath,
      queuePath,
      commitLog: this.commitLog,
      queues: this.queues,
      index: this.index,
      options,
      clock,
      log,
      durableUntil: () => this.checkpoint.logicsPhysicalOffset,
      saveCheckpoint: () => this.saveCheckpoint(),
      beforeDerived: () => this.saveNotes()
    })
  }

  private get abortPath(): string {
    return join(this.dir, 'abort')
  }

  async open(): Promise<void> {
    this.files.makeDirectory(this.dir)
    await this.takeLock()
    const cleanStop = !this.files.exists(this.abortPath)
    try {
      await this.recover(cleanStop)
      await this.compaction.load(this.compactedTopics(), cleanStop)
    } catch (error) {
      this.closeFiles()
      throw error
    }
    this.reader = new Reader(this.commitLog, this.queues, this.damage, this.options, this.clock)
    this.isOpen = true
    this.reput.follow(this.commitLog.confirmOffset, null, null, 0)
    this.checkpointLater()
  }

  private async recover(cleanStop: boolean): Promise<void> {
    const { commitLog, segments, queues, index, reput, checkpoint, notes, damage, clock, log } = this
    notes.load()
    checkpoint.load()
    this.loadSegments()
    await this.writeAbort()
    queues.load()
    index?.load(checkpoint.isOwn ? notes.indexFiles : [])
    const parts = { commitLog, queues, index, reput, checkpoint, notes, damage, clock, log }
    const seenUntil = this.isReplicated ? checkpoint.confirmedOffset : null
    if (seenUntil !== null) commitLog.replicated(seenUntil)
    await new Recovery(parts, this.options.checkCrcOnRecover, seenUntil, this.onProgress).run(cleanStop)
    if (seenUntil !== null) commitLog.replicated(Math.min(seenUntil, commitLog.maxOffset))
    notes.mappedFileSizeCommitLog = segments.fileSizeBytes
  }

  /** The size of the files is part of the store: with another one, nothing would lie where it is looked for. */
  private loadSegments(): void {
    const { segments, notes, log, dir } = this
    const known = notes.mappedFileSizeCommitLog
    const expectedBytes = segments.fileSizeBytes
    if (known > 0 && known !== expectedBytes && this.files.list(segments.dir).length > 0)
      throw new EngineError('BAD_FILE', { path: join(dir, 'skylark.json'), sizeBytes: known, expectedBytes })
    segments.loadLog(log, known === expectedBytes)
    if (segments.truncate(this.cutAt)) log.warn({ cutAt: this.cutAt }, 'the end of the CommitLog was cut off')
  }

  private async takeLock(): Promise<void> {
    const unlock = await this.files.lock(join(this.dir, 'lock'))
    if (unlock === null)
      throw new EngineError('STORE_LOCKED', {
        path: this.dir,
        holder: this.files.readText(this.abortPath)?.trim() || 'none'
      })
    this.unlock = unlock
  }

  /** Stays behind when the process dies: the next start then knows. DefaultMessageStore#createTempFile */
  private async writeAbort(): Promise<void> {
    const { files } = this
    const fd = files.open(this.abortPath)
    try {
      const pid = Buffer.from(String(process.pid))
      files.truncate(fd, 0)
      files.write(fd, pid, 0, pid.length, 0)
      await files.sync(fd)
      await files.syncDirectory(this.dir)
    } catch (error) {
      // On a full disk its name must do.
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      files.close(fd)
    }
  }

  /** Called when a message can be pulled. */
  set onArrival(listener: ArrivalListener | null) {
    this.reput.onArrival = listener
  }

  /**
   * Adds a message. It is written, together with all others of this event, before the event ends; the waiter hears when
   * its durability is reached, and at once only when it is refused.
   */
  put(message: PutMessage, waiter: PutWaiter): void {
    this.commitLog.put(message, waiter)
  }

  /** Adds the messages of a batch body, all or none, with consecutive queue offsets. Throws MessageError BAD_BATCH. */
  putBatch(message: PutMessage, waiter: PutWaiter, physicalOffsets: number[]): void {
    this.commitLog.putBatch(message, waiter, physicalOffsets)
  }

  /** Takes over bytes of another log as they are. Throws EngineError NOT_AT_END, and what the disk says. */
  appendRaw(physicalOffset: number, bytes: Uint8Array): void {
    this.commitLog.appendRaw(physicalOffset, bytes)
  }

  /** Bytes of the log from an offset on, up to the end of its file; none at the log's end. A promise when the disk is asked. */
  readRaw(physicalOffset: number, maxBytes: number): Uint8Array | Promise<Uint8Array> {
    return this.reader.recentBytes(physicalOffset, maxBytes) ?? this.commitLog.readRaw(physicalOffset, maxBytes)
  }

  /** The last whole record that ends at or before an offset. */
  tailBefore(physicalOffset: number): Promise<LogTail> {
    const { segments, queues, clock, log } = this
    return tailBefore(physicalOffset, segments, queues, clock, log)
  }

  /** Replicas hold everything below `offset`: puts wait for that, and consumers see nothing beyond. Infinite asks none. */
  replicated(offset: number): void {
    this.commitLog.replicated(offset)
  }

  /** Why puts that wait for replicas are refused; null takes them. */
  set replicaRefusal(reason: string | null) {
    this.commitLog.replicaRefusal = reason
  }

  /** Asked before puts that waited for flush or replicas are acknowledged; false leaves them waiting. */
  set mayAcknowledge(ask: (() => boolean) | null) {
    this.commitLog.mayAcknowledge = ask
  }

  /** Called when something was written. */
  set onWritten(listener: (() => void) | null) {
    this.commitLog.onWritten = listener
  }

  /** End of what consumers may see. */
  get confirmOffset(): number {
    return this.commitLog.confirmOffset
  }

  /** `put` for whoever has time for a promise. */
  putMessage(message: PutMessage): Promise<PutResult> {
    return new Promise(resolve => {
      this.put(message, {
        onPut: (status, physicalOffset, queueOffset, storeTimestamp, reason) =>
          resolve({ status, physicalOffset, queueOffset, storeTimestamp, reason })
      })
    })
  }

  /** Messages of a queue from an offset on. A promise only when the disk must be asked. */
  getMessages(
    topic: string,
    queueId: number,
    offset: number,
    maxCount: number,
    filter: MessageFilter | null = null
  ): GetResult | Promise<GetResult> {
    if (this.compaction.topics.size > 0 && this.compaction.topics.has(topic))
      return this.getCompacted(topic, queueId, offset, maxCount, filter)
    return this.reader.getMessages(topic, queueId, offset, maxCount, filter)
  }

  /** What was copied of a compacted topic, and from there on what the CommitLog has. */
  private async getCompacted(
    topic: string,
    queueId: number,
    offset: number,
    maxCount: number,
    filter: MessageFilter | null
  ): Promise<GetResult> {
    const kept = await this.compaction.read(topic, queueId, offset, maxCount, filter)
    if (kept !== null) return kept
    const result = await this.reader.getMessages(topic, queueId, offset, maxCount, filter)
    return { ...result, minOffset: this.minQueueOffset(topic, queueId) }
  }

  /** From now on at least the newest message of each key of a topic is kept, however old it is. */
  compactTopic(topic: string): void {
    this.compaction.add(topic)
  }

  /** Compacts now what can be. CompactionService */
  async compact(): Promise<void> {
    await this.saveCheckpoint()
    await this.compaction.run()
  }

  /** The whole record at a physical offset; null when none begins there, or none of that size if one is given. */
  readByPhysicalOffset(physicalOffset: number, sizeBytes = 0): Promise<Uint8Array | null> {
    return this.reader.read(physicalOffset, sizeBytes)
  }

  /** Messages filed under a key, oldest first; hashes collide, so callers compare topic and key. DefaultMessageStore#queryMessage */
  async queryByKey(
    topic: string,
    key: string,
    maxCount: number,
    beginMs: number,
    endMs: number
  ): Promise<{ records: Uint8Array[]; lastUpdateTimestamp: number; lastUpdatePhysicalOffset: number }> {
    if (this.index === null) return { records: [], lastUpdateTimestamp: 0, lastUpdatePhysicalOffset: 0 }
    const { physicalOffsets, lastUpdateTimestamp, lastUpdatePhysicalOffset } = await this.index.query(
      topic,
      key,
      maxCount,
      beginMs,
      endMs
    )
    const records: Uint8Array[] = []
    for (const physicalOffset of physicalOffsets.sort((a, b) => a - b)) {
      const record = await this.reader.read(physicalOffset)
      if (record !== null) records.push(record)
    }
    return { records, lastUpdateTimestamp, lastUpdatePhysicalOffset }
  }

  /** LOWER: first queue offset stored at or after a time; UPPER: last one at or before it. */
  offsetByTime(
    topic: string,
    queueId: number,
    timestampMs: number,
    boundary: 'LOWER' | 'UPPER' = 'LOWER'
  ): Promise<number> {
    if (this.compaction.topics.size > 0 && this.compaction.topics.has(topic))
      return this.compactedOffsetByTime(topic, queueId, timestampMs, boundary)
    return this.reader.offsetByTime(topic, queueId, timestampMs, boundary)
  }

  private async compactedOffsetByTime(
    topic: string,
    queueId: number,
    timestampMs: number,
    boundary: 'LOWER' | 'UPPER'
  ): Promise<number> {
    const kept = await this.compaction.offsetByTime(topic, queueId, timestampMs, boundary)
    if (kept >= 0 && boundary === 'LOWER') return kept
    const later = await this.reader.offsetByTime(topic, queueId, timestampMs, boundary)
    if (kept < 0 || later < kept) return Math.max(kept, later)
    const storeTime = await this.storeTimeOf(topic, queueId, later)
    return storeTime >= 0 && storeTime <= timestampMs ? later : kept
  }

  /** Store time of the oldest message of a queue that still exists, ms; -1 without one. DefaultMessageStore#getEarliestMessageTime */
  earliestStoreTime(topic: string, queueId: number): Promise<number> {
    return this.storeTimeOf(topic, queueId, this.minQueueOffset(topic, queueId))
  }

  /** Store time of the oldest message of all, ms; -1 without one. */
  earliestStoreTimeOfAll(): Promise<number> {
    return this.reader.storeTimeAt(this.minPhysicalOffset)
  }

  /** Store time of a message, ms; -1 when it does not exist. */
  async storeTimeOf(topic: string, queueId: number, queueOffset: number): Promise<number> {
    const queue = this.queues.find(topic, queueId)
    return queue === undefined ? -1 : this.reader.storeTime(queue, queueOffset)
  }

  /** First queue offset that still exists; 0 for an unknown queue. */
  minQueueOffset(topic: string, queueId: number): number {
    const minOffset = this.queues.find(topic, queueId)?.minOffset ?? 0
    if (this.compaction.topics.size === 0) return minOffset
    const kept = this.compaction.minOffset(topic, queueId)
    return kept >= 0 ? kept : minOffset
  }

  /** Behind the last message that can be pulled; 0 for an unknown queue. */
  maxQueueOffset(topic: string, queueId: number): number {
    return this.queues.find(topic, queueId)?.maxOffset ?? 0
  }

  /** The ConsumeQueue unit of a message. */
  unitAt(
    topic: string,
    queueId: number,
    queueOffset: number
  ): { physicalOffset: number; sizeBytes: number; tagsCode: number } | null {
    const queue = this.queues.find(topic, queueId)
    if (
      queue === undefined ||
      queueOffset < queue.minOffset ||
      queueOffset >= queue.maxOffset ||
      !queue.isReal(queueOffset)
    )
      return null
    return {
      physicalOffset: queue.physicalAt(queueOffset),
      sizeBytes: queue.sizeAt(queueOffset),
      tagsCode: queue.tagsCodeAt(queueOffset) ?? 0
    }
  }

  /** Topics that have queues. */
  topics(): string[] {
    return this.queues.topicNames()
  }

  queueIds(topic: string): number[] {
    return this.queues.queueIds(topic)
  }

  /**
   * Removes a topic's queues at once; its messages go with their CommitLog files. Resolves when that is durable: a topic of
   * the same name begins anew, with queue offset 0.
   */
  deleteTopic(topic: string): Promise<void> {
    this.commitLog.commit()
    this.notes.deletedTopics.set(topic, this.commitLog.endOffset)
    this.queues.deleteTopic(topic)
    void this.compaction.delete(topic)
    return this.saveNotes()
  }

  /** Whether a record counts as recent, so that reads of it may be larger. DefaultMessageStore#estimateInMemByCommitOffset */
  isInMemory(physicalOffset: number): boolean {
    return this.reader.isInMemory(physicalOffset)
  }

  get minPhysicalOffset(): number {
    return this.commitLog.minOffset
  }

  get maxPhysicalOffset(): number {
    return this.commitLog.maxOffset
  }

  get flushedOffset(): number {
    return this.commitLog.flushedOffset
  }

  get reputOffset(): number {
    return this.reput.offset
  }

  /** Why messages are refused now; null when they are taken. */
  get unwritableReason(): string | null {
    return this.commitLog.unwritableReason
  }

  /** Ranges of the log that were found damaged and are passed over. */
  get damaged(): readonly DamagedRange[] {
    return this.damage.ranges
  }

  get diskUsedRatio(): number {
    return this.files.usedRatio(this.dir)
  }

  get statistics(): StoreStatistics {
    const { commitLog, reader, reput } = this
    return {
      putMessageCount: commitLog.putCount,
      putBytes: commitLog.putBytes,
      failedPutCount: commitLog.failedPutCount,
      gotMessageCount: reader.gotCount,
      gotBytes: reader.gotBytes,
      foundCount: reader.foundCount,
      missedCount: reader.missedCount,
      dispatchBehindBytes: commitLog.confirmOffset - reput.offset,
      flushBehindBytes: commitLog.maxOffset - commitLog.flushedOffset,
      openFileCount: this.openFiles.count,
      damagedBytes: this.damage.sizeBytes,
      forciblyDeletedFileCount: this.retention.forcedCount
    }
  }

  /**
   * Deletes CommitLog files that were last written before `beforeMs`, or with `force` the oldest whatever their age, and
   * what is derived from them; never the last file, at most `maxFiles`. Returns how many CommitLog files went.
   */
  deleteExpiredFiles({
    beforeMs = 0,
    force = false,
    maxFiles = this.options.deleteFileBatchMax
  }: {
    beforeMs?: number
    force?: boolean
    maxFiles?: number
  }): Promise<number> {
    return this.retention.delete(force ? Number.POSITIVE_INFINITY : beforeMs, maxFiles)
  }

  /**
   * Looks at the hour and at how full the disk is, deletes what they call for, and refuses messages while the disk is too
   * full: to be called every cleanResourceIntervalMs. Returns how many CommitLog files went.
   */
  cleanUp(): Promise<number> {
    return this.retention.run()
  }

  /** Makes the next runs of `cleanUp` delete what is old, whatever the hour. DefaultMessageStore#executeDeleteFilesManually */
  requestCleanUp(): void {
    this.retention.request()
  }

  /** Makes what was put durable. */
  async flush(): Promise<void> {
    this.commitLog.commit()
    await this.commitLog.flush()
  }

  /** Resolves when what is acknowledged can be read, by queue and by key, or when the disk has no room for it now. */
  async dispatched(): Promise<void> {
    const { commitLog, reput } = this
    commitLog.commit()
    if (reput.offset >= commitLog.confirmOffset) return
    reput.follow(commitLog.confirmOffset, null, null, 0)
    await reput.catchUp()
  }

  private checkpointLater(): void {
    if (!this.isOpen) return
    const isBehind = this.reput.offset - this.checkpoint.logicsPhysicalOffset >= CHECKPOINT_BYTES
    if (isBehind && !this.isSaving) void this.trySaveCheckpoint()
    this.cancelCheckpoint ??= this.clock.after(this.options.flushIntervalConsumeQueueMs, () => {
      this.cancelCheckpoint = null
      void this.trySaveCheckpoint()
    })
  }

  private async trySaveCheckpoint(): Promise<void> {
    this.isSaving = true
    try {
      await this.saveCheckpoint()
    } catch (error) {
      this.log.error({ err: error }, 'the checkpoint could not be written')
    }
    this.isSaving = false
  }

  /** Flushes log, queues and index, and only then says so in the checkpoint. */
  private saveCheckpoint(): Promise<void> {
    this.saving = this.saving.catch(() => {}).then(() => this.saveCheckpointNow())
    return this.saving
  }

  private async saveCheckpointNow(): Promise<void> {
    const { commitLog, checkpoint, index } = this
    const dispatched = this.reput.offset
    const indexed = index?.endPhysicalOffset ?? -1
    await commitLog.flush()
    if (commitLog.flushedOffset < dispatched) return
    const storeTimestamp = commitLog.flushedStoreTimestamp
    await this.queues.flush()
    await index?.flush()
    await this.compaction.copy()
    const noted = `${this.segments.last?.startOffset} ${this.queues.count} ${index?.fileCount}`
    if (noted !== this.noted || !this.isOpen) await this.saveNotes()
    this.noted = noted
    checkpoint.physicMsgTimestamp = Math.max(checkpoint.physicMsgTimestamp, storeTimestamp)
    checkpoint.logicsMsgTimestamp = checkpoint.physicMsgTimestamp
    checkpoint.indexMsgTimestamp = Math.max(checkpoint.indexMsgTimestamp, index?.fullUntilTimestamp ?? 0)
    checkpoint.confirmPhyOffset = Math.min(commitLog.confirmOffset, commitLog.flushedOffset)
    checkpoint.logicsPhysicalOffset = dispatched
    checkpoint.indexPhysicalOffset = indexed
    await checkpoint.save()
    this.segments.unmapBefore(commitLog.maxOffset - this.options.hotBytes)
  }

  private saveNotes(): Promise<void> {
    const { notes, queues, index, commitLog } = this
    notes.queues = {}
    for (const topic of queues.topicNames()) {
      const bounds: Record<string, [number, number]> = {}
      for (const queueId of queues.queueIds(topic)) {
        const { minOffset, maxOffset, nextOffset } = queues.get(topic, queueId)
        // An empty queue may go on where a lost one was.
        const isEmpty = minOffset === maxOffset && this.reput.offset >= commitLog.endOffset
        bounds[queueId] = isEmpty ? [nextOffset, nextOffset] : [minOffset, maxOffset]
      }
      notes.queues[topic] = bounds
    }
    notes.indexFiles = index?.namesFrom(commitLog.minOffset) ?? notes.indexFiles
    return notes.save()
  }

  /** Writes and flushes everything and marks the stop as clean, unless the disk prevents it. */
  async close(): Promise<void> {
    if (!this.isOpen) return
    this.isOpen = false
    this.reader.close()
    this.cancelCheckpoint?.()
    const { commitLog, reput } = this
    try {
      commitLog.commit()
      await commitLog.flush()
      reput.follow(commitLog.confirmOffset, null, null, 0)
      await reput.catchUp()
      const isWhole = !reput.isStalled && !commitLog.hasLostWrites
      if (isWhole) {
        await this.saveCheckpoint()
        this.files.remove(this.abortPath)
      }
    } catch (error) {
      this.log.error({ err: error }, 'the store could not be closed cleanly: the next start recovers it')
    }
    await this.compaction.close()
    await commitLog.close()
    this.closeFiles()
  }

  private closeFiles(): void {
    this.writes.close()
    this.segments.close()
    this.queues.close()
    this.index?.close()
    this.unlock()
  }
}
