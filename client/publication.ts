import { SendRequestWriter, type SendTarget, type SerializeType } from '../net/index.ts'
import type { FaultStrategy } from './fault-strategy.ts'
import type { MessageQueue } from './message.ts'
import type { TopicRoute } from './route.ts'

/** What a producer keeps of each topic that it sends to. TopicPublishInfo */
export class Publication {
  /** As brokers know it. */
  readonly topic: string
  /** Null until it is known, and while nobody takes messages of the topic. */
  route: TopicRoute | null = null
  /** While the route is being asked for. */
  finding: Promise<void> | null = null

  private readonly target: Omit<SendTarget, 'code' | 'brokerName'>
  private readonly serializeType: SerializeType
  private next = Math.floor(Math.random() * 1000)
  /** Writers by request code and broker. */
  private readonly writers = new Map<number, Map<string, SendRequestWriter>>()

  constructor(target: Omit<SendTarget, 'code' | 'brokerName'>, serializeType: SerializeType) {
    this.topic = target.topic
    this.target = target
    this.serializeType = serializeType
  }

  /**
   * The next queue of a known route, one after the other: of a broker that is not to be avoided and, on a retry, is not
   * the one that failed; when there is none, of one that is not the failed one; else any. MQFaultStrategy
   */
  nextQueue(failedBroker: string | null, faults: FaultStrategy | null, now: number): MessageQueue {
    const queues = this.route!.publishQueues
    if (faults !== null)
      for (let i = 0; i < queues.length; i++) {
        const queue = this.take(queues)
        if (queue.brokerName !== failedBroker && faults.isAvailable(queue.brokerName, now)) return queue
      }
    if (failedBroker !== null)
      for (let i = 0; i < queues.length; i++) {
        const queue = this.take(queues)
        if (queue.brokerName !== failedBroker) return queue
      }
    return this.take(queues)
  }

  /** What writes requests of this code to this broker. */
  writer(code: number, brokerName: string): SendRequestWriter {
    const known = this.writers.get(code)?.get(brokerName)
    if (known !== undefined) return known
    const writer = new SendRequestWriter({ ...this.target, code, brokerName }, this.serializeType)
    const byBroker = this.writers.get(code) ?? new Map<string, SendRequestWriter>()
    this.writers.set(code, byBroker.set(brokerName, writer))
    return writer
  }

  private take(queues: readonly MessageQueue[]): MessageQueue {
    this.next = (this.next + 1) % queues.length
    return queues[this.next]!
  }
}
