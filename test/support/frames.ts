import { decodeCommand, type Frame, FrameDecoder, type FrameSink, type RemotingCommand } from '../../net/index.ts'

const MAX_FRAME_BYTES = 16 * 1024 * 1024

/** Commands of a stream of bytes, which may come in chunks. */
export class CommandReader implements FrameSink {
  readonly commands: RemotingCommand[] = []
  private readonly decoder: FrameDecoder

  constructor(maxFrameBytes = MAX_FRAME_BYTES) {
    this.decoder = new FrameDecoder(maxFrameBytes)
  }

  push(chunk: Buffer): void {
    this.decoder.push(chunk, this)
  }

  onFrame(frame: Frame): void {
    this.commands.push(decodeCommand(frame))
  }
}

/** The commands of whole frames. */
export function decodeAll(bytes: Uint8Array): RemotingCommand[] {
  const reader = new CommandReader()
  reader.push(Buffer.from(bytes))
  return reader.commands
}

/** The one command of a frame. */
export function decodeOne(bytes: Uint8Array): RemotingCommand {
  const [command, ...others] = decodeAll(bytes)
  if (command === undefined || others.length > 0) throw new Error(`${others.length} frames more than one`)
  return command
}

/** Calls with the frame itself, where what is tested reads it in place. */
export function withFrame<T>(bytes: Uint8Array, read: (frame: Frame) => T): T {
  const results: T[] = []
  new FrameDecoder(MAX_FRAME_BYTES).push(Buffer.from(bytes), { onFrame: frame => results.push(read(frame)) })
  if (results.length !== 1) throw new Error(`${results.length} frames instead of one`)
  return results[0]!
}
