import { readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  type BrokerOptions,
  brokerConfigText,
  brokerDefaults,
  brokerSettings,
  readBrokerConfig,
  updateBrokerConfig
} from '../../broker/index.ts'
import { type StoreOptions, storeDefaults } from '../../engine/index.ts'
import { parseProperties, RequestCode, ResponseCode } from '../../net/index.ts'
import { openBroker, temporaryDirectory } from '../support/broker.ts'
import { openNameServer } from '../support/name-server.ts'
import { mqadminRecording } from '../support/recordings.ts'

/** A broker.conf with these lines. */
function configFile(t: Test, ...lines: string[]): string {
  const path = join(temporaryDirectory(t), 'broker.conf')
  writeFileSync(path, lines.join('\n'))
  return path
}

const options = (more: Partial<BrokerOptions> = {}): BrokerOptions => ({
  storePathRootDir: '/data/store',
  brokerName: 'broker-a',
  ...brokerDefaults,
  ...more
})
const printed = (of: BrokerOptions) => parseProperties(brokerConfigText(of))

/** What the recorded broker was given, and what depends on its host. */
const GIVEN = new Set(
  'bindAddress bitMapLengthConsumeQueueExt brokerIP1 brokerIP2 brokerName enablePropertyFilter haListenPort listenPort mappedFileSizeCommitLog mappedFileSizeConsumeQueue mappedFileSizeConsumeQueueExt mappedFileSizeTimerLog mapperFileSizeBatchConsumeQueue maxHashSlotNum maxIndexNum maxMessageSize namesrvAddr osPageCacheBusyTimeOutMills rocketmqHome storePathRootDir transactionCheckInterval transactionTimeOut waitTimeMillsInHeartbeatQueue waitTimeMillsInPullQueue waitTimeMillsInSendQueue'.split(
    ' '
  )
)

t.test('every key that RocketMQ’s broker prints is known, with its default', async t => {
  const [answer] = [...mqadminRecording('getBrokerConfig')].filter(({ dir }) => dir === 's2c')
  const theirs = parseProperties(answer!.body.toString())
  t.ok(theirs.size > 450)
  const table: Record<string, { default: unknown }> = brokerSettings
  t.same(
    [...theirs.keys()].filter(key => !(key in table)),
    []
  )
  t.same(
    [...theirs].filter(([key, value]) => !GIVEN.has(key) && String(table[key]?.default) !== value),
    []
  )
})

t.test('every option that a key sets is there, with RocketMQ’s default or one of its own', async t => {
  // Ours lose less when the process is killed, keep more in flight, and listen on loopback.
  const differ: Record<string, unknown> = {
    bindAddress: '127.0.0.1',
    haListenPort: 0,
    storePathRootDir: undefined,
    brokerName: undefined,
    namesrvAddr: '',
    sendThreadPoolQueueCapacity: 100_000,
    flushConsumerOffsetInterval: 1000,
    flushDelayOffsetInterval: 1000,
    flushIntervalConsumeQueue: 10_000,
    shutdownWaitTimeSeconds: 3000
  }
  for (const [key, setting] of Object.entries(brokerSettings)) {
    if (!('option' in setting) || setting.option === undefined) continue
    const scale = 'scale' in setting ? (setting.scale as number) : 1
    const [name, inner] = setting.option.split('.') as [keyof BrokerOptions, keyof StoreOptions | undefined]
    const ours = inner === undefined ? (brokerDefaults as Partial<BrokerOptions>)[name] : storeDefaults[inner]
    const theirs = typeof setting.default === 'number' ? setting.default * scale : setting.default
    t.equal(ours, key in differ ? differ[key] : theirs, key)
  }
})

t.test('a broker.conf sets options, with the units that they have', async t => {
  const path = configFile(
    t,
    '# a comment',
    'brokerClusterName = DefaultCluster',
    'brokerName=broker-b  ',
    'brokerId=0',
    'listenPort:10921',
    'namesrvAddr=10.0.0.1:9876;ns2:9876',
    'brokerIP1 10.0.0.7',
    'serverChannelMaxIdleTimeSeconds=60',
    'autoCreateTopicEnable=FALSE',
    'storePathRootDir=/data/\\',
    '    store',
    'flushDiskType=SYNC_FLUSH',
    'mappedFileSizeCommitLog=1048576',
    'maxTransferCountOnMessageInMemory=64',
    'messageDelayLevel=1s 2m 3h',
    'fileReservedTime=48',
    'deleteWhen=04;16',
    'waitTimeMillsInSendQueue=200'
  )
  t.same(readBrokerConfig(path), {
    options: {
      brokerConfigPath: path,
      brokerClusterName: 'DefaultCluster',
      brokerName: 'broker-b',
      brokerId: 0,
      listenPort: 10921,
      namesrvAddr: '10.0.0.1:9876;ns2:9876',
      brokerIP1: '10.0.0.7',
      serverChannelMaxIdleTimeMs: 60_000,
      autoCreateTopicEnable: false,
      storePathRootDir: '/data/store',
      store: {
        flushDiskType: 'SYNC_FLUSH',
        mappedFileSizeCommitLogBytes: 1_048_576,
        maxTransferCountOnMessageInMemory: 64,
        messageDelayLevel: '1s 2m 3h',
        fileReservedTimeHours: 48,
        deleteWhen: '04;16'
      },
      inertSettings: { waitTimeMillsInSendQueue: '200' }
    },
    warnings: []
  })
})

