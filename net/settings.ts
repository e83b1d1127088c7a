import { readFileSync } from 'node:fs'
import { parseLines, stringify } from 'dot-properties'
import { NetError } from './errors.ts'

// Configuration as Java has it: property files, and the same text as the body of requests 25, 26, 318 and 319.

/** One key. Its type is that of its default. */
export interface Setting {
  /** RocketMQ's default, which holds here unless `option` has another; null is a text that is not set. */
  readonly default: boolean | number | string | null
  /** Where the value goes, as `store.flushIntervalCommitLogMs`. A key without an option has no effect. */
  readonly option?: string
  /** What one unit of the key is in the option. Default: 1. */
  readonly scale?: number
  /** Smallest and largest number that is allowed. Default: 0 and the largest of 32 or 64 bits. */
  readonly range?: readonly [number, number]
  /** The words that are allowed. Default: any text. */
  readonly words?: readonly string[]
  /** What a text has to look like, and how to say so. */
  readonly form?: { readonly pattern: RegExp; readonly text: string }
  /** Whether the default is the only value allowed, for the reason that `note` gives. */
  readonly only?: boolean
  /** Whether a request can change it while the process runs. */
  readonly dynamic?: boolean
  /** What it does; of a key without an option, why it does nothing. */
  readonly note: string
}

export type Settings = Readonly<Record<string, Setting>>

/** Keys that have no effect, all for one reason; a value other than the default is warned of. */
export const withoutEffect = <K extends string>(note: string, defaults: Record<K, Setting['default']>) =>
  settingsOf({ note }, defaults)

/** Keys that only their default is allowed for, as what another value promises would not hold. */
export const defaultOnly = <K extends string>(note: string, defaults: Record<K, Setting['default']>) =>
  settingsOf({ note, only: true }, defaults)

function settingsOf<K extends string>(all: Omit<Setting, 'default'>, defaults: Record<K, Setting['default']>) {
  const entries = Object.entries<Setting['default']>(defaults)
  return Object.fromEntries(entries.map(([key, preset]) => [key, { default: preset, ...all }])) as Record<K, Setting>
}

/** Options that settings are read into. */
export interface Configurable {
  /** Keys that a request must not change, separated by `;`. */
  configBlackList: string
  /** Values of keys that have no effect, printed back to who asks. */
  inertSettings: Record<string, string>
}

/** Never changed by a request, whatever the black list says. Configuration */
const ALWAYS_BLACKLISTED = 'rocketmqHome'

/**
 * Reads a property file. Throws NetError CONFIG_UNREADABLE, or CONFIG_BAD_VALUE with file, key, value and what is allowed.
 * Keys that are unknown or have no effect come back as warnings.
 */
