import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { commands } from '../../cli/mqadmin/table.ts'
import { RemotingServer, RequestCode, RequestDispatcher, response } from '../../net/index.ts'
import { mqadmin } from '../support/mqadmin.ts'
import { mqadminText } from '../support/recordings.ts'

/** A port on which nobody listens. */
async function freeAddress(): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return `127.0.0.1:${port}`
}

/** The lines of a recording without stack traces and links. */
const recorded = (name: string): string =>
  mqadminText(name)
    .split('\n')
    .slice(1)
    .filter(line => !/^\t|^For more information|^Admin\$Exit/.test(line))
    .join('\n')

t.test('without a command all commands are listed, in the order of RocketMQ', async t => {
  const { exitCode, out } = await mqadmin([])
  t.equal(exitCode, 0)
  const listed = (text: string) => [...text.matchAll(/^ {3}(\w+)/gm)].map(([, name]) => name)
  const ours = new Set(listed(out))
  // The recording lists everything more than once.
  const theirs = [...new Set(listed(recorded('help')))].filter(name => ours.has(name))
  t.same([...ours], theirs)
  t.equal(ours.size, commands.length)
  t.equal((await mqadmin(['help'])).out, out)
})

t.test('the help of a command has the options of RocketMQ', async t => {
  const { exitCode, out } = await mqadmin(['help', 'updatetopic'])
  t.equal(exitCode, 0)
  const names = (text: string) => text.split('\n').map(line => line.replace(/^( -\w,--\w+( <arg>)?) .*/, '$1'))
  const usage = (text: string) => names(text).filter(line => /^( -|usage| {2})/.test(line) && !line.startsWith('     '))
  t.same(usage(out), usage(recorded('help-updateTopic')))
  t.equal((await mqadmin(['updateTopic', '-h'])).out, out, 'also with -h')
})

t.test('an unknown command and a missing option are told in the words of RocketMQ', async t => {
  const unknown = await mqadmin(['noSuchCommand'])
  t.equal(unknown.out.trim(), recorded('unknown-command').trim())
  t.equal(unknown.exitCode, 1)

  const missing = await mqadmin(['topicRoute', '-n', '127.0.0.1:1'])
  const [first, second] = recorded('missing-option').split('\n')
  t.equal(missing.err, `${first}\n`)
  t.equal(missing.out.split('\n')[0], second)
  t.equal(missing.exitCode, 1)
})

t.test('a NameServer or broker that is down is named, and nothing else is said', async t => {
  const address = await freeAddress()
  const namesrv = await mqadmin(['clusterList', '-n', address])
  t.equal(namesrv.err.trim(), recorded('namesrv-down').replaceAll('127.0.0.2:1', address).trim())
  t.equal(namesrv.out, '')
  t.equal(namesrv.exitCode, 1)
  const broker = await mqadmin(['brokerStatus', '-b', address])
  t.equal(broker.err.trim(), recorded('brokerStatus-down').replaceAll('127.0.0.2:1', address).trim())
  t.equal(broker.exitCode, 1)
})

t.test('a wrong value is named', async t => {
  const address = await freeAddress()
  const { err, exitCode } = await mqadmin(['updateTopic', '-b', address, '-t', 'T', '-r', 'many'])
  t.match(err, 'UpdateTopicSubCommand command failed\nCaused by: For input string: "many"')
  t.equal(exitCode, 1)
})

t.test('the NameServers come from -n, else from NAMESRV_ADDR', async t => {
  const asked: string[] = []
  const serve = async (name: string) => {
    const dispatcher = new RequestDispatcher()
    dispatcher.register(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, () => {
      asked.push(name)
      return response(0, null, null, '{"topicList":["T"]}')
    })
    const server = new RemotingServer(dispatcher)
    t.teardown(() => server.close())
    return `127.0.0.1:${(await server.listen(0, '127.0.0.1')).port}`
  }
  const env = { NAMESRV_ADDR: await serve('environment') }
  t.equal((await mqadmin(['topicList'], env)).out, 'T\n')
  await mqadmin(['topicList', '-n', await serve('option')], env)
  t.same(asked, ['environment', 'option'])
})

t.test('requests are signed with the keys of tools.yml', async t => {
  const home = t.testdir()
  mkdirSync(join(home, 'conf'))
  writeFileSync(join(home, 'conf', 'tools.yml'), 'accessKey: rocketmq2 # ours\nsecretKey: "12345678"\n')
  let fields: Record<string, string> | null = null
  const dispatcher = new RequestDispatcher()
  dispatcher.register(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, ({ extFields }) => {
    fields = extFields
    return response(0, null, null, '{"topicList":[]}')
  })
  const server = new RemotingServer(dispatcher)
  t.teardown(() => server.close())
  const { port } = await server.listen(0, '127.0.0.1')
  await mqadmin(['topicList', '-n', `127.0.0.1:${port}`], { ROCKETMQ_HOME: home })
  t.match(fields, { AccessKey: 'rocketmq2', Signature: /^[\w+/]+=*$/ })
})

t.test('resetOffsetByTime of one queue takes the name of a broker as well as its address', async t => {
  const sent: (Record<string, string> | null)[] = []
  const dispatcher = new RequestDispatcher()
  const server = new RemotingServer(dispatcher)
  t.teardown(() => server.close())
  const { port } = await server.listen(0, '127.0.0.1')
  const address = `127.0.0.1:${port}`
  dispatcher.register(RequestCode.GET_ROUTEINFO_BY_TOPIC, () =>
    response(
      0,
      null,
      null,
      JSON.stringify({
        brokerDatas: [{ brokerName: 'broker-a', cluster: 'C', brokerAddrs: { 0: address } }],
        queueDatas: [{ brokerName: 'broker-a', perm: 6, readQueueNums: 1, writeQueueNums: 1, topicSysFlag: 0 }]
      })
    )
  )
  dispatcher.register(RequestCode.UPDATE_CONSUMER_OFFSET, ({ extFields }) => {
    sent.push(extFields)
    return response(0)
  })
  dispatcher.register(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, ({ extFields }) => {
    sent.push(extFields)
    return response(0, null, null, '{"offsetTable":{}}')
  })
  for (const broker of ['broker-a', address]) {
    sent.length = 0
    const args = [
      'resetOffsetByTime',
      '-n',
      address,
      '-g',
      'G',
      '-t',
      'T',
      '-s',
      '-1',
      '-b',
      broker,
      '-q',
      '0',
      '-o',
      '1'
    ]
    const { out, exitCode } = await mqadmin(args)
    t.equal(exitCode, 0)
    t.match(out, /^start reset consumer offset by specified, group\[G\], .*\nreset consumer offset to 1\n$/)
    t.match(sent, [
      { commitOffset: '1', consumerGroup: 'G', queueId: '0', topic: 'T' },
      { offset: '1', queueId: '0', group: 'G', topic: 'T' }
    ])
  }
})
