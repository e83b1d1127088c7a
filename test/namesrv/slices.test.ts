import assert from 'node:assert/strict'
import { deflateSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { KvConfig } from '../../namesrv/kv-config.ts'
import { nameServerDefaults } from '../../namesrv/options.ts'
import { registerBrokerProcessors } from '../../namesrv/processors/brokers.ts'
import { type Registration, readRegistration } from '../../namesrv/registration.ts'
import { RouteTable } from '../../namesrv/route-table.ts'
import { TopicScanner, UnusualText } from '../../namesrv/topic-scanner.ts'
import {
  type Connection,
  parseBody,
  type RemotingCommand,
  RequestCode,
  RequestDispatcher,
  ResponseCode,
  request
} from '../../net/index.ts'
import { until } from '../support/until.ts'

/** Far more than are read or taken in one slice. */
const MANY = 30_000
const CONNECTION = { closed: false, close() {} } as unknown as Connection
const PRESETS = { perm: 6, readQueueNums: 16, writeQueueNums: 16, topicSysFlag: 0 }

const topicsOf = (count: number, perm = 6) =>
  Array.from({ length: count }, (_, i) => ({ ...PRESETS, topicName: `topic-${i}`, perm }))
const registrationOf = (topics: Registration['topics'], counter = 1): Registration => ({
  version: { counter, stateVersion: 0, timestamp: 0 },
  topics,
  mappings: new Map()
})
const broker = (name: string) => ({ brokerName: name, brokerAddr: `${name}:10911`, clusterName: 'c', brokerId: 0 })
const newTable = () => new RouteTable({ ...nameServerDefaults }, () => undefined)
const routeText = (table: RouteTable, topic: string) => table.route(topic, 'standard')?.toString() ?? null

t.test('routes are answered while a registration of many topics is taken', async t => {
  const table = newTable()
  const taking = table.register(broker('broker-a'), registrationOf(topicsOf(MANY)), '', CONNECTION)
  t.match(routeText(table, 'topic-0'), /"brokerName":"broker-a"/)
  t.equal(routeText(table, `topic-${MANY - 1}`), null)
  t.equal(await taking, 'registered')
  t.match(routeText(table, `topic-${MANY - 1}`), /"brokerName":"broker-a"/)
})

t.test('a broker that leaves while its topics are taken leaves nothing behind', async t => {
  const table = newTable()
  const taking = table.register(broker('broker-a'), registrationOf(topicsOf(MANY)), '', CONNECTION)
  table.unregister('broker-a', 'broker-a:10911')
  t.equal(await taking, 'gone')
  t.ok(table.isEmpty)
  t.same(table.topicNames(), [])
})

t.test('a broker that left before its registration had its turn is not registered', async t => {
  const table = newTable()
  const gone = { ...CONNECTION, closed: true } as unknown as Connection
  t.equal(await table.register(broker('broker-a'), registrationOf(topicsOf(3)), '', gone), 'gone')
  t.ok(table.isEmpty)
})

t.test('changes wait for the registration before them, also for one that fails', async t => {
  const table = newTable()
  const register = table.inTurn(() =>
    table.register(broker('broker-a'), registrationOf(topicsOf(MANY)), '', CONNECTION)
  )
  const wipe = table.inTurn(() => table.wipeWritePermission('broker-a'))
  const failing = table.inTurn(() => readRegistration(Buffer.from('{')))
  const remove = table.inTurn(() => table.deleteTopic('topic-7'))
  t.equal(await register, 'registered')
  t.equal(await wipe, MANY)
  await t.rejects(failing, { code: 'REGISTRATION_BAD' })
  await remove
  t.match(routeText(table, `topic-${MANY - 1}`), /"perm":4/)
  t.equal(routeText(table, 'topic-7'), null)
})

t.test('topics that lie alike share one answer, also after they lay apart', async t => {
  const table = newTable()
  const same = () => table.route('topic-0', 'standard') === table.route('topic-1', 'standard')
  for (const name of ['broker-b', 'broker-a'])
    await table.register(broker(name), registrationOf(topicsOf(2)), '', CONNECTION)
  t.ok(same())
  const [first, second] = topicsOf(2)
  await table.register(broker('broker-a'), registrationOf([first!, { ...second!, perm: 4 }], 2), '', CONNECTION)
  t.notOk(same())
  await table.register(broker('broker-a'), registrationOf(topicsOf(2), 3), '', CONNECTION)
  t.ok(same())
  const { queueDatas } = parseBody(table.route('topic-1', 'standard')) as { queueDatas: { brokerName: string }[] }
  t.same(
    queueDatas.map(({ brokerName }) => brokerName),
    ['broker-a', 'broker-b']
  )
})

t.test('topics on brokers by chance have the routes that a plain table gives', async () => {
  const names = ['a', 'b', 'c', 'd']
  const step = fc.record({
    name: fc.constantFrom(...names),
    leaves: fc.boolean(),
    perms: fc.array(fc.constantFrom(4, 6), { minLength: 2, maxLength: 4 })
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async steps => {
      const table = newTable()
      const plain = new Map<string, Map<string, number>>()
      for (const [i, { name, leaves, perms }] of steps.entries()) {
        if (leaves) {
          table.unregister(name, `${name}:10911`)
          for (const brokers of plain.values()) brokers.delete(name)
        } else {
          const topics = perms.map((perm, i) => ({ ...PRESETS, topicName: `topic-${i}`, perm }))
          await table.register(broker(name), registrationOf(topics, i), '', CONNECTION)
          for (const { topicName, perm } of topics)
            plain.set(topicName, (plain.get(topicName) ?? new Map()).set(name, perm))
        }
        for (const [topic, brokers] of plain) {
          const route = parseBody(table.route(topic, 'standard') ?? '{"queueDatas":[]}') as {
            queueDatas: { brokerName: string; perm: number }[]
          }
          assert.deepEqual(
            route.queueDatas.map(({ brokerName, perm }) => [brokerName, perm]),
            [...brokers].sort()
          )
        }
      }
    }),
    { numRuns: 200 }
  )
})

const bodyOf = (table: unknown, more: object = {}) =>
  JSON.stringify({
    topicConfigSerializeWrapper: {
      dataVersion: { counter: 3, stateVersion: 0, timestamp: 5 },
      topicConfigTable: table,
      ...more
    }
  })

t.test('a topic table is scanned to what the general parser reads', async () => {
  const name = fc.stringMatching(/^[%|a-zA-Z0-9_-]{1,20}$/).filter(text => text !== '__proto__')
  const config = fc.record(
    {
      attributes: fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }),
      order: fc.boolean(),
      perm: fc.integer({ min: 0, max: 7 }),
      readQueueNums: fc.integer(),
      topicFilterType: fc.constantFrom('SINGLE_TAG', 'MULTI_TAG'),
      topicName: name,
      topicSysFlag: fc.integer({ min: 0, max: 3 }),
      writeQueueNums: fc.integer(),
      other: fc.jsonValue({ maxDepth: 2 })
    },
    { requiredKeys: [] }
  )
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, config, { maxKeys: 5, noNullPrototype: true }), async table => {
      const body = bodyOf(table)
      const scanned = await readRegistration(Buffer.from(body))
      // With a space in front of the table it is not what brokers write.
      const parsed = await readRegistration(Buffer.from(body.replace('"topicConfigTable":', '"topicConfigTable": ')))
      assert.deepEqual(scanned, parsed)
      const scanner = new TopicScanner(Buffer.from(body), PRESETS)
      assert.deepEqual([...scanner], scanned.topics)
      assert.equal(scanner.rest(), bodyOf({}))
    }),
    { numRuns: 300 }
  )
})

