import type { Clock } from './clock.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { Log } from './log.ts'
import { LogScanner } from './log-scanner.ts'
import type { MappedFileQueue } from './mapped-file.ts'

/** The last whole record in front of an offset. */
export interface LogTail {
  /** Where it begins; -1 when there is none. */
  readonly start: number
  /** Where it ends, or the blank end of a file behind it; where the log begins when there is none. */
  readonly end: number
}

/** Finds the last whole record that ends at or before an offset: from the queues one that lies near, from there on by reading. */
export async function tailBefore(
  offset: number,
  segments: MappedFileQueue,
  queues: ConsumeQueueStore,
  clock: Clock,
  log: Log
): Promise<LogTail> {
  const minOffset = segments.first?.startOffset ?? offset
  const scanner = new LogScanner(segments, false, clock, log)
  let from = -1
  for (const queue of queues.all()) from = Math.max(from, queue.lastRecordBefore(offset))
  if (from < minOffset) from = segments.at(offset - 1)?.startOffset ?? minOffset
  for (;;) {
    let start = -1
    const end = await scanner.scan(from, offset, {
      onRecord: (_cursor, _bytes, physicalOffset) => {
        start = physicalOffset
      },
      onDamage: () => {},
      onProgress: () => {}
    })
    if (start >= 0) return { start, end }
    if (from <= minOffset) return { start, end: Math.min(minOffset, offset) }
    from = segments.at(from - 1)?.startOffset ?? minOffset
  }
}
