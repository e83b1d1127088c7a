import t, { type Test } from 'tap'
import { below, type Random, seeded, testSeed } from '../support/seeded.ts'
import { readQueue, StoreModel, settle } from '../support/store-model.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const RUNS = LONG ? 1000 : 60
const STEPS = 60

/** One step of somebody who uses a store; returns what it was. */
async function step(t: Test, model: StoreModel, random: Random): Promise<string> {
  const { store, clock } = model
  switch (below(random, 12)) {
    case 0:
      for (let i = below(random, 40); i > 0; i--) model.put()
      return 'many puts in one event'
    case 1:
      model.put(undefined, undefined, 2 + below(random, 4))
      return 'a batch'
    case 2:
      await store.flush()
      return 'a flush'
    case 3:
      clock.advance(1000)
      return 'a second passes'
    case 4:
      clock.advance(15_000)
      return 'a checkpoint'
    case 5: {
      const offset = below(random, 50)
      const result = await store.getMessages('orders', 0, offset, 1 + below(random, 40))
      const { minOffset, maxOffset } = result
      const expected =
        maxOffset === 0
          ? ['NO_MESSAGE_IN_QUEUE', 'NO_MATCHED_LOGIC_QUEUE']
          : offset < minOffset
            ? ['OFFSET_TOO_SMALL']
            : offset > maxOffset
              ? ['OFFSET_OVERFLOW_BADLY']
              : offset === maxOffset
                ? ['OFFSET_OVERFLOW_ONE']
                : ['FOUND']
      t.ok(
        expected.includes(result.status),
        `a read at ${offset} of ${minOffset} to ${maxOffset} says ${result.status}`
      )
      return 'a read'
    }
    case 6:
      if (random() < 0.3) await store.deleteExpiredFiles({ force: true, maxFiles: 1 + below(random, 2) })
      return 'retention'
    case 7:
      if (random() > 0.4) return 'nothing'
      await model.close()
      await model.open()
      return 'a clean restart'
    case 8:
      if (random() > 0.4) return 'nothing'
      await settle()
      model.crash('all')
      await model.open()
      return 'a kill'
    default:
      model.put()
      return 'a put'
  }
}

t.setTimeout(300_000)

t.test(`a store says what a list in memory says, over ${RUNS} runs of ${STEPS} random steps`, async t => {
  const first = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${first}`)
  for (let run = 0; run < RUNS; run++) {
    const seed = first + run
    const random = seeded(seed)
    const model = new StoreModel(random, { flushDiskType: random() < 0.5 ? 'SYNC_FLUSH' : 'ASYNC_FLUSH' })
    const steps: string[] = []
    try {
      await model.open()
      for (let i = 0; i < STEPS; i++) {
        steps.push(await step(t, model, random))
        await settle()
      }
      await model.store.flush()
      await settle()
      const refused = model.puts.filter(put => put.status !== 0)
      t.same(refused, [], 'every put is acknowledged')
      await model.verify(t, model.acknowledged, `seed ${seed}`)
      const offsets = (await readQueue(model.store, 'orders', 0)).map(({ queueOffset }) => queueOffset)
      const from = model.store.minQueueOffset('orders', 0)
      t.same(
        offsets,
        offsets.map((_, i) => from + i),
        'queue offsets have no gap'
      )
      t.same(model.store.damaged, [])
      await model.close()
      t.equal(model.disk.openCount, 0, 'all files are closed')
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).stack}`)
    }
    if (!t.passing()) {
      t.comment(`SKYLARK_TEST_SEED=${seed} fails after: ${steps.join(', ')}`)
      break
    }
  }
})