t.test('what brokers do not write is left to the general parser, whatever byte is wrong', async t => {
  const body = Buffer.from(bodyOf({ orders: { perm: 6, topicName: 'orders', x: ['"', {}] } }))
  const scan = (bytes: Buffer) => [...new TopicScanner(bytes, PRESETS)]
  t.equal(scan(body).length, 1)
  for (let at = 0; at < body.length; at++)
    for (const byte of ['"', '{', '}', ',', ' ', '\\', '-', 'é', '']) {
      const broken = Buffer.concat([body.subarray(0, at), Buffer.from(byte), body.subarray(at + 1)])
      try {
        scan(broken)
      } catch (error) {
        assert.ok(error instanceof UnusualText, `${error}`)
      }
      await readRegistration(broken).catch(error => assert.equal(error.code, 'REGISTRATION_BAD'))
    }
  for (const text of ['{"perm":6,}', '{"perm":6 }', "{'perm':6}", '{"perm":1.5}', '{"perm":"6"}', '{"topicName":"é"}'])
    assert.throws(() => scan(Buffer.from(`{"topicConfigTable":{"orders":${text}}}`)), UnusualText, text)
})

t.test('a compressed registration of many topics is read as a whole', async t => {
  const text = (value: string) => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(Buffer.byteLength(value))
    return Buffer.concat([length, Buffer.from(value)])
  }
  const count = Buffer.alloc(4)
  count.writeInt32BE(MANY)
  const lines = Array.from({ length: MANY }, (_, i) => text(`topic-${i} 8 8 6 SINGLE_TAG {}`))
  const body = deflateSync(Buffer.concat([text('{"counter":7}'), count, ...lines, text('[]')]), { level: 1 })
  const { topics, version } = await readRegistration(body)
  t.equal(topics.length, MANY)
  t.match(topics.at(-1), { topicName: `topic-${MANY - 1}`, readQueueNums: 8, perm: 6 })
  t.equal(version.counter, 7)
})

t.test('registrations that wait over one connection are bounded by their bytes', async t => {
  const dispatcher = new RequestDispatcher()
  const routes = newTable()
  registerBrokerProcessors(dispatcher, {
    options: { ...nameServerDefaults },
    routes,
    kv: new KvConfig(null),
    startedMs: 0
  })
  let goOn = () => {}
  const before = routes.inTurn(
    () =>
      new Promise<void>(resolve => {
        goOn = resolve
      })
  )
  const codes: number[] = []
  const connection = { ...CONNECTION, reply: (_: unknown, { code }: RemotingCommand) => codes.push(code) }
  const body = Buffer.alloc(40 * 1024 * 1024)
  const register = (brokerId: number, bytes: Buffer) => {
    const header = {
      brokerName: 'a',
      brokerAddr: 'a:1',
      clusterName: 'c',
      haServerAddr: '',
      brokerId: String(brokerId)
    }
    dispatcher.dispatch(request(RequestCode.REGISTER_BROKER, header, bytes), connection as unknown as Connection)
  }
  register(0, body)
  register(1, body)
  register(2, body.subarray(0, 1000))
  await until('one is refused', () => codes.length === 1)
  t.same(codes, [ResponseCode.SYSTEM_BUSY])
  goOn()
  await before
  await until('the others are answered', () => codes.length === 3)
  register(3, Buffer.from(bodyOf({ orders: {}, bills: {} })))
  await until('there is room again', () => codes.length === 4)
  t.same(codes.slice(1), [ResponseCode.SYSTEM_ERROR, ResponseCode.SYSTEM_ERROR, ResponseCode.SUCCESS])
})
