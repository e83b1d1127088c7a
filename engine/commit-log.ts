import {
  BatchCursor,
  BLANK_BYTES,
  bytesOf,
  MAX_PROPERTIES_BYTES,
  MAX_V1_TOPIC_BYTES,
  type RecordFields,
  RecordMagic,
  recordSize,
  SysFlag,
  writeRecord
} from '../message/index.ts'
import type { Clock } from './clock.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'
import { MappedFileQueue } from './mapped-file.ts'
import type { StoreOptions } from './options.ts'
import { type PutMessage, PutStatus, type PutWaiter } from './put-status.ts'

/** A record may be larger than its body by this. MessageStoreConfig, MessageExtEncoder */
const RECORD_OVERHEAD_BYTES = 64 * 1024
/** What is gathered is written at the end of the event, or when it is more than this. */
const MAX_GATHERED_BYTES = 1024 * 1024
/** After a failed write, the next try is so long away, ms. */
const RETRY_AFTER_MS = 100

/** A put that is not acknowledged yet. */
interface PendingPut {
  waiter: PutWaiter
  queue: ConsumeQueue | null
  queueOffset: number
  physicalOffset: number
  endOffset: number
  storeTimestamp: number
  waitStored: boolean
  deadlineMs: number
}

/** What happens behind the log: derived files, and whoever waits for messages. */
export interface LogFollower {
  /** Records up to `endOffset` may be seen; those from `base` on are in `bytes[0, length)` too. */
  follow(endOffset: number, bytes: Buffer | null, view: DataView | null, base: number): void
}

/**
 * The log of all messages. Puts are encoded into one buffer and written together at the end of the event that brought
 * them; flushes run in the thread pool, one at a time, and each acknowledges all that it covers. CommitLog
 *
 * Invariant: flushedOffset <= maxOffset <= gathered end, and no waiter hears OK below what its durability needs.
 */
export class CommitLog {
  readonly segments: MappedFileQueue
  /** End of what is written. */
  maxOffset = 0
  /** End of what is durable. */
  flushedOffset = 0
  /** Store time of the newest record, ms. */
  lastStoreTimestamp = 0
  flushedStoreTimestamp = 0
  /** Why nothing can be written; null when all is well. */
  failure: string | null = null

  private readonly files: Files
  private readonly options: StoreOptions
  private readonly clock: Clock
  private readonly log: Log
  private readonly queues: ConsumeQueueStore
  private readonly follower: LogFollower
  private readonly buffer: Buffer
  private readonly view: DataView
  private gathered = 0
  private pending: PendingPut[] = []
  private commitQueued = false
  private retryAtMs = 0
  private flushFailed = false
  private flushing: Promise<void> | null = null
  private flushWaiting: PendingPut[] = []
  private cancelFlushTimer: (() => void) | null = null
  private cancelTimeoutTimer: (() => void) | null = null
  private readonly topicBytes = new Map<string, Uint8Array>()
  private readonly fields: RecordFields

  constructor(
    files: Files,
    dir: string,
    options: StoreOptions,
    clock: Clock,
    log: Log,
    queues: ConsumeQueueStore,
    follower: LogFollower
  ) {
    this.files = files
    this.options = options
    this.clock = clock
    this.log = log
    this.queues = queues
    this.follower = follower
    this.segments = new MappedFileQueue(files, dir, options.mappedFileSizeCommitLogBytes, false)
    const bytes = options.maxMessageSizeBytes + RECORD_OVERHEAD_BYTES + MAX_GATHERED_BYTES + BLANK_BYTES
    this.buffer = Buffer.allocUnsafeSlow(bytes)
    this.view = new DataView(this.buffer.buffer, this.buffer.byteOffset, bytes)
    const none = new Uint8Array(0)
    this.fields = {
      queueId: 0,
      flag: 0,
      queueOffset: 0,
      physicalOffset: 0,
      sysFlag: 0,
      bornTimestamp: 0,
      bornHost: options.storeHost,
      storeTimestamp: 0,
      storeHost: options.storeHost,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: none,
      bodyStart: 0,
      bodyEnd: 0,
      topic: none,
      properties: none,
      propertiesStart: 0,
      propertiesEnd: 0
    }
  }

  get minOffset(): number {
    return this.segments.first?.startOffset ?? 0
  }

  /** End of what consumers may see: what survives a crash, if puts wait for that. DefaultMessageStore#getConfirmOffset */
  get confirmOffset(): number {
    return this.sync ? this.flushedOffset : this.maxOffset
  }

  private get sync(): boolean {
    return this.options.flushDiskType === 'SYNC_FLUSH'
  }

