import {
  OffsetResponseHeader,
  QueryConsumerOffsetHeader,
  RequestCode,
  ResponseCode,
  request,
  UpdateConsumerOffsetHeader
} from '../net/index.ts'
import { type ClientInstance, refusal } from './client-instance.ts'
import type { MessageQueue } from './message.ts'
import { NO_OFFSET, OffsetStore } from './offset-store.ts'

const TIMEOUT_MS = 5000

interface Stored {
  readonly queue: MessageQueue
  readonly offset: number
}

/** Offsets of the group, kept by the brokers of the queues. RemoteBrokerOffsetStore */
export class BrokerOffsetStore extends OffsetStore {
  private readonly instance: ClientInstance
  private readonly group: string
  /**
   * The first offset of each topic that went to each broker. The others wait for it: of two that come at once and are a
   * group's first, RocketMQ's broker may forget one. ConsumerOffsetManager#commitOffset
   */
  private readonly firsts = new Map<string, Promise<void>>()

  constructor(instance: ClientInstance, group: string, intervalMs: number) {
    super(intervalMs, instance.log)
    this.instance = instance
    this.group = group
  }

  async read({ topic, brokerName, queueId }: MessageQueue): Promise<number> {
    const { address } = await this.instance.findReadAddress(topic, brokerName)
    const fields = QueryConsumerOffsetHeader.encode({ consumerGroup: this.group, topic, queueId })
    const command = request(RequestCode.QUERY_CONSUMER_OFFSET, { ...fields, bname: brokerName })
    const answer = await this.instance.invoke(address, command, TIMEOUT_MS)
    if (answer.code === ResponseCode.QUERY_NOT_FOUND) return NO_OFFSET
    if (answer.code !== ResponseCode.SUCCESS) throw refusal(address, command, answer)
    return OffsetResponseHeader.decode(answer.extFields).offset
  }

  protected async write(offsets: readonly Stored[], wait: boolean): Promise<void> {
    await Promise.all(offsets.map(each => this.storeInTurn(each, wait)))
  }

  private async storeInTurn(each: Stored, wait: boolean): Promise<void> {
    const { topic, brokerName } = each.queue
    const place = `${topic}@${brokerName}`
    const first = this.firsts.get(place)
    if (first === undefined) {
      const storing = this.store(each, true)
      this.firsts.set(place, storing)
      try {
        await storing
      } catch (error) {
        this.firsts.delete(place)
        throw error
      }
      return
    }
    await first.catch(() => {})
    await this.store(each, wait)
  }

  private async store({ queue, offset }: Stored, wait: boolean): Promise<void> {
    const { topic, brokerName, queueId } = queue
    const { address } = await this.instance.findReadAddress(topic, brokerName)
    const fields = UpdateConsumerOffsetHeader.encode({
      consumerGroup: this.group,
      topic,
      queueId,
      commitOffset: offset
    })
    const command = request(RequestCode.UPDATE_CONSUMER_OFFSET, { ...fields, bname: brokerName })
    if (wait) await this.instance.call(address, command, TIMEOUT_MS)
    else await this.instance.invokeOneWay(address, command)
  }
}
