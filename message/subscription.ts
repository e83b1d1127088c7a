import { MessageError } from './errors.ts'
import { javaHashCode } from './hash.ts'

/** What a consumer wants of a topic, as heartbeats carry it. SubscriptionData */
export interface SubscriptionData {
  topic: string
  /** The expression; `*` for everything. */
  subString: string
  tagsSet: string[]
  /** Java's hash of each tag: what ConsumeQueue units are compared with. */
  codeSet: number[]
  /** Grows with each change, ms. */
  subVersion: number
  expressionType: 'TAG' | 'SQL92'
  classFilterMode: boolean
}

export const ALL_TAGS = '*'

/** Reads `TagA || TagB`, `*` or nothing. Throws MessageError BAD_SUBSCRIPTION. FilterAPI#buildSubscriptionData */
export function subscriptionOf(
  topic: string,
  expression: string | null | undefined,
  expressionType = 'TAG'
): SubscriptionData {
  const data: SubscriptionData = {
    topic,
    subString: expression || ALL_TAGS,
    tagsSet: [],
    codeSet: [],
    subVersion: Date.now(),
    expressionType: 'TAG',
    classFilterMode: false
  }
  if (expressionType && expressionType !== 'TAG') {
    if (!expression) throw new MessageError('BAD_SUBSCRIPTION', { topic, expression })
    return { ...data, expressionType: 'SQL92' }
  }
  if (data.subString === ALL_TAGS) return data
  const tags = data.subString
    .split('||')
    .map(tag => tag.trim())
    .filter(tag => tag !== '')
  if (tags.length === 0) throw new MessageError('BAD_SUBSCRIPTION', { topic, expression })
  data.tagsSet = [...new Set(tags)]
  data.codeSet = [...new Set(data.tagsSet.map(tag => javaHashCode(tag)))]
  return data
}
