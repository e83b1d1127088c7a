import { join } from 'node:path'
import { readFileOrBackup, writeFileAtomically } from './atomic-file.ts'
import type { Files } from './files.ts'

type QueueBounds = Record<string, Record<string, [min: number, max: number]>>

/**
 * What Skylark notes beside RocketMQ's files, in `skylark.json`: which queues and index files there are and how far they
 * reach, so that a lost one is noticed and built again; and which topics were deleted, so that their old messages do not
 * come back with it. RocketMQ passes the file over; without it, or after RocketMQ wrote to the store, nothing is lost but
 * that.
 */
export class StoreNotes {
  /** Size of CommitLog files that the store was written with; 0 when unknown. */
  mappedFileSizeCommitLog = 0
  /** By topic and queue id. */
  queues: QueueBounds = {}
  /** Names of index files, oldest first. */
  indexFiles: string[] = []
  /** Messages of a topic below this physical offset belong to one of the same name that was deleted. */
  readonly deletedTopics = new Map<string, number>()

  private readonly files: Files
  private readonly path: string
  private saving: Promise<void> = Promise.resolve()

  constructor(files: Files, dir: string) {
    this.files = files
    this.path = join(dir, 'skylark.json')
  }

  load(): void {
    const saved = readFileOrBackup(this.files, this.path, text => {
      const value = JSON.parse(text) as Partial<Omit<StoreNotes, 'deletedTopics'>> & {
        deletedTopics?: Record<string, number>
      }
      // Only what was written whole counts; whoever edits the file must leave its shape.
      if (typeof value.mappedFileSizeCommitLog !== 'number' || typeof value.queues !== 'object') throw new TypeError()
      return value
    })
    if (saved === null) return
    this.mappedFileSizeCommitLog = saved.mappedFileSizeCommitLog!
    this.queues = saved.queues!
    this.indexFiles = Array.isArray(saved.indexFiles) ? saved.indexFiles : []
    for (const [topic, offset] of Object.entries(saved.deletedTopics ?? {}))
      this.deletedTopics.set(topic, Number(offset))
  }

  /** Resolves when what is noted at the call is durable. */
  save(): Promise<void> {
    this.saving = this.saving.catch(() => {}).then(() => this.write())
    return this.saving
  }

  private write(): Promise<void> {
    const { mappedFileSizeCommitLog, queues, indexFiles, deletedTopics } = this
    const text = JSON.stringify({
      mappedFileSizeCommitLog,
      indexFiles,
      deletedTopics: Object.fromEntries(deletedTopics),
      queues
    })
    return writeFileAtomically(this.files, this.path, text)
  }
}