  /** Adds one message. CommitLog#asyncPutMessage */
  put(message: PutMessage, waiter: PutWaiter): void {
    if (this.refusedByState(waiter) || this.refusedBySize(message, waiter)) return
    const topic = this.bytesOfTopic(message.topic)
    const size = this.sizeOf(
      topic,
      message.bodyEnd - message.bodyStart,
      message.propertiesEnd - message.propertiesStart,
      message
    )
    if (size > this.options.maxMessageSizeBytes + RECORD_OVERHEAD_BYTES) {
      waiter.onPut(PutStatus.MESSAGE_ILLEGAL, -1, -1, 0, `the record has ${size} bytes`)
      return
    }
    if (!this.makeRoom(size)) {
      this.refuse(waiter)
      return
    }
    const transaction = message.sysFlag & SysFlag.TRANSACTION_MASK
    const queued = transaction !== SysFlag.PREPARED && transaction !== SysFlag.ROLLBACK
    const queue = queued ? this.queues.get(message.topic, message.queueId) : null
    const f = this.begin(message, topic)
    f.flag = message.flag
    f.body = message.body
    f.bodyStart = message.bodyStart
    f.bodyEnd = message.bodyEnd
    f.properties = message.properties
    f.propertiesStart = message.propertiesStart
    f.propertiesEnd = message.propertiesEnd
    const physicalOffset = this.append(queue)
    this.expect(message, waiter, queue, f.queueOffset, physicalOffset)
  }

  /**
   * Adds the messages of a batch body, all or none. `physicalOffsets` receives where each lies.
   * Throws MessageError BAD_BATCH. CommitLog#asyncPutMessages
   */
  putBatch(message: PutMessage, waiter: PutWaiter, physicalOffsets: number[]): void {
    if (this.refusedByState(waiter)) return
    const topic = this.bytesOfTopic(message.topic)
    let total = 0
    for (const batch = new BatchCursor(message.body, message.bodyStart, message.bodyEnd); batch.next(); )
      total += this.sizeOf(topic, batch.bodyEnd - batch.bodyStart, batch.propertiesEnd - batch.propertiesStart, message)
    if (total === 0 || total > this.options.maxMessageSizeBytes) {
      waiter.onPut(
        PutStatus.MESSAGE_ILLEGAL,
        -1,
        -1,
        0,
        `the batch has ${total} bytes, allowed are 1 to ${this.options.maxMessageSizeBytes}`
      )
      return
    }
    if (!this.makeRoom(total)) {
      this.refuse(waiter)
      return
    }
    const queue = this.queues.get(message.topic, message.queueId)
    const firstQueueOffset = queue.nextOffset
    const f = this.begin(message, topic)
    f.body = message.body
    f.properties = message.body
    for (const batch = new BatchCursor(message.body, message.bodyStart, message.bodyEnd); batch.next(); ) {
      f.flag = batch.flag
      f.bodyStart = batch.bodyStart
      f.bodyEnd = batch.bodyEnd
      f.propertiesStart = batch.propertiesStart
      f.propertiesEnd = batch.propertiesEnd
      physicalOffsets.push(this.append(queue))
    }
    this.expect(message, waiter, queue, firstQueueOffset, physicalOffsets[0]!)
  }

  private sizeOf(topic: Uint8Array, bodyBytes: number, propertiesBytes: number, message: PutMessage): number {
    return recordSize(
      bodyBytes,
      topic.length,
      propertiesBytes,
      message.bornHost.v6,
      this.options.storeHost.v6,
      topic.length > MAX_V1_TOPIC_BYTES
    )
  }

  private refusedByState(waiter: PutWaiter): boolean {
    if (this.failure === null) return false
    if (!this.flushFailed && this.clock.now() >= this.retryAtMs) return false
    this.refuse(waiter)
    return true
  }

  private refuse(waiter: PutWaiter): void {
    waiter.onPut(PutStatus.SERVICE_NOT_AVAILABLE, -1, -1, 0, this.failure)
  }

  private refusedBySize(message: PutMessage, waiter: PutWaiter): boolean {
    const bodyBytes = message.bodyEnd - message.bodyStart
    if (bodyBytes > this.options.maxMessageSizeBytes) {
      waiter.onPut(
        PutStatus.MESSAGE_ILLEGAL,
        -1,
        -1,
        0,
        `the body has ${bodyBytes} bytes, allowed are ${this.options.maxMessageSizeBytes}`
      )
      return true
    }
    const propertiesBytes = message.propertiesEnd - message.propertiesStart
    if (propertiesBytes > MAX_PROPERTIES_BYTES) {
      waiter.onPut(
        PutStatus.PROPERTIES_SIZE_EXCEEDED,
        -1,
        -1,
        0,
        `the properties have ${propertiesBytes} bytes, allowed are ${MAX_PROPERTIES_BYTES}`
      )
      return true
    }
    return false
  }

