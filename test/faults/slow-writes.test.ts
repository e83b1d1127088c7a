import t from 'tap'
import { PutStatus } from '../../engine/index.ts'
import { below, oneOf, seeded, testSeed } from '../support/seeded.ts'
import { SimulatedFiles } from '../support/simulated-files.ts'
import { StoreModel, settle } from '../support/store-model.ts'

const SEEDS = process.env.SKYLARK_TEST_PROFILE === 'long' ? 2000 : 100
t.setTimeout(300_000)

/** Holds writes of the thread pool back until it is told to let them through. */
class StoppedFiles extends SimulatedFiles {
  stopped = false
  pooledWrites = 0
  private readonly held: (() => void)[] = []

  override async writeAsync(
    ...[fd, source, start, length, position]: Parameters<SimulatedFiles['writeAsync']>
  ): Promise<number> {
    this.pooledWrites++
    if (this.stopped) await new Promise<void>(resolve => this.held.push(resolve))
    return super.writeAsync(fd, source, start, length, position)
  }

  go(): void {
    this.stopped = false
    for (const resolve of this.held.splice(0)) resolve()
  }
}

async function stopped(options = {}): Promise<{ model: StoreModel; disk: StoppedFiles }> {
  const model = new StoreModel(seeded(11), options)
  const disk = new StoppedFiles()
  model.disk = disk
  await model.open()
  model.slowWrites = 1
  model.put()
  await settle()
  disk.stopped = true
  return { model, disk }
}

for (const flushDiskType of ['SYNC_FLUSH', 'ASYNC_FLUSH'] as const) {
  t.test(
    `what is put while a write is held back is gathered, and acknowledged in order (${flushDiskType})`,
    async t => {
      const { model, disk } = await stopped({ flushDiskType })
      const order: string[] = []
      for (let i = 0; i < 10; i++) {
        const [put] = model.put('orders', 0)
        await settle()
        t.equal(put!.status, null, 'not acknowledged before it is written')
      }
      t.equal(model.store.maxQueueOffset('orders', 0), model.acknowledged.filter(put => put.topic === 'orders').length)
      disk.go()
      await settle()
      for (const put of model.acknowledged) order.push(put.body)
      t.same(
        order,
        model.puts.map(put => put.body)
      )
      t.equal(disk.pooledWrites, 2, 'the first one, and one for all that came meanwhile')
      await model.verify(t, model.puts, 'all of it')
      await model.close()
    }
  )

  t.test(
    `too much that waits for the disk is refused, and what was not refused is stored (${flushDiskType})`,
    async t => {
      const { model, disk } = await stopped({ flushDiskType })
      for (let i = 0; i < 100; i++) {
        model.put('orders', 0)
        if (i === 40) await settle()
        if (i === 50) model.clock.pass(1500)
      }
      const refused = model.puts.filter(put => put.status !== null && put.status !== PutStatus.OK)
      t.equal(refused.length, 49)
      t.ok(refused.every(put => put.status === PutStatus.OS_PAGE_CACHE_BUSY && put.reason?.includes('slowly')))
      disk.go()
      model.slowWrites = 0
      await model.store.flush()
      await settle()
      const stored = model.puts.filter(put => !refused.includes(put))
      t.ok(stored.length > 20)
      t.ok(stored.every(put => put.status === PutStatus.OK))
      await model.verify(t, stored, 'what was taken')
      const [late] = model.put('orders', 0)
      await settle()
      t.equal(late!.status, PutStatus.OK, 'it is taken again')
      await model.close()
    }
  )

  t.test(`a flush and a close wait for what is on its way (${flushDiskType})`, async t => {
    const { model, disk } = await stopped({ flushDiskType })
    model.put()
    await settle()
    model.put()
    let flushed = false
    const flush = model.store.flush().then(() => {
      flushed = true
    })
    await settle()
    t.notOk(flushed)
    disk.go()
    await flush
    t.equal(model.store.flushedOffset, model.store.maxPhysicalOffset)
    disk.stopped = true
    model.put()
    await settle()
    model.put()
    const closed = model.close()
    await settle()
    disk.go()
    await closed
    t.equal(model.acknowledged.length, model.puts.length)
    await model.open()
    await model.verify(t, model.puts, 'after a clean stop')
    await model.close()
  })
}

t.test('a write that fails on its way takes back all that was put behind it, and nothing else', async t => {
  const first = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${first}`)
  for (let run = 0; run < SEEDS && t.passing(); run++) {
    const seed = first + run
    const random = seeded(seed)
    const flushDiskType = oneOf(random, ['SYNC_FLUSH', 'ASYNC_FLUSH'] as const)
    const model = new StoreModel(random, { flushDiskType })
    const about = `SKYLARK_TEST_SEED=${seed}`
    try {
      await model.open()
      model.slowWrites = random()
      const setFault = () => {
        model.disk.fault = (call, path) =>
          call === 'write' && path.includes('commitlog') && random() < 0.1 ? oneOf(random, ['EIO', 'ENOSPC']) : null
      }
      setFault()
      for (let step = 0; step < 60; step++) {
        for (let n = below(random, 8); n >= 0; n--) model.put()
        if (random() < 0.5) await new Promise(resolve => setImmediate(resolve))
        if (random() < 0.2) model.clock.advance(below(random, 300))
      }
      model.disk.fault = null
      model.clock.advance(2000)
      await settle()
      await model.store.flush()
      if (model.puts.some(({ status }) => status === null)) t.fail(`${about}: a put was never answered`)
      if (model.puts.every(({ status }) => status === PutStatus.OK)) continue
      await model.verify(t, model.acknowledged, about)
      const { acknowledged } = model
      model.crash(flushDiskType === 'SYNC_FLUSH' ? { first: 0 } : 'all')
      await model.open()
      await model.verify(t, acknowledged, `${about}, and a crash`)
      t.same(model.store.damaged, [], about)
      await model.close()
    } catch (error) {
      t.fail(`${about}: ${(error as Error).stack}`)
    }
  }
})
