import { isRetryTopic, PropertyName, retryTopicOf, SysFlag } from '../message/index.ts'
import { ConsumerSendMsgBackHeader, RequestCode, request } from '../net/index.ts'
import type { ClientInstance } from './client-instance.ts'
import type { Message } from './message.ts'
import { withNamespace } from './namespace.ts'
import { Producer } from './producer.ts'

/** Every consumer is a producer of this group too. MixAll: CLIENT_INNER_PRODUCER_GROUP */
const INNER_PRODUCER_GROUP = 'CLIENT_INNER_PRODUCER'
const TIMEOUT_MS = 5000
/** The level of a first delivery's return; each further one waits a level longer. */
const FIRST_DELAY_LEVEL = 3

/** Returns what was not consumed to the group's retry topic, or to its dead letters. */
export class SendBack {
  private readonly instance: ClientInstance
  private readonly group: string
  private readonly namespace: string
  private readonly producer: Producer

  constructor(instance: ClientInstance, group: string, namespace: string) {
    this.instance = instance
    this.group = group
    this.namespace = namespace
    this.producer = new Producer({ group: INNER_PRODUCER_GROUP }, instance)
  }

  start(): Promise<void> {
    return this.producer.start()
  }

  close(): Promise<void> {
    return this.producer.close()
  }

  /**
   * Asks the message's broker to deliver it again; a broker that cannot is spared, and the message sent anew. Resolves to
   * whether one of both went well. DefaultMQPushConsumerImpl#sendMessageBack
   */
  async return(message: Message, delayLevel: number, maxReconsumeTimes: number): Promise<boolean> {
    const { brokerName, topic, messageId, physicalOffset } = message
    try {
      const originTopic = withNamespace(this.namespace, topic)
      const { address } = await this.instance.findReadAddress(originTopic, brokerName)
      const fields = ConsumerSendMsgBackHeader.encode({
        offset: physicalOffset,
        group: this.group,
        delayLevel,
        originMsgId: messageId,
        originTopic,
        unitMode: false,
        maxReconsumeTimes
      })
      const command = request(RequestCode.CONSUMER_SEND_MSG_BACK, { ...fields, bname: brokerName })
      await this.instance.call(address, command, TIMEOUT_MS)
      return true
    } catch (error) {
      this.instance.log.warn({ messageId, reason: (error as Error).message }, 'a message could not be sent back')
      return this.sendAnew(message, maxReconsumeTimes)
    }
  }

  /**
   * Sends a message to the group's retry topic as a message of its own; a broker that sees a higher count than the
   * maximum makes it a dead letter. Resolves to whether it was stored.
   */
  async sendAnew(message: Message, maxReconsumeTimes: number): Promise<boolean> {
    const { reconsumeTimes, messageId } = message
    const properties = new Map(message.properties)
    properties.delete(PropertyName.TRAN_MSG)
    if (!properties.has(PropertyName.ORIGIN_MESSAGE_ID)) properties.set(PropertyName.ORIGIN_MESSAGE_ID, messageId)
    if (!isRetryTopic(message.topic))
      properties.set(PropertyName.RETRY_TOPIC, withNamespace(this.namespace, message.topic))
    properties.set(PropertyName.DELAY, String(FIRST_DELAY_LEVEL + reconsumeTimes))
    try {
      await this.producer.sendRaw({
        topic: retryTopicOf(this.group),
        body: message.body,
        properties,
        flag: message.flag,
        sysFlag: message.sysFlag & SysFlag.MULTI_TAGS,
        reconsumeTimes: reconsumeTimes + 1,
        maxReconsumeTimes
      })
      return true
    } catch (error) {
      this.instance.log.error({ messageId, reason: (error as Error).message }, 'a message could not be sent again')
      return false
    }
  }
}
