import { readFileSync } from 'node:fs'
import { inRepo } from './repo.ts'

/** What RocketMQ's own classes compute. */
export interface Vectors {
  hashCode: { string: string | null; hashCode?: number; tagsCode: number }[]
  indexKeyHash: { topic?: string; key?: string; string?: string; javaHash: number; keyHash: number }[]
  bodyCRC: { base64: string; bodyCRC: number; crc32: number }[]
  offsetMsgId: { host: string; port: number; offset: string; offsetMsgId: string }[]
  uniqKey: { uniqKey: string; ip: string; pid: number; nearlyTime: number; createdAbout?: number }[]
  properties: { string: string; decoded: Record<string, string> }[]
  subscription: {
    expression: string
    subscription?: { subString: string; tagsSet: string[]; codeSet: number[] }
    error?: string
  }[]
}

export const vectors: Vectors = JSON.parse(
  readFileSync(inRepo('test', 'compat', 'data', 'hash', 'vectors.json'), 'utf8')
)
