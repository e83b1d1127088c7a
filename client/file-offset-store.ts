import { copyFile, mkdir, open, readFile, rename } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { formatBody, type Log, parseBody } from '../net/index.ts'
import { type MessageQueue, queueKey } from './message.ts'
import { NO_OFFSET, OffsetStore } from './offset-store.ts'

/** Where Java keeps them, unless it is told otherwise. LocalFileOffsetStore: LOCAL_OFFSET_STORE_DIR */
export const defaultOffsetFolder = (): string => join(homedir(), '.rocketmq_offsets')

/**
 * Offsets in a file of this machine, for broadcasting: every client consumes every queue, so each has its own. Java and
 * Skylark clients of one clientId read each other's file. LocalFileOffsetStore
 */
export class FileOffsetStore extends OffsetStore {
  readonly path: string
  private stored: Promise<Map<string, { queue: MessageQueue; offset: number }>> | null = null
  private writing: Promise<void> = Promise.resolve()

  constructor(folder: string, clientId: string, group: string, intervalMs: number, log: Log) {
    super(intervalMs, log)
    this.path = join(folder, clientId, group, 'offsets.json')
  }

  async read(queue: MessageQueue): Promise<number> {
    return (await this.load()).get(queueKey(queue))?.offset ?? NO_OFFSET
  }

  protected async write(offsets: readonly { queue: MessageQueue; offset: number }[]): Promise<void> {
    const stored = await this.load()
    for (const { queue, offset } of offsets) stored.set(queueKey(queue), { queue, offset })
    const table = new Map([...stored.values()].map(({ queue, offset }) => [javaQueue(queue), offset]))
    const text = formatBody({ offsetTable: table }, { indent: '\t' })
    // One write at a time, and in order: the last one holds the newest offsets.
    this.writing = this.writing.then(
      () => replaceFile(this.path, text),
      () => replaceFile(this.path, text)
    )
    await this.writing
  }

  private load(): Promise<Map<string, { queue: MessageQueue; offset: number }>> {
    this.stored ??= readTable(this.path, this.log)
    return this.stored
  }
}

/** In the order in which Java writes the fields. */
const javaQueue = ({ brokerName, queueId, topic }: MessageQueue): MessageQueue => ({ brokerName, queueId, topic })

async function readTable(path: string, log: Log): Promise<Map<string, { queue: MessageQueue; offset: number }>> {
  for (const candidate of [path, `${path}.bak`]) {
    try {
      const text = await readFile(candidate, 'utf8')
      if (text.trim() === '') continue
      const { offsetTable } = parseBody(text) as { offsetTable?: Map<MessageQueue, unknown> | Record<string, unknown> }
      const entries = offsetTable instanceof Map ? [...offsetTable] : Object.entries(offsetTable ?? {})
      return new Map(
        entries.map(([key, offset]) => {
          // The key is a queue, or a text that holds one.
          const queue = (typeof key === 'string' ? parseBody(key) : key) as MessageQueue
          return [queueKey(queue), { queue, offset: Number(offset) }]
        })
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn({ err: error, path: candidate }, 'a file of offsets cannot be read')
    }
  }
  return new Map()
}

/** Leaves the old file or the new one whatever happens; the old one stays as `.bak`. MixAll#string2File */
async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w')
  try {
    await file.writeFile(text)
    await file.datasync()
  } finally {
    await file.close()
  }
  await copyFile(path, `${path}.bak`).catch(() => {})
  await rename(temporary, path)
}
