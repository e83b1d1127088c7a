import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { BrokerOptions } from '../broker/index.ts'
import { Admin, Producer, PushConsumer, topicConfigDefaults } from '../client/index.ts'
import { NameServer } from '../namesrv/index.ts'
import { etcdIn } from './etcd.ts'
import { machineText } from './report.ts'
import { scratchFolder } from './targets.ts'
import { Program } from './usage.ts'

export interface FailoverWorkload {
  /** How often the master is killed. */
  kills: number
  brokers: number
  /** Sends that wait for their acknowledgement at once. */
  senders: number
  bodyBytes: number
  /** How long etcd keeps a master that is not heard of, ms. */
  leaseMs: number
  /** Where stores are made. */
  folder: string
}

export const failoverWorkload = Object.freeze({
  kills: 50,
  brokers: 3,
  senders: 8,
  bodyBytes: 1024,
  leaseMs: 2000
} satisfies Omit<FailoverWorkload, 'folder'>)

/** From a kill to what a client sees of the next master, ms. */
export interface Spread {
  p50: number
  p99: number
  max: number
}

export interface FailoverReport {
  workload: FailoverWorkload
  machine: string
  /** From each kill to the first acknowledgement of a message that was sent after it, and to the first one consumed. */
  acknowledgedMs: number[]
  consumedMs: number[]
  /** Messages that were acknowledged, of them those that no consumer got, and those that came more than once. */
  acknowledged: number
  lost: number
  duplicates: number
}

