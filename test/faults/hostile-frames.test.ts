import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { deflateSync } from 'node:zlib'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  encodeCommand,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  SendMessageV2Header
} from '../../net/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { decodeOne } from '../support/frames.ts'
import { startBrokerProcess } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { allRecordings, mqadminNames, mqadminRecording } from '../support/recordings.ts'
import { until } from '../support/until.ts'

// Peers that send anything but what they should. After each of them somebody else must be served as before, the process
// must be the same, and its memory must have stayed within bounds.

const MIB = 1024 * 1024
const SEED = Number(process.env.SEED ?? 20_260_501)

interface Target {
  address: string
  process: ChildProcess
  /** Something that is answered the same at any time. */
  canary: { ask: RemotingCommand; code: number }
  /** Asks something the answer of which repeats a text. */
  echo: (text: string) => RemotingCommand
}

/** Resident memory of a process in bytes; 0 where nobody tells. */
function residentBytes({ pid }: ChildProcess): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

async function nameServer(t: Test): Promise<Target> {
  const child = fork(new URL('../support/name-server-process.js', import.meta.url))
  t.teardown(() => child.kill('SIGKILL'))
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  const echo = (topic: string) => request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
  return { address, process: child, canary: { ask: echo('nobody-has-this'), code: ResponseCode.TOPIC_NOT_EXIST }, echo }
}

async function broker(t: Test): Promise<Target> {
  const started = await startBrokerProcess(t, { storePathRootDir: temporaryDirectory(t) })
  const echo = (consumerGroup: string) => request(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup })
  return { ...started, canary: { ask: request(9999), code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED }, echo }
}

/** What a target does to others after a hostile peer. */
class Canary {
  private readonly target: Target
  private readonly peer: RawClient

  constructor(target: Target, peer: RawClient) {
    this.target = target
    this.peer = peer
  }

  static async open(t: Test, target: Target): Promise<Canary> {
    const peer = await RawClient.open(target.address)
    t.teardown(() => peer.close())
    return new Canary(target, peer)
  }

  async check(after: string): Promise<void> {
    const { ask, code } = this.target.canary
    const answer = await Promise.race([
      this.peer.ask(ask).catch((error: Error) => error),
      new Promise(resolve => setTimeout(resolve, 20_000, new Error('no answer in 20 s')).unref())
    ])
    if ((answer as RemotingCommand).code !== code) throw new Error(`the canary fell after ${after}: ${answer}`)
    if (this.target.process.exitCode !== null) throw new Error(`the process ended after ${after}`)
  }
}

/** What clients and tools really send to a target, once for each code. */
function recordedRequests(routes: readonly string[]): RemotingCommand[] {
  const byCode = new Map<number, RemotingCommand>()
  const frames = [...allRecordings(), ...mqadminNames().flatMap(name => [...mqadminRecording(name)])]
  for (const { route, dir, frame, header } of frames)
    if (routes.includes(route) && dir === 'c2s' && !(header.flag & 1) && !byCode.has(header.code))
      byCode.set(header.code, decodeOne(frame))
  return [...byCode.values()]
}

const nasty = fc.oneof(
  fc.constantFrom('', '-1', '0', '2147483647', '-2147483648', '9223372036854775807', '99999999999999999999', 'NaN'),
  fc.constantFrom('1e9', 'true', '%RETRY%', '%RETRY%x', '../../../x', '__proto__', 'constructor', 'null', '{}', '||'),
  fc.constantFrom('\u0000', '\u0001\u0002\u0001', '标'.repeat(100), 'x'.repeat(300), 'x'.repeat(40_000)),
  fc.string({ unit: 'binary', maxLength: 20 })
)
const body = fc.oneof(
  fc.constantFrom('', '{', '[]', '{}', 'null', '[null]', '{"$ref":"$"}', '{"a":{"$ref":"$.a"}}', '['.repeat(5000)),
  fc.constantFrom('{"mqSet":[null,1,"x",{}]}', '{"consumerDataSet":[null,{"groupName":5}],"clientID":{}}'),
  fc.constantFrom('{"topicConfigSerializeWrapper":{"topicConfigTable":{"__proto__":{},"x":null}}}'),
  fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes).toString('latin1'))
)

/** A request that is well formed as a frame, and wrong in what it says. */
const wrongContent = (commands: readonly RemotingCommand[]): fc.Arbitrary<Buffer> =>
  fc
    .record({
      command: fc.constantFrom(...commands),
      values: fc.array(fc.tuple(fc.nat(), nasty), { maxLength: 3 }),
      missing: fc.array(fc.nat(), { maxLength: 1 }),
      body: fc.option(body),
      serializeType: fc.constantFrom(0 as const, 1 as const)
    })
    .map(({ command, values, missing, body, serializeType }) => {
      const fields = { ...command.extFields }
      const names = Object.keys(fields)
      for (const [n, value] of values) if (names.length > 0) fields[names[n % names.length]!] = value
      for (const n of missing) if (names.length > 0) delete fields[names[n % names.length]!]
      const changed = { ...command, extFields: fields, opaque: 1, serializeType }
      return encodeCommand(body === null ? changed : { ...changed, body: Buffer.from(body) })
    })

