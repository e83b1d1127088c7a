import { type Host, hostOf } from '../message/index.ts'
import { EngineError } from './errors.ts'

/** How a store works. Names follow RocketMQ's MessageStoreConfig, units end them. */
export interface StoreOptions {
  /** Where the CommitLog lies. Default: `commitlog` in the store's directory. */
  storePathCommitLog: string | null
  /** Size of a CommitLog file; fixed once the store exists. Default: 1 GiB. */
  mappedFileSizeCommitLogBytes: number
  /** Size of a ConsumeQueue file, rounded up to a multiple of 20. Default: 6,000,000 (300,000 units). */
  mappedFileSizeConsumeQueueBytes: number
  /** Size of a file of a batch ConsumeQueue, rounded up to a multiple of 46. Default: 13,800,000 (300,000 units). */
  mappedFileSizeBatchConsumeQueueBytes: number
  /** Size of RocketMQ's ConsumeQueue extension files, which are read where a store has them. Default: 48 MiB. */
  mappedFileSizeConsumeQueueExtBytes: number
  /** Slots and entries of an index file. Default: 5,000,000 and 20,000,000. */
  maxHashSlotNum: number
  maxIndexNum: number
  /** Whether messages can be found by key. Default: true. */
  messageIndexEnable: boolean
  /** Largest body. Default: 4 MiB. */
  maxMessageSizeBytes: number
  /** When a put is acknowledged: after the write, or after the flush that covers it. Default: ASYNC_FLUSH. */
  flushDiskType: 'ASYNC_FLUSH' | 'SYNC_FLUSH'
  /** Longest wait between flushes under ASYNC_FLUSH: what a power cut can lose. Default: 500. */
  flushIntervalCommitLogMs: number
  /** How often ConsumeQueue and index files are flushed and the checkpoint is written. Default: 10,000. */
  flushIntervalConsumeQueueMs: number
  /** How long a put waits for its flush under SYNC_FLUSH. Default: 5,000. */
  syncFlushTimeoutMs: number
  /** Puts are refused while a write of the CommitLog takes longer than this, because too much is unwritten. Default: 1,000. */
  osPageCacheBusyTimeoutMs: number
  /** How long a put waits for replicas. Default: 3,000. */
  slaveTimeoutMs: number
  /** Whether topics can be compacted. Default: true. */
  enableCompaction: boolean
  /** Sizes of the files of compacted topics, records and units, rounded as RocketMQ rounds them. Default: 100 MiB and 10 MiB. */
  compactionMappedFileSizeBytes: number
  compactionCqMappedFileSizeBytes: number
  /** How often topics are compacted. Default: 900,000. */
  compactionScheduleInternalMs: number
  /** Whether records carry a checksum of all of them, not of their body alone. Default: false. */
  enabledAppendPropCrc: boolean
  /** Whether messages with INNER_MULTI_DISPATCH get an offset in each LMQ queue that it names, and whether they are listed there. Default: false. */
  enableLmq: boolean
  enableMultiDispatch: boolean
  /** How many LMQ queues there may be. Default: 20,000. */
  maxLmqConsumeQueueNum: number
  /** Check bodies against their CRC while recovering. Default: true. */
  checkCrcOnRecover: boolean
  /** The delay of each level, e.g. `1s 5s 1m 2h`; decides tags codes of the schedule topic. */
  messageDelayLevel: string
  /** How exactly messages with an arbitrary delay are timed; rounded as RocketMQ does to 100, 200, 500 or 1,000. Default: 1,000. */
  timerPrecisionMs: number
  /** What is due later than so many times the precision is put again before. Default: 172,800 (two days). */
  timerRollWindowSlot: number
  /** Size of a file of the timer log. Default: 100 MiB. */
  mappedFileSizeTimerLogBytes: number
  /** Limits of one read: items and bytes, from recent data (32, 256 KiB) and from old data (8, 64 KiB). */
  maxTransferCountOnMessageInMemory: number
  maxTransferBytesOnMessageInMemory: number
  maxTransferCountOnMessageInDisk: number
  maxTransferBytesOnMessageInDisk: number
  /** While messages are put, a read of old data waits so many times as long as the one before it took, unless readers fall behind; 0: not at all. Default: 3. */
  coldReadRestRatio: number
  /** A read looks at units of so many bytes at most, so that one with a filter that rarely matches ends. Default: 16,000. */
  maxFilterMessageSizeBytes: number
  /** How far behind the end data counts as recent, in percent of this machine's memory. Default: 40. */
  accessMessageInMemoryMaxRatio: number
  /** So much of what was written last is read through the map; what is older, in the thread pool. Default: 512 MiB. */
  hotBytes: number
  /** How many files are open at once. Default: 1,024. */
  maxOpenFiles: number
  /** How long CommitLog files are kept after they were last written, in hours. Default: 72. */
  fileReservedTimeHours: number
  /** The hours of the day, local time, separated by `;`, in which files are deleted that are old enough. Default: 04. */
  deleteWhen: string
  /** How many CommitLog files one clean-up deletes at most. Default: 10. */
  deleteFileBatchMax: number
  /** Above this part of the disk, files that are old enough are deleted at any hour, in percent. Default: 75. */
  diskMaxUsedSpaceRatio: number
  /** Above this, the oldest files are deleted whatever their age, consumed or not, in percent, 30 to 85. Default: 85. */
  diskSpaceCleanForciblyRatio: number
  /** Above this, messages are refused too, in percent, 35 to 90. Default: 90. */
  diskSpaceWarningLevelRatio: number
  /** Whether a full disk deletes files that are not old enough. Default: true. */
  cleanFileForciblyEnable: boolean
  /** How often the store's owner calls `cleanUp`. Default: 10,000. */
  cleanResourceIntervalMs: number
  /** The address that records name as their broker. Default: 127.0.0.1:10911. */
  storeHost: Host
}

