import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { BrokerOptions } from '../../broker/index.ts'
import { parseBody, RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { temporaryDirectory, until } from '../support/broker.ts'
import { holds, type Ledger, readQueues, sameLogs } from '../support/ledger.ts'
import { Line, openLink } from '../support/link.ts'
import { sendFields } from '../support/messages.ts'
import { type BrokerProcess, startBrokerProcess } from '../support/processes.ts'
import { below, seeded, shuffled, testSeed } from '../support/seeded.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const ROUNDS = LONG ? 30 : 4
const ACKNOWLEDGED_PER_ROUND = 1500
const QUEUES = 3
const IN_FLIGHT = 32
/** What happens to the slave, or to its link, in the middle of a round; for so many ms at most. */
const FAULTS = ['stop', 'hold', 'slow', 'refuse', 'tear'] as const
const FAULT_MS = LONG ? 15_000 : 400

const start = (t: Test, dir: string, options: Partial<BrokerOptions>): Promise<BrokerProcess> =>
  startBrokerProcess(t, {
    storePathRootDir: dir,
    slaveReadEnable: true,
    inSyncReplicas: 2,
    shutdownWaitTimeMs: 0,
    ...options,
    store: { mappedFileSizeCommitLogBytes: 1024 * 1024 }
  })

t.setTimeout(LONG ? 1_800_000 : 120_000)

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

async function caughtUp(master: BrokerProcess): Promise<void> {
  const client = new RemotingClient()
  await until('the slave has caught up', async () => {
    const answer = await client.invoke(master.address, request(RequestCode.GET_BROKER_HA_STATUS), 20_000)
    const status = parseBody(answer.body!) as { haConnectionInfo: { diff: number }[] }
    return status.haConnectionInfo.length === 1 && status.haConnectionInfo[0]!.diff === 0
  })
  await client.close()
}

t.test('what a sync master acknowledged is on its slave when it is killed; it returns as a slave', async t => {
  const seed = testSeed()
  t.comment(`SKYLARK_TEST_SEED=${seed}`)
  const random = seeded(seed)
  const ledger: Ledger = new Map()
  const line = new Line()
  let [masterDir, slaveDir] = [temporaryDirectory(t), temporaryDirectory(t)]
  let master: BrokerProcess
  let slave: BrokerProcess
  const startBoth = async () => {
    master = await start(t, masterDir, { brokerRole: 'SYNC_MASTER' })
    const masterAddress = await openLink(t, master.address, line)
    slave = await start(t, slaveDir, { brokerRole: 'SLAVE', brokerId: 1, masterAddress })
  }
  const disturb = async (fault: (typeof FAULTS)[number]) => {
    await delay(20)
    if (fault === 'stop') slave.process.kill('SIGSTOP')
    else if (fault === 'slow') line.slow(10 + below(random, 40))
    else line[fault]()
    await delay(50 + below(random, FAULT_MS))
    slave.process.kill('SIGCONT')
    line.pass()
  }
  await startBoth()
  let faults = shuffled(random, FAULTS)
  for (let round = 0; round < ROUNDS; round++) {
    // Before there is a slave nothing is acknowledged.
    await caughtUp(master!)
    if (faults.length === 0) faults = shuffled(random, FAULTS)
    const disturbed = disturb(faults.pop()!)
    await load(master!, ledger, `round ${round}`, () => master.kill())
    await disturbed
    await slave!.kill()
    const dirs = [slaveDir, masterDir]
    masterDir = dirs[0]!
    slaveDir = dirs[1]!
    await startBoth()
    // Of what it has it serves nothing before its slave has it, too.
    await caughtUp(master!)
    let found: Ledger = new Map()
    await until('it serves all', async () => {
      found = await readQueues(master!.address, 'orders', QUEUES)
      return found.size >= ledger.size
    })
    holds(t, found, ledger)
  }
  await caughtUp(master!)
  await master!.stop()
  await slave!.stop()
  sameLogs(t, masterDir, slaveDir)
})
