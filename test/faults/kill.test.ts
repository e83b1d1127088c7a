import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { checkStore } from '../../engine/index.ts'
import { decodeRecords } from '../../message/index.ts'
import { RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { SMALL_STORE, temporaryDirectory } from '../support/broker.ts'
import { pullFields, sendFields } from '../support/messages.ts'
import { type BrokerProcess, startBrokerProcess } from '../support/processes.ts'
import { below, type Random, seeded, testSeed } from '../support/seeded.ts'

const LONG = process.env.SKYLARK_TEST_PROFILE === 'long'
const ROUNDS = LONG ? 50 : 5
t.setTimeout(LONG ? 3_600_000 : 300_000)
const QUEUES = 4
const IN_FLIGHT = 64
const hashOf = (body: Uint8Array): string => createHash('sha1').update(body).digest('hex')

/** What was acknowledged: queue, offset, hash of the body. */
type Ledger = Map<number, Map<number, string>>

/** Sends until `count` messages are acknowledged, and kills the broker with the other sends under way. */
async function load(broker: BrokerProcess, ledger: Ledger, count: number, random: Random): Promise<void> {
  const client = new RemotingClient()
  let acknowledged = 0
  let killed: Promise<void> | null = null
  const sender = async () => {
    while (killed === null) {
      const queueId = below(random, QUEUES)
      const body = Buffer.from(`${random()}`.repeat(1 + below(random, 200)))
      const command = request(RequestCode.SEND_MESSAGE_V2, sendFields({ topic: 'orders', queueId }), body)
      const answer = await client.invoke(broker.address, command, 60_000).catch(error => {
        if (killed === null) throw error
      })
      if (answer === undefined) return
      if (answer.code !== ResponseCode.SUCCESS) throw new Error(`not stored: ${answer.remark}`)
      acknowledged++
      const offset = Number(answer.extFields!.queueOffset)
      const queue = ledger.get(queueId) ?? new Map<number, string>()
      if (queue.has(offset)) throw new Error(`offset ${offset} of queue ${queueId} was given twice`)
      ledger.set(queueId, queue.set(offset, hashOf(body)))
      if (acknowledged >= count) killed ??= broker.kill()
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender))
  await killed
  await client.close()
}

/** Reads every queue from its start, and holds it against the ledger. */
async function verify(t: Test, broker: BrokerProcess, ledger: Ledger): Promise<void> {
  const client = new RemotingClient()
  for (const [queueId, acknowledged] of ledger) {
    const found = new Map<number, string>()
    for (let offset = 0; ; ) {
      const fields = pullFields({ topic: 'orders', queueId, offset })
      const answer = await client.invoke(broker.address, request(RequestCode.PULL_MESSAGE, fields), 60_000)
      if (answer.code !== ResponseCode.SUCCESS) break
      for (const record of decodeRecords(answer.body!)) {
        if (record.queueOffset !== offset) t.fail(`queue ${queueId} goes from ${offset} to ${record.queueOffset}`)
        found.set(offset++, hashOf(record.body))
      }
    }
    const lost = [...acknowledged].filter(([offset, hash]) => found.get(offset) !== hash).map(([offset]) => offset)
    t.same(lost, [], `queue ${queueId}: all ${acknowledged.size} acknowledged messages are there`)
    // What was stored and not acknowledged in time keeps its place: later messages come behind it.
    for (const [offset, hash] of found) acknowledged.set(offset, hash)
  }
  await client.close()
}

for (const flushDiskType of ['ASYNC_FLUSH', 'SYNC_FLUSH'] as const)
  t.test(`${ROUNDS} kills under load lose nothing that was acknowledged (${flushDiskType})`, async t => {
    const seed = testSeed()
    t.comment(`SKYLARK_TEST_SEED=${seed}`)
    const random = seeded(seed)
    const options = { storePathRootDir: temporaryDirectory(t), store: { flushDiskType } }
    const ledger: Ledger = new Map()
    const restarts: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 2 === 1) {
        // A kill while it starts: the next start has to cope with a half-done recovery.
        let child: ChildProcess | undefined
        const starting = startBrokerProcess(t, options, started => {
          child = started
        }).catch(() => null)
        await delay(below(random, 200))
        child?.kill('SIGKILL')
        await starting
        if (child?.exitCode === null && child.signalCode === null) await once(child, 'exit')
      }
      const begun = performance.now()
      const broker = await startBrokerProcess(t, options)
      restarts.push(Math.round(performance.now() - begun))
      await verify(t, broker, ledger)
      await load(broker, ledger, 500 + below(random, 3000), random)
    }
    const broker = await startBrokerProcess(t, options)
    await verify(t, broker, ledger)
    await broker.stop()
    const { damageCount, findings } = await checkStore(options.storePathRootDir, { store: SMALL_STORE })
    t.equal(damageCount, 0, 'ConsumeQueues and index say what the log says')
    t.same(findings, [])
    const sorted = restarts.toSorted((a, b) => a - b)
    const messages = [...ledger.values()].reduce((sum, { size }) => sum + size, 0)
    t.comment(
      `${ROUNDS} kills, ${messages} messages: restarts took ${sorted[Math.floor(sorted.length / 2)]} ms, at most ${sorted.at(-1)} ms`
    )
  })
