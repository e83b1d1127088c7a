import { basename, join } from 'node:path'
import { isLmq } from '../message/index.ts'
import { BATCH_UNIT } from './batch-consume-queue.ts'
import type { Findings } from './check-report.ts'
import { CQ_UNIT, FIRST_ADDRESS_HIGH, MAX_EXTENSION_ADDRESS } from './consume-queue.ts'
import type { ConsumeQueueExtension } from './consume-queue-extension.ts'
import { FileNumbers } from './file-numbers.ts'
import type { MappedFile, MappedFileQueue } from './mapped-file.ts'
import { BLANK_SIZE } from './queue-index.ts'

const BLOCK_BYTES = 4000

/** So many wrong units are told one by one, the others together. */
const MAX_TOLD_ONE_BY_ONE = 1000

/** A unit as it stands in a file. */
export interface UnitThere {
  physicalOffset: number
  sizeBytes: number
  /** null where it should be in RocketMQ's extension and is not. */
  tagsCode: number | null
  /** Of a unit of a batch queue. */
  storeTimestamp: number
  base: number
  count: number
}

/** A record's unit as it should be. */
export interface UnitExpected {
  queueOffset: number
  physicalOffset: number
  sizeBytes: number
  tagsCode: number
  storeTimestamp: number
  count: number
}

/** Records in a row whose units are not there, or say something else. */
interface Lack {
  from: number
  to: number
  physicalOffset: number
  /** What is wrong with the first one; null when there is nothing. */
  differs: string | null
}

/** The units of one queue, read without trust: one can be compared with its record, and those that no record claims are found. */
export class QueueUnits {
  readonly topic: string
  readonly queueId: number
  /** Below the store's directory. */
  readonly path: string
  readonly exists: boolean
  /** Records whose units are not right, oldest first. */
  readonly lacks: Lack[] = []
  readonly isBatch: boolean
  extension: ConsumeQueueExtension | null = null

  private readonly segments: MappedFileQueue
  private readonly unitBytes: number
  private readonly findings: Findings
  private numbers: FileNumbers | null = null
  /** A bit for each unit, from the first file's first on. */
  private claimed = new Uint8Array(64)
  private unitOfBase: Map<number, number> | null = null

  constructor(
    topic: string,
    queueId: number,
    path: string,
    exists: boolean,
    segments: MappedFileQueue,
    isBatch: boolean,
    findings: Findings
  ) {
    this.topic = topic
    this.queueId = queueId
    this.path = path
    this.exists = exists
    this.segments = segments
    this.isBatch = isBatch
    this.unitBytes = isBatch ? BATCH_UNIT.bytes : CQ_UNIT.bytes
    this.findings = findings
  }

  private numbersOf(file: MappedFile): FileNumbers {
    if (this.numbers?.file !== file)
      this.numbers = new FileNumbers(file, BLOCK_BYTES, (error, pos) =>
        this.findings.add(
          'queue',
          true,
          join(this.path, fileName(file)),
          (error as Error).message,
          pos,
          pos + BLOCK_BYTES
        )
      )
    return this.numbers as FileNumbers
  }

  /** What stands where a unit should be; null outside of the files. */
  at(unit: number): UnitThere | null {
    const file = this.segments.at(unit * this.unitBytes)
    if (file === undefined) return null
    const numbers = this.numbersOf(file)
    const pos = unit * this.unitBytes - file.startOffset
    const { at } = this.isBatch ? BATCH_UNIT : CQ_UNIT
    const physicalOffset = numbers.i64(pos + at.physicalOffset)
    const sizeBytes = numbers.i32(pos + at.sizeBytes)
    const tagsCode = this.tagsCodeOf(numbers, pos + at.tagsCode)
    if (!this.isBatch) return { physicalOffset, sizeBytes, tagsCode, storeTimestamp: 0, base: unit, count: 1 }
    return {
      physicalOffset,
      sizeBytes,
      tagsCode,
      storeTimestamp: numbers.i64(pos + BATCH_UNIT.at.storeTimestamp),
      base: numbers.i64(pos + BATCH_UNIT.at.base),
      count: numbers.i16(pos + BATCH_UNIT.at.count)
    }
  }

  private tagsCodeOf(numbers: FileNumbers, pos: number): number | null {
    const tagsCode = numbers.i64(pos)
    if (this.isBatch || tagsCode > MAX_EXTENSION_ADDRESS) return tagsCode
    const offset = (numbers.i32(pos) - FIRST_ADDRESS_HIGH) * 0x1_0000_0000 + numbers.u32(pos + 4)
    return this.extension?.tagsCodeAt(offset) ?? null
  }

  /** The unit that holds a message; -1 without one. */
  unitOf(queueOffset: number): number {
    if (!this.isBatch) return queueOffset
    if (this.unitOfBase === null) {
      this.unitOfBase = new Map()
      for (const [unit, there] of this.real()) this.unitOfBase.set(there.base, unit)
    }
    return this.unitOfBase.get(queueOffset) ?? -1
  }

