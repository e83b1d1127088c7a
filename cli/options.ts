// Command lines as RocketMQ's tools read them: `-t topic`, `-ttopic`, `-t=topic`, `--topic topic`, `--topic=topic`, a
// beginning of a long name that fits no other, `-topic`, several flags in one. Short names may have two letters.
// org.apache.commons.cli.DefaultParser, HelpFormatter

/** One option of a command. */
export interface Option {
  /** Null for an option with a long name only. */
  readonly short: string | null
  readonly long: string
  readonly text: string
  readonly takesValue: boolean
  readonly required: boolean
  /** Options of which at most one is given, exactly one when they are required; they share this array. */
  readonly alternatives?: readonly Option[]
}

/** An option with a value. */
export const value = (short: string | null, long: string, text: string): Option => ({
  short,
  long,
  text,
  takesValue: true,
  required: false
})

export const required = (short: string, long: string, text: string): Option => ({
  ...value(short, long, text),
  required: true
})

export const flag = (short: string, long: string, text: string): Option => ({
  ...value(short, long, text),
  takesValue: false
})

/** Exactly one of these must be given. */
export function oneOf(...options: Option[]): Option[] {
  const alternatives: Option[] = []
  alternatives.push(...options.map(option => ({ ...option, required: true, alternatives })))
  return alternatives
}

/** A command line that does not fit; the sentence is the one that RocketMQ's tools print. */
export class UsageError extends Error {}

const keyOf = ({ short, long }: Option): string => short ?? long

/** What was given, by an option's short name, or its long one if it has no other. */
export class GivenOptions {
  private readonly values = new Map<string, string>()

  add(option: Option, text: string): void {
    // Of an option that is repeated the first counts.
    const key = keyOf(option)
    if (!this.values.has(key)) this.values.set(key, text)
  }

  has(key: string): boolean {
    return this.values.has(key)
  }

  /** Without blanks around it. */
  get(key: string): string | undefined {
    return this.values.get(key)?.trim()
  }

  /** The value of a required option. */
  text(key: string): string {
    return this.get(key) ?? ''
  }

  /** A whole number. Throws when the value is none. */
  int(key: string, fallback: number): number {
    const text = this.get(key)
    if (text === undefined) return fallback
    const number = Number(text)
    if (!/^[+-]?\d+$/.test(text) || !Number.isFinite(number)) throw new TypeError(`For input string: "${text}"`)
    return number
  }

  /** Whether the value is `true`, in whatever case. Boolean#parseBoolean */
  bool(key: string, fallback = false): boolean {
    return this.get(key)?.toLowerCase() === 'true' || (!this.has(key) && fallback)
  }
}

class Parser {
  private readonly options: readonly Option[]
  private readonly given = new GivenOptions()
  private readonly missing: Set<Option | readonly Option[]>
  private readonly chosen = new Map<readonly Option[], Option>()
  /** The option whose value comes next. */
  private current: Option | null = null

  constructor(options: readonly Option[]) {
    this.options = options
    this.missing = new Set(options.filter(option => option.required).map(option => option.alternatives ?? option))
  }

  parse(args: readonly string[]): GivenOptions {
    for (const arg of args) {
      // What follows is neither option nor value.
      if (arg === '--') break
      if (this.current !== null && this.isValue(arg)) this.addValue(arg.replace(/^"(.*)"$/s, '$1'))
      else if (arg.startsWith('--')) this.long(arg)
      else if (arg.startsWith('-') && arg !== '-') this.shortOrLong(arg)
    }
    this.checkValue()
    // A question for help needs nothing else.
    if (this.missing.size > 0 && !this.given.has('h')) {
      const names = [...this.missing].map(item => ('takesValue' in item ? keyOf(item) : alternativesText(item)))
      throw new UsageError(`Missing required option${names.length === 1 ? '' : 's'}: ${names.join(', ')}`)
    }
    return this.given
  }

  private byShort(name: string): Option | undefined {
    return this.options.find(({ short }) => short === name)
  }

  /** The options whose long names are, or else begin with, this. */
  private byLong(name: string): Option[] {
    const exact = this.options.filter(({ long }) => long === name)
    return exact.length > 0 ? exact : this.options.filter(({ long }) => long.startsWith(name))
  }

  /** Whether an argument is a value rather than the next option; a negative number is a value. */
  private isValue(arg: string): boolean {
    if (!arg.startsWith('-') || arg === '-' || /^-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(arg)) return true
    const name = arg.replace(/^-{1,2}/, '').split('=', 1)[0]!
    if (this.byLong(name).length > 0) return false
    return arg.startsWith('--') || (!this.byShort(name) && !this.byShort(name.slice(0, 1)))
  }