  private bytesOfTopic(topic: string): Uint8Array {
    let bytes = this.topicBytes.get(topic)
    if (bytes === undefined) {
      bytes = bytesOf(topic)
      this.topicBytes.set(topic, bytes)
    }
    return bytes
  }

  /** Sets what all records of a put share. */
  private begin(message: PutMessage, topic: Uint8Array): RecordFields {
    const f = this.fields
    const hostBits = (message.bornHost.v6 ? SysFlag.BORN_HOST_V6 : 0) | (f.storeHost.v6 ? SysFlag.STORE_HOST_V6 : 0)
    f.queueId = message.queueId
    f.sysFlag = (message.sysFlag & ~SysFlag.HOST_MASK) | hostBits
    f.bornTimestamp = message.bornTimestamp
    f.bornHost = message.bornHost
    // Time along the log never goes back, whatever the clock does.
    f.storeTimestamp = Math.max(this.clock.now(), this.lastStoreTimestamp)
    this.lastStoreTimestamp = f.storeTimestamp
    f.reconsumeTimes = message.reconsumeTimes
    f.preparedTransactionOffset = message.preparedTransactionOffset
    f.topic = topic
    return f
  }

  /** Encodes the record of `fields` behind what is gathered; returns where it will lie. */
  private append(queue: ConsumeQueue | null): number {
    const f = this.fields
    const physicalOffset = this.maxOffset + this.gathered
    f.physicalOffset = physicalOffset
    f.queueOffset = queue === null ? 0 : queue.nextOffset++
    this.gathered += writeRecord(this.view, this.buffer, this.gathered, f)
    return physicalOffset
  }

  private expect(
    message: PutMessage,
    waiter: PutWaiter,
    queue: ConsumeQueue | null,
    queueOffset: number,
    physicalOffset: number
  ): void {
    const { storeTimestamp } = this.fields
    this.pending.push({
      waiter,
      queue,
      queueOffset,
      physicalOffset,
      endOffset: this.maxOffset + this.gathered,
      storeTimestamp,
      waitStored: message.waitStored,
      deadlineMs: storeTimestamp + this.options.syncFlushTimeoutMs
    })
    if (this.commitQueued) return
    this.commitQueued = true
    queueMicrotask(() => {
      this.commitQueued = false
      this.commit()
    })
  }

  /** Makes sure that `size` bytes fit behind what is gathered, in the buffer and in the segment. */
  private makeRoom(size: number): boolean {
    if (this.gathered > MAX_GATHERED_BYTES && !this.commit()) return false
    try {
      const segment = this.segments.last ?? this.segments.create(this.maxOffset)
      const left = segment.endOffset - this.maxOffset - this.gathered
      if (left === 0) return this.roll(segment.endOffset)
      if (size + BLANK_BYTES <= left) return true
      this.view.setInt32(this.gathered, left)
      this.view.setInt32(this.gathered + 4, RecordMagic.BLANK)
      this.gathered += BLANK_BYTES
      return this.commit() && this.roll(segment.endOffset)
    } catch (error) {
      this.fail(error)
      return false
    }
  }

  private roll(endOffset: number): boolean {
    if (this.gathered > 0 && !this.commit()) return false
    this.maxOffset = endOffset
    this.segments.create(endOffset)
    return true
  }

  private fail(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'ENOSPC' ? 'the disk is full' : `writing the CommitLog failed: ${message}`
    if (this.failure !== reason) this.log.error({ err: error }, reason)
    this.failure = reason
    this.retryAtMs = this.clock.now() + RETRY_AFTER_MS
  }

  /** Writes what is gathered. False when that failed: then none of it is in the log, and all of it was refused. */
  commit(): boolean {
    const length = this.gathered
    if (length === 0) return true
    const { pending, maxOffset } = this
    this.pending = []
    this.gathered = 0
    const segment = this.segments.last!
    const position = maxOffset - segment.startOffset
    try {
      for (let written = 0; written < length; ) {
        const count = this.files.write(segment.fd, this.buffer, written, length - written, position + written)
        if (count <= 0) throw new Error('the disk took nothing')
        written += count
      }
    } catch (error) {
      this.fail(error)
      this.undo(pending, position)
      return false
    }
    if (this.failure !== null && !this.flushFailed) {
      this.log.info({}, 'the CommitLog can be written again')
      this.failure = null
    }
    this.maxOffset = maxOffset + length
    if (this.sync) this.acknowledgeAfterFlush(pending)
    else {
      this.follower.follow(this.maxOffset, this.buffer, this.view, maxOffset)
      this.flushLater()
      this.acknowledge(pending)
    }
    return true
  }

