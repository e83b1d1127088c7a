import { join } from 'node:path'
import { FileNumbers } from './file-numbers.ts'
import type { Files } from './files.ts'
import { ENTRY as INDEX_ENTRY, HEADER as INDEX_HEADER, indexFileBytes, SLOT_BYTES } from './index-file.ts'
import { fileNameOf, MappedFile, MappedFileQueue } from './mapped-file.ts'
import { OpenFiles } from './open-files.ts'
import { type StoreOptions, storeDefaults } from './options.ts'

/** Sizes that are part of a store, and where its log lies. */
export type StoreShape = Pick<
  StoreOptions,
  | 'mappedFileSizeCommitLogBytes'
  | 'mappedFileSizeConsumeQueueBytes'
  | 'mappedFileSizeBatchConsumeQueueBytes'
  | 'mappedFileSizeConsumeQueueExtBytes'
  | 'maxHashSlotNum'
  | 'maxIndexNum'
> & { logPath: string }

const SEGMENT_NAME = /^\d{20}$/
const INDEX_NAME = /^\d{17}$/
const MAX_OPEN_FILES = 512
const BLOCK_BYTES = 64 * 1024
/** So many entries must agree on how many slots there are. */
const TRIED_ENTRIES = 64

/** Directories of queues below a directory, as consumequeue/TOPIC/QUEUE. */
export function* queueDirectories(
  files: Files,
  dir: string
): Generator<{ topic: string; queueId: number; path: string }> {
  for (const topic of files.list(dir))
    if (!topic.isFile)
      for (const queue of files.list(join(dir, topic.name)))
        if (!queue.isFile && /^\d{1,9}$/.test(queue.name))
          yield { topic: topic.name, queueId: Number(queue.name), path: join(dir, topic.name, queue.name) }
}

function largestSegment(files: Files, directories: Iterable<string>): number {
  let size = 0
  for (const directory of directories)
    for (const { name, isFile, sizeBytes } of files.list(directory))
      if (isFile && SEGMENT_NAME.test(name)) size = Math.max(size, sizeBytes)
  return size
}

/** Learns from a store's files what its settings were: those that are `given` hold, the others follow from sizes and contents. */
export function shapeOf(files: Files, dir: string, given: Partial<StoreOptions> = {}): StoreShape {
  const logPath = given.storePathCommitLog ?? join(dir, 'commitlog')
  const queueSize = (kind: string) =>
    largestSegment(
      files,
      [...queueDirectories(files, join(dir, kind))].map(({ path }) => path)
    )
  const d = storeDefaults
  return {
    logPath,
    mappedFileSizeCommitLogBytes:
      given.mappedFileSizeCommitLogBytes ?? (largestSegment(files, [logPath]) || d.mappedFileSizeCommitLogBytes),
    mappedFileSizeConsumeQueueBytes:
      given.mappedFileSizeConsumeQueueBytes ?? (queueSize('consumequeue') || d.mappedFileSizeConsumeQueueBytes),
    mappedFileSizeBatchConsumeQueueBytes:
      given.mappedFileSizeBatchConsumeQueueBytes ??
      (queueSize('batchconsumequeue') || d.mappedFileSizeBatchConsumeQueueBytes),
    mappedFileSizeConsumeQueueExtBytes:
      given.mappedFileSizeConsumeQueueExtBytes ??
      (queueSize('consumequeue_ext') || d.mappedFileSizeConsumeQueueExtBytes),
    ...indexShape(files, join(dir, 'index'), given)
  }
}

type IndexShape = Pick<StoreShape, 'maxHashSlotNum' | 'maxIndexNum'>

function indexShape(files: Files, dir: string, given: Partial<StoreOptions>): IndexShape {
  const { maxHashSlotNum = storeDefaults.maxHashSlotNum, maxIndexNum = storeDefaults.maxIndexNum } = given
  const usual = { maxHashSlotNum, maxIndexNum }
  const entries = files
    .list(dir)
    .filter(({ name, isFile, sizeBytes }) => isFile && INDEX_NAME.test(name) && sizeBytes > 0)
  const sizeBytes = Math.max(0, ...entries.map(entry => entry.sizeBytes))
  if (sizeBytes === 0 || sizeBytes === indexFileBytes(maxHashSlotNum, maxIndexNum)) return usual
  const openFiles = new OpenFiles(MAX_OPEN_FILES)
  for (const { name } of entries.filter(entry => entry.sizeBytes === sizeBytes)) {
    const file = new MappedFile(files, openFiles, dir, name, 0, sizeBytes)
    const slots = slotsOf(file, sizeBytes)
    file.close()
    if (slots > 0) return { maxHashSlotNum: slots, maxIndexNum: entriesOf(sizeBytes, slots) }
  }
  // Four entries a slot, as the defaults have, as near as that comes.
  const words = (sizeBytes - INDEX_HEADER.bytes) / SLOT_BYTES
  // A file that was cut off says nothing.
  if (!Number.isInteger(words)) return usual
  const entryWords = INDEX_ENTRY.bytes / SLOT_BYTES
  const near = words / (1 + 4 * entryWords)
  const rest = words % entryWords
  const slots = rest + entryWords * Math.max(rest === 0 ? 1 : 0, Math.round((near - rest) / entryWords))
  return { maxHashSlotNum: slots, maxIndexNum: entriesOf(sizeBytes, slots) }
}

