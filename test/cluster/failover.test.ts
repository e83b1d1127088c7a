import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Etcd } from '../../broker/failover/etcd.ts'
import { Producer } from '../../client/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { type OpenBroker, temporaryDirectory, until } from '../support/broker.ts'
import { findEtcd, openEtcd } from '../support/etcd.ts'
import { bodiesOf, pull, send } from '../support/messages.ts'
import { type BrokerProcess, startBrokerProcess } from '../support/processes.ts'

const PREFIX = '/skylark/DefaultCluster/broker-a/'
const QUEUES = 4
const etcdPath = findEtcd()
const skip = etcdPath === null ? 'there is no etcd on this machine' : false

interface Node {
  readonly id: number
  readonly dir: string
  process: BrokerProcess
}

async function openSet(t: Test, count: number) {
  const etcd = await openEtcd(t, etcdPath!)
  const nameServer = new NameServer({ listenPort: 0 })
  await nameServer.start()
  t.teardown(() => nameServer.close())
  const coordinator = new Etcd([etcd.endpoint], 2000)
  const client = new RemotingClient()
  t.teardown(() => client.close())

  const start = (id: number, dir: string) =>
    startBrokerProcess(t, {
      storePathRootDir: dir,
      brokerId: id,
      brokerRole: 'SYNC_MASTER',
      namesrvAddr: nameServer.address,
      etcdEndpoints: etcd.endpoint,
      slaveReadEnable: true
    })
  const nodes: Node[] = []
  for (let id = 1; id <= count; id++) {
    const dir = temporaryDirectory(t)
    nodes.push({ id, dir, process: await start(id, dir) })
  }

  const value = async (key: string): Promise<Record<string, unknown>> => {
    const text = (await coordinator.read(PREFIX)).get(PREFIX + key)
    return text === undefined ? {} : JSON.parse(text)
  }
  const master = async (): Promise<Node | undefined> => {
    const { id } = await value('master')
    return nodes.find(node => node.id === id)
  }
  const open = ({ process }: Node): OpenBroker =>
    ({
      ask: (code, extFields = null, body = null) => client.invoke(process.address, request(code, extFields, body), 5000)
    }) as OpenBroker
  return {
    etcd,
    nodes,
    master,
    open,
    restart: async (node: Node) => {
      node.process = await start(node.id, node.dir)
    },
    /** Waits until all are in sync. */
    whole: () =>
      until('all members are in sync', async () => {
        const { members } = await value('insync')
        return (members as number[] | undefined)?.length === count && (await master()) !== undefined
      }),
    epoch: async () => Number((await value('master')).epoch ?? 0),
    namesrvAddr: nameServer.address
  }
}

/** Producers that send all the time, each message until it is acknowledged, and write down what was. */
async function load(t: Test, namesrvAddr: string) {
  const producer = new Producer({ group: 'PG', namesrvAddr, sendTimeoutMs: 2000, defaultTopicQueueCount: QUEUES })
  await producer.start()
  const acknowledged: string[] = []
  let stopped = false
  let next = 0
  let retries = 0
  const one = async () => {
    while (!stopped) {
      const body = `message ${next++}`
      for (;;) {
        try {
          const { status } = await producer.send({ topic: 'orders', body })
          if (status === 'SEND_OK') break
        } catch {}
        retries++
        if (stopped) return
        await delay(20)
      }
      acknowledged.push(body)
      await delay(2)
    }
  }
  const running = Promise.all(Array.from({ length: 4 }, one))
  t.teardown(() => producer.close())
  return {
    acknowledged,
    more: async (what: string) => {
      const { length } = acknowledged
      await until(what, () => acknowledged.length > length + 20)
    },
    stop: async () => {
      stopped = true
      await running
      return retries
    }
  }
}

