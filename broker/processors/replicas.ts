import { formatBody, parseBody, RequestCode, ResponseCode, response } from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import type { ReplicationMaster } from '../replication/master.ts'

/**
 * Masters, slaves and how far they are. What RocketMQ's tools ask a controller, each master answers as the controller of its
 * own set, for it alone knows who keeps up. AdminBrokerProcessor, ControllerRequestProcessor
 */
export function registerReplicaRequests(broker: Broker): void {
  const { dispatcher, options } = broker
  const ownId = () => broker.failover?.id ?? options.brokerId

  // AdminBrokerProcessor#getBrokerHaStatus: of a master without slaves
  dispatcher.register(RequestCode.GET_BROKER_HA_STATUS, () => {
    const { master, slave, store } = broker
    const nowMs = broker.clock.now()
    const replicas = master?.replicas.all() ?? []
    const body = formatBody({
      haClientRuntimeInfo: {
        lastReadTimestamp: slave?.status.lastReadMs ?? 0,
        lastWriteTimestamp: slave?.status.lastWriteMs ?? 0,
        masterAddr: slave?.status.masterAddress || undefined,
        masterFlushOffset: 0,
        maxOffset: slave === null ? 0 : store.maxPhysicalOffset,
        transferredByteInSecond: slave?.status.bytesPerSecond ?? 0
      },
      haConnectionInfo: replicas.map(replica => ({
        addr: replica.address,
        diff: store.maxPhysicalOffset - replica.ackOffset,
        inSync: master!.replicas.isInSync(replica, nowMs),
        slaveAckOffset: replica.ackOffset,
        transferFromWhere: replica.ackOffset,
        transferredByteInSecond: replica.bytesPerSecond
      })),
      inSyncSlaveNums: master?.replicas.inSync(nowMs).length ?? 0,
      master: master !== null,
      masterCommitLogMaxOffset: master === null ? slave!.status.masterMaxOffset : store.maxPhysicalOffset
    })
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  // AdminBrokerProcessor#getBrokerEpochCache: the last epoch goes on, so far to the log's end
  dispatcher.register(RequestCode.GET_BROKER_EPOCH_CACHE, () => {
    const { brokerClusterName: clusterName, brokerName, brokerId } = broker.options
    const { maxPhysicalOffset: maxOffset } = broker.store
    const epochs = (broker.master ?? broker.slave)?.epochs.history.epochs ?? []
    const epochList = epochs.map(({ epoch, startOffset }, i) => ({
      endOffset: epochs[i + 1]?.startOffset ?? maxOffset,
      epoch,
      startOffset
    }))
    return response(
      ResponseCode.SUCCESS,
      null,
      null,
      formatBody({ brokerId, brokerName, clusterName, epochList, maxOffset })
    )
  })

  // handleControllerGetMetadataInfo: a slave names its master
  dispatcher.register(RequestCode.CONTROLLER_GET_METADATA_INFO, () => {
    const leads = broker.master !== null
    const leader = leads ? broker.address : broker.masterAddress()
    if (leader === null) return response(ResponseCode.CONTROLLER_NOT_LEADER, 'this broker knows no master of its set')
    const replicas = broker.master?.replicas.all() ?? []
    const peers = [{ brokerId: ownId(), address: broker.address }, ...replicas]
    return response(ResponseCode.SUCCESS, null, {
      group: options.brokerName,
      controllerLeaderId: leads ? String(ownId()) : '',
      controllerLeaderAddress: leader,
      isLeader: String(leads),
      peers: peers.map(({ brokerId, address }) => `${brokerId}-${address}`).join(';')
    })
  })

  // handleControllerGetSyncStateData: names of other sets are left out
  dispatcher.register(RequestCode.CONTROLLER_GET_SYNC_STATE_DATA, ({ body }) => {
    const { master } = broker
    if (master === null)
      return response(
        ResponseCode.CONTROLLER_NOT_LEADER,
        `this broker is a slave; its master is ${broker.masterAddress() ?? 'not known'}`
      )
    const names = parseBody(body)
    const replicasInfoTable =
      Array.isArray(names) && names.includes(options.brokerName) ? { [options.brokerName]: syncState(master) } : {}
    return response(ResponseCode.SUCCESS, null, {}, formatBody({ replicasInfoTable }))
  })

  /** BrokerReplicasInfo.ReplicasInfo; `ackOffset` and `diff`, in bytes, are ours. */
  function syncState({ replicas, epochs }: ReplicationMaster) {
    const end = broker.store.maxPhysicalOffset
    const set = replicas.syncStateSet(broker.clock.now())
    const identity = (brokerId: number, brokerAddress: string, ackOffset: number, alive = true) => ({
      ackOffset,
      alive,
      brokerAddress,
      brokerId,
      brokerName: options.brokerName,
      diff: Math.max(0, end - ackOffset)
    })
    const connected = replicas.all().map(({ brokerId, address, ackOffset }) => identity(brokerId, address, ackOffset))
    const gone = [...set].filter(id => !replicas.has(id)).map(id => identity(id, '', 0, false))
    return {
      inSyncReplicas: [
        identity(ownId(), broker.address, end),
        ...connected.filter(({ brokerId }) => set.has(brokerId)),
        ...gone
      ],
      masterAddress: broker.address,
      masterBrokerId: ownId(),
      masterEpoch: epochs.history.last,
      notInSyncReplicas: connected.filter(({ brokerId }) => !set.has(brokerId)),
      // Sets are not counted: a new one is in etcd, or is what the clock says.
      syncStateSetEpoch: 0
    }
  }
}
