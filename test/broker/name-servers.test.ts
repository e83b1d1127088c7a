import t, { type Test } from 'tap'
import { NameServer } from '../../namesrv/index.ts'
import { RemotingServer, RequestCode, RequestDispatcher, ResponseCode, request, response } from '../../net/index.ts'
import { openBroker } from '../support/broker.ts'
import { send } from '../support/messages.ts'

/** A NameServer that counts what it is asked. */
async function countingNameServer(t: Test): Promise<{ address: string; asked: number[]; changed: boolean }> {
  const dispatcher = new RequestDispatcher()
  const counting = { address: '', asked: [] as number[], changed: true }
  for (const code of [RequestCode.REGISTER_BROKER, RequestCode.UNREGISTER_BROKER, RequestCode.QUERY_DATA_VERSION])
    dispatcher.register(code, () => {
      counting.asked.push(code)
      return response(0, null, { changed: String(counting.changed) })
    })
  const server = new RemotingServer(dispatcher)
  const { port } = await server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  counting.address = `127.0.0.1:${port}`
  return counting
}

t.test('without forceRegister, only NameServers that do not have the topics as they are get them again', async t => {
  const [knows, lost] = await Promise.all([countingNameServer(t), countingNameServer(t)])
  const { broker } = await openBroker(t, { namesrvAddr: `${knows.address};${lost.address}`, forceRegister: false })
  t.same([knows.asked.splice(0), lost.asked.splice(0)], [[RequestCode.REGISTER_BROKER], [RequestCode.REGISTER_BROKER]])
  knows.changed = false
  await broker.nameServers.keepRegistered()
  t.same(knows.asked.splice(0), [RequestCode.QUERY_DATA_VERSION])
  t.same(lost.asked.splice(0), [RequestCode.QUERY_DATA_VERSION, RequestCode.REGISTER_BROKER])
})

t.test('with forceRegister every time is in full', async t => {
  const server = await countingNameServer(t)
  server.changed = false
  const { broker } = await openBroker(t, { namesrvAddr: server.address })
  server.asked.length = 0
  await broker.nameServers.keepRegistered()
  t.same(server.asked, [RequestCode.REGISTER_BROKER])
})

t.test('a NameServer that was started anew learns all, and one that has all is asked for no more', async t => {
  const first = new NameServer({ listenPort: 0 })
  await first.start()
  const [host, port] = first.address.split(':') as [string, string]
  const open = await openBroker(t, { namesrvAddr: first.address, forceRegister: false })
  t.equal((await send(open, { topic: 'orders', body: 'x' })).code, 0)
  const routeOf = async () => {
    const asked = request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'orders' })
    return (await open.client.invoke(first.address, asked, 5000)).code
  }
  t.equal(await routeOf(), 0)
  await first.close()

  const second = new NameServer({ listenHost: host, listenPort: Number(port) })
  await second.start()
  t.teardown(() => second.close())
  t.equal(await routeOf(), ResponseCode.TOPIC_NOT_EXIST)
  await open.broker.nameServers.keepRegistered()
  t.equal(await routeOf(), 0)
})
