import { networkInterfaces } from 'node:os'
import { readI64, viewOf, writeI64 } from './bytes.ts'
import { MessageError } from './errors.ts'
import { type Host, hostOf, readHost } from './host.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex').toUpperCase()

/** Where a message lies, as 32 or 56 upper-case hexadecimal digits. MessageDecoder#createMessageId */
export function offsetMessageId(storeHost: Host, physicalOffset: number): string {
  const id = new Uint8Array(storeHost.bytes.length + 8)
  id.set(storeHost.bytes)
  writeI64(viewOf(id), storeHost.bytes.length, physicalOffset)
  return hex(id)
}

/** The parts of an offset message id. Throws MessageError BAD_MESSAGE_ID. */
export function decodeOffsetMessageId(id: string): { host: Host; physicalOffset: number } {
  if (!/^([0-9a-fA-F]{32}|[0-9a-fA-F]{56})$/.test(id)) throw new MessageError('BAD_MESSAGE_ID', { id })
  const bytes = Buffer.from(id, 'hex')
  return { host: readHost(bytes, 0, bytes.length === 28), physicalOffset: readI64(viewOf(bytes), bytes.length - 8) }
}

/** This machine's address as its peers may know it: the first IPv4 address that is not a loopback. */
export function ownAddress(): string {
  for (const addresses of Object.values(networkInterfaces()))
    for (const { address, family, internal } of addresses ?? []) if (family === 'IPv4' && !internal) return address
  return '127.0.0.1'
}

const upperHex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, '0')
const BYTES_HEX = Array.from({ length: 256 }, (_, byte) => upperHex(byte, 2))

let prefix = ''
let monthStart = 0
let nextMonth = 0
let stampedAt = -1
/** All of an id but its counter; the same for a whole millisecond. */
let stamp = ''
let counter = 0

/**
 * An id for a message that its producer makes: IP, pid, a number of this process, ms since the month began, a counter.
 * MessageClientIDSetter#createUniqID
 */
export function createUniqueKey(now = Date.now()): string {
  if (now !== stampedAt) {
    stampedAt = now
    stamp = stampOf(now)
  }
  counter = (counter + 1) & 0xffff
  return stamp + BYTES_HEX[counter >> 8]! + BYTES_HEX[counter & 0xff]!
}

function stampOf(now: number): string {
  if (prefix === '') {
    const ip = hostOf(ownAddress(), 0).bytes.subarray(0, 4)
    prefix = hex(ip) + upperHex(process.pid & 0xffff, 4) + upperHex((Math.random() * 0x1_0000_0000) >>> 0, 8)
  }
  if (now >= nextMonth || now < monthStart) {
    const date = new Date(now)
    monthStart = new Date(date.getFullYear(), date.getMonth(), 1).getTime()
    nextMonth = new Date(date.getFullYear(), date.getMonth() + 1, 1).getTime()
  }
  return prefix + upperHex((now - monthStart) >>> 0, 8)
}
