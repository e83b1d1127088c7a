import t, { type Test } from 'tap'
import { Statistics } from '../../broker/statistics.ts'
import { ManualClock } from '../support/manual-clock.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

function open(t: Test) {
  const clock = new ManualClock(new Date(2026, 0, 15, 12).getTime())
  const stats = new Statistics('DefaultCluster', clock.now)
  t.teardown(() => stats.close())
  /** Counting reads the clock by a timer of its own; a read of the figures reads it as well. */
  const wait = (ms: number) => {
    clock.advance(ms)
    stats.rates()
  }
  return { stats, wait }
}

t.test('what was counted is found under RocketMQ names, by topic, queue, group and broker', async t => {
  const { stats } = open(t)
  stats.put('orders', 3, 2, 100)
  stats.put('orders', 3, 1, 50)
  stats.put('bills', 0, 1, 10)
  stats.got('CG', 'orders', 3, 3, 150)
  stats.sentBack('CG', 'orders')
  for (const [name, key, sum, avgpt] of [
    ['TOPIC_PUT_NUMS', 'orders', 3, 1.5],
    ['TOPIC_PUT_SIZE', 'orders', 150, 75],
    ['QUEUE_PUT_NUMS', 'orders@3', 3, 1.5],
    ['QUEUE_PUT_SIZE', 'orders@3', 150, 75],
    ['GROUP_GET_NUMS', 'orders@CG', 3, 3],
    ['GROUP_GET_SIZE', 'orders@CG', 150, 150],
    ['QUEUE_GET_NUMS', 'orders@3@CG', 3, 3],
    ['QUEUE_GET_SIZE', 'orders@3@CG', 150, 150],
    ['SNDBCK_PUT_NUMS', 'orders@CG', 1, 1],
    ['BROKER_PUT_NUMS', 'DefaultCluster', 4, 4 / 3],
    ['BROKER_GET_NUMS', 'DefaultCluster', 3, 3]
  ] as const)
    for (const window of ['statsMinute', 'statsHour', 'statsDay'] as const)
      t.match(stats.view(name, key)?.[window], { sum, avgpt }, `${name} ${key}`)
})

t.test('there are no figures of what was never counted', async t => {
  const { stats } = open(t)
  stats.put('orders', 0, 1, 1)
  for (const [name, key] of [
    ['TOPIC_PUT_NUMS', 'bills'],
    ['QUEUE_PUT_NUMS', 'orders@1'],
    ['GROUP_GET_NUMS', 'orders@CG'],
    ['BROKER_GET_NUMS', 'DefaultCluster'],
    ['BROKER_PUT_NUMS', 'OtherCluster'],
    ['TOPIC_PUT_TIMES', 'orders'],
    ['', '']
  ] as const)
    t.equal(stats.view(name, key), null, `${name} ${key}`)
})

t.test('a window forgets what is older than itself', async t => {
  const { stats, wait } = open(t)
  const sums = () => {
    const { statsMinute, statsHour, statsDay } = stats.view('TOPIC_PUT_NUMS', 'orders')!
    return [statsMinute.sum, statsHour.sum, statsDay.sum]
  }
  stats.put('orders', 0, 10, 0)
  t.same(sums(), [10, 10, 10])
  wait(50_000)
  t.same(sums(), [10, 10, 10])
  wait(2 * MINUTE_MS)
  t.same(sums(), [0, 10, 10])
  stats.put('orders', 0, 5, 0)
  t.same(sums(), [5, 15, 15])
  wait(2 * HOUR_MS)
  t.same(sums(), [0, 0, 15])
  wait(30 * HOUR_MS)
  t.same(sums(), [0, 0, 0])
})

t.test('a rate is what came in its window by the time that it spans', async t => {
  const { stats, wait } = open(t)
  for (let second = 0; second < 300; second++) {
    stats.put('orders', 0, 20, 0)
    wait(1000)
  }
  const near = (tps: number) => t.ok(Math.abs(tps - 20) < 1, `${tps} is about 20`)
  near(stats.putTps('orders'))
  near(stats.view('TOPIC_PUT_NUMS', 'orders')!.statsHour.tps)
  for (const tps of stats.rates().put) near(tps)
})

t.test('ten seconds, one minute and ten minutes are told apart', async t => {
  const { stats, wait } = open(t)
  stats.put('orders', 0, 600, 0)
  stats.got('CG', 'orders', 0, 600, 0)
  stats.missed()
  wait(5 * MINUTE_MS)
  stats.put('orders', 0, 10, 0)
  const { put, found, miss, transferred } = stats.rates()
  t.same(put.slice(0, 2), [1, 10 / 60])
  t.ok(put[2]! > 1, 'the older ones count within ten minutes')
  t.same([found[0], miss[0], transferred[0]], [0, 0, 0])
  t.ok(found[2]! > 0 && miss[2]! > 0 && transferred[2]! > found[2]!)
})

t.test('a single message is no flood: what has just begun counts as ten seconds', async t => {
  const { stats } = open(t)
  stats.put('orders', 0, 1, 0)
  t.equal(stats.putTps('orders'), 0.1)
})

t.test('totals stand still at midnight, and system topics are not in them', async t => {
  const { stats, wait } = open(t)
  stats.put('orders', 0, 10, 0)
  stats.put('SCHEDULE_TOPIC_XXXX', 0, 99, 0)
  stats.got('CG', 'orders', 0, 4, 0)
  t.match(stats.dailyPuts, { total: 10, todayMorning: 0, yesterdayMorning: 0 })
  wait(12 * HOUR_MS)
  stats.put('orders', 0, 5, 0)
  t.match(stats.dailyPuts, { total: 15, todayMorning: 10, yesterdayMorning: 0 })
  t.match(stats.dailyGets, { total: 4, todayMorning: 4, yesterdayMorning: 0 })
  wait(24 * HOUR_MS)
  t.match(stats.dailyPuts, { total: 15, todayMorning: 15, yesterdayMorning: 10 })
  wait(72 * HOUR_MS)
  t.match(stats.dailyPuts, { total: 15, todayMorning: 15, yesterdayMorning: 15 })
  t.equal(stats.totalPuts.count, 114)
})

t.test('what is deleted takes its figures along', async t => {
  const { stats } = open(t)
  stats.put('orders', 0, 1, 0)
  stats.got('CG', 'orders', 0, 1, 0)
  stats.got('CG', 'bills', 0, 1, 0)
  stats.forgetTopic('orders')
  t.equal(stats.view('TOPIC_PUT_NUMS', 'orders'), null)
  t.equal(stats.view('GROUP_GET_NUMS', 'orders@CG'), null)
  t.equal(stats.view('GROUP_GET_NUMS', 'bills@CG')?.statsDay.sum, 1)
  stats.forgetGroup('CG')
  t.equal(stats.view('GROUP_GET_NUMS', 'bills@CG'), null)
})
