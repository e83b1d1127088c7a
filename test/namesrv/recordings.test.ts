import t, { type Test } from 'tap'
import { parseBody, type RemotingCommand, RequestCode } from '../../net/index.ts'
import { decodeOne } from '../support/frames.ts'
import { openNameServer, type Peer } from '../support/name-server.ts'
import { mqadminRecording, type RecordedFrame, recording } from '../support/recordings.ts'

/** Requests to a recorded NameServer, each with its answer; one-way ones have none. */
function* conversation(frames: Iterable<RecordedFrame>) {
  const all = [...frames].filter(({ route }) => /namesrv/.test(route))
  for (const asked of all) {
    if (asked.dir !== 'c2s') continue
    const answer = all.find(
      ({ dir, conn, header }) => dir === 's2c' && conn === asked.conn && header.opaque === asked.header.opaque
    )
    yield { asked, answer }
  }
}

/** A body whose lists of names, which Java writes in the order of hashes, are sorted. */
function comparable(body: Uint8Array | null): unknown {
  if (body === null || body.length === 0) return null
  if (body[0] !== 0x7b) return Buffer.from(body).toString()
  const sort = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.every(item => typeof item === 'string') ? [...value].sort() : value.map(sort)
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, sort(item)]))
  }
  return sort(parseBody(body))
}

/** Sends the recorded requests one after the other; each answer has to say what RocketMQ's said. */
async function replay(
  t: Test,
  peer: Peer,
  frames: Iterable<RecordedFrame>,
  skip: (frame: RecordedFrame) => boolean = () => false
): Promise<number> {
  let count = 0
  for (const { asked, answer } of conversation(frames)) {
    if (answer === undefined || skip(asked)) continue
    const ours = await peer.send(asked.frame)
    const theirs = decodeOne(answer.frame)
    const saying = ({ code, extFields, remark, opaque, flag, serializeType, body }: RemotingCommand) => ({
      code,
      extFields,
      // A remark that stands beside a success is a leftover of RocketMQ's.
      remark: code === 0 ? null : remark,
      opaque,
      flag,
      serializeType,
      body: comparable(body)
    })
    t.same(saying(ours), saying(theirs), answer.note)
    count++
  }
  return count
}

/** What the recorded NameServer knew of `broker-a` when mqadmin spoke to it. */
async function registerBrokerA(peer: Peer, topics: Record<string, object>, mappings: Record<string, unknown> = {}) {
  await peer.register({
    topics: { TBW102: { perm: 7, queues: 8 }, BenchmarkTest: { queues: 1024 }, ...topics },
    mappings,
    brokerAddr: '127.0.0.2:29811',
    haServerAddr: '127.0.0.2:29812'
  })
}

t.test('a broker registers, registers again and leaves, as recorded', async t => {
  const { client } = await openNameServer(t)
  // Between the two recorded parts all answers are missing, and so is what the broker registered there.
  t.ok((await replay(t, client, recording('broker-namesrv'))) > 20)
  t.same(await client.get(RequestCode.GET_BROKER_CLUSTER_INFO), { brokerAddrTable: {}, clusterAddrTable: {} })
})

t.test(
  'a broker that may act as master registers, asks for its members every second and leaves, as recorded',
  async t => {
    const { client, connect } = await openNameServer(t)
    await registerBrokerA(client, {})
    await client.ask(RequestCode.PUT_KV_CONFIG, {
      namespace: 'ORDER_TOPIC_CONFIG',
      key: 'AdmOrder',
      value: 'broker-a:2'
    })
    t.ok((await replay(t, await connect(), recording('registration-acting'))) > 30)
  }
)

t.test('a compressed registration that its header denies, as 5.x sends it and refuses it, is accepted', async t => {
  const { client } = await openNameServer(t)
  const [registration] = [...recording('registration-compressed')].filter(
    ({ dir, header }) => dir === 'c2s' && header.code === RequestCode.REGISTER_BROKER
  )
  t.equal(registration!.header.extFields?.compressed, 'false')
  t.equal((await client.send(registration!.frame)).code, 0)
  t.match(await client.route('TBW102'), {
    brokerDatas: [{ brokerAddrs: { 0: '127.0.0.1:29831' }, brokerName: 'broker-compressed' }],
    queueDatas: [{ perm: 7, readQueueNums: 8, writeQueueNums: 8 }]
  })
})

