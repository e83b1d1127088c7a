import type { Log } from '../net/index.ts'
import type { Message, MessageQueue } from './message.ts'
import type { Cached, ProcessQueue } from './process-queue.ts'

/** `later`: not consumed; deliver again after a while. */
export type ConsumeResult = 'success' | 'later'

/** What a listener is told beside the messages, and what it may set. ConsumeConcurrentlyContext, ConsumeOrderlyContext */
export interface ConsumeContext {
  readonly queue: MessageQueue
  /** Of a batch, the messages up to this index count as consumed, the others not. Default: all. Not when ordered. */
  ackIndex: number
  /**
   * When messages that were not consumed come again: 0 as the broker's back-off says, 1 to 18 after that delay level,
   * -1 never: they go to the dead letters. Default: 0. Not when ordered.
   */
  delayLevel: number
  /** When ordered: how long the queue rests before the messages come again, ms. Default: the consumer's suspendMs. */
  suspendMs: number
}

/**
 * Consumes messages: one, unless `consumeBatchSize` is more. They count as consumed when it returns or its promise
 * resolves; they come again when it throws, rejects, or says `later`.
 */
export type MessageListener = (
  messages: Message[],
  context: ConsumeContext
  // biome-ignore lint/suspicious/noConfusingVoidType: an async function without a return is a Promise<void>
) => ConsumeResult | void | Promise<ConsumeResult | void>

/** How a call of the listener ended; `released`: it did not look at the messages, they are as if never handed out. */
export interface Outcome {
  result: ConsumeResult | 'released'
  /** What it threw or rejected with. */
  error: unknown
  context: ConsumeContext
  tookMs: number
}

/** Calls the listener and hands its outcome on, at once when it did not return a promise. */
export function callListener(
  listener: MessageListener,
  messages: Message[],
  context: ConsumeContext,
  done: (outcome: Outcome) => void
): void {
  const startedMs = Date.now()
  const end = (result: unknown, error: unknown) =>
    done({
      result: result === 'later' || result === 'released' ? result : 'success',
      error,
      context,
      tookMs: Date.now() - startedMs
    })
  try {
    const result: unknown = listener(messages, context)
    if (isPromise(result)) {
      result.then(
        value => end(value, null),
        error => end('later', error)
      )
    } else end(result, null)
  } catch (error) {
    end('later', error)
  }
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'

export interface ConsumeServiceOptions {
  readonly listener: MessageListener
  /** Most calls of the listener that run at once. */
  readonly concurrency: number
  readonly batchSize: number
  readonly suspendMs: number
  /** One call at a time for a queue. */
  readonly exclusive: boolean
  readonly log: Log
}

/**
 * Hands cached messages to the listener, queue after queue in turn, never more calls at once than allowed. What an
 * outcome means is the subclass's. ConsumeMessageService
 */
export abstract class ConsumeService {
  protected readonly options: ConsumeServiceOptions
  /** Calls of the listener that may run at once. */
  capacity: number
  private running = 0
  private readonly ready: ProcessQueue[] = []
  private readonly scheduled = new Set<ProcessQueue>()
  private dispatching = false
  private stopped = false
  private idleCallbacks: (() => void)[] = []

  constructor(options: ConsumeServiceOptions) {
    this.options = options
    this.capacity = options.concurrency
  }

  /** Says what an outcome means. */
  protected abstract settle(cache: ProcessQueue, batch: readonly Cached[], outcome: Outcome): void

  /** Whether messages of a queue may be consumed now; the subclass calls `submit` when that changes. */
  protected mayConsume(_cache: ProcessQueue): boolean {
    return true
  }

  /** There are messages to consume, or they may be consumed now. */
  submit(cache: ProcessQueue): void {
    if (!this.scheduled.has(cache)) {
      this.scheduled.add(cache)
      this.ready.push(cache)
    }
    this.dispatch()
  }

  /** The listener gave messages back unseen: they come first. */
  private takeBack(cache: ProcessQueue, batch: readonly Cached[]): void {
    cache.giveBack(batch)
    if (this.scheduled.has(cache)) this.ready.splice(this.ready.indexOf(cache), 1)
    this.scheduled.add(cache)
    this.ready.unshift(cache)
  }

  /** Calls the listener as often as allowed. */
  dispatch(): void {
    if (this.dispatching || this.stopped) return
    this.dispatching = true
    while (this.running < this.capacity && this.ready.length > 0) this.serve(this.ready.shift()!)
    this.dispatching = false
  }

  /** Resolves to true when the listener does not run for a queue, to false when that takes longer than `limitMs`. */
  idle(limitMs: number, cache?: ProcessQueue): Promise<boolean> {
    const isIdle = () => (cache === undefined ? this.running : cache.calls) === 0
    return new Promise(resolve => {
      if (isIdle()) {
        resolve(true)
        return
      }
      const timer = setTimeout(() => end(false), limitMs)
      const check = () => {
        if (isIdle()) end(true)
      }
      const end = (result: boolean) => {
        clearTimeout(timer)
        this.idleCallbacks = this.idleCallbacks.filter(callback => callback !== check)
        resolve(result)
      }
      this.idleCallbacks.push(check)
    })
  }

  /** Calls the listener no more. */
  stop(): void {
    this.stopped = true
  }

  private serve(cache: ProcessQueue): void {
    this.scheduled.delete(cache)
    if ((this.options.exclusive && cache.calls > 0) || !this.mayConsume(cache)) return
    const batch = cache.take(this.options.batchSize)
    if (batch.length === 0) return
    if (!this.options.exclusive && cache.waiting) {
      this.scheduled.add(cache)
      this.ready.push(cache)
    }
    this.run(cache, batch)
  }

  private run(cache: ProcessQueue, batch: readonly Cached[]): void {
    const now = Date.now()
    const messages: Message[] = []
    for (const entry of batch) {
      entry.startedMs = now
      messages.push(entry.message)
    }
    cache.lastConsumeMs = now
    this.running++
    cache.calls++
    const context: ConsumeContext = {
      queue: cache.queue,
      ackIndex: batch.length - 1,
      delayLevel: 0,
      suspendMs: this.options.suspendMs
    }
    callListener(this.options.listener, messages, context, outcome => {
      this.running--
      cache.calls--
      if (outcome.error !== null)
        this.options.log.warn(
          { err: outcome.error, queue: cache.queue, messageId: messages[0]!.messageId },
          'the listener failed'
        )
      if (outcome.result === 'released') this.takeBack(cache, batch)
      else if (!cache.dropped) this.settle(cache, batch, outcome)
      if (cache.waiting) this.submit(cache)
      for (const callback of this.idleCallbacks) callback()
      this.dispatch()
    })
  }
}