const entriesOf = (sizeBytes: number, slots: number): number =>
  (sizeBytes - INDEX_HEADER.bytes - SLOT_BYTES * slots) / INDEX_ENTRY.bytes

/** The number of slots with which the first entries of an index file are in the chains that they say; 0 when none fits. */
function slotsOf(file: MappedFile, sizeBytes: number): number {
  const onUnreadable = () => {}
  const header = new FileNumbers(file, INDEX_HEADER.bytes, onUnreadable)
  const count = header.i32(INDEX_HEADER.at.indexCount)
  const begin = header.i64(INDEX_HEADER.at.beginPhysicalOffset)
  if (count <= 1) return 0
  const numbers = new FileNumbers(file, BLOCK_BYTES, onUnreadable)
  const own = new FileNumbers(file, BLOCK_BYTES, onUnreadable)
  const words = Math.floor((sizeBytes - INDEX_HEADER.bytes) / SLOT_BYTES)
  const unitWords = INDEX_ENTRY.bytes / SLOT_BYTES
  for (let slots = words % unitWords || unitWords; slots + count * unitWords <= words; slots += unitWords) {
    const first = indexFileBytes(slots, 1)
    if (numbers.i64(first + INDEX_ENTRY.at.physicalOffset) !== begin) continue
    // What was never written looks like an entry of a log that begins at 0.
    if (numbers.i32(first + INDEX_ENTRY.at.keyHash) === 0) continue
    if (chainsFit(own, slots, count)) return slots
  }
  return 0
}

function chainsFit(numbers: FileNumbers, slots: number, count: number): boolean {
  const newest = new Map<number, number>()
  const tried = Math.min(count, TRIED_ENTRIES)
  for (let entry = 1; entry < tried; entry++) {
    const at = indexFileBytes(slots, entry)
    const keyHash = numbers.i32(at + INDEX_ENTRY.at.keyHash)
    const slot = keyHash % slots
    if (keyHash < 0 || numbers.i32(at + INDEX_ENTRY.at.previous) !== (newest.get(slot) ?? 0)) return false
    newest.set(slot, entry)
  }
  for (const [slot, entry] of newest) {
    const there = numbers.i32(INDEX_HEADER.bytes + slot * SLOT_BYTES)
    if (there < entry || there >= count) return false
  }
  return true
}

/** Opens files of a log or a queue to read from them; what does not fit among them is told and left out. */
export function segmentsToRead(
  files: Files,
  openFiles: OpenFiles,
  dir: string,
  sizeBytes: number,
  onMisfit: (name: string, problem: 'stray' | 'size' | 'place' | 'gap', sizeBytes: number) => void = () => {}
): MappedFileQueue {
  const segments = new MappedFileQueue(files, openFiles, dir, sizeBytes)
  for (const entry of files.list(dir)) {
    const { name } = entry
    if (!entry.isFile || !SEGMENT_NAME.test(name)) {
      onMisfit(name, 'stray', entry.sizeBytes)
      continue
    }
    const startOffset = Number(name)
    if (startOffset % sizeBytes !== 0) {
      onMisfit(name, 'place', entry.sizeBytes)
      continue
    }
    if (entry.sizeBytes !== sizeBytes) onMisfit(name, 'size', entry.sizeBytes)
    const { last } = segments
    if (last !== undefined && last.endOffset !== startOffset) onMisfit(fileNameOf(last.endOffset), 'gap', 0)
    segments.list.push(new MappedFile(files, openFiles, dir, name, startOffset, sizeBytes))
  }
  return segments
}

/** How many files the tools hold open at once. */
export const filesToRead = (): OpenFiles => new OpenFiles(MAX_OPEN_FILES)
