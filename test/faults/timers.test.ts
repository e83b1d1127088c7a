import t, { type Test } from 'tap'
import { below, oneOf, type Random, seeded, testSeed } from '../support/seeded.ts'
import { type Crash, inStore } from '../support/simulated-files.ts'
import { settle } from '../support/store-model.ts'
import { TimerModel } from '../support/timer-model.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const SEEDS = LONG ? 250 : 4
t.setTimeout(300_000)

/** Messages come and become due; whether all that is delivered is saved at the end is up to the caller. */
async function use(model: TimerModel, random: Random, steps: number): Promise<void> {
  for (let i = 0; i < steps; i++) {
    const choice = below(random, 10)
    if (choice < 5) for (let n = below(random, 6); n >= 0; n--) model.put()
    else if (choice < 6) model.delete()
    else {
      model.clock.advance(below(random, 4000))
      void model.deliver()
    }
    if (random() < 0.7) await settle()
  }
}

async function forSeeds(t: Test, run: (model: TimerModel, random: Random) => Promise<void>): Promise<void> {
  const first = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${first}`)
  for (let i = 0; i < SEEDS && t.passing(); i++) {
    const random = seeded(first + i)
    const model = new TimerModel(random)
    try {
      await model.open()
      await run(model, random)
      await model.verify(t, `SKYLARK_TEST_SEED=${first + i}`)
      await model.close()
    } catch (error) {
      t.fail(`SKYLARK_TEST_SEED=${first + i}: ${(error as Error).stack}`)
    }
  }
}

const cuts: Record<string, (model: TimerModel, random: Random) => Crash['keeps']> = {
  'the first changes alone': (model, random) => ({
    first: below(random, model.disk.pendingChanges + 1),
    tornBytes: below(random, 60)
  }),
  'any sectors of any change': (_, random) => ({ anyOf: random }),
  'nothing that was not flushed': () => ({ first: 0 }),
  'everything, as a kill does,': () => 'all'
}

for (const [name, keeps] of Object.entries(cuts))
  t.test(`a power cut that leaves ${name} loses no message that waits, and repeats none that was saved`, t =>
    forSeeds(t, async (model, random) => {
      for (let round = 0; round < 3; round++) {
        await use(model, random, 20)
        if (random() < 0.5) await model.save()
        model.crash(keeps(model, random))
        await model.open()
      }
    })
  )

t.test('a stop in order repeats nothing', async t => {
  await forSeeds(t, async (model, random) => {
    for (let round = 0; round < 3; round++) {
      await use(model, random, 20)
      await settle()
      await model.close()
      if (random() < 0.3) model.clock.advance(60_000)
      await model.open()
    }
    t.equal(await model.repeated(), 0)
  })
})

const FILES = ['timerwheel', 'timerlog/00000000000000000000', 'timerlog/00000000000000001024', 'config/timercheck']

for (const [name, spoil] of Object.entries({
  removed: (model: TimerModel, path: string) => model.disk.remove(path),
  emptied: (model: TimerModel, path: string) => model.disk.setContent(path, Buffer.alloc(0)),
  shortened: (model: TimerModel, path: string) =>
    model.disk.setContent(path, model.disk.contentOf(path).subarray(0, 700)),
  garbled: (model: TimerModel, path: string, random: Random) =>
    model.disk.setContent(
      path,
      model.disk.contentOf(path).map(byte => (random() < 0.02 ? below(random, 256) : byte))
    )
}))
  t.test(`a timer file that was ${name} is built again: nothing is lost or repeated`, t =>
    forSeeds(t, async (model, random) => {
      for (let round = 0; round < 2; round++) {
        await use(model, random, 30)
        await model.save()
        await model.close()
        const path = inStore(oneOf(random, FILES))
        if (model.disk.exists(path)) spoil(model, path, random)
        await model.open()
      }
    })
  )

t.test('a disk that is full or broken for a while delays messages, and loses none', t =>
  forSeeds(t, async (model, random) => {
    for (let round = 0; round < 2; round++) {
      await use(model, random, 15)
      model.disk.fault = (call, path) =>
        path.includes('timer') && (call === 'write' || call === 'readAsync') && random() < 0.5 ? 'EIO' : null
      await use(model, random, 15).catch(() => {})
      model.disk.fault = null
      await model.pass(5)
    }
  })
)
