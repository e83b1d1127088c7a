import type { Test } from 'tap'
import {
  type MessageStore,
  messageOf,
  openStore,
  type PutMessage,
  PutStatus,
  type StoreOptions
} from '../../engine/index.ts'
import { decodeRecord, encodeBatch, encodeProperties, hostOf, type MessageRecord } from '../../message/index.ts'
import { keepLog } from './log.ts'
import { ManualClock } from './manual-clock.ts'
import { below, oneOf, type Random } from './seeded.ts'
import { type Crash, SimulatedFiles, STORE_DIR } from './simulated-files.ts'

/** Files so small that a few messages fill them. */
export const TINY_STORE: Partial<StoreOptions> = {
  mappedFileSizeCommitLogBytes: 8192,
  mappedFileSizeConsumeQueueBytes: 20 * 16,
  maxHashSlotNum: 7,
  maxIndexNum: 24,
  maxMessageSizeBytes: 4096,
  hotBytes: 4096,
  maxOpenFiles: 16
}

const BORN_HOST = hostOf('10.0.0.1', 1234)
const MAX_MS = Number.MAX_SAFE_INTEGER

/** A message that was put, and what became of it. */
export interface Put {
  topic: string
  queueId: number
  body: string
  key: string
  /** null until its waiter heard. */
  status: number | null
  reason: string | null
  queueOffset: number
  physicalOffset: number
}

export function putMessageOf(
  topic: string,
  queueId: number,
  body: Uint8Array,
  properties: Readonly<Record<string, string>> = {}
): PutMessage {
  return messageOf({ topic, queueId, body, properties, bornTimestamp: 1_700_000_000_000, bornHost: BORN_HOST })
}

/** Lets everything that is under way in the simulated thread pool end. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 12; i++) await new Promise(resolve => setImmediate(resolve))
}

/** All records of a queue, oldest first, as a consumer gets them. */
export async function readQueue(store: MessageStore, topic: string, queueId: number): Promise<MessageRecord[]> {
  const records: MessageRecord[] = []
  for (let offset = store.minQueueOffset(topic, queueId); offset < store.maxQueueOffset(topic, queueId); ) {
    const result = await store.getMessages(topic, queueId, offset, 32)
    for (const { bytes, start, end } of result.slices) records.push(decodeRecord(bytes.slice(start, end)))
    if (result.nextBeginOffset <= offset) throw new Error(`a read of ${topic} ${queueId} stands still at ${offset}`)
    offset = result.nextBeginOffset
  }
  return records
}

/** A store on a simulated disk beside a list of what was put into it: both must say the same, whatever happens. */
export class StoreModel {
  disk = new SimulatedFiles()
  readonly clock = new ManualClock()
  readonly log = keepLog()
  readonly puts: Put[] = []
  store!: MessageStore
  /** How many of the writes to the CommitLog the system holds back, 0 to 1: they go through the thread pool then. */
  slowWrites = 0
  private readonly options: Partial<StoreOptions>
  private readonly random: Random
  private lastNumber = 0

  constructor(random: Random, options: Partial<StoreOptions> = {}) {
    this.random = random
    this.options = { ...TINY_STORE, ...options }
  }

  async open(): Promise<void> {
    this.disk.now = this.clock.now
    this.disk.onWrite = path => {
      if (path.includes('commitlog') && this.slowWrites > 0 && this.random() < this.slowWrites) this.clock.pass(20)
    }
    this.store = await openStore(STORE_DIR, this.options, { files: this.disk, clock: this.clock, log: this.log })
  }

  async close(): Promise<void> {
    await this.store.close()
  }

  /** Ends the process, and more or less of what was not durable; `open` then starts another. */
  crash(keeps: Crash['keeps']): void {
    this.disk = this.disk.crash({ keeps })
    // Timers of the dead process are gone with it.
    this.clock.clear()
  }

  private newBody(mayBeLarge: boolean): string {
    const sizeBytes = mayBeLarge && this.random() < 0.1 ? below(this.random, 3000) : below(this.random, 200)
    return `${++this.lastNumber}:`.padEnd(sizeBytes, `${this.lastNumber % 10}`)
  }

