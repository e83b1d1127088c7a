import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { mappedFileCount, openStore, PutStatus, type QueueType, realFiles } from '../../engine/index.ts'
import { decodeRecord, hostOf, javaHashCode, SysFlag } from '../../message/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { seeded } from '../support/seeded.ts'
import { SimulatedFiles, STORE_DIR } from '../support/simulated-files.ts'
import { putMessageOf, readQueue, StoreModel, settle, TINY_STORE } from '../support/store-model.ts'
import { until } from '../support/until.ts'

const bodyOf = (text: string): Buffer => Buffer.from(text)

t.test('a sysFlag that claims IPv6 hosts is stored as the hosts are, and read after a restart', async t => {
  const files = new SimulatedFiles()
  let store = await openStore(STORE_DIR, TINY_STORE, { files })
  for (const claim of [SysFlag.BORN_HOST_V6, SysFlag.STORE_HOST_V6, SysFlag.HOST_MASK]) {
    const message = { ...putMessageOf('orders', 0, bodyOf('claimed')), sysFlag: claim | SysFlag.COMPRESSED }
    t.equal((await store.putMessage(message)).status, PutStatus.OK)
  }
  const six = { ...putMessageOf('orders', 0, bodyOf('six')), bornHost: hostOf('2001:db8::7', 9) }
  await store.putMessage(six)
  await store.close()
  store = await openStore(STORE_DIR, TINY_STORE, { files })
  const records = await readQueue(store, 'orders', 0)
  t.same(
    records.map(({ sysFlag }) => sysFlag),
    [SysFlag.COMPRESSED, SysFlag.COMPRESSED, SysFlag.COMPRESSED, SysFlag.BORN_HOST_V6]
  )
  t.equal(records[3]!.bornHost.port, 9)
  await store.close()
})

t.test('messages that cannot be stored are refused with the value, and nothing of them stays', async t => {
  const model = new StoreModel(seeded(1), { mappedFileSizeCommitLogBytes: 2048 })
  await model.open()
  const { store } = model
  const put = (topic: string, queueId: number, bodyBytes: number, properties = {}) =>
    store.putMessage(putMessageOf(topic, queueId, Buffer.alloc(bodyBytes, 1), properties))
  t.match(await put('orders', 0, 4097), { status: PutStatus.MESSAGE_ILLEGAL, reason: /body has 4097 bytes.*4096/ })
  t.match(await put('orders', 0, 3000), { status: PutStatus.MESSAGE_ILLEGAL, reason: /record has \d+ bytes.*2040/ })
  t.match(await put('t'.repeat(256), 0, 1), { status: PutStatus.MESSAGE_ILLEGAL, reason: /256 bytes/ })
  t.match(await put('', 0, 1), { status: PutStatus.MESSAGE_ILLEGAL, reason: /0 bytes/ })
  t.match(await put('orders', -1, 1), { status: PutStatus.MESSAGE_ILLEGAL, reason: /no queue -1/ })
  t.match(await put('orders', 0, 1, { a: 'x'.repeat(40_000) }), {
    status: PutStatus.PROPERTIES_SIZE_EXCEEDED,
    reason: /40/
  })
  t.equal(store.maxPhysicalOffset, 0)
  t.match(await put('orders', 0, 1), { status: PutStatus.OK, queueOffset: 0, physicalOffset: 0 })
  await model.close()
})

t.test('time along the log never goes back, whatever the clock does', async t => {
  const clock = new ManualClock()
  const store = await openStore(STORE_DIR, TINY_STORE, { files: new SimulatedFiles(), clock })
  const times: number[] = []
  for (const step of [0, 1000, -3_600_000, 1, 5000]) {
    if (step < 0) clock.setBack(-step)
    else clock.advance(step)
    times.push((await store.putMessage(putMessageOf('orders', 0, bodyOf('x')))).storeTimestamp)
  }
  t.same(times, [...times].sort())
  t.equal(await store.offsetByTime('orders', 0, times[0]! + 1), 1)
  await store.close()
})