t.test('without a file there is a store in the home folder, and NameServers from the environment', async t => {
  const { NAMESRV_ADDR } = process.env
  t.teardown(() => {
    if (NAMESRV_ADDR === undefined) delete process.env.NAMESRV_ADDR
    else process.env.NAMESRV_ADDR = NAMESRV_ADDR
  })
  process.env.NAMESRV_ADDR = '10.0.0.1:9876'
  t.same(readBrokerConfig().options, { storePathRootDir: join(homedir(), 'store'), namesrvAddr: '10.0.0.1:9876' })
  t.equal(readBrokerConfig(configFile(t, 'namesrvAddr=other:1')).options.namesrvAddr, 'other:1')
})

t.test('unknown keys, keys without effect and a master’s id are warned of', async t => {
  const path = configFile(
    t,
    'flushDisktype=ASYNC_FLUSH',
    'xyzzy=1',
    'waitTimeMillsInSendQueue=201',
    'fileReservedTim=48',
    'transferMsgByHeap=true',
    'brokerId=3'
  )
  const { options, warnings } = readBrokerConfig(path)
  t.same(warnings, [
    `${path}: the key flushDisktype is unknown; did you mean flushDiskType?`,
    `${path}: the key xyzzy is unknown`,
    `${path}: waitTimeMillsInSendQueue has no effect: requests wait in no queue of threads, so none is thrown out of one`,
    `${path}: the key fileReservedTim is unknown; did you mean fileReservedTime?`,
    `${path}: brokerId 3 is taken for 0, as brokerRole is ASYNC_MASTER`
  ])
  t.equal(options.brokerId, 0)
})

t.test('a value that is not allowed stops the start, and says where, what, and what would be', async t => {
  const cases: [string, string][] = [
    ['listenPort=abc', 'a whole number from 0 to 65535'],
    ['listenPort=', 'a whole number from 0 to 65535'],
    ['listenPort=-1', 'a whole number from 0 to 65535'],
    ['listenPort=1e3', 'a whole number from 0 to 65535'],
    ['mappedFileSizeCommitLog=9999999999', 'a whole number from 1024 to 2147483647'],
    ['autoCreateTopicEnable=yes', 'true or false'],
    ['flushDiskType=sync', 'ASYNC_FLUSH, SYNC_FLUSH'],
    ['brokerRole=MASTER', 'ASYNC_MASTER, SYNC_MASTER, SLAVE'],
    ['brokerName=two words', 'letters, digits, %, |, - and _'],
    ['namesrvAddr=localhost', 'addresses as host:port, separated by ;'],
    ['messageDelayLevel=1s 2x', 'numbers with s, m, h or d, separated by blanks'],
    ['deleteWhen=24', 'hours of the day from 0 to 23, separated by ;'],
    ['diskMaxUsedSpaceRatio=101', 'a whole number from 0 to 100'],
    ['authenticationEnabled=true', 'false: access control is not built yet'],
    ['inSyncReplicas=0', 'a whole number from 1 to 2147483647'],
    ['haMasterAddress=master', 'an address as host:port'],
    ['storeType=defaultRocksDB', 'default: queues and configuration are kept in files, as RocketMQ does by default'],
    ['sendMessageThreadPoolNums=many', 'a whole number from 0 to 2147483647']
  ]
  for (const [line, allowed] of cases) {
    const path = configFile(t, line)
    const [key, value] = line.split(/=(.*)/)
    const message = `${path}: ${key} is "${value}"; allowed is ${allowed}`
    t.throws(() => readBrokerConfig(path), { name: 'NetError', code: 'CONFIG_BAD_VALUE', message })
  }
  t.throws(() => readBrokerConfig('/no/such/file'), { code: 'CONFIG_UNREADABLE', message: /no\/such\/file/ })
  const slave = configFile(t, 'brokerRole=SLAVE')
  t.throws(() => readBrokerConfig(slave), { code: 'CONFIG_BAD_VALUE', details: { key: 'brokerId' } })
  t.match(readBrokerConfig(configFile(t, 'brokerRole=SLAVE', 'brokerId=1')).options, { brokerId: 1 })
})

