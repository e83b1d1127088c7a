import t, { type Test } from 'tap'
import { decodeRecord } from '../../message/index.ts'
import { seeded } from '../support/seeded.ts'
import { inStore, type SimulatedFiles } from '../support/simulated-files.ts'
import { type Put, StoreModel, settle } from '../support/store-model.ts'

t.setTimeout(300_000)
/** Of a record with IPv4 hosts: everything up to the length of its body. */
const HEAD_BYTES = 88
const SEGMENT_BYTES = 8192

/** A store with messages in both topics, in several segments, closed in order; fresh for every experiment. */
async function filled(count = 60, options = {}): Promise<{ model: StoreModel; disk: SimulatedFiles }> {
  const model = new StoreModel(seeded(7), options)
  await model.open()
  for (let i = 0; i < count; i++) {
    model.put('orders', i % 2)
    if (i % 10 === 9) model.clock.advance(1000)
    await settle()
  }
  await model.close()
  return { model, disk: model.disk }
}

/** Opens what an experiment made of the disk, as after a kill or after a clean stop. */
async function openAfter(model: StoreModel, disk: SimulatedFiles, how: 'kill' | 'clean stop'): Promise<void> {
  model.disk = disk
  model.clock.clear()
  if (how === 'kill') disk.setContent(inStore('abort'), Buffer.from('1'))
  await model.open()
}

const segmentOf = (physicalOffset: number): string =>
  inStore('commitlog', String(physicalOffset - (physicalOffset % SEGMENT_BYTES)).padStart(20, '0'))

/** A record's bytes, to change them. */
function recordOf(disk: SimulatedFiles, put: Put): Buffer {
  return disk.contentOf(segmentOf(put.physicalOffset)).subarray(put.physicalOffset % SEGMENT_BYTES)
}

const sizeOf = (disk: SimulatedFiles, put: Put): number => recordOf(disk, put).readInt32BE(0)

async function putsGoOn(t: Test, model: StoreModel): Promise<void> {
  const more = [model.put('orders', 0), model.put('orders', 1)].flat()
  await settle()
  await model.store.flush()
  t.same(
    more.map(({ status }) => status),
    [0, 0],
    'puts go on'
  )
}

t.test('a torn end is cut off, wherever in the last three records it was torn', async t => {
  const { model, disk } = await filled()
  const last = model.puts.slice(-3)
  const whole = model.puts.slice(0, -3)
  const end = last[2]!.physicalOffset + sizeOf(disk, last[2]!)
  t.equal(segmentOf(last[0]!.physicalOffset), segmentOf(end - 1), 'they lie in one segment')
  let bad = 0
  for (let cut = last[0]!.physicalOffset; cut < end; cut++) {
    const torn = disk.copy()
    torn.contentOf(segmentOf(cut)).fill(0, cut % SEGMENT_BYTES)
    await openAfter(model, torn, 'kill')
    const kept = [...whole, ...last.filter(put => put.physicalOffset + sizeOf(disk, put) <= cut)]
    const keptEnd = last.find(put => !kept.includes(put))!.physicalOffset
    if (model.store.maxPhysicalOffset !== keptEnd || model.store.damaged.length > 0) bad++
    if (cut % 29 === 0) {
      await model.verify(t, kept, `cut at ${cut}`)
      await putsGoOn(t, model)
    }
    await model.close()
  }
  t.equal(bad, 0, 'the log ends behind the last whole record each time')
})

