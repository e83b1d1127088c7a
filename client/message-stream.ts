import type { ConsumeResult, MessageListener } from './consume-service.ts'
import type { Message } from './message.ts'

interface Delivery {
  readonly message: Message
  settle(result: ConsumeResult | 'released'): void
}

type Waiter = (delivery: Delivery | null) => void

/**
 * Messages for `for await`: a listener on one side, loops on the other. A message counts as consumed when its loop asks
 * for the next one; one that a loop is left with is handed to the next loop. Nothing is taken out ahead of the loops.
 */
export class MessageStream {
  private readonly waiters: Waiter[] = []
  /** Delivered while no loop waited. */
  private readonly kept: Delivery[] = []
  private readonly onLoops: (count: number) => void
  private loops = 0
  private closed = false

  /** `onLoops` is told how many loops there are, each of which takes one message at a time. */
  constructor(onLoops: (count: number) => void) {
    this.onLoops = onLoops
  }

  readonly listener: MessageListener = ([message]) =>
    new Promise<ConsumeResult>(resolve => {
      const delivery: Delivery = { message: message!, settle: resolve as Delivery['settle'] }
      const waiter = this.waiters.shift()
      if (waiter !== undefined) waiter(delivery)
      else if (this.closed) delivery.settle('released')
      else this.kept.push(delivery)
    })

  /** A loop of its own; several share the messages. */
  loop(): AsyncIterableIterator<Message> {
    let inHand: Delivery | null = null
    let ended = false
    this.onLoops(++this.loops)

    const next = async (): Promise<IteratorResult<Message>> => {
      inHand?.settle('success')
      inHand = null
      const delivery = ended ? null : await this.take()
      if (delivery === null) {
        end()
        return { done: true, value: undefined }
      }
      inHand = delivery
      return { done: false, value: delivery.message }
    }
    const end = () => {
      inHand?.settle('released')
      inHand = null
      if (ended) return
      ended = true
      this.onLoops(--this.loops)
    }
    return {
      next,
      return: async () => {
        end()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      }
    }
  }

  /** Ends the loops once they ask for the next message. */
  close(): void {
    this.closed = true
    for (const waiter of this.waiters.splice(0)) waiter(null)
    for (const delivery of this.kept.splice(0)) delivery.settle('released')
  }

  private take(): Delivery | null | Promise<Delivery | null> {
    const kept = this.kept.shift()
    if (kept !== undefined) return kept
    if (this.closed) return null
    return new Promise(resolve => this.waiters.push(resolve))
  }
}