/** Bytes that were a request before they were damaged. */
const damaged = (commands: readonly RemotingCommand[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.constantFrom(...commands),
      fc.constantFrom(0 as const, 1 as const),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    )
    .map(([command, serializeType, changes]) => {
      const bytes = encodeCommand({ ...command, serializeType })
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      return bytes
    })

/** Sends each of them, on a new connection where the last was closed, with a canary after each. */
async function sendAll(t: Test, target: Target, attacks: readonly Buffer[]): Promise<void> {
  const canary = await Canary.open(t, target)
  let peer: RawClient | null = null
  let open = false
  for (const bytes of attacks) {
    if (!open) {
      peer = await RawClient.open(target.address)
      open = true
      peer.closed.then(() => {
        open = false
      })
    }
    peer!.write(bytes)
    await canary.check(`${bytes.toString('base64').slice(0, 2000)} (seed ${SEED})`)
  }
  await peer?.close()
}

const TARGETS = {
  NameServer: { start: nameServer, routes: ['namesrv', 'broker-to-namesrv'] },
  broker: { start: broker, routes: ['broker', 'broker-vip'] }
} as const

for (const [name, { start, routes }] of Object.entries(TARGETS)) {
  t.test(`${name}: a peer that speaks wrongly disturbs nobody`, async t => {
    const target = await start(t)
    const commands = recordedRequests(routes)
    t.ok(commands.length > 10, `${commands.length} kinds of requests`)

    await t.test('requests that say what makes no sense', async t => {
      await sendAll(t, target, fc.sample(wrongContent(commands), { seed: SEED, numRuns: 1500 }))
      t.pass()
    })

    await t.test('requests whose bytes are damaged', async t => {
      await sendAll(t, target, fc.sample(damaged(commands), { seed: SEED, numRuns: 700 }))
      t.pass()
    })

    await t.test('noise', async t => {
      const noise = fc.uint8Array({ minLength: 1, maxLength: 2000 }).map(bytes => Buffer.from(bytes))
      await sendAll(t, target, fc.sample(noise, { seed: SEED, numRuns: 100 }))
      t.pass()
    })

    await t.test('counts and lengths that nothing could hold', async t => {
      const int32 = (...values: number[]): Buffer => {
        const bytes = Buffer.alloc(4 * values.length)
        values.forEach((value, i) => {
          bytes.writeInt32BE(value, 4 * i)
        })
        return bytes
      }
      const huge = 0x7fff_ffff
      const ask = (code: number, fields: Record<string, string> | null, body?: Buffer) =>
        encodeCommand(request(code, fields, body))
      const all = String(huge)
      const batch = {
        ...{ a: 'g', b: 'orders', c: 'TBW102', d: all, e: '0', f: '0', g: '0', h: '0', i: '', m: 'true' }
      }
      const register = { brokerName: 'b', brokerAddr: '1.1.1.1:1', clusterName: 'c', haServerAddr: '', brokerId: '0' }
      const compressed = (...parts: Buffer[]) => deflateSync(Buffer.concat(parts))
      const version = Buffer.from('{"counter":1,"timestamp":1}')
      await sendAll(t, target, [
        int32(huge, 0),
        int32(16 * MIB - 4, 0x00ff_ffff),
        int32(-1, -1),
        ask(RequestCode.SEND_BATCH_MESSAGE, batch, int32(huge, 0, 0, 0, huge)),
        ask(RequestCode.SEND_BATCH_MESSAGE, batch, int32(22, 0, 0, 0, -1, -1)),
        ask(RequestCode.SEND_BATCH_MESSAGE, batch, Buffer.alloc(4 * MIB)),
        ask(RequestCode.REGISTER_BROKER, { ...register, compressed: 'true' }, deflateSync(Buffer.alloc(1000 * MIB))),
        ask(RequestCode.REGISTER_BROKER, { ...register, compressed: 'true' }, compressed(int32(huge))),
        ask(RequestCode.REGISTER_BROKER, register, compressed(int32(version.length), version, int32(huge))),
        ask(RequestCode.REGISTER_BROKER, register, Buffer.from(`{"a":${'['.repeat(MIB)}`)),
        ask(RequestCode.UPDATE_AND_CREATE_TOPIC, {
          ...{ topic: 'huge', defaultTopic: 'TBW102', readQueueNums: all, writeQueueNums: all, perm: '6' },
          ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: '0', order: 'false' }
        }),
        ask(RequestCode.GET_TOPIC_STATS_INFO, { topic: 'huge' }),
        ask(RequestCode.QUERY_MESSAGE, { topic: 'x', key: 'k', maxNum: all, beginTimestamp: '0', endTimestamp: all }),
        ask(RequestCode.QUERY_CONSUME_QUEUE, { topic: 'huge', queueId: '0', index: '0', count: all }),
        ask(RequestCode.LOCK_BATCH_MQ, null, Buffer.from(`{"mqSet":[${'{},'.repeat(100_000)}{}]}`)),
        ask(
          RequestCode.HEART_BEAT,
          null,
          Buffer.from(`{"clientID":"x","consumerDataSet":[${'null,'.repeat(99_999)}{}]}`)
        ),
        ask(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup: 'x'.repeat(500_000) }),
        ask(1, Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`k${i}`, 'v'])))
      ])
      t.pass()
    })

    await t.test('frames that never end, on many connections', async t => {
      const canary = await Canary.open(t, target)
      const before = residentBytes(target.process)
      const half = encodeCommand(request(RequestCode.SEND_MESSAGE_V2, null, Buffer.alloc(16 * MIB - 300))).subarray(
        0,
        30_000
      )
      const peers = await Promise.all(Array.from({ length: 200 }, () => RawClient.open(target.address)))
      for (const peer of peers) peer.write(half)
      await canary.check('200 half frames')
      const used = residentBytes(target.process) - before
      t.ok(used < 100 * MIB, `${Math.round(used / MIB)} MiB for 6 MB that came`)
      await Promise.all(peers.map(peer => peer.close()))
      await canary.check('200 half frames were cut off')
    })

    await t.test('peers that ask and do not read', async t => {
      const canary = await Canary.open(t, target)
      const before = residentBytes(target.process)
      const peers = await Promise.all(Array.from({ length: 10 }, () => RawClient.open(target.address)))
      const ask = encodeCommand(target.echo('x'.repeat(100_000)))
      for (const peer of peers) {
        peer.pause()
        for (let i = 0; i < 300; i++) peer.write(ask)
      }
      const unsent = () => peers.reduce((sum, peer) => sum + peer.socket.writableLength, 0)
      await until('the target reads no further', async () => {
        const before = unsent()
        await new Promise(resolve => setTimeout(resolve, 100))
        return unsent() === before
      })
      t.ok(unsent() > 100 * MIB, `${Math.round(unsent() / MIB)} MiB were not taken`)
      await canary.check('300 MB of questions from 10 slow readers')
      const used = residentBytes(target.process) - before
      t.ok(used < 300 * MIB, `${Math.round(used / MIB)} MiB for 10 slow readers`)
      await Promise.all(peers.map(peer => peer.close()))
      await canary.check('the slow readers were gone')
    })

    await t.test('connections that come and go', async t => {
      const canary = await Canary.open(t, target)
      for (let round = 0; round < 10; round++) {
        const peers = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(target.address)))
        for (const peer of peers) {
          peer.send(target.canary.ask, target.canary.ask)
          peer.socket.resetAndDestroy()
        }
        await canary.check('50 connections were reset')
      }
      t.pass()
    })

    await t.test('and its memory has an end', async t => {
      const resident = residentBytes(target.process)
      t.ok(resident < 700 * MIB, `${Math.round(resident / MIB)} MiB are resident`)
    })
  })
}