export function readSettings(settings: Settings, path: string): { options: object; warnings: string[] } {
  let values: Map<string, string>
  try {
    values = parseProperties(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new NetError('CONFIG_UNREADABLE', { path, reason: (cause as Error).message }, { cause })
  }
  const options = { inertSettings: {} }
  const warnings: string[] = []
  for (const [key, text] of values) {
    const setting = lookUp(settings, key)
    if (setting === undefined) {
      warnings.push(`${path}: ${unknown(settings, key)}`)
      continue
    }
    const value = readValue(setting, key, text, path)
    write(options, key, setting, value, text)
    if (setting.option === undefined && value !== setting.default)
      warnings.push(`${path}: ${key} has no effect: ${setting.note}`)
  }
  return { options, warnings }
}

/** All keys with the values that hold, one a line. Requests 26 and 319; Configuration#getAllConfigsFormatString */
export function settingsText(settings: Settings, options: Pick<Configurable, 'inertSettings'>): string {
  return Object.keys(settings)
    .sort()
    .map(key => [key, settingValue(settings[key]!, key, options)])
    .filter(([, value]) => value !== null)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

/**
 * Changes options by the text of a request 25 or 318: all keys of it, or none. Returns what was changed, and a remark on
 * keys that have no effect or are unknown, which RocketMQ takes without a word. Throws NetError CONFIG_TEXT_BAD,
 * CONFIG_BLACKLISTED, CONFIG_FIXED or CONFIG_BAD_VALUE. Configuration#update
 */
export function updateSettings(
  settings: Settings,
  options: Configurable,
  text: string
): { changed: Map<string, string>; remark: string | null } {
  let values: Map<string, string>
  try {
    values = parseProperties(text)
  } catch (cause) {
    throw new NetError('CONFIG_TEXT_BAD', {}, { cause })
  }
  const blackList = [ALWAYS_BLACKLISTED, ...options.configBlackList.split(';').map(key => key.trim())]
  if (blackList.some(key => values.has(key))) throw new NetError('CONFIG_BLACKLISTED')

  const changed = new Map<string, string>()
  const remarks: string[] = []
  const writes: (() => void)[] = []
  for (const [key, value] of values) {
    const setting = lookUp(settings, key)
    if (setting === undefined) {
      remarks.push(unknown(settings, key))
      continue
    }
    if (setting.option === undefined) remarks.push(`${key} has no effect: ${setting.note}`)
    else if (!setting.dynamic) throw new NetError('CONFIG_FIXED', { key })
    const read = readValue(setting, key, value, 'the request')
    writes.push(() => write(options, key, setting, read, value))
    changed.set(key, value)
  }
  for (const apply of writes) apply()
  return { changed, remark: remarks.length === 0 ? null : remarks.join('; ') }
}

/** The text of a property file with some values changed; comments, order and all else stay. */
export function mergeProperties(text: string, changes: ReadonlyMap<string, string>): string {
  const rest = new Map(changes)
  const lines = parseLines(text).map(line => {
    if (!Array.isArray(line)) return line
    const value = changes.get(line[0]!.trim())
    rest.delete(line[0]!.trim())
    return value === undefined ? line : [line[0]!, value]
  })
  return `${stringify([...lines, ...rest], { keySep: '=', latin1: false, lineWidth: null })}\n`
}

/** Java's rules for escapes, comments and separators; keys and values without space around them. Throws for a bad escape. */
export function parseProperties(text: string): Map<string, string> {
  const bad = /(?<!\\)(?:\\\\)*\\u(?![0-9a-fA-F]{4})/.exec(text.replace(/^[ \t\f]*[#!].*$/gm, ''))
  if (bad !== null) throw new Error('a \\u without four digits behind it')
  const pairs = parseLines(text).filter(line => Array.isArray(line))
  return new Map(pairs.map(([key = '', value = '']) => [key.trim(), value.trim()]))
}

/** The value that holds for a key, as text; null when it is not set. */
export function settingValue(
  setting: Setting,
  key: string,
  options: Pick<Configurable, 'inertSettings'>
): string | null {
  let value: unknown = options.inertSettings[key]
  if (setting.option !== undefined) {
    value = options
    for (const name of setting.option.split('.')) value = (value as Record<string, unknown> | undefined)?.[name]
    if (typeof value === 'number') value /= setting.scale ?? 1
  }
  value ??= setting.default
  return value === null ? null : String(value)
}

/** What may stand for a key, in words. */
export function allowedValues({ default: preset, form, note, only, range, words }: Setting): string {
  if (only) return `${preset ?? 'nothing'}: ${note}`
  if (typeof preset === 'boolean') return 'true or false'
  if (typeof preset === 'number') {
    const [min, max] = range ?? defaultRange(preset)
    return `a whole number from ${min} to ${max}`
  }
  return form?.text ?? words?.join(', ') ?? 'any text'
}

function readValue(setting: Setting, key: string, text: string, file: string): boolean | number | string {
  const { default: preset, form, only, words } = setting
  const bad = () => new NetError('CONFIG_BAD_VALUE', { file, key, value: text, allowed: allowedValues(setting) })
  const value = typeof preset === 'boolean' ? readBoolean(text) : typeof preset === 'number' ? readNumber(text) : text
  if (value === undefined || (only && value !== (preset ?? ''))) throw bad()
  if (typeof value === 'number') {
    const [min, max] = setting.range ?? defaultRange(preset as number)
    if (value < min || value > max) throw bad()
  }
  if (typeof value === 'string' && ((words && !words.includes(value)) || form?.pattern.test(value) === false))
    throw bad()
  return value
}

const readBoolean = (text: string): boolean | undefined =>
  /^(true|false)$/i.test(text) ? text.toLowerCase() === 'true' : undefined

const readNumber = (text: string): number | undefined => (/^[+-]?\d+$/.test(text) ? Number(text) : undefined)

const MAX_INT = 2_147_483_647
/** Negative numbers only where RocketMQ itself has one. */
const defaultRange = (preset: number): readonly [number, number] => [
  Math.min(preset, 0),
  preset > MAX_INT ? Number.MAX_SAFE_INTEGER : MAX_INT
]

function write(options: object, key: string, setting: Setting, value: boolean | number | string, text: string): void {
  if (setting.option === undefined) {
    const { inertSettings } = options as Configurable
    ;(options as Configurable).inertSettings = { ...inertSettings, [key]: text }
    return
  }
  const path = setting.option.split('.')
  const last = path.pop()!
  let target = options as Record<string, unknown>
  for (const name of path) {
    if (target[name] === undefined || Object.isFrozen(target[name])) target[name] = { ...(target[name] as object) }
    target = target[name] as Record<string, unknown>
  }
  target[last] = typeof value === 'number' ? value * (setting.scale ?? 1) : value
}

const lookUp = (settings: Settings, key: string): Setting | undefined =>
  Object.hasOwn(settings, key) ? settings[key] : undefined

const MAX_TYPING_ERRORS = 3

function unknown(settings: Settings, key: string): string {
  const [nearest] = Object.keys(settings)
    .map(name => ({ name, distance: editDistance(name.toLowerCase(), key.toLowerCase()) }))
    .filter(({ distance }) => distance <= MAX_TYPING_ERRORS)
    .sort((a, b) => a.distance - b.distance)
  return `the key ${key} is unknown${nearest === undefined ? '' : `; did you mean ${nearest.name}?`}`
}

/** How many letters to insert, remove or replace to make one text of the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++)
      next.push(Math.min(row[j]! + (letter === b[j] ? 0 : 1), row[j + 1]! + 1, next[j]! + 1))
    row = next
  }
  return row[b.length]!
}
