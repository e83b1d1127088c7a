import { dirname, join } from 'node:path'
import { crc32, layout, readI64, viewOf, writeI64 } from '../../message/index.ts'
import { type Files, writeFully } from '../files.ts'

/** RocketMQ's fields. TimerCheckpoint */
const TIMER_CHECKPOINT = layout({
  lastReadTimeMs: 'i64',
  lastTimerLogFlushPos: 'i64',
  lastTimerQueueOffset: 'i64',
  masterTimerQueueOffset: 'i64',
  stateVersion: 'i64',
  timestamp: 'i64',
  counter: 'i64'
})
/** Behind them, where RocketMQ leaves zeros: a copy of them, what else Skylark knows, and a checksum of all that. */
const OWN_AT = 1024
const OWN = layout({
  mark: 'i64',
  lastReadTimeMs: 'i64',
  lastTimerLogFlushPos: 'i64',
  lastTimerQueueOffset: 'i64',
  masterTimerQueueOffset: 'i64',
  stateVersion: 'i64',
  timestamp: 'i64',
  counter: 'i64',
  logStart: 'i64',
  deliveredPos: 'i64',
  crc: 'i32'
})
const MARK = 0x53_6b_79_6c // "Skyl"
const FILE_BYTES = 4096
/** A clock may have been set back by so much. */
const CLOCK_TOLERANCE_MS = 86_400_000

type Field = keyof typeof TIMER_CHECKPOINT.at
const FIELDS = Object.keys(TIMER_CHECKPOINT.at) as Field[]
/** What never goes back. */
const LATER: readonly Field[] = ['lastReadTimeMs', 'lastTimerQueueOffset', 'timestamp']

/**
 * How far a timer has come, in RocketMQ's file `config/timercheck`, with a copy beside it: without it nobody could say what
 * was delivered. TimerCheckpoint
 */
export class TimerCheckpoint {
  /** What was due before this time was delivered, ms; on a slave, by its master. */
  lastReadTimeMs = 0
  /** End of the timer log when it was written. */
  lastTimerLogFlushPos = 0
  /** Messages below this queue offset are in the timer log, or were. */
  lastTimerQueueOffset = 0
  /** On a slave: how far its master has come. Of messages below it, those that were due before lastReadTimeMs were delivered. */
  masterTimerQueueOffset = 0
  stateVersion = 0
  timestamp = 0
  counter = 0
  /** Where the timer log began. */
  logStart = 0
  /** The last unit of the slot of lastReadTimeMs that was delivered too; -1 for none. */
  deliveredPos = -1
  /** Whether Skylark wrote it last. */
  isOwn = false
  /** Whether there was one. */
  isKnown = false

  private readonly files: Files
  private readonly path: string
  private saving: Promise<void> = Promise.resolve()

  constructor(files: Files, dir: string) {
    this.files = files
    this.path = join(dir, 'config', 'timercheck')
  }

  /** `nowMs`: nothing can have been delivered much later than that. */
  load(nowMs: number): void {
    this.isKnown = this.read(this.path, nowMs) || this.read(`${this.path}.bak`, nowMs)
  }

  /** False when the file says nothing, or what cannot be. */
  private read(path: string, nowMs: number): boolean {
    if (!this.files.exists(path)) return false
    const bytes = new Uint8Array(FILE_BYTES)
    const fd = this.files.open(path)
    try {
      if (this.files.read(fd, bytes, 0) < TIMER_CHECKPOINT.bytes) return false
    } finally {
      this.files.close(fd)
    }
    const view = viewOf(bytes)
    const value = (name: Field) => readI64(view, TIMER_CHECKPOINT.at[name])
    const own = (name: keyof typeof OWN.at) => readI64(view, OWN_AT + OWN.at[name])
    const hasOwn =
      own('mark') === MARK && view.getInt32(OWN_AT + OWN.at.crc) === crc32(bytes, OWN_AT, OWN_AT + OWN.at.crc)
    if (!hasOwn && bytes.subarray(TIMER_CHECKPOINT.bytes).some(byte => byte !== 0)) return false
    const isPlausible =
      FIELDS.every(name => value(name) >= 0 && Number.isSafeInteger(value(name))) &&
      value('lastReadTimeMs') > 0 &&
      value('lastReadTimeMs') <= nowMs + CLOCK_TOLERANCE_MS
    if (!isPlausible && !hasOwn) return false
    // RocketMQ may have gone on from there.
    this.isOwn =
      hasOwn && !(isPlausible && LATER.every(name => value(name) >= own(name)) && value('counter') > own('counter'))
    for (const name of FIELDS) this[name] = this.isOwn ? own(name) : value(name)
    if (!this.isOwn) return true
    this.logStart = own('logStart')
    this.deliveredPos = own('deliveredPos')
    return true
  }

  /** The fields as slaves are told them: body of GET_TIMER_CHECK_POINT. TimerCheckpoint#encode */
  toBody(): Uint8Array {
    const bytes = new Uint8Array(TIMER_CHECKPOINT.bytes)
    this.writeFields(viewOf(bytes))
    return bytes
  }

  private writeFields(view: DataView): void {
    for (const name of FIELDS) writeI64(view, TIMER_CHECKPOINT.at[name], this[name])
  }

  /** Makes durable what the fields say at the call; the copy follows. */
  save(nowMs: number): Promise<void> {
    this.timestamp = nowMs
    this.counter++
    const bytes = new Uint8Array(FILE_BYTES)
    const view = viewOf(bytes)
    this.writeFields(view)
    writeI64(view, OWN_AT, MARK)
    for (const name of [...FIELDS, 'logStart', 'deliveredPos'] as const)
      writeI64(view, OWN_AT + OWN.at[name], this[name])
    view.setInt32(OWN_AT + OWN.at.crc, crc32(bytes, OWN_AT, OWN_AT + OWN.at.crc))
    this.isOwn = true
    this.isKnown = true
    this.saving = this.saving.catch(() => {}).then(() => this.write(bytes))
    return this.saving
  }

  private async write(bytes: Uint8Array): Promise<void> {
    this.files.makeDirectory(dirname(this.path))
    for (const path of [this.path, `${this.path}.bak`]) {
      const isNew = !this.files.exists(path)
      const fd = this.files.open(path)
      try {
        writeFully(this.files, fd, bytes, 0, bytes.length, 0)
        await this.files.sync(fd)
      } finally {
        this.files.close(fd)
      }
      if (isNew) await this.files.syncDirectory(dirname(path))
    }
  }
}
