import { join } from 'node:path'
import { Checkpoint } from './checkpoint.ts'
import { type Clock, realClock } from './clock.ts'
import { CommitLog } from './commit-log.ts'
import { ConsumeQueueStore } from './consume-queue-store.ts'
import { EngineError } from './errors.ts'
import type { Files } from './files.ts'
import { KeyIndex } from './key-index.ts'
import { type Log, silentLog } from './log.ts'
import { realFiles } from './native/real-files.ts'
import { parseDelayLevels, type StoreOptions, storeDefaults } from './options.ts'
import type { PutMessage, PutResult, PutWaiter } from './put-status.ts'
import { type GetResult, type MessageFilter, Reader } from './reader.ts'
import { type DamagedRange, Recovery, type RecoveryProgress } from './recovery.ts'
import { type ArrivalListener, Reput } from './reput.ts'

/** What a caller may put in the place of the disk, the time, and the log. */
export interface StoreSeams {
  files?: Files
  clock?: Clock
  log?: Log
  /** Hears how far recovery has come. */
  onProgress?: (progress: RecoveryProgress) => void
}

/** Opens the store in `dir`, creating it if need be. Throws EngineError STORE_LOCKED, BAD_FILE, NATIVE_MISSING. */
export async function openStore(
  dir: string,
  options: Partial<StoreOptions> = {},
  seams: StoreSeams = {}
): Promise<MessageStore> {
  const store = new MessageStore(dir, { ...storeDefaults, ...options }, seams)
  await store.open()
  return store
}

/** Messages on disk, in RocketMQ's files: written, flushed, recovered, and read by queue, place, key and time. DefaultMessageStore */
export class MessageStore {
  readonly dir: string
  readonly options: StoreOptions
  /** Ranges of the log that recovery found damaged. */
  damaged: readonly DamagedRange[] = []

  private readonly files: Files
  private readonly clock: Clock
  private readonly log: Log
  private readonly onProgress: (progress: RecoveryProgress) => void
  private readonly queues: ConsumeQueueStore
  private readonly index: KeyIndex | null
  private readonly commitLog: CommitLog
  private readonly reput: Reput
  private readonly checkpoint: Checkpoint
  private reader!: Reader
  private lockFd = -1
  private isOpen = false
  private cancelCheckpoint: (() => void) | null = null

  constructor(dir: string, options: StoreOptions, seams: StoreSeams) {
    this.dir = dir
    this.options = options
    this.files = seams.files ?? realFiles
    this.clock = seams.clock ?? realClock
    this.log = seams.log ?? silentLog
    this.onProgress = seams.onProgress ?? (() => {})
    const { files, clock, log } = this
    const delaysMs = parseDelayLevels(options.messageDelayLevel)
    this.queues = new ConsumeQueueStore(files, join(dir, 'consumequeue'), options.mappedFileSizeConsumeQueueBytes, log)
    this.index = options.messageIndexEnable ? new KeyIndex(join(dir, 'index'), files, options, clock, log) : null
    this.reput = new Reput(() => this.commitLog.segments, this.queues, this.index, delaysMs, clock, log)
    this.commitLog = new CommitLog(
      files,
      options.storePathCommitLog ?? join(dir, 'commitlog'),
      options,
      clock,
      log,
      this.queues,
      {
        follow: (endOffset, bytes, view, base) => {
          this.reput.follow(endOffset, bytes, view, base)
          this.checkpointLater()
        }
      }
    )
    this.reput.resume = () => this.reput.follow(this.commitLog.confirmOffset, null, null, 0)
    this.checkpoint = new Checkpoint(files, dir)
  }

  private get abortPath(): string {
    return join(this.dir, 'abort')
  }

  async open(): Promise<void> {
    const { files, commitLog, queues, index, reput } = this
    files.makeDirectory(this.dir)
    this.takeLock()
    const cleanStop = !files.exists(this.abortPath)
    this.writeAbort()
    commitLog.segments.load(this.log)
    queues.load()
    for (const { name } of files.list(join(this.dir, 'batchconsumequeue'))) reput.otherQueues.add(name)
    this.checkpoint.load()
    index?.load()
    const indexedUntil = index?.endPhysicalOffset ?? null
    reput.indexFrom(indexedUntil === null || indexedUntil === 0 ? 0 : indexedUntil + 1)
    const recovery = new Recovery(
      files,
      commitLog,
      queues,
      reput,
      this.options.checkCrcOnRecover,
      this.log,
      this.onProgress
    )
    await recovery.run(this.checkpoint, cleanStop, indexedUntil)
    this.damaged = recovery.damaged
    reput.offset = commitLog.maxOffset
    reput.indexFrom(0)
    this.reader = new Reader(files, commitLog, queues, this.options)
    this.isOpen = true
  }