t.test('with etcd, a broker needs an id of its own and the role that it has once elected', async t => {
  const read = (...lines: string[]) => readBrokerConfig(configFile(t, 'etcdEndpoints=http://127.0.0.1:2379', ...lines))
  const { options, warnings } = read('brokerId=2', 'brokerRole=SYNC_MASTER')
  t.match(options, { etcdEndpoints: 'http://127.0.0.1:2379', brokerId: 2, brokerRole: 'SYNC_MASTER' })
  t.same(warnings, [])
  t.match(read('brokerId=2', 'haListenPort=10912').warnings, [/haListenPort has no effect, as etcdEndpoints is set/])
  t.throws(() => read(), { message: /brokerId/ })
  t.throws(() => read('brokerId=2', 'brokerRole=SLAVE'), { message: /brokerRole/ })
})

t.test('names of what every object has are unknown keys like others', async t => {
  const { warnings, options } = readBrokerConfig(configFile(t, 'constructor=1', '__proto__=2', 'toString=3'))
  t.equal(warnings.length, 3)
  t.same(Object.keys(options).sort(), ['brokerConfigPath', 'inertSettings', 'storePathRootDir'])
})

t.test('the printed text has every key with the value that holds, in RocketMQ’s units', async t => {
  const values = printed(
    options({
      listenPort: 10921,
      serverChannelMaxIdleTimeMs: 60_000,
      store: { flushDiskType: 'SYNC_FLUSH' },
      inertSettings: { waitTimeMillsInSendQueue: '201' }
    })
  )
  for (const [key, value] of Object.entries({
    brokerName: 'broker-a',
    listenPort: '10921',
    haListenPort: '10922',
    bindAddress: '127.0.0.1',
    serverChannelMaxIdleTimeSeconds: '60',
    flushDiskType: 'SYNC_FLUSH',
    flushIntervalConsumeQueue: String(storeDefaults.flushIntervalConsumeQueueMs),
    waitTimeMillsInSendQueue: '201',
    sendMessageThreadPoolNums: '2'
  }))
    t.equal(values.get(key), value, key)
  t.notOk(values.has('haMasterAddress'), 'as RocketMQ, nothing of what is not set')
  t.match(brokerConfigText(options()), /^accessMessageInMemoryHotRatio=26\n/)
})

t.test('what is printed can be read again', async t => {
  const before = options({ namesrvAddr: 'a:1;b:2', store: { messageDelayLevel: '1s 5s' } })
  const path = configFile(t, brokerConfigText(before))
  const { options: after, warnings } = readBrokerConfig(path)
  t.same(warnings, [])
  t.equal(brokerConfigText(options(after)), brokerConfigText({ ...before, brokerConfigPath: path }))
})

t.test('keys that can change while the broker runs change; others are refused, and so is all beside them', async t => {
  const current = options()
  t.same(updateBrokerConfig(current, 'brokerPermission=4\nmaxTransferCountOnMessageInMemory=64\n'), {
    changed: new Map([
      ['brokerPermission', '4'],
      ['maxTransferCountOnMessageInMemory', '64']
    ]),
    remark: null
  })
  t.equal(current.brokerPermission, 4)
  t.equal(current.store.maxTransferCountOnMessageInMemory, 64)
  t.equal(brokerDefaults.brokerPermission, 6)
  t.equal(brokerDefaults.store.maxTransferCountOnMessageInMemory, undefined)
  for (const [line, code, responseCode] of [
    ['brokerName=other', 'CONFIG_FIXED', ResponseCode.NO_PERMISSION],
    ['listenPort=1', 'CONFIG_FIXED', ResponseCode.NO_PERMISSION],
    ['brokerConfigPath=elsewhere', 'CONFIG_BLACKLISTED', ResponseCode.NO_PERMISSION],
    ['configBlackList=', 'CONFIG_BLACKLISTED', ResponseCode.NO_PERMISSION],
    ['longPollingEnable=1', 'CONFIG_BAD_VALUE', ResponseCode.INVALID_PARAMETER],
    ['authenticationEnabled=true', 'CONFIG_BAD_VALUE', ResponseCode.INVALID_PARAMETER],
    ['a=\\u12', 'CONFIG_TEXT_BAD', ResponseCode.SYSTEM_ERROR]
  ] as const) {
    t.throws(() => updateBrokerConfig(current, `brokerPermission=6\n${line}`), { code, responseCode })
    t.equal(current.brokerPermission, 4, `${line} lets nothing through`)
  }
})

