import { join } from 'node:path'
import type { Files, QueueType } from '../engine/index.ts'
import {
  checkTopicName,
  DEFAULT_TOPIC,
  HALF_TOPIC,
  isDlqTopic,
  isLmq,
  isRetryTopic,
  isSystemTopic,
  OP_HALF_TOPIC,
  SCHEDULE_TOPIC,
  TIMER_TOPIC
} from '../message/index.ts'
import type { Log } from '../net/index.ts'
import { ConfigFile } from './config-file.ts'
import { type DataVersion, dataVersionOf, newDataVersion, nextVersion } from './data-version.ts'
import type { BrokerOptions } from './options.ts'

/** Bits of a topic's permission. PermName */
export const Perm = { READ: 4, WRITE: 2, INHERIT: 1 } as const
export const isReadable = (perm: number): boolean => (perm & Perm.READ) !== 0
export const isWritable = (perm: number): boolean => (perm & Perm.WRITE) !== 0
export const isInherited = (perm: number): boolean => (perm & Perm.INHERIT) !== 0

/** As it travels and as it is stored, fields in Java's order. TopicConfig */
export interface TopicConfig {
  attributes: Record<string, string>
  order: boolean
  perm: number
  readQueueNums: number
  topicFilterType: string
  topicName: string
  topicSysFlag: number
  writeQueueNums: number
}

/** A topic with RocketMQ's defaults for all that is not given. TopicConfig: defaultReadQueueNums, defaultWriteQueueNums */
export function topicConfig(topicName: string, values: Partial<Omit<TopicConfig, 'topicName'>> = {}): TopicConfig {
  return {
    attributes: values.attributes ?? {},
    order: values.order ?? false,
    perm: values.perm ?? Perm.READ | Perm.WRITE,
    readQueueNums: values.readQueueNums ?? 16,
    topicFilterType: values.topicFilterType ?? 'SINGLE_TAG',
    topicName,
    topicSysFlag: values.topicSysFlag ?? 0,
    writeQueueNums: values.writeQueueNums ?? 16
  }
}

/** The topic in parsed JSON, whatever fields it has. */
export function topicConfigOf(name: string, value: unknown): TopicConfig {
  const from = (value ?? {}) as Record<string, unknown>
  const number = (field: string) => (from[field] === undefined ? undefined : Number(from[field]))
  const config: Partial<TopicConfig> = {
    attributes: Object.fromEntries(
      Object.entries((from.attributes ?? {}) as object).map(([key, text]) => [key, String(text)])
    ),
    order: from.order === true
  }
  const counts = {
    perm: number('perm'),
    readQueueNums: number('readQueueNums'),
    writeQueueNums: number('writeQueueNums'),
    topicSysFlag: number('topicSysFlag')
  }
  for (const [field, count] of Object.entries(counts))
    if (count !== undefined && Number.isInteger(count)) (config as Record<string, unknown>)[field] = count
  if (typeof from.topicFilterType === 'string') config.topicFilterType = from.topicFilterType
  return topicConfig(name, config)
}

const queues = (count: number, perm = Perm.READ | Perm.WRITE): Partial<TopicConfig> => ({
  readQueueNums: count,
  writeQueueNums: count,
  perm
})
const ALL_PERM = Perm.READ | Perm.WRITE | Perm.INHERIT

/** All topics of a broker, in topics.json. TopicConfigManager */
export class TopicTable {
  /** Hears of every change: which topics are new or different, none when one was deleted. Set by the broker, which tells the NameServers. */
  onChange: ((changed: TopicConfig[]) => Promise<void>) | null = null
  readonly systemTopics = new Set<string>()
  version: DataVersion = newDataVersion()

  private readonly table = new Map<string, TopicConfig>()
  private readonly options: BrokerOptions
  private readonly file: ConfigFile
  private readonly log: Log

  constructor(options: BrokerOptions, files: Files, configDir: string) {
    this.options = options
    this.log = options.log
    this.file = new ConfigFile(files, join(configDir, 'topics.json'), options.log, () => this.toBody())
  }

