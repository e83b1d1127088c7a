import type { Clock } from './clock.ts'
import type { CommitLog } from './commit-log.ts'
import type { ConsumeQueueStore } from './consume-queue-store.ts'
import type { Files } from './files.ts'
import type { KeyIndex } from './key-index.ts'
import type { Log } from './log.ts'
import type { StoreOptions } from './options.ts'

/** RocketMQ's limits of the two marks, in percent. */
const WARNING_LIMITS = [35, 90] as const
const FORCED_LIMITS = [30, 85] as const
/** An administrator's request holds for so many runs. CleanCommitLogService#MAX_MANUAL_DELETE_FILE_TIMES */
const RUNS_OF_REQUEST = 20
const HOUR_MS = 3_600_000

/** The loop is given back after so many queues. */
const QUEUES_IN_TURN = 64

const within = (value: number, [low, high]: readonly [number, number]): number => Math.min(Math.max(value, low), high)

/** Why a run deletes files: those that are old enough, or the oldest whatever their age. */
type Cause = { reason: string; forced: boolean }

export interface RetentionParts {
  files: Files
  /** A path on the partition of the CommitLog, and one on that of the ConsumeQueues. */
  logPath: string
  queuePath: string
  commitLog: CommitLog
  queues: ConsumeQueueStore
  index: KeyIndex | null
  options: StoreOptions
  clock: Clock
  log: Log
  /** Up to where queues and index are durable: what lies behind may have to be built from the log again. */
  durableUntil: () => number
  /** Makes that go on. */
  saveCheckpoint: () => Promise<void>
  /** Called between the CommitLog's files and those derived from them. */
  beforeDerived: () => Promise<void>
}

/** Deletes what is old, and what a full disk has no room for. DefaultMessageStore.CleanCommitLogService, CleanConsumeQueueService */
export class Retention {
  /** How many CommitLog files went because of the disk, whether their messages were consumed or not. */
  forcedCount = 0
  private readonly parts: RetentionParts
  private requestedRuns = 0
  /** Whether it was told that the disk fills up. */
  private isWarned = false
  private running: Promise<number> = Promise.resolve(0)

  constructor(parts: RetentionParts) {
    this.parts = parts
  }

  /** Makes the next runs delete what is old, whatever the hour. executeDeleteFilesManually */
  request(): void {
    this.requestedRuns = RUNS_OF_REQUEST
  }

  /** Looks at hour and disk and deletes what they call for; sets or lifts the refusal of a full disk. Returns how many CommitLog files went. */
  run(): Promise<number> {
    const cause = this.cause()
    if (cause === null) return Promise.resolve(0)
    const { options, clock, log } = this.parts
    if (cause.forced) log.warn({}, `${cause.reason}: CommitLog files are deleted, whether they were consumed or not`)
    const beforeMs = clock.now() - options.fileReservedTimeHours * HOUR_MS
    if (!cause.forced) return this.delete(beforeMs, options.deleteFileBatchMax)
    return this.delete(Number.POSITIVE_INFINITY, options.deleteFileBatchMax).then(count => {
      this.forcedCount += count
      return count
    })
  }

  private cause(): Cause | null {
    const { files, logPath, queuePath, commitLog, options, clock } = this.parts
    const percentOf = (path: string) => Math.ceil(files.usedRatio(path) * 100)
    const warning = within(options.diskSpaceWarningLevelRatio, WARNING_LIMITS)
    const forced = within(options.diskSpaceCleanForciblyRatio, FORCED_LIMITS)
    const percent = Math.max(percentOf(logPath), percentOf(queuePath))
    const reason = `the disk is ${percent} % full`
    this.warnInTime(percent, forced)
    commitLog.refusal = percent > warning ? `${reason}, messages are taken up to ${warning} %` : null
    if (percent > warning || percent > forced) return { reason, forced: options.cleanFileForciblyEnable }
    if (percent > options.diskMaxUsedSpaceRatio) return { reason, forced: false }
    const hour = new Date(clock.now()).getHours()
    if (options.deleteWhen.split(';').some(each => Number(each) === hour)) return { reason: 'the hour', forced: false }
    if (this.requestedRuns === 0) return null
    this.requestedRuns--
    return { reason: 'a request', forced: false }
  }

  /** Tells once that deletion by force is near, each time that the disk fills up. */
  private warnInTime(percent: number, forced: number): void {
    const { options, log } = this.parts
    const isNear = options.cleanFileForciblyEnable && percent > Math.min(options.diskMaxUsedSpaceRatio, forced)
    if (isNear && !this.isWarned && percent <= forced)
      log.warn(
        { percent, diskSpaceCleanForciblyRatio: forced },
        `the disk is ${percent} % full: above ${forced} % the oldest CommitLog files are deleted, whether they were consumed or not`
      )
    this.isWarned = isNear
  }

  /** Deletes files that were last written before a time, oldest first, never the last one. Returns how many CommitLog files went. */
  delete(beforeMs: number, maxFiles: number): Promise<number> {
    this.running = this.running.catch(() => 0).then(() => this.deleteNow(beforeMs, maxFiles))
    return this.running
  }

  private async deleteNow(beforeMs: number, maxFiles: number): Promise<number> {
    const { commitLog, queues, index, log, durableUntil, saveCheckpoint } = this.parts
    const { segments } = commitLog
    if (segments.list.length > 1 && segments.first!.endOffset > durableUntil()) await saveCheckpoint()
    let count = 0
    while (count < maxFiles && this.mayDelete(count) && segments.list[count]!.modifiedMs < beforeMs) count++
    if (count === 0) return 0
    const old = segments.list.slice(0, count)
    const minOffset = segments.list[count]!.startOffset
    // First, so that readers are never told of messages that are gone.
    await inTurns(queues.all(), QUEUES_IN_TURN, queue => queue.correctMinOffset(minOffset))
    await inTurns(old, 1, file => {
      log.info({ path: file.path }, 'deleted a CommitLog file')
      segments.removeFirst()
    })
    await this.parts.beforeDerived()
    await inTurns(queues.all(), QUEUES_IN_TURN, queue => queue.deleteExpired())
    index?.deleteExpired(minOffset)
    return count
  }

  /** Whether a CommitLog file may go, by its place: not the last one, and none from which something may have to be built again. */
  private mayDelete(i: number): boolean {
    const { list } = this.parts.commitLog.segments
    return i < list.length - 1 && list[i]!.endOffset <= this.parts.durableUntil()
  }
}

async function inTurns<T>(items: Iterable<T>, inTurn: number, work: (item: T) => void | Promise<void>): Promise<void> {
  let count = 0
  for (const item of [...items]) {
    await work(item)
    if (++count % inTurn === 0) await new Promise(resolve => setImmediate(resolve))
  }
}
