import type { Test } from 'tap'
import {
  type Connection,
  type RemotingCommand,
  RemotingServer,
  RequestCode,
  RequestDispatcher,
  type RequestHandler,
  request,
  response
} from '../../net/index.ts'

/** A broker that answers as the test says, and remembers what it was asked. */
export interface ScriptedBroker {
  name: string
  address: string
  /** Requests in the order in which they came, heartbeats apart. */
  received: RemotingCommand[]
  heartbeats: RemotingCommand[]
  /** Connections on which something was asked. */
  connections: Connection[]
  /** How it answers a request; null answers nothing. */
  answer: RequestHandler
  /** Ends the broker; its port is free then. */
  stop(): Promise<void>
}

export interface ScriptedCluster {
  namesrvAddr: string
  brokers: ScriptedBroker[]
  /** Topics that exist, with the number of queues on each broker. */
  topics: Map<string, number>
  /** Topics whose routes were asked for. */
  asked: string[]
  /** Request codes that all brokers got, in order. */
  sent(code: number): RemotingCommand[]
}

let offset = 0

/** What a broker answers to a message that it has stored. */
export const stored = (queueId: number | string = 0, code = 0): RemotingCommand =>
  response(code, null, {
    msgId: '7F00000100002A9F0000000000000100',
    queueId: String(queueId),
    queueOffset: String(offset++)
  })

/** Stores every message, answers everything else with success. */
const storeAll: RequestHandler = command => {
  const { extFields } = command
  const send = [
    RequestCode.SEND_MESSAGE_V2,
    RequestCode.SEND_BATCH_MESSAGE,
    RequestCode.SEND_REPLY_MESSAGE_V2
  ] as number[]
  return send.includes(command.code) ? stored(extFields?.e) : response(0)
}

const CODES = Object.values(RequestCode)

async function openScriptedBroker(t: Test, name: string): Promise<ScriptedBroker> {
  const dispatcher = new RequestDispatcher()
  const server = new RemotingServer(dispatcher)
  const { host, port } = await server.listen(0, '127.0.0.1')
  let stopped = false
  const broker: ScriptedBroker = {
    name,
    address: `${host}:${port}`,
    received: [],
    heartbeats: [],
    connections: [],
    answer: storeAll,
    async stop() {
      if (stopped) return
      stopped = true
      await server.close()
    }
  }
  t.teardown(() => broker.stop())
  for (const code of CODES)
    dispatcher.register(code, (command, connection) => {
      if (!broker.connections.includes(connection)) broker.connections.push(connection)
      if (command.code === RequestCode.HEART_BEAT) {
        broker.heartbeats.push(command)
        return response(0)
      }
      broker.received.push(command)
      return broker.answer(command, connection)
    })
  return broker
}

/** A NameServer and brokers that answer as a test says; TBW102 exists with 8 queues on each. The test's end closes them. */
export async function openScriptedCluster(t: Test, names: readonly string[] = ['broker-a']): Promise<ScriptedCluster> {
  const brokers: ScriptedBroker[] = []
  for (const name of names) brokers.push(await openScriptedBroker(t, name))
  const topics = new Map([['TBW102', 8]])
  const asked: string[] = []
  const dispatcher = new RequestDispatcher()
  dispatcher.register(RequestCode.GET_ROUTEINFO_BY_TOPIC, ({ extFields }) => {
    const topic = extFields?.topic ?? ''
    asked.push(topic)
    const queues = topics.get(topic)
    if (queues === undefined) return response(17, `No topic route info in name server for the topic: ${topic}`)
    const body = {
      brokerDatas: brokers.map(({ name, address }) => ({
        brokerAddrs: { 0: address },
        brokerName: name,
        cluster: 'DefaultCluster'
      })),
      queueDatas: brokers.map(({ name }) => ({
        brokerName: name,
        perm: 6,
        readQueueNums: queues,
        topicSysFlag: 0,
        writeQueueNums: queues
      })),
      filterServerTable: {}
    }
    return response(0, null, null, JSON.stringify(body))
  })
  const server = new RemotingServer(dispatcher)
  t.teardown(() => server.close())
  const { host, port } = await server.listen(0, '127.0.0.1')
  return {
    namesrvAddr: `${host}:${port}`,
    brokers,
    topics,
    asked,
    sent: code => brokers.flatMap(({ received }) => received.filter(command => command.code === code))
  }
}

/** Lets the broker ask its clients something, on every connection that it has. */
export function askClients({ connections }: ScriptedBroker, ...command: Parameters<typeof request>): void {
  for (const connection of connections) connection.invokeOneWay(request(...command))
}
