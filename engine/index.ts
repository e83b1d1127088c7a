// Open a store, put and get messages.

export { readFileOrBackup, writeFileAtomically } from './atomic-file.ts'
// What a caller can put in the place of disk and time; files that are replaced as a whole.
export { type Clock, realClock } from './clock.ts'
export { EngineError, type EngineErrorCode, EngineErrors } from './errors.ts'
export type { DirectoryEntry, Files, MappedBytes } from './files.ts'
export { MessageStore, openStore, type StoreSeams } from './message-store.ts'
export { realFiles } from './native/real-files.ts'
// What can be set, and what can go wrong.
export { parseDelayLevels, type StoreOptions, storeDefaults } from './options.ts'
export { type PutMessage, type PutResult, PutStatus, type PutWaiter } from './put-status.ts'
export type { GetResult, GetStatus, MessageFilter, Slice } from './reader.ts'
export type { DamagedRange, RecoveryProgress } from './recovery.ts'
export type { ArrivalListener } from './reput.ts'