  /** Puts a message, or some as a batch; their entries in `puts` learn how it went. */
  put(topic = oneOf(this.random, ['orders', 'bills']), queueId = below(this.random, 2), count = 1): Put[] {
    const puts = Array.from({ length: count }, (): Put => {
      const body = this.newBody(count === 1)
      return {
        topic,
        queueId,
        body,
        key: `k${this.lastNumber}`,
        status: null,
        reason: null,
        queueOffset: -1,
        physicalOffset: -1
      }
    })
    this.puts.push(...puts)
    const propertiesOf = ({ key }: Put) => ({ KEYS: `${key} shared`, TAGS: 'tag', UNIQ_KEY: `u${key}` })
    const physicalOffsets: number[] = []
    const waiter = {
      onPut: (status: number, physicalOffset: number, queueOffset: number, _: number, reason: string | null) => {
        puts.forEach((put, i) => {
          if (put.status !== null) throw new Error('a put was answered twice')
          put.status = status
          put.reason = reason
          put.queueOffset = queueOffset < 0 ? -1 : queueOffset + i
          put.physicalOffset = count === 1 ? physicalOffset : (physicalOffsets[i] ?? -1)
        })
      }
    }
    const first = puts[0]!
    if (count === 1) this.store.put(putMessageOf(topic, queueId, Buffer.from(first.body), propertiesOf(first)), waiter)
    else {
      const entries = puts.map(put => ({
        flag: 0,
        body: Buffer.from(put.body),
        properties: encodeProperties(propertiesOf(put))
      }))
      this.store.putBatch(putMessageOf(topic, queueId, encodeBatch(entries)), waiter, physicalOffsets)
    }
    return puts
  }

  get acknowledged(): Put[] {
    return this.puts.filter(put => put.status === PutStatus.OK)
  }

  /** Everything that `must` be there is, in its place; whatever else is there was put once, and is there once. */
  async verify(t: Test, must: readonly Put[], about: string): Promise<void> {
    const problems: string[] = []
    const { store } = this
    const known = new Map(this.puts.map(put => [put.body, put]))
    const found = new Map<string, MessageRecord>()
    const { dispatchBehindBytes } = store.statistics
    if (dispatchBehindBytes !== 0) problems.push(`${dispatchBehindBytes} bytes are not dispatched`)
    for (const topic of store.topics())
      for (const queueId of store.queueIds(topic)) {
        let before = -1
        for (const record of await readQueue(store, topic, queueId)) {
          const body = Buffer.from(record.body).toString()
          if (record.queueOffset <= before) problems.push(`${topic} ${queueId}: ${record.queueOffset} behind ${before}`)
          before = record.queueOffset
          const put = known.get(body)
          if (put === undefined || put.topic !== topic || put.queueId !== queueId)
            problems.push(`${topic} ${queueId} ${record.queueOffset}: a message that nobody put`)
          if (found.has(body)) problems.push(`${topic} ${queueId} ${record.queueOffset}: the message is there twice`)
          found.set(body, record)
        }
      }
    for (const put of must) {
      if (put.queueOffset < store.minQueueOffset(put.topic, put.queueId)) continue
      const record = found.get(put.body)
      const name = `${put.topic} ${put.queueId} ${put.queueOffset}`
      if (record === undefined) problems.push(`${name} is lost`)
      else if (record.queueOffset !== put.queueOffset || record.physicalOffset !== put.physicalOffset)
        problems.push(`${name} lies at ${record.queueOffset}`)
      else if (put.body.length % 3 === 0) {
        const { records } = await store.queryByKey(put.topic, put.key, 32, 0, MAX_MS)
        if (!records.some(each => decodeRecord(each).physicalOffset === put.physicalOffset))
          problems.push(`${name} is not found by its key`)
      }
    }
    t.same(problems, [], `${about}: ${must.length} messages are where they were acknowledged`)
  }
}
