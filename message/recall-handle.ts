/** Names a message that is not yet due, so that its producer can recall it. RecallMessageHandle.HandleV1 */
export interface RecallHandle {
  topic: string
  brokerName: string
  /** A time in the slot in which it waits, ms. */
  deliverMs: string
  uniqueKey: string
}

export function encodeRecallHandle({ topic, brokerName, deliverMs, uniqueKey }: RecallHandle): string {
  const text = Buffer.from(`v1 ${topic} ${brokerName} ${deliverMs} ${uniqueKey}`).toString('base64url')
  // Java's encoder fills the last group.
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
}

/** Null when it is none. RecallMessageHandle#decodeHandle */
export function decodeRecallHandle(text: string): RecallHandle | null {
  const [version, topic, brokerName, deliverMs, uniqueKey] = Buffer.from(text, 'base64url').toString().split(' ')
  if (version !== 'v1' || !topic || !brokerName || !deliverMs || !uniqueKey) return null
  return /^\d{1,15}$/.test(deliverMs) ? { topic, brokerName, deliverMs, uniqueKey } : null
}
