import t from 'tap'
import { decodeRecords } from '../../message/index.ts'
import { RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { temporaryDirectory, until } from '../support/broker.ts'
import { pullFields, sendFields } from '../support/messages.ts'
import { startBrokerProcess } from '../support/processes.ts'

const COUNT = 400

t.test('a kill amid the delivery of delayed messages loses none, and changes no order', async t => {
  const options = { storePathRootDir: temporaryDirectory(t), store: { messageDelayLevel: '1s 2s' } }
  const client = new RemotingClient()
  t.teardown(() => client.close())

  const first = await startBrokerProcess(t, options)
  // Two levels, of one second and two: one is delivered when the kill comes, the other waits.
  for (let i = 0; i < COUNT; i++) {
    const fields = sendFields({ topic: 'orders', properties: { DELAY: i < COUNT / 2 ? '1' : '2' } })
    const answer = await client.invoke(first.address, request(RequestCode.SEND_MESSAGE_V2, fields, `${i}`), 20_000)
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(`not stored: ${answer.remark}`)
  }
  const delivered = async (address: string): Promise<number[]> => {
    const found: number[] = []
    for (;;) {
      const fields = pullFields({ topic: 'orders', offset: found.length })
      const answer = await client.invoke(address, request(RequestCode.PULL_MESSAGE, fields), 20_000)
      if (answer.code !== ResponseCode.SUCCESS) return found
      for (const { body } of decodeRecords(answer.body!)) found.push(Number(Buffer.from(body).toString()))
    }
  }
  await until('some are delivered', async () => (await delivered(first.address)).length > 0)
  await first.kill()

  const second = await startBrokerProcess(t, options)
  await until('all are delivered', async () => new Set(await delivered(second.address)).size === COUNT)
  const found = await delivered(second.address)
  const firsts = [...new Set(found)]
  t.same(
    firsts.filter(i => i < COUNT / 2),
    Array.from({ length: COUNT / 2 }, (_, i) => i),
    'the first level in its order'
  )
  t.same(
    firsts.filter(i => i >= COUNT / 2),
    Array.from({ length: COUNT / 2 }, (_, i) => i + COUNT / 2),
    'the second level in its order'
  )
  await second.stop()

  const third = await startBrokerProcess(t, options)
  t.equal((await delivered(third.address)).length, found.length, 'a stop in order repeats nothing')
  await third.stop()
})
