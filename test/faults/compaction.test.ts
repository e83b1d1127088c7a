import t from 'tap'
import { type MessageStore, openStore, PutStatus } from '../../engine/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { below, type Random, seeded, testSeed } from '../support/seeded.ts'
import { type Crash, SimulatedFiles, STORE_DIR } from '../support/simulated-files.ts'
import { putMessageOf, readQueue, settle, TINY_STORE } from '../support/store-model.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const SEEDS = LONG ? 500 : 8
const TOPIC = 'prices'
const KEYS = 6
t.setTimeout(300_000)

const options = {
  ...TINY_STORE,
  flushDiskType: 'SYNC_FLUSH',
  compactionCqMappedFileSizeBytes: 46 * 8,
  compactionMappedFileSizeBytes: 46 * 8 * 6
} as const

/** A value that was put under a key; `queueOffset` is -1 until it was acknowledged. */
interface Value {
  key: string
  body: string
  queueOffset: number
}

/** A compaction topic on a disk that may break, beside a list of what was put into it. */
class Prices {
  disk = new SimulatedFiles()
  readonly clock = new ManualClock()
  readonly values: Value[] = []
  store!: MessageStore
  private readonly random: Random

  constructor(random: Random) {
    this.random = random
  }

  async open(): Promise<void> {
    this.store = await openStore(STORE_DIR, options, {
      files: this.disk,
      clock: this.clock,
      compactedTopics: () => [TOPIC]
    })
  }

  put(): void {
    const key = `k${below(this.random, KEYS)}`
    const value: Value = { key, body: `${this.values.length}`.padEnd(below(this.random, 150), '.'), queueOffset: -1 }
    this.values.push(value)
    const properties = { KEYS: key, UNIQ_KEY: `u${this.values.length}` }
    this.store.put(putMessageOf(TOPIC, 0, Buffer.from(value.body), properties), {
      onPut: (status, _, queueOffset) => {
        if (status === PutStatus.OK) value.queueOffset = queueOffset
      }
    })
  }

  async step(): Promise<void> {
    const choice = below(this.random, 12)
    if (choice === 0) this.clock.advance(15_000)
    else if (choice === 1) void this.store.compact().catch(() => {})
    else if (choice === 2) await this.store.deleteExpiredFiles({ force: true, maxFiles: 1 })
    else if (choice === 3) this.clock.advance(900_000)
    else for (let n = below(this.random, 12); n >= 0; n--) this.put()
    // What is under way comes as far as it comes.
    if (this.random() < 0.6) await settle()
    else for (let n = below(this.random, 8); n > 0; n--) await new Promise(resolve => setImmediate(resolve))
  }

  crash(keeps: Crash['keeps']): void {
    this.disk = this.disk.crash({ keeps })
    this.clock.clear()
  }

  /** Of each key at least the newest acknowledged value is there, or a newer one; and nothing that was not put so. */
  async problems(): Promise<string[]> {
    const problems: string[] = []
    const newest = new Map<string, number>()
    let before = -1
    for (const { queueOffset, properties, body } of await readQueue(this.store, TOPIC, 0)) {
      const key = properties.get('KEYS')!
      const number = this.values.findIndex(value => value.key === key && value.body === Buffer.from(body).toString())
      if (number < 0) problems.push(`${queueOffset}: a message that nobody put`)
      else if (this.values[number]!.queueOffset >= 0 && this.values[number]!.queueOffset !== queueOffset)
        problems.push(`${queueOffset}: it was acknowledged at ${this.values[number]!.queueOffset}`)
      if (queueOffset <= before) problems.push(`${queueOffset} comes behind ${before}`)
      before = queueOffset
      newest.set(key, number)
    }
    this.values.forEach(({ key, queueOffset }, number) => {
      if (queueOffset >= 0 && (newest.get(key) ?? -1) < number) problems.push(`${key}: value ${number} is lost`)
    })
    return problems
  }
}

const cuts: Record<string, (prices: Prices, random: Random) => Crash['keeps']> = {
  'a kill': () => 'all',
  'a power cut that leaves the first changes alone': (prices, random) => ({
    first: below(random, prices.disk.pendingChanges + 1),
    tornBytes: below(random, 300)
  }),
  'a power cut that leaves any sectors of any change': (_, random) => ({ anyOf: random }),
  'a power cut that leaves nothing that was not flushed': () => ({ first: 0 })
}

for (const [name, keeps] of Object.entries(cuts))
  t.test(`${name} takes no key of a compacted topic`, async t => {
    const first = testSeed()
    t.comment(`SKYLARK_TEST_SEED=${first}`)
    for (let run = 0; run < SEEDS && t.passing(); run++) {
      const seed = first + run
      const random = seeded(seed)
      const prices = new Prices(random)
      try {
        await prices.open()
        for (let round = 0; round < 3; round++) {
          for (let i = 0; i < 25; i++) await prices.step()
          prices.crash(keeps(prices, random))
          await prices.open()
          t.same(await prices.problems(), [], `SKYLARK_TEST_SEED=${seed}, round ${round}`)
        }
        await prices.store.compact()
        t.same(await prices.problems(), [], `SKYLARK_TEST_SEED=${seed}, compacted`)
        await prices.store.close()
      } catch (error) {
        t.fail(`SKYLARK_TEST_SEED=${seed}: ${(error as Error).stack}`)
      }
    }
  })