t.test('a running broker prints what it is set to, and a change stays in its file', async t => {
  const path = configFile(t, '# mine', 'brokerName=broker-a', 'longPollingEnable=true', '')
  const open = await openBroker(t, { brokerConfigPath: path })
  const config = async () => {
    const { code, extFields, body } = await open.ask(RequestCode.GET_BROKER_CONFIG)
    t.equal(code, ResponseCode.SUCCESS)
    const { counter } = JSON.parse(extFields!.version!)
    return { counter, values: parseProperties(Buffer.from(body!).toString()) }
  }
  const before = await config()
  t.equal(before.values.get('listenPort'), open.broker.address.split(':')[1])
  t.equal(before.values.get('brokerIP1'), '127.0.0.1')
  t.equal(before.values.get('storePathRootDir'), open.dir)

  const update = (text: string) => open.ask(RequestCode.UPDATE_BROKER_CONFIG, null, text)
  const lines = 'longPollingEnable=false\nmaxTransferCountOnMessageInMemory=7\nwaitTimeMillsInHeartbeatQueue=31001\n'
  t.match(await update(lines), { code: ResponseCode.SUCCESS, remark: /waitTimeMillsInHeartbeatQueue has no effect/ })
  t.equal(open.broker.options.longPollingEnable, false)
  t.equal(open.broker.store.options.maxTransferCountOnMessageInMemory, 7, 'the store reads it there')
  const after = await config()
  t.equal(after.counter, before.counter + 1)
  t.equal(after.values.get('maxTransferCountOnMessageInMemory'), '7')
  t.equal(after.values.get('waitTimeMillsInHeartbeatQueue'), '31001')
  t.equal(readFileSync(path, 'utf8'), `# mine\nbrokerName=broker-a\n${lines}`)

  t.match(await update('nonsense=1'), { code: ResponseCode.SUCCESS, remark: 'the key nonsense is unknown' })
  t.equal((await config()).counter, after.counter)
})

t.test('wrong updates are answered as recorded', async t => {
  const open = await openBroker(t)
  for (const name of ['updateBrokerConfig', 'updateBrokerConfig-blacklisted']) {
    const [asked, answered] = [...mqadminRecording(name)]
    const answer = await open.ask(asked!.header.code, null, asked!.body)
    t.equal(answer.code, answered!.header.code)
    if (answer.code !== ResponseCode.SUCCESS) t.equal(answer.remark, answered!.header.remark)
  }
})

t.test('a change of brokerPermission is in all routes at once', async t => {
  const { server, client } = await openNameServer(t)
  const open = await openBroker(t, { namesrvAddr: server.address })
  const perm = async () => (await client.route('TBW102'))?.queueDatas[0]?.perm
  t.equal(await perm(), 7)
  for (const [value, expected] of [
    ['4', 5],
    ['6', 7]
  ] as const) {
    await open.ask(RequestCode.UPDATE_BROKER_CONFIG, null, `brokerPermission=${value}`)
    t.equal(await perm(), expected)
  }
})

t.test('topics are no longer created by sends once that is switched off', async t => {
  const open = await openBroker(t)
  const send = (topic: string) =>
    open.ask(
      RequestCode.SEND_MESSAGE_V2,
      { a: 'group', b: topic, c: 'TBW102', d: '4', e: '0', f: '0', g: '1700000000000', h: '0', i: '' },
      'body'
    )
  t.equal((await send('first')).code, ResponseCode.SUCCESS)
  await open.ask(RequestCode.UPDATE_BROKER_CONFIG, null, 'autoCreateTopicEnable=false')
  t.equal((await send('second')).code, ResponseCode.TOPIC_NOT_EXIST)
  t.equal((await send('first')).code, ResponseCode.SUCCESS)
})

t.test('the keys of replication act', async t => {
  const { options, warnings } = readBrokerConfig(
    configFile(
      t,
      'brokerRole=SLAVE',
      'brokerId=2',
      'slaveReadEnable=true',
      'haMasterAddress=10.0.0.1:10911',
      'inSyncReplicas=2',
      'minInSyncReplicas=2',
      'allAckInSyncStateSet=true',
      'haMaxTimeSlaveNotCatchup=9000',
      'slaveTimeout=700',
      'haFlowControlEnable=true',
      'maxHaTransferByteInSecond=1000'
    )
  )
  t.same(warnings, [])
  t.match(options, {
    slaveReadEnable: true,
    masterAddress: '10.0.0.1:10911',
    inSyncReplicas: 2,
    minInSyncReplicas: 2,
    allAckInSyncStateSet: true,
    haMaxTimeSlaveNotCatchupMs: 9000,
    haFlowControlEnable: true,
    maxHaTransferBytesPerSecond: 1000,
    store: { slaveTimeoutMs: 700 }
  })
})
