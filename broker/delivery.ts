import { type MessageStore, PutStatus, type PutWaiter } from '../engine/index.ts'
import { HALF_TOPIC, SCHEDULE_TOPIC } from '../message/index.ts'
import { type InnerMessage, isStored, toPut } from './put.ts'

/** Timers cannot wait longer. */
export const MAX_WAIT_MS = 0x7fff_ffff
/** What will not be stored the next time either, as far as anybody knows: those behind it must not wait for ever. */
const HOPELESS: readonly number[] = [
  PutStatus.MESSAGE_ILLEGAL,
  PutStatus.PROPERTIES_SIZE_EXCEEDED,
  PutStatus.LMQ_CONSUME_QUEUE_NUM_EXCEEDED
]

/** A message that waited, on its way into its own topic: how its put ends. */
export class Delivery implements PutWaiter {
  readonly message: InnerMessage
  readonly done: Promise<void>
  reason: string | null = null
  private status: number | null = null
  private resolve!: () => void

  constructor(message: InnerMessage) {
    this.message = message
    this.done = new Promise(resolve => {
      this.resolve = resolve
    })
  }

  onPut(status: number, _physicalOffset: number, _queueOffset: number, _time: number, reason: string | null): void {
    this.status = status
    this.reason = reason
    this.resolve()
  }

  /** Puts it, unless what it waited with names no place for it. */
  put(store: MessageStore): void {
    const { topic, queueId } = this.message
    if (
      topic === '' ||
      topic === SCHEDULE_TOPIC ||
      topic === HALF_TOPIC ||
      !(Number.isInteger(queueId) && queueId >= 0)
    )
      this.onPut(PutStatus.MESSAGE_ILLEGAL, -1, -1, 0, `its own topic is "${topic}", its queue ${queueId}`)
    else store.put(toPut(this.message), this)
  }

  get isStored(): boolean {
    return this.status !== null && isStored(this.status)
  }

  /** Whether it may be stored the next time. */
  get isRefused(): boolean {
    return this.status !== null && !this.isStored && !HOPELESS.includes(this.status)
  }
}
