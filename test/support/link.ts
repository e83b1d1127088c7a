import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { parseAddress } from '../../net/index.ts'

/** How what passes along it fares; every connection over it has to do with it at once. */
export class Line {
  private state: 'passes' | 'holds' | 'refuses' = 'passes'
  private delayMs = 0
  private tearing = false
  private waiting: (() => void)[] = []
  private readonly sockets = new Set<Socket>()

  /** All is well again; what was held arrives. */
  pass(): void {
    this.state = 'passes'
    this.delayMs = 0
    this.tearing = false
    for (const go of this.waiting.splice(0)) go()
  }

  /** Nothing arrives, nobody hears why: as when every packet is lost. */
  hold(): void {
    this.state = 'holds'
  }

  /** All arrives late, and little of it at a time. */
  slow(delayMs: number): void {
    this.delayMs = delayMs
  }

  /** Connections are reset, the next ones too. */
  refuse(): void {
    this.state = 'refuses'
    for (const socket of this.sockets) socket.resetAndDestroy()
  }

  /** Each connection is reset in the middle of what it carries next. */
  tear(): void {
    this.tearing = true
  }

  /** Carries what one end writes to the other, beginning with what has been read of it. */
  async carry(from: Socket, to: Socket, first?: Buffer): Promise<void> {
    this.sockets.add(from)
    try {
      if (first !== undefined) await this.forward(first, to)
      for await (const chunk of from) await this.forward(chunk, to)
      to.end()
    } catch {
      from.destroy()
      to.resetAndDestroy()
    } finally {
      this.sockets.delete(from)
    }
  }

  private async forward(chunk: Buffer, to: Socket): Promise<void> {
    if (this.delayMs > 0) await sleep(this.delayMs)
    while (this.state === 'holds') await new Promise<void>(resolve => this.waiting.push(resolve))
    if (this.state === 'refuses') throw new Error('refused')
    if (!this.tearing) {
      to.write(chunk)
      return
    }
    to.write(chunk.subarray(0, chunk.length >> 1))
    await sleep(1)
    throw new Error('torn')
  }
}

/**
 * Listens at an address of its own and carries what comes there to `target`, over one line, or over the one that the first
 * bytes of a connection choose. Gives its address; the test's end closes it.
 */
export async function openLink(
  t: Test,
  target: string,
  line: Line | ((first: Buffer) => Line),
  listen: { host: string; port: number } = { host: '127.0.0.1', port: 0 }
): Promise<string> {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, async near => {
    open.add(near)
    near.on('close', () => open.delete(near))
    near.on('error', () => {})
    const [first] = (await Promise.race([once(near, 'data'), once(near, 'close')])) as [Buffer | boolean]
    if (!Buffer.isBuffer(first)) return
    near.pause()
    const far = connect({ ...parseAddress(target), allowHalfOpen: true, noDelay: true })
    far.on('error', () => {})
    far.on('close', () => near.destroy())
    near.on('close', () => far.destroy())
    const chosen = line instanceof Line ? line : line(first)
    void chosen.carry(near, far, first)
    void chosen.carry(far, near)
  })
  server.listen(listen.port, listen.host)
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  const { port } = server.address() as { port: number }
  return `${listen.host}:${port}`
}