t.test('a waiter may put again while it hears of its put, also where a segment ends', async t => {
  const model = new StoreModel(seeded(2))
  await model.open()
  const answered: number[] = []
  const putAgain = (left: number) =>
    model.store.put(putMessageOf('orders', 0, Buffer.alloc(900, left)), {
      onPut: (status, _, queueOffset) => {
        t.equal(status, PutStatus.OK)
        answered.push(queueOffset)
        if (left > 0) putAgain(left - 1)
      }
    })
  for (let i = 0; i < 5; i++) putAgain(20)
  await settle()
  t.same(
    answered.sort((a, b) => a - b),
    Array.from({ length: 105 }, (_, i) => i)
  )
  t.same(
    (await readQueue(model.store, 'orders', 0)).map(({ queueOffset }) => queueOffset),
    Array.from({ length: 105 }, (_, i) => i)
  )
  t.same(model.store.damaged, [])
  await model.close()
})

t.test('a waiter that throws keeps no other from hearing', async t => {
  const model = new StoreModel(seeded(3))
  await model.open()
  model.store.put(putMessageOf('orders', 0, bodyOf('a')), {
    onPut: () => {
      throw new Error('mine')
    }
  })
  const [other] = model.put('orders', 0)
  await settle()
  t.equal(other!.status, PutStatus.OK)
  t.ok(model.log.at('error').some(({ details }) => (details.err as Error).message === 'mine'))
  await model.close()
})

t.test('readers of deleted files are told where to go on', async t => {
  const model = new StoreModel(seeded(4))
  await model.open()
  for (let i = 0; i < 100; i++) model.put('orders', 0)
  model.put('bills', 0)
  await model.store.flush()
  const before = await model.store.getMessages('orders', 0, 0, 1)
  t.equal(before.status, 'FOUND')
  t.ok((await model.store.deleteExpiredFiles({ force: true, maxFiles: 2 })) > 0)
  const min = model.store.minQueueOffset('orders', 0)
  t.ok(min > 0)
  t.match(await model.store.getMessages('orders', 0, 0, 1), { status: 'OFFSET_TOO_SMALL', nextBeginOffset: min })
  t.match(await model.store.getMessages('orders', 0, min, 1), { status: 'FOUND' })
  t.equal(await model.store.readByPhysicalOffset(0), null)
  t.equal(await model.store.storeTimeOf('orders', 0, 0), -1)
  t.equal(await model.store.earliestStoreTime('orders', 0), await model.store.earliestStoreTimeOfAll())
  t.equal(model.disk.paths().filter(path => path.includes('/commitlog/'))[0], '/store/commitlog/00000000000000016384')
  await model.verify(t, model.acknowledged, 'what is left')
  await model.close()
  await model.open()
  t.equal(model.store.minQueueOffset('orders', 0), min)
  await model.close()
})

t.test('files are deleted by their age, at the hour that is set, and at once when the disk is too full', async t => {
  const model = new StoreModel(seeded(5), { fileReservedTimeHours: 48, deleteWhen: '04', deleteFileBatchMax: 100 })
  await model.open()
  const segments = () => model.disk.paths().filter(path => path.includes('/commitlog/')).length
  for (let i = 0; i < 150; i++) model.put()
  await model.store.flush()
  const all = segments()
  t.ok(all > 3)
  const hour = () => new Date(model.clock.now()).getHours()
  while (hour() !== 4) model.clock.advance(3_600_000)
  t.equal(await model.store.cleanUp(), 0, 'not old enough')
  model.clock.advance(72 * 3_600_000)
  model.clock.advance(3_600_000)
  t.equal(await model.store.cleanUp(), 0, 'old enough, but not the hour')
  model.store.requestCleanUp()
  t.equal(await model.store.cleanUp(), all - 1, 'asked for')
  t.equal(segments(), 1, 'the last file stays')

  for (let i = 0; i < 150; i++) model.put()
  await model.store.flush()
  const young = segments()
  const ratio = model.disk.usedRatio.bind(model.disk)
  model.disk.usedRatio = () => 0.88
  t.equal(await model.store.cleanUp(), young - 1)
  t.ok(model.log.at('warn').some(({ text }) => /88 % full.*deleted.*consumed or not/.test(text)))
  t.equal(model.store.unwritableReason, null)
  model.disk.usedRatio = () => 0.93
  await model.store.cleanUp()
  t.match(model.store.unwritableReason, /93 % full/)
  t.equal(model.put()[0]!.status, PutStatus.SERVICE_NOT_AVAILABLE)
  model.disk.usedRatio = ratio
  await model.store.cleanUp()
  t.equal(model.store.unwritableReason, null)
  await model.close()
})

