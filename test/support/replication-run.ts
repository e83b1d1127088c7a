import { createHash } from 'node:crypto'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { plant } from './replication-faults.ts'
import { below, oneOf, seeded } from './seeded.ts'
import { SimulatedBrokers } from './simulated-brokers.ts'
import { disturb } from './simulated-disturbance.ts'

const DISTURBANCES = 10
/** How long a set has to come together again. */
const PATIENCE = 100

/** What seeds lead to. */
export interface Outcome {
  masterChanges: number
  acknowledged: number
  /** Of all that happened. */
  digest: string
  /** The first seed that failed, and why; null when none did. */
  failure: string | null
  /** What happened in it. */
  story: readonly string[]
}

/** Runs sets of brokers through what `count` seeds decide, up to the first failure; with a fault that is planted in the code. */
export function runSeeds(first: number, count: number, fault: string | null = null): Promise<Outcome> {
  // A thread of its own: code is changed there, and the test runner does not look at each promise.
  const worker = new Worker(new URL(import.meta.url), { workerData: { first, count, fault }, execArgv: [] })
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

async function runSeed(seed: number): Promise<SimulatedBrokers> {
  const random = seeded(seed)
  const count = oneOf(random, [2, 3, 3, 3, 5])
  const elects = random() < 0.7
  const inSyncReplicas = 1 + below(random, count)
  const set = new SimulatedBrokers(random, {
    count,
    elects,
    role: random() < 0.85 ? 'SYNC_MASTER' : 'ASYNC_MASTER',
    inSyncReplicas,
    minInSyncReplicas: 1 + below(random, elects ? 3 : inSyncReplicas),
    flushDiskType: random() < 0.5 ? 'ASYNC_FLUSH' : 'SYNC_FLUSH'
  })
  try {
    await set.run(2000)
    for (let i = 0; i < DISTURBANCES; i++) {
      disturb(set)
      await set.run(20 + below(random, 1200))
    }
    set.heal()
    for (let i = 0; i < PATIENCE && !set.isWhole; i++) await set.run(300, false)
    if (!set.isWhole) set.fail('the set does not come together again')
    set.checkLogs()
  } catch (error) {
    set.fail((error as Error).stack!)
  }
  set.close()
  return set
}

if (!isMainThread) {
  const { first, count, fault } = workerData as { first: number; count: number; fault: string | null }
  // The one thing that looks at the real time: recovery's slices.
  performance.now = () => 0
  if (fault !== null) plant(fault)
  const outcome: Outcome = { masterChanges: 0, acknowledged: 0, digest: '', failure: null, story: [] }
  const hash = createHash('sha1')
  for (let seed = first; seed < first + count && outcome.failure === null; seed++) {
    const set = await runSeed(seed)
    outcome.masterChanges += set.masterChanges
    outcome.acknowledged += set.ledger.acknowledgedCount
    for (const event of set.story) hash.update(event)
    if (set.failure === null) continue
    outcome.failure = `seed ${seed}: ${set.failure.message}`
    outcome.story = set.story
  }
  outcome.digest = hash.digest('hex')
  parentPort!.postMessage(outcome)
}
