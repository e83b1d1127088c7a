import { ClientError } from '../../client/index.ts'
import { NetError, RequestCode } from '../../net/index.ts'

/** Refusals of these requests are MQClientExceptions, which do not name the broker. MQClientAPIImpl */
const CLIENT_EXCEPTIONS: ReadonlySet<unknown> = new Set([
  RequestCode.UPDATE_AND_CREATE_TOPIC,
  RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
  RequestCode.PUT_KV_CONFIG,
  RequestCode.GET_KV_CONFIG,
  RequestCode.DELETE_KV_CONFIG,
  RequestCode.GET_ROUTEINFO_BY_TOPIC,
  RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
  RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
  RequestCode.WIPE_WRITE_PERM_OF_BROKER,
  RequestCode.ADD_WRITE_PERM_OF_BROKER,
  RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
  RequestCode.DELETE_SUBSCRIPTIONGROUP,
  RequestCode.DELETE_TOPIC_IN_BROKER,
  RequestCode.DELETE_TOPIC_IN_NAMESRV,
  RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
  RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE,
  RequestCode.CLEAN_UNUSED_TOPIC,
  RequestCode.DELETE_EXPIRED_COMMITLOG,
  RequestCode.GET_CONSUMER_RUNNING_INFO,
  RequestCode.CONSUME_MESSAGE_DIRECTLY,
  RequestCode.VIEW_BROKER_STATS_DATA,
  RequestCode.GET_BROKER_CONSUME_STATS,
  RequestCode.UPDATE_NAMESRV_CONFIG,
  RequestCode.GET_NAMESRV_CONFIG,
  RequestCode.QUERY_CONSUME_QUEUE,
  RequestCode.SET_MESSAGE_REQUEST_MODE
])

/** What scripts look for when there is nothing to show. */
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  GROUP_NOT_ONLINE: 'Not found the consumer group connection',
  NO_PROGRESS:
    'Not found the consumer group consume stats, because return offset table is empty, maybe the consumer not online',
  NO_PROGRESS_BROADCASTING:
    'Not found the consumer group consume stats, because return offset table is empty, the consumer is under the broadcast mode',
  MESSAGE_NOT_FOUND: 'query message by key finished, but no message.'
}

const client = (code: unknown, text: unknown): string =>
  `org.apache.rocketmq.client.exception.MQClientException: CODE: ${code}  DESC: ${text}`

/** An error as RocketMQ's tools name it, for scripts that read their output; without stack and without links. */
export function failureText(error: unknown): string {
  if (error instanceof NetError) {
    const { address, timeoutMs } = error.details
    if (error.code === 'CONNECT_FAILED')
      return `org.apache.rocketmq.remoting.exception.RemotingConnectException: connect to ${address} failed`
    if (error.code === 'REQUEST_TIMEOUT')
      return `org.apache.rocketmq.remoting.exception.RemotingTimeoutException: wait response on the channel <${address}> timeout, ${timeoutMs}(ms)`
  }
  if (error instanceof ClientError) {
    const { address, responseCode, requestCode, remark } = error.details
    if (error.code === 'NAMESRV_UNREACHABLE') return failureText(error.cause)
    if (error.code !== 'REFUSED' && responseCode !== undefined)
      return client(responseCode, DESCRIPTIONS[error.code] ?? error.message)
    if (error.code === 'REFUSED')
      return CLIENT_EXCEPTIONS.has(requestCode)
        ? client(responseCode, remark)
        : `org.apache.rocketmq.client.exception.MQBrokerException: CODE: ${responseCode}  DESC: ${remark} BROKER: ${address}`
  }
  return error instanceof Error ? error.message : String(error)
}