t.test('what stands behind the end is never taken for messages', async t => {
  const { model, disk } = await filled()
  const end = model.puts.at(-1)!.physicalOffset + sizeOf(disk, model.puts.at(-1)!)
  const old = disk.contentOf(segmentOf(0)).subarray(0, 3000)
  const junk: Record<string, Buffer> = {
    'random bytes': Buffer.from(Array.from({ length: 700 }, (_, i) => (i * 89 + 13) % 256)),
    'the beginning of the log': Buffer.from(old),
    'a magic number': Buffer.from('00000099daa320a7', 'hex'),
    'a blank mark': Buffer.from('00000400cbd43194', 'hex'),
    'a record of another place': Buffer.from(old.subarray(0, old.readInt32BE(0)))
  }
  for (const [what, bytes] of Object.entries(junk)) {
    const dirty = disk.copy()
    bytes.copy(dirty.contentOf(segmentOf(end)), end % SEGMENT_BYTES)
    await openAfter(model, dirty, 'kill')
    t.equal(model.store.maxPhysicalOffset, end, what)
    await model.verify(t, model.acknowledged, what)
    await putsGoOn(t, model)
    await model.verify(t, model.acknowledged, `${what}, and more messages`)
    await model.close()
    model.puts.splice(60)
  }
})

t.test('a flipped byte in the head of a record costs that record alone, and is told', async t => {
  const { model, disk } = await filled()
  const victim = model.puts[30]!
  const size = sizeOf(disk, victim)
  const others = model.puts.filter(put => put !== victim)
  const names: Record<number, string> = {
    0: 'size',
    4: 'magic',
    8: 'CRC',
    12: 'queue',
    20: 'queue offset',
    28: 'physical offset',
    36: 'sysFlag',
    84: 'body length'
  }
  for (const derived of ['there', 'lost'] as const)
    for (let at = 0; at < HEAD_BYTES; at++)
      for (const bit of [0x01, 0x80]) {
        const flipped = disk.copy()
        if (derived === 'lost')
          for (const path of flipped.paths()) if (/consumequeue|index/.test(path)) flipped.remove(path)
        recordOf(flipped, victim)[at]! ^= bit
        await openAfter(model, flipped, 'kill')
        const field = Object.entries(names).findLast(([from]) => at >= Number(from))![1]
        const about = `bit ${bit} of byte ${at} (${field}), queues ${derived}`
        const lost: number[] = []
        for (const put of others) {
          const result = await model.store.getMessages(put.topic, put.queueId, put.queueOffset, 1)
          const [slice] = result.slices
          if (slice === undefined || !Buffer.from(slice.bytes).includes(put.body)) lost.push(put.queueOffset)
        }
        // With the queues lost too, nothing tells which of two messages in one place strayed there.
        const mayStray = field === 'queue' && derived === 'lost' ? 1 : 0
        if (lost.length > mayStray) t.fail(`${about}: ${lost.length} other messages are not there: ${lost.slice(0, 5)}`)
        // Flag, times, hosts and counters are whatever they are: nothing in RocketMQ's format tells a wrong one.
        if (['size', 'magic', 'CRC', 'physical offset', 'body length'].includes(field)) {
          await model.store.getMessages(victim.topic, victim.queueId, victim.queueOffset, 1)
          const { damaged } = model.store
          const told = damaged.some(
            ({ from, to }) => from <= victim.physicalOffset && to >= victim.physicalOffset + size
          )
          if (!told) t.fail(`${about}: not told, but ${JSON.stringify(damaged)}`)
        }
        await model.close()
      }
  t.pass(`${HEAD_BYTES} bytes`)
})

const harm: Record<string, (disk: SimulatedFiles, path: string) => void> = {
  deleted: (disk, path) => disk.remove(path),
  emptied: (disk, path) => disk.setContent(path, Buffer.alloc(0)),
  'cut in half': (disk, path) =>
    disk.setContent(path, Buffer.from(disk.contentOf(path).subarray(0, disk.contentOf(path).length / 2))),
  'filled with zeros': (disk, path) => void disk.contentOf(path).fill(0),
  'filled with junk': (disk, path) => {
    const bytes = disk.contentOf(path)
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 151 + 7) % 256
  }
}