async function readAll(open: OpenBroker): Promise<Set<string>> {
  const bodies = new Set<string>()
  for (let queueId = 0; queueId < QUEUES; queueId++)
    for (let offset = 0; ; ) {
      const answer = await pull(open, { topic: 'orders', queueId, offset })
      if (answer.code !== ResponseCode.SUCCESS) break
      for (const body of bodiesOf(answer)) bodies.add(body)
      offset = Number(answer.extFields!.nextBeginOffset)
    }
  return bodies
}

function logOf(dir: string): Map<string, Buffer> {
  const log = join(dir, 'commitlog')
  return new Map(readdirSync(log).map(name => [name, readFileSync(join(log, name))]))
}

t.test(
  'a master that is killed, stands still or is stopped is replaced; nothing acknowledged is lost, and it comes back',
  {
    skip
  },
  async t => {
    const set = await openSet(t, 3)
    const producers = await load(t, set.namesrvAddr)
    await producers.more('messages are acknowledged')
    const times: number[] = []
    for (let round = 0; round < 3; round++) {
      await set.whole()
      const old = (await set.master())!
      const epoch = await set.epoch()
      const since = performance.now()
      if (round % 2 === 0) await old.process.kill()
      else old.process.process.kill('SIGSTOP')
      await until('another one is the master', async () => (await set.epoch()) > epoch)
      await producers.more('messages are acknowledged again')
      times.push(Math.round(performance.now() - since))
      if (round % 2 === 0) await set.restart(old)
      else old.process.process.kill('SIGCONT')
      t.not((await set.master())!.id, old.id)
    }
    await set.whole()
    await producers.more('messages are acknowledged at the end')
    const retries = await producers.stop()
    t.comment(
      `failover in ms after SIGKILL, SIGSTOP, SIGTERM: ${times.join(', ')}; ${producers.acknowledged.length} messages, ${retries} retries`
    )

    const master = (await set.master())!
    const stored = await readAll(set.open(master))
    const lost = producers.acknowledged.filter(body => !stored.has(body))
    t.same(lost, [], 'everything acknowledged is there')
    await until('the slaves have all', async () => {
      const status = await set.open(master).ask(RequestCode.GET_BROKER_HA_STATUS)
      const { haConnectionInfo } = JSON.parse(Buffer.from(status.body!).toString())
      return haConnectionInfo.length === 2 && haConnectionInfo.every(({ diff }: { diff: number }) => diff === 0)
    })
    for (const node of set.nodes) if (node !== master) await node.process.stop()
    await master.process.stop()
    const log = logOf(master.dir)
    for (const node of set.nodes) {
      const other = logOf(node.dir)
      t.same([...other.keys()], [...log.keys()])
      for (const [name, bytes] of log)
        t.ok(other.get(name)?.equals(bytes), `${name} of broker ${node.id} is byte-identical`)
    }
  }
)

t.test(
  'without etcd the master stops, nobody takes over, and all goes on when etcd is back',
  { skip, timeout: 120_000 },
  async t => {
    const set = await openSet(t, 2)
    const producers = await load(t, set.namesrvAddr)
    await producers.more('messages are acknowledged')
    await set.whole()
    await set.etcd.kill()
    const answers = async () =>
      Promise.all(
        set.nodes.map(async node => {
          const answer = await send(set.open(node), { topic: 'orders', body: 'x' })
          return answer.code
        })
      )
    await until('no broker takes messages', async () => (await answers()).every(code => code !== ResponseCode.SUCCESS))
    const { length } = producers.acknowledged
    for (let i = 0; i < 10; i++) {
      t.same(await answers(), [ResponseCode.SERVICE_NOT_AVAILABLE, ResponseCode.SERVICE_NOT_AVAILABLE])
      await delay(300)
    }
    t.equal(producers.acknowledged.length, length, 'nothing is acknowledged')
    await set.etcd.start()
    await producers.more('messages are acknowledged again')
    await producers.stop()
    const stored = await readAll(set.open((await set.master())!))
    t.same(
      producers.acknowledged.filter(body => !stored.has(body)),
      [],
      'everything acknowledged is there'
    )
  }
)
