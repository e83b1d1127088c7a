import { RecordCheck, RecordCursor } from '../message/index.ts'
import type { Checkpoint } from './checkpoint.ts'
import type { CommitLog } from './commit-log.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { Files } from './files.ts'
import type { Log } from './log.ts'
import type { MappedFile } from './mapped-file.ts'
import type { Reput } from './reput.ts'

export interface RecoveryProgress {
  doneBytes: number
  totalBytes: number
}

/** A part of the log that holds no valid record, with valid records behind it. */
export interface DamagedRange {
  from: number
  to: number
}

/** The loop is given back at least this often, ms. */
const SLICE_MS = 20
/** How far before the time in the checkpoint a segment is certainly durable. StoreCheckpoint#getMinTimestamp */
const CHECKPOINT_SLACK_MS = 3000
/** First bytes of either magic number, for finding the next record behind damage. */
const MAGIC_START = Buffer.from([0xda, 0xa3, 0x20])
const MAGIC_AT = 4

/**
 * Finds the end of the log after a stop, cuts a torn tail off, and brings the derived files in line with it: each record
 * behind the safe point is checked (magic, size, CRC, and that it lies where it says) and dispatched again.
 * CommitLog#recoverNormally, #recoverAbnormally
 */
export class Recovery {
  readonly damaged: DamagedRange[] = []
  private readonly cursor = new RecordCursor()
  private sliceEndMs = 0
  /** Whether a record was met whose queue lacks the units before it. */
  private gaps = false

  private readonly files: Files
  private readonly commitLog: CommitLog
  private readonly queues: ConsumeQueueStore
  private readonly reput: Reput
  private readonly log: Log
  private readonly checkCrc: boolean
  private readonly onProgress: (progress: RecoveryProgress) => void

  constructor(
    files: Files,
    commitLog: CommitLog,
    queues: ConsumeQueueStore,
    reput: Reput,
    checkCrc: boolean,
    log: Log,
    onProgress: (progress: RecoveryProgress) => void
  ) {
    this.files = files
    this.commitLog = commitLog
    this.queues = queues
    this.reput = reput
    this.checkCrc = checkCrc
    this.log = log
    this.onProgress = onProgress
  }

  async run(checkpoint: Checkpoint, cleanStop: boolean, indexedUntil: number | null): Promise<void> {
    const { list } = this.commitLog.segments
    if (list.length === 0) {
      for (const queue of this.queues.all()) queue.truncate(0)
      return
    }
    let start = this.startSegment(checkpoint, cleanStop, indexedUntil)
    let end = await this.scan(start)
    // A queue that lacks units from before the scanned part was lost: everything is dispatched again.
    if (start > 0 && (end === null || this.gaps)) {
      this.log.warn({}, 'ConsumeQueue units are missing: they are built again from the whole CommitLog')
      start = 0
      end = await this.scan(0)
    }
    this.finish(end ?? this.commitLog.minOffset)
  }

  /** The last segment whose beginning was certainly durable and dispatched. */
  private startSegment(checkpoint: Checkpoint, cleanStop: boolean, indexedUntil: number | null): number {
    const { list } = this.commitLog.segments
    const safeMs = Math.min(checkpoint.physicMsgTimestamp, checkpoint.logicsMsgTimestamp) - CHECKPOINT_SLACK_MS
    const dispatched = Math.max(-1, ...[...this.queues.all()].map(queue => queue.physicalAt(queue.maxOffset - 1)))
    for (let i = list.length - 1; i > 0; i--) {
      const { map, startOffset, sizeBytes } = list[i]!
      if (this.cursor.at(map.view, map.bytes, 0, sizeBytes) !== RecordCheck.OK) continue
      if (startOffset > dispatched) continue
      if (indexedUntil !== null && startOffset > indexedUntil) continue
      if (cleanStop || this.cursor.storeTimestamp <= safeMs) return i
    }
    return 0
  }

