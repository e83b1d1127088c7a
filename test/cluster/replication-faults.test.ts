import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { decodeRecords } from '../../message/index.ts'
import { parseBody, RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { temporaryDirectory, until } from '../support/broker.ts'
import { pullFields, sendFields } from '../support/messages.ts'
import { type BrokerProcess, startBrokerProcess } from '../support/processes.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const ROUNDS = LONG ? 30 : 4
const ACKNOWLEDGED_PER_ROUND = 1500
const QUEUES = 3
const IN_FLIGHT = 32
/** How long a slave stands still in the middle of a round. */
const PAUSE_MS = 300

/** Body of each acknowledged message by `queue/offset`. */
type Ledger = Map<string, string>

const start = (t: Test, dir: string, options: Partial<BrokerOptions>): Promise<BrokerProcess> =>
  startBrokerProcess(t, {
    storePathRootDir: dir,
    slaveReadEnable: true,
    inSyncReplicas: 2,
    shutdownWaitTimeMs: 0,
    ...options,
    store: { mappedFileSizeCommitLogBytes: 1024 * 1024 }
  })

/** Sends until so many are acknowledged, then runs `fault` with the others under way. */
async function load(master: BrokerProcess, ledger: Ledger, label: string, fault: () => Promise<void>): Promise<void> {
  const client = new RemotingClient()
  let acknowledged = 0
  let sent = 0
  let fallen: Promise<void> | null = null
  const sender = async () => {
    while (fallen === null) {
      const body = `${label} ${sent++} ${'x'.repeat((sent * 37) % 3000)}`
      const queueId = sent % QUEUES
      const command = request(RequestCode.SEND_MESSAGE_V2, sendFields({ topic: 'orders', queueId }), Buffer.from(body))
      const answer = await client.invoke(master.address, command, 20_000).catch(error => {
        if (fallen === null) throw error
      })
      if (answer === undefined) return
      // What no slave confirmed in time is stored, but nobody promised anything.
      if (answer.code === ResponseCode.FLUSH_SLAVE_TIMEOUT) continue
      if (answer.code !== ResponseCode.SUCCESS) throw new Error(`not stored: ${answer.remark}`)
      ledger.set(`${queueId}/${answer.extFields!.queueOffset}`, body)
      if (++acknowledged >= ACKNOWLEDGED_PER_ROUND) fallen ??= fault()
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender))
  await fallen
  await client.close()
}

/** Every message of the ledger is where its acknowledgement said. */
async function holds(t: Test, broker: BrokerProcess, ledger: Ledger): Promise<void> {
  const client = new RemotingClient()
  const missing = new Map(ledger)
  for (let queueId = 0; queueId < QUEUES; queueId++)
    for (let offset = 0; ; ) {
      const fields = pullFields({ topic: 'orders', queueId, offset })
      const answer = await client.invoke(broker.address, request(RequestCode.PULL_MESSAGE, fields), 20_000)
      if (answer.code !== ResponseCode.SUCCESS) break
      for (const { queueOffset, body } of decodeRecords(answer.body!)) {
        const place = `${queueId}/${queueOffset}`
        if (missing.get(place) === Buffer.from(body).toString()) missing.delete(place)
        offset = queueOffset + 1
      }
    }
  t.same([...missing.keys()].slice(0, 5), [], `all ${ledger.size} acknowledged messages are on the survivor`)
  await client.close()
}

async function caughtUp(master: BrokerProcess): Promise<void> {
  const client = new RemotingClient()
  await until('the slave has caught up', async () => {
    const answer = await client.invoke(master.address, request(RequestCode.GET_BROKER_HA_STATUS), 20_000)
    const status = parseBody(answer.body!) as { haConnectionInfo: { diff: number }[] }
    return status.haConnectionInfo.length === 1 && status.haConnectionInfo[0]!.diff === 0
  })
  await client.close()
}

const logOf = (dir: string) =>
  readdirSync(join(dir, 'commitlog')).map(name => [name, readFileSync(join(dir, 'commitlog', name)).toString('base64')])

t.test('what a sync master acknowledged is on its slave when it is killed; it returns as a slave', async t => {
  const ledger: Ledger = new Map()
  let [masterDir, slaveDir] = [temporaryDirectory(t), temporaryDirectory(t)]
  let master = await start(t, masterDir, { brokerRole: 'SYNC_MASTER' })
  let slave = await start(t, slaveDir, { brokerRole: 'SLAVE', brokerId: 1, masterAddress: master.address })
  for (let round = 0; round < ROUNDS; round++) {
    // Before there is a slave nothing is acknowledged.
    await caughtUp(master)
    const pause = async () => {
      await delay(20)
      slave.process.kill('SIGSTOP')
      await delay(PAUSE_MS)
      slave.process.kill('SIGCONT')
    }
    const paused = round % 2 === 1 ? pause() : Promise.resolve()
    await load(master, ledger, `round ${round}`, () => master.kill())
    await paused
    await slave.kill()
    const roles = [slaveDir, masterDir]
    masterDir = roles[0]!
    slaveDir = roles[1]!
    master = await start(t, masterDir, { brokerRole: 'SYNC_MASTER' })
    await holds(t, master, ledger)
    slave = await start(t, slaveDir, { brokerRole: 'SLAVE', brokerId: 1, masterAddress: master.address })
  }
  await caughtUp(master)
  await master.stop()
  await slave.stop()
  const [one, other] = [logOf(masterDir), logOf(slaveDir)]
  t.same(
    one.map(([name]) => name),
    other.map(([name]) => name)
  )
  for (const [i, [name, bytes]] of one.entries()) t.ok(bytes === other[i]![1], `${name} is byte-identical`)
})
