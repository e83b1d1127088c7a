import t from 'tap'
import { openBroker, until } from '../support/broker.ts'
import { goldenStores } from '../support/golden-stores.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { pull, recordsOf } from '../support/messages.ts'

const MINUTE_MS = 60_000

t.test('delayed messages that RocketMQ left behind are delivered, those that it delivered are not', async t => {
  const golden = goldenStores.find(({ name }) => name === 'delay')!
  const { messages } = golden.expected
  const waiting = (level: string) =>
    messages.filter(({ topic, properties }) => topic === 'SCHEDULE_TOPIC_XXXX' && properties.DELAY === level)
  const clock = new ManualClock(messages.at(-1)!.storeTimestamp)
  const options = { storePathRootDir: golden.copy(t), store: golden.options, timerWheelEnable: false }
  const open = await openBroker(t, options, { clock })
  const { store, delay } = open.broker
  t.match(delay.progress(), [
    { level: 1, offset: 2, maxOffset: 2 },
    { level: 2, offset: 1, maxOffset: 1 },
    { level: 3, offset: 1, maxOffset: 1 },
    { level: 5, offset: 0, maxOffset: 1 },
    { level: 18, offset: 0, maxOffset: 2 }
  ])
  const counts = () => [0, 1].map(queueId => store.maxQueueOffset('GoldenDelay', queueId))
  const before = counts()
  const arrived = (total: number) =>
    until(`${total} delivered`, () => counts().reduce((sum, count) => sum + count, 0) >= total)
  const total = before[0]! + before[1]!

  clock.advance(MINUTE_MS)
  await arrived(total + 1)
  clock.advance(120 * MINUTE_MS)
  await arrived(total + 3)

  const delivered = []
  for (const queueId of [0, 1])
    delivered.push(...recordsOf(await pull(open, { topic: 'GoldenDelay', queueId, offset: before[queueId]! })))
  const keys = (list: { properties: { get(name: string): string | undefined } }[]) =>
    list.map(({ properties }) => properties.get('UNIQ_KEY')).sort()
  t.same(
    keys(delivered),
    [...waiting('5'), ...waiting('18')].map(({ properties }) => properties.UNIQ_KEY).sort(),
    'each of them once'
  )
  for (const record of delivered)
    t.equal(Object.fromEntries(record.properties).REAL_QID, String(record.queueId), 'in its own queue')
})