  /** Compares a record's unit with what is there. */
  expect(wanted: UnitExpected): void {
    const { queueOffset, physicalOffset } = wanted
    const unit = this.unitOf(queueOffset)
    const there = unit < 0 ? null : this.at(unit)
    const isThere = there !== null && there.sizeBytes > 0 && there.sizeBytes !== BLANK_SIZE
    const differs = isThere ? difference(wanted, there, this.isBatch) : null
    if (isThere && differs === null) {
      this.claim(unit)
      this.supersede(queueOffset)
      return
    }
    // A unit that means this record is no other one's.
    if (isThere && there.physicalOffset === physicalOffset) this.claim(unit)
    const last = this.lacks.at(-1)
    const alike = last !== undefined && last.to === queueOffset && (last.differs === null) === (differs === null)
    if (alike && (differs === null || this.lacks.length >= MAX_TOLD_ONE_BY_ONE)) last.to = queueOffset + wanted.count
    else this.lacks.push({ from: queueOffset, to: queueOffset + wanted.count, physicalOffset, differs })
  }

  /** A topic that was deleted and made anew begins at 0 again: what lies behind a later record's place was of the old one. */
  private supersede(queueOffset: number): void {
    const { lacks } = this
    for (let last = lacks.at(-1); last !== undefined && last.to > queueOffset; last = lacks.at(-1))
      if (last.from >= queueOffset) lacks.pop()
      else last.to = queueOffset
  }

  private get firstUnit(): number {
    return (this.segments.first?.startOffset ?? 0) / this.unitBytes
  }

  private claim(unit: number): void {
    const bit = unit - this.firstUnit
    const at = Math.floor(bit / 8)
    if (at >= this.claimed.length) {
      const larger = new Uint8Array(Math.max(at + 1, 2 * this.claimed.length))
      larger.set(this.claimed)
      this.claimed = larger
    }
    this.claimed[at] = this.claimed[at]! | (1 << (bit % 8))
  }

  isClaimed(unit: number): boolean {
    const bit = unit - this.firstUnit
    return ((this.claimed[Math.floor(bit / 8)] ?? 0) & (1 << (bit % 8))) !== 0
  }

  /** Puts the records whose units are not right in the order of the queue, for `isLacking`. */
  sortLacks(): void {
    this.lacks.sort((a, b) => a.from - b.from)
  }

  isLacking(queueOffset: number): boolean {
    let low = 0
    let high = this.lacks.length
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.lacks[middle]!.from <= queueOffset) low = middle + 1
      else high = middle
    }
    const lack = this.lacks[low - 1]
    return lack !== undefined && queueOffset < lack.to
  }

  /** Bounds of the units, whether they stand for something or not. */
  get bounds(): [from: number, to: number] {
    return [this.firstUnit, (this.segments.last?.endOffset ?? 0) / this.unitBytes]
  }

  /** All units from one on that stand for something: not those that fill a queue, nor what was never written. */
  *real(from = 0): Generator<[unit: number, there: UnitThere]> {
    const fromByte = from * this.unitBytes
    for (const file of this.segments.list) {
      for (let pos = Math.max(0, fromByte - file.startOffset); pos + this.unitBytes <= file.sizeBytes; ) {
        const unit = (file.startOffset + pos) / this.unitBytes
        const there = this.at(unit)!
        if (there.sizeBytes !== BLANK_SIZE && (there.sizeBytes !== 0 || there.physicalOffset !== 0)) yield [unit, there]
        pos += this.unitBytes
        if (there.sizeBytes !== 0) continue
        const next = this.numbersOf(file).nextNonZero(pos)
        if (next < 0) break
        pos = Math.max(pos, next - (next % this.unitBytes))
      }
    }
  }

  /** File and position of a unit. */
  placeOf(unit: number): { path: string; pos: number } {
    const file = this.segments.at(unit * this.unitBytes)
    if (file === undefined) return { path: this.path, pos: 0 }
    return { path: join(this.path, fileName(file)), pos: unit * this.unitBytes - file.startOffset }
  }

  /** Whether records of other topics are listed here. */
  get isLmq(): boolean {
    return isLmq(this.topic)
  }

  get sizeOfUnit(): number {
    return this.unitBytes
  }

  close(): void {
    for (const file of this.segments.list) file.close()
    this.numbers = null
  }
}

const fileName = (file: MappedFile): string => basename(file.path)

function difference(wanted: UnitExpected, there: UnitThere, isBatch: boolean): string | null {
  const { physicalOffset, sizeBytes, tagsCode } = there
  if (physicalOffset !== wanted.physicalOffset)
    return `it names physical offset ${physicalOffset}, its record lies at ${wanted.physicalOffset}`
  if (sizeBytes !== wanted.sizeBytes) return `it says ${sizeBytes} bytes, its record has ${wanted.sizeBytes}`
  // What is lost of RocketMQ's extension counts as any tag.
  if (tagsCode !== null && tagsCode !== wanted.tagsCode)
    return `it has tags code ${tagsCode}, its record ${wanted.tagsCode}`
  if (!isBatch) return null
  if (there.count !== wanted.count) return `it says ${there.count} messages, its record holds ${wanted.count}`
  if (there.storeTimestamp !== wanted.storeTimestamp)
    return `it says stored at ${there.storeTimestamp}, its record ${wanted.storeTimestamp}`
  return null
}
