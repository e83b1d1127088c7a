import t, { type Test } from 'tap'
import { NameServer } from '../../namesrv/index.ts'
import {
  parseBody,
  RemotingServer,
  RequestCode,
  RequestDispatcher,
  ResponseCode,
  request,
  response
} from '../../net/index.ts'
import { openBroker } from '../support/broker.ts'
import { send } from '../support/messages.ts'

interface CountingNameServer {
  address: string
  asked: number[]
  /** How many topics each registration named. */
  topics: number[]
  /** What it answers about the version. */
  changed: boolean
  /** The code of its answers. */
  code: number
}

/** A NameServer that counts what it is asked. */
async function countingNameServer(t: Test): Promise<CountingNameServer> {
  const dispatcher = new RequestDispatcher()
  const counting: CountingNameServer = { address: '', asked: [], topics: [], changed: true, code: 0 }
  for (const code of [RequestCode.REGISTER_BROKER, RequestCode.UNREGISTER_BROKER, RequestCode.QUERY_DATA_VERSION])
    dispatcher.register(code, ({ body }) => {
      counting.asked.push(code)
      if (code === RequestCode.REGISTER_BROKER) {
        const { topicConfigSerializeWrapper } = parseBody(body) as {
          topicConfigSerializeWrapper: { topicConfigTable: object }
        }
        counting.topics.push(Object.keys(topicConfigSerializeWrapper.topicConfigTable).length)
      }
      return response(counting.code, null, { changed: String(counting.changed) })
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

t.test('a changed topic alone goes to NameServers that took all before; one that missed it gets all', async t => {
  const [inStep, shaky] = await Promise.all([countingNameServer(t), countingNameServer(t)])
  const namesrvAddr = `${inStep.address};${shaky.address}`
  const open = await openBroker(t, { namesrvAddr, forceRegister: false })
  const [all] = inStep.topics.splice(0)
  shaky.topics.length = 0
  inStep.changed = shaky.changed = false

  t.equal((await send(open, { topic: 'first', body: 'x' })).code, 0)
  t.same([inStep.topics.splice(0), shaky.topics.splice(0)], [[1], [1]])
  shaky.code = ResponseCode.SYSTEM_ERROR
  t.equal((await send(open, { topic: 'second', body: 'x' })).code, 0)
  t.same([inStep.topics.splice(0), shaky.topics.splice(0)], [[1], [1]])
  shaky.code = ResponseCode.SUCCESS
  t.equal((await send(open, { topic: 'third', body: 'x' })).code, 0)
  t.same([inStep.topics.splice(0), shaky.topics.splice(0)], [[1], [all! + 3]])
  t.equal((await send(open, { topic: 'fourth', body: 'x' })).code, 0)
  t.same([inStep.topics.splice(0), shaky.topics.splice(0)], [[1], [1]])
})

t.test('a NameServer that missed a change gets all topics though it names their version', async t => {
  const server = await countingNameServer(t)
  const open = await openBroker(t, { namesrvAddr: server.address, forceRegister: false })
  server.changed = false
  server.code = ResponseCode.SYSTEM_ERROR
  t.equal((await send(open, { topic: 'orders', body: 'x' })).code, 0)
  server.code = ResponseCode.SUCCESS
  server.asked.length = 0
  await open.broker.nameServers.keepRegistered()
  await open.broker.nameServers.keepRegistered()
  t.same(server.asked, [RequestCode.REGISTER_BROKER, RequestCode.QUERY_DATA_VERSION])
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
