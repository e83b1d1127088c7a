import t, { type Test } from 'tap'
import type { Driver, ProducerHandle, Sent } from './driver.ts'
import { javaVersions, startJava } from './java.ts'
import { type Cluster, fresh, hasTools, isForeign, startCluster, until } from './support.ts'

// mqadmin of rocketmq-tools, as it is: each test reads what an operator would read. The commands of a version run in one
// JVM, one after the other, for two that start within a millisecond take each other for the same client; and those that
// keep something for themselves, sendMessage and consumeMessage, run once.

interface Stage {
  cluster: Cluster
  version: string
  client: Driver
  /** Runs a command and returns the lines that it prints. */
  mqadmin(command: string, ...args: string[]): Promise<string[]>
  /** A topic of two queues, with three messages in each, and who sent them. */
  topic: string
  producer: ProducerHandle
  sent: Sent[]
  /** A group that has a running consumer which has read them all. */
  group: string
}

/** The cells of a row, and of all rows below a heading line. */
const cells = (line: string): string[] => line.trim().split(/\s+/)
const rows = (lines: readonly string[]): string[][] =>
  lines.filter(line => line.trim() !== '' && !line.startsWith('#')).map(cells)

/** Waits until a topic's route is like this: Apache's brokers answer a change before NameServers know of it. */
async function routeShows(mqadmin: Stage['mqadmin'], topic: string, ...patterns: RegExp[]): Promise<void> {
  let route = ''
  await until(
    async () => {
      route = (await mqadmin('topicRoute', '-t', topic)).join('\n')
      return patterns.every(pattern => pattern.test(route))
    },
    () => `${patterns} in ${route}`
  )
}