t.test('many queues are open with few files, and all of them are read', async t => {
  const files = new SimulatedFiles()
  const clock = new ManualClock()
  const options = { ...TINY_STORE, mappedFileSizeConsumeQueueBytes: 20 * 10_000 }
  const store = await openStore(STORE_DIR, options, { files, clock })
  for (let i = 0; i < 600; i++) store.put(putMessageOf('orders', i % 200, bodyOf(`${i}`)), { onPut: () => {} })
  await store.flush()
  clock.advance(15_000)
  await settle()
  for (let wait = 0; wait < 300; wait++) await new Promise(resolve => setImmediate(resolve))
  for (let queueId = 0; queueId < 200; queueId++) {
    const bodies = (await readQueue(store, 'orders', queueId)).map(({ body }) => Number(Buffer.from(body).toString()))
    if (bodies.join() !== [queueId, queueId + 200, queueId + 400].join()) t.fail(`queue ${queueId}: ${bodies}`)
  }
  t.ok(store.statistics.openFileCount <= 17, `${store.statistics.openFileCount} files`)
  await store.close()
  t.equal(files.openCount, 0)
  // Its own directory is flushed for each queue, and those above once for many.
  t.ok(files.calls.get('syncDirectory')! < 230, `${files.calls.get('syncDirectory')} directories were flushed`)

  const readBefore = files.calls.get('read') ?? 0
  const again = await openStore(STORE_DIR, options, { files, clock })
  for (let queueId = 0; queueId < 200; queueId++) t.equal(again.maxQueueOffset('orders', queueId), 3)
  const readCount = files.calls.get('read')! - readBefore
  t.ok(readCount < 200 * 4, `${readCount} reads find the ends of 200 queues`)
  await again.close()
})

t.test('what may have to come from the disk is read in the thread pool, never on the loop', async t => {
  const files = new SimulatedFiles()
  const clock = new ManualClock()
  const seams = {
    files,
    clock,
    queueTypeOf: (topic: string) => (topic === 'batches' ? 'BatchCQ' : 'SimpleCQ') as QueueType
  }
  const options = {
    ...TINY_STORE,
    mappedFileSizeCommitLogBytes: 65_536,
    mappedFileSizeConsumeQueueBytes: 20 * 1000,
    mappedFileSizeBatchConsumeQueueBytes: 46 * 1000,
    maxHashSlotNum: 100,
    maxIndexNum: 6000
  }
  const count = 2500
  const filling = await openStore(STORE_DIR, options, seams)
  for (let i = 0; i < count; i++) {
    clock.advance(1)
    await filling.putMessage(
      putMessageOf('orders', 0, bodyOf(`${i}`), { KEYS: `k${i}`, TAGS: i % 500 === 7 ? 'rare' : 'tag' })
    )
    await filling.putMessage(putMessageOf('batches', 0, bodyOf(`${i}`)))
  }
  await filling.close()

  const store = await openStore(STORE_DIR, options, seams)
  const readBefore = files.calls.get('read') ?? 0
  for (const topic of ['orders', 'batches']) {
    const bodies = (await readQueue(store, topic, 0)).map(({ body }) => Number(Buffer.from(body).toString()))
    t.same(bodies, [...Array(count).keys()])
    for (const offset of [0, 700, 1400, count - 1]) {
      const time = await store.storeTimeOf(topic, 0, offset)
      t.equal(await store.offsetByTime(topic, 0, time), offset)
      t.equal(await store.offsetByTime(topic, 0, time, 'UPPER'), offset)
    }
  }
  const rare = { matchesTagsCode: (tagsCode: number) => tagsCode === javaHashCode('rare') }
  const found: number[] = []
  for (let offset = 0; offset < count; ) {
    const { slices, nextBeginOffset } = await store.getMessages('orders', 0, offset, 32, rare)
    for (const { bytes, start, end } of slices) found.push(decodeRecord(bytes.slice(start, end)).queueOffset)
    offset = nextBeginOffset
  }
  t.same(found, [7, 507, 1007, 1507, 2007])
  t.equal((await store.queryByKey('orders', 'k3', 32, 0, Number.MAX_SAFE_INTEGER)).records.length, 1)
  t.ok((await store.deleteExpiredFiles({ force: true, maxFiles: 3 })) > 0)
  for (const topic of ['orders', 'batches']) {
    const first = store.minQueueOffset(topic, 0)
    t.ok(first > 0)
    const [record] = await readQueue(store, topic, 0)
    t.equal(record!.queueOffset, first)
  }
  t.equal(files.calls.get('read') ?? 0, readBefore)
  await store.close()
})

