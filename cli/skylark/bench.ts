import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'hdr-histogram-js'
import { Admin, Producer, PullConsumer, topicConfigDefaults } from '../../client/index.ts'
import { count, duration, progress, styled } from './terminal.ts'

export interface BenchOptions {
  namesrv?: string
  count: number
  size: number
  inFlight: number
  json: boolean
}

interface Measured {
  seconds: number
  perSecond: number
  mibPerSecond: number
}

const QUEUES = 8
const WARM_UP = 5000
const MIB = 1024 * 1024
const ROUTE_WAIT_MS = 20
const ROUTE_TRIES = 500

/** Sends messages, reads them again, and tells how fast that was. */
export async function bench(options: BenchOptions): Promise<void> {
  if (options.namesrv !== undefined) {
    await measure(options, options.namesrv, options.namesrv)
    return
  }
  const own = await startBroker()
  try {
    await measure(options, own.namesrv, `${own.broker}, started for this`)
  } finally {
    await own.stop()
  }
}

/** A NameServer and a broker in a process of their own, on free ports, with a store that is removed afterwards. */
async function startBroker(): Promise<{ namesrv: string; broker: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'skylark-bench-'))
  const args = ['start', '--data-dir', folder, '--port', '0', '--namesrv-port', '0']
  const child = fork(process.argv[1]!, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    return { ...(await addressesOf(child)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const addressesOf = (child: ChildProcess): Promise<{ namesrv: string; broker: string }> =>
  new Promise((resolve, reject) => {
    child.once('message', message => resolve(message as { namesrv: string; broker: string }))
    child.once('exit', code => reject(Object.assign(new Error('the broker did not start'), { code })))
  })

async function measure(options: BenchOptions, namesrvAddr: string, where: string): Promise<void> {
  const admin = new Admin({ namesrvAddr })
  const topic = `skylark-bench-${Date.now().toString(36)}`
  const { count: total, size, inFlight, json } = options
  const print = (text: string) => process.stdout.write(json ? '' : `${text}\n`)
  print(`${count(total)} messages of ${count(size)} bytes, ${count(inFlight)} in flight, ${QUEUES} queues (${where})`)
  print('')
  const clusters = await createTopic(admin, topic)
  try {
    const { sent, latency } = await send(namesrvAddr, topic, options)
    print(row('sent', total, sent))
    const at = (percentile: number) => duration(latency.getValueAtPercentile(percentile) / 1000)
    const parts = [`p50 ${at(50)}`, `p99 ${at(99)}`, `p99.9 ${at(99.9)}`, `max ${duration(latency.maxValue / 1000)}`]
    print(`  ${'latency'.padEnd(10)}${parts.join('   ')}`)
    const read = await consume(namesrvAddr, topic, total + warmUpOf(options))
    print(row('consumed', total + warmUpOf(options), read))
    if (json) {
      const ms = (percentile: number) => latency.getValueAtPercentile(percentile) / 1000
      const latencyMs = { p50: ms(50), p99: ms(99), p999: ms(99.9), max: latency.maxValue / 1000 }
      process.stdout.write(
        `${JSON.stringify({ count: total, size, inFlight, queues: QUEUES, sent, latencyMs, read })}\n`
      )
    }
  } finally {
    for (const cluster of clusters) await admin.deleteTopic(topic, cluster).catch(() => {})
    await admin.close()
  }
}

/** Creates the topic on every master, and waits until its route is known. */
async function createTopic(admin: Admin, topicName: string): Promise<string[]> {
  const { clusterAddrTable, brokerAddrTable } = await admin.clusterInfo()
  const config = { ...topicConfigDefaults, topicName, readQueueNums: QUEUES, writeQueueNums: QUEUES }
  for (const { brokerAddrs } of Object.values(brokerAddrTable)) {
    const master = brokerAddrs.get(0)
    if (master !== undefined) await admin.updateTopic(master, config)
  }
  for (let i = 0; ; i++) {
    try {
      await admin.topicRoute(topicName)
      return Object.keys(clusterAddrTable)
    } catch (error) {
      if (i === ROUTE_TRIES) throw error
      await new Promise(resolve => setTimeout(resolve, ROUTE_WAIT_MS))
    }
  }
}

/** The first messages pay for connections, for code that is not compiled yet, and for memory that is touched first. */
const warmUpOf = ({ count: total }: BenchOptions): number => Math.min(WARM_UP, total)

async function send(namesrvAddr: string, topic: string, options: BenchOptions) {
  const { count: total, size, inFlight } = options
  const producer = new Producer({ group: 'skylark-bench', namesrvAddr, compressBodyOverBytes: 1 << 30 })
  await producer.start()
  const body = Buffer.alloc(size, 'skylark ')
  // Microseconds, up to a minute.
  const latency = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3
  })
  const sendAll = async (wanted: number, onSent: (done: number, tookMs: number) => void) => {
    let begun = 0
    let done = 0
    const worker = async () => {
      while (begun < wanted) {
        begun++
        const begin = performance.now()
        await producer.send({ topic, body })
        onSent(++done, performance.now() - begin)
      }
    }
    await Promise.all(Array.from({ length: Math.min(inFlight, wanted) }, worker))
  }
  try {
    await sendAll(warmUpOf(options), () => {})
    const bar = await progress('sending', total)
    const begin = performance.now()
    await sendAll(total, (done, tookMs) => {
      latency.recordValue(Math.round(tookMs * 1000))
      bar.update(done)
    })
    const ms = performance.now() - begin
    bar.stop()
    return { sent: measured(total, size, ms), latency }
  } finally {
    await producer.close()
  }
}

async function consume(namesrvAddr: string, topic: string, total: number): Promise<Measured> {
  const consumer = new PullConsumer({
    group: 'skylark-bench',
    namesrvAddr,
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    pullBatchSize: 32
  })
  consumer.subscribe(topic)
  const bar = await progress('reading', total)
  let read = 0
  let bytes = 0
  const begin = performance.now()
  await consumer.start()
  try {
    while (read < total) {
      for (const message of await consumer.poll()) {
        read++
        bytes += message.body.length
      }
      bar.update(read)
    }
    const ms = performance.now() - begin
    return measured(read, bytes / read, ms)
  } finally {
    bar.stop()
    await consumer.close()
  }
}

const measured = (total: number, size: number, ms: number): Measured => ({
  seconds: ms / 1000,
  perSecond: (total / ms) * 1000,
  mibPerSecond: ((total * size) / MIB / ms) * 1000
})

function row(label: string, total: number, { seconds, perSecond, mibPerSecond }: Measured): string {
  const rate = styled(process.stdout, 'bold', `${count(perSecond)}/s`)
  return `  ${label.padEnd(10)}${count(total)} in ${duration(seconds * 1000)}   ${rate}   ${count(mibPerSecond)} MiB/s`
}
