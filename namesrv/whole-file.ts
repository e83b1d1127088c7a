import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { NamesrvError } from './errors.ts'

/** A file that is replaced as a whole; changes that come while it is written share the next write. MixAll#string2File */
export class WholeFile {
  private readonly path: string
  private readonly text: () => string
  private last: Promise<void> = Promise.resolve()
  private queued: Promise<void> | null = null

  /** `text` gives the content at the moment of writing. */
  constructor(path: string, text: () => string) {
    this.path = path
    this.text = text
  }

  /** Resolves when what `text` gives from now on is durable. Throws NamesrvError FILE_NOT_SAVED. */
  save(): Promise<void> {
    if (this.queued === null) {
      this.queued = this.last.then(() => {
        this.queued = null
        return this.replace()
      })
      this.last = this.queued.catch(() => {})
    }
    return this.queued
  }

  /** Resolves when nothing is being written. */
  idle(): Promise<void> {
    return this.last
  }

  /** The old text stays as `.bak`; a stop at any moment leaves the old text or the new one. */
  private async replace(): Promise<void> {
    const { path } = this
    const temporary = `${path}.tmp`
    try {
      await mkdir(dirname(path), { recursive: true })
      const file = await open(temporary, 'w')
      try {
        await file.writeFile(this.text())
        await file.datasync()
      } finally {
        await file.close()
      }
      await rename(path, `${path}.bak`).catch(error => {
        if (error.code !== 'ENOENT') throw error
      })
      await rename(temporary, path)
    } catch (cause) {
      throw new NamesrvError('FILE_NOT_SAVED', { path, reason: (cause as Error).message }, { cause })
    }
  }
}
