import { textOf } from './bytes.ts'

const BUCKETS = 4096

/** One string for the same bytes again and again: topics and groups of hot paths, without a new string a message. */
export class Interner {
  private readonly keys: (Uint8Array | undefined)[] = new Array(BUCKETS)
  private readonly texts: string[] = new Array(BUCKETS)

  /** The text of bytes[start, end). A bucket holds the last text of its hash, so memory is bounded. */
  get(bytes: Uint8Array, start: number, end: number): string {
    let hash = end - start
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0
    const bucket = (hash ^ (hash >>> 12)) & (BUCKETS - 1)
    const key = this.keys[bucket]
    if (key !== undefined && key.length === end - start) {
      let i = 0
      while (i < key.length && key[i] === bytes[start + i]) i++
      if (i === key.length) return this.texts[bucket]!
    }
    this.keys[bucket] = bytes.slice(start, end)
    this.texts[bucket] = textOf(bytes, start, end)
    return this.texts[bucket]!
  }
}