t.test('mqadmin is answered as recorded', async t => {
  const topics = { FrameAdmin: { queues: 2 }, AdmTopic: {} }
  const commands = [
    'topicRoute',
    'topicRoute-missing',
    'topicClusterList',
    'clusterList',
    'updateKvConfig',
    'deleteKvConfig',
    'updateNamesrvConfig',
    'updateOrderConf-put',
    'updateOrderConf-get',
    'updateOrderConf-delete',
    'deleteTopic'
  ]
  const { client } = await openNameServer(t)
  await registerBrokerA(client, topics)
  for (const command of commands)
    await t.test(command, async t => {
      t.ok((await replay(t, client, mqadminRecording(command))) > 0)
    })
})

t.test('mqadmin is answered as recorded about what it wiped, and about static topics', async t => {
  // The recorded broker had 50 topics.
  const others = Object.fromEntries(Array.from({ length: 47 }, (_, i) => [`topic-${i}`, {}]))
  const { client } = await openNameServer(t)
  await registerBrokerA(client, { FrameAdmin: { queues: 2 }, ...others })
  for (const command of ['wipeWritePerm', 'topicRoute-wiped', 'addWritePerm', 'topicRoute'])
    await t.test(command, async t => {
      t.ok((await replay(t, client, mqadminRecording(command))) > 0)
    })

  const [answer] = [...mqadminRecording('topicRoute-static')].filter(({ dir }) => dir === 's2c')
  const { topicQueueMappingByBroker } = parseBody(answer!.body) as {
    topicQueueMappingByBroker: Record<string, unknown>
  }
  const mapping = topicQueueMappingByBroker['broker-a']
  const other = await openNameServer(t)
  await registerBrokerA(other.client, { AdmStatic: { queues: 2 } }, { AdmStatic: mapping })
  t.ok((await replay(t, other.client, mqadminRecording('topicRoute-static'))) > 0)
})

t.test('the bytes of a route are those that RocketMQ sends, in both forms', async t => {
  const { client } = await openNameServer(t)
  await registerBrokerA(client, { FrameTopic: { queues: 2 } })
  const routes = [...conversation(recording('metadata-5-json'))].filter(
    ({ asked }) => asked.header.code === RequestCode.GET_ROUTEINFO_BY_TOPIC
  )
  t.equal(routes.length, 2)
  for (const { asked, answer } of routes)
    t.equal(Buffer.from((await client.send(asked.frame)).body!).toString(), answer!.body.toString())
})

t.test('tools are answered as recorded', async t => {
  for (const name of ['metadata-5-json', 'metadata-4-json']) {
    const { client } = await openNameServer(t)
    await registerBrokerA(client, { FrameTopic: { queues: 2 } })
    // The lists of all topics depend on all that was created, the configuration on what was given.
    const skipped: number[] = [
      RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
      RequestCode.GET_TOPICS_BY_CLUSTER,
      RequestCode.GET_NAMESRV_CONFIG
    ]
    t.ok((await replay(t, client, recording(name), ({ header }) => skipped.includes(header.code))) >= 6)
  }
})

t.test('wrong requests are refused as recorded, in both header types', async t => {
  for (const name of ['errors-5-json', 'errors-5-binary']) {
    const { client } = await openNameServer(t)
    for (const { asked, answer } of conversation(recording(name))) {
      const ours = await client.send(asked.frame)
      const saying = ({ code, remark, extFields }: RemotingCommand) => ({ code, remark, extFields: extFields ?? {} })
      t.same(saying(ours), saying(decodeOne(answer!.frame)), answer!.note)
      t.equal(ours.serializeType, decodeOne(asked.frame).serializeType, 'the answer has the header type of the request')
    }
  }
})
