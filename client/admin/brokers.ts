import { formatBody, RequestCode } from '../../net/index.ts'
import type { BrokerEpochs, BrokerStats, HaStatus, SyncState } from './bodies.ts'
import { parseObject, parsePropertiesText } from './codec.ts'
import { NameServerAdmin } from './name-servers.ts'
import { formatProperties } from './routes.ts'

/** Brokers as a whole. */
export class BrokerAdmin extends NameServerAdmin {
  /** A broker's figures by name. MQAdminExt#fetchBrokerRuntimeStats */
  async brokerRuntimeInfo(address: string): Promise<Record<string, string>> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_RUNTIME_INFO)
    return parseObject<{ table: Record<string, string> }>(body).table ?? {}
  }

  /** A broker's settings, in the order in which it tells them. MQAdminExt#getBrokerConfig */
  async brokerConfig(address: string): Promise<Map<string, string>> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_CONFIG)
    return parsePropertiesText(body)
  }

  /** Changes settings of a running broker. MQAdminExt#updateBrokerConfig */
  async updateBrokerConfig(address: string, settings: Readonly<Record<string, string>>): Promise<void> {
    await this.ask(address, RequestCode.UPDATE_BROKER_CONFIG, {}, formatProperties(settings))
  }

  /** How often something happened: TOPIC_PUT_NUMS of a topic, GROUP_GET_NUMS of `topic@group` and others. MQAdminExt#viewBrokerStatsData */
  async brokerStats(address: string, statsName: string, statsKey: string): Promise<BrokerStats> {
    const { body } = await this.ask(address, RequestCode.VIEW_BROKER_STATS_DATA, { statsName, statsKey })
    return parseObject<BrokerStats>(body) as BrokerStats
  }

  /** How far the slaves of a broker are. MQAdminExt#getBrokerHAStatus */
  async haStatus(address: string): Promise<HaStatus> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_HA_STATUS)
    return parseObject<HaStatus>(body) as HaStatus
  }

  /** Which master wrote which part of a broker's log. MQAdminExt#getBrokerEpochCache */
  async brokerEpochs(address: string): Promise<BrokerEpochs> {
    const { body } = await this.ask(address, RequestCode.GET_BROKER_EPOCH_CACHE)
    return parseObject<BrokerEpochs>(body) as BrokerEpochs
  }

  /**
   * Who is in sync in broker sets, by their names: asked of a controller of RocketMQ, or of any broker of a set, which is
   * one's own controller. Names that it does not look after are missing. MQAdminExt#getInSyncStateData
   */
  async syncState(address: string, brokerNames: readonly string[]): Promise<Record<string, SyncState>> {
    const { extFields } = await this.ask(address, RequestCode.CONTROLLER_GET_METADATA_INFO)
    const leader = extFields?.controllerLeaderAddress || address
    const { body } = await this.ask(leader, RequestCode.CONTROLLER_GET_SYNC_STATE_DATA, {}, formatBody(brokerNames))
    return parseObject<{ replicasInfoTable: Record<string, SyncState> }>(body).replicasInfoTable ?? {}
  }

  /** Drops ConsumeQueues whose messages are gone. MQAdminExt#cleanExpiredConsumerQueueByAddr */
  async cleanExpiredConsumeQueue(address: string): Promise<void> {
    await this.ask(address, RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE)
  }

  /** Drops ConsumeQueues of topics that no longer exist. MQAdminExt#cleanUnusedTopicByAddr */
  async cleanUnusedTopic(address: string): Promise<void> {
    await this.ask(address, RequestCode.CLEAN_UNUSED_TOPIC)
  }

  /** Removes CommitLog files that are past their time, now. MQAdminExt#deleteExpiredCommitLogByAddr */
  async deleteExpiredCommitLog(address: string): Promise<void> {
    await this.ask(address, RequestCode.DELETE_EXPIRED_COMMITLOG)
  }
}
