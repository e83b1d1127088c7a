import t, { type Test } from 'tap'
import { Producer, PullConsumer } from '../../client/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { openBroker, until } from '../support/broker.ts'
import { mqadmin } from '../support/mqadmin.ts'

// Our mqadmin with our NameServer and broker: what an operator does to a topic and a group from beginning to end.

process.env.TZ = 'UTC'
process.env.TMPDIR = t.testdir()

/** A cluster of one broker, and mqadmin to look after it: words of a command, separated by blanks. */
async function openCluster(t: Test) {
  const nameServer = new NameServer({ listenPort: 0 })
  await nameServer.start()
  t.teardown(() => nameServer.close())
  const namesrvAddr = nameServer.address
  const { broker } = await openBroker(t, { namesrvAddr })

  const admin = (line: string) => mqadmin([...line.split(' '), '-n', namesrvAddr])
  /** The same for a command that has to succeed. */
  const done = async (line: string): Promise<string> => {
    const { exitCode, out, err } = await admin(line)
    t.equal(err, '', line)
    t.equal(exitCode, 0, line)
    return out
  }
  return { namesrvAddr, address: broker.address, admin, done }
}

/** The rows below the head of a table, as cells. */
const rows = (text: string): string[][] =>
  text
    .split('\n')
    .slice(1)
    .filter(line => line !== '')
    .map(line => line.trim().split(/\s{2,}|(?<=\S) (?=\S)/))

t.test('a topic is created, seen, changed, filled, read and removed', async t => {
  const { address, admin, done } = await openCluster(t)
  t.equal(
    await done('updateTopic -c DefaultCluster -t orders -r 4 -w 4'),
    `create topic to ${address} success.\n` +
      'TopicConfig [topicName=orders, readQueueNums=4, writeQueueNums=4, perm=RW-, topicFilterType=SINGLE_TAG, ' +
      'topicSysFlag=0, order=false, attributes={}]\n'
  )
  t.match(await done('topicList'), /^orders$/m)
  t.match(await done('topicRoute -t orders'), `0:"${address}"`)
  t.match(await done('topicRoute -t orders'), '"writeQueueNums":4')
  t.equal(await done('topicClusterList -t orders'), 'DefaultCluster\n')

  const sent = await done('sendMessage -t orders -p espresso -k order-1 -c bar -b broker-a -i 2')
  const [row] = rows(sent)
  t.same(row?.slice(0, 3), ['broker-a', '2', 'SEND_OK'])
  const id = row![3]!

  await until('the message is in its queue and in the index', async () => {
    const { exitCode } = await admin('queryMsgByKey -t orders -k order-1')
    return exitCode === 0
  })
  const status = rows(await done('topicStatus -t orders'))
  t.same(
    status.slice(0, 4).map(([name, queue, min, max]) => [name, queue, min, max]),
    [
      ['broker-a', '0', '0', '0'],
      ['broker-a', '1', '0', '0'],
      ['broker-a', '2', '0', '1'],
      ['broker-a', '3', '0', '0']
    ]
  )
  t.match(
    await done('queryMsgByKey -t orders -k order-1'),
    new RegExp(`^${id} +2 +0 \\d+@orders@K@order-1@${id}@0 *$`, 'm')
  )
  const byUniqueKey = await done(`queryMsgByUniqueKey -t orders -i ${id}`)
  t.match(byUniqueKey, /^Keys: +\[order-1\]\n/m)
  const byOffset = await done('queryMsgByOffset -t orders -b broker-a -i 2 -o 0')
  const [, offsetId] = /OffsetID: +(\w{32})/.exec(byOffset)!
  t.match(await done(`queryMsgById -t orders -i ${offsetId}`), /^Tags: +\[bar\]\n/m)
  t.match(await done('consumeMessage -t orders -b broker-a -i 2 -o 0 -c 1'), /BODY: espresso\n/)
  t.match(await done('printMsgByQueue -t orders -a broker-a -i 2 -f true'), /^Tag: bar +Count: 1\n/)
  t.match(await done('queryCq -t orders -q 2 -i 0'), /max: 1, min: 0/)
  t.match(await done('statsAll -t orders'), /^orders +0 +[\d.]+ +1 +NO_CONSUMER\n/m)

  t.match(await done(`updateTopicPerm -t orders -p 4 -b ${address}`), /^update topic perm from 6 to 4 in /)
  await until('the NameServer knows', async () => /"perm":4/.test((await admin('topicRoute -t orders')).out))
  t.match((await admin('sendMessage -t orders -p x')).err, /SendMessageCommand command failed/)

  t.equal(
    await done('deleteTopic -t orders -c DefaultCluster'),
    'delete topic [orders] from cluster [DefaultCluster] success.\ndelete topic [orders] from NameServer success.\n'
  )
  const gone = await admin('topicRoute -t orders')
  t.equal(gone.exitCode, 1)
  t.match(gone.err, 'CODE: 17  DESC: No topic route info in name server for the topic: orders')
})