const TOPIC = 'failover'
const BROKER = 'bench'
const PATIENCE_MS = 60_000
/** Between two sends of one sender, so that the load is that of an application and not all that the machine can do. */
const PAUSE_MS = 2

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`)
    await delay(5)
  }
}

/** The first time at which something happened to a message that was sent after a moment. */
class Watch {
  private sentAfterMs = Number.POSITIVE_INFINITY
  private happened: (atMs: number) => void = () => {}

  /** Resolves with the time. */
  next(sentAfterMs: number): Promise<number> {
    return new Promise(resolve => {
      this.happened = resolve
      this.sentAfterMs = sentAfterMs
    })
  }

  saw(sentMs: number): void {
    if (sentMs < this.sentAfterMs) return
    this.sentAfterMs = Number.POSITIVE_INFINITY
    this.happened(performance.now())
  }
}

/** Clients as applications have them, with their defaults: senders that repeat what fails, and a consumer. */
class Clients {
  readonly acknowledged = new Watch()
  readonly consumed = new Watch()
  /** How often each acknowledged message was consumed, by its number. */
  readonly counts = new Map<number, number>()
  readonly acked: number[] = []
  private readonly producer: Producer
  private readonly consumer: PushConsumer
  private readonly sentMs: number[] = []
  private stopped = false
  private running: Promise<unknown> = Promise.resolve()

  constructor(namesrvAddr: string) {
    this.producer = new Producer({ group: 'bench-producer', namesrvAddr })
    this.consumer = new PushConsumer({
      group: 'bench-consumer',
      namesrvAddr,
      consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET'
    })
  }

  async start({ senders, bodyBytes }: FailoverWorkload): Promise<void> {
    await this.producer.start()
    this.consumer.subscribe(TOPIC)
    await this.consumer.start(messages => {
      for (const { body } of messages) {
        const number = body.readUInt32BE()
        this.counts.set(number, (this.counts.get(number) ?? 0) + 1)
        this.consumed.saw(this.sentMs[number]!)
      }
    })
    this.running = Promise.all(Array.from({ length: senders }, () => this.sendOn(bodyBytes)))
  }

  private async sendOn(bodyBytes: number): Promise<void> {
    while (!this.stopped) {
      const number = this.sentMs.length
      const body = Buffer.alloc(bodyBytes)
      body.writeUInt32BE(number)
      this.sentMs.push(performance.now())
      let stored = false
      for (; !stored && !this.stopped; await delay(PAUSE_MS))
        stored = await this.producer.send({ topic: TOPIC, body }).then(
          ({ status }) => status === 'SEND_OK',
          () => false
        )
      if (!stored) return
      this.acked.push(number)
      this.acknowledged.saw(this.sentMs[number]!)
    }
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.running
  }

  async close(): Promise<void> {
    await this.stop()
    await this.consumer.close()
    await this.producer.close()
  }
}

/** Kills the master of a set of brokers again and again while clients send and consume. */
export async function measureFailover(
  workload: FailoverWorkload,
  etcdPath: string,
  onKill: (kill: number, acknowledgedMs: number, consumedMs: number) => void = () => {}
): Promise<FailoverReport> {
  const folder = scratchFolder(workload.folder)
  const etcd = await etcdIn(join(folder.path, 'etcd'), etcdPath)
  const nameServer = new NameServer({ listenPort: 0 })
  await nameServer.start()
  const namesrvAddr = nameServer.address
  const admin = new Admin({ namesrvAddr })
  const clients = new Clients(namesrvAddr)
  const brokers = new Map<number, Program>()
  const startBroker = async (brokerId: number) => {
    const options: Partial<BrokerOptions> = {
      ...{ storePathRootDir: join(folder.path, String(brokerId)), listenPort: 0, vipPortEnable: false },
      ...{ brokerName: BROKER, brokerId, brokerRole: 'SYNC_MASTER', namesrvAddr },
      ...{ etcdEndpoints: etcd.endpoint, failoverLeaseMs: workload.leaseMs }
    }
    brokers.set(brokerId, await Program.start('./broker-process.js', [JSON.stringify(options)]))
  }
  const master = async (): Promise<[number, Program] | undefined> => {
    const { brokerAddrTable } = await admin.clusterInfo()
    const address = brokerAddrTable[BROKER]?.brokerAddrs.get(0)
    return [...brokers].find(([, program]) => program.address === address)
  }
  const isWhole = async () => {
    const found = await master()
    if (found === undefined) return false
    const { haConnectionInfo } = await admin.haStatus(found[1].address)
    return haConnectionInfo.filter(({ inSync }) => inSync).length === workload.brokers - 1
  }
  try {
    await etcd.start()
    for (let id = 1; id <= workload.brokers; id++) await startBroker(id)
    await until('the set has a master, and slaves in sync', () => isWhole().catch(() => false))
    const [, first] = (await master())!
    await until('the topic is created', () =>
      admin.updateTopic(first.address, { ...topicConfigDefaults, topicName: TOPIC }).then(
        () => true,
        () => false
      )
    )
    await clients.start(workload)
    const acknowledgedMs: number[] = []
    const consumedMs: number[] = []
    for (let kill = 1; kill <= workload.kills; kill++) {
      await until('all are in sync again', () => isWhole().catch(() => false))
      // What is in sync for the master is so for etcd a moment later; and kills shall not keep step with leases.
      await delay(workload.leaseMs / 2 + Math.random() * workload.leaseMs)
      const [id, program] = (await master())!
      const killedMs = performance.now()
      await program.kill()
      const since = performance.now()
      const both = [clients.acknowledged.next(since), clients.consumed.next(since)] as const
      const patience = delay(PATIENCE_MS, null, { ref: false })
      const times = await Promise.race([Promise.all(both), patience])
      if (times === null) throw new Error(`kill ${kill}: nobody serves after ${PATIENCE_MS / 1000} s`)
      acknowledgedMs.push(times[0] - killedMs)
      consumedMs.push(times[1] - killedMs)
      onKill(kill, acknowledgedMs.at(-1)!, consumedMs.at(-1)!)
      await startBroker(id)
    }
    await clients.stop()
    const missing = () => clients.acked.filter(number => !clients.counts.has(number)).length
    await until('all is consumed', () => missing() === 0).catch(() => {})
    return {
      workload,
      machine: machineText(),
      acknowledgedMs,
      consumedMs,
      acknowledged: clients.acked.length,
      lost: missing(),
      duplicates: [...clients.counts.values()].filter(count => count > 1).length
    }
  } finally {
    await clients.close()
    await admin.close()
    for (const program of brokers.values()) await program.kill()
    await nameServer.close()
    await etcd.kill()
    folder.remove()
  }
}

/** Of the times themselves, none between two of them. */
export function spreadOf(times: readonly number[]): Spread {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

const format = new Intl.NumberFormat('en-US')
const whole = (number: number): string => format.format(Math.round(number))

/** The report for people. */
export function failoverText(report: FailoverReport): string {
  const { workload, machine, acknowledged, lost, duplicates } = report
  const row = (name: string, { p50, p99, max }: Spread) =>
    `${name.padEnd(44)}${[p50, p99, max].map(ms => whole(ms).padStart(8)).join('')}`
  return `${[
    `${workload.kills} kills of the master of ${workload.brokers} brokers, leases of ${workload.leaseMs} ms; ${machine}`,
    '',
    `${'ms'.padEnd(44)}${['p50', 'p99', 'max'].map(name => name.padStart(8)).join('')}`,
    row('from the kill to the first acknowledgement', spreadOf(report.acknowledgedMs)),
    row('from the kill to the first message consumed', spreadOf(report.consumedMs)),
    '',
    `${whole(acknowledged)} messages acknowledged, lost ${lost}, consumed more than once ${whole(duplicates)}`
  ].join('\n')}\n`
}
