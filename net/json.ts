import { NetError } from './errors.ts'

// RocketMQ's JSON dialect: what fastjson 1 and 2 write and read. Beside standard JSON it has unquoted integer keys,
// objects as keys (a MessageQueue as the key of a map), and references to a value that stands elsewhere in the body.

const MAX_DEPTH = 64
/** A text that may hold what JSON.parse cannot give: a reference, or an integer that a double cannot carry. */
const SPECIAL = /"\$ref"|\d{16}/
const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y
const WORD = /[A-Za-z_$][\w$]*/y

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
    for (const resolve of this.references) resolve()
    return this.root
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
    const objectKeys = entries.some(([key]) => typeof key === 'object')
    const map = objectKeys ? new Map(entries) : Object.fromEntries(entries as [string, unknown][])
    for (const [key, value] of entries) {
      this.whenReference(value, target => (map instanceof Map ? map.set(key, target) : (map[key as string] = target)))
      if (objectKeys)
        this.whenReference(key, target => {
          const own = (map as Map<unknown, unknown>).get(key)
          ;(map as Map<unknown, unknown>).delete(key)
          ;(map as Map<unknown, unknown>).set(target, own)
        })
    }
    return map
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
      this.whenReference(items[index], target => (items[index] = target))
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
      if (target === null || typeof target !== 'object') return null
      target = (target as Record<string, unknown>)[name ?? index!]
    }
    return target ?? null
  }

  private number(): number | bigint {
    const text = this.match(NUMBER)
    if (text === null) throw this.broken('no number')
    if (/^[LlDdFfBbSs]/.test(this.text[this.pos] ?? '')) this.pos++
    const number = Number(text)
    return /^-?\d+$/.test(text) && !Number.isSafeInteger(number) ? BigInt(text) : number
  }

  private string(quote: string): string {
    const start = this.pos++
    while (this.text[this.pos] !== quote) {
      if (this.pos >= this.text.length) throw this.broken('a text without end')
      this.pos += this.text[this.pos] === '\\' ? 2 : 1
    }
    const raw = this.text.slice(start + 1, this.pos++)
    if (!raw.includes('\\')) return raw
    try {
      return JSON.parse(`"${raw.replace(/\\x([0-9a-fA-F]{2})/g, '\\u00$1').replace(/\\'/g, "'")}"`)
    } catch {
      throw this.broken('an unknown escape')
    }
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
 * bigints. Throws NetError BAD_JSON.
 */
export function parseBody(body: Uint8Array | string | null | undefined): unknown {
  const text = typeof body === 'string' ? body : Buffer.from(body ?? []).toString('utf8')
  if (!SPECIAL.test(text)) {
    try {
      return JSON.parse(text)
    } catch {
      // Not standard JSON: perhaps the dialect.
    }
  }
  return new DialectParser(text).parse()
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
    const key = (name: unknown): string =>
      typeof name === 'string' || standard ? JSON.stringify(String(name)) : write(name, inner)
    return join(
      '{',
      entries.filter(([, part]) => part !== undefined).map(([name, part]) => `${key(name)}:${write(part, inner)}`),
      '}'
    )
  }
  return write(value, '')
}
