/** Random numbers that a seed gives again: [0, 1). */
export type Random = () => number

export function seeded(seed: number): Random {
  let state = seed >>> 0
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

export const below = (random: Random, end: number): number => Math.floor(random() * end)
export const oneOf = <T>(random: Random, items: readonly T[]): T => items[below(random, items.length)]!
/** The same items in another order. */
export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const rest = [...items]
  return items.map(() => rest.splice(below(random, rest.length), 1)[0]!)
}

/** The seed of a random test: SKYLARK_TEST_SEED, or one of its own each time. */
export const testSeed = (): number => Number(process.env.SKYLARK_TEST_SEED ?? Date.now() % 1_000_000_000)
