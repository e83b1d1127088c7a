import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  type AllocateStrategy,
  averagely,
  averagelyByCircle,
  byConfig,
  byMachineRoom,
  consistentHash,
  type MessageQueue
} from '../../client/index.ts'
import { inRepo } from '../support/repo.ts'

/** What RocketMQ's own strategies gave to each of the clients; queues are written `broker:id`. */
const allocations: { strategy: string; queues: string[]; clients: string[]; shares: string[][] }[] = JSON.parse(
  readFileSync(inRepo('test', 'client', 'data', 'allocations.json'), 'utf8')
)
const strategies: AllocateStrategy[] = [averagely, averagelyByCircle, consistentHash(), byMachineRoom(['r1', 'r2'])]

const queueOf = (text: string): MessageQueue => {
  const [brokerName = '', id] = text.split(':')
  return { topic: 'TopicA', brokerName, queueId: Number(id) }
}
const textOf = ({ brokerName, queueId }: MessageQueue) => `${brokerName}:${queueId}`

for (const strategy of strategies)
  t.test(`${strategy.name} gives each client the queues that Java's gives it`, async t => {
    const cases = allocations.filter(one => one.strategy === strategy.name)
    t.ok(cases.length >= 30)
    for (const { queues, clients, shares } of cases)
      t.same(
        clients.map(client => strategy.allocate(client, queues.map(queueOf), clients).map(textOf)),
        shares,
        `${queues.length} queues, ${clients.length} clients`
      )
  })

t.test('a client that the group does not list gets nothing', async t => {
  const queues = ['broker-a:0', 'broker-a:1'].map(queueOf)
  for (const strategy of strategies) t.same(strategy.allocate('stranger', queues, ['a', 'b']), [], strategy.name)
})

t.test('by config, a client takes what it is told to, whoever else there is', async t => {
  const own = [queueOf('broker-a:1')]
  t.same(byConfig(own).allocate('x', ['broker-a:0', 'broker-a:1'].map(queueOf), ['x', 'y']), own)
})
