// What a consumer that reads old data costs those who produce: node dist/bench/cold-reads.js [--gib 4] [--rate 20000]
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Command } from 'commander'
import { storeDefaults } from '../engine/index.ts'
import { BINARY_HEADER } from '../net/index.ts'
import { createTopic, fill, startSendLoad } from './load.ts'
import { scratchFolder, skylark } from './targets.ts'

const options = new Command('bench:cold-reads')
  .description(
    'Fills a store, and sends at a fixed rate: in turns alone, and beside a consumer in a process of its own that reads all queues from their start, from the disk.'
  )
  .option('--gib <size>', 'size of the log', Number, 4)
  .option('--rate <n>', 'messages a second', Number, 20_000)
  .option('--seconds <n>', 'of each measurement', Number, 8)
  .option('--rounds <n>', 'how often each is measured', Number, 5)
  .option('--rest <ratio>', 'coldReadRestRatio of the broker', Number, storeDefaults.coldReadRestRatio)
  .option('--folder <path>', 'where the store is made', '/tmp')
  .option('--json', 'print the figures as JSON', false)
  .parse()
  .opts<{ gib: number; rate: number; seconds: number; rounds: number; rest: number; folder: string; json: boolean }>()

const BODY_BYTES = 1024
const RECORD_BYTES = 1250
const QUEUES = 8
const WARM_UP_S = 2

const scratch = scratchFolder(options.folder)
const running = await skylark(scratch.path, 'async', { coldReadRestRatio: options.rest }).start()
try {
  const { address } = running
  const send = { address, queueCount: QUEUES, serializeType: BINARY_HEADER, bodyBytes: BODY_BYTES } as const
  for (const topic of ['old', 'new']) await createTopic(address, topic, QUEUES)
  const count = Math.round((options.gib * 1024 ** 3) / RECORD_BYTES)
  process.stderr.write(`filling the log with ${count.toLocaleString('en')} messages …\n`)
  await fill({ ...send, topic: 'old', inFlight: 256, limit: count })

  const measure = async () => {
    const load = await startSendLoad({ ...send, topic: 'new', inFlight: 256, ratePerSecond: options.rate })
    await delay(WARM_UP_S * 1000)
    load.recorder.measuring = true
    await delay(options.seconds * 1000)
    load.recorder.measuring = false
    await load.stop()
    return load.recorder.latency
  }
  const measureBesideConsumer = async () => {
    const consumer = fork(new URL('./cold-consumer.js', import.meta.url), [address, 'old', String(QUEUES)])
    await once(consumer, 'message')
    const latency = await measure()
    const read = once(consumer, 'message')
    consumer.send('stop')
    return { ...latency, read: (await read)[0] as number }
  }

  const rounds = []
  for (let round = 1; round <= options.rounds; round++) {
    const alone = await measure()
    dropFromMemory(scratch.path)
    const beside = await measureBesideConsumer()
    rounds.push({ alone, beside })
    process.stderr.write(`round ${round} of ${options.rounds}: ${ms(alone.p99)} and ${ms(beside.p99)}\n`)
  }
  const alone = middle(rounds.map(({ alone }) => alone))
  const beside = middle(rounds.map(({ beside }) => beside))
  const change = beside.p99 / alone.p99 - 1
  if (options.json) console.log(JSON.stringify({ rounds, change }))
  else {
    const line = (what: string, { p50, p99, p999 }: typeof alone) =>
      console.log(`${what.padEnd(42)} p50 ${ms(p50)}, p99 ${ms(p99)}, p99.9 ${ms(p999)}`)
    console.log(
      `${options.rate.toLocaleString('en')} sends/s, the round whose p99 is in the middle of ${options.rounds}`
    )
    line('alone:', alone)
    line('beside a consumer of old data:', beside)
    const readPerSecond = Math.round(beside.read / (WARM_UP_S + options.seconds))
    console.log(
      `it read ${readPerSecond.toLocaleString('en')} messages/s; it changes p99 by ${(100 * change).toFixed(0)} %`
    )
  }
} finally {
  await running.stop()
  scratch.remove()
}

function ms(us: number): string {
  return `${(us / 1000).toFixed(2)} ms`
}

/** The measurement whose p99 is in the middle. */
function middle<M extends { p99: number }>(measurements: readonly M[]): M {
  return [...measurements].sort((a, b) => a.p99 - b.p99)[Math.floor(measurements.length / 2)]!
}

/** Takes a log out of the page cache, but for its two newest files, which are written or will be. */
function dropFromMemory(store: string): void {
  execFileSync('sync')
  const files = readdirSync(store, { recursive: true, withFileTypes: true }).filter(
    file => file.isFile() && file.parentPath.includes('commitlog')
  )
  for (const { parentPath, name } of files.sort((a, b) => Number(a.name) - Number(b.name)).slice(0, -2)) {
    const path = join(parentPath, name)
    // Whoever reads a file this way takes it out.
    if (existsSync(path)) execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' })
  }
}
