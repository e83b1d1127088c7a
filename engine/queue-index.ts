/** Says of one queue of one topic where each message lies in the CommitLog, in RocketMQ's form of the files. ConsumeQueueInterface */
export interface QueueIndex {
  readonly topic: string
  readonly queueId: number
  /** Queue offset of the first message that still exists. */
  readonly minOffset: number
  /** Queue offset behind the last message that can be pulled. */
  readonly maxOffset: number
  /** The queue offset that the next put gets; ahead of maxOffset by what is not dispatched yet. */
  nextOffset: number
  /** False when files or units were found broken and removed: they are to be built again. */
  readonly isWhole: boolean
  /** Physical offset behind the last message of the queue; 0 without one. */
  readonly physicalEnd: number
  /** Whether records of other topics are listed here, each under an offset that one of its properties gives. */
  readonly isMulti: boolean

  /** Finds the files and their last unit; of the newest `checkBytes` every unit is looked at. */
  load(checkBytes: number): void
  /** Adds a record of `count` messages behind the last one. */
  append(
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void
  /** Whether the unit of a message says just this. */
  holds(queueOffset: number, physicalOffset: number, sizeBytes: number, tagsCode: number): boolean
  /** Puts a unit right that is there already. */
  correct(
    queueOffset: number,
    physicalOffset: number,
    sizeBytes: number,
    tagsCode: number,
    storeTimestamp: number,
    count: number
  ): void

  /** Physical offset of the record that holds a message; -1 when there is no such unit. */
  physicalAt(queueOffset: number): number
  sizeAt(queueOffset: number): number
  /** Hash of the record's tag; null when it is not known. */
  tagsCodeAt(queueOffset: number): number | null
  /** Queue offset of the first message of the record that holds a message. */
  baseAt(queueOffset: number): number
  /** Queue offset of the next record. */
  nextAt(queueOffset: number): number
  /** Whether a unit stands for a message. */
  isReal(queueOffset: number): boolean

  /** Drops the units of messages at or behind a physical offset, and what else lies there. */
  truncate(physicalOffset: number): void
  /** Moves the first offset to the first message that the CommitLog still has. */
  correctMinOffset(minPhysicalOffset: number): void
  /** Removes files all of whose messages are gone; the last one stays. */
  deleteExpired(): void
  /** Writes the units that are only in memory. Throws what the disk says. */
  writeOut(): void
  /** Makes all units durable that are there now. */
  flush(): Promise<void>
  /** Empties the queue and removes its files: it is to be built again. */
  clear(): void
  close(): void
}

/** How a topic's queues are kept: a unit a message, or a unit a batch. CQType */
export type QueueType = 'SimpleCQ' | 'BatchCQ'
