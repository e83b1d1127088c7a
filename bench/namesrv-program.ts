import { fork } from 'node:child_process'
import { once } from 'node:events'
import { crc32 } from '../message/index.ts'
import { formatBody, RemotingClient, type RemotingCommand, RequestCode, ResponseCode, request } from '../net/index.ts'
import { type Latency, Recorder } from './recorder.ts'

/** What the NameServer gets to know, and how often it is asked. */
export interface NamesrvWorkload {
  topics: number
  queues: number
  brokers: number
  /** Questions for the route of a topic by chance, one after the other. */
  questions: number
}

export const namesrvWorkload: Readonly<NamesrvWorkload> = Object.freeze({
  topics: 10_000,
  queues: 8,
  brokers: 100,
  questions: 20_000
})

/** What is promised of the workload above, in µs. */
export const GOALS = { routeP99: 1000, registration: 50_000 } as const

/** A request of each broker, one broker after the other. */
export interface Round extends Latency {
  /** Of the NameServer for each, in ms; the routes that were asked for meanwhile included. */
  cpuMs: number
}

/** Latencies in µs, sizes in bytes. */
export interface NamesrvReport {
  workload: NamesrvWorkload
  /**
   * A broker's registration of all its topics: its first, one with another version and a changed topic, the same while
   * somebody asks for routes, and one that says what the one before said.
   */
  first: Round
  changed: Round
  underQuestions: Round
  unchanged: Round
  /** A registration of one changed topic, and the question whether the version has changed. */
  oneTopic: Round
  version: Round
  /** Of a topic whose route changed since it was last asked for, of any, and of any while brokers register. */
  routeAfterChange: Latency
  route: Latency
  routeMeanwhile: Latency
  registrationBytes: number
  routeBytes: number
  /** `arrayBuffers` are bytes outside of objects: what is being received, and answers that are kept. */
  memory: { rss: number; heapUsed: number; arrayBuffers: number }
}

const TIMEOUT_MS = 60_000
const topicName = (i: number): string => `topic-${String(i).padStart(6, '0')}`

/** Has a NameServer of its own learn topics of many brokers, and asks it for their routes. */
export async function measureNameServer(workload: NamesrvWorkload): Promise<NamesrvReport> {
  const { topics, brokers, questions } = workload
  const child = fork(new URL('./name-server-process.js', import.meta.url), { execArgv: ['--expose-gc'] })
  const ended = once(child, 'exit')
  const clients: RemotingClient[] = []
  const used = async (question = 'cpu') => {
    child.send(question)
    const [usage] = await once(child, 'message')
    return usage as { memory: NamesrvReport['memory']; cpuMs: number }
  }
  try {
    const [{ address }] = (await once(child, 'message')) as [{ address: string }]
    for (let i = 0; i <= brokers; i++) clients.push(new RemotingClient())
    const asking = clients.pop()!
    const everyBroker = async (command: (broker: number) => RemotingCommand): Promise<Round> => {
      const recorder = new Recorder()
      recorder.measuring = true
      const { cpuMs } = await used()
      for (let broker = 0; broker < brokers; broker++) {
        const asked = command(broker)
        await timed(recorder, () => ask(clients[broker]!, address, asked))
      }
      return { ...recorder.latency, cpuMs: ((await used()).cpuMs - cpuMs) / brokers }
    }
    const register = (version: number, count = topics) => {
      const body = registrationBody(workload, version, count)
      return everyBroker(broker => registration(broker, body))
    }
    let routeBytes = 0
    const askRoutes = async (topicAt: (i: number) => number | null): Promise<Latency> => {
      const recorder = new Recorder()
      recorder.measuring = true
      for (let i = 0, topic = topicAt(i); topic !== null; topic = topicAt(++i)) {
        const command = request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: topicName(topic) })
        const answer = await timed(recorder, () => ask(asking, address, command))
        routeBytes = answer.body?.length ?? 0
      }
      return recorder.latency
    }
    const byChance = () => Math.floor(Math.random() * topics)

    const first = await register(1)
    const changed = await register(2)
    const unchanged = await register(2)
    const oneTopic = await register(3, 1)
    const version = await everyBroker(broker =>
      request(RequestCode.QUERY_DATA_VERSION, brokerIdentity(broker), formatBody(dataVersion(3)))
    )
    const routeAfterChange = await askRoutes(i => (i < topics ? i : null))
    const route = await askRoutes(i => (i < questions ? byChance() : null))
    let registering = true
    const [underQuestions, routeMeanwhile] = await Promise.all([
      register(4).finally(() => {
        registering = false
      }),
      askRoutes(i => (i === 0 || registering ? byChance() : null))
    ])
    const { memory } = await used('memory')
    const rounds = { first, changed, underQuestions, unchanged, oneTopic, version }
    const routes = { routeAfterChange, route, routeMeanwhile }
    const registrationBytes = registrationBody(workload, 1).length
    return { workload, ...rounds, ...routes, registrationBytes, routeBytes, memory }
  } finally {
    for (const client of clients) await client.close()
    child.disconnect()
    await ended
  }
}