  /** Takes back a batch whose write failed, as if it had never been put. */
  private undo(pending: PendingPut[], position: number): void {
    try {
      this.segments.last!.clearFrom(position)
    } catch (error) {
      this.log.error({ err: error }, 'the torn end of the CommitLog could not be cleared')
    }
    for (let i = pending.length - 1; i >= 0; i--) {
      const { queue, queueOffset } = pending[i]!
      if (queue !== null) queue.nextOffset = queueOffset
    }
    for (const { waiter } of pending) this.refuse(waiter)
  }

  private acknowledge(pending: PendingPut[], status: number = PutStatus.OK): void {
    for (const put of pending) put.waiter.onPut(status, put.physicalOffset, put.queueOffset, put.storeTimestamp, null)
  }

  private acknowledgeAfterFlush(pending: PendingPut[]): void {
    const atOnce = pending.filter(put => !put.waitStored)
    if (atOnce.length > 0) this.acknowledge(atOnce)
    for (const put of pending) if (put.waitStored) this.flushWaiting.push(put)
    this.watchDeadlines()
    void this.flush()
  }

  /** One timer for the oldest waiter. GroupCommitService: syncFlushTimeout */
  private watchDeadlines(): void {
    if (this.cancelTimeoutTimer !== null || this.flushWaiting.length === 0) return
    const wait = Math.max(1, this.flushWaiting[0]!.deadlineMs - this.clock.now())
    this.cancelTimeoutTimer = this.clock.after(wait, () => {
      this.cancelTimeoutTimer = null
      const now = this.clock.now()
      const late = this.flushWaiting.findIndex(put => put.deadlineMs > now)
      this.acknowledge(
        this.flushWaiting.splice(0, late < 0 ? this.flushWaiting.length : late),
        PutStatus.FLUSH_DISK_TIMEOUT
      )
      this.watchDeadlines()
    })
  }

  private flushLater(): void {
    if (this.cancelFlushTimer !== null) return
    this.cancelFlushTimer = this.clock.after(this.options.flushIntervalCommitLogMs, () => {
      this.cancelFlushTimer = null
      void this.flush()
    })
  }

  /** Makes what is written durable. Requests that come while a flush runs share the next one. Never throws. */
  flush(): Promise<void> {
    this.flushing ??= this.flushUntilDone().finally(() => {
      this.flushing = null
    })
    return this.flushing
  }

  private async flushUntilDone(): Promise<void> {
    while (this.flushedOffset < this.maxOffset && !this.flushFailed) {
      const target = this.maxOffset
      const storeTimestamp = this.lastStoreTimestamp
      try {
        for (const segment of this.segments.list)
          if (segment.endOffset > this.flushedOffset && segment.startOffset < target) await segment.sync()
      } catch (error) {
        this.flushFailedForGood(error)
        return
      }
      this.flushedOffset = target
      this.flushedStoreTimestamp = storeTimestamp
      if (this.sync) this.onFlushed()
    }
  }

  private onFlushed(): void {
    this.follower.follow(this.flushedOffset, null, null, 0)
    const open = this.flushWaiting.findIndex(put => put.endOffset > this.flushedOffset)
    this.acknowledge(this.flushWaiting.splice(0, open < 0 ? this.flushWaiting.length : open))
    if (this.flushWaiting.length > 0 || this.cancelTimeoutTimer === null) return
    this.cancelTimeoutTimer()
    this.cancelTimeoutTimer = null
  }

  /** After a failed flush the kernel may call lost pages clean: nothing is acknowledged any more, reads go on. */
  private flushFailedForGood(error: unknown): void {
    this.flushFailed = true
    this.failure = `flushing the CommitLog failed, the store is read-only until it is started again: ${(error as Error).message}`
    this.log.error({ err: error }, this.failure)
    for (const { waiter } of this.flushWaiting.splice(0)) this.refuse(waiter)
  }

  /** Writes and flushes what is left, then lets go of the files. */
  async close(): Promise<void> {
    this.commit()
    this.cancelFlushTimer?.()
    await this.flush()
    this.cancelTimeoutTimer?.()
    this.failure = 'the store is closed'
    this.flushFailed = true
    this.segments.close()
  }
}
