// How long a start takes after a kill: node dist/bench/recovery.js [--gib 1,10] [--folder /tmp] [--json]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { messageOf, openStore, type PutWaiter } from '../engine/index.ts'

const GIB = 1024 ** 3
const BODY_BYTES = 1024
const QUEUES = 8
/** Messages that are put in one turn of the event loop. */
const TURN = 256

const options = new Command('bench:recovery')
  .description(
    'Fills a store, kills its process amid writing, and measures how long it takes until the store is open again.'
  )
  .option('--gib <sizes>', 'sizes of the log, with commas', '1,10')
  .option('--folder <path>', 'where the store is made', '/tmp')
  .option('--json', 'print the figures as JSON', false)
  .option('--fill <folder,bytes>', 'used by itself: fills a store until it is killed')
  .parse()
  .opts<{ gib: string; folder: string; json: boolean; fill?: string }>()

/** Puts messages until the log has so many bytes, tells the parent, and goes on until it is killed. */
async function fill(dir: string, bytes: number): Promise<void> {
  const store = await openStore(dir)
  const message = messageOf({
    topic: 'bench',
    body: Buffer.alloc(BODY_BYTES, 'x'),
    keys: ['order-1'],
    tag: 'A',
    properties: { UNIQ_KEY: '7F0000010A2B18B4AAC2123456789ABC' }
  })
  let told = false
  for (let n = 0; ; ) {
    await new Promise<void>(resolve => {
      let left = TURN
      const waiter: PutWaiter = {
        onPut: () => {
          if (--left === 0) resolve()
        }
      }
      for (let i = 0; i < TURN; i++) {
        message.queueId = n++ % QUEUES
        store.put(message, waiter)
      }
    })
    if (n % 8192 === 0) await new Promise(resolve => setImmediate(resolve))
    process.send?.({ written: store.maxPhysicalOffset })
    if (!told && store.maxPhysicalOffset >= bytes) {
      told = true
      process.send?.({ full: true })
    }
  }
}

async function measure(
  gib: number,
  folder: string
): Promise<{ gib: number; ms: number; scannedMiB: number; messages: number }> {
  const root = mkdtempSync(join(folder, 'skylark-recovery-'))
  const dir = join(root, 'store')
  try {
    const bar = new SingleBar({
      format: 'filling {bar} {percentage}% of {total} MiB',
      stream: process.stderr,
      noTTYOutput: false
    })
    bar.start(gib * 1024, 0)
    const child = fork(fileURLToPath(import.meta.url), ['--fill', `${dir},${gib * GIB}`])
    await new Promise<void>((resolve, reject) => {
      child.on('message', (message: { written?: number; full?: boolean }) => {
        if (message.written !== undefined) bar.update(Math.min(gib * 1024, Math.round(message.written / 1024 ** 2)))
        if (message.full) resolve()
      })
      child.once('exit', code => reject(new Error(`filling the store ended with ${code}`)))
    })
    bar.stop()
    child.kill('SIGKILL')
    await once(child, 'exit')
    let scannedBytes = 0
    const begun = performance.now()
    const store = await openStore(
      dir,
      {},
      {
        onProgress: ({ totalBytes }) => {
          scannedBytes = totalBytes
        }
      }
    )
    const ms = Math.round(performance.now() - begun)
    let messages = 0
    for (let queueId = 0; queueId < QUEUES; queueId++) messages += store.maxQueueOffset('bench', queueId)
    await store.close()
    return { gib, ms, scannedMiB: Math.round(scannedBytes / 1024 ** 2), messages }
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

if (options.fill !== undefined) {
  const [dir, bytes] = options.fill.split(',')
  await fill(dir!, Number(bytes))
} else {
  const results = []
  for (const gib of options.gib.split(',').map(Number)) {
    const result = await measure(gib, options.folder)
    results.push(result)
    if (!options.json)
      console.log(
        `${gib} GiB, ${result.messages.toLocaleString('en')} messages: open again ${result.ms.toLocaleString('en')} ms after SIGKILL; ${result.scannedMiB} MiB of the log were read`
      )
  }
  if (options.json) console.log(JSON.stringify(results))
}
