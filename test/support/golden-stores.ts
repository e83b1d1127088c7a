import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { StoreOptions } from '../../engine/index.ts'
import { temporaryDirectory } from './broker.ts'
import { inRepo } from './repo.ts'

/** A body as recorded: short ones whole. */
export interface ExpectedBody {
  length: number
  base64?: string
  sha256: string
}

/** A record as RocketMQ's own classes decode it. */
export interface ExpectedMessage {
  magic: string
  topic: string
  queueId: number
  queueOffset: number
  physicalOffset: number
  storeSize: number
  properties: Record<string, string>
  flag: number
  sysFlag: number
  bodyCRC: number
  bornTimestamp: number
  storeTimestamp: number
  bornHost: string
  storeHost: string
  reconsumeTimes: number
  preparedTransactionOffset: number
  offsetMsgId: string
  tagsCode: number
  body: ExpectedBody
}

export interface ExpectedQueue {
  topic: string
  queueId: number
  type: 'SimpleCQ' | 'BatchCQ'
  minOffset: number
  maxOffset: number
  /** queueOffset, physicalOffset, size, tagsCode; with a count in a BatchCQ. */
  units: number[][]
  /** time, LOWER, UPPER. */
  offsetByTime: [number, number, number][]
}

export interface Expected {
  recovery: { minPhyOffset: number; maxPhyOffset: number }
  queues: ExpectedQueue[]
  keyQueries: { topic: string; key: string; physicalOffsets: number[] }[]
  messages: ExpectedMessage[]
}

/** A store directory of Apache RocketMQ 5.5.0 and what RocketMQ reads from it. */
export interface GoldenStore {
  name: string
  expected: Expected
  options: Partial<StoreOptions>
  /** Where it lies in the sources; not to be written to. */
  sourceDir: string
  /** A copy to work on. */
  copy(t: Test): string
}

const STORES = inRepo('test', 'compat', 'data', 'store')

/** The settings of broker.conf that the store has to know. */
function optionsOf(conf: string): Partial<StoreOptions> {
  const values = new Map(conf.split('\n').map(line => line.split('=', 2) as [string, string]))
  const number = (key: string) => Number(values.get(key))
  return {
    mappedFileSizeCommitLogBytes: number('mappedFileSizeCommitLog'),
    mappedFileSizeConsumeQueueBytes: number('mappedFileSizeConsumeQueue'),
    mappedFileSizeConsumeQueueExtBytes: number('mappedFileSizeConsumeQueueExt'),
    maxHashSlotNum: number('maxHashSlotNum'),
    maxIndexNum: number('maxIndexNum')
  }
}

export const goldenStores: readonly GoldenStore[] = readdirSync(STORES)
  .sort()
  .map(name => ({
    name,
    expected: JSON.parse(readFileSync(join(STORES, name, 'expected.json'), 'utf8')) as Expected,
    options: optionsOf(readFileSync(join(STORES, name, 'broker.conf'), 'utf8')),
    sourceDir: join(STORES, name, 'store'),
    copy(t) {
      const dir = temporaryDirectory(t)
      cpSync(join(STORES, name, 'store'), dir, { recursive: true })
      return dir
    }
  }))

export const goldenStore = (name: string): GoldenStore => goldenStores.find(store => store.name === name)!
