import t from 'tap'
import { PutStatus } from '../../engine/index.ts'
import { below, type Random, seeded, testSeed } from '../support/seeded.ts'
import type { Crash } from '../support/simulated-files.ts'
import { type Put, StoreModel, settle } from '../support/store-model.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const SEEDS = LONG ? 5000 : 25
t.setTimeout(LONG ? 3_600_000 : 300_000)

async function use(model: StoreModel, random: Random, steps: number): Promise<void> {
  for (let i = 0; i < steps; i++) {
    const choice = below(random, 10)
    if (choice === 0) for (let n = below(random, 30); n > 0; n--) model.put()
    else if (choice === 1) model.put(undefined, undefined, 2 + below(random, 4))
    else if (choice === 2) model.clock.advance(1000)
    else if (choice === 3) model.clock.advance(15_000)
    else model.put()
    // Sometimes the thread pool is not done when the next thing happens.
    if (random() < 0.7) await settle()
  }
}

const cuts: Record<string, (model: StoreModel, random: Random) => Crash['keeps']> = {
  'the first changes alone': (model, random) => ({
    first: below(random, model.disk.pendingChanges + 1),
    tornBytes: below(random, 300)
  }),
  'any sectors of any change': (_, random) => ({ anyOf: random }),
  'nothing that was not flushed': () => ({ first: 0 })
}

for (const [name, keeps] of Object.entries(cuts))
  t.test(`a power cut that leaves ${name} takes nothing that was acknowledged after its flush`, async t => {
    const first = testSeed()
    t.comment(`SKYLARK_TEST_SEED=${first}`)
    for (let run = 0; run < SEEDS && t.passing(); run++) {
      const seed = first + run
      const random = seeded(seed)
      const model = new StoreModel(random, { flushDiskType: 'SYNC_FLUSH' })
      model.slowWrites = run % 2 === 0 ? 0 : 0.4
      try {
        await model.open()
        for (let round = 0; round < 3; round++) {
          await use(model, random, 20)
          const acknowledged = model.acknowledged
          model.crash(keeps(model, random))
          await model.open()
          await model.verify(t, acknowledged, `SKYLARK_TEST_SEED=${seed}, round ${round}`)
        }
        await model.close()
      } catch (error) {
        t.fail(`SKYLARK_TEST_SEED=${seed}: ${(error as Error).stack}`)
      }
    }
  })

t.test('a power cut between flushes takes the newest messages alone, and none that was flushed', async t => {
  const first = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${first}`)
  for (let run = 0; run < SEEDS && t.passing(); run++) {
    const seed = first + run
    const random = seeded(seed)
    const model = new StoreModel(random, { flushDiskType: 'ASYNC_FLUSH' })
    model.slowWrites = run % 2 === 0 ? 0 : 0.4
    try {
      await model.open()
      let kept: Put[] = []
      for (let round = 0; round < 3; round++) {
        await use(model, random, 20)
        const { flushedOffset } = model.store
        const lived = model.acknowledged.filter(put => kept.includes(put) || put.physicalOffset < flushedOffset)
        const fresh = model.acknowledged.filter(put => !lived.includes(put))
        model.crash({ first: below(random, model.disk.pendingChanges + 1), tornBytes: below(random, 300) })
        await model.open()
        const end = model.store.maxPhysicalOffset
        kept = [...lived, ...fresh.filter(put => put.physicalOffset < end)]
        await model.verify(t, kept, `SKYLARK_TEST_SEED=${seed}, round ${round}`)
        t.same(model.store.damaged, [])
        // What is gone was never there: its places are given again.
        for (const put of model.puts) if (!kept.includes(put)) put.status = PutStatus.SERVICE_NOT_AVAILABLE
      }
      await model.close()
    } catch (error) {
      t.fail(`SKYLARK_TEST_SEED=${seed}: ${(error as Error).stack}`)
    }
  }
})