  private long(arg: string): void {
    const [name = '', ...rest] = arg.replace(/^-{1,2}/, '').split('=')
    const [option, ...others] = this.byLong(name)
    if (option === undefined || (rest.length > 0 && !option.takesValue))
      throw new UsageError(`Unrecognized option: ${arg}`)
    if (others.length > 0) {
      const names = [option, ...others].map(({ long }) => `'${long}'`).join(', ')
      throw new UsageError(`Ambiguous option: '${arg.split('=', 1)[0]}'  (could be: ${names})`)
    }
    this.take(option)
    if (rest.length > 0) this.addValue(rest.join('='))
  }

  private shortOrLong(arg: string): void {
    const text = arg.slice(1)
    const equals = text.indexOf('=')
    const name = equals < 0 ? text : text.slice(0, equals)
    const exact = this.byShort(name)
    if (exact !== undefined && (equals < 0 || exact.takesValue)) {
      this.take(exact)
      if (equals >= 0) this.addValue(text.slice(equals + 1))
    } else if (name.length > 1 && this.byLong(name).length > 0) this.long(arg)
    else this.several(arg)
  }

  /** `-abc`: flags in one word, or a value that follows its option at once. */
  private several(arg: string): void {
    for (let i = 1; i < arg.length; i++) {
      const option = this.byShort(arg[i]!)
      if (option === undefined) throw new UsageError(`Unrecognized option: ${arg}`)
      this.take(option)
      if (this.current === null || i === arg.length - 1) continue
      this.addValue(arg.slice(i + 1))
      return
    }
  }

  private take(option: Option): void {
    this.checkValue()
    const { alternatives } = option
    if (alternatives !== undefined) {
      const other = this.chosen.get(alternatives)
      if (other !== undefined && other !== option)
        throw new UsageError(
          `The option '${keyOf(option)}' was specified but an option from this group has already been selected: '${keyOf(other)}'`
        )
      this.chosen.set(alternatives, option)
    }
    this.missing.delete(alternatives ?? option)
    if (option.takesValue) this.current = option
    else this.given.add(option, '')
  }

  private addValue(text: string): void {
    this.given.add(this.current!, text)
    this.current = null
  }

  private checkValue(): void {
    if (this.current !== null) throw new UsageError(`Missing argument for option: ${keyOf(this.current)}`)
  }
}

/** Reads a command line; what is neither an option nor its value is left out. Throws UsageError. */
export const parseOptions = (options: readonly Option[], args: readonly string[]): GivenOptions =>
  new Parser(options).parse(args)

const dashed = ({ short, long }: Option): string => (short === null ? `--${long}` : `-${short}`)

const alternativesText = (options: readonly Option[]): string =>
  `[${options.map(option => `${dashed(option)} ${option.text}`).join(', ')}]`

const WIDTH = 110
const INDENT = 'usage: '.length

/** Breaks a text at blanks; every line but the first is indented. */
function wrap(text: string, indent: number): string {
  const lines: string[] = []
  let rest = text
  while (rest.length > WIDTH) {
    const blank = rest.lastIndexOf(' ', WIDTH)
    const end = blank > indent ? blank : WIDTH
    lines.push(rest.slice(0, end).trimEnd())
    rest = ' '.repeat(indent) + rest.slice(end).trim()
  }
  return [...lines, rest.trimEnd()].join('\n')
}

/** The help page of a command. HelpFormatter#printHelp with a usage line of its own making */
export function formatHelp(command: string, options: readonly Option[]): string {
  const sorted = [...options].sort((a, b) => (keyOf(a).toLowerCase() < keyOf(b).toLowerCase() ? -1 : 1))
  const usage = sorted.map(option => {
    const { alternatives = [option] } = option
    const [first] = [...alternatives].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
    // A group stands where its first member does.
    if (first !== option) return ''
    const text = alternatives.map(each => dashed(each) + (each.takesValue ? ' <arg>' : '')).join(' | ')
    return option.required ? text : `[${text}]`
  })
  const names = sorted.map(
    ({ short, long, takesValue }) =>
      `${short === null ? '   ' : ` -${short},`}${short === null ? ' ' : ''}--${long}${takesValue ? ' <arg>' : ''}`
  )
  const column = Math.max(...names.map(({ length }) => length)) + 3
  return [
    wrap(`usage: ${command} ${usage.join(' ')}`, INDENT),
    ...sorted.map(({ text }, i) => wrap(names[i]!.padEnd(column) + text, column))
  ].join('\n')
}
