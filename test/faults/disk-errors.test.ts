import t from 'tap'
import { EngineError, openStore, PutStatus } from '../../engine/index.ts'
import { seeded } from '../support/seeded.ts'
import { type Call, SimulatedFiles, STORE_DIR } from '../support/simulated-files.ts'
import { StoreModel, settle } from '../support/store-model.ts'

t.setTimeout(300_000)
/** Of a call's occurrences, the short profile takes so many. */
const EXPERIMENTS = process.env.SKYLARK_TEST_PROFILE === 'long' ? Number.POSITIVE_INFINITY : 12
type FlushDiskType = 'SYNC_FLUSH' | 'ASYNC_FLUSH'
const FLUSH_TYPES: readonly FlushDiskType[] = ['SYNC_FLUSH', 'ASYNC_FLUSH']

/** Puts, rolls, checkpoints: what the tests below let fail at each of its calls. */
async function scenario(model: StoreModel): Promise<void> {
  for (let i = 0; i < 24; i++) {
    model.put()
    if (i % 8 === 3) model.put(undefined, undefined, 3)
    if (i % 8 === 5) for (let n = 0; n < 6; n++) model.put()
    if (i % 8 === 7) model.clock.advance(15_000)
    await settle()
  }
}

/** How often a call of some kind is made in the scenario. */
async function countCalls(call: Call, flushDiskType: FlushDiskType): Promise<number> {
  const model = new StoreModel(seeded(3), { flushDiskType })
  await model.open()
  const before = model.disk.calls.get(call) ?? 0
  await scenario(model)
  return (model.disk.calls.get(call) ?? 0) - before
}

for (const flushDiskType of FLUSH_TYPES)
  for (const [call, code] of [
    ['write', 'EIO'],
    ['write', 'ENOSPC'],
    ['open', 'EMFILE'],
    ['open', 'ENOSPC'],
    ['truncate', 'EIO'],
    ['syncDirectory', 'EIO'],
    ['sync', 'EIO']
  ] as const)
    t.test(`${code} at any ${call} loses nothing that was acknowledged (${flushDiskType})`, async t => {
      const count = await countCalls(call, flushDiskType)
      t.ok(count > 0, `${count} calls`)
      for (let n = 0; n < count; n += Math.max(1, Math.floor(count / EXPERIMENTS))) {
        const model = new StoreModel(seeded(3), { flushDiskType })
        await model.open()
        let left = n
        model.disk.fault = each => (each === call && left-- === 0 ? code : null)
        await scenario(model)
        model.disk.fault = null
        const about = `${code} at ${call} ${n}`
        if (model.puts.some(({ status }) => status === null)) t.fail(`${about}: a put was never answered`)
        if (call !== 'sync' && call !== 'syncDirectory') {
          // One failure passes: what comes later is taken.
          model.clock.advance(2000)
          const [late] = model.put()
          await settle()
          if (late!.status !== PutStatus.OK) t.fail(`${about}: ${late!.reason}`)
        }
        await model.verify(t, model.acknowledged, about)
        const acknowledged = model.acknowledged
        // In memory or on the disk: what an asynchronous flush has not reached may go with the power.
        model.crash(flushDiskType === 'SYNC_FLUSH' ? { first: 0 } : 'all')
        await model.open()
        await model.verify(t, acknowledged, `${about}, and a crash`)
        await model.close()
      }
    })

for (const flushDiskType of FLUSH_TYPES)
  t.test(`a failed flush is final: no more acknowledgements, reads go on (${flushDiskType})`, async t => {
    const model = new StoreModel(seeded(5), { flushDiskType })
    await model.open()
    for (let i = 0; i < 10; i++) model.put()
    await model.store.flush()
    await settle()
    const before = model.acknowledged
    t.equal(before.length, 10)

    model.disk.fault = call => (call === 'sync' ? 'EIO' : null)
    const [failed] = model.put()
    await model.store.flush()
    await settle()
    model.disk.fault = null
    if (flushDiskType === 'SYNC_FLUSH') t.equal(failed!.status, PutStatus.SERVICE_NOT_AVAILABLE)
    for (let i = 0; i < 5; i++) {
      model.clock.advance(20_000)
      const [refused] = model.put()
      await settle()
      t.equal(refused!.status, PutStatus.SERVICE_NOT_AVAILABLE)
      t.match(refused!.reason, /flushing the CommitLog failed.*read-only/)
    }
    t.match(model.store.unwritableReason, /read-only/)
    await model.verify(t, before, 'reads go on')
    await model.close()
    t.ok(model.disk.exists('/store/abort'), 'the stop is not called clean')
    await model.open()
    await model.verify(t, before, 'after a restart')
    t.equal(model.store.unwritableReason, null)
    await model.close()
  })

