import { join } from 'node:path'
import type { Files } from '../engine/index.ts'
import { checkGroupName, isLmq, SYSTEM_GROUP_PREFIX } from '../message/index.ts'
import type { Log } from '../net/index.ts'
import { ConfigFile } from './config-file.ts'
import { type DataVersion, dataVersionOf, newDataVersion, nextVersion } from './data-version.ts'
import type { BrokerOptions } from './options.ts'

/** As it travels and as it is stored, fields in Java's order. SubscriptionGroupConfig */
export interface GroupConfig {
  attributes: Record<string, string>
  brokerId: number
  consumeBroadcastEnable: boolean
  consumeEnable: boolean
  consumeFromMinEnable: boolean
  consumeMessageOrderly: boolean
  consumeTimeoutMinute: number
  groupName: string
  groupRetryPolicy: Record<string, unknown>
  groupSysFlag: number
  notifyConsumerIdsChangedEnable: boolean
  retryMaxTimes: number
  retryQueueNums: number
  /** Only when an administrator set it. */
  subscriptionDataSet?: unknown[]
  whichBrokerWhenConsumeSlowly: number
}

/** A group with RocketMQ's defaults. */
export const groupConfig = (groupName: string): GroupConfig => ({
  attributes: {},
  brokerId: 0,
  consumeBroadcastEnable: true,
  consumeEnable: true,
  consumeFromMinEnable: true,
  consumeMessageOrderly: false,
  consumeTimeoutMinute: 15,
  groupName,
  groupRetryPolicy: { type: 'CUSTOMIZED' },
  groupSysFlag: 0,
  notifyConsumerIdsChangedEnable: true,
  retryMaxTimes: 16,
  retryQueueNums: 1,
  whichBrokerWhenConsumeSlowly: 1
})

/** The group in parsed JSON: fields of the right type count, others keep their default. */
export function groupConfigOf(name: string, value: unknown): GroupConfig {
  const config = groupConfig(name) as unknown as Record<string, unknown>
  for (const [field, given] of Object.entries((value ?? {}) as object))
    if (field !== 'groupName' && field in config && typeof given === typeof config[field] && given !== null)
      config[field] = given
  const subscriptions = (value as { subscriptionDataSet?: unknown } | null)?.subscriptionDataSet
  if (Array.isArray(subscriptions)) config.subscriptionDataSet = subscriptions
  return config as unknown as GroupConfig
}

/** Groups that always exist. SubscriptionGroupManager#init */
const PREDEFINED = [
  'TOOLS_CONSUMER',
  'FILTERSRV_CONSUMER',
  'SELF_TEST_C_GROUP',
  'CID_ONS-HTTP-PROXY',
  'CID_ONSAPI_PULL',
  'CID_ONSAPI_PERMISSION',
  'CID_ONSAPI_OWNER',
  'CID_RMQ_SYS_TRANS'
]

/** All consumer groups of a broker, in subscriptionGroup.json. SubscriptionGroupManager */
export class GroupTable {
  version: DataVersion = newDataVersion()

  private readonly table = new Map<string, GroupConfig>()
  /** group, topic, bits: what a group may not do with a topic. */
  private readonly forbidden = new Map<string, Map<string, number>>()
  private readonly options: BrokerOptions
  private readonly file: ConfigFile
  private readonly log: Log

  constructor(options: BrokerOptions, files: Files, configDir: string) {
    this.options = options
    this.log = options.log
    this.file = new ConfigFile(files, join(configDir, 'subscriptionGroup.json'), options.log, () => this.toBody())
  }

  load(): void {
    const saved = this.file.load()
    if (saved !== null) this.fill(saved)
    for (const name of PREDEFINED)
      if (!this.table.has(name)) this.table.set(name, { ...groupConfig(name), consumeBroadcastEnable: true })
  }

  private fill(body: Record<string, unknown>): void {
    this.version = dataVersionOf(body.dataVersion)
    for (const [name, value] of Object.entries((body.subscriptionGroupTable ?? {}) as object))
      this.table.set(name, groupConfigOf(name, value))
    for (const [group, topics] of Object.entries((body.forbiddenTable ?? {}) as object))
      this.forbidden.set(group, new Map(Object.entries(topics as Record<string, number>)))
  }

  /** The group if it exists, without creating it. */
  find(group: string): GroupConfig | undefined {
    return this.table.get(group) ?? this.lmq(group)
  }

  /** Groups of LMQ queues need not exist. LmqSubscriptionGroupManager#findSubscriptionGroupConfig */
  private lmq(group: string): GroupConfig | undefined {
    return this.options.store.enableLmq && isLmq(group) ? groupConfig(group) : undefined
  }

  /** The group, created if that is allowed; undefined otherwise. SubscriptionGroupManager#findSubscriptionGroupConfig */
  get(group: string): GroupConfig | undefined {
    const known = this.find(group)
    if (known !== undefined) return known
    if (!this.options.autoCreateSubscriptionGroup && !group.startsWith(SYSTEM_GROUP_PREFIX)) return undefined
    if (checkGroupName(group) !== null) return undefined
    const made = groupConfig(group)
    this.log.info({ group }, 'a consumer group was created')
    this.table.set(group, made)
    nextVersion(this.version)
    this.file.saveWithin(0)
    return made
  }

  /** Adds or replaces groups; resolves when they are durable. */
  async put(...configs: GroupConfig[]): Promise<void> {
    for (const config of configs) {
      if (this.lmq(config.groupName) !== undefined) continue
      this.log.info({ group: config.groupName, config }, 'a consumer group was set')
      this.table.set(config.groupName, config)
    }
    nextVersion(this.version)
    await this.file.save()
  }

  /** Removes a group; false when there was none. */
  async delete(group: string): Promise<boolean> {
    this.forbidden.delete(group)
    if (!this.table.delete(group)) return false
    this.log.info({ group }, 'a consumer group was deleted')
    nextVersion(this.version)
    await this.file.save()
    return true
  }

  /** Bit 2 forbids reading. SubscriptionGroupManager#getForbidden */
  isReadForbidden(group: string, topic: string): boolean {
    return ((this.forbidden.get(group)?.get(topic) ?? 0) & Forbidden.READ) !== 0
  }

  async setReadForbidden(group: string, topic: string, forbidden: boolean): Promise<void> {
    const topics = this.forbidden.get(group) ?? new Map<string, number>()
    const bits = topics.get(topic) ?? 0
    topics.set(topic, forbidden ? bits | Forbidden.READ : bits & ~Forbidden.READ)
    this.forbidden.set(group, topics)
    nextVersion(this.version)
    await this.file.save()
  }

  names(): string[] {
    return [...this.table.keys()]
  }

  /** Takes over the master's table as a whole. SlaveSynchronize#syncSubscriptionGroupConfig */
  adopt(body: Record<string, unknown>): void {
    this.table.clear()
    this.forbidden.clear()
    this.fill(body)
    this.file.saveWithin(0)
  }

  /** subscriptionGroup.json, and the body of GET_ALL_SUBSCRIPTIONGROUP_CONFIG. SubscriptionGroupWrapper */
  toBody(): {
    dataVersion: DataVersion
    forbiddenTable: Map<string, Map<string, number>>
    subscriptionGroupTable: Map<string, GroupConfig>
  } {
    return { dataVersion: this.version, forbiddenTable: this.forbidden, subscriptionGroupTable: this.table }
  }

  close(): Promise<void> {
    return this.file.close()
  }
}

/** PermName: INDEX_PERM_READ */
const Forbidden = { READ: 1 << 2 } as const