  private takeLock(): void {
    const path = join(this.dir, 'lock')
    this.lockFd = this.files.open(path)
    if (!this.files.lock(this.lockFd)) {
      this.files.close(this.lockFd)
      throw new EngineError('STORE_LOCKED', {
        path: this.dir,
        holder: this.files.readText(this.abortPath)?.trim() || 'none'
      })
    }
    this.files.write(this.lockFd, Buffer.from('lock'), 0, 4, 0)
  }

  /** Stays behind when the process dies: the next start then knows. DefaultMessageStore#createTempFile */
  private writeAbort(): void {
    const fd = this.files.open(this.abortPath)
    const pid = Buffer.from(String(process.pid))
    this.files.truncate(fd, 0)
    this.files.write(fd, pid, 0, pid.length, 0)
    this.files.close(fd)
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
    return this.reader.getMessages(topic, queueId, offset, maxCount, filter)
  }

  /** The whole record at a physical offset; null when no record begins there. */
  readByPhysicalOffset(physicalOffset: number): Promise<Uint8Array | null> {
    return this.reader.read(physicalOffset)
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
    const { physicalOffsets, lastUpdateTimestamp, lastUpdatePhysicalOffset } = this.index.query(
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
    return this.reader.offsetByTime(topic, queueId, timestampMs, boundary)
  }

  /** Store time of a message, ms; -1 when it does not exist. */
  async storeTimeOf(topic: string, queueId: number, queueOffset: number): Promise<number> {
    const queue = this.queues.find(topic, queueId)
    return queue === undefined ? -1 : this.reader.storeTime(queue, queueOffset)
  }

  /** First queue offset that still exists; 0 for an unknown queue. */
  minQueueOffset(topic: string, queueId: number): number {
    return this.queues.find(topic, queueId)?.minOffset ?? 0
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
      tagsCode: queue.tagsCodeAt(queueOffset)
    }
  }

  /** Topics that have queues. */
  topics(): string[] {
    return this.queues.topicNames()
  }

  queueIds(topic: string): number[] {
    return this.queues.queueIds(topic)
  }

  /** Removes a topic's queues; its messages go with their CommitLog files. */
  deleteTopic(topic: string): void {
    this.queues.deleteTopic(topic)
  }

  isInMemory(physicalOffset: number): boolean {
    return physicalOffset >= this.maxPhysicalOffset - this.options.hotBytes
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
    return this.commitLog.failure
  }

  get diskUsedRatio(): number {
    return this.files.usedRatio(this.dir)
  }

  /** Makes what was put durable. */
  async flush(): Promise<void> {
    this.commitLog.commit()
    await this.commitLog.flush()
  }

  private checkpointLater(): void {
    if (this.cancelCheckpoint !== null || !this.isOpen) return
    this.cancelCheckpoint = this.clock.after(this.options.flushIntervalConsumeQueueMs, () => {
      this.cancelCheckpoint = null
      this.saveCheckpoint().catch(error => this.log.error({ err: error }, 'the checkpoint could not be written'))
    })
  }

  /** Flushes log, queues and index, and only then says so in the checkpoint. */
  private async saveCheckpoint(): Promise<void> {
    const { commitLog, checkpoint } = this
    const dispatched = this.reput.offset
    await commitLog.flush()
    const storeTimestamp = commitLog.flushedStoreTimestamp
    await this.queues.flush()
    await this.index?.flush()
    checkpoint.physicMsgTimestamp = Math.max(checkpoint.physicMsgTimestamp, storeTimestamp)
    checkpoint.logicsMsgTimestamp = checkpoint.physicMsgTimestamp
    checkpoint.indexMsgTimestamp = Math.max(checkpoint.indexMsgTimestamp, this.index?.fullUntilTimestamp ?? 0)
    checkpoint.confirmPhyOffset = commitLog.flushedOffset
    checkpoint.logicsPhysicalOffset = dispatched
    await checkpoint.save()
  }

  /** Writes and flushes everything and marks the stop as clean. */
  async close(): Promise<void> {
    if (!this.isOpen) return
    this.isOpen = false
    this.cancelCheckpoint?.()
    this.commitLog.commit()
    await this.commitLog.flush()
    this.reput.follow(this.commitLog.confirmOffset, null, null, 0)
    const clean = this.reput.offset >= this.commitLog.maxOffset && this.commitLog.failure === null
    if (clean) await this.saveCheckpoint()
    await this.commitLog.close()
    this.queues.close()
    this.index?.close()
    if (clean) this.files.remove(this.abortPath)
    this.files.close(this.lockFd)
  }
}
