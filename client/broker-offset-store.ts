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

/** Offsets of the group, kept by the brokers of the queues. RemoteBrokerOffsetStore */
export class BrokerOffsetStore extends OffsetStore {
  private readonly instance: ClientInstance
  private readonly group: string

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

  protected async write(offsets: readonly { queue: MessageQueue; offset: number }[], wait: boolean): Promise<void> {
    await Promise.all(
      offsets.map(async ({ queue: { topic, brokerName, queueId }, offset }) => {
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
      })
    )
  }
}