async function timed<T>(recorder: Recorder, run: () => Promise<T>): Promise<T> {
  const begin = performance.now()
  const result = await run()
  recorder.answered(performance.now() - begin, 1, 0)
  return result
}

async function ask(client: RemotingClient, address: string, command: RemotingCommand): Promise<RemotingCommand> {
  const answer = await client.invoke(address, command, TIMEOUT_MS)
  if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `the NameServer answered ${answer.code}`)
  return answer
}

const dataVersion = (version: number) => ({ counter: version, stateVersion: 0, timestamp: 1_700_000_000_000 + version })

/** The first `count` topics; each version has another number of queues for one of them. */
function registrationBody({ topics, queues }: NamesrvWorkload, version: number, count = topics): Buffer {
  const config = (i: number) => {
    const queueNums = i === 0 ? queues + version : queues
    const counts = { readQueueNums: queueNums, writeQueueNums: queueNums }
    return {
      attributes: {},
      order: false,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      topicName: topicName(i),
      topicSysFlag: 0,
      ...counts
    }
  }
  return Buffer.from(
    formatBody({
      filterServerList: [],
      topicConfigSerializeWrapper: {
        dataVersion: dataVersion(version),
        mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: 0 },
        topicConfigTable: Object.fromEntries(Array.from({ length: count }, (_, i) => [topicName(i), config(i)])),
        topicQueueMappingDetailMap: {},
        topicQueueMappingInfoMap: {}
      }
    })
  )
}

const hostOf = (broker: number): string => `10.0.${broker >> 8}.${broker & 255}`

function brokerIdentity(broker: number) {
  const brokerAddr = `${hostOf(broker)}:10911`
  return { brokerName: `broker-${broker}`, brokerAddr, clusterName: 'DefaultCluster', brokerId: '0' }
}

function registration(broker: number, body: Buffer): RemotingCommand {
  const header = {
    ...brokerIdentity(broker),
    haServerAddr: `${hostOf(broker)}:10912`,
    enableActingMaster: 'false',
    compressed: 'false',
    bodyCrc32: String(crc32(body))
  }
  return request(RequestCode.REGISTER_BROKER, header, body)
}

const ms = (us: number): string => (us / 1000).toFixed(us < 10_000 ? 3 : 1).padStart(9)
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** The report for people. */
export function namesrvText({ workload, ...report }: NamesrvReport): string {
  const { topics, queues, brokers, questions } = workload
  const row = (name: string, { p50, p99, max, cpuMs }: Latency & { cpuMs?: number }) =>
    `${name.padEnd(37)}${ms(p50)}${ms(p99)}${ms(max)}${cpuMs === undefined ? '' : ms(cpuMs * 1000)}`
  return `${[
    `A NameServer with ${topics} topics of ${queues} queues on each of ${brokers} brokers`,
    '',
    `${'ms'.padEnd(37)}${['p50', 'p99', 'max', 'CPU'].map(head => head.padStart(9)).join('')}`,
    row('registration, first', report.first),
    row('registration, changed', report.changed),
    row('registration, unchanged', report.unchanged),
    row('registration of one topic', report.oneTopic),
    row('version asked for', report.version),
    row('route, first after a change', report.routeAfterChange),
    row(`route, ${questions} by chance`, report.route),
    row('route, while brokers register', report.routeMeanwhile),
    row('registration, while routes are read', report.underQuestions),
    '',
    `A registration has ${mib(report.registrationBytes)}, a route ${report.routeBytes} bytes.`,
    `The NameServer takes ${mib(report.memory.rss)} of memory, ${mib(report.memory.heapUsed)} of it for objects, ${mib(report.memory.arrayBuffers)} for bytes.`
  ].join('\n')}\n`
}
