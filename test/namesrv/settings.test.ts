import { readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { nameServerDefaults, namesrvSettings, readNameServerConfig } from '../../namesrv/index.ts'
import { parseProperties, RequestCode, ResponseCode, settingValue } from '../../net/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { openNameServer, type Peer } from '../support/name-server.ts'
import { recording } from '../support/recordings.ts'

const update = (client: Peer, text: string | null) => client.ask(RequestCode.UPDATE_NAMESRV_CONFIG, null, text)
const config = async (client: Peer) => {
  const { body } = await client.ask(RequestCode.GET_NAMESRV_CONFIG)
  return parseProperties(Buffer.from(body!).toString())
}

t.test('all keys of RocketMQ’s NameServer are printed, with its defaults', async t => {
  const recorded = [...recording('metadata-5-json')].find(({ note }) => note.startsWith('response to 319'))!
  const { client } = await openNameServer(t, { listenPort: 0 })
  const ours = await config(client)
  const theirs = parseProperties(recorded.body.toString())
  t.same([...ours.keys()], [...theirs.keys()].sort())
  // What the recorded NameServer was given, and what depends on the host.
  const given = new Set(['listenPort', 'bindAddress', 'kvConfigPath', 'configStorePath', 'rocketmqHome'])
  for (const [key, value] of theirs) if (!given.has(key)) t.equal(ours.get(key), value, key)
})

t.test('the options have the defaults that the table of keys says', async t => {
  // These differ on purpose: RocketMQ listens on all addresses, and keeps files in the home folder.
  const differ = new Set(['bindAddress', 'kvConfigPath', 'configStorePath'])
  for (const [key, setting] of Object.entries(namesrvSettings)) {
    if (!('option' in setting) || differ.has(key)) continue
    t.equal(settingValue(setting, key, nameServerDefaults), String(setting.default), key)
  }
})

t.test('a setting changes at once, and stays in the configuration file', async t => {
  const configStorePath = join(temporaryDirectory(t), 'namesrv.conf')
  writeFileSync(configStorePath, '# ours\nlistenPort = 9876\norderMessageEnable=false\n')
  const { client } = await openNameServer(t, { configStorePath })
  await client.register({ topics: { orders: {}, bills: {} } })
  await client.ask(RequestCode.PUT_KV_CONFIG, { namespace: 'ORDER_TOPIC_CONFIG', key: 'orders', value: 'broker-a:4' })
  t.equal((await client.route('orders'))?.orderTopicConf, undefined)
  t.match(await update(client, 'orderMessageEnable=true\nwaitSecondsForService=7\n'), { code: 0, remark: null })
  t.equal((await client.route('orders'))?.orderTopicConf, 'broker-a:4')
  t.equal((await config(client)).get('waitSecondsForService'), '7')
  t.equal(
    readFileSync(configStorePath, 'utf8'),
    '# ours\nlistenPort=9876\norderMessageEnable=true\nwaitSecondsForService=7\n'
  )
  const { options } = readNameServerConfig(configStorePath)
  t.match(options, { orderMessageEnable: true, waitForServiceMs: 7000, configStorePath })
})

t.test('a key without effect is taken and printed back, with a remark', async t => {
  const { client } = await openNameServer(t)
  t.match(await update(client, 'unRegisterBrokerQueueCapacity=3001'), { code: 0, remark: /no effect/ })
  t.equal((await config(client)).get('unRegisterBrokerQueueCapacity'), '3001')
  const other = await openNameServer(t)
  t.equal((await config(other.client)).get('unRegisterBrokerQueueCapacity'), '3000', 'of this server alone')
})

t.test('an unknown key is taken, as RocketMQ takes it, with a remark that names it and the nearest one', async t => {
  const { client } = await openNameServer(t)
  const answer = await update(client, 'orderMesageEnable=true')
  t.match(answer, {
    code: ResponseCode.SUCCESS,
    remark: 'the key orderMesageEnable is unknown; did you mean orderMessageEnable?'
  })
  t.equal((await config(client)).has('orderMesageEnable'), false)
})

t.test('keys on the black list are refused with all that stands beside them', async t => {
  const { client } = await openNameServer(t)
  for (const key of ['kvConfigPath', 'configStorePath', 'configBlackList', 'rocketmqHome'])
    t.match(await update(client, `enableTopicList=false\n${key}=elsewhere`), {
      code: ResponseCode.NO_PERMISSION,
      remark: 'Can not update config in black list.'
    })
  t.equal((await config(client)).get('enableTopicList'), 'true')
})

t.test('the black list is what the options say', async t => {
  const { client } = await openNameServer(t, { configBlackList: 'enableTopicList; supportActingMaster' })
  for (const key of ['enableTopicList', 'supportActingMaster'])
    t.equal((await update(client, `${key}=true`)).code, ResponseCode.NO_PERMISSION)
  t.equal((await update(client, 'enableAllTopicList=false')).code, ResponseCode.SUCCESS)
})

t.test('bad values and keys that a running server cannot change are refused, and nothing changes', async t => {
  const { client } = await openNameServer(t)
  t.match(await update(client, 'enableAllTopicList=false\nenableTopicList=maybe'), {
    code: ResponseCode.INVALID_PARAMETER,
    remark: 'enableTopicList is "maybe"; allowed is true or false'
  })
  t.match(await update(client, 'waitSecondsForService=-1'), {
    code: 29,
    remark: /"-1"; allowed is a whole number from 0/
  })
  t.match(await update(client, 'enableAllTopicList=false\nlistenPort=1'), {
    code: ResponseCode.NO_PERMISSION,
    remark: 'listenPort cannot be changed while the process runs'
  })
  t.match(await update(client, 'enableAllTopicList=\\uZZ'), { code: 1, remark: 'string2Properties error' })
  t.equal((await update(client, null)).code, ResponseCode.SUCCESS)
  t.equal((await config(client)).get('enableAllTopicList'), 'true')
})

t.test('namesrv.conf is read as RocketMQ’s: keys to options, units included', async t => {
  const path = join(temporaryDirectory(t), 'namesrv.conf')
  writeFileSync(
    path,
    [
      '# comment = no key',
      '! neither=this',
      '',
      ' listenPort : 9877 ',
      'bindAddress 0.0.0.0',
      'serverChannelMaxIdleTimeSeconds=60',
      'supportActingMaster=TRUE',
      'kvConfigPath=/data/\\',
      '  kv.json',
      'productEnvName=caf\\u00e9'
    ].join('\n')
  )
  const { options, warnings } = readNameServerConfig(path)
  t.same(options, {
    listenPort: 9877,
    listenHost: '0.0.0.0',
    serverChannelMaxIdleTimeMs: 60_000,
    supportActingMaster: true,
    kvConfigPath: '/data/kv.json',
    configStorePath: path,
    inertSettings: { productEnvName: 'café' }
  })
  t.same(warnings, [`${path}: productEnvName has no effect: a NameServer asks no other product environment`])
})

t.test('without a file, the KV config lies where RocketMQ has it', async t => {
  t.same(readNameServerConfig(), {
    options: { kvConfigPath: join(homedir(), 'namesrv', 'kvConfig.json') },
    warnings: []
  })
})

t.test('unknown keys are warned of; keys without effect only where they differ from the default', async t => {
  const path = join(temporaryDirectory(t), 'namesrv.conf')
  writeFileSync(path, 'enableTopiclist=true\nxyzzy=1\nserverWorkerThreads=8\n')
  t.same(readNameServerConfig(path).warnings, [
    `${path}: the key enableTopiclist is unknown; did you mean enableTopicList?`,
    `${path}: the key xyzzy is unknown`
  ])
})

t.test('a bad value or an unreadable file stops the start and says where and what', async t => {
  const path = join(temporaryDirectory(t), 'namesrv.conf')
  for (const [line, allowed] of [
    ['listenPort=70000', 'a whole number from 0 to 65535'],
    ['listenPort=98 76', 'a whole number from 0 to 65535'],
    ['listenPort=', 'a whole number from 0 to 65535'],
    ['enableTopicList=yes', 'true or false'],
    ['serverWorkerThreads=many', 'a whole number from 0 to 2147483647']
  ] as const) {
    writeFileSync(path, line)
    const [key, value] = line.split('=')
    t.throws(() => readNameServerConfig(path), {
      code: 'CONFIG_BAD_VALUE',
      message: `${path}: ${key} is "${value}"; allowed is ${allowed}`
    })
  }
  t.throws(() => readNameServerConfig(`${path}.none`), { code: 'CONFIG_UNREADABLE', details: { path: `${path}.none` } })
  writeFileSync(path, 'listenPort=\\u12')
  t.throws(() => readNameServerConfig(path), { code: 'CONFIG_UNREADABLE' })
})
