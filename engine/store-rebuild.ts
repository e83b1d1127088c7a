import { join } from 'node:path'
import { QueueUnits } from './check-queue.ts'
import { Findings } from './check-report.ts'
import { Checkpoint } from './checkpoint.ts'
import { type Clock, realClock } from './clock.ts'
import { EngineError } from './errors.ts'
import type { Files } from './files.ts'
import { type Log, silentLog } from './log.ts'
import { openStore, type StoreStatistics } from './message-store.ts'
import { realFiles } from './native/real-files.ts'
import type { StoreOptions } from './options.ts'
import type { RecoveryProgress } from './recovery.ts'
import { lockStore } from './store-check.ts'
import { StoreNotes } from './store-notes.ts'
import { filesToRead, queueDirectories, type StoreShape, segmentsToRead, shapeOf } from './store-shape.ts'

/** What follows from the log. */
const DERIVED = ['consumequeue', 'batchconsumequeue', 'consumequeue_ext', 'index'] as const

export interface RebuildOptions {
  /** Settings that the store was written with, as far as they are known; sizes are else learnt from the files. */
  store?: Partial<StoreOptions>
  /** Moves the old files aside, into `replaced-TIME` in the store's directory. Default: false, they are deleted. */
  keep?: boolean
  onProgress?: (progress: RecoveryProgress) => void
  log?: Log
  files?: Files
  clock?: Clock
}

export interface RebuildResult {
  queueCount: number
  minPhysicalOffset: number
  maxPhysicalOffset: number
  /** Parts of the log that were passed over. */
  damagedBytes: StoreStatistics['damagedBytes']
  /** Where the old files are; null when they were not kept. */
  replacedDir: string | null
}

/**
 * Deletes what follows from the CommitLog (ConsumeQueues, index, what the checkpoint says of them) and builds it again.
 * The log stays as it is, up to a torn end, which is cut off. A stop amid it loses nothing: the next start goes on.
 * Throws EngineError STORE_LOCKED, NOT_A_STORE, BAD_FILE, BAD_OPTION.
 */
export async function rebuildStore(dir: string, options: RebuildOptions = {}): Promise<RebuildResult> {
  const files = options.files ?? realFiles
  const clock = options.clock ?? realClock
  const unlock = await lockStore(files, dir)
  let shape: StoreShape
  let batchTopics: Set<string>
  let multiDispatch: boolean
  const replacedDir = options.keep === true ? join(dir, `replaced-${clock.now()}`) : null
  try {
    shape = shapeOf(files, dir, options.store)
    if (files.list(shape.logPath).length === 0) throw new EngineError('NOT_A_STORE', { path: dir })
    const queuesIn = (kind: string) => [...queueDirectories(files, join(dir, kind))]
    batchTopics = new Set(queuesIn('batchconsumequeue').map(({ topic }) => topic))
    multiDispatch = queuesIn('consumequeue').some(({ topic }) => topic.startsWith('%LMQ%'))
    await noteBounds(files, dir, shape)
    // From here on a start of the store does the same.
    await forget(files, dir)
    for (const name of DERIVED) putAway(files, dir, name, replacedDir)
  } finally {
    unlock()
  }
  const { logPath, ...sizes } = shape
  const store = await openStore(
    dir,
    {
      ...options.store,
      ...sizes,
      storePathCommitLog: options.store?.storePathCommitLog ?? null,
      enableMultiDispatch: options.store?.enableMultiDispatch ?? multiDispatch
    },
    {
      files,
      clock,
      log: options.log ?? silentLog,
      queueTypeOf: topic => (batchTopics.has(topic) ? 'BatchCQ' : undefined),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress })
    }
  )
  const queueCount = store.topics().reduce((sum, topic) => sum + store.queueIds(topic).length, 0)
  const { minPhysicalOffset, maxPhysicalOffset } = store
  const { damagedBytes } = store.statistics
  await store.close()
  return { queueCount, minPhysicalOffset, maxPhysicalOffset, damagedBytes, replacedDir }
}

/** How far each queue reaches: one whose messages are all deleted goes on there, not at 0. */
async function noteBounds(files: Files, dir: string, shape: StoreShape): Promise<void> {
  const notes = new StoreNotes(files, dir)
  notes.load()
  notes.mappedFileSizeCommitLog = shape.mappedFileSizeCommitLogBytes
  notes.indexFiles = []
  const openFiles = filesToRead()
  for (const kind of ['consumequeue', 'batchconsumequeue'])
    for (const { topic, queueId, path } of queueDirectories(files, join(dir, kind))) {
      const isBatch = kind === 'batchconsumequeue'
      const sizeBytes = isBatch ? shape.mappedFileSizeBatchConsumeQueueBytes : shape.mappedFileSizeConsumeQueueBytes
      const segments = segmentsToRead(files, openFiles, path, sizeBytes)
      const queue = new QueueUnits(topic, queueId, path, true, segments, isBatch, new Findings())
      let end = 0
      for (const [, { base, count }] of queue.real()) end = Math.max(end, base + count)
      queue.close()
      notes.queues[topic] ??= {}
      const [min, max] = notes.queues[topic][queueId] ?? [0, 0]
      notes.queues[topic][queueId] = [min, Math.max(max, end)]
    }
  await notes.save()
}

/** The checkpoint then says that nothing of the log was followed. */
async function forget(files: Files, dir: string): Promise<void> {
  const checkpoint = new Checkpoint(files, dir)
  checkpoint.load()
  checkpoint.logicsPhysicalOffset = 0
  checkpoint.indexPhysicalOffset = -1
  checkpoint.confirmPhyOffset = 0
  checkpoint.physicMsgTimestamp = 0
  checkpoint.logicsMsgTimestamp = 0
  checkpoint.indexMsgTimestamp = 0
  await checkpoint.save()
}

function putAway(files: Files, dir: string, name: string, replacedDir: string | null): void {
  const path = join(dir, name)
  if (!files.exists(path)) return
  if (replacedDir === null) files.removeDirectory(path)
  else {
    files.makeDirectory(replacedDir)
    files.rename(path, join(replacedDir, name))
  }
}
