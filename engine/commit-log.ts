import {
  BatchCursor,
  BLANK_BYTES,
  bytesOf,
  CRC_PROPERTY_BYTES,
  MAX_PROPERTIES_BYTES,
  MAX_V1_TOPIC_BYTES,
  propertyCrcAt,
  type RecordFields,
  recordSize,
  SysFlag,
  writePropertyCrc,
  writeRecord
} from '../message/index.ts'
import type { Clock } from './clock.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { DerivedWrites } from './derived-writes.ts'
import { EngineError } from './errors.ts'
import type { Log } from './log.ts'
import { type Chunk, LogWriter } from './log-writer.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import type { StoreOptions } from './options.ts'
import { type PutMessage, PutStatus, type PutWaiter } from './put-status.ts'
import type { QueueIndex } from './queue-index.ts'
import { RecordExtender, type RecordExtension, withRoomForCrc } from './record-extension.ts'

/** A record may be larger than its body by this. MessageStoreConfig, MessageExtEncoder */
const RECORD_OVERHEAD_BYTES = 64 * 1024
/** DefaultMessageStore#checkMessage */
const MAX_TOPIC_BYTES = 255
/** After a failed write, the next try is so long away, ms. */
const RETRY_AFTER_MS = 100

/** Zeros at the end of a record are what a torn write leaves: recovery must be able to tell. */
const ENDS_IN_NUL = 'the properties end in a NUL'
const endsInNul = (properties: Uint8Array, end: number): boolean => properties[end - 1] === 0

/** A put that is not acknowledged yet. */
interface PendingPut {
  waiter: PutWaiter
  queue: QueueIndex | null
  queueOffset: number
  physicalOffset: number
  endOffset: number
  storeTimestamp: number
  waitStored: boolean
  deadlineMs: number
  extension: RecordExtension | null
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
  /** Messages and bytes that were written since the store was opened, and puts whose write or flush failed. */
  putCount = 0
  putBytes = 0
  failedPutCount = 0
  /** Why nothing shall be written: set by whoever watches the disk's level. */
  refusal: string | null = null
  /** Why puts that wait for replicas are refused; null while enough are in sync. */
  replicaRefusal: string | null = null
  /** Called when something was written. */
  onWritten: (() => void) | null = null
  /** Asked before puts that waited are acknowledged; false leaves them waiting. */
  mayAcknowledge: (() => boolean) | null = null
  /** End of what enough replicas hold, or, on a replica, of what its master calls confirmed; infinite while nobody is asked. */
  private replicatedOffset = Number.POSITIVE_INFINITY

  private readonly options: StoreOptions
  private readonly clock: Clock
  private readonly log: Log
  private readonly queues: ConsumeQueueStore
  private readonly derived: DerivedWrites
  private readonly follower: LogFollower
  private readonly extender: RecordExtender
  private readonly writer: LogWriter<PendingPut>
  /** Puts that were written but wait for the event's end to be acknowledged. */
  private written: PendingPut[] = []
  /** Puts that were taken back and wait for the event's end to hear so. */
  private refused: PendingPut[] = []
  private refusedBecause: string | null = null
  private writtenStoreTimestamp = 0
  private commitQueued = false
  private retryAtMs = 0
  private flushFailed = false
  private isFlushing = false
  private flushed: Promise<void> = Promise.resolve()
  private confirmWaiting: PendingPut[] = []
  private cancelFlushTimer: (() => void) | null = null
  private cancelTimeoutTimer: (() => void) | null = null
  private readonly topicBytes = new Map<string, Uint8Array>()
  private readonly fields: RecordFields