export const storeDefaults: Readonly<StoreOptions> = Object.freeze({
  storePathCommitLog: null,
  mappedFileSizeCommitLogBytes: 1024 * 1024 * 1024,
  mappedFileSizeConsumeQueueBytes: 300_000 * 20,
  mappedFileSizeBatchConsumeQueueBytes: 300_000 * 46,
  mappedFileSizeConsumeQueueExtBytes: 48 * 1024 * 1024,
  maxHashSlotNum: 5_000_000,
  maxIndexNum: 20_000_000,
  messageIndexEnable: true,
  maxMessageSizeBytes: 4 * 1024 * 1024,
  flushDiskType: 'ASYNC_FLUSH',
  flushIntervalCommitLogMs: 500,
  flushIntervalConsumeQueueMs: 10_000,
  syncFlushTimeoutMs: 5000,
  osPageCacheBusyTimeoutMs: 1000,
  slaveTimeoutMs: 3000,
  enableCompaction: true,
  compactionMappedFileSizeBytes: 104_857_600,
  compactionCqMappedFileSizeBytes: 10_485_760,
  compactionScheduleInternalMs: 900_000,
  enabledAppendPropCrc: false,
  enableLmq: false,
  enableMultiDispatch: false,
  maxLmqConsumeQueueNum: 20_000,
  checkCrcOnRecover: true,
  messageDelayLevel: '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h',
  timerPrecisionMs: 1000,
  timerRollWindowSlot: 172_800,
  mappedFileSizeTimerLogBytes: 104_857_600,
  maxTransferCountOnMessageInMemory: 32,
  maxTransferBytesOnMessageInMemory: 256 * 1024,
  maxTransferCountOnMessageInDisk: 8,
  maxTransferBytesOnMessageInDisk: 64 * 1024,
  coldReadRestRatio: 3,
  maxFilterMessageSizeBytes: 16_000,
  accessMessageInMemoryMaxRatio: 40,
  hotBytes: 512 * 1024 * 1024,
  maxOpenFiles: 1024,
  fileReservedTimeHours: 72,
  deleteWhen: '04',
  deleteFileBatchMax: 10,
  diskMaxUsedSpaceRatio: 75,
  diskSpaceCleanForciblyRatio: 85,
  diskSpaceWarningLevelRatio: 90,
  cleanFileForciblyEnable: true,
  cleanResourceIntervalMs: 10_000,
  storeHost: hostOf('127.0.0.1', 10911)
})

const UNIT_BYTES = 20
const BATCH_UNIT_BYTES = 46
/** MessageStoreConfig#setTimerPrecisionMs */
export const TIMER_PRECISIONS_MS: readonly number[] = [100, 200, 500, 1000]
/** Half the wheel, and some room. TimerMessageStore */
const MAX_ROLL_WINDOW_SLOTS = 7 * 86_400 - 60
/** Node maps no file that is larger, and RocketMQ neither. */
const MAX_FILE_BYTES = 0x7fff_ffff

