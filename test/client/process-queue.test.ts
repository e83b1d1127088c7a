import fc from 'fast-check'
import t from 'tap'
import type { Message } from '../../client/message.ts'
import { type Cached, ProcessQueue } from '../../client/process-queue.ts'

const queue = { topic: 'orders', brokerName: 'broker-a', queueId: 0 }
const message = (queueOffset: number, body = 'x'): Message => ({ queueOffset, body: Buffer.from(body) }) as Message
const messages = (...offsets: number[]) => offsets.map(offset => message(offset))
const offsets = (batch: readonly Cached[]) => batch.map(({ message }) => message.queueOffset)

function filled(...queueOffsets: number[]): ProcessQueue {
  const cache = new ProcessQueue(queue)
  cache.put(messages(...queueOffsets))
  return cache
}

t.test('messages are handed out once, in the order of their offsets', async t => {
  const cache = filled(3, 4, 7)
  t.same(offsets(cache.take(2)), [3, 4])
  t.same(offsets(cache.take(2)), [7])
  t.same(cache.take(2), [])
  t.equal(cache.waiting, false)
})

t.test('the offset to commit stays at the oldest message that is not consumed', async t => {
  const cache = filled(10, 11, 12)
  t.equal(cache.commitOffset, 10)
  const [first, second, third] = cache.take(3)
  t.equal(cache.remove([second!, third!]), 10)
  t.equal(cache.remove([first!]), 13)
})

t.test('before anything was cached there is no offset to commit', async t => {
  t.equal(new ProcessQueue(queue).commitOffset, -1)
})

t.test('count, bytes and span are those of what is cached', async t => {
  const cache = new ProcessQueue(queue)
  cache.put([message(5, 'four'), message(9, 'two')])
  t.match(cache, { count: 2, bytes: 7, span: 4, minOffset: 5, maxOffset: 9 })
  cache.remove(cache.take(1))
  t.match(cache, { count: 1, bytes: 3, span: 0 })
  cache.remove(cache.take(1))
  t.match(cache, { count: 0, bytes: 0, span: 0, minOffset: -1 })
})

t.test('a message that is consumed twice counts once', async t => {
  const cache = filled(1, 2)
  const [first] = cache.take(1)
  cache.remove([first!])
  cache.remove([first!])
  t.equal(cache.count, 1)
})

t.test('what is given back comes first again, in order', async t => {
  const cache = filled(1, 2, 3, 4)
  const batch = cache.take(3)
  cache.giveBack([batch[2]!, batch[0]!])
  t.same(offsets(cache.take(9)), [1, 3, 4])
})

t.test('what is pulled again while it is cached is not delivered twice', async t => {
  const cache = filled(1, 2, 3)
  cache.take(1)
  cache.put(messages(2, 3, 4))
  t.equal(cache.count, 4)
  t.same(offsets(cache.take(9)), [2, 3, 4])
})

t.test('a broker that goes back to earlier offsets has them delivered', async t => {
  const cache = filled(10, 11)
  cache.take(1)
  cache.put(messages(8, 9))
  t.equal(cache.commitOffset, 8)
  t.same(offsets(cache.take(9)), [8, 9, 11])
})

t.test('a stopped queue hands out nothing, and what it handed out still counts', async t => {
  const cache = filled(1, 2)
  const batch = cache.take(1)
  cache.stopped = true
  t.same(cache.take(1), [])
  t.equal(cache.waiting, false)
  t.equal(cache.remove(batch), 2)
})

t.test('messages whose listener was called too long ago are found, oldest first', async t => {
  const cache = filled(1, 2, 3, 4)
  const [a, b, c] = cache.take(3)
  for (const entry of [a!, b!, c!]) entry.startedMs = 100
  cache.remove([b!])
  t.same(offsets(cache.expired(101, 16)), [1, 3])
  t.same(offsets(cache.expired(101, 1)), [1])
  t.same(cache.expired(100, 16), [])
})

t.test('whatever the order in which messages end, the offset never passes one that is not consumed', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(4), { maxLength: 400 }), fc.infiniteStream(fc.nat(1000)), (steps, picks) => {
      const cache = new ProcessQueue(queue)
      const open: Cached[] = []
      let next = 0
      const pick = () => picks.next().value as number
      for (const step of steps) {
        if (step < 2) {
          cache.put(messages(next, next + 1, next + 2))
          next += 3
        } else if (step === 2) open.push(...cache.take(1 + (pick() % 3)))
        else if (open.length > 0) {
          const [entry] = open.splice(pick() % open.length, 1)
          if (step === 3) cache.remove([entry!])
          else cache.giveBack([entry!])
        }
        const first = Math.min(next, ...open.map(({ message }) => message.queueOffset))
        if (cache.commitOffset > first) throw new Error(`${cache.commitOffset} passes ${first}`)
      }
      while (cache.waiting) open.push(...cache.take(5))
      cache.remove(open)
      return cache.count === 0 && cache.bytes === 0 && (next === 0 || cache.commitOffset === next)
    })
  )
})
