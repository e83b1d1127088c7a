import { textOf } from './bytes.ts'

/** The properties that the hot paths look at, by index into a {@link PropertyScan}. */
export const ScannedProperty = {
  TAGS: 0,
  KEYS: 1,
  UNIQ_KEY: 2,
  DELAY: 3,
  WAIT: 4,
  TRAN_MSG: 5,
  POP_CK: 6,
  CLUSTER: 7,
  MSG_REGION: 8,
  TRACE_ON: 9,
  TIMER_DELAY_SEC: 10,
  TIMER_DELAY_MS: 11,
  TIMER_DELIVER_MS: 12,
  INNER_NUM: 13,
  '__CRC32#': 14,
  INNER_MULTI_DISPATCH: 15,
  INNER_MULTI_QUEUE_OFFSET: 16
} as const

const NAMES = Object.keys(ScannedProperty).map(name => Buffer.from(name))
const MAX_NAME_BYTES = Math.max(...NAMES.map(name => name.length))
const BY_LENGTH: number[][] = Array.from({ length: MAX_NAME_BYTES + 1 }, (_, length) =>
  NAMES.flatMap((name, id) => (name.length === length ? [id] : []))
)

/**
 * Finds the well-known properties in their encoded form: one pass, no strings, nothing allocated.
 * Reuse one instance; its results point into the bytes of the last scan.
 */
export class PropertyScan {
  private readonly starts = new Int32Array(NAMES.length)
  private readonly ends = new Int32Array(NAMES.length)
  private bytes: Uint8Array = new Uint8Array(0)

  /** Scans bytes[start, end); a name that occurs twice counts with its last value. */
  scan(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes
    this.starts.fill(-1)
    let pos = start
    while (pos < end) {
      let nameEnd = pos
      while (nameEnd < end && bytes[nameEnd] !== 1 && bytes[nameEnd] !== 2) nameEnd++
      if (nameEnd >= end || bytes[nameEnd] !== 1) {
        pos = nameEnd + 1
        continue
      }
      let valueEnd = nameEnd + 1
      while (valueEnd < end && bytes[valueEnd] !== 2) valueEnd++
      if (valueEnd > nameEnd + 1) this.remember(pos, nameEnd, valueEnd)
      pos = valueEnd + 1
    }
  }

  private remember(nameStart: number, nameEnd: number, valueEnd: number): void {
    const length = nameEnd - nameStart
    if (length > MAX_NAME_BYTES) return
    for (const id of BY_LENGTH[length]!) {
      const name = NAMES[id]!
      let i = 0
      while (i < length && name[i] === this.bytes[nameStart + i]) i++
      if (i < length) continue
      this.starts[id] = nameEnd + 1
      this.ends[id] = valueEnd
      return
    }
  }

  has(id: number): boolean {
    return this.starts[id]! >= 0
  }

  /** Where the value begins, -1 when the property is absent. */
  start(id: number): number {
    return this.starts[id]!
  }

  end(id: number): number {
    return this.ends[id]!
  }

  /** The value, or undefined when the property is absent. */
  text(id: number): string | undefined {
    return this.has(id) ? textOf(this.bytes, this.starts[id]!, this.ends[id]!) : undefined
  }
}
