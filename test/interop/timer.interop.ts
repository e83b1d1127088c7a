import { join } from 'node:path'
import t from 'tap'
import { Broker } from '../../broker/index.ts'
import { openStore } from '../../engine/index.ts'
import { GetMaxOffsetHeader, RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { sendFields } from '../support/messages.ts'
import { readQueue } from '../support/store-model.ts'
import { freePort, startJavaBroker, startJavaNameServer } from './java-server.ts'
import { hasTools, scratch, until } from './support.ts'

const STORE = { mappedFileSizeCommitLogBytes: 1024 * 1024, maxHashSlotNum: 100, maxIndexNum: 400 }
const COUNT = 5

t.test("timer messages of RocketMQ's broker are delivered by ours, and ours by RocketMQ's", async t => {
  if (!hasTools(t, 'java', 'mvn')) return
  const storePathRootDir = join(scratch(t), 'store')
  const nameServer = await startJavaNameServer(t)
  const listenPort = await freePort()
  const address = `127.0.0.1:${listenPort}`
  const client = new RemotingClient()
  t.teardown(() => client.close())
  const startTheirs = () =>
    startJavaBroker(t, nameServer.address, {
      brokerName: 'timers',
      brokerId: 0,
      listenPort,
      storePathRootDir,
      storePathCommitLog: join(storePathRootDir, 'commitlog'),
      mappedFileSizeCommitLog: STORE.mappedFileSizeCommitLogBytes,
      maxHashSlotNum: STORE.maxHashSlotNum,
      maxIndexNum: STORE.maxIndexNum,
      recallMessageEnable: 'true'
    })
  const startOurs = async () => {
    const broker = new Broker({
      brokerName: 'timers',
      listenPort,
      namesrvAddr: nameServer.address,
      storePathRootDir,
      store: STORE,
      recallMessageEnable: true
    })
    await broker.start()
    return broker
  }
  const send = async (kind: string, dueMs: number) => {
    const handles: string[] = []
    for (let i = 0; i < COUNT; i++) {
      const fields = sendFields({ topic: 'orders', properties: { TIMER_DELIVER_MS: String(dueMs) } })
      const sent = request(RequestCode.SEND_MESSAGE_V2, fields, `${kind} ${i}`)
      const answer = await client.invoke(address, sent, 30_000)
      t.equal(answer.code, ResponseCode.SUCCESS, `${kind} ${i} is stored`)
      handles.push(answer.extFields?.recallHandle ?? '')
    }
    return handles
  }
  const recall = async (recallHandle: string | undefined) => {
    const fields = { producerGroup: 'PG', topic: 'orders', recallHandle: recallHandle! }
    const { code } = await client.invoke(address, request(RequestCode.RECALL_MESSAGE, fields), 30_000)
    t.equal(code, ResponseCode.SUCCESS, 'one is recalled')
  }
  const delivered = async (count: number, what: string) => {
    const max = request(RequestCode.GET_MAX_OFFSET, GetMaxOffsetHeader.encode({ topic: 'orders', queueId: 0 }))
    const found = async () => Number((await client.invoke(address, max, 30_000)).extFields?.offset ?? 0)
    await until(
      async () => (await found()) >= count,
      () => what
    )
  }

  let theirs = await startTheirs()
  await send('by theirs', Date.now() + 1000)
  const secondMs = Date.now() + 12_000
  const thirdMs = Date.now() + 45_000
  const [first] = await send('left to ours', secondMs)
  await recall(first)
  const [second] = await send('left to ours and back', thirdMs)
  await delivered(COUNT, 'what their broker delivers')
  await theirs.stop()

  const ours = await startOurs()
  await delivered(2 * COUNT - 1, 'what they left to ours')
  t.ok(Date.now() >= secondMs)
  // A request of ours deletes a message of theirs.
  await recall(second)
  await send('left to theirs', thirdMs)
  t.equal(ours.timer!.store.queueOffset > 0, true)
  await until(
    () => ours.timer!.store.progress.offsetBehind === 0,
    () => 'our timer'
  )
  await ours.close()

  theirs = await startTheirs()
  await delivered(4 * COUNT - 2, 'what ours left to their broker')
  t.ok(Date.now() >= thirdMs)
  await theirs.stop()

  const store = await openStore(storePathRootDir, STORE)
  const bodies = (await readQueue(store, 'orders', 0)).map(({ body }) => Buffer.from(body).toString())
  await store.close()
  const expected = ['by theirs', 'left to ours', 'left to ours and back', 'left to theirs'].flatMap(kind =>
    Array.from({ length: COUNT }, (_, i) => `${kind} ${i}`)
  )
  t.same(
    bodies.sort(),
    expected.filter(body => body !== 'left to ours 0' && body !== 'left to ours and back 0').sort(),
    'each of them once'
  )
})
