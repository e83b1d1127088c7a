import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Etcd } from '../../broker/failover/etcd.ts'
import { Producer, PushConsumer } from '../../client/index.ts'
import { RequestCode } from '../../net/index.ts'
import { temporaryDirectory, until } from '../support/broker.ts'
import { type EtcdProcess, findEtcd, openEtcd } from '../support/etcd.ts'
import { holds, type Ledger, readQueues, sameLogs } from '../support/ledger.ts'
import { Line, openLink } from '../support/link.ts'
import {
  type BrokerProcess,
  type ServerProcess,
  startBrokerProcess,
  startNameServerProcess
} from '../support/processes.ts'
import { below, oneOf, type Random, seeded, shuffled, testSeed } from '../support/seeded.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const PREFIX = '/skylark/DefaultCluster/broker-a/'
const BROKERS = 3
const QUEUES = 4
/** How often each kind of fault comes. */
const PASSES = LONG ? 3 : 1
/** How long a process stands still, and how long a link is bad, ms. */
const STOP_MS = LONG ? ([5000, 30_000] as const) : ([500, 3000] as const)
const LINK_MS = LONG ? ([500, 15_000] as const) : ([300, 1500] as const)
const between = (random: Random, [from, to]: readonly [number, number]): number => from + below(random, to - from)

t.setTimeout(LONG ? 1_800_000 : 120_000)
const etcdPath = findEtcd()
const skip =
  etcdPath === null ? 'there is no etcd on this machine' : process.platform !== 'linux' && '127.0.1.1 is Linux only'

/** A broker that others reach by an address of its own, behind which links lead to where it listens. */
class Node {
  readonly id: number
  readonly dir: string
  /** Of slaves to it, of clients to it, and its own to etcd and to the NameServers. */
  readonly lines = { replicas: new Line(), clients: new Line(), etcd: new Line(), names: new Line() }
  process: BrokerProcess | null = null
  private readonly t: Test
  private readonly etcd: EtcdProcess
  private readonly nameServers: readonly ServerProcess[]
  private reaches: { etcd: string; names: string } | null = null
  private port = 0

  constructor(t: Test, id: number, etcd: EtcdProcess, nameServers: readonly ServerProcess[]) {
    this.t = t
    this.id = id
    this.dir = temporaryDirectory(t)
    this.etcd = etcd
    this.nameServers = nameServers
  }

  /** Where it really listens. */
  get address(): string {
    return `127.0.2.${this.id}:${this.port}`
  }

  async start(): Promise<void> {
    const { t, lines, id } = this
    this.reaches ??= {
      etcd: await openLink(t, this.etcd.endpoint.replace('http://', ''), lines.etcd),
      names: (await Promise.all(this.nameServers.map(({ address }) => openLink(t, address, lines.names)))).join(';')
    }
    const host = `127.0.1.${id}`
    this.process = await startBrokerProcess(t, {
      ...{ storePathRootDir: this.dir, brokerId: id, brokerRole: 'SYNC_MASTER' },
      ...{ listenHost: `127.0.2.${id}`, listenPort: this.port, brokerIP1: host },
      ...{ namesrvAddr: this.reaches.names, etcdEndpoints: this.reaches.etcd },
      ...{ registerBrokerTimeoutMs: 1000, registerNameServerPeriodMs: 1000, haMaxTimeSlaveNotCatchupMs: 2000 },
      ...{ slaveReadEnable: true, shutdownWaitTimeMs: 0, store: { slaveTimeoutMs: 1000 } }
    })
    if (this.port !== 0) return
    this.port = Number(this.process.address.split(':')[1])
    const join = `"code":${RequestCode.JOIN_MASTER},`
    const line = (first: Buffer) => (first.includes(join) ? lines.replicas : lines.clients)
    await openLink(t, this.address, line, { host, port: this.port })
  }

  async kill(): Promise<void> {
    await this.process!.kill()
    this.process = null
  }
}