  constructor(
    options: StoreOptions,
    clock: Clock,
    log: Log,
    segments: MappedFileQueue,
    queues: ConsumeQueueStore,
    derived: DerivedWrites,
    follower: LogFollower
  ) {
    this.options = options
    this.clock = clock
    this.log = log
    this.queues = queues
    this.derived = derived
    this.follower = follower
    this.segments = segments
    this.extender = new RecordExtender(options, queues)
    this.writer = new LogWriter(options, segments, clock, log, options.maxMessageSizeBytes + RECORD_OVERHEAD_BYTES, {
      onWritten: chunk => this.onChunkWritten(chunk),
      onWriteFailed: (error, puts) => this.onWriteFailed(error, puts),
      onPooledEnd: () => this.tell()
    })
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

  /** End of what was put, written or not. */
  get endOffset(): number {
    return this.writer.isBusy ? this.writer.end : this.maxOffset
  }

  get minOffset(): number {
    return this.segments.first?.startOffset ?? 0
  }

  /** End of what consumers may see: what survives a crash, if puts wait for that. DefaultMessageStore#getConfirmOffset */
  get confirmOffset(): number {
    return Math.min(this.sync ? this.flushedOffset : this.maxOffset, this.replicatedOffset)
  }

  private get sync(): boolean {
    return this.options.flushDiskType === 'SYNC_FLUSH'
  }

  /** Adds one message. CommitLog#asyncPutMessage */
  put(message: PutMessage, waiter: PutWaiter): void {
    if (!this.extender.concerns(message)) {
      this.putRecord(message, waiter, null)
      return
    }
    const extension = this.extender.extend(message)
    if ('reason' in extension) this.refuse(waiter, extension.status, extension.reason)
    else this.putRecord(message, waiter, extension)
  }

  private putRecord(message: PutMessage, waiter: PutWaiter, extension: RecordExtension | null): void {
    const topic = this.bytesOfTopic(message.topic)
    const bodyBytes = message.bodyEnd - message.bodyStart
    const propertiesBytes =
      extension === null ? message.propertiesEnd - message.propertiesStart : extension.properties.length
    if (this.refusedByState(waiter, message.waitStored) || this.refusedByPlace(message, topic, waiter)) return
    if (bodyBytes > this.options.maxMessageSizeBytes) {
      const allowed = this.options.maxMessageSizeBytes
      this.refuse(waiter, PutStatus.MESSAGE_ILLEGAL, `the body has ${bodyBytes} bytes, allowed are ${allowed}`)
      return
    }
    if (propertiesBytes > MAX_PROPERTIES_BYTES) {
      const reason = `the properties have ${propertiesBytes} bytes, allowed are ${MAX_PROPERTIES_BYTES}`
      this.refuse(waiter, PutStatus.PROPERTIES_SIZE_EXCEEDED, reason)
      return
    }
    if (propertiesBytes > 0 && endsInNul(message.properties, message.propertiesEnd)) {
      this.refuse(waiter, PutStatus.MESSAGE_ILLEGAL, ENDS_IN_NUL)
      return
    }
    const size = this.sizeOf(topic, bodyBytes, propertiesBytes, message)
    if (this.refusedBySize(size, waiter) || !this.makeRoom(size, waiter)) return
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
    const physicalOffset = extension === null ? this.append(queue) : this.appendExtended(queue, extension)
    this.expect(message, waiter, queue, f.queueOffset, physicalOffset, extension)
  }

  private appendExtended(queue: QueueIndex | null, extension: RecordExtension): number {
    const f = this.fields
    f.properties = extension.properties
    f.propertiesStart = 0
    f.propertiesEnd = extension.properties.length
    const physicalOffset = this.append(queue)
    if (queue !== null) queue.nextOffset += extension.count - 1
    for (const [lmq, offset] of extension.lmqPlaces) lmq.nextOffset = offset + 1
    if (extension.crc) this.writeCrc(physicalOffset)
    return physicalOffset
  }

  /**
   * Adds the messages of a batch body, all or none. `physicalOffsets` receives where each lies.
   * Throws MessageError BAD_BATCH. CommitLog#asyncPutMessages
   */
  putBatch(message: PutMessage, waiter: PutWaiter, physicalOffsets: number[]): void {
    const topic = this.bytesOfTopic(message.topic)
    let total = 0
    const { enabledAppendPropCrc: crc } = this.options
    for (const batch = new BatchCursor(message.body, message.bodyStart, message.bodyEnd); batch.next(); ) {
      const { propertiesStart, propertiesEnd } = batch
      if (propertyCrcAt(message.body, propertiesStart, propertiesEnd) >= 0) {
        this.refuse(waiter, PutStatus.MESSAGE_ILLEGAL, 'a message of the batch has the property __CRC32# of the store')
        return
      }
      if (propertiesEnd > propertiesStart && endsInNul(message.body, propertiesEnd)) {
        this.refuse(waiter, PutStatus.MESSAGE_ILLEGAL, ENDS_IN_NUL)
        return
      }
      const propertiesBytes = propertiesEnd - propertiesStart + (crc ? CRC_PROPERTY_BYTES + 1 : 0)
      if (propertiesBytes > MAX_PROPERTIES_BYTES) {
        const reason = `the properties of a message have ${propertiesBytes} bytes, allowed are ${MAX_PROPERTIES_BYTES}`
        this.refuse(waiter, PutStatus.PROPERTIES_SIZE_EXCEEDED, reason)
        return
      }
      total += this.sizeOf(topic, batch.bodyEnd - batch.bodyStart, propertiesBytes, message)
    }
    if (this.refusedByState(waiter, message.waitStored) || this.refusedByPlace(message, topic, waiter)) return
    if (total === 0 || total > this.options.maxMessageSizeBytes) {
      const allowed = this.options.maxMessageSizeBytes
      this.refuse(waiter, PutStatus.MESSAGE_ILLEGAL, `the batch has ${total} bytes, allowed are 1 to ${allowed}`)
      return
    }
    if (this.refusedBySize(total, waiter) || !this.makeRoom(total, waiter)) return
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
      if (crc) {
        f.properties = withRoomForCrc(message.body.subarray(batch.propertiesStart, batch.propertiesEnd))
        f.propertiesStart = 0
        f.propertiesEnd = f.properties.length
      }
      const physicalOffset = this.append(queue)
      if (crc) this.writeCrc(physicalOffset)
      physicalOffsets.push(physicalOffset)
    }
    this.expect(message, waiter, queue, firstQueueOffset, physicalOffsets[0]!, null)
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

  /** Why nothing is put now; null when it is. */
  get unwritableReason(): string | null {
    return this.failure ?? this.refusal ?? this.derived.failure
  }

  private refusedByState(waiter: PutWaiter, waitStored: boolean): boolean {
    if (this.replicaRefusal !== null && waitStored) {
      this.refuse(waiter, PutStatus.IN_SYNC_REPLICAS_NOT_ENOUGH, this.replicaRefusal)
      return true
    }
    const { failure } = this
    const mayTryAgain = failure !== null && !this.flushFailed && this.clock.now() >= this.retryAtMs
    const reason = mayTryAgain ? (this.refusal ?? this.derived.failure) : this.unwritableReason
    if (reason !== null) this.refuse(waiter, PutStatus.SERVICE_NOT_AVAILABLE, reason)
    return reason !== null
  }

  private refusedByPlace(message: PutMessage, topic: Uint8Array, waiter: PutWaiter): boolean {
    let reason: string | null = null
    if (topic.length === 0 || topic.length > MAX_TOPIC_BYTES)
      reason = `the topic's name has ${topic.length} bytes, allowed are 1 to ${MAX_TOPIC_BYTES}`
    else if (!(message.queueId >= 0)) reason = `there is no queue ${message.queueId}`
    if (reason !== null) this.refuse(waiter, PutStatus.MESSAGE_ILLEGAL, reason)
    return reason !== null
  }

  private refusedBySize(sizeBytes: number, waiter: PutWaiter): boolean {
    const { maxMessageSizeBytes, mappedFileSizeCommitLogBytes } = this.options
    const allowed = Math.min(maxMessageSizeBytes + RECORD_OVERHEAD_BYTES, mappedFileSizeCommitLogBytes - BLANK_BYTES)
    if (sizeBytes <= allowed) return false
    this.refuse(waiter, PutStatus.MESSAGE_ILLEGAL, `the record has ${sizeBytes} bytes, allowed are ${allowed}`)
    return true
  }

  private refuse(waiter: PutWaiter, status: number, reason: string | null): void {
    waiter.onPut(status, -1, -1, 0, reason)
  }

  private bytesOfTopic(topic: string): Uint8Array {
    let bytes = this.topicBytes.get(topic)
    if (bytes === undefined) {
      bytes = bytesOf(topic)
      if (bytes.length <= MAX_TOPIC_BYTES) this.topicBytes.set(topic, bytes)
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
  private append(queue: QueueIndex | null): number {
    const f = this.fields
    const { chunk } = this.writer
    const physicalOffset = chunk.end
    f.physicalOffset = physicalOffset
    f.queueOffset = queue === null ? 0 : queue.nextOffset++
    chunk.length += writeRecord(chunk.view, chunk.bytes, chunk.length, f)
    chunk.recordCount++
    return physicalOffset
  }

  /** Of the record that was appended last. */
  private writeCrc(physicalOffset: number): void {
    const { bytes, base, length } = this.writer.chunk
    writePropertyCrc(bytes, physicalOffset - base, length)
  }

  private expect(
    message: PutMessage,
    waiter: PutWaiter,
    queue: QueueIndex | null,
    queueOffset: number,
    physicalOffset: number,
    extension: RecordExtension | null
  ): void {
    const { storeTimestamp } = this.fields
    const { chunk } = this.writer
    chunk.puts.push({
      waiter,
      queue,
      queueOffset,
      physicalOffset,
      endOffset: chunk.end,
      storeTimestamp,
      waitStored: message.waitStored,
      deadlineMs: storeTimestamp + (this.sync ? this.options.syncFlushTimeoutMs : this.options.slaveTimeoutMs),
      extension
    })
    if (this.commitQueued) return
    this.commitQueued = true
    queueMicrotask(() => this.commit())
  }

  private makeRoom(sizeBytes: number, waiter: PutWaiter): boolean {
    let room: 'ok' | 'full' | 'failed' = 'failed'
    try {
      room = this.writer.makeRoom(sizeBytes, this.maxOffset)
    } catch (error) {
      this.fail(error)
    }
    if (room === 'full') this.refuse(waiter, PutStatus.OS_PAGE_CACHE_BUSY, 'the disk takes writes too slowly')
    else if (room === 'failed') this.refuse(waiter, PutStatus.SERVICE_NOT_AVAILABLE, this.failure)
    return room === 'ok'
  }

  private fail(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'ENOSPC' ? 'the disk is full' : `writing the CommitLog failed: ${message}`
    if (this.failure !== reason) this.log.error({ err: error }, reason)
    this.failure = reason
    this.retryAtMs = this.clock.now() + RETRY_AFTER_MS
  }

  /** Nobody is told before `tell`: state is whole when others hear of it. */
  private onChunkWritten(chunk: Chunk<PendingPut>): void {
    const { puts, base, length, recordCount, bytes, view } = chunk
    if (this.failure !== null && !this.flushFailed) {
      this.log.info({}, 'the CommitLog can be written again')
      this.failure = null
    }
    this.maxOffset = chunk.end
    this.putCount += recordCount
    this.putBytes += length
    if (this.written.length === 0) this.written = puts
    else for (const put of puts) this.written.push(put)
    if (puts.length > 0) this.writtenStoreTimestamp = puts.at(-1)!.storeTimestamp
    if (!this.waits) this.follower.follow(this.maxOffset, bytes, view, base)
    if (!this.sync) this.flushLater()
  }

  /** Takes back puts whose write failed, as if they had never been. */
  private onWriteFailed(error: unknown, puts: PendingPut[]): void {
    this.fail(error)
    for (let i = puts.length - 1; i >= 0; i--) {
      const { queue, queueOffset, extension } = puts[i]!
      if (queue !== null) queue.nextOffset = queueOffset
      for (const [lmq, offset] of extension?.lmqPlaces.toReversed() ?? []) lmq.nextOffset = offset
    }
    for (const put of puts) this.refused.push(put)
    this.refusedBecause = this.failure
  }

  /** Writes what is gathered, and tells those who wait for no more than that. */
  commit(): void {
    this.commitQueued = false
    this.writer.commit()
    this.tell()
  }

  private tell(): void {
    const { written, refused } = this
    this.written = []
    this.refused = []
    for (const put of refused) this.answer(put, PutStatus.SERVICE_NOT_AVAILABLE, this.refusedBecause)
    if (written.length === 0) return
    this.onWritten?.()
    if (this.waits) this.acknowledgeWhenConfirmed(written)
    else for (const put of written) this.answer(put, PutStatus.OK)
  }

  private answer(put: PendingPut, status: number, reason: string | null = null): void {
    const { waiter, physicalOffset, queueOffset, storeTimestamp } = put
    try {
      if (status !== PutStatus.OK) this.failedPutCount++
      if (reason !== null) this.refuse(waiter, status, reason)
      else waiter.onPut(status, physicalOffset, queueOffset, storeTimestamp, null)
    } catch (error) {
      this.log.error({ err: error }, 'the acknowledgement of a put failed')
    }
  }

  /** A write is enough for who does not wait, and for all when neither flush nor replicas are asked. */
  private get waits(): boolean {
    return this.sync || this.replicatedOffset !== Number.POSITIVE_INFINITY
  }

  private acknowledgeWhenConfirmed(written: PendingPut[]): void {
    for (const put of written) if (put.waitStored) this.confirmWaiting.push(put)
    for (const put of written) if (!put.waitStored) this.answer(put, PutStatus.OK)
    this.watchDeadlines()
    if (this.sync) void this.flushWritten()
  }

  /**
   * Replicas hold everything below `offset`; infinite asks none. On a replica it is what the master calls confirmed:
   * consumers see nothing beyond.
   */
  replicated(offset: number): void {
    if (offset === this.replicatedOffset) return
    this.replicatedOffset = offset
    this.onConfirmed()
  }

  /** Takes the waiters in front of the first for whom something does not hold. */
  private takeWaiting(until: (put: PendingPut) => boolean): PendingPut[] {
    const end = this.confirmWaiting.findIndex(put => !until(put))
    return this.confirmWaiting.splice(0, end < 0 ? this.confirmWaiting.length : end)
  }

  /** One timer for the oldest waiter. GroupCommitService: syncFlushTimeout */
  private watchDeadlines(): void {
    if (this.cancelTimeoutTimer !== null || this.confirmWaiting.length === 0) return
    const wait = Math.max(1, this.confirmWaiting[0]!.deadlineMs - this.clock.now())
    this.cancelTimeoutTimer = this.clock.after(wait, () => {
      this.cancelTimeoutTimer = null
      const now = this.clock.now()
      for (const put of this.takeWaiting(each => each.deadlineMs <= now))
        this.answer(
          put,
          put.endOffset > this.replicatedOffset ? PutStatus.FLUSH_SLAVE_TIMEOUT : PutStatus.FLUSH_DISK_TIMEOUT
        )
      this.watchDeadlines()
    })
  }

  private flushLater(): void {
    if (this.cancelFlushTimer !== null) return
    this.cancelFlushTimer = this.clock.after(this.options.flushIntervalCommitLogMs, () => {
      this.cancelFlushTimer = null
      void this.flushWritten()
    })
  }

  /** Makes durable what was put before the call. Requests that come while a flush runs share the next one. Never throws. */
  async flush(): Promise<void> {
    if (this.writer.isBusy) await this.writer.settle()
    await this.flushWritten()
  }

  private async flushWritten(): Promise<void> {
    const wanted = this.maxOffset
    while (this.flushedOffset < wanted && !this.flushFailed) {
      if (!this.isFlushing) this.flushed = this.flushOnce()
      await this.flushed
    }
  }

  private async flushOnce(): Promise<void> {
    this.isFlushing = true
    const { maxOffset, flushedOffset, writtenStoreTimestamp } = this
    const { list } = this.segments
    const first = list.findLastIndex(segment => segment.startOffset <= flushedOffset)
    try {
      for (const segment of list.slice(Math.max(0, first))) if (segment.startOffset < maxOffset) await segment.sync()
      this.flushedOffset = maxOffset
      this.flushedStoreTimestamp = writtenStoreTimestamp
    } catch (error) {
      this.flushFailedForGood(error)
    }
    this.isFlushing = false
    if (this.sync && !this.flushFailed) this.onConfirmed()
  }

  private onConfirmed(): void {
    const { confirmOffset } = this
    this.follower.follow(confirmOffset, null, null, 0)
    if (this.mayAcknowledge?.() === false) return
    for (const put of this.takeWaiting(each => each.endOffset <= confirmOffset)) this.answer(put, PutStatus.OK)
    if (this.confirmWaiting.length > 0 || this.cancelTimeoutTimer === null) return
    this.cancelTimeoutTimer()
    this.cancelTimeoutTimer = null
  }

  /** After a failed flush the kernel may call lost pages clean: nothing is acknowledged any more, reads go on. */
  private flushFailedForGood(error: unknown): void {
    this.flushFailed = true
    this.failure = `flushing the CommitLog failed, the store is read-only until it is started again: ${(error as Error).message}`
    this.log.error({ err: error }, this.failure)
    for (const put of this.confirmWaiting.splice(0)) this.answer(put, PutStatus.SERVICE_NOT_AVAILABLE, this.failure)
  }

  /**
   * Takes over bytes of another log as they are: whole records, or parts that later calls complete. Throws EngineError
   * NOT_AT_END, and what the disk says; then nothing of it counts.
   */
  appendRaw(physicalOffset: number, bytes: Uint8Array): void {
    if (this.segments.last === undefined) this.maxOffset = physicalOffset
    if (physicalOffset !== this.maxOffset || this.writer.isBusy)
      throw new EngineError('NOT_AT_END', { offset: physicalOffset, end: this.maxOffset })
    if (this.flushFailed) throw new Error(this.failure ?? 'the store is read-only')
    let end = physicalOffset
    for (let pos = 0; pos < bytes.length; ) {
      const segment = this.segments.at(end) ?? this.segments.create(end)
      const length = Math.min(bytes.length - pos, segment.endOffset - end)
      segment.write(bytes, pos, length, end - segment.startOffset)
      pos += length
      end += length
    }
    this.maxOffset = end
    this.onWritten?.()
    this.onConfirmed()
    if (this.sync) void this.flushWritten()
    else this.flushLater()
  }

  /** Bytes of the log from an offset on, up to the end of its file; at least one, none at the log's end. */
  async readRaw(physicalOffset: number, maxBytes: number): Promise<Uint8Array> {
    const segment = this.segments.at(physicalOffset)
    if (segment === undefined || physicalOffset >= this.maxOffset) return new Uint8Array(0)
    const end = Math.min(physicalOffset + maxBytes, segment.endOffset, this.maxOffset)
    const bytes = Buffer.allocUnsafe(end - physicalOffset)
    const count = await segment.readAsync(bytes, physicalOffset - segment.startOffset)
    return bytes.subarray(0, count)
  }

  /** Whether a flush failed: then nothing may be called durable that was not before. */
  get hasLostWrites(): boolean {
    return this.flushFailed
  }

  /** Refuses everything from now on, and lets go of the files once what was written is durable. */
  async close(): Promise<void> {
    this.commit()
    this.cancelFlushTimer?.()
    await this.flush()
    this.cancelTimeoutTimer?.()
    // They are stored; replicas that were waited for may have them or not.
    for (const put of this.confirmWaiting.splice(0)) this.answer(put, PutStatus.FLUSH_SLAVE_TIMEOUT)
    this.failure ??= 'the store is closed'
    this.flushFailed = true
    this.segments.close()
  }
}
