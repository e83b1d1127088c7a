import type { Test } from 'tap'
import { subscriptionOf } from '../../message/index.ts'
import { RemotingClient, RequestCode, type RequestHandler, request } from '../../net/index.ts'
import type { OpenBroker } from './broker.ts'

export interface ConsumerOptions {
  group?: string
  clientId?: string
  topics?: readonly string[]
  expression?: string
  /** What it answers to requests of the broker. */
  answers?: Readonly<Record<number, RequestHandler>>
}

/** A consumer that does no more than say so in one heartbeat, on a connection of its own; the test's end closes it. */
export async function consumer(
  t: Test,
  { broker }: OpenBroker,
  options: ConsumerOptions = {}
): Promise<RemotingClient> {
  const { group = 'CG', clientId = 'client-1', topics = ['orders'], expression = '*', answers = {} } = options
  const client = new RemotingClient()
  t.teardown(() => client.close())
  for (const [code, handler] of Object.entries(answers)) client.dispatcher.register(Number(code), handler)
  const body = JSON.stringify({
    clientID: clientId,
    producerDataSet: [],
    consumerDataSet: [
      {
        groupName: group,
        consumeType: 'CONSUME_PASSIVELY',
        messageModel: 'CLUSTERING',
        consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
        subscriptionDataSet: topics.map(topic => subscriptionOf(topic, expression)),
        unitMode: false
      }
    ]
  })
  const answer = await client.invoke(broker.address, request(RequestCode.HEART_BEAT, null, body), 20_000)
  if (answer.code !== 0) throw new Error(`the heartbeat was answered ${answer.code}: ${answer.remark}`)
  return client
}
