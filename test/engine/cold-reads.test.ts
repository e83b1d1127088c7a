import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { ColdReads } from '../../engine/cold-reads.ts'
import { type Files, openStore } from '../../engine/index.ts'
import { SCHEDULE_TOPIC } from '../../message/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { SimulatedFiles, STORE_DIR } from '../support/simulated-files.ts'
import { putMessageOf, TINY_STORE } from '../support/store-model.ts'

/** Reads that end when the test says so. */
function manualReads(restRatio = 2) {
  const clock = new ManualClock()
  const log = { end: 0 }
  const reads = new ColdReads(
    clock,
    () => log.end,
    () => restRatio
  )
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const read = (name: string): Promise<string> =>
    reads.run(100, () => {
      begun.push(name)
      return new Promise(resolve => ends.set(name, () => resolve(name)))
    })
  const end = async (name: string, tookMs = 0) => {
    clock.advance(tookMs)
    ends.get(name)!()
    await nextTurn()
  }
  return { clock, log, reads, begun, read, end }
}

t.test('old data is read by one after the other, in the order in which they came', async t => {
  const { begun, read, end } = manualReads()
  const all = Promise.all([read('a'), read('b'), read('c')])
  await nextTurn()
  t.same(begun, ['a'])
  await end('a')
  t.same(begun, ['a', 'b'])
  await end('b')
  await end('c')
  t.same(await all, ['a', 'b', 'c'])
})

t.test('while the log grows, there are rests twice as long as the reads', async t => {
  const { clock, log, begun, read, end } = manualReads()
  void read('a')
  void read('b')
  log.end = 100
  await end('a', 5)
  t.same(begun, ['a'])
  clock.advance(9)
  await nextTurn()
  t.same(begun, ['a'])
  clock.advance(1)
  await nextTurn()
  t.same(begun, ['a', 'b'])
  void read('c')
  await end('b', 1)
  clock.advance(1)
  await nextTurn()
  t.same(begun, ['a', 'b'], 'it grew a moment ago')
  clock.advance(1)
  await nextTurn()
  t.same(begun, ['a', 'b', 'c'])
})

t.test('no rest is longer than 50 ms, whatever the disk or the clock did', async t => {
  const { clock, log, begun, read, end } = manualReads()
  void read('a')
  void read('b')
  log.end = 100
  await end('a', 3_600_000)
  clock.advance(49)
  await nextTurn()
  t.same(begun, ['a'])
  clock.advance(1)
  await nextTurn()
  t.same(begun, ['a', 'b'])
})

t.test('who reads alone rests as well', async t => {
  const { clock, log, begun, read, end } = manualReads()
  void read('a')
  log.end = 100
  await end('a', 5)
  void read('b')
  await nextTurn()
  t.same(begun, ['a'])
  clock.advance(10)
  await nextTurn()
  t.same(begun, ['a', 'b'])
})

t.test('when nothing is put, and with a ratio of 0, nobody rests', async t => {
  const idle = manualReads()
  void idle.read('a')
  void idle.read('b')
  await idle.end('a', 5)
  t.same(idle.begun, ['a', 'b'])

  const restless = manualReads(0)
  void restless.read('a')
  void restless.read('b')
  restless.log.end = 100
  await restless.end('a', 5)
  t.same(restless.begun, ['a', 'b'])

  const over = manualReads()
  void over.read('a')
  over.log.end = 100
  await over.end('a')
  void over.read('b')
  void over.read('c')
  await over.end('b', 100)
  t.same(over.begun, ['a', 'b', 'c'], 'it has not grown for a while')
})

t.test('who got less than was written for five minutes does not rest in the next five', async t => {
  const { clock, log, begun, read, end } = manualReads()
  const readOne = async (name: string, written: number) => {
    log.end += written
    void read(name)
    await nextTurn()
    if (!begun.includes(name)) {
      clock.advance(2)
      await nextTurn()
    }
    await end(name, 1)
  }
  await readOne('a', 150)
  clock.advance(299_000)
  await readOne('b', 150)
  clock.advance(1000)
  await readOne('c', 150)
  log.end += 50
  void read('d')
  await nextTurn()
  t.same(begun, ['a', 'b', 'c', 'd'], '200 bytes were read, 300 written')
  await end('d', 1)
  clock.advance(300_000)
  await readOne('e', 50)
  void read('f')
  await nextTurn()
  t.same(begun, ['a', 'b', 'c', 'd', 'e'], 'as much was read as was written')
})

t.test('a read that fails is its own reader’s, and the next one’s turn', async t => {
  const { reads, begun, read, end } = manualReads()
  const failed = reads.run(100, () => Promise.reject(new Error('EIO')))
  const next = read('a')
  await t.rejects(failed, { message: 'EIO' })
  await nextTurn()
  t.same(begun, ['a'])
  await end('a')
  t.equal(await next, 'a')
})

t.test('what waits when the store is closed fails', async t => {
  const { reads, read, end } = manualReads()
  const first = read('a')
  const second = read('b')
  reads.close()
  await t.rejects(second, { code: 'STORE_CLOSED' })
  await end('a')
  t.equal(await first, 'a', 'what is being read is read')
})

t.test('the broker’s own topics do not stand in line with consumers', async t => {
  const simulated = new SimulatedFiles()
  let store = await openStore(STORE_DIR, TINY_STORE, { files: simulated })
  for (const topic of ['orders', SCHEDULE_TOPIC]) await store.putMessage(putMessageOf(topic, 0, Buffer.from('old')))
  await store.close()
  const held: (() => void)[] = []
  let holds = false
  const files: Files = Object.create(simulated, {
    readAsync: {
      value: async (...args: Parameters<Files['readAsync']>) => {
        if (holds) await new Promise<void>(resolve => held.push(resolve))
        return simulated.readAsync(...args)
      }
    }
  })
  store = await openStore(STORE_DIR, TINY_STORE, { files })
  t.teardown(() => store.close())
  holds = true
  const first = store.getMessages('orders', 0, 0, 1)
  await nextTurn()
  t.equal(held.length, 1)
  let isRead = false
  const second = Promise.resolve(store.getMessages('orders', 0, 0, 1)).then(() => {
    isRead = true
  })
  await nextTurn()
  t.equal(held.length, 1, 'a consumer waits for its turn')
  holds = false
  const own = await store.getMessages(SCHEDULE_TOPIC, 0, 0, 1)
  t.equal(own.messageCount, 1)
  t.notOk(isRead)
  held[0]!()
  t.equal((await first).messageCount, 1)
  await second
})