  load(): void {
    const saved = this.file.load()
    if (saved !== null) {
      this.version = dataVersionOf(saved.dataVersion)
      for (const [name, value] of Object.entries((saved.topicConfigTable ?? {}) as object))
        this.table.set(name, topicConfigOf(name, value))
    }
    this.addSystemTopics()
    const defaultTopic = this.table.get(DEFAULT_TOPIC)
    if (!this.options.autoCreateTopicEnable && defaultTopic !== undefined) defaultTopic.perm &= ~Perm.INHERIT
  }

  /** TopicConfigManager#init */
  private addSystemTopics(): void {
    const { options } = this
    const cluster = options.brokerClusterName
    const wanted: [string, Partial<TopicConfig>][] = [
      ['SELF_TEST_TOPIC', queues(1)],
      ['BenchmarkTest', queues(1024)],
      [cluster, queues(16, Perm.READ | Perm.WRITE | (options.clusterTopicEnable ? Perm.INHERIT : 0))],
      [options.brokerName, queues(1, Perm.READ | Perm.WRITE | (options.brokerTopicEnable ? Perm.INHERIT : 0))],
      ['OFFSET_MOVED_EVENT', queues(1)],
      [SCHEDULE_TOPIC, queues(18)],
      [`${cluster}_REPLY_TOPIC`, queues(1)],
      [`rmq_sys_REVIVE_LOG_${cluster}`, queues(8)],
      [`rmq_sys_SYNC_BROKER_MEMBER_${options.brokerName}`, queues(1, Perm.INHERIT)],
      [HALF_TOPIC, queues(1)],
      [OP_HALF_TOPIC, queues(1)],
      [TIMER_TOPIC, queues(1)]
    ]
    if (options.autoCreateTopicEnable) wanted.push([DEFAULT_TOPIC, queues(options.defaultTopicQueueNums, ALL_PERM)])
    if (options.traceTopicEnable) wanted.push([options.msgTraceTopicName, queues(1)])
    for (const [name, values] of wanted) {
      this.systemTopics.add(name)
      if (!this.table.has(name)) this.table.set(name, topicConfig(name, values))
    }
    this.systemTopics.add(DEFAULT_TOPIC)
  }

  get(topic: string): TopicConfig | undefined {
    return this.table.get(topic) ?? this.lmq(topic)
  }

  /** LMQ queues are topics of one queue that nobody has to create. LmqTopicConfigManager#selectTopicConfig */
  private lmq(topic: string): TopicConfig | undefined {
    return this.options.store.enableLmq && isLmq(topic) ? topicConfig(topic, queues(1)) : undefined
  }

  names(): string[] {
    return [...this.table.keys()]
  }

  all(): IterableIterator<TopicConfig> {
    return this.table.values()
  }

  /** Adds or replaces topics; the same again changes nothing. Resolves when they are durable and NameServers know. TopicConfigManager#updateTopicConfig */
  async put(...configs: TopicConfig[]): Promise<void> {
    const changed: TopicConfig[] = []
    for (const config of configs) {
      if (this.lmq(config.topicName) !== undefined) continue
      const old = this.table.get(config.topicName)
      if (old !== undefined && JSON.stringify(old) === JSON.stringify(config)) continue
      this.log.info(
        { topic: config.topicName, config },
        old === undefined ? 'a topic was created' : 'a topic was changed'
      )
      this.table.set(config.topicName, config)
      changed.push(config)
    }
    if (changed.length > 0) await this.changed(changed)
  }

  private async changed(configs: TopicConfig[]): Promise<void> {
    nextVersion(this.version)
    await this.file.save()
    await this.onChange?.(configs)
  }

  /** Removes a topic; false when there was none. */
  async delete(topic: string): Promise<boolean> {
    if (!this.table.delete(topic)) return false
    this.log.info({ topic }, 'a topic was deleted')
    await this.changed([])
    return true
  }

  private readonly creating = new Map<string, Promise<TopicConfig | undefined>>()