/** Files of a folder that are deleted and still take room: open in this process, or in its memory. Linux tells. */
function heldAlthoughDeleted(dir: string): string[] {
  if (!existsSync('/proc/self/maps')) return []
  const descriptors = readdirSync('/proc/self/fd').map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n')
  return [...descriptors, ...maps].filter(each => each.includes(dir) && each.endsWith('(deleted)'))
}

t.test('a thousand files come and go on the real disk: space, descriptors and maps are given back', async t => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const dir = temporaryDirectory(t)
  const store = await openStore(dir, { ...TINY_STORE, mappedFileSizeCommitLogBytes: 4096, deleteFileBatchMax: 1000 })
  const body = Buffer.alloc(1200, 7)
  const mapped = new Set<Uint8Array>()
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 300; i++) {
      const { queueOffset } = await store.putMessage(putMessageOf('orders', 0, body, { KEYS: `k${i}` }))
      const { slices } = await store.getMessages('orders', 0, queueOffset, 1)
      if (round === 0) mapped.add(slices[0]!.bytes)
    }
    await store.deleteExpiredFiles({ force: true })
  }
  t.ok(mapped.size > 90, `${mapped.size} files were mapped in the first round`)
  mapped.clear()
  t.ok(store.maxPhysicalOffset > 990 * 4096)
  t.equal(readdirSync(join(dir, 'commitlog')).length, 1)
  t.ok(readdirSync(join(dir, 'index')).length < 10)
  t.ok(store.statistics.openFileCount <= 17)
  await until('no map and no descriptor keeps a deleted file', () => {
    collectGarbage()
    return mappedFileCount() <= 2 && heldAlthoughDeleted(dir).length === 0
  })
  await store.close()
})

t.test('a store on the real disk is locked against others, and its stop is clean', async t => {
  const dir = temporaryDirectory(t)
  const store = await openStore(dir, TINY_STORE)
  await t.rejects(openStore(dir, TINY_STORE), { code: 'STORE_LOCKED' })
  const { status, physicalOffset } = await store.putMessage(putMessageOf('orders', 0, bodyOf('kept')))
  t.equal(status, PutStatus.OK)
  t.ok(realFiles.exists(join(dir, 'abort')))
  await store.close()
  t.notOk(realFiles.exists(join(dir, 'abort')))
  const again = await openStore(dir, TINY_STORE)
  t.equal(Buffer.from(decodeRecord((await again.readByPhysicalOffset(physicalOffset))!).body).toString(), 'kept')
  await again.close()
})

t.test('options that cannot be are named', async t => {
  for (const [option, value] of [
    ['mappedFileSizeCommitLogBytes', 10],
    ['mappedFileSizeCommitLogBytes', 2 ** 32],
    ['maxIndexNum', 1],
    ['flushIntervalCommitLogMs', 1.5],
    ['flushDiskType', 'SOMETIMES'],
    ['messageDelayLevel', '1s soon'],
    ['storePathCommitLog', '/a,/b']
  ] as const)
    await t.rejects(openStore(STORE_DIR, { [option]: value }, { files: new SimulatedFiles() }), {
      code: 'BAD_OPTION',
      details: { option }
    })
})