t.test('a group is created, followed, reset and removed', async t => {
  const { namesrvAddr, address, admin, done } = await openCluster(t)
  await done('updateTopic -c DefaultCluster -t orders -r 1 -w 1')
  t.match(
    await done(`updateSubGroup -b ${address} -g kitchen -q 2 -r 3`),
    /^create subscription group to \S+ success\.\nSubscriptionGroupConfig\{groupName=kitchen, .*retryQueueNums=2, retryMaxTimes=3, /
  )
  t.match(await done('getConsumerConfig -g kitchen'), /^retryMaxTimes += {2}3$/m)

  const producer = new Producer({ group: 'shop', namesrvAddr })
  await producer.start()
  for (const body of ['one', 'two', 'three']) await producer.send({ topic: 'orders', body })
  await until('the producer is known', async () => (await admin('producerConnection -g shop -t orders')).exitCode === 0)
  t.match(await done('producerConnection -g shop -t orders'), /^0001 {2}\S+@\S+ +127\.0\.0\.1:\d+ +\w+ +V5_5_0\n$/)

  const consumer = new PullConsumer({ group: 'kitchen', namesrvAddr, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  consumer.subscribe('orders')
  await consumer.start()
  t.teardown(() => consumer.close())
  let polled = 0
  while (polled < 3) polled += (await consumer.poll()).length
  await consumer.commit()

  await until('the route of its retry topic', async () => (await admin('consumerConnection -g kitchen')).exitCode === 0)
  t.match(await done('consumerConnection -g kitchen'), /^orders +\*$/m)
  t.match(await done('consumerConnection -g kitchen'), /^ConsumeType: CONSUME_ACTIVELY$/m)
  const progress = await done('consumerProgress -g kitchen -t orders')
  t.match(rows(progress)[0], ['orders', 'broker-a', '0', '3', '3', '0'])
  t.match(progress, /^Consume Diff Total: 0$/m)
  t.match(await done('topicList -c'), /^DefaultCluster +orders +kitchen *$/m)

  await consumer.close()
  await producer.close()
  await until('the consumer is gone', async () => (await admin('consumerConnection -g kitchen')).exitCode === 1)
  t.match((await admin('consumerConnection -g kitchen')).err, 'CODE: 206  DESC: ')
  t.match(await done('resetOffsetByTime -g kitchen -t orders -s 0'), /^broker-a +0 +0 *$/m)
  t.match(await done('consumerProgress -g kitchen -t orders'), /^Consume Diff Total: 3$/m)
  t.match(await done('skipAccumulatedMessage -g kitchen -t orders'), /^broker-a +0 +3 *$/m)
  t.match(await done(`brokerConsumeStats -b ${address}`), /^orders +kitchen +broker-a +0 +3 +3 +0 /m)

  t.equal(
    await done('deleteSubGroup -g kitchen -c DefaultCluster -r true'),
    `delete subscription group [kitchen] from broker [${address}] in cluster [DefaultCluster] success.\n`
  )
  t.notMatch(await done('getConsumerConfig -g kitchen'), /kitchen/)
})

t.test('a broker shows its figures and settings, and settings change while it runs', async t => {
  const { address, admin, done } = await openCluster(t)
  const [row] = rows(await done('clusterList'))
  t.same(row?.slice(0, 5), ['DefaultCluster', 'broker-a', '0', address, 'V5_5_0'])
  const status = await done(`brokerStatus -b ${address}`)
  t.match(status, /^bootTimestamp +: \d{13}$/m)
  t.match(status, /^damagedBytes +: 0$/m, 'damage of the log would show')
  t.match(await done('brokerStatus -c DefaultCluster'), new RegExp(`^${address} +brokerActive +: true$`, 'm'))

  t.match(await done(`getBrokerConfig -b ${address}`), /^autoCreateTopicEnable += {2}true$/m)
  t.equal(
    await done(`updateBrokerConfig -b ${address} -k autoCreateTopicEnable -v false`),
    `update broker config success, ${address}\n`
  )
  t.match(await done('getBrokerConfig -c DefaultCluster'), /^autoCreateTopicEnable += {2}false$/m)
  const refused = await admin(`updateBrokerConfig -b ${address} -k brokerConfigPath -v elsewhere`)
  t.equal(refused.exitCode, 1)
  t.match(refused.err, `CODE: 16  DESC: Can not update config in black list. BROKER: ${address}`)
})

t.test('NameServers keep values and order confs, and take write permissions away and give them back', async t => {
  const { namesrvAddr, address, done } = await openCluster(t)
  t.equal(await done('updateKvConfig -s space -k key -v value'), 'create or update kv config to namespace success.\n')
  t.equal(await done('deleteKvConfig -s space -k key'), 'delete kv config from namespace success.\n')
  t.match(await done(`updateTopic -b ${address} -t steps -w 2 -r 2 -o true`), /orderConf=\[broker-a:2\]\n/)
  t.match(await done('updateOrderConf -t steps -m get'), /orderConf=\[broker-a:2\]/)
  t.match(await done('wipeWritePerm -b broker-a'), `in name server[${namesrvAddr}] OK, `)
  t.match(await done('topicRoute -t steps'), '"perm":4')
  t.match(await done('addWritePerm -b broker-a'), `in name server[${namesrvAddr}] OK, `)
  t.match(await done('topicRoute -t steps'), '"perm":6')
  t.match(await done('getNamesrvConfig'), /^enableTopicList += {2}true$/m)
  await done('updateNamesrvConfig -k enableTopicList -v false')
  t.match(await done('getNamesrvConfig'), /^enableTopicList += {2}false$/m)
})