t.test('a broker that has heard all this stores and gives out messages as before', async t => {
  const target = await broker(t)
  await sendAll(t, target, fc.sample(wrongContent(recordedRequests(['broker'])), { seed: SEED + 1, numRuns: 300 }))
  const peer = await RawClient.open(target.address)
  t.teardown(() => peer.close())
  const topic = 'afterwards'
  const created = await peer.ask(
    request(RequestCode.UPDATE_AND_CREATE_TOPIC, {
      ...{ topic, defaultTopic: 'TBW102', readQueueNums: '1', writeQueueNums: '1', perm: '6' },
      ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: '0', order: 'false' }
    })
  )
  t.match(created, { code: 0 })
  const fields = SendMessageV2Header.encode({
    ...{ a: 'g', b: topic, c: 'TBW102', d: 4, e: 0, f: 0, g: Date.now(), h: 0, i: 'TAGS\u0001A\u0002' }
  })
  t.match(await peer.ask(request(RequestCode.SEND_MESSAGE_V2, fields, 'still here')), { code: 0 })
  await until('the message can be pulled', async () => {
    const pulled = await peer.ask(
      request(RequestCode.PULL_MESSAGE, {
        ...{ consumerGroup: 'CG', topic, queueId: '0', queueOffset: '0', maxMsgNums: '32', sysFlag: '4' },
        ...{ commitOffset: '0', suspendTimeoutMillis: '0', subscription: '*', subVersion: '0', expressionType: 'TAG' }
      })
    )
    return pulled.code === 0 && Buffer.from(pulled.body ?? []).includes('still here')
  })
  t.pass()
})
