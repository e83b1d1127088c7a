import { formatBody, parseBody, RequestCode, request } from '../net/index.ts'
import type { ClientInstance } from './client-instance.ts'
import { type MessageQueue, queueKey } from './message.ts'
import { MASTER_ID } from './route.ts'

/** How long a lock counts as ours after the broker granted or renewed it. ProcessQueue: REBALANCE_LOCK_MAX_LIVE_TIME */
export const LOCK_VALID_MS = 30_000
/** How often locks are renewed. ProcessQueue: REBALANCE_LOCK_INTERVAL */
export const LOCK_RENEW_MS = 20_000
const TIMEOUT_MS = 1000

/** Locks of queues at their brokers, so that one client alone consumes a queue in order. RebalanceImpl#lock */
export class QueueLocks {
  private readonly instance: ClientInstance
  private readonly group: string

  constructor(instance: ClientInstance, group: string) {
    this.instance = instance
    this.group = group
  }

  /**
   * Takes or renews locks: for each queue true when it is ours, false when another client has it, and nothing when its
   * broker could not be asked. Never rejects.
   */
  async lock(queues: readonly MessageQueue[]): Promise<ReadonlyMap<string, boolean>> {
    const answers = new Map<string, boolean>()
    await Promise.all(
      [...byBroker(queues)].map(async ([brokerName, own]) => {
        try {
          const { address } = await this.instance.findReadAddress(own[0]!.topic, brokerName, MASTER_ID, true)
          const command = request(RequestCode.LOCK_BATCH_MQ, {}, this.body(own))
          const { body } = await this.instance.call(address, command, TIMEOUT_MS)
          const { lockOKMQSet = [] } = parseBody(body) as { lockOKMQSet?: MessageQueue[] }
          const granted = new Set(lockOKMQSet.map(queueKey))
          for (const queue of own) answers.set(queueKey(queue), granted.has(queueKey(queue)))
        } catch (error) {
          this.instance.log.warn({ brokerName, reason: (error as Error).message }, 'queues could not be locked')
          await this.instance.brokerFailed(own[0]!.topic)
        }
      })
    )
    return answers
  }

  /** Gives locks back. Never rejects: a lock that stays ends by itself. */
  async unlock(queues: readonly MessageQueue[]): Promise<void> {
    await Promise.all(
      [...byBroker(queues)].map(async ([brokerName, own]) => {
        const choice = this.instance.readAddress(brokerName, MASTER_ID, true)
        if (choice === undefined) return
        const command = request(RequestCode.UNLOCK_BATCH_MQ, {}, this.body(own))
        await this.instance.invokeOneWay(choice.address, command).catch(() => {})
      })
    )
  }

  private body(queues: readonly MessageQueue[]): string {
    return formatBody({
      clientId: this.instance.clientId,
      consumerGroup: this.group,
      mqSet: queues.map(({ brokerName, queueId, topic }) => ({ brokerName, queueId, topic })),
      onlyThisBroker: false
    })
  }
}

function byBroker(queues: readonly MessageQueue[]): Map<string, MessageQueue[]> {
  const brokers = new Map<string, MessageQueue[]>()
  for (const queue of queues) {
    const own = brokers.get(queue.brokerName)
    if (own === undefined) brokers.set(queue.brokerName, [queue])
    else own.push(queue)
  }
  return brokers
}
