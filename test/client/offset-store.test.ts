import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { BrokerOffsetStore } from '../../client/broker-offset-store.ts'
import type { ClientInstance } from '../../client/client-instance.ts'
import { FileOffsetStore } from '../../client/file-offset-store.ts'
import type { MessageQueue } from '../../client/index.ts'
import { NO_OFFSET, OffsetStore } from '../../client/offset-store.ts'
import { type RemotingCommand, response, silentLog } from '../../net/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { keepLog } from '../support/log.ts'
import { until } from '../support/until.ts'

const queue = (queueId: number): MessageQueue => ({ topic: 'TopicA', brokerName: 'broker-a', queueId })
const LONG_MS = 3_600_000

/** Stores nowhere, and can fail. */
class TestStore extends OffsetStore {
  readonly writes: [number, number][][] = []
  failure: Error | null = null

  constructor(intervalMs = LONG_MS, log = silentLog) {
    super(intervalMs, log)
  }

  async read(): Promise<number> {
    return NO_OFFSET
  }

  protected async write(offsets: readonly { queue: MessageQueue; offset: number }[]): Promise<void> {
    if (this.failure !== null) throw this.failure
    this.writes.push(offsets.map(({ queue: { queueId }, offset }) => [queueId, offset]))
  }
}

t.test('only offsets that changed are written', async t => {
  const store = new TestStore()
  t.teardown(() => store.close())
  store.update(queue(0), 5)
  store.update(queue(1), 7)
  await store.persist()
  store.update(queue(1), 8)
  await store.persist()
  await store.persist()
  t.same(store.writes, [
    [
      [0, 5],
      [1, 7]
    ],
    [[1, 8]]
  ])
})

t.test('an offset that is stored already is not written again', async t => {
  const store = new TestStore()
  store.seed(queue(0), 5)
  store.update(queue(0), 5)
  await store.close()
  t.same(store.writes, [])
  t.equal(store.known(queue(0)), 5)
})

t.test('consuming never moves an offset back, setting it does', async t => {
  const store = new TestStore()
  t.teardown(() => store.close())
  store.update(queue(0), 5)
  store.update(queue(0), 3, true)
  t.equal(store.known(queue(0)), 5)
  store.update(queue(0), 3)
  t.equal(store.known(queue(0)), 3)
})

t.test('a frozen offset stays whatever comes', async t => {
  const store = new TestStore()
  t.teardown(() => store.close())
  store.freeze(queue(0), 3)
  store.update(queue(0), 9, true)
  t.equal(store.known(queue(0)), 3)
})

t.test('a change is written by itself after the interval', async t => {
  const store = new TestStore(5)
  t.teardown(() => store.close())
  store.update(queue(0), 5)
  await until('written', () => store.writes.length > 0)
  t.same(store.writes, [[[0, 5]]])
})

t.test('what could not be written is written later, and said', async t => {
  const log = keepLog()
  const store = new TestStore(5, log)
  t.teardown(() => store.close())
  store.failure = new Error('the broker is away')
  store.update(queue(0), 5)
  await until('failed', () => log.at('warn').length > 0)
  store.failure = null
  await until('written', () => store.writes.length > 0)
  t.same(store.writes, [[[0, 5]]])
})

t.test('closing writes the rest, once', async t => {
  const store = new TestStore()
  store.update(queue(0), 5)
  await store.close()
  t.same(store.writes, [[[0, 5]]])
})

/** As Java 5.5.0 writes it: OffsetSerializeWrapper#toJson. */
const JAVA_FILE = `{
	"offsetTable":{
		{
			"brokerName":"broker-a",
			"queueId":1,
			"topic":"TopicA"
		}:123456789012,
		{
			"brokerName":"broker-a",
			"queueId":0,
			"topic":"TopicA"
		}:5
	}
}`

const openFile = (folder: string, log = silentLog) =>
  new FileOffsetStore(folder, '10.0.0.1@DEFAULT', 'CG', LONG_MS, log)

function withFile(t: Test, text: string): FileOffsetStore {
  const store = openFile(temporaryDirectory(t))
  mkdirSync(dirname(store.path), { recursive: true })
  writeFileSync(store.path, text)
  return store
}

t.test('a file is where Java has it', async t => {
  t.equal(openFile('/x').path, '/x/10.0.0.1@DEFAULT/CG/offsets.json')
})

t.test("Java's file is read", async t => {
  const store = withFile(t, JAVA_FILE)
  t.same([await store.read(queue(0)), await store.read(queue(1)), await store.read(queue(2))], [5, 123456789012, -1])
})

t.test('a file is written byte by byte as Java writes it, and keeps what it held', async t => {
  const store = withFile(t, JAVA_FILE)
  store.update(queue(0), 6)
  await store.close()
  t.equal(readFileSync(store.path, 'utf8'), JAVA_FILE.replace('}:5\n', '}:6\n'))
  t.equal(readFileSync(`${store.path}.bak`, 'utf8'), JAVA_FILE)
})

t.test('keys that are texts holding a queue are read', async t => {
  const store = withFile(t, JSON.stringify({ offsetTable: { [JSON.stringify(queue(0))]: 7 } }))
  t.equal(await store.read(queue(0)), 7)
})

t.test('a broken file gives way to its backup, and is said', async t => {
  const log = keepLog()
  const store = openFile(temporaryDirectory(t), log)
  mkdirSync(dirname(store.path), { recursive: true })
  writeFileSync(store.path, '{"offsetTable":{{"bro')
  writeFileSync(`${store.path}.bak`, JAVA_FILE)
  t.equal(await store.read(queue(0)), 5)
  t.equal(log.at('warn').length, 1)
})

t.test('without a file there are no offsets, and the first write makes it', async t => {
  const store = openFile(temporaryDirectory(t))
  t.equal(await store.read(queue(0)), NO_OFFSET)
  store.update(queue(0), 1)
  await store.persist()
  t.equal(await openFile(dirname(dirname(dirname(store.path)))).read(queue(0)), 1)
  await store.close()
})

t.test(
  'a broker gets the first offset of a topic alone, since RocketMQ forgets one of two that come at once',
  async t => {
    const asked: string[] = []
    let answer: (failure?: Error) => void = () => {}
    const instance = {
      log: silentLog,
      findReadAddress: async () => ({ address: '127.0.0.1:10911', brokerId: 0 }),
      call: (_: string, { extFields }: RemotingCommand) => {
        asked.push(extFields!.queueId!)
        return new Promise((resolve, reject) => {
          answer = failure => (failure === undefined ? resolve(response(0)) : reject(failure))
        })
      },
      invokeOneWay: async (_: string, { extFields }: RemotingCommand) => void asked.push(extFields!.queueId!)
    }
    const store = new BrokerOffsetStore(instance as unknown as ClientInstance, 'CG', LONG_MS)
    t.teardown(() => store.close())
    for (const queueId of [0, 1, 2]) store.update(queue(queueId), 5)
    let persisted = store.persist()
    await nextTurn()
    t.same(asked, ['0'])
    answer(new Error('no answer'))
    await persisted
    await nextTurn()
    asked.length = 0
    persisted = store.persist()
    await nextTurn()
    t.same(asked, ['0'], 'the broker may not have it')
    answer()
    await persisted
    t.same(asked, ['0', '1', '2'])
    for (const queueId of [0, 1, 2]) store.update(queue(queueId), 6)
    await store.persist()
    t.same(asked, ['0', '1', '2', '0', '1', '2'], 'then all at once')
  }
)
