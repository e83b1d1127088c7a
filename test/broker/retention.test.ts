import t from 'tap'
import { type Files, realFiles } from '../../engine/index.ts'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { openBroker, until } from '../support/broker.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { bodiesOf, pull, sendEach } from '../support/messages.ts'

const HOUR_MS = 3_600_000

/** The disk of this machine may be as full as it likes. */
const roomyFiles: Files = Object.create(realFiles, { usedRatio: { value: () => 0.1 } })

/** Some CommitLog files of messages, and a clean-up that runs all the time. */
async function open(t: Parameters<typeof openBroker>[0], files: Files) {
  const clock = new ManualClock(Date.now())
  const otherHour = String((new Date().getHours() + 12) % 24)
  const broker = await openBroker(
    t,
    {
      store: {
        mappedFileSizeCommitLogBytes: 64 * 1024,
        fileReservedTimeHours: 5,
        deleteWhen: otherHour,
        cleanResourceIntervalMs: 5
      }
    },
    { clock, files }
  )
  await sendEach(
    broker,
    Array.from({ length: 64 }, (_, i) => `${i} ${'x'.repeat(4000)}`)
  )
  await broker.broker.store.flush()
  return { ...broker, clock }
}
const runs = async ({ scheduler }: Awaited<ReturnType<typeof open>>['broker'], count: number) => {
  const ran = () => scheduler.list().find(({ name }) => name === 'delete old files')!.runs
  const before = ran()
  await until(`${count} clean-ups`, () => ran() >= before + count)
}

t.test('messages are kept for their time, and go at the hour or when an administrator asks', async t => {
  const broker = await open(t, roomyFiles)
  const { store } = broker.broker
  broker.clock.advance(4 * HOUR_MS)
  t.match(await broker.ask(RequestCode.DELETE_EXPIRED_COMMITLOG), { code: ResponseCode.SUCCESS })
  await runs(broker.broker, 21)
  t.equal(store.minPhysicalOffset, 0, 'none is old enough')

  broker.clock.advance(2 * HOUR_MS)
  await runs(broker.broker, 2)
  t.equal(store.minPhysicalOffset, 0, 'it is not the hour')

  await broker.ask(RequestCode.DELETE_EXPIRED_COMMITLOG)
  await until('old files are gone', () => store.minPhysicalOffset > 0)
  const minOffset = store.minQueueOffset('orders', 0)
  t.match(await pull(broker, { topic: 'orders' }), {
    code: ResponseCode.PULL_OFFSET_MOVED,
    extFields: { nextBeginOffset: String(minOffset), minOffset: String(minOffset) }
  })
  const [first] = bodiesOf(await pull(broker, { topic: 'orders', offset: minOffset }))
  t.ok(first?.startsWith(`${minOffset} `), 'what is left is what it was')
  t.match(await broker.ask(RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE), { code: ResponseCode.SUCCESS })
})

t.test('a disk that fills up refuses messages, gives up the oldest ones, and takes messages again', async t => {
  let usedRatio = 0.1
  const files: Files = Object.create(realFiles, { usedRatio: { value: () => usedRatio } })
  const broker = await open(t, files)
  const { store } = broker.broker
  usedRatio = 0.95
  await until('old files are gone', () => store.minPhysicalOffset > 0)
  await t.rejects(sendEach(broker, ['refused']), /14 .*95 % full/)
  t.equal((await pull(broker, { topic: 'orders', offset: store.minQueueOffset('orders', 0) })).code, 0, 'reads go on')
  usedRatio = 0.5
  await runs(broker.broker, 2)
  await t.resolves(sendEach(broker, ['taken']))
})
