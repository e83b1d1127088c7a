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

let prefix = ''
let monthStart = 0
let nextMonth = 0
let counter = 0

/**
 * An id for a message that its producer makes: IP, pid, a number of this process, ms since the month began, a counter.
 * MessageClientIDSetter#createUniqID
 */
export function createUniqueKey(now = Date.now()): string {
  if (prefix === '') {
    const ip = hostOf(ownAddress(), 0).bytes.subarray(0, 4)
    prefix =
      hex(Uint8Array.from([...ip, (process.pid >> 8) & 0xff, process.pid & 0xff])) +
      ((Math.random() * 0x1_0000_0000) >>> 0).toString(16).padStart(8, '0').toUpperCase()
  }
  if (now >= nextMonth || now < monthStart) {
    const date = new Date(now)
    monthStart = new Date(date.getFullYear(), date.getMonth(), 1).getTime()
    nextMonth = new Date(date.getFullYear(), date.getMonth() + 1, 1).getTime()
  }
  counter = (counter + 1) & 0xffff
  const tail = (
    ((now - monthStart) >>> 0).toString(16).padStart(8, '0') + counter.toString(16).padStart(4, '0')
  ).toUpperCase()
  return prefix + tail
}
