import { type Files, readFileOrBackup, writeFileAtomically } from '../engine/index.ts'
import { formatBody, type Log, parseBody } from '../net/index.ts'

/**
 * A table in a JSON file of RocketMQ's. Changes are written one write at a time, always the newest state; a `.bak` of the
 * state before stays beside it. ConfigManager
 */
export class ConfigFile {
  private readonly files: Files
  private readonly path: string
  private readonly log: Log
  private readonly encode: () => unknown
  private dirty = false
  private writing: Promise<void> | null = null
  private timer: NodeJS.Timeout | null = null

  /** `encode` gives the whole table as it stands when it is called. */
  constructor(files: Files, path: string, log: Log, encode: () => unknown) {
    this.files = files
    this.path = path
    this.log = log
    this.encode = encode
  }

  /** The parsed file, or its backup; null without either. */
  load(): Record<string, unknown> | null {
    return readFileOrBackup(this.files, this.path, text => {
      const value = parseBody(text)
      if (value === null || typeof value !== 'object') throw new TypeError(`${this.path} holds no object`)
      return value as Record<string, unknown>
    })
  }

  /** Writes the table within `delayMs`; further changes until then share the write. */
  saveWithin(delayMs: number): void {
    this.dirty = true
    if (this.timer !== null) return
    this.timer = setTimeout(() => {
      this.timer = null
      void this.save()
    }, delayMs)
    this.timer.unref()
  }

  /** Writes the table now. Resolves when what stood in it at the call is durable; a failure is logged and tried again with the next save. */
  async save(): Promise<void> {
    this.dirty = true
    while (this.dirty || this.writing !== null) {
      if (this.writing !== null) {
        await this.writing
        continue
      }
      this.dirty = false
      this.writing = writeFileAtomically(this.files, this.path, formatBody(this.encode(), { indent: '\t' }))
        .catch(error => this.log.error({ err: error, path: this.path }, 'a configuration file could not be written'))
        .finally(() => {
          this.writing = null
        })
    }
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    if (this.dirty || this.writing !== null) await this.save()
  }
}
