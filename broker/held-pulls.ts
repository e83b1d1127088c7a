import type { Connection } from '../net/index.ts'

/** A pull that found nothing and waits for a message. PullRequest */
export interface HeldPull {
  readonly topic: string
  readonly queueId: number
  readonly connection: Connection
  /** The first queue offset that would satisfy it. */
  readonly offset: number
  readonly deadlineMs: number
  /** Whether a message with this tag would be wanted. */
  wants(tagsCode: number): boolean
  /** Runs the pull again, which answers this time in any case. */
  run(): void
}

interface Waiting {
  readonly pull: HeldPull
  /** Earlier than the deadline when messages came that it does not want. */
  endMs: number
  settled: boolean
}

/** A pull whose queue got only messages that it does not want is answered so much later, that it gets on. PullRequestHoldService */
const PASSED_BY_MS = 5000
const CONNECTION_STATE = Symbol('held pulls')
/** Deadlines are kept to this precision: one timer serves all pulls of a tick. */
const TICK_MS = 250

/**
 * Pulls that wait for messages, by queue. An arrival looks only at its own queue; deadlines lie in buckets of which the
 * earliest has a timer, so waiting costs nothing. PullRequestHoldService
 */
export class HeldPulls {
  private readonly queues = new Map<string, (Set<Waiting> | undefined)[]>()
  private readonly buckets = new Map<number, Set<Waiting>>()
  private ready: Waiting[] = []
  private count = 0
  private timer: NodeJS.Timeout | null = null
  private timerTick = Number.POSITIVE_INFINITY

  /** How many wait. */
  get size(): number {
    return this.count
  }

  hold(pull: HeldPull): void {
    const waiting: Waiting = { pull, endMs: pull.deadlineMs, settled: false }
    let queues = this.queues.get(pull.topic)
    if (queues === undefined) {
      queues = []
      this.queues.set(pull.topic, queues)
    }
    let queue = queues[pull.queueId]
    if (queue === undefined) {
      queue = new Set()
      queues[pull.queueId] = queue
    }
    queue.add(waiting)
    this.count++
    this.schedule(waiting)
    this.ofConnection(pull.connection).add(waiting)
  }

  private ofConnection(connection: Connection): Set<Waiting> {
    let held = connection.state.get(CONNECTION_STATE) as Set<Waiting> | undefined
    if (held === undefined) {
      const all = new Set<Waiting>()
      held = all
      connection.state.set(CONNECTION_STATE, all)
      connection.onClose(() => {
        for (const waiting of all) this.settle(waiting)
      })
    }
    return held
  }

  /** Called for every message that can be pulled now. */
  arrived(topic: string, queueId: number, maxQueueOffset: number, tagsCode: number): void {
    if (this.count === 0) return
    const queue = this.queues.get(topic)?.[queueId]
    if (queue === undefined) return
    for (const waiting of queue) {
      if (maxQueueOffset <= waiting.pull.offset) continue
      if (waiting.pull.wants(tagsCode)) {
        this.settle(waiting)
        this.wake(waiting)
      } else if (waiting.endMs === waiting.pull.deadlineMs) {
        const soon = Date.now() + PASSED_BY_MS
        if (soon < waiting.pull.deadlineMs) {
          this.unschedule(waiting)
          waiting.endMs = soon
          this.schedule(waiting)
        }
      }
    }
  }

  /** Those that were woken by one batch of messages run behind it, and get the batch at once. */
  private wake(waiting: Waiting): void {
    if (this.ready.push(waiting) > 1) return
    queueMicrotask(() => {
      const ready = this.ready
      this.ready = []
      for (const { pull } of ready) pull.run()
    })
  }

  /** Runs all again now. */
  wakeAll(): void {
    for (const bucket of [...this.buckets.values()])
      for (const waiting of [...bucket]) {
        this.settle(waiting)
        this.wake(waiting)
      }
  }

  /** Takes a pull out of all lists. */
  private settle(waiting: Waiting): void {
    if (waiting.settled) return
    waiting.settled = true
    this.count--
    const { topic, queueId, connection } = waiting.pull
    const queues = this.queues.get(topic)!
    const queue = queues[queueId]!
    queue.delete(waiting)
    if (queue.size === 0) {
      queues[queueId] = undefined
      if (queues.every(each => each === undefined)) this.queues.delete(topic)
    }
    this.unschedule(waiting)
    this.ofConnection(connection).delete(waiting)
  }

  private schedule(waiting: Waiting): void {
    const tick = Math.ceil(waiting.endMs / TICK_MS)
    let bucket = this.buckets.get(tick)
    if (bucket === undefined) {
      bucket = new Set()
      this.buckets.set(tick, bucket)
    }
    bucket.add(waiting)
    if (tick < this.timerTick) this.arm(tick)
  }

  private unschedule(waiting: Waiting): void {
    const tick = Math.ceil(waiting.endMs / TICK_MS)
    const bucket = this.buckets.get(tick)
    bucket?.delete(waiting)
    if (bucket?.size === 0) this.buckets.delete(tick)
  }

  private arm(tick: number): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timerTick = tick
    this.timer = setTimeout(() => this.expire(), Math.max(0, tick * TICK_MS - Date.now()))
    this.timer.unref()
  }

  private expire(): void {
    this.timer = null
    this.timerTick = Number.POSITIVE_INFINITY
    const now = Date.now() / TICK_MS
    let next = Number.POSITIVE_INFINITY
    for (const [tick, bucket] of [...this.buckets]) {
      if (tick > now) next = Math.min(next, tick)
      else
        for (const waiting of [...bucket]) {
          this.settle(waiting)
          this.wake(waiting)
        }
    }
    if (next !== Number.POSITIVE_INFINITY) this.arm(next)
  }

  /** Lets all go without an answer. */
  close(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.queues.clear()
    this.buckets.clear()
    this.count = 0
  }
}
