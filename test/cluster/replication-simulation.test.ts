import t from 'tap'
import { faults } from '../support/replication-faults.ts'
import { runSeeds } from '../support/replication-run.ts'
import { testSeed } from '../support/seeded.ts'

const SEEDS = process.env.SKYLARK_TEST_PROFILE === 'long' ? 20_000 : 1000

// Ten times what it takes on an idle machine.
t.setTimeout(SEEDS * 250)

t.test(`${SEEDS} simulated sets of brokers lose nothing that was acknowledged, and end alike`, async t => {
  const first = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${first}`)
  const { masterChanges, acknowledged, failure, story } = await runSeeds(first, SEEDS)
  for (const event of story) t.comment(event)
  t.equal(failure, null)
  t.comment(`${masterChanges} masters, ${acknowledged} acknowledged messages`)
  if (failure !== null) return
  t.ok(masterChanges > SEEDS, 'masters were replaced')
  t.ok(acknowledged > 30 * SEEDS, 'messages were acknowledged')
})

t.test('a seed leads to the same events each time', async t => {
  const [one, other] = [await runSeeds(1, 20), await runSeeds(1, 20)]
  t.equal(one.digest, other.digest)
})

for (const fault of faults)
  t.test(`the simulation notices when ${fault}`, async t => {
    // Some show rarely; most of them within a hundred seeds.
    const { failure } = await runSeeds(1, 3 * SEEDS, fault)
    t.comment(failure)
    t.not(failure, null)
  })
