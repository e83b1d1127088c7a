import { RequestCode } from '../../net/index.ts'
import { parseObject, parsePropertiesText } from './codec.ts'
import { formatProperties, RouteAdmin } from './routes.ts'

const ORDER_CONF = 'ORDER_TOPIC_CONFIG'

/** What NameServers keep beside routes. */
export class NameServerAdmin extends RouteAdmin {
  /** Sets a value on all NameServers. MQAdminExt#createAndUpdateKvConfig */
  async putKv(namespace: string, key: string, value: string): Promise<void> {
    for (const address of this.namesrvAddresses)
      await this.ask(address, RequestCode.PUT_KV_CONFIG, { namespace, key, value })
  }

  /** A value of the NameServer. Throws REFUSED with QUERY_NOT_FOUND (22). MQAdminExt#getKVConfig */
  async kv(namespace: string, key: string): Promise<string | null> {
    const answer = await this.askNameServer(RequestCode.GET_KV_CONFIG, { namespace, key })
    return answer.extFields?.value ?? null
  }

  /** All values of a namespace. MQAdminExt#getKVListByNamespace */
  async kvList(namespace: string): Promise<Record<string, string>> {
    const { body } = await this.askNameServer(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace })
    return parseObject<{ table: Record<string, string> }>(body).table ?? {}
  }

  /** Removes a value from all NameServers. MQAdminExt#deleteKvConfig */
  async deleteKv(namespace: string, key: string): Promise<void> {
    for (const address of this.namesrvAddresses)
      await this.ask(address, RequestCode.DELETE_KV_CONFIG, { namespace, key })
  }

  /** Which queues an ordered topic has: `broker-a:4;broker-b:4`. MQAdminExt#createOrUpdateOrderConf */
  putOrderConf(topic: string, conf: string): Promise<void> {
    return this.putKv(ORDER_CONF, topic, conf)
  }

  /** The same for one broker, `broker-a:4`; what is known of others stays. */
  async addOrderConf(topic: string, conf: string): Promise<void> {
    const nameOf = (part: string) => part.split(':', 1)[0]!
    const known = (await this.orderConf(topic).catch(() => null)) ?? ''
    const parts = known.split(';').filter(part => part !== '' && nameOf(part) !== nameOf(conf))
    await this.putOrderConf(topic, [...parts, conf].join(';'))
  }

  /** Throws REFUSED with QUERY_NOT_FOUND (22). */
  orderConf(topic: string): Promise<string | null> {
    return this.kv(ORDER_CONF, topic)
  }

  deleteOrderConf(topic: string): Promise<void> {
    return this.deleteKv(ORDER_CONF, topic)
  }

  /** Takes the write permission from all topics of a broker, on one NameServer; returns how many. MQAdminExt#wipeWritePermOfBroker */
  async wipeWritePerm(namesrvAddress: string, brokerName: string): Promise<number> {
    const answer = await this.ask(namesrvAddress, RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName })
    return Number(answer.extFields?.wipeTopicCount ?? 0)
  }

  /** Gives it back. MQAdminExt#addWritePermOfBroker */
  async addWritePerm(namesrvAddress: string, brokerName: string): Promise<number> {
    const answer = await this.ask(namesrvAddress, RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName })
    return Number(answer.extFields?.addTopicCount ?? 0)
  }

  /** A NameServer's settings. MQAdminExt#getNameServerConfig */
  async nameServerConfig(namesrvAddress: string): Promise<Map<string, string>> {
    const { body } = await this.ask(namesrvAddress, RequestCode.GET_NAMESRV_CONFIG)
    return parsePropertiesText(body)
  }

  /** Changes settings of a running NameServer. MQAdminExt#updateNameServerConfig */
  async updateNameServerConfig(namesrvAddress: string, settings: Readonly<Record<string, string>>): Promise<void> {
    await this.ask(namesrvAddress, RequestCode.UPDATE_NAMESRV_CONFIG, {}, formatProperties(settings))
  }
}
