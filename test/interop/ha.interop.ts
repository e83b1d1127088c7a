import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { Admin, Producer, PullConsumer, topicConfigDefaults } from '../../client/index.ts'
import { SMALL_STORE } from '../support/broker.ts'
import { holds, type Ledger, readQueues } from '../support/ledger.ts'
import { type BrokerProcess, startBrokerProcess } from '../support/processes.ts'
import { freePort, type JavaServer, startJavaBroker, startJavaNameServer } from './java-server.ts'
import { hasTools, scratch, until } from './support.ts'

// A live cluster changes hands: from RocketMQ to Skylark, and back.

const QUEUES = 4
const LINES = 4
const TOPIC = 'orders'
/** Of messages with a delay. */
const LATER = 'later'
const NAME = 'broker-a'
const FILLING = 'x'.repeat(900)

/** Producers that never stop, whoever the master is. */
class Load {
  acknowledged = 0
  failed = 0
  private readonly lines: Promise<void>[]
  private running = true

  constructor(t: Test, producer: Producer, ledger: Ledger) {
    t.teardown(() => this.stop())
    this.lines = Array.from({ length: LINES }, async (_, line) => {
      for (let i = 0; this.running; i++) {
        const body = `${line}-${i}`
        try {
          const { status, queue, queueOffset } = await producer.send({
            topic: TOPIC,
            body,
            properties: { filling: FILLING }
          })
          if (status === 'SEND_OK') {
            ledger.set(`${queue.queueId}/${queueOffset}`, body)
            this.acknowledged++
          } else this.failed++
        } catch {
          this.failed++
          await delay(50)
        }
        await delay(4)
      }
    })
  }

  /** So many more are acknowledged. */
  more(count: number): Promise<void> {
    const wanted = this.acknowledged + count
    return until(
      () => this.acknowledged >= wanted,
      () => `${count} more messages, ${this.failed} failed`
    )
  }

  async stop(): Promise<void> {
    this.running = false
    await Promise.all(this.lines)
  }
}

/** How far a broker's log goes. */
const endOf = async (admin: Admin, address: string): Promise<number> =>
  Number((await admin.brokerRuntimeInfo(address)).commitLogMaxOffset)

/** Waits until a master says that a slave has what it has, give or take what is on its way. */
const inSync = (admin: Admin, master: string) =>
  until(
    async () => (await admin.haStatus(master)).haConnectionInfo.some(({ inSync, diff }) => inSync && diff < 100_000),
    () => `a slave of ${master} in sync`
  )

/** The logs are alike up to an offset. */
function sameBytes(t: Test, one: string, other: string, end: number): void {
  const log = (dir: string) => join(dir, 'commitlog')
  const { mappedFileSizeCommitLogBytes: size } = SMALL_STORE
  const names = readdirSync(log(one)).filter(name => Number(name) < end)
  t.same(
    readdirSync(log(other)).filter(name => Number(name) < end),
    names
  )
  const differing = names.filter(name => {
    const [a, b] = [one, other].map(dir =>
      readFileSync(join(log(dir), name)).subarray(0, Math.min(size, end - Number(name)))
    )
    return !a!.equals(b!)
  })
  t.same(differing, [], `${end} bytes are alike`)
}