/** Options with their defaults, checked and rounded. Throws EngineError BAD_OPTION. */
export function checkedOptions(given: Partial<StoreOptions>): StoreOptions {
  const options = { ...storeDefaults, ...given }
  const check = (option: keyof StoreOptions, low: number, high = Number.MAX_SAFE_INTEGER) => {
    const value = options[option] as number
    if (!(Number.isInteger(value) && value >= low && value <= high))
      throw new EngineError('BAD_OPTION', { option, value, allowed: `a whole number from ${low} to ${high}` })
  }
  check('mappedFileSizeCommitLogBytes', 1024, MAX_FILE_BYTES)
  check('mappedFileSizeConsumeQueueBytes', UNIT_BYTES, MAX_FILE_BYTES)
  check('mappedFileSizeBatchConsumeQueueBytes', BATCH_UNIT_BYTES, MAX_FILE_BYTES)
  check('compactionMappedFileSizeBytes', 1024, MAX_FILE_BYTES / 2)
  check('compactionCqMappedFileSizeBytes', 2 * BATCH_UNIT_BYTES, MAX_FILE_BYTES / 10)
  check('compactionScheduleInternalMs', 1)
  check('maxHashSlotNum', 1)
  check('maxIndexNum', 2, Math.floor((MAX_FILE_BYTES - 40 - 4 * options.maxHashSlotNum) / 20))
  check('maxMessageSizeBytes', 1, MAX_FILE_BYTES / 2)
  check('flushIntervalCommitLogMs', 1)
  check('flushIntervalConsumeQueueMs', 1)
  check('syncFlushTimeoutMs', 1)
  check('osPageCacheBusyTimeoutMs', 1)
  check('slaveTimeoutMs', 1)
  check('timerPrecisionMs', 1)
  check('timerRollWindowSlot', 0)
  check('mappedFileSizeTimerLogBytes', 1024, MAX_FILE_BYTES)
  check('maxFilterMessageSizeBytes', UNIT_BYTES)
  check('coldReadRestRatio', 0, 1000)
  check('maxOpenFiles', 16)
  check('deleteFileBatchMax', 1)
  const { flushDiskType } = options
  options.timerPrecisionMs = TIMER_PRECISIONS_MS.findLast(each => each <= options.timerPrecisionMs) ?? 100
  const windowSlots = options.timerRollWindowSlot
  if (windowSlots < 2 || windowSlots > MAX_ROLL_WINDOW_SLOTS) options.timerRollWindowSlot = MAX_ROLL_WINDOW_SLOTS
  const roundedUp = (bytes: number, unit: number) => Math.ceil(bytes / unit) * unit
  options.mappedFileSizeConsumeQueueBytes = roundedUp(options.mappedFileSizeConsumeQueueBytes, UNIT_BYTES)
  options.mappedFileSizeBatchConsumeQueueBytes = roundedUp(
    options.mappedFileSizeBatchConsumeQueueBytes,
    BATCH_UNIT_BYTES
  )
  if (flushDiskType !== 'ASYNC_FLUSH' && flushDiskType !== 'SYNC_FLUSH')
    throw new EngineError('BAD_OPTION', {
      option: 'flushDiskType',
      value: flushDiskType,
      allowed: 'ASYNC_FLUSH or SYNC_FLUSH'
    })
  if (options.storePathCommitLog?.includes(','))
    throw new EngineError('BAD_OPTION', {
      option: 'storePathCommitLog',
      value: options.storePathCommitLog,
      allowed: 'one directory'
    })
  return options
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The delay of each level in ms; level n is at index n - 1. Throws EngineError BAD_OPTION. ScheduleMessageService#parseDelayLevel */
export function parseDelayLevels(text: string): number[] {
  return text
    .trim()
    .split(/\s+/)
    .map(part => {
      const [, count, unit] = /^(\d+)([smhd])$/.exec(part) ?? []
      if (count === undefined)
        throw new EngineError('BAD_OPTION', {
          option: 'messageDelayLevel',
          value: part,
          allowed: 'numbers with s, m, h or d, separated by spaces'
        })
      return Number(count) * UNIT_MS[unit!]!
    })
}
