import { flag, type Option, oneOf, required, value } from '../options.ts'
import type { Command, Run } from './command.ts'

// Every command of mqadmin, in the order of RocketMQ's help. What a command does is loaded when it runs.

type Family = () => Promise<Record<string, Run>>
const topics: Family = async () => (await import('./topics.ts')).commands
const groups: Family = async () => (await import('./groups.ts')).commands
const clients: Family = async () => (await import('./clients.ts')).commands
const offsets: Family = async () => (await import('./offsets.ts')).commands
const messages: Family = async () => (await import('./messages.ts')).commands
const sending: Family = async () => (await import('./sending.ts')).commands
const brokers: Family = async () => (await import('./brokers.ts')).commands
const replicas: Family = async () => (await import('./replicas.ts')).commands
const clusters: Family = async () => (await import('./clusters.ts')).commands
const nameServers: Family = async () => (await import('./name-servers.ts')).commands

const topic = required('t', 'topic', 'the topic')
const group = (long: string): Option => required('g', long, 'the consumer group')
const broker = value('b', 'brokerAddr', 'this broker, as host:port')
const cluster = value('c', 'clusterName', 'all brokers of this cluster')
const anyBroker = [broker, cluster]
const brokerSet = value('b', 'brokerName', 'the brokers of this name')
const interval = value('i', 'interval', 'again and again, after so many seconds')
const oneBroker = oneOf(broker, cluster)
const cleanOf = [
  value('b', 'brokerAddr', 'this broker, as host:port'),
  value('c', 'cluster', 'brokers of this cluster')
]
const route = value('c', 'cluster', 'only brokers of this cluster')
const beginTime = (short: string): Option =>
  value(short, 'beginTimestamp', 'stored from here on: ms since 1970 or yyyy-MM-dd#HH:mm:ss:SSS')
const endTime = value('e', 'endTimestamp', 'stored up to here: ms since 1970 or yyyy-MM-dd#HH:mm:ss:SSS')

const command = (name: string, javaClass: string, text: string, load: Family, ...options: Option[]): Command => ({
  name,
  text,
  options,
  javaClass,
  load
})