async function openSet(t: Test) {
  const etcd = await openEtcd(t, etcdPath!)
  // On addresses that no client is given by chance: their ports are free when they come back.
  const nameServers = await Promise.all([1, 2].map(i => startNameServerProcess(t, { host: `127.0.3.${i}`, port: 0 })))
  const nodes: Node[] = []
  for (let id = 1; id <= BROKERS; id++) {
    const node = new Node(t, id, etcd, nameServers)
    await node.start()
    nodes.push(node)
  }
  const coordinator = new Etcd([etcd.endpoint], 2000)
  const value = async (key: string): Promise<Record<string, unknown>> => {
    const values = await coordinator.read(PREFIX).catch(() => new Map<string, string>())
    return JSON.parse(values.get(PREFIX + key) ?? '{}')
  }
  const master = async (): Promise<Node | undefined> => {
    const { id } = await value('master')
    return nodes.find(node => node.id === id)
  }
  const isWhole = async () => {
    const { members } = await value('insync')
    return (members as number[] | undefined)?.length === BROKERS && (await master()) !== undefined
  }
  return { etcd, nameServers, nodes, master, whole: () => until('all are in sync', isWhole) }
}
type Brokers = Awaited<ReturnType<typeof openSet>>

/** One sender a queue, which sends the next message when the one before is acknowledged; and a consumer in order. */
async function load(t: Test, namesrvAddr: string) {
  const client = { namesrvAddr, requestTimeoutMs: 500, connectTimeoutMs: 500 }
  const producer = new Producer({ group: 'P', ...client, sendTimeoutMs: 2000, defaultTopicQueueCount: QUEUES })
  await producer.start()
  t.teardown(() => producer.close())
  const ledger: Ledger = new Map()
  const consumed: Ledger = new Map()
  const order = Array.from({ length: QUEUES }, () => [] as string[])
  let stopped = false
  let retries = 0
  const senders = order.map(async (_, queueId) => {
    const queue = { topic: 'orders', brokerName: 'broker-a', queueId }
    for (let n = 0; !stopped; n++) {
      const body = String(n).padStart(200 + (n % 1000))
      for (let sent = false; !sent && !stopped; ) {
        const result = await producer.send({ topic: 'orders', body }, { queue }).catch(() => null)
        sent = result?.status === 'SEND_OK'
        if (sent) ledger.set(`${queueId}/${result!.queueOffset}`, body)
        else {
          retries++
          await delay(20)
        }
      }
      await delay(2)
    }
  })
  const consumer = new PushConsumer({
    ...{ group: 'C', ...client, ordered: true, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' },
    pullTimeoutMs: 4000,
    pullHoldMs: 2000
  })
  consumer.subscribe('orders')
  await consumer.start(([message]) => {
    const { queueId, queueOffset, body } = message!
    consumed.set(`${queueId}/${queueOffset}`, body.toString())
    order[queueId]!.push(body.toString())
  })
  t.teardown(() => consumer.close())
  return {
    ledger,
    consumed,
    order,
    more: async (what: string) => {
      const { size } = ledger
      await until(what, () => ledger.size > size + 20)
    },
    stop: async () => {
      stopped = true
      await Promise.all(senders)
      return retries
    }
  }
}

/** Breaks something; gives what mends it. */
type Fault = (set: Brokers, random: Random) => Promise<() => Promise<void>>

const stopFor = async (process: ServerProcess, random: Random) => {
  process.process.kill('SIGSTOP')
  await delay(between(random, STOP_MS))
  return async () => {
    process.process.kill('SIGCONT')
  }
}
const killed = async (node: Node, random: Random) => {
  await node.kill()
  await delay(between(random, LINK_MS))
  return () => node.start()
}
const onLine = async (line: Line, random: Random) => {
  const fault = oneOf(random, ['hold', 'slow', 'refuse', 'tear'] as const)
  if (fault === 'slow') line.slow(5 + below(random, 100))
  else line[fault]()
  await delay(between(random, LINK_MS))
  return async () => line.pass()
}

const FAULTS: Readonly<Record<string, Fault>> = {
  'the master is killed': async (set, random) => killed((await set.master()) ?? oneOf(random, set.nodes), random),
  'a broker is killed': (set, random) => killed(oneOf(random, set.nodes), random),
  'the master stands still': async (set, random) =>
    stopFor(((await set.master()) ?? oneOf(random, set.nodes)).process!, random),
  'a broker stands still': (set, random) => stopFor(oneOf(random, set.nodes).process!, random),
  'slaves reach the master badly': async (set, random) =>
    onLine(((await set.master()) ?? oneOf(random, set.nodes)).lines.replicas, random),
  'clients reach the master badly': async (set, random) =>
    onLine(((await set.master()) ?? oneOf(random, set.nodes)).lines.clients, random),
  'the master reaches etcd badly': async (set, random) =>
    onLine(((await set.master()) ?? oneOf(random, set.nodes)).lines.etcd, random),
  'a broker reaches etcd badly': (set, random) => onLine(oneOf(random, set.nodes).lines.etcd, random),
  'a broker reaches the NameServers badly': (set, random) => onLine(oneOf(random, set.nodes).lines.names, random),
  'a NameServer stands still': (set, random) => stopFor(oneOf(random, set.nameServers), random),
  'a NameServer is killed': async ({ nameServers }, random) => {
    const i = below(random, nameServers.length)
    const { address } = nameServers[i]!
    await nameServers[i]!.kill()
    await delay(between(random, LINK_MS))
    return async () => {
      const [host, port] = address.split(':')
      nameServers[i] = await startNameServerProcess(t, { host: host!, port: Number(port) })
    }
  },
  'etcd is killed': async ({ etcd }, random) => {
    await etcd.kill()
    await delay(between(random, LINK_MS))
    return () => etcd.start()
  }
}

/** Leaving out what was sent twice, each queue has its messages in the order in which they were sent. */
function inOrder(t: Test, bodies: Iterable<string>, what: string): void {
  const seen = [...new Set(bodies)].map(Number)
  t.ok(
    seen.every((n, i) => n === i),
    what
  )
}

t.test(
  'whatever is killed, stands still or is cut off: nothing acknowledged is lost, queues stay in order, logs end alike',
  { skip },
  async t => {
    const seed = testSeed()
    t.comment(`SKYLARK_TEST_SEED=${seed}`)
    const random = seeded(seed)
    const set = await openSet(t)
    await until('a master is elected', async () => (await set.master()) !== undefined)
    const namesrvAddr = set.nameServers.map(({ address }) => address).join(';')
    const { ledger, consumed, order, ...clients } = await load(t, namesrvAddr)
    await clients.more('messages are acknowledged')
    await set.whole()

    const faults = Array.from({ length: PASSES }, () => shuffled(random, Object.entries(FAULTS))).flat()
    for (const [what, fault] of faults) {
      const mend = await fault(set, random)
      await mend()
      // Now and then the next one comes before this one is overcome.
      if (random() < 0.5) await clients.more(`messages are acknowledged after "${what}"`)
    }
    await set.whole()
    await clients.more('messages are acknowledged at the end')
    const retries = await clients.stop()
    t.comment(`${faults.length} faults, ${ledger.size} messages acknowledged, ${retries} sends again`)

    const master = (await set.master())!
    const found = await readQueues(master.address, 'orders', QUEUES)
    holds(t, found, ledger)
    for (let queueId = 0; queueId < QUEUES; queueId++)
      inOrder(
        t,
        [...found].filter(([place]) => place.startsWith(`${queueId}/`)).map(([, body]) => body),
        'as stored'
      )
    await until('all is consumed', () => [...found.keys()].every(place => consumed.has(place)))
    holds(t, found, consumed)
    for (const bodies of order) inOrder(t, bodies, 'as consumed')

    for (const node of set.nodes)
      await until(
        `broker ${node.id} has all`,
        async () => (await readQueues(node.address, 'orders', QUEUES)).size === found.size
      )
    for (const node of set.nodes) if (node !== master) await node.process!.stop()
    await master.process!.stop()
    sameLogs(t, ...set.nodes.map(({ dir }) => dir))
  }
)
