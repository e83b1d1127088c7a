const WORD_BITS = 32
const SUMMARY_BITS = WORD_BITS * WORD_BITS

/** Numbers from 0 to below `size`, in a bit each; the next one is found by looking at a few words. */
export class BitSet {
  readonly size: number
  private readonly words: Uint32Array
  /** A bit for each word that is not empty. */
  private readonly summary: Uint32Array

  constructor(size: number) {
    this.size = size
    this.words = new Uint32Array(Math.ceil(size / WORD_BITS))
    this.summary = new Uint32Array(Math.ceil(size / SUMMARY_BITS))
  }

  add(number: number): void {
    const word = Math.floor(number / WORD_BITS)
    this.words[word]! |= 1 << (number % WORD_BITS)
    this.summary[Math.floor(word / WORD_BITS)]! |= 1 << (word % WORD_BITS)
  }

  delete(number: number): void {
    const word = Math.floor(number / WORD_BITS)
    this.words[word]! &= ~(1 << (number % WORD_BITS))
    if (this.words[word] === 0) this.summary[Math.floor(word / WORD_BITS)]! &= ~(1 << (word % WORD_BITS))
  }

  has(number: number): boolean {
    return ((this.words[Math.floor(number / WORD_BITS)]! >>> (number % WORD_BITS)) & 1) === 1
  }

  clear(): void {
    this.words.fill(0)
    this.summary.fill(0)
  }

  /** The first number at or above `from`; -1 without one. */
  next(from: number): number {
    if (from >= this.size) return -1
    const word = Math.floor(from / WORD_BITS)
    const rest = this.words[word]! & (-1 << (from % WORD_BITS))
    if (rest !== 0) return word * WORD_BITS + lowestBit(rest)
    const nextWord = this.nextWord(word + 1)
    return nextWord < 0 ? -1 : nextWord * WORD_BITS + lowestBit(this.words[nextWord]!)
  }

  private nextWord(from: number): number {
    let at = Math.floor(from / WORD_BITS)
    if (at >= this.summary.length) return -1
    let bits = this.summary[at]! & (-1 << (from % WORD_BITS))
    while (bits === 0) {
      if (++at >= this.summary.length) return -1
      bits = this.summary[at]!
    }
    return at * WORD_BITS + lowestBit(bits)
  }
}

const lowestBit = (word: number): number => WORD_BITS - 1 - Math.clz32(word & -word)
