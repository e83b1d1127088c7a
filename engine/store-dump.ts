import { join } from 'node:path'
import { decodeRecord, type MessageRecord, RECORD_HEAD, RecordCheck, RecordCursor, viewOf } from '../message/index.ts'
import { QueueUnits, type UnitThere } from './check-queue.ts'
import { Findings } from './check-report.ts'
import { realClock } from './clock.ts'
import { EngineError } from './errors.ts'
import type { Files } from './files.ts'
import { silentLog } from './log.ts'
import { LogScanner } from './log-scanner.ts'
import type { MappedFileQueue } from './mapped-file.ts'
import { readOnlyFiles } from './native/read-only-files.ts'
import type { StoreOptions } from './options.ts'
import { BLANK_SIZE } from './queue-index.ts'
import { filesToRead, queueDirectories, segmentsToRead, shapeOf } from './store-shape.ts'

/** Which messages of a store are wanted. */
export interface DumpQuery {
  /** Its messages, queue by queue as its ConsumeQueues list them; without it all records in the order of the log. */
  topic?: string
  /** Of the topic only this queue. */
  queueId?: number
  /** The first queue offset. Default: the oldest there is. */
  fromOffset?: number
  /** The first store time, ms. */
  fromTimeMs?: number
  /** Of the log: where to begin; what lies there need not be the start of a record. */
  fromPhysicalOffset?: number
}

export interface DumpOptions {
  /** Settings that the store was written with, as far as they are known. */
  store?: Partial<StoreOptions>
  files?: Files
}

export interface DumpListener {
  /** A message, with the whole record that holds it, which is the listener's to keep; `queueOffset` is what its queue says. False ends the dump. */
  onMessage(message: MessageRecord, record: Uint8Array, queueOffset: number): boolean | Promise<boolean>
  /** A queue lists what the log does not have, or bytes [from, to) of the log hold no record. */
  onDamage(from: number, to: number, text: string): void
}

/**
 * Hands out the messages of a store without opening it: nothing is recovered, locked or changed. Resolves at the last
 * message, or when the listener has enough. Throws EngineError NOT_A_STORE, NO_SUCH_QUEUE.
 */
export async function dumpStore(
  dir: string,
  query: DumpQuery,
  listener: DumpListener,
  options: DumpOptions = {}
): Promise<void> {
  const files = options.files ?? readOnlyFiles
  const shape = shapeOf(files, dir, options.store)
  const openFiles = filesToRead()
  const log = segmentsToRead(files, openFiles, shape.logPath, shape.mappedFileSizeCommitLogBytes)
  if (log.list.length === 0) throw new EngineError('NOT_A_STORE', { path: dir })
  try {
    if (query.topic === undefined) {
      await dumpLog(log, query, listener)
      return
    }
    const queues: QueueUnits[] = []
    for (const kind of ['consumequeue', 'batchconsumequeue'])
      for (const { topic, queueId, path } of queueDirectories(files, join(dir, kind))) {
        if (topic !== query.topic || (query.queueId !== undefined && query.queueId !== queueId)) continue
        const isBatch = kind === 'batchconsumequeue'
        const sizeBytes = isBatch ? shape.mappedFileSizeBatchConsumeQueueBytes : shape.mappedFileSizeConsumeQueueBytes
        const segments = segmentsToRead(files, openFiles, path, sizeBytes)
        queues.push(
          new QueueUnits(topic, queueId, join(kind, topic, String(queueId)), true, segments, isBatch, new Findings())
        )
      }
    if (queues.length === 0)
      throw new EngineError('NO_SUCH_QUEUE', { path: dir, topic: query.topic, queueId: query.queueId ?? 'of any id' })
    for (const queue of queues.sort((a, b) => a.queueId - b.queueId)) {
      const goOn = await dumpQueue(log, queue, query, listener)
      queue.close()
      if (!goOn) return
      await new Promise(resolve => setImmediate(resolve))
    }
  } finally {
    for (const file of log.list) file.close()
  }
}

/** Ends a walk through the log. */
class Enough extends Error {}

/** The listener gets so much of the log at a time. */
const GATHERED_BYTES = 4 * 1024 * 1024

