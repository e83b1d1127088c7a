import { readFile } from 'node:fs/promises'
import { formatBody, parseBody } from '../net/index.ts'
import { NamesrvError } from './errors.ts'
import { WholeFile } from './whole-file.ts'

/** The namespace of order confs: topic to `brokerA:queues;brokerB:queues`. NamesrvUtil */
export const ORDER_TOPIC_NAMESPACE = 'ORDER_TOPIC_CONFIG'

/** Namespaces of keys and values, the only state of a NameServer that outlives it. KVConfigManager */
export class KvConfig {
  private tables = new Map<string, Map<string, string>>()
  private readonly path: string | null
  private readonly file: WholeFile | null

  /** A null path keeps everything in memory. */
  constructor(path: string | null) {
    this.path = path
    this.file = path === null ? null : new WholeFile(path, () => this.text())
  }

  /** Reads the file, or its backup where it is missing or broken. Throws NamesrvError KV_FILE_BAD when both are. */
  async load(): Promise<void> {
    if (this.path === null) return
    let broken: unknown = null
    for (const path of [this.path, `${this.path}.bak`]) {
      try {
        this.tables = read(await readFile(path, 'utf8'))
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') broken ??= error
      }
    }
    if (broken !== null)
      throw new NamesrvError(
        'KV_FILE_BAD',
        { path: this.path, reason: (broken as Error).message },
        { cause: broken as Error }
      )
  }

  get(namespace: string, key: string): string | undefined {
    return this.tables.get(namespace)?.get(key)
  }

  /** All of a namespace; undefined when there is no such namespace. */
  list(namespace: string): ReadonlyMap<string, string> | undefined {
    return this.tables.get(namespace)
  }

  /** Resolves when the entry is durable. Throws NamesrvError FILE_NOT_SAVED. */
  async put(namespace: string, key: string, value: string): Promise<void> {
    const table = this.tables.get(namespace)
    if (table === undefined) this.tables.set(namespace, new Map([[key, value]]))
    else table.set(key, value)
    await this.file?.save()
  }

  /** Resolves when the removal is durable. Throws NamesrvError FILE_NOT_SAVED. */
  async delete(namespace: string, key: string): Promise<void> {
    if (this.tables.get(namespace)?.delete(key) === true) await this.file?.save()
  }

  async close(): Promise<void> {
    await this.file?.idle()
  }

  private text(): string {
    return formatBody({ configTable: this.tables })
  }
}

/** The format of RocketMQ's kvConfig.json. KVConfigSerializeWrapper */
function read(text: string): Map<string, Map<string, string>> {
  const wrapper = parseBody(text) as { configTable?: Record<string, Record<string, unknown>> }
  if (typeof wrapper !== 'object' || Array.isArray(wrapper)) throw new Error('it holds no configTable')
  return new Map(
    Object.entries(wrapper.configTable ?? {}).map(([namespace, table]) => [
      namespace,
      new Map(Object.entries(table).map(([key, value]) => [key, String(value)]))
    ])
  )
}
