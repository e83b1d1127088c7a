import type { ReplicaIdentity } from '../../client/index.ts'
import { timeMsText } from '../format.ts'
import type { Context, Run } from './command.ts'
import { forEachBroker, noSuchCluster, sleep } from './shared.ts'

/** Once, or with `-i` again and again. */
async function repeat({ given }: Context, run: () => Promise<void>): Promise<void> {
  do {
    await run()
    if (given.has('i')) await sleep(given.int('i', 3) * 1000)
  } while (given.has('i'))
}

/** The broker sets of `-b` and `-c`, with the addresses of their members by id. */
async function setsOf({ given, admin, print }: Context): Promise<[string, ReadonlyMap<number, string>][]> {
  const { brokerAddrTable, clusterAddrTable } = await admin.clusterInfo()
  const [name, cluster] = [given.get('b'), given.get('c')]
  const names = name === undefined ? clusterAddrTable[cluster!] : [name]
  if (names === undefined) noSuchCluster(print)
  return (names ?? []).map(each => [each, brokerAddrTable[each]?.brokerAddrs ?? new Map()])
}

const SLAVE_ROW = '%-32s  %-16s %16s %16s %16s %16s%n'

/** HAStatusSubCommand */
async function haStatus(context: Context): Promise<void> {
  const { admin, print, help } = context
  const show = async (address: string) => {
    const status = await admin.haStatus(address)
    if (status.master) {
      print('%n#MasterAddr\t%s%n', address)
      print('#MasterCommitLogMaxOffset\t%d%n', status.masterCommitLogMaxOffset)
      print('#SlaveNum\t%d%n#InSyncSlaveNum\t%d%n', status.haConnectionInfo.length, status.inSyncSlaveNums)
      print(
        SLAVE_ROW,
        '#SlaveAddr',
        '#SlaveAckOffset',
        '#Diff',
        '#TransferSpeed(KB/s)',
        '#Status',
        '#TransferFromWhere'
      )
      for (const {
        addr,
        slaveAckOffset,
        diff,
        transferredByteInSecond,
        inSync,
        transferFromWhere
      } of status.haConnectionInfo) {
        const speed = (transferredByteInSecond / 1024).toFixed(2)
        print(SLAVE_ROW, addr, slaveAckOffset, diff, speed, inSync ? 'OK' : 'Fall Behind', transferFromWhere)
      }
      return
    }
    const slave = status.haClientRuntimeInfo
    print('%n#MasterAddr\t%s%n#CommitLogMaxOffset\t%d%n', slave.masterAddr, slave.maxOffset)
    print('#TransferSpeed(KB/s)\t%.2f%n', slave.transferredByteInSecond / 1024)
    print('#LastReadTime\t%s%n', timeMsText(slave.lastReadTimestamp))
    print('#LastWriteTime\t%s%n', timeMsText(slave.lastWriteTimestamp))
    print('#MasterFlushOffset\t%s%n', slave.masterFlushOffset)
  }
  await repeat(context, async () => {
    if (!(await forEachBroker(context, show))) help()
  })
}

/** GetBrokerEpochSubCommand */
async function getBrokerEpoch(context: Context): Promise<void> {
  const { admin, print } = context
  await repeat(context, async () => {
    for (const [, members] of await setsOf(context))
      for (const address of members.values()) {
        const { clusterName, brokerName, brokerId, epochList } = await admin.brokerEpochs(address)
        print('%n#clusterName\t%s%n#brokerName\t%s%n', clusterName, brokerName)
        print('#brokerAddr\t%s%n#brokerId\t%d%n', address, brokerId)
        for (const { epoch, startOffset, endOffset } of epochList)
          print('#Epoch: EpochEntry{epoch=%d, startOffset=%d, endOffset=%d}%n', epoch, startOffset, endOffset)
      }
  })
}

/** GetSyncStateSetSubCommand; without `-a`, each broker set is asked itself, which then also says how far each replica is. */
async function getSyncStateSet(context: Context): Promise<void> {
  const { given, admin, print, help } = context
  if (!given.has('b') && !given.has('c')) {
    help()
    return
  }
  const replica = (title: string, { brokerName, brokerId, brokerAddress, alive, ackOffset, diff }: ReplicaIdentity) => {
    print("%n%s:\tReplicaIdentity{brokerName='%s', brokerId=%d, ", title, brokerName, brokerId)
    print("brokerAddress='%s', alive=%s}", brokerAddress, alive)
    if (ackOffset !== undefined) print('\t#AckOffset\t%d\t#Diff\t%d', ackOffset, diff)
    print('%n')
  }
  const show = async (controller: string, names: readonly string[]) => {
    for (const [name, state] of Object.entries(await admin.syncState(controller, names))) {
      print('%n#brokerName\t%s%n#MasterBrokerId\t%d%n', name, state.masterBrokerId)
      print('#MasterAddr\t%s%n#MasterEpoch\t%d%n', state.masterAddress, state.masterEpoch)
      print('#SyncStateSetEpoch\t%d%n', state.syncStateSetEpoch)
      print('#SyncStateSetNums\t%d%n', state.inSyncReplicas.length)
      for (const each of state.inSyncReplicas) replica('InSyncReplica', each)
      for (const each of state.notInSyncReplicas) replica('NotInSyncReplica', each)
    }
  }
  await repeat(context, async () => {
    const sets = await setsOf(context)
    const controller = given.get('a')
    if (controller !== undefined) {
      if (sets.length > 0)
        await show(
          controller,
          sets.map(([name]) => name)
        )
      return
    }
    for (const [name, members] of sets) {
      const [any] = members.values()
      if (any === undefined) print('%n#brokerName\t%s%n#MasterAddr\tnone%n', name)
      else await show(any, [name])
    }
  })
}

export const commands: Record<string, Run> = { haStatus, getSyncStateSet, getBrokerEpoch }