for (const [how, change] of Object.entries(harm))
  t.test(`any derived file may be ${how}: the store starts and answers the same`, async t => {
    const { model, disk } = await filled()
    const derived = disk.paths().filter(path => !path.includes('/commitlog/') && !path.endsWith('/lock'))
    t.ok(derived.length > 10, `${derived.length} files`)
    for (const path of derived)
      for (const stop of ['clean stop', 'kill'] as const) {
        const harmed = disk.copy()
        change(harmed, path)
        await openAfter(model, harmed, stop)
        await model.verify(t, model.acknowledged, `${path} ${how} after a ${stop}`)
        await putsGoOn(t, model)
        await model.close()
        model.puts.splice(60)
      }
  })

t.test('all derived files together may be lost, and queues go on with the next offset', async t => {
  const { model, disk } = await filled()
  for (const path of disk.paths()) if (!path.includes('/commitlog/')) disk.remove(path)
  await openAfter(model, disk, 'clean stop')
  await model.verify(t, model.acknowledged, 'nothing but the log')
  const [next] = model.put('orders', 0)
  await settle()
  t.equal(next!.queueOffset, 30)
  await model.close()
})

t.test('the newest index file may be lost, though the one before it has some keys of the same message', async t => {
  for (let count = 6; count < 30; count++)
    for (const how of ['kill', 'clean stop'] as const) {
      const { model, disk } = await filled(count)
      const index = disk.paths().filter(path => path.includes('/index/'))
      disk.remove(index.at(-1)!)
      await openAfter(model, disk, how)
      const lost: string[] = []
      for (const { topic, key, body, physicalOffset } of model.puts)
        for (const each of [key, `u${key}`]) {
          const { records } = await model.store.queryByKey(topic, each, 32, 0, Number.MAX_SAFE_INTEGER)
          if (!records.some(record => decodeRecord(record).physicalOffset === physicalOffset))
            lost.push(`${each} of ${body}`)
        }
      if (lost.length > 0) t.fail(`${count} messages, ${how}: ${lost}`)
      await model.close()
    }
  t.pass()
})

t.test('files and folders that are not the store’s are left alone', async t => {
  const { model, disk } = await filled()
  const strays = [
    inStore('commitlog', 'notes.txt'),
    inStore('commitlog', '.DS_Store'),
    inStore('commitlog', '00000000000000000000.bak'),
    inStore('consumequeue', 'README'),
    inStore('consumequeue', 'orders', 'x', 'file'),
    inStore('consumequeue', 'orders', '0', 'core.1234'),
    inStore('index', 'tmp')
  ]
  for (const path of strays) disk.setContent(path, Buffer.from('mine'))
  await openAfter(model, disk, 'kill')
  await model.verify(t, model.acknowledged, 'with strays')
  for (const path of strays) t.equal(disk.readText(path), 'mine')
  await model.close()
})

t.test('a topic that was deleted does not come back, and begins anew', async t => {
  const { model, disk } = await filled()
  await openAfter(model, disk, 'clean stop')
  await model.store.deleteTopic('orders')
  t.same(model.store.topics(), [])
  const [first] = model.put('orders', 0)
  await settle()
  t.equal(first!.queueOffset, 0)
  await model.store.flush()
  for (const derived of ['there', 'lost']) {
    model.crash('all')
    if (derived === 'lost')
      for (const path of model.disk.paths()) if (/consumequeue|index/.test(path)) model.disk.remove(path)
    await model.open()
    t.equal(model.store.maxQueueOffset('orders', 0), 1, `queues ${derived}`)
    t.equal(model.store.maxQueueOffset('orders', 1), 0)
    await model.verify(t, [first!], `queues ${derived}`)
  }
  await model.close()
})

t.test('a segment that is gone from the middle of the log is told, and the rest is served', async t => {
  const { model, disk } = await filled()
  disk.remove(segmentOf(SEGMENT_BYTES))
  await openAfter(model, disk, 'kill')
  const rest = model.acknowledged.filter(
    ({ physicalOffset }) => physicalOffset < SEGMENT_BYTES || physicalOffset >= 2 * SEGMENT_BYTES
  )
  t.ok(rest.length < 60 && rest.length > 20)
  await model.verify(t, rest, 'the rest')
  await putsGoOn(t, model)
  await model.close()
})
