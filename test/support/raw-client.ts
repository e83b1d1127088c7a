import { connect, type Socket } from 'node:net'
import { encodeCommand, parseAddress, type RemotingCommand } from '../../net/index.ts'
import { CommandReader } from './frames.ts'

interface Waiting {
  resolve(command: RemotingCommand): void
  reject(error: Error): void
}

/** A peer that sends any bytes, when and as it likes, and reads whole frames, or does not read at all. */
export class RawClient {
  readonly socket: Socket
  /** Settles when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>
  /** Bytes that have been read. */
  bytesRead = 0
  private readonly reader = new CommandReader()
  private readonly waiting: Waiting[] = []
  private gone = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length
      this.reader.push(chunk)
      while (this.waiting.length > 0 && this.reader.commands.length > 0)
        this.waiting.shift()!.resolve(this.reader.commands.shift()!)
    })
    this.closed = new Promise(resolve =>
      socket.on('close', () => {
        this.gone = true
        for (const { reject } of this.waiting.splice(0)) reject(new Error('the connection was closed'))
        resolve()
      })
    )
  }

  /** Connects to `host:port`. */
  static open(address: string): Promise<RawClient> {
    const socket = connect({ ...parseAddress(address), noDelay: true })
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawClient(socket))
      })
    })
  }

  write(...parts: (Uint8Array | string)[]): void {
    for (const part of parts) this.socket.write(part)
  }

  send(...commands: RemotingCommand[]): void {
    this.socket.write(Buffer.concat(commands.map(encodeCommand)))
  }

  /** The next whole frame. Rejects when the connection is gone before. */
  next(): Promise<RemotingCommand> {
    const ready = this.reader.commands.shift()
    if (ready !== undefined) return Promise.resolve(ready)
    if (this.gone) return Promise.reject(new Error('the connection is closed'))
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }))
  }

  /** Sends a request and takes the next frame for its answer. */
  ask(command: RemotingCommand): Promise<RemotingCommand> {
    this.send(command)
    return this.next()
  }

  /** Takes no more bytes from the network until `resume`. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  async close(): Promise<void> {
    this.socket.destroy()
    await this.closed
  }
}
