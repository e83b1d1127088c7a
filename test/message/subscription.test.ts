import t from 'tap'
import { subscriptionOf } from '../../message/index.ts'
import { vectors } from '../support/vectors.ts'

for (const { expression, subscription, error } of vectors.subscription) {
  if (error !== undefined) {
    t.test(`${JSON.stringify(expression)} is refused`, async t => {
      t.throws(() => subscriptionOf('T', expression), { code: 'BAD_SUBSCRIPTION', details: { expression } })
    })
    continue
  }
  t.test(`${JSON.stringify(expression)} is read as RocketMQ reads it`, async t => {
    const own = subscriptionOf('T', expression)
    t.equal(own.subString, subscription!.subString)
    // Java's sets have no order.
    t.strictSame(new Set(own.tagsSet), new Set(subscription!.tagsSet))
    t.strictSame(new Set(own.codeSet), new Set(subscription!.codeSet))
    t.equal(own.codeSet.length, subscription!.codeSet.length)
    t.match(own, { topic: 'T', expressionType: 'TAG', classFilterMode: false })
  })
}

t.test('no expression means everything', async t => {
  t.equal(subscriptionOf('T', null).subString, '*')
  t.equal(subscriptionOf('T', undefined).subString, '*')
})

t.test('an SQL expression is carried as it is, and there must be one', async t => {
  t.match(subscriptionOf('T', 'a > 1', 'SQL92'), { subString: 'a > 1', expressionType: 'SQL92', tagsSet: [] })
  t.throws(() => subscriptionOf('T', '', 'SQL92'), { code: 'BAD_SUBSCRIPTION' })
})
