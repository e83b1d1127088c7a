import { join } from 'node:path'
import { type Files, readFileOrBackup, writeFileAtomically } from '../../engine/index.ts'
import { EpochHistory } from './epochs.ts'

/** The history of a store's epochs on disk. A new epoch is durable before the first byte that was written in it. EpochFileCache */
export class EpochFile {
  readonly history: EpochHistory
  private readonly files: Files
  private readonly path: string

  private constructor(files: Files, path: string, history: EpochHistory) {
    this.files = files
    this.path = path
    this.history = history
  }

  /** A file that cannot be read counts as missing: then the log has nothing in common with others that can be proved. */
  static load(files: Files, storeDir: string): EpochFile {
    const path = join(storeDir, 'epochFileCheckpoint')
    return new EpochFile(files, path, readFileOrBackup(files, path, EpochHistory.parse) ?? new EpochHistory())
  }

  async begin(epoch: number, startOffset: number): Promise<void> {
    this.history.begin(epoch, startOffset)
    await this.save()
  }

  /** Forgets epochs of which no byte is left: a crash may lose the end of a log, not of this file. */
  async fit(logEnd: number): Promise<void> {
    if ((this.history.epochs.at(-1)?.startOffset ?? -1) >= logEnd) await this.truncate(logEnd)
  }

  /** The log ends at `offset` now. */
  async truncate(offset: number): Promise<void> {
    this.history.truncate(offset)
    await this.save()
  }

  private save(): Promise<void> {
    return writeFileAtomically(this.files, this.path, this.history.format())
  }
}
