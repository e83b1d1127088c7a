// What Apache RocketMQ 5.5.0 was seen to lose, one test each; docs/reference/differences.md names them.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { brokerDefaults } from '../../broker/index.ts'
import { checkStore, type Files, openStore, PutStatus, realFiles } from '../../engine/index.ts'
import { SysFlag } from '../../message/index.ts'
import { parseBody, RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { openBroker, SMALL_STORE, temporaryDirectory, until } from '../support/broker.ts'
import { keepLog } from '../support/log.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { pullFields, sendEach, sendFields } from '../support/messages.ts'
import { startBrokerProcess } from '../support/processes.ts'
import { seeded } from '../support/seeded.ts'
import { inStore } from '../support/simulated-files.ts'
import { putMessageOf, readQueue, StoreModel, settle } from '../support/store-model.ts'

const SEGMENT_BYTES = 8192
const segmentOf = (physicalOffset: number): string =>
  inStore('commitlog', String(physicalOffset - (physicalOffset % SEGMENT_BYTES)).padStart(20, '0'))

/** A store on a simulated disk with messages that were acknowledged, in several segments. */
async function filled(count = 60): Promise<StoreModel> {
  const model = new StoreModel(seeded(11), { flushDiskType: 'SYNC_FLUSH' })
  await model.open()
  for (let i = 0; i < count; i++) {
    model.put('orders', i % 2)
    await settle()
  }
  return model
}

/** The process dies; what it wrote stays. */
async function killAndOpen(model: StoreModel): Promise<void> {
  model.crash('all')
  await model.open()
}

t.test('a send that claims an IPv6 host is stored with the hosts that it has, and outlives a kill', async t => {
  const dir = temporaryDirectory(t)
  const broker = await startBrokerProcess(t, { storePathRootDir: dir })
  const client = new RemotingClient()
  t.teardown(() => client.close())
  const send = async (body: string, sysFlag: number) => {
    const fields = sendFields({ topic: 'orders', sysFlag })
    const answer = await client.invoke(broker.address, request(RequestCode.SEND_MESSAGE_V2, fields, body), 20_000)
    t.equal(answer.code, ResponseCode.SUCCESS)
  }
  for (let i = 0; i < 60; i++)
    await send(`message ${i}`, i === 10 ? SysFlag.BORN_HOST_V6 : i === 20 ? SysFlag.STORE_HOST_V6 : 0)
  await broker.kill()
  const store = await openStore(join(dir), SMALL_STORE)
  const records = await readQueue(store, 'orders', 0)
  await store.close()
  t.same(
    records.map(({ body }) => Buffer.from(body).toString()),
    Array.from({ length: 60 }, (_, i) => `message ${i}`)
  )
  t.same(
    records.map(({ bornHost, storeHost }) => bornHost.v6 || storeHost.v6),
    Array(60).fill(false)
  )
})

t.test(
  'a full disk refuses what it cannot hold, acknowledges nothing that is lost, and goes on when there is room',
  async t => {
    const model = await filled(20)
    model.disk.capacityBytes = 40_000
    while (model.puts.at(-1)!.status !== PutStatus.SERVICE_NOT_AVAILABLE && model.puts.length < 3000) {
      model.put('orders', 0)
      await settle()
    }
    t.match(model.puts.at(-1)!.reason, /the disk is full/)
    t.ok(model.acknowledged.length > 20)
    await model.verify(t, model.acknowledged, 'reads go on')
    model.disk.capacityBytes = Number.POSITIVE_INFINITY
    model.clock.advance(1000)
    await settle()
    const [again] = model.put('orders', 0)
    await settle()
    t.equal(again!.status, PutStatus.OK, 'within a second after there is room')
    const acknowledged = model.acknowledged
    await killAndOpen(model)
    await model.verify(t, acknowledged, 'after a kill')
    await model.close()
  }
)

t.test('one flipped bit in the size, the magic number or the checksum of a record costs that record alone', async t => {
  for (const [field, at] of [
    ['size', 3],
    ['magic number', 5],
    ['checksum', 9]
  ] as const) {
    const model = await filled()
    const victim = model.puts[20]!
    const others = model.acknowledged.filter(put => put !== victim)
    model.crash('all')
    model.disk.contentOf(segmentOf(victim.physicalOffset))[(victim.physicalOffset % SEGMENT_BYTES) + at]! ^= 0x04
    // Nothing but the log tells then what was there.
    for (const path of model.disk.paths()) if (/consumequeue|index|checkpoint/.test(path)) model.disk.remove(path)
    await model.open()
    await model.verify(t, others, field)
    const size = model.puts[21]!.physicalOffset - victim.physicalOffset
    t.same(
      model.store.damaged,
      [{ from: victim.physicalOffset, to: victim.physicalOffset + size }],
      `${field}: the gap is told`
    )
    const told = model.log.at('error').filter(({ text }) => /is damaged and is passed over/.test(text))
    t.match(told.at(-1)?.details, { from: victim.physicalOffset }, `${field}: in the log too`)
    await model.close()
  }
})

t.test('a torn end and a second kill leave no phantom and nothing undispatched', async t => {
  const model = await filled()
  const torn = model.puts.at(-1)!
  model.crash('all')
  // The end of the last record never came to the disk; its unit and its keys did.
  model.disk.contentOf(segmentOf(torn.physicalOffset)).fill(0, (torn.physicalOffset % SEGMENT_BYTES) + 50)
  await model.open()
  t.equal(model.store.maxPhysicalOffset, torn.physicalOffset)
  const [next] = model.put(torn.topic, torn.queueId)
  await settle()
  t.equal(next!.queueOffset, torn.queueOffset, 'its place is free again')
  const acknowledged = model.acknowledged.filter(put => put !== torn)
  await killAndOpen(model)
  model.puts.splice(model.puts.indexOf(torn), 1)
  await model.verify(t, acknowledged, 'after the second kill')
  t.equal(model.store.reputOffset, model.store.maxPhysicalOffset)
  await model.close()
})

t.test('every key is found after a kill', async t => {
  const model = await filled(100)
  for (let round = 0; round < 3; round++) {
    const acknowledged = model.acknowledged
    await killAndOpen(model)
    // This asks for each message by its key.
    await model.verify(t, acknowledged, `kill ${round}`)
    for (let i = 0; i < 10; i++) model.put()
    await settle()
  }
  await model.close()
})

t.test('the first file of a ConsumeQueue may be lost, and its units flipped: they are built again', async t => {
  const model = await filled(100)
  await model.close()
  const first = inStore('consumequeue', 'orders', '0', '0'.repeat(20))
  const acknowledged = model.acknowledged
  const closed = model.disk
  for (const [what, harm] of Object.entries({
    'the first file is lost': () => model.disk.remove(first),
    'a physical offset is flipped': () => {
      model.disk.contentOf(first)[3 * 20 + 6]! ^= 0x10
    },
    'a size is flipped': () => {
      model.disk.contentOf(first)[5 * 20 + 10]! ^= 0x10
    }
  })) {
    model.disk = closed.copy()
    model.clock.clear()
    harm()
    await model.open()
    await model.verify(t, acknowledged, what)
    await model.close()
  }
})

t.test('stray files in commitlog, in a queue and in the index are named and passed over', async t => {
  const dir = temporaryDirectory(t)
  const put = async (body: string) => {
    const log = keepLog()
    const store = await openStore(dir, SMALL_STORE, { log })
    const { queueOffset } = await store.putMessage(putMessageOf('orders', 0, Buffer.from(body), { KEYS: 'k' }))
    const count = (await readQueue(store, 'orders', 0)).length
    await store.close()
    return { queueOffset, count, warnings: log.at('warn').map(({ details }) => String(details.path)) }
  }
  await put('first')
  const strays = ['commitlog/.DS_Store', 'commitlog/notes.txt', 'consumequeue/orders/0/00.bak', 'index/copy'].map(
    name => join(dir, name)
  )
  for (const path of strays) writeFileSync(path, 'stray')
  const { queueOffset, count, warnings } = await put('second')
  t.equal(queueOffset, 1)
  t.equal(count, 2)
  for (const path of strays) {
    t.ok(warnings.includes(path), `${path} is named`)
    t.equal(readFileSync(path, 'utf8'), 'stray', 'and left alone')
  }
  t.equal((await checkStore(dir)).damageCount, 0)
})

t.test('an offset that a consumer committed is in its file soon, and outlives a kill', async t => {
  const dir = temporaryDirectory(t)
  const broker = await startBrokerProcess(t, { storePathRootDir: dir })
  const client = new RemotingClient()
  t.teardown(() => client.close())
  const ask = (address: string, code: number, fields: Record<string, string>, body?: string) =>
    client.invoke(address, request(code, fields, body ?? null), 20_000)
  for (let i = 0; i < 5; i++)
    await ask(
      broker.address,
      RequestCode.SEND_MESSAGE_V2,
      sendFields({ topic: 'orders' }) as Record<string, string>,
      'x'
    )
  const place = { consumerGroup: 'CG', topic: 'orders', queueId: '0' }
  const file = join(dir, 'config', 'consumerOffset.json')
  t.equal(brokerDefaults.flushConsumerOffsetIntervalMs, 1000)
  // A group that pulls is known.
  await client.invoke(broker.address, request(RequestCode.PULL_MESSAGE, pullFields({ topic: 'orders' })), 20_000)
  await ask(broker.address, RequestCode.UPDATE_CONSUMER_OFFSET, { ...place, commitOffset: '3' })
  const isSaved = () => existsSync(file) && /"orders@CG":\{\s*"?0"?:3/.test(readFileSync(file, 'utf8'))
  await until('the offset is in its file', isSaved)
  await broker.kill()
  const again = await startBrokerProcess(t, { storePathRootDir: dir })
  const answer = await ask(again.address, RequestCode.QUERY_CONSUMER_OFFSET, place)
  t.match(answer, { code: ResponseCode.SUCCESS, extFields: { offset: '3' } })
  const pulled = await client.invoke(
    again.address,
    request(RequestCode.PULL_MESSAGE, pullFields({ topic: 'orders', offset: 3 })),
    20_000
  )
  t.equal(pulled.code, ResponseCode.SUCCESS)
  await again.stop()
})

t.test('the first offsets of a group that come at once are all kept', async t => {
  const broker = await startBrokerProcess(t, { storePathRootDir: temporaryDirectory(t) })
  const client = new RemotingClient()
  t.teardown(() => client.close())
  const queueIds = ['0', '1', '2', '3']
  const ask = (code: number, fields: Record<string, string>) =>
    client.invoke(broker.address, request(code, fields), 20_000)
  await client.invoke(
    broker.address,
    request(RequestCode.SEND_MESSAGE_V2, sendFields({ topic: 'orders' }), 'x'),
    20_000
  )
  // A group that pulls is known.
  await client.invoke(broker.address, request(RequestCode.PULL_MESSAGE, pullFields({ topic: 'orders' })), 20_000)
  const place = { consumerGroup: 'CG', topic: 'orders' }
  await Promise.all(
    queueIds.map(queueId =>
      ask(RequestCode.UPDATE_CONSUMER_OFFSET, { ...place, queueId, commitOffset: `75${queueId}` })
    )
  )
  for (const queueId of queueIds)
    t.match(await ask(RequestCode.QUERY_CONSUMER_OFFSET, { ...place, queueId }), {
      extFields: { offset: `75${queueId}` }
    })
})

t.test('a disk that fills up is told before messages are deleted unconsumed, and when they are', async t => {
  let usedRatio = 0.5
  const files: Files = Object.create(realFiles, { usedRatio: { value: () => usedRatio } })
  const log = keepLog()
  const otherHour = String((new Date().getHours() + 12) % 24)
  const store = { mappedFileSizeCommitLogBytes: 64 * 1024, deleteWhen: otherHour, cleanResourceIntervalMs: 5 }
  const broker = await openBroker(t, { store, log }, { clock: new ManualClock(Date.now()), files })
  await sendEach(
    broker,
    Array.from({ length: 64 }, (_, i) => `${i} ${'x'.repeat(4000)}`)
  )
  await broker.broker.store.flush()
  const warnings = () => log.at('warn').filter(({ text }) => /whether they were consumed or not/.test(text))
  const status = async () => {
    const answer = await broker.ask(RequestCode.GET_BROKER_RUNTIME_INFO)
    return (parseBody(answer.body) as { table: Record<string, string> }).table
  }
  t.equal((await status()).forciblyDeletedCommitLogFiles, '0')

  usedRatio = 0.8
  await until('the warning', () => warnings().length > 0)
  t.match(warnings()[0]!.text, /the disk is 80 % full: above 85 % the oldest CommitLog files are deleted/)
  t.equal(broker.broker.store.minPhysicalOffset, 0, 'none is deleted yet')

  usedRatio = 0.87
  await until('files are deleted', () => broker.broker.store.minPhysicalOffset > 0)
  t.match(warnings().at(-1)!.text, /the disk is 87 % full: CommitLog files are deleted/)
  t.ok(log.lines.some(({ text }) => text === 'deleted a CommitLog file'))
  usedRatio = 0.5
  await until('it is counted', () => broker.broker.store.statistics.forciblyDeletedFileCount > 0)
  t.ok(Number((await status()).forciblyDeletedCommitLogFiles) > 0)
})

t.test('damage is told in the log, in the runtime information of the broker, and by a check of the store', async t => {
  const dir = temporaryDirectory(t)
  const first = await openBroker(t, { storePathRootDir: dir })
  await sendEach(first, ['one', 'two', 'three'])
  const unit = first.broker.store.unitAt('orders', 0, 1)!
  await first.broker.close()
  const path = join(dir, 'commitlog', '0'.repeat(20))
  const bytes = readFileSync(path)
  bytes[unit.physicalOffset + 5]! ^= 1
  writeFileSync(path, bytes)
  rmSync(join(dir, 'checkpoint'))
  const to = unit.physicalOffset + unit.sizeBytes
  const log = keepLog()
  const second = await openBroker(t, { storePathRootDir: dir, log })
  await until('it is told', () => log.at('error').some(({ text }) => /is damaged and is passed over/.test(text)))
  const answer = await second.ask(RequestCode.GET_BROKER_RUNTIME_INFO)
  t.match((parseBody(answer.body) as { table: object }).table, {
    damagedBytes: String(unit.sizeBytes),
    damagedRanges: `${unit.physicalOffset}-${to}`
  })
  await second.broker.close()
  t.same((await checkStore(dir)).damagedRanges, [{ from: unit.physicalOffset, to }])
})
