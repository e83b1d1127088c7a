import { PropertyName, SysFlag, TIMER_TOPIC } from '../message/index.ts'
import type { Broker } from './broker.ts'
import { BrokerError } from './errors.ts'
import type { InnerMessage } from './put.ts'

/** Java's Long.parseLong takes no more digits. */
const LONG = /^[+-]?\d{1,19}$/

/** When a message is due, ms, by the first of its properties that says so; undefined when none does, NaN when it cannot be read. */
function deliverMsOf(message: InnerMessage, nowMs: number): number | undefined {
  const { properties } = message
  const of = (name: string) => {
    const text = properties.get(name)
    return text === undefined ? undefined : LONG.test(text) ? Number(text) : Number.NaN
  }
  const delaySec = of(PropertyName.TIMER_DELAY_SEC)
  if (delaySec !== undefined) return nowMs + delaySec * 1000
  const delayMs = of(PropertyName.TIMER_DELAY_MS)
  if (delayMs !== undefined) return nowMs + delayMs
  return of(PropertyName.TIMER_DELIVER_MS)
}

/**
 * Sends a message that is due later to the timer's topic, from where it comes back. Throws BrokerError for one that the
 * timer does not take. HookUtils#handleScheduleMessage
 */
export function divertTimed(message: InnerMessage, broker: Broker): void {
  const transaction = message.sysFlag & SysFlag.TRANSACTION_MASK
  if (transaction === SysFlag.PREPARED || transaction === SysFlag.ROLLBACK) return
  const { properties, topic, queueId } = message
  if (Number(properties.get(PropertyName.DELAY)) > 0) return
  if (topic === TIMER_TOPIC || properties.has(PropertyName.TIMER_OUT_MS)) return
  const nowMs = broker.clock.now()
  const deliverMs = deliverMsOf(message, nowMs)
  if (deliverMs === undefined) return
  const { timer, options, store } = broker
  if (timer === null)
    throw new BrokerError('UNSUPPORTED', { reason: 'accurate timer message is not enabled, timerWheelEnable is false' })
  const illegal = (reason: string) => new BrokerError('MESSAGE_ILLEGAL', { reason: `timer message illegal, ${reason}` })
  if (Number.isNaN(deliverMs)) throw illegal('its delay or delivery time is not a whole number')
  if (deliverMs <= nowMs) {
    if (properties.has(PropertyName.TIMER_DEL_UNIQKEY))
      throw illegal(`the time ${deliverMs} of what it deletes has passed`)
    return
  }
  const maxMs = options.timerMaxDelaySec * 1000
  if (deliverMs - nowMs > maxMs) throw illegal(`it is due in ${deliverMs - nowMs} ms, the longest delay is ${maxMs} ms`)

  const { timerPrecisionMs } = store.options
  const outMs = (Math.ceil(deliverMs / timerPrecisionMs) - 1) * timerPrecisionMs
  const waiting = timer.store.waitingAt(outMs)
  const limit = options.timerCongestNumEachSlot
  if (waiting > limit && Math.random() < (waiting - limit) / limit)
    throw new BrokerError('UNSUPPORTED', {
      reason: `timer message is under flow control, ${waiting} messages are due at that time, the limit is ${limit}`
    })
  properties.set(PropertyName.TIMER_OUT_MS, String(outMs))
  properties.set(PropertyName.REAL_TOPIC, topic)
  properties.set(PropertyName.REAL_QID, String(queueId))
  message.topic = TIMER_TOPIC
  message.queueId = 0
}
