import { DLQ_PREFIX, isSystemGroup, isSystemTopic, RETRY_PREFIX } from '../message/index.ts'

const SEPARATOR = '%'
const prefixOf = (name: string): string => [RETRY_PREFIX, DLQ_PREFIX].find(prefix => name.startsWith(prefix)) ?? ''

/** A topic or group as brokers know it: `namespace%name`, behind the prefix of a retry topic. NamespaceUtil#wrapNamespace */
export function withNamespace(namespace: string, name: string): string {
  if (namespace === '' || isSystemTopic(name) || isSystemGroup(name)) return name
  const prefix = prefixOf(name)
  const own = name.slice(prefix.length)
  return own.startsWith(namespace + SEPARATOR) ? name : prefix + namespace + SEPARATOR + own
}

/** A topic or group as the application knows it. NamespaceUtil#withoutNamespace */
export function withoutNamespace(namespace: string, name: string): string {
  if (namespace === '') return name
  const prefix = prefixOf(name)
  const own = name.slice(prefix.length)
  return own.startsWith(namespace + SEPARATOR) ? prefix + own.slice(namespace.length + SEPARATOR.length) : name
}