async function dumpLog(log: MappedFileQueue, query: DumpQuery, listener: DumpListener): Promise<void> {
  const { fromPhysicalOffset = 0, fromTimeMs = Number.NEGATIVE_INFINITY } = query
  const begin = Math.max(log.first!.startOffset, fromPhysicalOffset)
  const logEnd = log.last!.endOffset
  for (let from = begin, isEnd = false; !isEnd; ) {
    const records: Buffer[] = []
    let bytes = 0
    const start = from
    try {
      await new LogScanner(log, true, realClock, silentLog).scan(start, logEnd, {
        onRecord: (cursor, buffer, physicalOffset) => {
          from = physicalOffset + cursor.sizeBytes
          const end = cursor.propertiesEnd
          if (cursor.storeTimestamp < fromTimeMs) return
          records.push(Buffer.from(buffer.subarray(end - cursor.sizeBytes, end)))
          bytes += cursor.sizeBytes
          if (bytes >= GATHERED_BYTES) throw new Enough()
        },
        onDamage: (damageFrom, to) => {
          // The dump may begin in the middle of a record.
          if (damageFrom > begin || fromPhysicalOffset === 0)
            listener.onDamage(damageFrom, to, 'no valid record lies there')
        },
        onProgress: () => {}
      })
      isEnd = true
    } catch (error) {
      if (!(error instanceof Enough)) throw error
    }
    for (const record of records) {
      const message = decodeRecord(record)
      if (!(await listener.onMessage(message, record, message.queueOffset))) return
    }
  }
}

const cursor = new RecordCursor()

/** The whole record that a unit names; null when the log does not have it. */
function recordOf(log: MappedFileQueue, { physicalOffset, sizeBytes }: UnitThere): Buffer | null {
  const segment = log.at(physicalOffset)
  if (segment === undefined || sizeBytes <= RECORD_HEAD.bytes) return null
  const position = physicalOffset - segment.startOffset
  if (position + sizeBytes > segment.sizeBytes) return null
  const bytes = Buffer.alloc(sizeBytes)
  if (segment.read(bytes, position) < sizeBytes) return null
  const whole = cursor.at(viewOf(bytes), bytes, 0, sizeBytes) === RecordCheck.OK && cursor.sizeBytes === sizeBytes
  return whole && cursor.physicalOffset === physicalOffset && cursor.crcOk() ? bytes : null
}

/** The first unit whose record was stored at or after a time, as far as records can be read: times in a queue only grow. */
function unitAtTime(log: MappedFileQueue, queue: QueueUnits, timeMs: number): number {
  let [low, high] = queue.bounds
  if (timeMs === Number.NEGATIVE_INFINITY) return low
  const minOffset = log.first!.startOffset
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [next] = queue.real(middle)
    const isBehind = next === undefined || next[0] >= high
    const record = isBehind ? null : recordOf(log, next[1])
    // What is gone is older; one that is damaged says nothing, and the walk passes it by its own time.
    if (!isBehind && (record === null ? next[1].physicalOffset < minOffset : cursor.storeTimestamp < timeMs))
      low = next[0] + 1
    else high = middle
  }
  return low
}

async function dumpQueue(
  log: MappedFileQueue,
  queue: QueueUnits,
  query: DumpQuery,
  listener: DumpListener
): Promise<boolean> {
  const { fromOffset = 0, fromTimeMs = Number.NEGATIVE_INFINITY } = query
  const minOffset = log.first!.startOffset
  const first = queue.isBatch ? 0 : Math.max(fromOffset, unitAtTime(log, queue, fromTimeMs))
  for (const [, unit] of queue.real(first)) {
    if (unit.sizeBytes === BLANK_SIZE || unit.base + unit.count <= fromOffset) continue
    const { physicalOffset, sizeBytes, base } = unit
    // Its file was deleted with its time.
    if (physicalOffset >= 0 && physicalOffset < minOffset) continue
    const record = recordOf(log, unit)
    if (record === null) {
      const text = `message ${base} of queue ${queue.queueId} should lie there`
      listener.onDamage(physicalOffset, physicalOffset + sizeBytes, text)
      continue
    }
    if (cursor.storeTimestamp < fromTimeMs) continue
    if (!(await listener.onMessage(decodeRecord(record), record, base))) return false
  }
  return true
}