/** Consumes so many messages of all queues, and commits. */
async function consume(namesrvAddr: string, count: number): Promise<string[]> {
  const consumer = new PullConsumer({ group: 'CG', namesrvAddr, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  consumer.subscribe(TOPIC)
  await consumer.start()
  const seen: string[] = []
  while (seen.length < count)
    for (const { queueId, queueOffset } of await consumer.poll(1000)) seen.push(`${queueId}/${queueOffset}`)
  await consumer.commit()
  await consumer.close()
  return seen
}

const javaOptions = (dir: string, brokerId: number, role: string) => ({
  brokerName: NAME,
  brokerId,
  brokerRole: role,
  storePathRootDir: dir,
  storePathCommitLog: join(dir, 'commitlog'),
  mappedFileSizeCommitLog: SMALL_STORE.mappedFileSizeCommitLogBytes,
  slaveReadEnable: 'true'
})

t.test('a live cluster goes from RocketMQ to Skylark and back, and loses nothing', async t => {
  if (!hasTools(t, 'java', 'mvn')) return
  const nameServer = await startJavaNameServer(t)
  const namesrvAddr = nameServer.address
  const [javaDir, skylarkDir, slaveDir] = [1, 2, 3].map(() => join(scratch(t), 'store')) as [string, string, string]
  const skylark = (options: Partial<BrokerOptions>): Promise<BrokerProcess> =>
    startBrokerProcess(t, {
      namesrvAddr,
      // Where slaves of RocketMQ ask for the tables.
      vipPortEnable: true,
      brokerName: NAME,
      slaveReadEnable: true,
      storePathRootDir: skylarkDir,
      ...options
    })

  let java: JavaServer = await startJavaBroker(t, namesrvAddr, javaOptions(javaDir, 0, 'SYNC_MASTER'))
  const admin = new Admin({ namesrvAddr })
  t.teardown(() => admin.close())
  const createTopic = (topicName: string, queues: number) =>
    admin.updateTopic(java.address, {
      ...topicConfigDefaults,
      topicName,
      readQueueNums: queues,
      writeQueueNums: queues
    })
  await createTopic(TOPIC, QUEUES)
  await createTopic(LATER, 1)
  const producer = new Producer({ group: 'PG', namesrvAddr, pollNameServerIntervalMs: 1000 })
  await producer.start()
  t.teardown(() => producer.close())
  const ledger: Ledger = new Map()
  let load = new Load(t, producer, ledger)
  await load.more(6000)

  t.comment('Skylark joins RocketMQ’s master as its slave, and catches up')
  const port = await freePort()
  let ours = await skylark({ brokerId: 1, brokerRole: 'SLAVE', listenPort: port })
  await inSync(admin, java.address)
  await ours.stop()
  await load.more(1000)
  ours = await skylark({ brokerId: 1, brokerRole: 'SLAVE', listenPort: port })
  await inSync(admin, java.address)
  await admin.updateBrokerConfig(java.address, { inSyncReplicas: '2' })
  await load.more(500)
  const consumed = await consume(namesrvAddr, 3000)
  const committed = async (address: string) => {
    const { queues } = await admin.consumeStatsOfBroker(address, 'CG', TOPIC)
    return queues.reduce((sum, { consumerOffset }) => sum + consumerOffset, 0)
  }
  const hasOffsets = async (address: string, count: number) => {
    let found = -1
    await until(
      async () => {
        found = await committed(address)
        return found === count
      },
      () => `the offsets at ${address}: they sum up to ${found} and not ${count}`
    )
  }
  await hasOffsets(ours.address, consumed.length)
  const { haClientRuntimeInfo } = await admin.haStatus(ours.address)
  t.equal(haClientRuntimeInfo.masterAddr, `127.0.0.1:${Number(java.address.split(':')[1]) + 1}`)

  const delayed = ['a level', 'a delay']
  await producer.send({ topic: LATER, body: delayed[0]!, delayLevel: 3 })
  await producer.send({ topic: LATER, body: delayed[1]!, delayMs: 10_000 })

  t.comment('RocketMQ’s master is killed, and Skylark takes over')
  await java.stop('SIGKILL')
  const end = await endOf(admin, ours.address)
  await ours.stop()
  sameBytes(t, javaDir, skylarkDir, end)
  ours = await skylark({ brokerId: 0, brokerRole: 'SYNC_MASTER', listenPort: port })
  await load.more(2000)
  const rest = await consume(namesrvAddr, 3000)
  const first = new Set(consumed)
  t.notOk(
    rest.some(place => first.has(place)),
    'consumers go on at their offsets'
  )
  const delivered = async () => [...(await readQueues(ours.address, LATER, 1)).values()].sort()
  await until(
    async () => (await delivered()).length >= delayed.length,
    () => 'the delayed messages'
  )

  t.comment('a new slave of RocketMQ joins Skylark’s master')
  java = await startJavaBroker(t, namesrvAddr, javaOptions(slaveDir, 1, 'SLAVE'))
  await inSync(admin, ours.address)
  // It asks for them a minute after its start.
  await hasOffsets(java.address, consumed.length + rest.length)
  t.same(await delivered(), delayed.sort(), 'what RocketMQ took, Skylark delivers once')
  await ours.stop()
  ours = await skylark({ brokerId: 0, brokerRole: 'SYNC_MASTER', inSyncReplicas: 2, listenPort: port })
  await inSync(admin, ours.address)
  await load.more(1000)
  await ours.kill()
  await load.stop()
  t.comment(`${load.acknowledged} acknowledged, ${load.failed} not`)

  t.comment('RocketMQ’s slave serves what Skylark acknowledged')
  holds(t, await readQueues(java.address, TOPIC, QUEUES), ledger)
  const slaveEnd = await endOf(admin, java.address)
  sameBytes(t, skylarkDir, slaveDir, slaveEnd)

  t.comment('and takes over; Skylark comes back as its slave, with an empty store')
  await java.stop()
  java = await startJavaBroker(t, namesrvAddr, javaOptions(slaveDir, 0, 'ASYNC_MASTER'))
  rmSync(skylarkDir, { recursive: true })
  ours = await skylark({ brokerId: 1, brokerRole: 'SLAVE', listenPort: port })
  load = new Load(t, producer, ledger)
  await load.more(500)
  await load.stop()
  await until(
    async () => (await endOf(admin, ours.address)) === (await endOf(admin, java.address)),
    () => 'all of the log'
  )
  holds(t, await readQueues(java.address, TOPIC, QUEUES), ledger)
  holds(t, await readQueues(ours.address, TOPIC, QUEUES), ledger)
  sameBytes(t, slaveDir, skylarkDir, await endOf(admin, ours.address))
})
