// The engine's hot paths by themselves, without a socket: node dist/bench/engine.js [--body 1024] [--turn 256] [--folder /tmp]
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import benny from 'benny'
import { Command } from 'commander'
import { type MessageStore, messageOf, openStore, type PutMessage, type PutWaiter } from '../engine/index.ts'

const QUEUES = 8
const READ_COUNT = 32
/** Messages that are there before reading begins. */
const FILLED = 20_000

const options = new Command('bench:engine')
  .description('Puts and reads messages in one process. Figures are turns a second: a turn is so many messages.')
  .option('--body <bytes>', 'size of a message', '1024')
  .option('--turn <count>', 'messages that are put in one turn of the event loop', '256')
  .option('--folder <path>', 'where the store is made', '/tmp')
  .parse()
  .opts<{ body: string; turn: string; folder: string }>()
const bodyBytes = Number(options.body)
const turn = Number(options.turn)

function benchMessage(number: number): PutMessage {
  return messageOf({
    topic: 'bench',
    queueId: number % QUEUES,
    body: Buffer.alloc(bodyBytes, 'x'),
    tag: 'A',
    properties: { UNIQ_KEY: `7F0000010A2B18B4AAC2${String(number).padStart(12, '0')}` }
  })
}

/** Puts one turn's messages; resolves when all are acknowledged. */
function putTurn(store: MessageStore, messages: readonly PutMessage[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = messages.length
    const waiter: PutWaiter = {
      onPut: (status, _physicalOffset, _queueOffset, _storeTimestamp, reason) => {
        if (status !== 0) reject(new Error(reason ?? `status ${status}`))
        if (--left === 0) resolve()
      }
    }
    for (const message of messages) store.put(message, waiter)
  })
}

const dir = mkdtempSync(join(options.folder, 'skylark-engine-'))
const asynchronous = await openStore(join(dir, 'async'))
const synchronous = await openStore(join(dir, 'sync'), { flushDiskType: 'SYNC_FLUSH' })
const filled = await openStore(join(dir, 'filled'))
const messages = Array.from({ length: turn }, (_, i) => benchMessage(i))
const one = messages.slice(0, 1)
for (let put = 0; put < FILLED; put += turn) await putTurn(filled, messages)
const end = filled.maxQueueOffset('bench', 0)
let next = 0
const offset = () => {
  next = (next + READ_COUNT) % (end - READ_COUNT)
  return next
}

try {
  await benny.suite(
    `engine: ${bodyBytes} bytes, ${turn} messages a turn, ${QUEUES} queues`,
    benny.add(`put ${turn}, asynchronous flush`, () => putTurn(asynchronous, messages)),
    benny.add('put 1, asynchronous flush', () => putTurn(asynchronous, one)),
    benny.add(`put ${turn}, synchronous flush`, () => putTurn(synchronous, messages)),
    benny.add(`get ${READ_COUNT}, in memory`, () => {
      const result = filled.getMessages('bench', 0, offset(), READ_COUNT)
      if (result instanceof Promise) throw new Error('what was just put is read from the disk')
      if (result.slices.length !== READ_COUNT) throw new Error(result.status)
    }),
    benny.add('look up a unit', () => {
      if (filled.unitAt('bench', 1, offset()) === null) throw new Error('no unit')
    }),
    benny.cycle(),
    benny.complete()
  )
} finally {
  await filled.close()
  await asynchronous.close()
  await synchronous.close()
  rmSync(dir, { recursive: true, force: true })
}
