import { isIP } from 'node:net'
import { copyOf, viewOf } from './bytes.ts'
import { MessageError } from './errors.ts'

/** An address and port as records carry them. */
export interface Host {
  /** 4 or 16 address bytes, then the port as int32. */
  readonly bytes: Uint8Array
  readonly v6: boolean
  readonly address: string
  readonly port: number
  /** `ip:port`; IPv6 in brackets. */
  readonly text: string
}

function v6Bytes(address: string): Uint8Array {
  const [head = '', tail] = address.split('::')
  const groups = (part: string): number[] =>
    part === ''
      ? []
      : part.split(':').flatMap(group => {
          if (!group.includes('.')) return [Number.parseInt(group, 16)]
          const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
          return [(a << 8) | b, (c << 8) | d]
        })
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back]
  return Uint8Array.from(all.flatMap(group => [group >> 8, group & 0xff]))
}

/** A host from its parts; an IPv4 address mapped into IPv6 counts as IPv4. Throws MessageError BAD_HOST. */
export function hostOf(address: string, port: number): Host {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address.split('%')[0]!
  const family = isIP(plain)
  if (family === 0) throw new MessageError('BAD_HOST', { address })
  const ip = family === 4 ? Uint8Array.from(plain.split('.').map(Number)) : v6Bytes(plain)
  const bytes = new Uint8Array(ip.length + 4)
  bytes.set(ip)
  viewOf(bytes).setInt32(ip.length, port)
  return {
    bytes,
    v6: family === 6,
    address: plain,
    port,
    text: family === 6 ? `[${plain}]:${port}` : `${plain}:${port}`
  }
}

/** The host whose bytes stand at `pos`. */
export function readHost(bytes: Uint8Array, pos: number, v6: boolean): Host {
  const size = v6 ? 20 : 8
  const own = copyOf(bytes, pos, pos + size)
  const port = viewOf(own).getInt32(size - 4)
  let address: string
  if (v6) {
    const groups: string[] = []
    for (let i = 0; i < 16; i += 2) groups.push(((own[i]! << 8) | own[i + 1]!).toString(16))
    address = groups.join(':')
  } else {
    address = own.subarray(0, 4).join('.')
  }
  return { bytes: own, v6, address, port, text: v6 ? `[${address}]:${port}` : `${address}:${port}` }
}
