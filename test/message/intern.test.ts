import t from 'tap'
import { Interner } from '../../message/index.ts'

t.test('the same bytes give the same text, whatever is read between', async t => {
  const interner = new Interner()
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 10_000; i++) {
      const bytes = Buffer.from(`xxtopic-${i}-标签yy`)
      if (interner.get(bytes, 2, bytes.length - 2) !== `topic-${i}-标签`) t.fail(`topic ${i}`)
    }
  }
  t.equal(interner.get(Buffer.alloc(0), 0, 0), '')
})

t.test('what is kept does not change with the bytes that it was read from', async t => {
  const interner = new Interner()
  const chunk = Buffer.from('orders')
  t.equal(interner.get(chunk, 0, 6), 'orders')
  chunk.fill('x')
  t.equal(interner.get(Buffer.from('orders'), 0, 6), 'orders')
  t.equal(interner.get(chunk, 0, 6), 'xxxxxx')
})

t.test('a text that is no name is read and not kept', async t => {
  const long = Buffer.alloc(100_000, 'a')
  t.equal(new Interner().get(long, 0, long.length), long.toString())
})
