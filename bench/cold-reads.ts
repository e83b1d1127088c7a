// What a consumer that reads old data costs those who produce: node dist/bench/cold-reads.js [--gib 4] [--rate 20000]
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Command } from 'commander'
import { BINARY_HEADER } from '../net/index.ts'
import { createTopic, fill, startPullLoad, startSendLoad } from './load.ts'
import { scratchFolder, skylark } from './targets.ts'

const options = new Command('bench:cold-reads')
  .description(
    'Fills a store, drops its log from memory, and sends at a fixed rate: first alone, then beside a consumer that reads from the start.'
  )
  .option('--gib <size>', 'size of the log', Number, 4)
  .option('--rate <n>', 'messages a second', Number, 20_000)
  .option('--seconds <n>', 'of each measurement', Number, 8)
  .option('--folder <path>', 'where the store is made', '/tmp')
  .option('--json', 'print the figures as JSON', false)
  .parse()
  .opts<{ gib: number; rate: number; seconds: number; folder: string; json: boolean }>()

const BODY_BYTES = 1024
const RECORD_BYTES = 1250
const QUEUES = 8

const scratch = scratchFolder(options.folder)
const running = await skylark(scratch.path, 'async').start()
try {
  const { address } = running
  const send = { address, queueCount: QUEUES, serializeType: BINARY_HEADER, bodyBytes: BODY_BYTES } as const
  for (const topic of ['old', 'new']) await createTopic(address, topic, QUEUES)
  const count = Math.round((options.gib * 1024 ** 3) / RECORD_BYTES)
  process.stderr.write(`filling the log with ${count.toLocaleString('en')} messages …\n`)
  await fill({ ...send, topic: 'old', inFlight: 256, limit: count })

  const measure = async () => {
    const load = await startSendLoad({ ...send, topic: 'new', inFlight: 256, ratePerSecond: options.rate })
    await delay(2000)
    load.recorder.measuring = true
    await delay(options.seconds * 1000)
    load.recorder.measuring = false
    await load.stop()
    return load.recorder.latency
  }
  const measureBeside = async (topic: string) => {
    const pulls = await startPullLoad({
      ...{ address, topic, queueCount: QUEUES, serializeType: BINARY_HEADER },
      ...{ inFlight: 1, batch: 32 }
    })
    pulls.recorder.measuring = true
    const latency = await measure()
    const pulled = pulls.recorder.messages
    await pulls.stop()
    return { ...latency, pulled }
  }
  const alone = await measure()
  // What a consumer costs that reads as fast as it can, without any disk.
  const besideRecent = await measureBeside('new')

  // Whoever reads a file this way takes it out of the page cache.
  execFileSync('sync')
  for (const name of readdirSync(scratch.path, { recursive: true, withFileTypes: true }))
    if (name.isFile() && name.parentPath.includes('commitlog')) {
      const path = join(name.parentPath, name.name)
      if (existsSync(path)) execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' })
    }
  const besideOld = await measureBeside('old')

  const change = besideOld.p99 / besideRecent.p99 - 1
  if (options.json) console.log(JSON.stringify({ alone, besideRecent, besideOld, change }))
  else {
    const ms = (us: number) => `${(us / 1000).toFixed(2)} ms`
    const line = (what: string, { p50, p99, p999 }: typeof alone) =>
      console.log(`${what.padEnd(42)} p50 ${ms(p50)}, p99 ${ms(p99)}, p99.9 ${ms(p999)}`)
    const read = ({ pulled }: { pulled: number }) => `it read ${pulled.toLocaleString('en')} messages`
    console.log(`${options.rate.toLocaleString('en')} sends/s`)
    line('alone:', alone)
    line('beside a consumer of recent data:', besideRecent)
    line('beside a consumer of old data:', besideOld)
    console.log(`recent: ${read(besideRecent)}; old: ${read(besideOld)}`)
    console.log(`that the data is old changes p99 by ${(100 * change).toFixed(0)} %`)
  }
} finally {
  await running.stop()
  scratch.remove()
}