  /** Checks and dispatches from a segment on; returns the end of the last valid record, null without any. */
  private async scan(firstSegment: number): Promise<number | null> {
    const { list } = this.commitLog.segments
    const totalBytes = list.at(-1)!.endOffset - list[firstSegment]!.startOffset
    this.gaps = false
    this.damaged.length = 0
    let end: number | null = null
    for (let i = firstSegment; i < list.length; i++) {
      const segment = list[i]!
      const next = await this.scanSegment(segment, i === list.length - 1, doneBytes =>
        this.onProgress({ doneBytes: segment.startOffset - list[firstSegment]!.startOffset + doneBytes, totalBytes })
      )
      if (next !== null) end = next
      if (this.gaps && firstSegment > 0) return end
    }
    this.onProgress({ doneBytes: totalBytes, totalBytes })
    return end
  }

  private async scanSegment(
    segment: MappedFile,
    last: boolean,
    progress: (doneBytes: number) => void
  ): Promise<number | null> {
    const { map, startOffset, sizeBytes } = segment
    const { cursor } = this
    // Behind the last block on the disk there are only zeros.
    const limit = last ? Math.min(sizeBytes, this.files.allocatedBytes(segment.fd) + 4096) : sizeBytes
    let pos = 0
    let end: number | null = null
    while (pos < sizeBytes) {
      if (performance.now() > this.sliceEndMs) {
        progress(pos)
        await new Promise(resolve => setImmediate(resolve))
        this.sliceEndMs = performance.now() + SLICE_MS
      }
      const check = cursor.at(map.view, map.bytes, pos, sizeBytes)
      if (check === RecordCheck.BLANK && cursor.sizeBytes === sizeBytes - pos) return segment.endOffset
      if (
        check === RecordCheck.OK &&
        cursor.physicalOffset === startOffset + pos &&
        (!this.checkCrc || cursor.crcOk())
      ) {
        this.dispatch(segment, pos)
        pos += cursor.sizeBytes
        end = startOffset + pos
        continue
      }
      const next = this.nextRecord(segment, pos + 1, limit)
      if (next < 0) {
        if (last) return end
        if (pos < sizeBytes) this.report(startOffset + pos, segment.endOffset)
        return segment.endOffset
      }
      this.report(startOffset + pos, startOffset + next)
      pos = next
    }
    return end
  }

  private dispatch(segment: MappedFile, pos: number): void {
    const { map, startOffset, sizeBytes } = segment
    const { cursor } = this
    const queue = this.queues.find(cursor.topic, cursor.queueId)
    const expected = queue?.maxOffset ?? 0
    if (cursor.queueOffset > expected && this.commitLog.minOffset < startOffset) this.gaps = true
    this.commitLog.lastStoreTimestamp = cursor.storeTimestamp
    this.reput.dispatchAt(map.view, map.bytes, pos, sizeBytes, startOffset)
  }

  /** Position of the next whole record at or behind `from`; -1 when there is none. */
  private nextRecord(segment: MappedFile, from: number, limit: number): number {
    const { map, startOffset, sizeBytes } = segment
    const searched = map.bytes.subarray(0, limit)
    for (
      let magic = searched.indexOf(MAGIC_START, from + MAGIC_AT);
      magic >= 0;
      magic = searched.indexOf(MAGIC_START, magic + 1)
    ) {
      const pos = magic - MAGIC_AT
      if (
        this.cursor.at(map.view, map.bytes, pos, sizeBytes) === RecordCheck.OK &&
        this.cursor.physicalOffset === startOffset + pos &&
        this.cursor.crcOk()
      )
        return pos
    }
    return -1
  }

  private report(from: number, to: number): void {
    this.damaged.push({ from, to })
    this.log.error({ from, to }, 'a part of the CommitLog is damaged and is passed over; what lies behind it is served')
  }

  private finish(end: number): void {
    const { commitLog } = this
    // A log that was cut exactly at a segment's end goes on in the next segment.
    commitLog.segments.truncate(end)
    commitLog.maxOffset = end
    commitLog.flushedOffset = end
    for (const queue of this.queues.all()) {
      queue.truncate(end)
      queue.correctMinOffset(commitLog.minOffset)
    }
  }
}
