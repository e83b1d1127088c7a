import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { NameServer } from '../../namesrv/index.ts'
import { RequestCode, ResponseCode } from '../../net/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { openNameServer, type Peer } from '../support/name-server.ts'

const put = (client: Peer, namespace: string, key: string, value: string) =>
  client.ask(RequestCode.PUT_KV_CONFIG, { namespace, key, value })
const get = async (client: Peer, namespace: string, key: string) => {
  const { code, extFields } = await client.ask(RequestCode.GET_KV_CONFIG, { namespace, key })
  return code === ResponseCode.SUCCESS ? extFields?.value : code
}

t.test('an entry is put, read, replaced, listed and deleted', async t => {
  const { client } = await openNameServer(t)
  t.equal((await put(client, 'n', 'k', 'v')).code, ResponseCode.SUCCESS)
  await put(client, 'n', 'other', 'ä\u0001"\\')
  await put(client, 'n', 'k', 'w')
  t.equal(await get(client, 'n', 'k'), 'w')
  t.same(await client.get(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: 'n' }), {
    table: { k: 'w', other: 'ä\u0001"\\' }
  })
  for (const namespace of ['n', 'never']) {
    const answer = await client.ask(RequestCode.DELETE_KV_CONFIG, { namespace, key: 'k' })
    t.equal(answer.code, ResponseCode.SUCCESS)
  }
  t.equal(await get(client, 'n', 'k'), ResponseCode.QUERY_NOT_FOUND)
})

t.test('what is not there is answered with RocketMQ’s text', async t => {
  const { client } = await openNameServer(t)
  t.match(await client.ask(RequestCode.GET_KV_CONFIG, { namespace: 'n', key: 'k' }), {
    code: ResponseCode.QUERY_NOT_FOUND,
    remark: 'No config item, Namespace: n Key: k'
  })
  t.match(await client.ask(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: 'n' }), {
    code: ResponseCode.QUERY_NOT_FOUND,
    remark: 'No config item, Namespace: n'
  })
})

t.test('a request without its fields is refused', async t => {
  const { client } = await openNameServer(t)
  const refused = { code: ResponseCode.SYSTEM_ERROR, remark: 'namespace or key is null' }
  t.match(await client.ask(RequestCode.PUT_KV_CONFIG, { namespace: 'n' }), refused)
  t.match(await client.ask(RequestCode.PUT_KV_CONFIG), refused)
  for (const [code, fields] of [
    [RequestCode.PUT_KV_CONFIG, { namespace: 'n', key: 'k' }],
    [RequestCode.GET_KV_CONFIG, { namespace: 'n' }],
    [RequestCode.DELETE_KV_CONFIG, { key: 'k' }],
    [RequestCode.GET_KVLIST_BY_NAMESPACE, {}]
  ] as const)
    t.equal((await client.ask(code, fields)).code, ResponseCode.INVALID_PARAMETER)
})

t.test('entries outlive the NameServer; routes do not', async t => {
  const kvConfigPath = join(temporaryDirectory(t), 'deep', 'kvConfig.json')
  const first = await openNameServer(t, { kvConfigPath })
  await first.client.register({ topics: { orders: {}, bills: {} } })
  await put(first.client, 'ORDER_TOPIC_CONFIG', 'orders', 'broker-a:4')
  await put(first.client, '', '', '')
  t.equal(
    readFileSync(kvConfigPath, 'utf8'),
    '{"configTable":{"ORDER_TOPIC_CONFIG":{"orders":"broker-a:4"},"":{"":""}}}',
    'an answered change is in the file, in RocketMQ’s format'
  )
  t.equal(readFileSync(`${kvConfigPath}.bak`, 'utf8'), '{"configTable":{"ORDER_TOPIC_CONFIG":{"orders":"broker-a:4"}}}')
  await first.server.close()

  const { client } = await openNameServer(t, { kvConfigPath })
  t.equal(await get(client, 'ORDER_TOPIC_CONFIG', 'orders'), 'broker-a:4')
  t.equal(await client.route('orders'), undefined)
})

t.test('many changes at once are all in the file when they are answered', async t => {
  const kvConfigPath = join(temporaryDirectory(t), 'kvConfig.json')
  const { client, connect } = await openNameServer(t, { kvConfigPath })
  const peers = [client, await connect(), await connect()]
  const codes = await Promise.all(
    Array.from({ length: 60 }, (_, i) => put(peers[i % peers.length]!, 'n', `key-${i}`, `${i}`))
  )
  t.ok(codes.every(({ code }) => code === ResponseCode.SUCCESS))
  const { configTable } = JSON.parse(readFileSync(kvConfigPath, 'utf8'))
  t.same(configTable.n, Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`key-${i}`, `${i}`])))
  t.notOk(existsSync(`${kvConfigPath}.tmp`))
})

t.test('the backup is read where the file is missing or broken', async t => {
  const backup = '{"configTable":{"n":{"k":"kept"}}}'
  for (const text of [null, '', '{"configTable":{"n":{"k', 'null', '[1]']) {
    const kvConfigPath = join(temporaryDirectory(t), 'kvConfig.json')
    if (text !== null) writeFileSync(kvConfigPath, text)
    writeFileSync(`${kvConfigPath}.bak`, backup)
    const { client } = await openNameServer(t, { kvConfigPath })
    t.equal(await get(client, 'n', 'k'), 'kept', `file: ${text}`)
  }
})

t.test('RocketMQ’s own file is read, pretty or not', async t => {
  const kvConfigPath = join(temporaryDirectory(t), 'kvConfig.json')
  writeFileSync(kvConfigPath, '{\n\t"configTable":{"n":{\n\t"k":"v"},"empty":{}\n\t}\n}')
  const { client } = await openNameServer(t, { kvConfigPath })
  t.equal(await get(client, 'n', 'k'), 'v')
  t.same(await client.get(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: 'empty' }), { table: {} })
})

t.test('a NameServer does not start over a file that it cannot read, and leaves it as it is', async t => {
  const kvConfigPath = join(temporaryDirectory(t), 'kvConfig.json')
  writeFileSync(kvConfigPath, 'no JSON')
  const server = new NameServer({ listenPort: 0, kvConfigPath })
  await t.rejects(server.start(), { code: 'KV_FILE_BAD', details: { path: kvConfigPath } })
  await server.close()
  t.equal(readFileSync(kvConfigPath, 'utf8'), 'no JSON')
})

t.test('a change that cannot be saved is answered with the reason', async t => {
  const kvConfigPath = join(temporaryDirectory(t), 'kvConfig.json')
  const { client } = await openNameServer(t, { kvConfigPath })
  mkdirSync(`${kvConfigPath}.tmp`)
  const answer = await put(client, 'n', 'k', 'v')
  t.match(answer, { code: ResponseCode.SYSTEM_ERROR, remark: `could not be written` })
  t.match(answer.remark, kvConfigPath)
})
