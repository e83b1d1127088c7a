import {
  BrokerHeader,
  BrokerHeartbeatHeader,
  BrokerNameHeader,
  type Connection,
  formatBody,
  MemberGroupHeader,
  RegisterBrokerHeader,
  type RemotingCommand,
  RequestCode,
  type RequestDispatcher,
  ResponseCode,
  response
} from '../../net/index.ts'
import { ORDER_TOPIC_NAMESPACE } from '../kv-config.ts'
import type { NameServerState } from '../name-server.ts'
import { crc32, fingerprintOf, readDataVersion, readRegistration, sameVersion } from '../registration.ts'

/** Bodies that may wait for their turn over one connection; no broker has so many under way. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024

/** What brokers say of themselves, and what is asked about them. DefaultRequestProcessor */
export function registerBrokerProcessors(
  dispatcher: RequestDispatcher,
  { options, routes, kv }: NameServerState
): void {
  const waitingBytes = new WeakMap<Connection, number>()
  dispatcher.register(RequestCode.REGISTER_BROKER, registerBroker)
  dispatcher.register(RequestCode.UNREGISTER_BROKER, unregisterBroker)
  dispatcher.register(RequestCode.QUERY_DATA_VERSION, queryDataVersion)
  dispatcher.register(RequestCode.BROKER_HEARTBEAT, brokerHeartbeat)
  dispatcher.register(RequestCode.GET_BROKER_MEMBER_GROUP, getBrokerMemberGroup)
  dispatcher.register(RequestCode.WIPE_WRITE_PERM_OF_BROKER, wipeWritePermission)
  dispatcher.register(RequestCode.ADD_WRITE_PERM_OF_BROKER, addWritePermission)

  async function registerBroker(request: RemotingCommand, connection: Connection): Promise<RemotingCommand> {
    const header = RegisterBrokerHeader.decode(request.extFields)
    if (header.bodyCrc32 && header.bodyCrc32 !== crc32(request.body ?? new Uint8Array()))
      return response(ResponseCode.SYSTEM_ERROR, 'crc32 not match', {})

    const fingerprint = fingerprintOf(request)
    if (!routes.refresh(header, fingerprint, connection)) {
      const broker = { ...header, zoneName: request.extFields?.__ZONE_NAME }
      const waiting = waitingBytes.get(connection) ?? 0
      const bytes = request.body?.length ?? 0
      if (waiting > 0 && waiting + bytes > MAX_WAITING_BYTES)
        return response(ResponseCode.SYSTEM_BUSY, `${waiting} bytes of registrations wait on this connection`, {})
      waitingBytes.set(connection, waiting + bytes)
      const result = await routes
        .inTurn(async () => routes.register(broker, await readRegistration(request.body), fingerprint, connection))
        .finally(() => waitingBytes.set(connection, waitingBytes.get(connection)! - bytes))
      if (result === 'unknown')
        return response(
          ResponseCode.SYSTEM_ERROR,
          `register broker failed: ${header.brokerName} (id ${header.brokerId}) names a single topic before it registered all`,
          {}
        )
      if (result !== 'registered') return response(ResponseCode.SUCCESS, null, {})
    }
    const orderConfs = options.returnOrderTopicConfigToBroker ? kv.list(ORDER_TOPIC_NAMESPACE) : undefined
    return response(
      ResponseCode.SUCCESS,
      null,
      routes.masterOf(header.brokerName, header.brokerId),
      orderConfs && formatBody({ table: orderConfs })
    )
  }

  function unregisterBroker(request: RemotingCommand): RemotingCommand {
    const { brokerName, brokerAddr } = BrokerHeader.decode(request.extFields)
    routes.unregister(brokerName, brokerAddr)
    return response(ResponseCode.SUCCESS)
  }

  /** Also how a broker keeps itself alive. */
  function queryDataVersion(request: RemotingCommand): RemotingCommand {
    const { brokerName, brokerAddr } = BrokerHeader.decode(request.extFields)
    const held = routes.heartbeat(brokerName, brokerAddr)
    const changed = held === undefined || !sameVersion(held, readDataVersion(request.body))
    return response(
      ResponseCode.SUCCESS,
      null,
      { changed: String(changed) },
      held && formatBody({ counter: held.counter, stateVersion: held.stateVersion, timestamp: held.timestamp })
    )
  }

  function brokerHeartbeat(request: RemotingCommand): RemotingCommand {
    const { brokerName, brokerAddr } = BrokerHeartbeatHeader.decode(request.extFields)
    routes.heartbeat(brokerName, brokerAddr)
    return response(ResponseCode.SUCCESS)
  }

  function getBrokerMemberGroup(request: RemotingCommand): RemotingCommand {
    const { clusterName: cluster, brokerName } = MemberGroupHeader.decode(request.extFields)
    const brokerMemberGroup = { brokerAddrs: routes.members(brokerName), brokerName, cluster }
    return response(ResponseCode.SUCCESS, null, null, formatBody({ brokerMemberGroup }))
  }

  async function wipeWritePermission(request: RemotingCommand): Promise<RemotingCommand> {
    const { brokerName } = BrokerNameHeader.decode(request.extFields)
    const count = await routes.inTurn(() => routes.wipeWritePermission(brokerName))
    return response(ResponseCode.SUCCESS, null, { wipeTopicCount: String(count) })
  }

  async function addWritePermission(request: RemotingCommand): Promise<RemotingCommand> {
    const { brokerName } = BrokerNameHeader.decode(request.extFields)
    const count = await routes.inTurn(() => routes.addWritePermission(brokerName))
    return response(ResponseCode.SUCCESS, null, { addTopicCount: String(count) })
  }
}
