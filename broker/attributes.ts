import { BrokerError } from './errors.ts'

interface Attribute {
  /** The words that are allowed; without them a whole number. */
  readonly values?: readonly string[]
  /** Smallest number that is allowed. */
  readonly min?: number
  /** Whether it can be changed once the topic exists. */
  readonly changeable: boolean
  /** Values that RocketMQ knows and this broker does not serve. */
  readonly unserved?: readonly string[]
}

export type Attributes = Readonly<Record<string, Attribute>>

/** What can be set on a topic beside its queues. TopicAttributes */
export const TOPIC_ATTRIBUTES: Attributes = {
  'message.type': {
    values: ['UNSPECIFIED', 'MIXED', 'TRANSACTION', 'PRIORITY', 'FIFO', 'DELAY', 'LITE', 'NORMAL'],
    changeable: true,
    unserved: ['MIXED']
  },
  'queue.type': { values: ['SimpleCQ', 'BatchCQ'], changeable: false },
  'cleanup.policy': { values: ['DELETE', 'COMPACTION'], changeable: false },
  'reserve.time': { min: -1, changeable: true }
}

/** Groups have none. SubscriptionGroupAttributes */
export const GROUP_ATTRIBUTES: Attributes = {}

const bad = (reason: string): BrokerError => new BrokerError('UNSUPPORTED', { reason })

/** Reads `+key=value,-key`, the changes of a request; names keep their sign. Throws BrokerError UNSUPPORTED. AttributeParser#parseToMap */
export function parseAttributeChanges(text: string | undefined): Record<string, string> {
  const changes: Record<string, string> = {}
  for (const part of (text ?? '').split(',').map(each => each.trim())) {
    if (part === '') continue
    const [, sign, name, equals, value] = /^([+-]?)([^=]*)(=?)(.*)$/s.exec(part)!
    if (equals !== '' && sign !== '+') throw bad(`add/alter attribute format is wrong: ${name}`)
    if (equals === '' && sign !== '-') throw bad(`delete attribute format is wrong: ${part}`)
    if (`${sign}${name}` in changes) throw bad(`key duplication: ${sign}${name}`)
    changes[`${sign}${name}`] = value!.trim()
  }
  return changes
}

/**
 * The attributes that follow from those there are (null for something new) and the changes that a request makes.
 * Throws BrokerError UNSUPPORTED or INVALID_PARAMETER. AttributeUtil#alterCurrentAttributes
 */
export function alterAttributes(
  attributes: Attributes,
  current: Readonly<Record<string, string>> | null,
  changes: Readonly<Record<string, string>>
): Record<string, string> {
  const result = { ...current }
  for (const [signed, value] of Object.entries(changes)) {
    const sign = signed[0]
    const name = signed.slice(1)
    if (sign !== '+' && sign !== '-') throw bad(`wrong format key: ${signed}`)
    if (sign === '-') {
      if (current === null) throw bad(`only add attribute is supported while creating topic. key: ${name}`)
      if (!Object.hasOwn(attributes, name)) throw bad(`attempt to delete a nonexistent key: ${name}`)
      if (!attributes[name]!.changeable) throw bad(`attempt to delete an unchangeable attribute. key: ${name}`)
      delete result[name]
      continue
    }
    if (!Object.hasOwn(attributes, name)) throw bad(`unsupported key: ${name}`)
    const attribute = attributes[name]!
    if (current !== null && !attribute.changeable && current[name] !== value)
      throw bad(`attempt to update an unchangeable attribute. key: ${name}`)
    checkValue(name, attribute, value)
    result[name] = value
  }
  return result
}

function checkValue(name: string, { values, min, unserved }: Attribute, value: string): void {
  if (values !== undefined && !values.includes(value)) throw bad(`value is not in set: [${values.join(', ')}]`)
  if (min !== undefined && (!/^-?\d{1,18}$/.test(value) || Number(value) < min))
    throw bad(`value is not in range(${min}, 9223372036854775807)`)
  if (name === 'message.type' && value === 'MIXED')
    throw new BrokerError('INVALID_PARAMETER', { reason: 'MIXED message type is not supported.' })
  if (unserved?.includes(value))
    throw new BrokerError('INVALID_PARAMETER', { reason: `${name}=${value} is not supported by this broker` })
}
