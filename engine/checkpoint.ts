import { dirname, join } from 'node:path'
import { crc32, layout, readI64, viewOf, writeI64 } from '../message/index.ts'
import { type Files, writeFully } from './files.ts'

/** RocketMQ's fields, as they are since 5.5.0. */
const CHECKPOINT = layout({
  physicMsgTimestamp: 'i64',
  logicsMsgTimestamp: 'i64',
  indexMsgTimestamp: 'i64',
  masterFlushedOffset: 'i64',
  confirmPhyOffset: 'i64',
  logicsPhysicalOffset: 'i64'
})
/** Behind them, where RocketMQ leaves zeros: a copy of what was written together with it, and a checksum of the copy. */
const OWN_AT = 1024
const OWN = layout({
  mark: 'i64',
  physicMsgTimestamp: 'i64',
  logicsPhysicalOffset: 'i64',
  indexPhysicalOffset: 'i64',
  crc: 'i32'
})
const MARK = 0x53_6b_79_6c // "Skyl"
const FILE_BYTES = 4096

type Field = keyof typeof CHECKPOINT.at
const FIELDS = Object.keys(CHECKPOINT.at) as Field[]

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
  /** Log, ConsumeQueues and index are durable for all records below this physical offset. Since 5.5.0. */
  logicsPhysicalOffset = 0
  /** Physical offset of the newest record in the index at that time. */
  indexPhysicalOffset = 0
  /** Whether Skylark wrote it last: then logicsPhysicalOffset is exact, and a record begins there. */
  isOwn = false
  /** Whether what was loaded contradicts its checksum: then nothing is certain. */
  isBroken = false
  /** Up to where the log was confirmed when it was last written. A log that only RocketMQ wrote is, all of it. */
  confirmedOffset = 0
  private readonly files: Files
  private readonly path: string

  constructor(files: Files, dir: string) {
    this.files = files
    this.path = join(dir, 'checkpoint')
  }

  /** A missing or short file means: nothing is certain. */
  load(): void {
    if (!this.files.exists(this.path)) return
    const bytes = new Uint8Array(FILE_BYTES)
    const fd = this.files.open(this.path)
    try {
      this.files.read(fd, bytes, 0)
    } finally {
      this.files.close(fd)
    }
    const view = viewOf(bytes)
    for (const name of FIELDS) this[name] = Math.max(0, readI64(view, CHECKPOINT.at[name]))
    this.compareWithCopy(bytes, view)
  }

  /** Where RocketMQ wrote last, or a write was torn, the two parts differ: then only what both say is certain. */
  private compareWithCopy(bytes: Uint8Array, view: DataView): void {
    const own = (name: 'mark' | 'physicMsgTimestamp' | 'logicsPhysicalOffset' | 'indexPhysicalOffset') =>
      readI64(view, OWN_AT + OWN.at[name])
    const copy = bytes.subarray(OWN_AT, OWN_AT + OWN.bytes)
    if (copy.every(byte => byte === 0)) {
      // A power cut may leave a file of zeros.
      if (this.physicMsgTimestamp > 0) this.confirmedOffset = Number.POSITIVE_INFINITY
      return
    }
    if (own('mark') !== MARK || crc32(copy, 0, OWN.at.crc) !== view.getInt32(OWN_AT + OWN.at.crc)) {
      for (const name of FIELDS) this[name] = 0
      this.isBroken = true
      return
    }
    this.isOwn =
      own('physicMsgTimestamp') === this.physicMsgTimestamp && own('logicsPhysicalOffset') === this.logicsPhysicalOffset
    if (this.isOwn) this.indexPhysicalOffset = own('indexPhysicalOffset')
    else {
      this.physicMsgTimestamp = Math.min(this.physicMsgTimestamp, own('physicMsgTimestamp'))
      this.logicsPhysicalOffset = Math.min(this.logicsPhysicalOffset, own('logicsPhysicalOffset'))
    }
    this.confirmedOffset = Math.max(this.isOwn ? this.confirmPhyOffset : 0, this.logicsPhysicalOffset)
  }

  async save(): Promise<void> {
    const bytes = new Uint8Array(FILE_BYTES)
    const view = viewOf(bytes)
    for (const name of FIELDS) writeI64(view, CHECKPOINT.at[name], this[name])
    writeI64(view, OWN_AT + OWN.at.mark, MARK)
    writeI64(view, OWN_AT + OWN.at.physicMsgTimestamp, this.physicMsgTimestamp)
    writeI64(view, OWN_AT + OWN.at.logicsPhysicalOffset, this.logicsPhysicalOffset)
    writeI64(view, OWN_AT + OWN.at.indexPhysicalOffset, this.indexPhysicalOffset)
    view.setInt32(OWN_AT + OWN.at.crc, crc32(bytes, OWN_AT, OWN_AT + OWN.at.crc))
    const isNew = !this.files.exists(this.path)
    const fd = this.files.open(this.path)
    try {
      writeFully(this.files, fd, bytes, 0, bytes.length, 0)
      await this.files.sync(fd)
    } finally {
      this.files.close(fd)
    }
    if (isNew) await this.files.syncDirectory(dirname(this.path))
    this.isOwn = true
  }
}