const scenarios: Record<string, (t: Test, stage: Stage) => Promise<void>> = {
  'clusterList shows the broker, its address and version': async (t, { mqadmin, cluster, version }) => {
    // That of 4.9.8 wants a figure under a name that Apache's 5.x brokers have changed; ours give both.
    if (isForeign && version === '4.9.8') return
    const lines = await mqadmin('clusterList')
    t.match(lines[0], /^#Cluster Name +#Broker Name +#BID +#Addr +#Version/)
    const [row, ...more] = rows(lines)
    t.same(row?.slice(0, 4), [cluster.clusterName, cluster.brokerName, '0', cluster.brokerAddr])
    t.match(row?.[4], /^V[45]_\d+_\d+/)
    t.same(more, [])
  },

  'clusterList -m shows what came in and went out': async (t, { mqadmin, cluster }) => {
    const lines = await mqadmin('clusterList', '-m')
    t.match(lines[0], /^#Cluster Name +#Broker Name +#InTotalYest +#OutTotalYest +#InTotalToday +#OutTotalToday/i)
    t.same(rows(lines)[0]?.slice(0, 2), [cluster.clusterName, cluster.brokerName])
  },

  'topicList names the topics': async (t, { mqadmin, topic }) => {
    const names = await mqadmin('topicList')
    for (const name of [topic, 'TBW102', 'SCHEDULE_TOPIC_XXXX']) t.ok(names.includes(name), name)
  },

  'topicClusterList names the cluster of a topic': async (t, { mqadmin, cluster, topic }) => {
    t.same(await mqadmin('topicClusterList', '-t', topic), [cluster.clusterName])
  },

  'topicRoute shows queues and addresses': async (t, { mqadmin, cluster, topic }) => {
    const text = (await mqadmin('topicRoute', '-t', topic)).join('\n')
    t.match(text, /"readQueueNums": ?2\b/)
    t.match(text, /"writeQueueNums": ?2\b/)
    t.match(text, /"perm": ?6\b/)
    t.ok(text.includes(`"${cluster.brokerAddr}"`))
    t.ok(text.includes(`"${cluster.brokerName}"`))
  },

  'topicStatus shows the offsets of each queue': async (t, { mqadmin, cluster, topic }) => {
    const table = rows(await mqadmin('topicStatus', '-t', topic)).filter(row => row[0] === cluster.brokerName)
    t.same(
      table.map(([, queueId, min, max]) => [queueId, min, max]),
      [
        ['0', '0', '3'],
        ['1', '0', '3']
      ]
    )
    for (const row of table) t.match(row[4], /^\d{4}-\d\d-\d\d$/)
  },

  'updateTopic makes and changes a topic, deleteTopic takes it away': async (t, { mqadmin, cluster }) => {
    const topic = fresh('made')
    const made = await mqadmin('updateTopic', '-b', cluster.brokerAddr, '-t', topic, '-r', '3', '-w', '3')
    t.match(made[0], `create topic to ${cluster.brokerAddr} success.`)
    t.match(made[1], `topicName=${topic}, readQueueNums=3, writeQueueNums=3, perm=RW-`)
    const changed = await mqadmin(
      'updateTopic',
      '-c',
      cluster.clusterName,
      '-t',
      topic,
      '-r',
      '5',
      '-w',
      '4',
      '-p',
      '4'
    )
    t.match(changed[0], `create topic to ${cluster.brokerAddr} success.`)
    await routeShows(mqadmin, topic, /"perm": ?4\b/, /"readQueueNums": ?5\b/, /"writeQueueNums": ?4\b/)
    t.same(await mqadmin('deleteTopic', '-c', cluster.clusterName, '-t', topic), [
      `delete topic [${topic}] from cluster [${cluster.clusterName}] success.`,
      `delete topic [${topic}] from NameServer success.`
    ])
    t.notOk((await mqadmin('topicList')).includes(topic))
    t.match((await mqadmin('topicRoute', '-t', topic)).join('\n'), /CODE: 17/, 'the route is gone')
  },

  'updateTopicPerm changes the permission alone': async (_t, { mqadmin, cluster }) => {
    const topic = fresh('perm')
    await mqadmin('updateTopic', '-b', cluster.brokerAddr, '-t', topic, '-r', '3', '-w', '3')
    await mqadmin('updateTopicPerm', '-b', cluster.brokerAddr, '-t', topic, '-p', '2')
    await routeShows(mqadmin, topic, /"perm": ?2\b/, /"readQueueNums": ?3\b/)
  },

  'updateSubGroup makes a group, deleteSubGroup takes it away': async (t, { mqadmin, cluster }) => {
    const group = fresh('made')
    const made = await mqadmin('updateSubGroup', '-b', cluster.brokerAddr, '-g', group, '-q', '2', '-r', '5')
    t.match(made[0], `create subscription group to ${cluster.brokerAddr} success.`)
    t.match(made.join('\n'), new RegExp(`groupName=${group}.*retryQueueNums=2, retryMaxTimes=5`))
    t.same(await mqadmin('deleteSubGroup', '-b', cluster.brokerAddr, '-g', group), [
      `delete subscription group [${group}] from broker [${cluster.brokerAddr}] success.`
    ])
  },

  'consumerProgress shows how far a group is': async (t, { mqadmin, cluster, topic, group }) => {
    let table: string[][] = []
    // A consumer reports its offsets by and by.
    await until(
      async () => {
        table = rows(await mqadmin('consumerProgress', '-g', group)).filter(row => row[0] === topic)
        return table.length === 2 && table.every(row => row[4] === '3')
      },
      () => `offsets of 3: ${JSON.stringify(table)}`
    )
    t.same(
      table.map(row => row.slice(0, 6)),
      [
        [topic, cluster.brokerName, '0', '3', '3', '0'],
        [topic, cluster.brokerName, '1', '3', '3', '0']
      ]
    )
    t.match((await mqadmin('consumerProgress', '-g', group)).join('\n'), /Diff Total: 0/)
  },

  'consumerProgress without a group lists the groups': async (t, { mqadmin, group }) => {
    const row = rows(await mqadmin('consumerProgress')).find(([name]) => name === group)
    t.same(row?.slice(1, 2), ['1'], 'one consumer')
    t.ok(row?.includes('PUSH'))
    t.ok(row?.includes('CLUSTERING'))
  },

  'consumerConnection shows clients and subscriptions': async (t, { mqadmin, version, topic, group }) => {
    const lines = (await mqadmin('consumerConnection', '-g', group)).join('\n')
    t.match(lines, new RegExp(`127\\.0\\.0\\.1:\\d+ +JAVA +V${version.replaceAll('.', '_')}`))
    t.match(lines, new RegExp(`${topic} +\\*`))
    t.match(lines, new RegExp(`%RETRY%${group} +\\*`))
    t.match(lines, 'ConsumeType: CONSUME_PASSIVELY')
    t.match(lines, 'MessageModel: CLUSTERING')
    t.match(lines, 'ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET')
  },

  'sendMessage sends, consumeMessage reads': async (t, { mqadmin, cluster, producer }) => {
    const topic = fresh('sent')
    await mqadmin('updateTopic', '-b', cluster.brokerAddr, '-t', topic, '-r', '1', '-w', '1')
    const sent = rows(await mqadmin('sendMessage', '-t', topic, '-p', 'sent by mqadmin', '-k', 'key-1', '-c', 'tag-1'))
    t.same(sent[0]?.slice(0, 3), [cluster.brokerName, '0', 'SEND_OK'])
    const msgId = sent[0]![3]!
    await producer.send({ topic, body: 'another' })
    await until(
      async () => rows(await mqadmin('topicStatus', '-t', topic)).some(row => row[3] === '2'),
      () => 'two messages in the queue'
    )
    const read = await mqadmin('consumeMessage', '-t', topic, '-b', cluster.brokerName, '-i', '0', '-o', '0', '-c', '2')
    const printed = read.filter(line => line.startsWith('MSGID: '))
    t.equal(printed.length, 2)
    t.match(printed[0], `MSGID: ${msgId} MessageExt [`)
    t.match(printed[0], /TAGS=tag-1/)
    t.match(printed[0], /BODY: sent by mqadmin/)
    t.match(printed[1], /BODY: another/)
  },

  'queryMsgById, queryMsgByUniqueKey and queryMsgByOffset show a message': async (t, stage) => {
    const { mqadmin, cluster, topic, sent, version } = stage
    const [first] = sent
    const shown = async (command: string, ...args: string[]) => (await mqadmin(command, ...args)).join('\n')
    const expected = [
      /^Topic: +topic_\w+$/m,
      /^Tags: +\[red\]$/m,
      /^Keys: +\[key-0\]$/m,
      new RegExp(`^Queue ID: +${first!.queueId}$`, 'm'),
      /^Queue Offset: +0$/m,
      /^Reconsume Times: +0$/m,
      /^Born Host: +127\.0\.0\.1:\d+$/m,
      new RegExp(`^Store Host: +${cluster.brokerAddr}$`, 'm')
    ]
    const byId = await shown('queryMsgById', '-i', first!.offsetMsgId, ...(version === '4.9.8' ? [] : ['-t', topic]))
    const byKey = await shown('queryMsgByUniqueKey', '-t', topic, '-i', first!.msgId)
    const byOffset = await shown(
      'queryMsgByOffset',
      '-t',
      topic,
      '-b',
      cluster.brokerName,
      '-i',
      `${first!.queueId}`,
      '-o',
      '0'
    )
    for (const each of expected) {
      t.match(byId, each)
      t.match(byKey, each)
      t.match(byOffset, each)
    }
  },

  'queryMsgByKey lists the messages of a key': async (t, { mqadmin, topic, sent }) => {
    const table = rows(await mqadmin('queryMsgByKey', '-t', topic, '-k', 'key-1'))
    t.same(
      table.map(row => row.slice(0, 3)),
      [[sent[1]!.msgId, `${sent[1]!.queueId}`, `${sent[1]!.queueOffset}`]]
    )
  },

  "brokerStatus shows the broker's figures": async (t, { mqadmin, cluster }) => {
    const table = new Map(
      (await mqadmin('brokerStatus', '-b', cluster.brokerAddr)).map(line => {
        const [, key, value] = /^(\S+)\s*:\s?(.*)$/.exec(line) ?? []
        return [key, value?.trim()]
      })
    )
    t.match(table.get('brokerVersionDesc'), /^V[45]_/)
    t.match(table.get('bootTimestamp'), /^\d{13}$/)
    t.match(table.get('putTps'), /^[\d.]+/)
    t.ok(Number(table.get('msgPutTotalTodayNow')) >= 6)
    t.ok(Number(table.get('commitLogMaxOffset')) > 0)
    t.match(table.get('commitLogDirCapacity'), /Total : .*, Free : /)
  },

  'resetOffsetByTime sets a group back': async (t, { mqadmin, cluster, client, topic }) => {
    const group = fresh('group')
    const reader = await client.pullConsumer(group)
    const [queue] = await (await client.producer(fresh('producers'))).queues(topic)
    await reader.pull(queue!, '*', 0, 32)
    await reader.updateOffset(queue!, 3)
    const lines = await mqadmin('resetOffsetByTime', '-g', group, '-t', topic, '-s', '0', '-f', 'true')
    t.match(lines.join('\n'), new RegExp(`group[^\\n]*${group}`))
    await until(
      async () => {
        const table = rows(await mqadmin('consumerProgress', '-g', group)).filter(row => row[0] === topic)
        return table.length > 0 && table.every(row => row[1] === cluster.brokerName && row[4] === '0')
      },
      () => 'offsets of 0'
    )
  },

  'wipeWritePerm takes a broker out of service for producers, addWritePerm brings it back': async (
    t,
    { mqadmin, cluster, topic }
  ) => {
    const perm = async () => /"perm": ?(\d)/.exec((await mqadmin('topicRoute', '-t', topic)).join('\n'))?.[1]
    const wiped = await mqadmin('wipeWritePerm', '-b', cluster.brokerName)
    t.match(
      wiped[0],
      new RegExp(`wipe write perm of broker\\[${cluster.brokerName}\\] in name server\\[.*\\] OK, \\d+`)
    )
    t.equal(await perm(), '4')
    const added = await mqadmin('addWritePerm', '-b', cluster.brokerName)
    t.match(added[0], new RegExp(`add write perm of broker\\[${cluster.brokerName}\\] in name server\\[.*\\] OK, \\d+`))
    t.equal(await perm(), '6')
  },

  'updateKvConfig and deleteKvConfig reach the NameServer': async (t, { mqadmin }) => {
    t.match((await mqadmin('updateKvConfig', '-s', 'interop', '-k', 'answer', '-v', '42')).join('\n'), /success/)
    t.match((await mqadmin('deleteKvConfig', '-s', 'interop', '-k', 'answer')).join('\n'), /success/)
  },

  'getBrokerConfig shows what updateBrokerConfig sets': async (t, { mqadmin, cluster }) => {
    const update = ['updateBrokerConfig', '-b', cluster.brokerAddr, '-k', 'fileReservedTime', '-v'] as const
    t.match((await mqadmin(...update, '71'))[0], `update broker config success, ${cluster.brokerAddr}`)
    const shown = (await mqadmin('getBrokerConfig', '-b', cluster.brokerAddr)).join('\n')
    t.match(shown, /^fileReservedTime += {2}71$/m)
    t.match(shown, new RegExp(`^brokerName +=  ${cluster.brokerName}$`, 'm'))
    await mqadmin(...update, '72')
  },

  'getSyncStateSet and getBrokerEpoch show the master and its epoch, without a controller': async (t, stage) => {
    if (isForeign || stage.version === '4.9.8') return
    const { mqadmin, cluster } = stage
    const state = (await mqadmin('getSyncStateSet', '-a', cluster.brokerAddr, '-b', cluster.brokerName)).join('\n')
    t.match(state, `#MasterAddr\t${cluster.brokerAddr}\n`)
    t.match(state, /#SyncStateSetNums\t1\n/)
    const [, epoch] = /#MasterEpoch\t(\d+)/.exec(state) ?? []
    const epochs = (await mqadmin('getBrokerEpoch', '-b', cluster.brokerName)).join('\n')
    t.match(epochs, `#brokerAddr\t${cluster.brokerAddr}\n#brokerId\t0\n`)
    t.match(epochs, new RegExp(`#Epoch: EpochEntry\\{epoch=${epoch}, startOffset=\\d+, endOffset=\\d+\\}`))
  },

  'producerConnection shows who sends': async (_t, { mqadmin, version, topic, client }) => {
    const group = fresh('producers')
    await (await client.producer(group)).send({ topic, body: 'hello' })
    await until(
      async () => {
        const lines = (await mqadmin('producerConnection', '-g', group, '-t', topic)).join('\n')
        return new RegExp(`127\\.0\\.0\\.1:\\d+ +JAVA +V${version.replaceAll('.', '_')}`).test(lines)
      },
      () => 'the producer'
    )
  }
}

// On a cluster that they share, one takes the other's write permission away.
t.jobs = isForeign ? 1 : javaVersions.length

async function prepare(t: Test, version: (typeof javaVersions)[number]): Promise<Stage> {
  const cluster = await startCluster(t)
  const client = await startJava(t, cluster, version)
  const topic = fresh('topic')
  const group = fresh('group')
  await client.createTopic(cluster.brokerAddr, topic, 2)
  const producer = await client.producer(fresh('producers'))
  const outgoing = Array.from({ length: 6 }, (_, i) => ({ topic, body: `text ${i}`, tags: 'red', keys: `key-${i}` }))
  const sent = await producer.send(...outgoing)
  const consumer = await client.push({ group, subscribe: { [topic]: '*' } })
  await consumer.deliveries(6)
  const mqadmin = (...args: string[]) => client.main('org.apache.rocketmq.tools.command.MQAdminStartup', ...args).ended
  return { cluster, version, client, mqadmin, topic, group, producer, sent }
}

if (hasTools(t, 'java', 'javac', 'mvn'))
  for (const version of javaVersions)
    t.test(`mqadmin ${version}`, { buffered: true }, async t => {
      const stage = await prepare(t, version)
      for (const [name, scenario] of Object.entries(scenarios)) await t.test(name, t => scenario(t, stage))
    })
