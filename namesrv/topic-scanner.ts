import type { TopicConfig } from './registration.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
/** More are not exact, and no field has so many. */
const MAX_DIGITS = 15

const TABLE = Buffer.from('"topicConfigTable":{')
/** The fields that are read, by the length of their names, which no two share. */
const FIELDS = new Map(
  (['perm', 'topicName', 'topicSysFlag', 'readQueueNums', 'writeQueueNums'] as const).map(name => [
    name.length,
    { name, bytes: Buffer.from(name) }
  ])
)

/** What brokers do not write; the general parser reads it, or says what is wrong. */
export class UnusualText extends Error {}

/**
 * Reads the topicConfigTable of a registration in place, topic by topic, in the compact form in which brokers write it: the
 * general parser would hold everything up for tens of milliseconds when there are 10,000, and leave their texts behind.
 */
export class TopicScanner implements Iterable<TopicConfig> {
  private readonly bytes: Buffer
  private readonly presets: Omit<TopicConfig, 'topicName'>
  /** Where the table's opening brace stands; below 0 without a table. */
  private readonly start: number
  /** What is read next; once all topics are read, what follows the table. */
  private pos: number

  /** `presets` stand for fields that a topic leaves out. */
  constructor(bytes: Buffer, presets: Omit<TopicConfig, 'topicName'>) {
    this.bytes = bytes
    this.presets = presets
    const at = bytes.indexOf(TABLE)
    this.start = at < 0 ? -1 : at + TABLE.length - 1
    this.pos = this.start + 1
  }

  /** The text without the topics, once they are read. */
  rest(): string {
    return `${this.bytes.toString('utf8', 0, this.start)}{}${this.bytes.toString('utf8', this.pos)}`
  }

  /** Throws UnusualText. */
  *[Symbol.iterator](): Generator<TopicConfig> {
    if (this.start < 0) throw new UnusualText()
    for (let first = true; this.another(first); first = false) yield this.topic()
  }

  /** Whether the object has one more member; steps over the comma in front of it, or over the end. */
  private another(first: boolean): boolean {
    if (this.bytes[this.pos] === CLOSE_BRACE) {
      this.pos++
      return false
    }
    if (!first) this.expect(COMMA)
    return true
  }

  private topic(): TopicConfig {
    const { bytes } = this
    const nameStart = this.pos + 1
    const nameEnd = this.plainText()
    this.expect(COLON)
    this.expect(OPEN_BRACE)
    const topic = { topicName: '', ...this.presets }
    for (let first = true; this.another(first); first = false) {
      const start = this.pos + 1
      const end = this.plainText()
      this.expect(COLON)
      const field = FIELDS.get(end - start)
      if (field === undefined || !this.startsWith(field.bytes, start)) this.skipValue()
      else if (field.name === 'topicName') {
        const valueStart = this.pos + 1
        topic.topicName = bytes.toString('latin1', valueStart, this.plainText())
      } else topic[field.name] = this.integer()
    }
    if (topic.topicName === '') topic.topicName = bytes.toString('latin1', nameStart, nameEnd)
    return topic
  }

  /** Steps over a text of plain ASCII; returns where its closing quote stands. */
  private plainText(): number {
    const { bytes } = this
    this.expect(QUOTE)
    let { pos } = this
    for (let byte = bytes[pos]; byte !== QUOTE; byte = bytes[++pos])
      if (byte === undefined || byte === BACKSLASH || byte < 0x20 || byte > 0x7e) throw new UnusualText()
    this.pos = pos + 1
    return pos
  }

  private integer(): number {
    const { bytes } = this
    const negative = bytes[this.pos] === MINUS
    if (negative) this.pos++
    const start = this.pos
    let value = 0
    for (let byte = bytes[this.pos]!; byte >= ZERO && byte <= NINE; byte = bytes[++this.pos]!)
      value = value * 10 + byte - ZERO
    const next = bytes[this.pos]
    if (this.pos === start || this.pos - start > MAX_DIGITS || (next !== COMMA && next !== CLOSE_BRACE))
      throw new UnusualText()
    return negative ? -value : value
  }

  /** Over a value of no interest: up to the comma or brace that follows it. */
  private skipValue(): void {
    const { bytes } = this
    let depth = 0
    for (let byte = bytes[this.pos]; byte !== undefined; byte = bytes[++this.pos]) {
      if (byte === QUOTE) this.skipText()
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (depth-- === 0) return
      } else if (byte === COMMA && depth === 0) return
    }
  }

  /** From one quote to the other. */
  private skipText(): void {
    const { bytes } = this
    for (let byte = bytes[++this.pos]; byte !== QUOTE; byte = bytes[++this.pos])
      if (byte === undefined) throw new UnusualText()
      else if (byte === BACKSLASH) this.pos++
  }

  private startsWith(name: Buffer, start: number): boolean {
    for (let i = 0; i < name.length; i++) if (this.bytes[start + i] !== name[i]) return false
    return true
  }

  private expect(byte: number): void {
    if (this.bytes[this.pos] !== byte) throw new UnusualText()
    this.pos++
  }
}
