import {
  ClusterHeader,
  DeleteTopicInNamesrvHeader,
  formatBody,
  GetRouteInfoHeader,
  NetError,
  parseBody,
  type RemotingCommand,
  RequestCode,
  type RequestDispatcher,
  ResponseCode,
  response,
  TopicHeader
} from '../../net/index.ts'
import type { QueueData } from '../broker-group.ts'
import type { NameServerState } from '../name-server.ts'
import { int } from '../registration.ts'

/** From this release, 4.9.4, clients read standard JSON. */
const FIRST_STANDARD_JSON_VERSION = 401
const UNIT_FLAG = 1
const UNIT_SUB_FLAG = 2

/** Routes and lists of topics. ClientRequestProcessor, DefaultRequestProcessor */
export function registerTopicProcessors(dispatcher: RequestDispatcher, state: NameServerState): void {
  const { options, routes } = state
  dispatcher.register(RequestCode.GET_ROUTEINFO_BY_TOPIC, getRoute)
  dispatcher.register(RequestCode.GET_BROKER_CLUSTER_INFO, getClusterInfo)
  dispatcher.register(RequestCode.REGISTER_TOPIC_IN_NAMESRV, registerTopic)
  dispatcher.register(RequestCode.DELETE_TOPIC_IN_NAMESRV, deleteTopic)
  dispatcher.register(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, () =>
    topicList(options.enableAllTopicList, () => routes.topicNames())
  )
  dispatcher.register(RequestCode.GET_TOPICS_BY_CLUSTER, request =>
    topicList(options.enableTopicList, () =>
      routes.topicNamesOfCluster(ClusterHeader.decode(request.extFields).cluster)
    )
  )
  dispatcher.register(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS, getSystemTopics)
  dispatcher.register(RequestCode.GET_UNIT_TOPIC_LIST, () => topicsByFlag(flag => (flag & UNIT_FLAG) !== 0))
  dispatcher.register(RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST, () => topicsByFlag(flag => (flag & UNIT_SUB_FLAG) !== 0))
  dispatcher.register(RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, () =>
    topicsByFlag(flag => (flag & (UNIT_FLAG | UNIT_SUB_FLAG)) === UNIT_SUB_FLAG)
  )

  function getRoute(request: RemotingCommand): RemotingCommand {
    const { topic, acceptStandardJsonOnly } = GetRouteInfoHeader.decode(request.extFields)
    if (options.needWaitForService && Date.now() < state.startedMs + options.waitForServiceMs)
      return response(ResponseCode.SYSTEM_ERROR, 'name server not ready')

    const { __ZONE_MODE: zoneMode, __ZONE_NAME: zone } = request.extFields!
    const standard = acceptStandardJsonOnly === true || request.version >= FIRST_STANDARD_JSON_VERSION
    const route = routes.route(
      topic,
      standard ? 'standard' : 'java',
      zoneMode?.toLowerCase() === 'true' ? zone : undefined
    )
    if (route !== null) return response(ResponseCode.SUCCESS, null, null, route)
    return response(
      ResponseCode.TOPIC_NOT_EXIST,
      `No topic route info in name server for the topic: ${topic}\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.`
    )
  }

  function getClusterInfo(): RemotingCommand {
    return response(ResponseCode.SUCCESS, null, null, formatBody(routes.clusterInfo()))
  }

  /** What a broker with enableSingleTopicRegister sends when a topic changed. */
  async function registerTopic(request: RemotingCommand): Promise<RemotingCommand> {
    const { topic } = TopicHeader.decode(request.extFields)
    if (request.body !== null) {
      const queues = readQueues(parseBody(request.body))
      await routes.inTurn(() => routes.registerTopic(topic, queues))
    }
    return response(ResponseCode.SUCCESS)
  }

  async function deleteTopic(request: RemotingCommand): Promise<RemotingCommand> {
    const { topic, clusterName } = DeleteTopicInNamesrvHeader.decode(request.extFields)
    await routes.inTurn(() => routes.deleteTopic(topic, clusterName || undefined))
    return response(ResponseCode.SUCCESS)
  }

  /** Names of clusters and brokers, which are topics too, and a broker that can be asked for the rest. */
  function getSystemTopics(): RemotingCommand {
    const { brokerAddrTable, clusterAddrTable } = routes.clusterInfo()
    const [anyBroker] = brokerAddrTable.values()
    const brokerAddr = anyBroker === undefined ? undefined : [...anyBroker.brokerAddrs.values()][0]
    const topicList = [...new Set([...clusterAddrTable].flat(2))]
    return response(ResponseCode.SUCCESS, null, null, formatBody({ brokerAddr, topicList }))
  }

  function topicsByFlag(check: (topicSysFlag: number) => boolean): RemotingCommand {
    return topicList(options.enableTopicList, () => routes.topicNamesByFlag(check))
  }

  function topicList(enabled: boolean, names: () => string[]): RemotingCommand {
    if (!enabled) return response(ResponseCode.SYSTEM_ERROR, 'disable')
    return response(ResponseCode.SUCCESS, null, null, formatBody({ topicList: names() }))
  }
}

/** The queueDatas of a TopicRouteData. Throws NetError BODY_BAD. */
function readQueues(body: unknown): QueueData[] {
  try {
    const { queueDatas } = body as { queueDatas?: QueueData[] }
    return (queueDatas ?? []).map(queues => ({
      brokerName: String(queues.brokerName),
      perm: int(queues.perm, 0),
      readQueueNums: int(queues.readQueueNums, 0),
      topicSysFlag: int(queues.topicSysFlag, 0),
      writeQueueNums: int(queues.writeQueueNums, 0)
    }))
  } catch (cause) {
    throw new NetError('BODY_BAD', { reason: (cause as Error).message }, { cause })
  }
}
