import { fork } from 'node:child_process'
import { once } from 'node:events'
import { crc32 } from '../message/index.ts'
import { formatBody, RemotingClient, RequestCode, ResponseCode, request } from '../net/index.ts'
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

/** Latencies in µs, sizes in bytes. */
export interface NamesrvReport {
  workload: NamesrvWorkload
  /** A broker's registration: its first, one with another version and a changed topic, one that says the same again. */
  first: Latency
  changed: Latency
  unchanged: Latency
  /** Of a topic whose route changed since it was last asked for, and of any. */
  routeAfterChange: Latency
  route: Latency
  registrationBytes: number
  routeBytes: number
  memory: { rss: number; heapUsed: number }
}

const TIMEOUT_MS = 60_000
const topicName = (i: number): string => `topic-${String(i).padStart(6, '0')}`

/** Has a NameServer of its own learn topics of many brokers, and asks it for their routes. */
export async function measureNameServer(workload: NamesrvWorkload): Promise<NamesrvReport> {
  const child = fork(new URL('./name-server-process.js', import.meta.url), { execArgv: ['--expose-gc'] })
  const ended = once(child, 'exit')
  const clients: RemotingClient[] = []
  try {
    const [{ address }] = (await once(child, 'message')) as [{ address: string }]
    for (let i = 0; i <= workload.brokers; i++) clients.push(new RemotingClient())
    const asking = clients.pop()!
    const register = (broker: number, body: Buffer) => ask(clients[broker]!, address, registration(broker, body))
    const everyBroker = async (body: Buffer): Promise<Latency> => {
      const recorder = new Recorder()
      recorder.measuring = true
      for (let broker = 0; broker < workload.brokers; broker++) await timed(recorder, () => register(broker, body))
      return recorder.latency
    }
    const body = registrationBody(workload, 1)
    const first = await everyBroker(body)
    const changed = await everyBroker(registrationBody(workload, 2))
    const unchanged = await everyBroker(registrationBody(workload, 2))

    let routeBytes = 0
    const askRoutes = async (count: number, choose: (i: number) => number): Promise<Latency> => {
      const recorder = new Recorder()
      recorder.measuring = true
      for (let i = 0; i < count; i++) {
        const command = request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: topicName(choose(i)) })
        const answer = await timed(recorder, () => ask(asking, address, command))
        routeBytes = answer.body?.length ?? 0
      }
      return recorder.latency
    }
    const routeAfterChange = await askRoutes(workload.topics, i => i)
    const route = await askRoutes(workload.questions, () => Math.floor(Math.random() * workload.topics))
    child.send('memory')
    const [memory] = (await once(child, 'message')) as [NamesrvReport['memory']]
    const sizes = { registrationBytes: body.length, routeBytes, memory }
    return { workload, first, changed, unchanged, routeAfterChange, route, ...sizes }
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

async function ask(client: RemotingClient, address: string, command: ReturnType<typeof request>) {
  const answer = await client.invoke(address, command, TIMEOUT_MS)
  if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `the NameServer answered ${answer.code}`)
  return answer
}

/** All topics; each version has another number of queues for one of them. */
function registrationBody({ topics, queues }: NamesrvWorkload, version: number): Buffer {
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
  const dataVersion = { counter: version, stateVersion: 0, timestamp: 1_700_000_000_000 + version }
  return Buffer.from(
    formatBody({
      filterServerList: [],
      topicConfigSerializeWrapper: {
        dataVersion,
        mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: 0 },
        topicConfigTable: Object.fromEntries(Array.from({ length: topics }, (_, i) => [topicName(i), config(i)])),
        topicQueueMappingDetailMap: {},
        topicQueueMappingInfoMap: {}
      }
    })
  )
}

function registration(broker: number, body: Buffer) {
  const address = `10.0.${broker >> 8}.${broker & 255}`
  const header = {
    brokerName: `broker-${broker}`,
    brokerAddr: `${address}:10911`,
    clusterName: 'DefaultCluster',
    brokerId: '0',
    haServerAddr: `${address}:10912`,
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
  const row = (name: string, { p50, p99, max }: Latency) => `${name.padEnd(34)}${ms(p50)}${ms(p99)}${ms(max)}`
  return `${[
    `A NameServer with ${topics} topics of ${queues} queues on each of ${brokers} brokers`,
    '',
    `${'ms'.padEnd(34)}${'p50'.padStart(9)}${'p99'.padStart(9)}${'max'.padStart(9)}`,
    row('registration, first', report.first),
    row('registration, changed', report.changed),
    row('registration, unchanged', report.unchanged),
    row('route, first after a change', report.routeAfterChange),
    row(`route, ${questions} by chance`, report.route),
    '',
    `A registration has ${mib(report.registrationBytes)}, a route ${report.routeBytes} bytes.`,
    `The NameServer takes ${mib(report.memory.rss)} of memory, ${mib(report.memory.heapUsed)} of it for objects.`
  ].join('\n')}\n`
}
