import t from 'tap'
import { below, seeded, testSeed } from '../support/seeded.ts'
import { SimulatedSet } from '../support/simulated-election.ts'

const SEEDS = 1000

t.test(`elections in ${SEEDS} simulated clusters lose nothing, and never have two masters acknowledge`, async t => {
  const first = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${first}`)
  let elections = 0
  let acknowledged = 0
  for (let seed = first; seed < first + SEEDS; seed++) {
    const random = seeded(seed)
    const set = new SimulatedSet(random, 2 + below(random, 2))
    try {
      await set.run(2000)
      for (let i = 0; i < 12; i++) {
        set.disturb()
        await set.run(20 + below(random, 1500))
      }
      set.heal()
      for (let i = 0; i < 100 && !set.isWhole; i++) await set.run(200)
      if (!set.isWhole) throw new Error('the set does not come together again')
      set.check()
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).message}`)
      set.close()
      return
    }
    elections += set.elections
    acknowledged += set.acked.size
    set.close()
  }
  t.comment(`${elections} elections, ${acknowledged} acknowledged messages`)
  t.ok(elections > 2 * SEEDS, 'masters were replaced')
  t.ok(acknowledged > 100 * SEEDS, 'messages were acknowledged')
})
