import {
  formatBody,
  KvConfigHeader,
  KvKeyHeader,
  NamespaceHeader,
  type RemotingCommand,
  RequestCode,
  type RequestDispatcher,
  ResponseCode,
  response
} from '../../net/index.ts'
import type { NameServerState } from '../name-server.ts'

/** Keys and values by namespace. A change is answered when it is durable. DefaultRequestProcessor */
export function registerKvProcessors(dispatcher: RequestDispatcher, { kv }: NameServerState): void {
  dispatcher.register(RequestCode.PUT_KV_CONFIG, put)
  dispatcher.register(RequestCode.GET_KV_CONFIG, get)
  dispatcher.register(RequestCode.DELETE_KV_CONFIG, remove)
  dispatcher.register(RequestCode.GET_KVLIST_BY_NAMESPACE, list)

  async function put({ extFields }: RemotingCommand): Promise<RemotingCommand> {
    if (extFields?.namespace === undefined || extFields.key === undefined)
      return response(ResponseCode.SYSTEM_ERROR, 'namespace or key is null')
    const { namespace, key, value } = KvConfigHeader.decode(extFields)
    await kv.put(namespace, key, value)
    return response(ResponseCode.SUCCESS)
  }

  function get({ extFields }: RemotingCommand): RemotingCommand {
    const { namespace, key } = KvKeyHeader.decode(extFields)
    const value = kv.get(namespace, key)
    if (value !== undefined) return response(ResponseCode.SUCCESS, null, { value })
    return response(ResponseCode.QUERY_NOT_FOUND, `No config item, Namespace: ${namespace} Key: ${key}`, {})
  }

  async function remove({ extFields }: RemotingCommand): Promise<RemotingCommand> {
    const { namespace, key } = KvKeyHeader.decode(extFields)
    await kv.delete(namespace, key)
    return response(ResponseCode.SUCCESS)
  }

  function list({ extFields }: RemotingCommand): RemotingCommand {
    const { namespace } = NamespaceHeader.decode(extFields)
    const table = kv.list(namespace)
    if (table !== undefined) return response(ResponseCode.SUCCESS, null, null, formatBody({ table }))
    return response(ResponseCode.QUERY_NOT_FOUND, `No config item, Namespace: ${namespace}`)
  }
}
