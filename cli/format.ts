/** Java's `%s %d %f` with `-`, `0`, a width and a precision, and `%n`: the columns of RocketMQ's tools. Formatter */
export function format(template: string, ...values: unknown[]): string {
  let next = 0
  return template.replace(/%(?:([-0]?)(\d*)(?:\.(\d+))?([sdf])|n|%)/g, (whole, mark, width, precision, kind) => {
    if (whole === '%n') return '\n'
    if (whole === '%%') return '%'
    const value = values[next++]
    const text = kind === 'f' ? Number(value).toFixed(Number(precision ?? 6)) : String(value ?? null)
    if (mark === '-') return text.padEnd(Number(width))
    return text.padStart(Number(width), mark === '0' ? '0' : ' ')
  })
}

/** A double as Java prints it: always with a fraction, and as `1.0E7` from there on. Double#toString */
export function doubleText(value: number): string {
  const size = Math.abs(value)
  if (value !== 0 && (size >= 1e7 || size < 1e-3)) {
    const [digits = '', exponent = ''] = value.toExponential().split('e')
    return `${digits.includes('.') ? digits : `${digits}.0`}E${Number(exponent)}`
  }
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

const two = (value: number): string => String(value).padStart(2, '0')

/** `2026-11-23 09:39:38` in this machine's zone. */
export function timeText(ms: number): string {
  const time = new Date(ms)
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}

/** `2026-11-23 09:39:38,874`. UtilAll#timeMillisToHumanString2 */
export const timeMsText = (ms: number): string =>
  `${timeText(ms)},${String(((ms % 1000) + 1000) % 1000).padStart(3, '0')}`

/** Milliseconds since 1970 from a number, or from `yyyy-MM-dd#HH:mm:ss:SSS` in this machine's zone. Throws when it is neither. */
export function parseTime(text: string): number {
  if (/^[+-]?\d+$/.test(text)) return Number(text)
  const [, year, month, day, hour, minute, second, ms] =
    /^(\d{4})-(\d{1,2})-(\d{1,2})#(\d{1,2}):(\d{1,2}):(\d{1,2}):(\d{1,3})$/.exec(text)?.map(Number) ?? []
  if (year === undefined)
    throw new TypeError(`"${text}" is no time: it is a number of milliseconds or yyyy-MM-dd#HH:mm:ss:SSS`)
  return new Date(year, month! - 1, day, hour, minute, second, ms).getTime()
}
