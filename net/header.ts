import type { ExtFields } from './command.ts'
import { NetError } from './errors.ts'

/** s text, i int32, l int64, b boolean; `!` marks a required field. */
type FieldType = 's' | 'i' | 'l' | 'b'
type Spec = Readonly<Record<string, FieldType | `${FieldType}!`>>
type Value<T> = T extends `s${string}` ? string : T extends `b${string}` ? boolean : number
/** A custom header's values. */
export type HeaderValues<S extends Spec> = { [K in keyof S as S[K] extends `${string}!` ? K : never]: Value<S[K]> } & {
  [K in keyof S as S[K] extends `${string}!` ? never : K]?: Value<S[K]> | undefined
}

const NAMES = { i: 'whole number of 32 bits', l: 'whole number of 64 bits', b: 'boolean', s: 'text' } as const
const INT = /^[+-]?\d{1,19}$/
const MAX_INT64 = '9223372036854775807'
const MIN_INT64 = '-9223372036854775808'

function read(field: string, type: FieldType, value: string): string | number | boolean {
  if (type === 's') return value
  if (type === 'b') return value.toLowerCase() === 'true'
  const number = Number(value)
  const fits = INT.test(value) && (type === 'l' ? Math.abs(number) <= 2 ** 63 : number === (number | 0))
  if (!fits) throw new NetError('HEADER_FIELD_BAD', { field, value: value.slice(0, 100), type: NAMES[type] })
  return number
}

/** A number beyond 2^53 stands for "as far as it goes": Java's limits come back as they came. */
function write(value: unknown): string {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return String(value)
  if (value >= 2 ** 63) return MAX_INT64
  return value <= -(2 ** 63) ? MIN_INT64 : String(BigInt(Math.trunc(value)))
}

/** Declares a custom header once; reading and writing follow. CommandCustomHeader */
export function header<const S extends Spec>(spec: S) {
  const fields = Object.entries(spec).map(([name, type]) => ({
    name,
    type: type[0] as FieldType,
    required: type.endsWith('!')
  }))
  return {
    /** Throws NetError HEADER_FIELD_MISSING or HEADER_FIELD_BAD. */
    decode(ext: ExtFields | null): HeaderValues<S> {
      const values: Record<string, unknown> = {}
      for (const { name, type, required } of fields) {
        const value = ext && Object.hasOwn(ext, name) ? ext[name] : undefined
        if (value !== undefined) values[name] = read(name, type, value)
        else if (required) throw new NetError('HEADER_FIELD_MISSING', { field: name })
      }
      return values as HeaderValues<S>
    },
    encode(values: HeaderValues<S>): ExtFields {
      const ext: ExtFields = {}
      for (const { name } of fields) {
        const value = (values as Record<string, unknown>)[name]
        if (value !== undefined && value !== null) ext[name] = write(value)
      }
      return ext
    }
  }
}
