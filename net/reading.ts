import { type OnReadOpts, Socket } from 'node:net'

/** So much is read from a socket at once. */
const READ_BYTES = 256 * 1024
/** What every socket reads into: only one read is looked at at a time. */
let shared: Buffer | null = null

/** Takes bytes that are only lent: what it keeps, it copies before it returns. */
export type BytesListener = (bytes: Buffer) => void

/**
 * Socket option: reads go into one buffer of this process. Left alone, Node allocates 64 KiB for each read, which are no
 * part of its small heap but count as garbage of it: under load it then collects all of it tens of times a second.
 */
export function readsOf(onBytes: BytesListener): OnReadOpts {
  shared ??= Buffer.allocUnsafeSlow(READ_BYTES)
  const buffer = shared
  return {
    buffer,
    callback(count) {
      onBytes(buffer.subarray(0, count))
      return true
    }
  }
}

/** What is behind a socket. Node hands it to nobody, but takes it when a socket is made. */
interface WithHandle {
  _handle: { useUserBuffer?: unknown } | null
}

/**
 * A socket that reads as `readsOf` says in the place of one that a server has just accepted, paused: a server has no such
 * option. Where Node does not let this be done, the socket itself, which lends its chunks just so.
 */
export function readingSocket(accepted: Socket, onBytes: BytesListener): Socket {
  const holder = accepted as unknown as WithHandle
  const handle = holder._handle
  if (typeof handle?.useUserBuffer !== 'function') {
    return accepted.on('data', onBytes).resume()
  }
  holder._handle = null
  const socket = new Socket({ handle, onread: readsOf(onBytes) } as object)
  // The server counts the one that it accepted.
  socket.once('close', () => accepted.destroy())
  return socket
}