t.test('an acknowledgement under SYNC_FLUSH waits for the flush, and one flush answers many', async t => {
  const model = new StoreModel(seeded(5), { flushDiskType: 'SYNC_FLUSH' })
  await model.open()
  const puts = Array.from({ length: 50 }, () => model.put('orders', 0)).flat()
  await new Promise<void>(resolve => queueMicrotask(resolve))
  const before = model.disk.calls.get('sync') ?? 0
  t.ok(
    puts.every(({ status }) => status === null),
    'written, not flushed, not acknowledged'
  )
  t.equal(model.store.maxQueueOffset('orders', 0), 0, 'nor visible')
  await settle()
  t.ok(puts.every(({ status }) => status === PutStatus.OK))
  t.equal(model.store.maxQueueOffset('orders', 0), 50)
  t.ok((model.disk.calls.get('sync') ?? 0) - before <= 4, 'with a flush for each segment at most')
  await model.close()
})

t.test('a put that waits too long for its flush hears so, and is stored', async t => {
  const model = new StoreModel(seeded(5), { flushDiskType: 'SYNC_FLUSH', syncFlushTimeoutMs: 1000 })
  await model.open()
  const flushed = model.disk.sync.bind(model.disk)
  let release = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  model.disk.sync = async fd => {
    await held
    await flushed(fd)
  }
  const [put] = model.put('orders', 0)
  await settle()
  model.clock.advance(999)
  t.equal(put!.status, null)
  model.clock.advance(1)
  t.equal(put!.status, PutStatus.FLUSH_DISK_TIMEOUT)
  t.equal(put!.queueOffset, 0)
  release()
  await settle()
  t.equal(model.store.maxQueueOffset('orders', 0), 1)
  await model.close()
})

for (const flushDiskType of FLUSH_TYPES)
  t.test(`a full disk refuses with the reason, serves reads, and goes on with room (${flushDiskType})`, async t => {
    const model = new StoreModel(seeded(9), { flushDiskType })
    await model.open()
    model.disk.capacityBytes = 100 * 1024
    let refused = model.puts[0]
    while (refused === undefined) {
      const puts = model.put()
      model.clock.advance(500)
      await settle()
      refused = puts.find(({ status }) => status !== PutStatus.OK)
    }
    t.equal(refused.status, PutStatus.SERVICE_NOT_AVAILABLE)
    t.equal(refused.reason, 'the disk is full')
    t.equal(model.store.unwritableReason, 'the disk is full')
    await model.verify(t, model.acknowledged, 'when full')
    const full = model.disk
    const whenFull = model.acknowledged

    full.capacityBytes *= 2
    model.clock.advance(1500)
    for (let i = 0; i < 20; i++) model.put()
    await settle()
    t.ok(model.puts.slice(-20).every(({ status }) => status === PutStatus.OK))
    t.equal(model.store.unwritableReason, null)
    await model.verify(t, model.acknowledged, 'with room')

    full.capacityBytes = 0
    model.crash('all')
    model.disk.capacityBytes = 0
    await model.open()
    t.ok(model.acknowledged.length > whenFull.length)
    await model.verify(t, model.acknowledged, 'started on a full disk')
    const more = Array.from({ length: 60 }, () => model.put()).flat()
    await settle()
    t.ok(
      more.some(({ reason }) => reason === 'the disk is full'),
      'what does not fit in the last block is refused'
    )
    model.disk.capacityBytes = Number.POSITIVE_INFINITY
    model.clock.advance(15_000)
    await settle()
    t.equal(model.put()[0]!.status, null)
    await settle()
    t.equal(model.puts.at(-1)!.status, PutStatus.OK)
    await model.close()
    t.notOk(model.disk.exists('/store/abort'))
  })

t.test('writes that go through in small pieces are finished', async t => {
  const model = new StoreModel(seeded(11))
  await model.open()
  model.disk.longestWrite = 7
  await scenario(model)
  await model.verify(t, model.puts, 'small pieces')
  t.equal(model.acknowledged.length, model.puts.length)
  await model.close()
})

t.test('two cannot have one store; the second hears who has it', async t => {
  const files = new SimulatedFiles()
  const first = await openStore(STORE_DIR, {}, { files })
  await t.rejects(openStore(STORE_DIR, {}, { files }), {
    code: 'STORE_LOCKED',
    details: { holder: String(process.pid) }
  })
  await first.close()
  const second = await openStore(STORE_DIR, {}, { files })
  await second.close()
})

t.test('another size of CommitLog files than the store was written with stops the start', async t => {
  const model = new StoreModel(seeded(13))
  await model.open()
  await scenario(model)
  await model.close()
  for (const mappedFileSizeCommitLogBytes of [4096, 16384, 8000]) {
    const error = await openStore(STORE_DIR, { mappedFileSizeCommitLogBytes }, { files: model.disk }).catch(e => e)
    t.ok(error instanceof EngineError)
    t.equal(error.code, 'BAD_FILE')
  }
  await model.open()
  await model.verify(t, model.acknowledged, 'with the old size')
  await model.close()
})
