import { join } from 'node:path'
import type { Files } from '../engine/index.ts'
import { isLmq } from '../message/index.ts'
import { ConfigFile } from './config-file.ts'
import { type DataVersion, dataVersionOf, newDataVersion, nextVersion } from './data-version.ts'
import type { BrokerOptions } from './options.ts'

type Queues = Map<number, number>

/** How far each group has come in each queue, in consumerOffset.json; in lmqConsumerOffset.json when there are LMQ queues. ConsumerOffsetManager, LmqConsumerOffsetManager */
export class ConsumerOffsets {
  version: DataVersion = newDataVersion()

  /** group, topic, queue id, offset: nested, so that the hot path builds no key. */
  private readonly groups = new Map<string, Map<string, Queues>>()
  /** Offsets that an administrator set and that the next pull of the queue takes up. */
  private readonly resets = new Map<string, Map<string, Queues>>()
  private readonly pulls = new Map<string, Map<string, Queues>>()
  private readonly file: ConfigFile
  /** What is read when LMQ queues are new here. */
  private readonly fallback: ConfigFile | null = null
  private readonly flushIntervalMs: number

  constructor(options: BrokerOptions, files: Files, configDir: string) {
    this.flushIntervalMs = options.flushConsumerOffsetIntervalMs
    const body = () => ({
      dataVersion: this.version,
      offsetTable: this.table(),
      pullOffsetTable: flatten(this.pulls)
    })
    const plain = new ConfigFile(files, join(configDir, 'consumerOffset.json'), options.log, body)
    this.file = plain
    if (!options.store.enableLmq) return
    this.fallback = plain
    this.file = new ConfigFile(files, join(configDir, 'lmqConsumerOffset.json'), options.log, () => ({
      dataVersion: this.version,
      lmqOffsetTable: this.lmqTable(),
      offsetTable: this.table(),
      pullOffsetTable: flatten(this.pulls)
    }))
  }

  load(): void {
    const saved = this.file.load() ?? this.fallback?.load() ?? null
    if (saved === null) return
    this.version = dataVersionOf(saved.dataVersion)
    restore(this.groups, saved.offsetTable)
    restore(this.pulls, saved.pullOffsetTable)
    restoreLmq(this.groups, saved.lmqOffsetTable)
  }

  /** Sets where a group goes on in a queue. ConsumerOffsetManager#commitOffset */
  commit(group: string, topic: string, queueId: number, offset: number): void {
    const queues = queuesOf(this.groups, group, topic)
    if (queues.get(queueId) === offset) return
    queues.set(queueId, offset)
    nextVersion(this.version)
    this.file.saveWithin(this.flushIntervalMs)
  }

  /** Where a group goes on; -1 when it never committed. A pending reset counts first. */
  get(group: string, topic: string, queueId: number): number {
    return this.resets.get(group)?.get(topic)?.get(queueId) ?? this.groups.get(group)?.get(topic)?.get(queueId) ?? -1
  }

  /** Remembers how far a group has pulled, for statistics. */
  pulled(group: string, topic: string, queueId: number, offset: number): void {
    queuesOf(this.pulls, group, topic).set(queueId, offset)
  }

  /** -1 when it never pulled. */
  pulledOffset(group: string, topic: string, queueId: number): number {
    return this.pulls.get(group)?.get(topic)?.get(queueId) ?? -1
  }

  /** Sets an offset that the next pull of the queue takes up, whatever it asks for. ConsumerOffsetManager#assignResetOffset */
  reset(group: string, topic: string, queueId: number, offset: number): void {
    queuesOf(this.resets, group, topic).set(queueId, offset)
    this.commit(group, topic, queueId, offset)
  }

  hasReset(group: string, topic: string, queueId: number): boolean {
    return this.resets.size > 0 && (this.resets.get(group)?.get(topic)?.has(queueId) ?? false)
  }

  /** The pending reset of a queue, which is over with this call; -1 without one. */
  takeReset(group: string, topic: string, queueId: number): number {
    const queues = this.resets.size > 0 ? this.resets.get(group)?.get(topic) : undefined
    const offset = queues?.get(queueId)
    if (offset === undefined) return -1
    queues!.delete(queueId)
    return offset
  }

