import { NetError } from './errors.ts'

// RocketMQ's JSON dialect: what fastjson 1 and 2 write and read. Beside standard JSON it has unquoted integer keys,
// objects as keys (a MessageQueue as the key of a map), and references to a value that stands elsewhere in the body.

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const MAX_DEPTH = 64
/** Values that references may add up to, by character of the text: enough for any body, too few to fill the memory. */
const MAX_VALUES_PER_CHARACTER = 4
/** Digits of the longest int64. */
const MAX_INTEGER_DIGITS = 19
/**
 * A text that may hold what JSON.parse cannot give or must not: a reference, an integer that a double cannot carry, a key
 * `__proto__` in plain or escaped letters.
 */
const SPECIAL = /"\$ref"|\d{16}|__proto__|\\u00/
const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([^ux]))/g
/** What an escaped character stands for, where it is not the character itself. JSONScanner#scanString */
const ESCAPED: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  F: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '0': '\0'
}
const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y
const WORD = /[A-Za-z_$][\w$]*/y

/** Whether brackets stand deeper in each other than any body needs; what stands in texts does not count. */
function tooDeep(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (char === QUOTE) {
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++
    } else if (char === OPEN_BRACE || char === OPEN_BRACKET) {
      if (++depth > MAX_DEPTH) return true
    } else if (char === CLOSE_BRACE || char === CLOSE_BRACKET) depth--
  }
  return false
}

/** What a container holds, its keys included where they are objects. */
function partsOf(container: object): Iterable<unknown> {
  return container instanceof Map ? [...container].flat() : Object.values(container)
}

/** A map whose keys are objects comes back as a Map with those objects as keys. */
class DialectParser {
  private readonly text: string
  private pos = 0
  private depth = 0
  private readonly references: (() => void)[] = []
  private root: unknown

  constructor(text: string) {
    this.text = text
  }

  parse(): unknown {
    this.root = this.value()
    this.space()
    if (this.pos < this.text.length) throw this.broken('text behind the value')
    if (this.references.length > 0) {
      for (const resolve of this.references) resolve()
      this.checkReferences()
    }
    return this.root
  }

  /** References make a graph of the tree: it may neither turn in a circle nor unfold to more than a text could say. */
  private checkReferences(): void {
    const extents = new Map<object, { values: number; depth: number } | 'open'>()
    const extentOf = (container: object): { values: number; depth: number } => {
      const known = extents.get(container)
      if (known === 'open') throw this.broken('a reference to what it stands in')
      if (known !== undefined) return known
      extents.set(container, 'open')
      const extent = { values: 1, depth: 1 }
      for (const part of partsOf(container)) {
        if (part === null || typeof part !== 'object') extent.values++
        else {
          const { values, depth } = extentOf(part)
          extent.values += values
          extent.depth = Math.max(extent.depth, depth + 1)
        }
      }
      if (extent.depth > MAX_DEPTH) throw this.broken(`deeper than ${MAX_DEPTH}`)
      if (extent.values > MAX_VALUES_PER_CHARACTER * this.text.length)
        throw this.broken('references unfold to too much')
      extents.set(container, extent)
      return extent
    }
    if (this.root !== null && typeof this.root === 'object') extentOf(this.root)
  }

  private value(): unknown {
    this.space()
    const char = this.text[this.pos]
    if (char === '{') return this.nested(() => this.object())
    if (char === '[') return this.nested(() => this.array())
    if (char === '"' || char === "'") return this.string(char)
    if (char === '-' || (char !== undefined && char >= '0' && char <= '9')) return this.number()
    const word = this.match(WORD)
    if (word === 'true') return true
    if (word === 'false') return false
    if (word === 'null') return null
    throw this.broken('no value')
  }

  private nested<T>(read: () => T): T {
    if (++this.depth > MAX_DEPTH) throw this.broken(`deeper than ${MAX_DEPTH}`)
    const value = read()
    this.depth--
    return value
  }

  private object(): unknown {
    const entries: [unknown, unknown][] = []
    this.pos++
    this.space()
    while (this.text[this.pos] !== '}') {
      const key = this.key()
      this.expect(':')
      const entry: [unknown, unknown] = [key, this.value()]
      entries.push(entry)
      this.space()
      if (this.text[this.pos] === ',') this.pos++
      else if (this.text[this.pos] !== '}') throw this.broken('no , or } behind a value')
      this.space()
    }
    this.pos++
    if (!entries.some(([key]) => typeof key === 'object')) return this.plainObject(entries as [string, unknown][])
    const map = new Map(entries)
    for (const [key, value] of entries) {
      this.whenReference(value, target => map.set(key, target))
      this.whenReference(key, target => {
        const own = map.get(key)
        map.delete(key)
        map.set(target, own)
      })
    }
    return map
  }

  private plainObject(entries: [string, unknown][]): Record<string, unknown> {
    const object: Record<string, unknown> = {}
    for (const [key, value] of entries) {
      // It would change what the object inherits.
      if (key === '__proto__') continue
      object[key] = value
      this.whenReference(value, target => {
        object[key] = target
      })
    }
    return object
  }

  private key(): unknown {
    this.space()
    const char = this.text[this.pos]
    if (char === '"' || char === "'") return this.string(char)
    if (char === '{') return this.nested(() => this.object())
    const plain = this.match(NUMBER) ?? this.match(WORD)
    if (plain === null) throw this.broken('no key')
    return plain
  }

