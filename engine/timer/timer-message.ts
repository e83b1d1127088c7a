import { decodeRecord, type MessageRecord, PropertyName, TIMER_TOPIC } from '../../message/index.ts'
import type { MessageStore } from '../message-store.ts'

const MAX_FOUND_BY_KEY = 64

/** When a timer message is due, ms; null when it does not say so. */
export function outMsOf({ properties }: Pick<MessageRecord, 'properties'>): number | null {
  const text = properties.get(PropertyName.TIMER_OUT_MS)
  const ms = Number(text)
  return text !== undefined && text !== '' && Number.isSafeInteger(ms) && ms >= 0 ? ms : null
}

/**
 * When a message is read that is due at `outMs` and taken up at `writeMs`: what is due after the window is put again before,
 * with time to spare. TimerMessageStore#doEnqueue
 */
export function placeOf(
  outMs: number,
  writeMs: number,
  windowSlots: number,
  precisionMs: number
): { dueMs: number; rolls: boolean } {
  const windowMs = windowSlots * precisionMs
  const beyondMs = outMs - writeMs - windowMs
  if (beyondMs < 0) return { dueMs: outMs, rolls: false }
  const isNear = beyondMs < Math.floor(windowSlots / 3) * precisionMs
  return { dueMs: writeMs + (isNear ? Math.floor(windowSlots / 2) * precisionMs : windowMs), rolls: true }
}

/** Whether a topic, its own or that of timer messages, has a message that was made of this one. */
export async function wasPutAgain(
  store: MessageStore,
  { properties, physicalOffset }: MessageRecord,
  topic: string
): Promise<boolean> {
  const key = properties.get(PropertyName.UNIQ_KEY)
  if (key === undefined) return false
  const { records } = await store.queryByKey(topic, key, MAX_FOUND_BY_KEY, 0, Number.MAX_SAFE_INTEGER)
  return records.some(bytes => {
    const found = decodeRecord(bytes)
    const isSame = (name: string) => found.properties.get(name) === properties.get(name)
    return (
      found.physicalOffset > physicalOffset &&
      found.topic === topic &&
      isSame(PropertyName.UNIQ_KEY) &&
      isSame(PropertyName.TIMER_OUT_MS) &&
      (topic !== TIMER_TOPIC || !isSame(PropertyName.TIMER_ROLL_TIMES))
    )
  })
}
