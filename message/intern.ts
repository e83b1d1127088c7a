import { copyOf, textOf } from './bytes.ts'

const BUCKETS = 4096
/** The longest name there is; what is longer is no name, and 4096 of them would be much to keep. */
const MAX_KEPT_BYTES = 255

/** One string for the same bytes again and again: topics and groups of hot paths, without a new string a message. */
export class Interner {
  private readonly keys: (Uint8Array | undefined)[] = new Array(BUCKETS)
  private readonly texts: string[] = new Array(BUCKETS)

  /** The text of bytes[start, end). A bucket holds the last text of its hash, so memory is bounded. */
  get(bytes: Uint8Array, start: number, end: number): string {
    if (end - start > MAX_KEPT_BYTES) return textOf(bytes, start, end)
    let hash = end - start
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0
    const bucket = (hash ^ (hash >>> 12)) & (BUCKETS - 1)
    const key = this.keys[bucket]
    if (key !== undefined && key.length === end - start) {
      let i = 0
      while (i < key.length && key[i] === bytes[start + i]) i++
      if (i === key.length) return this.texts[bucket]!
    }
    this.keys[bucket] = copyOf(bytes, start, end)
    this.texts[bucket] = textOf(bytes, start, end)
    return this.texts[bucket]!
  }
}