export const commands: readonly Command[] = [
  command(
    'updateTopic',
    'UpdateTopicSubCommand',
    'Create a topic or change it',
    topics,
    ...oneBroker,
    topic,
    value('r', 'readQueueNums', 'queues to read, default 8'),
    value('w', 'writeQueueNums', 'queues to write, default 8'),
    value('p', 'perm', 'permission: 2 write, 4 read, 6 both'),
    value('o', 'order', 'true for an ordered topic'),
    value('u', 'unit', 'true for a unit topic'),
    value('s', 'hasUnitSub', 'true if units subscribe to it'),
    value('a', 'attributes', 'attributes to set and to remove: +a=b,+c=d,-e')
  ),
  command(
    'updateTopicList',
    'UpdateTopicListSubCommand',
    'Create topics or change them, by a file',
    topics,
    ...oneBroker,
    required('f', 'filename', 'a JSON file with an array of TopicConfig')
  ),
  command(
    'deleteTopic',
    'DeleteTopicSubCommand',
    'Remove a topic from brokers and NameServers',
    topics,
    topic,
    required('c', 'clusterName', 'the cluster to remove it from')
  ),
  command(
    'updateSubGroup',
    'UpdateSubGroupSubCommand',
    'Create a consumer group or change it',
    groups,
    ...anyBroker,
    group('groupName'),
    value('s', 'consumeEnable', 'whether it may consume'),
    value('m', 'consumeFromMinEnable', 'whether it may begin at the first message'),
    value('d', 'consumeBroadcastEnable', 'whether it may broadcast'),
    value('o', 'consumeMessageOrderly', 'whether it consumes in order'),
    value('q', 'retryQueueNums', 'queues of its retry topic'),
    value('r', 'retryMaxTimes', 'deliveries of a failed message'),
    value('p', 'groupRetryPolicy', 'when a failed message comes again, as JSON'),
    value('i', 'brokerId', 'the id of the broker to consume from'),
    value('w', 'whichBrokerWhenConsumeSlowly', 'the id of the broker to consume old messages from'),
    value('a', 'notifyConsumerIdsChanged', 'whether members hear of changes'),
    value(null, 'attributes', 'attributes to set and to remove: +a=b,+c=d,-e')
  ),
  command(
    'updateSubGroupList',
    'UpdateSubGroupListSubCommand',
    'Create consumer groups or change them, by a file',
    groups,
    ...oneBroker,
    required('f', 'filename', 'a JSON file with an array of SubscriptionGroupConfig')
  ),
  command(
    'setConsumeMode',
    'SetConsumeModeSubCommand',
    'Let a group pull or pop a topic',
    groups,
    ...anyBroker,
    required('t', 'topicName', 'the topic'),
    group('groupName'),
    required('m', 'mode', 'PULL or POP'),
    value('q', 'popShareQueueNum', 'queues shared when popping')
  ),
  command(
    'deleteSubGroup',
    'DeleteSubscriptionGroupCommand',
    'Remove a consumer group',
    groups,
    ...anyBroker,
    group('groupName'),
    value('r', 'removeOffset', 'true to remove its offsets too')
  ),
  command(
    'updateBrokerConfig',
    'UpdateBrokerConfigSubCommand',
    'Change a setting of a running broker',
    brokers,
    ...anyBroker,
    value('a', 'updateAllBroker', 'slaves too'),
    required('k', 'key', 'the setting'),
    required('v', 'value', 'its value')
  ),
  command(
    'updateTopicPerm',
    'UpdateTopicPermSubCommand',
    "Change a topic's permission",
    topics,
    ...anyBroker,
    topic,
    required('p', 'perm', 'permission: 2 write, 4 read, 6 both')
  ),
  command(
    'topicRoute',
    'TopicRouteSubCommand',
    'Show where a topic lies',
    topics,
    topic,
    flag('l', 'list', 'as a list')
  ),
  command(
    'topicStatus',
    'TopicStatusSubCommand',
    'Show what the queues of a topic hold',
    topics,
    topic,
    value('c', 'cluster', 'take the route of this topic')
  ),
  command('topicClusterList', 'TopicClusterSubCommand', 'Show which clusters hold a topic', topics, topic),
  command('brokerStatus', 'BrokerStatusSubCommand', 'Show the figures of a broker', brokers, ...oneBroker),
  command(
    'queryMsgById',
    'QueryMsgByIdSubCommand',
    'Show a message by its id',
    messages,
    topic,
    required('i', 'msgId', 'ids, separated by commas'),
    value('g', 'consumerGroup', 'with -d: give it to a consumer of this group'),
    value('d', 'clientId', 'with -g: the consumer'),
    value('s', 'sendMessage', 'true to send it again'),
    value('u', 'unitName', 'the unit to send it from'),
    value('f', 'bodyFormat', 'print the body in this character set'),
    route
  ),
  command(
    'queryMsgByKey',
    'QueryMsgByKeySubCommand',
    'List messages by a key',
    messages,
    topic,
    required('k', 'msgKey', 'the key'),
    value('b', 'beginTimestamp', 'stored from here on, ms since 1970, default 0'),
    value('e', 'endTimestamp', 'stored up to here, ms since 1970, default without end'),
    value('m', 'maxNum', 'messages at most, default 64'),
    value('p', 'keyType', 'K for keys, T for tags, default K'),
    value('l', 'lastKey', 'the index key to go on behind'),
    route
  ),
  command(
    'queryMsgByUniqueKey',
    'QueryMsgByUniqueKeySubCommand',
    'Show a message by the id that its producer gave it',
    messages,
    topic,
    required('i', 'msgId', 'the id'),
    value('g', 'consumerGroup', 'with -d: give it to a consumer of this group'),
    value('d', 'clientId', 'with -g: the consumer'),
    flag('a', 'showAll', 'all messages with this id, at most 32'),
    value('s', 'startTime', 'stored from here on, ms since 1970'),
    value('e', 'endTime', 'stored up to here, ms since 1970'),
    route
  ),
  command(
    'queryMsgByOffset',
    'QueryMsgByOffsetSubCommand',
    'Show a message by its place in a queue',
    messages,
    topic,
    required('b', 'brokerName', 'the name of the broker'),
    required('i', 'queueId', 'the queue'),
    required('o', 'offset', 'the offset in the queue'),
    value('f', 'bodyFormat', 'print the body in this character set'),
    value('r', 'routeTopic', 'take the route of this topic')
  ),
  command(
    'printMsg',
    'PrintMessageSubCommand',
    'Print the messages of a topic',
    messages,
    topic,
    value('c', 'charsetName', 'character set of the bodies, default UTF-8'),
    value('s', 'subExpression', 'only these tags: TagA || TagB'),
    beginTime('b'),
    endTime,
    value('d', 'printBody', 'false to leave bodies out'),
    value('l', 'lmqParentTopic', 'take the route of this topic')
  ),
  command(
    'printMsgByQueue',
    'PrintMessageByQueueCommand',
    'Print or count the messages of a queue',
    messages,
    topic,
    required('a', 'brokerName', 'the name of the broker'),
    required('i', 'queueId', 'the queue'),
    value('c', 'charsetName', 'character set of the bodies, default UTF-8'),
    value('s', 'subExpression', 'only these tags: TagA || TagB'),
    beginTime('b'),
    endTime,
    value('p', 'print msg', 'true to print messages'),
    value('d', 'printBody', 'true to print bodies too'),
    value('f', 'calculate', 'true to count messages by tag')
  ),
  command(
    'sendMsgStatus',
    'SendMsgStatusCommand',
    'Send messages to a broker and time them',
    sending,
    required('b', 'brokerName', 'the name of the broker'),
    value('s', 'messageSize', 'bytes of a message, default 128'),
    value('c', 'count', 'how many, default 50')
  ),
  command(
    'brokerConsumeStats',
    'BrokerConsumeStatsSubCommand',
    'Show how far the groups of a broker are',
    brokers,
    required('b', 'brokerAddr', 'the broker, as host:port'),
    value('t', 'timeoutMillis', 'ms to wait for the answer, default 50000'),
    value('l', 'level', 'only queues with at least so many messages to go'),
    value('o', 'order', 'true for ordered topics only')
  ),
  command(
    'producerConnection',
    'ProducerConnectionSubCommand',
    'List the members of a producer group',
    clients,
    required('g', 'producerGroup', 'the producer group'),
    topic
  ),
  command(
    'consumerConnection',
    'ConsumerConnectionSubCommand',
    'List the members of a consumer group and what they subscribe to',
    clients,
    group('consumerGroup'),
    value('b', 'brokerAddr', 'ask this broker, as host:port')
  ),
  command(
    'consumerProgress',
    'ConsumerProgressSubCommand',
    'Show how far consumer groups are',
    clients,
    value('g', 'groupName', 'this group, queue by queue'),
    value('t', 'topicName', 'only this topic'),
    value('s', 'showClientIP', 'true to show who has a queue'),
    value('c', 'cluster', 'take the route of this topic')
  ),
  command(
    'consumerStatus',
    'ConsumerStatusSubCommand',
    'Show what consumers tell of themselves',
    clients,
    group('consumerGroup'),
    value('b', 'brokerAddr', 'ask this broker, as host:port'),
    value('i', 'clientId', 'only this consumer'),
    flag('s', 'jstack', 'with the stacks of its threads')
  ),
  command(
    'cloneGroupOffset',
    'CloneGroupOffsetCommand',
    'Give a group the offsets of another',
    offsets,
    required('s', 'srcGroup', 'the group that has them'),
    required('d', 'destGroup', 'the group that gets them'),
    topic,
    value('o', 'offline', 'whether group or topic is offline')
  ),
  command(
    'producer',
    'ProducerSubCommand',
    'List the producers of a broker',
    clients,
    required('b', 'broker', 'the broker, as host:port')
  ),
  command(
    'clusterList',
    'ClusterListSubCommand',
    'List clusters and brokers',
    clusters,
    flag('m', 'moreStats', 'with messages in and out by day'),
    interval,
    value('c', 'clusterName', 'only this cluster')
  ),
  command(
    'topicList',
    'TopicListSubCommand',
    'List topics',
    topics,
    flag('c', 'clusterModel', 'with clusters and consumer groups')
  ),
  command(
    'updateKvConfig',
    'UpdateKvConfigCommand',
    'Set a value on all NameServers',
    nameServers,
    required('s', 'namespace', 'the namespace'),
    required('k', 'key', 'the key'),
    required('v', 'value', 'the value')
  ),
  command(
    'deleteKvConfig',
    'DeleteKvConfigCommand',
    'Remove a value from all NameServers',
    nameServers,
    required('s', 'namespace', 'the namespace'),
    required('k', 'key', 'the key')
  ),
  command(
    'wipeWritePerm',
    'WipeWritePermSubCommand',
    'Take the write permission from all topics of a broker, on every NameServer',
    nameServers,
    required('b', 'brokerName', 'the name of the broker')
  ),
  command(
    'addWritePerm',
    'AddWritePermSubCommand',
    'Give the write permission back to all topics of a broker, on every NameServer',
    nameServers,
    required('b', 'brokerName', 'the name of the broker')
  ),
  command(
    'resetOffsetByTime',
    'ResetOffsetByTimeCommand',
    'Set the offsets of a group to a time, while its clients run',
    offsets,
    group('group'),
    topic,
    required('s', 'timestamp', 'now, ms since 1970, or yyyy-MM-dd#HH:mm:ss:SSS; -1 for the end'),
    value('f', 'force', 'false to go back only'),
    value('c', 'cluster', 'take the route of this topic'),
    value('b', 'broker', 'with -q: this broker, as host:port or by name'),
    value('q', 'queue', 'with -b: only this queue'),
    value('o', 'offset', 'with -b and -q: this offset')
  ),
  command(
    'skipAccumulatedMessage',
    'SkipAccumulationSubCommand',
    'Let a group skip all that it has not consumed',
    offsets,
    group('group'),
    topic,
    value('f', 'force', 'false to go back only'),
    value('c', 'cluster', 'take the route of this topic')
  ),
  command(
    'updateOrderConf',
    'UpdateOrderConfCommand',
    'Set, show or remove the queues of an ordered topic',
    topics,
    topic,
    value('v', 'orderConf', 'broker1:count;broker2:count'),
    required('m', 'method', 'put, get or delete')
  ),
  command(
    'cleanExpiredCQ',
    'CleanExpiredCQSubCommand',
    'Drop ConsumeQueues whose messages are gone',
    brokers,
    ...cleanOf
  ),
  command(
    'deleteExpiredCommitLog',
    'DeleteExpiredCommitLogSubCommand',
    'Remove CommitLog files that are past their time',
    brokers,
    ...cleanOf
  ),
  command(
    'cleanUnusedTopic',
    'CleanUnusedTopicCommand',
    'Drop ConsumeQueues of topics that no longer exist',
    brokers,
    ...cleanOf
  ),
  command(
    'statsAll',
    'StatsAllSubCommand',
    'Show the traffic of topics and groups',
    clusters,
    flag('a', 'activeTopic', 'only topics with traffic'),
    value('t', 'topic', 'only this topic')
  ),
  command(
    'allocateMQ',
    'AllocateMQSubCommand',
    'Show how clients would share the queues of a topic',
    topics,
    topic,
    required('i', 'ipList', 'the clients, separated by commas')
  ),
  command(
    'checkMsgSendRT',
    'CheckMsgSendRTCommand',
    'Send messages to a topic and time them',
    sending,
    topic,
    value('a', 'amount', 'how many, default 100'),
    value('s', 'size', 'bytes of a message, default 128')
  ),
  command(
    'clusterRT',
    'CLusterSendMsgRTCommand',
    'Time sends to all brokers, again and again',
    sending,
    value('a', 'amount', 'messages per broker, default 100'),
    value('s', 'size', 'bytes of a message, default 128'),
    value('c', 'cluster', 'only this cluster'),
    value('p', 'print log', 'true for lines with | between values'),
    value('m', 'machine room', 'a name to print in them, default noname'),
    value('i', 'interval', 'seconds in between, default 10')
  ),
  command('getNamesrvConfig', 'GetNamesrvConfigCommand', 'Show the settings of NameServers', nameServers),
  command(
    'updateNamesrvConfig',
    'UpdateNamesrvConfigCommand',
    'Change a setting of running NameServers',
    nameServers,
    required('k', 'key', 'the setting'),
    required('v', 'value', 'its value')
  ),
  command('getBrokerConfig', 'GetBrokerConfigCommand', 'Show the settings of a broker', brokers, ...oneBroker),
  command(
    'getConsumerConfig',
    'GetConsumerConfigSubCommand',
    'Show a consumer group as the brokers have it',
    groups,
    group('groupName')
  ),
  command(
    'queryCq',
    'QueryConsumeQueueCommand',
    'Show entries of a ConsumeQueue',
    messages,
    topic,
    required('q', 'queue', 'the queue'),
    required('i', 'index', 'the first entry'),
    value('c', 'count', 'how many, default 10'),
    value('b', 'broker', 'the broker, as host:port'),
    value('g', 'consumer', 'tell which of them this group would get')
  ),
  command(
    'sendMessage',
    'SendMessageCommand',
    'Send a message',
    sending,
    topic,
    required('p', 'body', 'the body, a text'),
    value('k', 'key', 'its keys'),
    value('c', 'tags', 'its tag'),
    value('b', 'broker', 'with -i: the name of the broker'),
    value('i', 'qid', 'with -b: the queue'),
    value('m', 'msgTraceEnable', 'true to trace it, default false')
  ),
  command(
    'consumeMessage',
    'ConsumeMessageCommand',
    'Print messages of a topic, a queue, or from an offset on',
    messages,
    topic,
    value('b', 'brokerName', 'the name of the broker'),
    value('i', 'queueId', 'with -b: the queue'),
    value('o', 'offset', 'with -i: the first offset'),
    value('g', 'consumerGroup', 'read as this group'),
    beginTime('s'),
    endTime,
    value('c', 'MessageNumber', 'messages at most, default 128')
  ),
  command('haStatus', 'HAStatusSubCommand', 'Show how far slaves are', replicas, ...anyBroker, interval),
  command(
    'getSyncStateSet',
    'GetSyncStateSetSubCommand',
    'Show which replicas of broker sets are in sync',
    replicas,
    value('a', 'controllerAddress', 'ask this controller of RocketMQ, or broker; default: each broker set itself'),
    brokerSet,
    cluster,
    interval
  ),
  command(
    'getBrokerEpoch',
    'GetBrokerEpochSubCommand',
    'Show which master wrote which part of the log',
    replicas,
    ...oneOf(brokerSet, cluster),
    interval
  )
]
