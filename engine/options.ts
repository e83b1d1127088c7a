import { type Host, hostOf } from '../message/index.ts'
import { EngineError } from './errors.ts'

/** How a store works. Names follow RocketMQ's MessageStoreConfig, units end them. */
export interface StoreOptions {
  /** Where the CommitLog lies. Default: `commitlog` in the store's directory. */
  storePathCommitLog: string | null
  /** Size of a CommitLog file; fixed once the store exists. Default: 1 GiB. */
  mappedFileSizeCommitLogBytes: number
  /** Size of a ConsumeQueue file, a multiple of 20. Default: 6,000,000 (300,000 units). */
  mappedFileSizeConsumeQueueBytes: number
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
  /** Check bodies against their CRC while recovering. Default: true. */
  checkCrcOnRecover: boolean
  /** The delay of each level, e.g. `1s 5s 1m 2h`; decides tags codes of the schedule topic. */
  messageDelayLevel: string
  /** Limits of one read: items and bytes, from recent data and from old data. */
  maxTransferCountOnMessageInMemory: number
  maxTransferBytesOnMessageInMemory: number
  maxTransferCountOnMessageInDisk: number
  maxTransferBytesOnMessageInDisk: number
  /** How far behind the end data counts as recent, in bytes. Default: 512 MiB. */
  hotBytes: number
  /** The address that records name as their broker. Default: 127.0.0.1:10911. */
  storeHost: Host
}

export const storeDefaults: Readonly<StoreOptions> = Object.freeze({
  storePathCommitLog: null,
  mappedFileSizeCommitLogBytes: 1024 * 1024 * 1024,
  mappedFileSizeConsumeQueueBytes: 300_000 * 20,
  maxHashSlotNum: 5_000_000,
  maxIndexNum: 20_000_000,
  messageIndexEnable: true,
  maxMessageSizeBytes: 4 * 1024 * 1024,
  flushDiskType: 'ASYNC_FLUSH',
  flushIntervalCommitLogMs: 500,
  flushIntervalConsumeQueueMs: 10_000,
  syncFlushTimeoutMs: 5000,
  checkCrcOnRecover: true,
  messageDelayLevel: '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h',
  maxTransferCountOnMessageInMemory: 32,
  maxTransferBytesOnMessageInMemory: 256 * 1024,
  maxTransferCountOnMessageInDisk: 8,
  maxTransferBytesOnMessageInDisk: 64 * 1024,
  hotBytes: 512 * 1024 * 1024,
  storeHost: hostOf('127.0.0.1', 10911)
})

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