  /** One creation for all sends that ask for the same topic. */
  private create(topic: string, config: () => TopicConfig | undefined): Promise<TopicConfig | undefined> {
    let creating = this.creating.get(topic)
    if (creating === undefined) {
      creating = (async () => {
        const made = this.table.get(topic) ?? config()
        if (made !== undefined) await this.put(made)
        return made
      })().finally(() => this.creating.delete(topic))
      this.creating.set(topic, creating)
    }
    return creating
  }

  /**
   * The topic of a send, created after the default topic that the request names if need be; undefined when it may not be.
   * TopicConfigManager#createTopicInSendMessageMethod
   */
  async getOrCreate(
    topic: string,
    defaultTopic: string,
    clientQueueNums: number,
    topicSysFlag: number
  ): Promise<TopicConfig | undefined> {
    const known = this.table.get(topic)
    if (known !== undefined) return known
    if (checkTopicName(topic) !== null) return undefined
    return this.create(topic, () => {
      const model = this.table.get(defaultTopic)
      const forbidden = defaultTopic === DEFAULT_TOPIC && !this.options.autoCreateTopicEnable
      if (model !== undefined && isInherited(model.perm) && !forbidden) {
        const count = Math.min(clientQueueNums, model.writeQueueNums)
        return topicConfig(topic, {
          readQueueNums: Math.max(count, 0),
          writeQueueNums: Math.max(count, 0),
          perm: model.perm & ~Perm.INHERIT,
          topicFilterType: model.topicFilterType,
          topicSysFlag
        })
      }
      return isRetryTopic(topic) ? topicConfig(topic, { ...queues(1), topicSysFlag }) : undefined
    })
  }

  /** A topic that the broker itself needs: retry topics, dead letters. TopicConfigManager#createTopicInSendMessageBackMethod */
  async ensure(topic: string, queueCount: number, perm: number, topicSysFlag = 0): Promise<TopicConfig> {
    const known = this.table.get(topic)
    if (known !== undefined) return known
    const made = await this.create(topic, () => topicConfig(topic, { ...queues(queueCount, perm), topicSysFlag }))
    return made!
  }

  /** How a topic's queues are kept; undefined for a topic that is not known. QueueTypeUtils#getCQType */
  queueTypeOf(topic: string): QueueType | undefined {
    const config = this.table.get(topic)
    if (config === undefined) return undefined
    return config.attributes['queue.type'] === 'BatchCQ' ? 'BatchCQ' : 'SimpleCQ'
  }

  /** Those of some topics, by default of all, of which the newest message of each key is kept. CleanupPolicyUtils#isCompaction */
  compacted(topics: Iterable<TopicConfig> = this.table.values()): string[] {
    return [...topics].filter(each => each.attributes['cleanup.policy'] === 'COMPACTION').map(each => each.topicName)
  }

  isSystem(topic: string): boolean {
    return this.systemTopics.has(topic) || isSystemTopic(topic)
  }

  /** Whether consumers may be asked about it: neither a system topic nor one for retries. */
  isUserTopic(topic: string): boolean {
    return !this.isSystem(topic) && !isRetryTopic(topic) && !isDlqTopic(topic)
  }

  /** Takes over the master's table as a whole. SlaveSynchronize#syncTopicConfig */
  adopt(body: Record<string, unknown>): void {
    this.table.clear()
    for (const [name, value] of Object.entries((body.topicConfigTable ?? {}) as object))
      this.table.set(name, topicConfigOf(name, value))
    this.version = dataVersionOf(body.dataVersion)
    this.file.saveWithin(0)
    void this.onChange?.([])
  }

  /** topics.json, and the body of GET_ALL_TOPIC_CONFIG. TopicConfigSerializeWrapper */
  toBody(): { dataVersion: DataVersion; topicConfigTable: Map<string, TopicConfig> } {
    return { dataVersion: this.version, topicConfigTable: this.table }
  }

  close(): Promise<void> {
    return this.file.close()
  }
}