  private array(): unknown[] {
    const items: unknown[] = []
    this.pos++
    this.space()
    while (this.text[this.pos] !== ']') {
      const index = items.push(this.value()) - 1
      this.whenReference(items[index], target => {
        items[index] = target
      })
      this.space()
      if (this.text[this.pos] === ',') this.pos++
      else if (this.text[this.pos] !== ']') throw this.broken('no , or ] behind an item')
      this.space()
    }
    this.pos++
    return items
  }

  /** `{"$ref":"$.path"}` stands for a value elsewhere; it is put in its place when all is read. */
  private whenReference(value: unknown, replace: (target: unknown) => void): void {
    const path = (value as { $ref?: unknown } | null)?.$ref
    if (typeof path === 'string') this.references.push(() => replace(this.resolve(path)))
  }

  private resolve(path: string): unknown {
    let target = this.root
    for (const [, name, index] of path.matchAll(/\.([\w$%-]+)|\[(\d+)\]/g)) {
      if (target === null || typeof target !== 'object' || !Object.hasOwn(target, name ?? index!)) return null
      target = (target as Record<string, unknown>)[name ?? index!]
    }
    return target
  }

  private number(): number | bigint {
    const text = this.match(NUMBER)
    if (text === null) throw this.broken('no number')
    if (/^[LlDdFfBbSs]/.test(this.text[this.pos] ?? '')) this.pos++
    const number = Number(text)
    const digits = text.length - (text[0] === '-' ? 1 : 0)
    const exact = Number.isSafeInteger(number) || digits > MAX_INTEGER_DIGITS || !/^-?\d+$/.test(text)
    return exact ? number : BigInt(text)
  }

  private string(quote: string): string {
    const start = this.pos++
    while (this.text[this.pos] !== quote) {
      if (this.pos >= this.text.length) throw this.broken('a text without end')
      this.pos += this.text[this.pos] === '\\' ? 2 : 1
    }
    const raw = this.text.slice(start + 1, this.pos++)
    if (!raw.includes('\\')) return raw
    return raw.replace(ESCAPE, (_, unit?: string, byte?: string, char?: string) =>
      char === undefined ? String.fromCharCode(Number.parseInt((unit ?? byte)!, 16)) : (ESCAPED[char] ?? char)
    )
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.pos
    const found = pattern.exec(this.text)
    if (found === null) return null
    this.pos = pattern.lastIndex
    return found[0]
  }

  private expect(char: string): void {
    this.space()
    if (this.text[this.pos] !== char) throw this.broken(`no ${char}`)
    this.pos++
  }

  private space(): void {
    while (this.pos < this.text.length && this.text.charCodeAt(this.pos) <= 32) this.pos++
  }

  private broken(reason: string): NetError {
    return new NetError('BAD_JSON', { position: this.pos, reason })
  }
}

/**
 * Reads a body. Maps with integer keys become plain objects, maps with objects as keys a Map, integers beyond 2^53
 * bigints; keys `__proto__` are left out. Throws NetError BAD_JSON.
 */
export function parseBody(body: Uint8Array | string | null | undefined): unknown {
  const text =
    typeof body === 'string'
      ? body
      : body
        ? Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8')
        : ''
  return (SPECIAL.test(text) ? undefined : parseStandard(text)) ?? new DialectParser(text).parse()
}

/** Reads the JSON of a header, which has no references and no integers of 64 bits. Throws NetError BAD_JSON. */
export function parseHeaderText(text: string): unknown {
  return parseStandard(text) ?? new DialectParser(text).parse()
}

/** Undefined when it is not standard JSON: perhaps the dialect. */
function parseStandard(text: string): unknown {
  if (tooDeep(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export interface FormatOptions {
  /** Quote integer keys, so that the text is standard JSON. Default: false, as Java writes bodies. */
  standard?: boolean
  /** One entry a line, as in config files. Default: compact. */
  indent?: '\t'
}

/** Writes a body in Java's form: a Map with numbers or objects as keys writes them unquoted. JSON#toJSONString */
export function formatBody(value: unknown, { standard = false, indent }: FormatOptions = {}): string {
  const write = (item: unknown, margin: string): string => {
    if (item === null || item === undefined) return 'null'
    if (typeof item === 'bigint') return String(item)
    if (typeof item !== 'object') return JSON.stringify(item)
    const inner = indent === undefined ? '' : `${margin}${indent}`
    const join = (open: string, parts: string[], close: string): string =>
      parts.length === 0
        ? open + close
        : indent === undefined
          ? open + parts.join(',') + close
          : `${open}\n${parts.map(part => inner + part).join(',\n')}\n${margin}${close}`
    if (Array.isArray(item))
      return join(
        '[',
        item.map(part => write(part, inner)),
        ']'
      )
    const entries: [unknown, unknown][] = item instanceof Map ? [...item] : Object.entries(item)
    const key = (name: unknown): string => {
      if (typeof name === 'string') return JSON.stringify(name)
      return standard ? JSON.stringify(write(name, '')) : write(name, inner)
    }
    return join(
      '{',
      entries.filter(([, part]) => part !== undefined).map(([name, part]) => `${key(name)}:${write(part, inner)}`),
      '}'
    )
  }
  return write(value, '')
}