  /** Queue offsets of a group in a topic. */
  queuesOf(group: string, topic: string): ReadonlyMap<number, number> | undefined {
    return this.groups.get(group)?.get(topic)
  }

  topicsOf(group: string): string[] {
    return [...(this.groups.get(group)?.keys() ?? [])]
  }

  groupsOf(topic: string): string[] {
    return [...this.groups].filter(([, topics]) => topics.has(topic)).map(([group]) => group)
  }

  /** ConsumerOffsetManager#cloneOffset */
  clone(from: string, to: string, topic: string): void {
    for (const [queueId, offset] of this.groups.get(from)?.get(topic) ?? []) this.commit(to, topic, queueId, offset)
  }

  deleteTopic(topic: string): void {
    for (const groups of [this.groups, this.resets, this.pulls])
      for (const topics of groups.values()) topics.delete(topic)
    this.changed()
  }

  deleteGroup(group: string): void {
    for (const groups of [this.groups, this.resets, this.pulls]) groups.delete(group)
    this.changed()
  }

  private changed(): void {
    nextVersion(this.version)
    this.file.saveWithin(0)
  }

  /** The body of GET_ALL_CONSUMER_OFFSET. ConsumerOffsetSerializeWrapper */
  toBody(): object {
    return {
      dataVersion: this.version,
      ...(this.fallback === null ? {} : { lmqOffsetTable: this.lmqTable() }),
      groupTopicMap: new Map([...this.groups].map(([group, topics]) => [group, [...topics.keys()]])),
      offsetTable: this.table(),
      pullOffsetTable: flatten(this.pulls)
    }
  }

  /** `topic@group`, queue id, offset: as the file and slaves have it. */
  table(): Map<string, Queues> {
    return flatten(this.groups, this.fallback === null ? undefined : group => !isLmq(group))
  }

  /** `topic@group`, offset, of LMQ groups: each has one queue. */
  private lmqTable(): Map<string, number> {
    const table = new Map<string, number>()
    for (const [group, topics] of this.groups)
      if (isLmq(group)) for (const [topic, queues] of topics) table.set(`${topic}@${group}`, queues.get(0) ?? 0)
    return table
  }

  /** Takes over what the master has; what it lacks stays. SlaveSynchronize#syncConsumerOffset */
  adopt(body: Record<string, unknown>): void {
    restore(this.groups, body.offsetTable)
    restoreLmq(this.groups, body.lmqOffsetTable)
    this.version = dataVersionOf(body.dataVersion)
    this.file.saveWithin(this.flushIntervalMs)
  }

  close(): Promise<void> {
    return this.file.close()
  }
}

function queuesOf(groups: Map<string, Map<string, Queues>>, group: string, topic: string): Queues {
  let topics = groups.get(group)
  if (topics === undefined) {
    topics = new Map()
    groups.set(group, topics)
  }
  let queues = topics.get(topic)
  if (queues === undefined) {
    queues = new Map()
    topics.set(topic, queues)
  }
  return queues
}

function flatten(
  groups: Map<string, Map<string, Queues>>,
  wanted: (group: string) => boolean = () => true
): Map<string, Queues> {
  const table = new Map<string, Queues>()
  for (const [group, topics] of groups)
    if (wanted(group)) for (const [topic, queues] of topics) table.set(`${topic}@${group}`, queues)
  return table
}

function restoreLmq(groups: Map<string, Map<string, Queues>>, table: unknown): void {
  for (const [key, offset] of Object.entries((table ?? {}) as Record<string, unknown>))
    restore(groups, { [key]: { 0: offset } })
}

/** What cannot be an offset is left out. */
function restore(groups: Map<string, Map<string, Queues>>, table: unknown): void {
  for (const [key, queues] of Object.entries((table ?? {}) as Record<string, unknown>)) {
    const at = key.indexOf('@')
    if (at <= 0) continue
    for (const [queueId, offset] of Object.entries((queues ?? {}) as object))
      if (Number.isInteger(Number(queueId)) && Number.isSafeInteger(Number(offset)))
        queuesOf(groups, key.slice(at + 1), key.slice(0, at)).set(Number(queueId), Number(offset))
  }
}
