// Open a store, put and get messages.

export type { LogTail } from './log-tail.ts'
export { messageOf, type NewMessage } from './message-of.ts'
export { MessageStore, openStore, type StoreSeams, type StoreStatistics } from './message-store.ts'
export { type PutMessage, type PutResult, PutStatus, type PutWaiter } from './put-status.ts'
export type { QueueType } from './queue-index.ts'
export type { GetResult, GetStatus, MessageFilter, Slice } from './reader.ts'
export type { RecoveryProgress } from './recovery.ts'
export type { ArrivalListener } from './reput.ts'

// Messages that wait for their time.

export type { DueSlot } from './timer/timer-files.ts'
export { TimerMagic, type TimerUnit } from './timer/timer-log.ts'
export { type TimerParts, TimerStore } from './timer/timer-store.ts'

// What a message is when it comes back.

export {
  decodeRecord,
  decodeRecords,
  type Host,
  hostOf,
  type MessageRecord,
  type Properties
} from '../message/index.ts'

// What can be set, and what can go wrong.

export type { DamagedRange } from './damage.ts'
export { EngineError, type EngineErrorCode, EngineErrors } from './errors.ts'
export type { Log } from './log.ts'
export { parseDelayLevels, type StoreOptions, storeDefaults } from './options.ts'

// Look into a store that no process has open, and put it right.

export type { Finding, FindingKind } from './check-report.ts'
export { type CheckOptions, checkStore, type StoreReport } from './store-check.ts'
export { type DumpListener, type DumpOptions, type DumpQuery, dumpStore } from './store-dump.ts'
export { type RebuildOptions, type RebuildResult, rebuildStore } from './store-rebuild.ts'

// What a caller can put in the place of disk and time; files that are replaced as a whole.

export { readFileOrBackup, writeFileAtomically } from './atomic-file.ts'
export { type Clock, realClock } from './clock.ts'
export { type DirectoryEntry, type Files, type MappedBytes, writeFully } from './files.ts'
export { mappedFileCount, realFiles } from './native/real-files.ts'
