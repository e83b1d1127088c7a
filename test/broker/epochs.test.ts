import fc from 'fast-check'
import t from 'tap'
import { EpochHistory } from '../../broker/replication/epochs.ts'

t.test('the file is the one that RocketMQ writes', async t => {
  const history = new EpochHistory([
    { epoch: 7, startOffset: 7000 },
    { epoch: 8, startOffset: 8000 }
  ])
  t.equal(history.format(), '2\n773307083\n7-7000\n8-8000\n')
  t.same(EpochHistory.parse(history.format()).epochs, history.epochs)
  t.throws(() => EpochHistory.parse('2\n773307084\n7-7000\n8-8000\n'), /checksum/)
  t.throws(() => EpochHistory.parse('3\n0\n7-7000\n8-8000\n'), /names 3 epochs/)
  t.throws(() => EpochHistory.parse('1\n0\nseven\n'), /no epoch/)
})

t.test('an epoch in which nothing was written leaves no trace', async t => {
  const history = new EpochHistory([{ epoch: 1, startOffset: 0 }])
  history.begin(2, 100)
  history.begin(3, 100)
  t.same(history.epochs, [
    { epoch: 1, startOffset: 0 },
    { epoch: 3, startOffset: 100 }
  ])
  t.throws(() => history.begin(3, 200), /does not follow/)
  t.throws(() => history.begin(4, 50), /cannot begin/)
})

// A log is a list of the epochs in which its bytes were written; each master goes on where it is, each replica copies.
t.test('the common end of two logs is where their bytes begin to differ', async () => {
  const step = fc.record({
    node: fc.nat(2),
    action: fc.constantFrom('lead', 'copy'),
    count: fc.integer({ min: 1, max: 5 })
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const logs = [0, 1, 2].map(() => ({ bytes: [] as number[], history: new EpochHistory() }))
      let epoch = 0
      let leader = 0
      for (const { node, action, count } of steps) {
        if (action === 'lead') {
          leader = node
          const log = logs[node]!
          log.history.begin(++epoch, log.bytes.length)
          for (let i = 0; i < count; i++) log.bytes.push(epoch)
        } else if (node !== leader) {
          const from = logs[leader]!
          const to = logs[node]!
          const common = Math.max(0, to.history.commonEnd(to.bytes.length, from.history, from.bytes.length))
          to.bytes.length = common
          to.history.truncate(common)
          for (let i = 0; i < count && to.bytes.length < from.bytes.length; i++) {
            const offset = to.bytes.length
            const written = from.history.at(offset)
            if (written > to.history.last) to.history.begin(written, offset)
            to.bytes.push(from.bytes[offset]!)
          }
        }
      }
      for (const a of logs)
        for (const b of logs) {
          const common = a.history.commonEnd(a.bytes.length, b.history, b.bytes.length)
          let equal = 0
          while (equal < a.bytes.length && equal < b.bytes.length && a.bytes[equal] === b.bytes[equal]) equal++
          if (Math.max(0, common) !== equal) throw new Error(`common end ${common}, equal up to ${equal}`)
        }
    }),
    { numRuns: 2000 }
  )
})
