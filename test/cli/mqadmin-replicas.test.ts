import t, { type Test } from 'tap'
import { RemotingServer, RequestCode, RequestDispatcher, response } from '../../net/index.ts'
import { mqadmin } from '../support/mqadmin.ts'
import { startBrokerProcess, startNameServerProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'

// What an operator reads about masters and slaves.

const admin = (namesrvAddr: string, line: string) => mqadmin([...line.split(' '), '-n', namesrvAddr])

/** A master and two slaves with ids 1 and 2, all in sync. */
async function openSet(t: Test) {
  const { address: namesrvAddr } = await startNameServerProcess(t)
  const dir = t.testdir()
  const start = (brokerId: number, brokerRole: 'SYNC_MASTER' | 'SLAVE') =>
    startBrokerProcess(t, {
      storePathRootDir: `${dir}/${brokerId}`,
      namesrvAddr,
      brokerId,
      brokerRole,
      haListenPort: 0,
      haMaxTimeSlaveNotCatchupMs: 600_000
    })
  const master = await start(0, 'SYNC_MASTER')
  const slaves = [await start(1, 'SLAVE'), await start(2, 'SLAVE')]
  const show = async (line: string): Promise<string> => {
    const { exitCode, out, err } = await admin(namesrvAddr, line)
    t.equal(err, '', line)
    t.equal(exitCode, 0, line)
    return out
  }
  return { master, slaves, show }
}

t.test('haStatus, getBrokerEpoch and getSyncStateSet show who follows a master, and how far', async t => {
  const { master, slaves, show } = await openSet(t)
  const [first, second] = slaves.map(({ address }) => address)
  let state = ''
  await until('both are in sync', async () => {
    state = await show('getSyncStateSet -b broker-a')
    return state.match(/^InSyncReplica:.*#Diff\t0$/gm)?.length === 3
  })
  const epoch = Number(/#MasterEpoch\t(\d+)/.exec(state)![1])
  const end = Number(/#AckOffset\t(\d+)/.exec(state)![1])
  const replica = (id: number, address: string | undefined) =>
    `\nInSyncReplica:\tReplicaIdentity{brokerName='broker-a', brokerId=${id}, brokerAddress='${address}', alive=true}` +
    `\t#AckOffset\t${end}\t#Diff\t0\n`
  const head =
    `\n#brokerName\tbroker-a\n#MasterBrokerId\t0\n#MasterAddr\t${master.address}\n` +
    `#MasterEpoch\t${epoch}\n#SyncStateSetEpoch\t0\n#SyncStateSetNums\t3\n`
  const members = [replica(1, first), replica(2, second)]
  const lines = (text: string) => text.split('\n').sort()
  t.same(lines(state), lines([head, replica(0, master.address), ...members].join('')))
  t.same(lines(await show('getSyncStateSet -c DefaultCluster')), lines(state))
  t.same(lines(await show(`getSyncStateSet -b broker-a -a ${first}`)), lines(state), 'a slave names its master')

  const epochs = [master.address, first, second].map(
    (address, id) =>
      `\n#clusterName\tDefaultCluster\n#brokerName\tbroker-a\n#brokerAddr\t${address}\n#brokerId\t${id}\n` +
      (end === 0 ? '' : `#Epoch: EpochEntry{epoch=${epoch}, startOffset=0, endOffset=${end}}\n`)
  )
  const shown = await show('getBrokerEpoch -b broker-a')
  t.equal(shown.replace(/#Epoch: .*, endOffset=0}\n/g, ''), epochs.join(''))
  t.equal(await show('getBrokerEpoch -c DefaultCluster'), shown)
  t.match(await show('haStatus -c DefaultCluster'), /^#SlaveNum\t2\n#InSyncSlaveNum\t2\n/m)

  await slaves[1]!.kill()
  await until('one is gone', async () => (await show('getSyncStateSet -b broker-a')).includes('#SyncStateSetNums\t2\n'))
})

t.test('a set or cluster that is not there, and a broker that knows no master, are told', async t => {
  const { address: namesrvAddr } = await startNameServerProcess(t)
  const noCluster = '[error] Make sure the specified clusterName exists or the name server connected to is correct.'
  for (const command of ['getSyncStateSet', 'getBrokerEpoch'])
    t.equal((await admin(namesrvAddr, `${command} -c nowhere`)).out, noCluster)
  t.equal((await admin(namesrvAddr, 'getBrokerEpoch -b nobody')).out, '')
  t.match((await admin(namesrvAddr, 'getSyncStateSet -b nobody')).out, /#MasterAddr\tnone/)
  t.match((await admin(namesrvAddr, 'getSyncStateSet')).out, /^usage: mqadmin getSyncStateSet/)

  const dir = t.testdir()
  const lone = await startBrokerProcess(t, { storePathRootDir: dir, namesrvAddr, brokerId: 1, brokerRole: 'SLAVE' })
  const told = await admin(namesrvAddr, `getSyncStateSet -b broker-a -a ${lone.address}`)
  t.match(told.err, /CODE: 2007 {2}DESC: this broker knows no master of its set/)
  t.equal(told.exitCode, 1)
})

t.test('what a controller of RocketMQ answers is printed as RocketMQ prints it', async t => {
  const dispatcher = new RequestDispatcher()
  const server = new RemotingServer(dispatcher)
  const { port } = await server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  const address = `127.0.0.1:${port}`
  const identity = (brokerId: number, alive: boolean) =>
    `{"alive":${alive},"brokerAddress":"127.0.0.1:109${brokerId}1","brokerId":${brokerId},"brokerName":"broker-a"}`
  const asked: unknown[] = []
  const answers: [number, Record<string, string>, string][] = [
    [
      RequestCode.GET_BROKER_CLUSTER_INFO,
      {},
      `{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"${address}"},"brokerName":"broker-a","cluster":"c"}},"clusterAddrTable":{"c":["broker-a"]}}`
    ],
    [RequestCode.CONTROLLER_GET_METADATA_INFO, { controllerLeaderAddress: address }, ''],
    [
      RequestCode.CONTROLLER_GET_SYNC_STATE_DATA,
      {},
      `{"replicasInfoTable":{"broker-a":{"inSyncReplicas":[${identity(1, true)},${identity(2, true)}],"masterAddress":"127.0.0.1:10911","masterBrokerId":1,"masterEpoch":3,"notInSyncReplicas":[${identity(3, false)}],"syncStateSetEpoch":5}}}`
    ],
    [
      RequestCode.GET_BROKER_EPOCH_CACHE,
      {},
      '{"brokerId":1,"brokerName":"broker-a","clusterName":"c","epochList":[{"endOffset":100,"epoch":1,"startOffset":0},{"endOffset":250,"epoch":2,"startOffset":100}],"maxOffset":250}'
    ]
  ]
  for (const [code, header, body] of answers)
    dispatcher.register(code, ({ body: question }) => {
      asked.push([code, question === null ? null : Buffer.from(question).toString()])
      return response(0, null, header, body)
    })
  const lines = (id: number, alive: boolean, title: string) =>
    `\n${title}:\tReplicaIdentity{brokerName='broker-a', brokerId=${id}, brokerAddress='127.0.0.1:109${id}1', alive=${alive}}\n`
  t.equal(
    (await admin(address, `getSyncStateSet -a ${address} -c c`)).out,
    '\n#brokerName\tbroker-a\n#MasterBrokerId\t1\n#MasterAddr\t127.0.0.1:10911\n#MasterEpoch\t3\n#SyncStateSetEpoch\t5\n' +
      `#SyncStateSetNums\t2\n${lines(1, true, 'InSyncReplica')}${lines(2, true, 'InSyncReplica')}${lines(3, false, 'NotInSyncReplica')}`
  )
  t.same(asked.slice(1), [
    [RequestCode.CONTROLLER_GET_METADATA_INFO, null],
    [RequestCode.CONTROLLER_GET_SYNC_STATE_DATA, '["broker-a"]']
  ])
  t.equal(
    (await admin(address, 'getBrokerEpoch -b broker-a')).out,
    `\n#clusterName\tc\n#brokerName\tbroker-a\n#brokerAddr\t${address}\n#brokerId\t1\n` +
      '#Epoch: EpochEntry{epoch=1, startOffset=0, endOffset=100}\n#Epoch: EpochEntry{epoch=2, startOffset=100, endOffset=250}\n'
  )
})
