import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { ColdReads } from '../../engine/cold-reads.ts'
import { ManualClock } from '../support/manual-clock.ts'

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
    reads.run(() => {
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

t.test('a read that fails is its own reader’s, and the next one’s turn', async t => {
  const { reads, begun, read, end } = manualReads()
  const failed = reads.run(() => Promise.reject(new Error('EIO')))
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
