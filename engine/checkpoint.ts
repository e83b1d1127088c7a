import { join } from 'node:path'
import { layout, readI64, viewOf, writeI64 } from '../message/index.ts'
import type { Files } from './files.ts'

const CHECKPOINT = layout({
  physicMsgTimestamp: 'i64',
  logicsMsgTimestamp: 'i64',
  indexMsgTimestamp: 'i64',
  masterFlushedOffset: 'i64',
  confirmPhyOffset: 'i64',
  logicsPhysicalOffset: 'i64'
})
const FILE_BYTES = 4096

/** Up to where the files of the store were durable when it was last written. StoreCheckpoint */
export class Checkpoint {
  /** Store time of the newest record that is durable in the log, ms. */
  physicMsgTimestamp = 0
  /** Store time of the newest record whose ConsumeQueue unit is durable, ms. */
  logicsMsgTimestamp = 0
  /** Newest store time in the last full index file, ms. */
  indexMsgTimestamp = 0
  masterFlushedOffset = 0
  confirmPhyOffset = 0
  /** Physical offset up to which ConsumeQueue units are durable. Since 5.5.0. */
  logicsPhysicalOffset = 0
  private readonly files: Files
  private readonly path: string

  constructor(files: Files, dir: string) {
    this.files = files
    this.path = join(dir, 'checkpoint')
  }

  /** A missing or short file means: nothing is certain. */
  load(): void {
    if (!this.files.exists(this.path)) return
    const bytes = new Uint8Array(CHECKPOINT.bytes)
    const fd = this.files.open(this.path)
    this.files.read(fd, bytes, 0)
    this.files.close(fd)
    const view = viewOf(bytes)
    for (const name of Object.keys(CHECKPOINT.at) as (keyof typeof CHECKPOINT.at)[])
      this[name] = Math.max(0, readI64(view, CHECKPOINT.at[name]))
  }

  async save(): Promise<void> {
    const bytes = new Uint8Array(FILE_BYTES)
    const view = viewOf(bytes)
    for (const name of Object.keys(CHECKPOINT.at) as (keyof typeof CHECKPOINT.at)[])
      writeI64(view, CHECKPOINT.at[name], this[name])
    const fd = this.files.open(this.path)
    try {
      this.files.write(fd, bytes, 0, bytes.length, 0)
      await this.files.sync(fd)
    } finally {
      this.files.close(fd)
    }
  }
}
