import {
  type Connection,
  NetError,
  type RemotingClient,
  type RemotingCommand,
  type RequestDispatcher
} from '../../net/index.ts'
import type { ManualClock } from './manual-clock.ts'
import type { ProcessClock } from './process-clock.ts'
import { below, type Random } from './seeded.ts'

const DELAY_MS = 12
const SLOW_MS = 400
/** How many messages are slow. */
const SLOW = 0.01

/** A process that others reach under an address, while it listens. */
export interface Peer {
  readonly address: string
  readonly clock: ProcessClock
  readonly listens: boolean
  readonly dispatcher: RequestDispatcher
}

/** One direction of a connection: what is sent arrives in order, and nothing while the way is blocked. */
export class Direction {
  private readonly network: SimulatedNetwork
  private readonly way: string
  private readonly under: (() => void)[] = []
  private arrived = 0
  private lastMs = 0

  constructor(network: SimulatedNetwork, from: Peer, to: Peer) {
    this.network = network
    this.way = wayOf(from, to)
  }

  send(receive: () => void): void {
    const { clock, random } = this.network
    this.under.push(receive)
    this.lastMs = Math.max(this.lastMs, clock.now() + below(random, random() < SLOW ? SLOW_MS : DELAY_MS))
    clock.after(this.lastMs - clock.now(), () => {
      this.arrived++
      this.deliver()
    })
  }

  deliver(): void {
    while (this.arrived > 0 && !this.network.blocked.has(this.way)) {
      this.arrived--
      this.under.shift()!()
    }
  }
}

const wayOf = (from: Peer, to: Peer): string => `${from.address} ${to.address}`

/** One end of a connection. What arrives for a process that is gone, or has closed it, is answered by a reset. */
export class End {
  readonly state = new Map<symbol | string, unknown>()
  closed = false
  readonly peer: Peer
  /** Null until the other side has accepted. */
  other: End | null = null
  /** What comes in. */
  onCommand: (command: RemotingCommand) => void = () => {}
  private readonly out: Direction
  private readonly inLife: (run: () => void) => () => void
  private readonly closeCallbacks: (() => void)[] = []

  constructor(peer: Peer, out: Direction) {
    this.peer = peer
    this.out = out
    const { generation } = peer.clock
    this.inLife = run => () => {
      if (generation === peer.clock.generation) peer.clock.deliver(run)
    }
  }

  reply(request: RemotingCommand, answer: RemotingCommand): void {
    this.send({ ...answer, opaque: request.opaque })
  }

  send(command: RemotingCommand): void {
    if (this.closed) return
    const { extFields, body } = command
    const copy = { ...command, extFields: extFields && { ...extFields }, body: body && Buffer.from(body) }
    this.out.send(() => this.other?.receive(copy))
  }

  private receive(command: RemotingCommand): void {
    if (this.closed) this.out.send(() => this.other?.reset())
    else
      this.inLife(() => {
        if (!this.closed) this.onCommand(command)
      })()
  }

  onClose(callback: () => void): void {
    if (this.closed) callback()
    else this.closeCallbacks.push(callback)
  }

  /** The process closes it. */
  close(): void {
    if (this.closed) return
    this.out.send(() => this.other?.reset())
    this.ended()
  }

  /** The other side has closed it, or knows nothing of it. */
  reset(): void {
    this.inLife(() => this.ended())()
  }

  /** The process is gone; its system says so, or not, when it is gone too. */
  died(silently: boolean): void {
    if (this.closed) return
    if (!silently) this.out.send(() => this.other?.reset())
    this.closed = true
  }

  private ended(): void {
    if (this.closed) return
    this.closed = true
    for (const callback of this.closeCallbacks.splice(0)) callback()
  }
}

/** Connections between processes: late, now and then very late, cut in one direction or both, reset at one end or both. */
export class SimulatedNetwork {
  readonly clock: ManualClock
  readonly random: Random
  /** Directions in which nothing gets through, as `from to`. */
  readonly blocked = new Set<string>()
  private readonly peers = new Map<string, Peer>()
  private readonly directions = new Set<Direction>()
  private readonly ends = new Set<End>()

  constructor(clock: ManualClock, random: Random) {
    this.clock = clock
    this.random = random
  }

  add(peer: Peer): void {
    this.peers.set(peer.address, peer)
  }

  block(from: Peer, to: Peer): void {
    this.blocked.add(wayOf(from, to))
  }

  heal(): void {
    this.blocked.clear()
    for (const direction of this.directions) direction.deliver()
  }

  /** Ends of connections go with their process; `silently` when its machine goes too. */
  died(peer: Peer, silently: boolean): void {
    for (const end of this.ends) if (end.peer === peer) end.died(silently)
    this.forget()
  }

  private forget(): void {
    for (const end of this.ends) if (end.closed && end.other?.closed !== false) this.ends.delete(end)
  }

  /** Resets one end of a connection, of which the other one does not hear. */
  breakOne(): void {
    const open = [...this.ends].filter(({ closed }) => !closed)
    if (open.length > 0) open[below(this.random, open.length)]!.reset()
  }

  /** A connection whose other end `accept`s when the peer listens, and is reset when it does not. */
  connect(from: Peer, address: string): End {
    const to = this.peers.get(address)!
    const [there, back] = [new Direction(this, from, to), new Direction(this, to, from)]
    this.directions.add(there).add(back)
    const client = new End(from, there)
    there.send(() => {
      const server = new End(to, back)
      server.other = client
      client.other = server
      if (!to.listens) server.died(false)
      else this.ends.add(server)
      server.onCommand = command => to.dispatcher.dispatch(command, server as unknown as Connection)
    })
    this.ends.add(client)
    return client
  }

  newCaller(peer: Peer): SimulatedCaller {
    return new SimulatedCaller(this, peer)
  }
}

export interface Waiting {
  resolve(answer: RemotingCommand): void
  reject(error: NetError): void
}

/** A process's connections to others, one to each. */
export class SimulatedCaller implements Pick<RemotingClient, 'invoke' | 'close'> {
  private readonly network: SimulatedNetwork
  private readonly peer: Peer
  private readonly open = new Map<string, End>()
  private closed = false
  private lastOpaque = 0

  constructor(network: SimulatedNetwork, peer: Peer) {
    this.network = network
    this.peer = peer
  }

  private connection(address: string): { end: End; waiting: Map<number, Waiting> } {
    let end = this.open.get(address)
    if (end === undefined) {
      end = this.network.connect(this.peer, address)
      const waiting = new Map<number, Waiting>()
      end.state.set('waiting', waiting)
      end.onCommand = answer => {
        end!.state.set('heard', true)
        waiting.get(answer.opaque)?.resolve(answer)
        waiting.delete(answer.opaque)
      }
      end.onClose(() => {
        if (this.open.get(address) === end) this.open.delete(address)
        for (const { reject } of waiting.values())
          reject(new NetError('CONNECTION_CLOSED', { address, reason: 'reset' }))
      })
      this.open.set(address, end)
    }
    return { end, waiting: end.state.get('waiting') as Map<number, Waiting> }
  }

  invoke(address: string, command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    if (this.closed) return Promise.reject(new NetError('CONNECT_FAILED', { address, reason: 'the client is closed' }))
    const { end, waiting } = this.connection(address)
    const opaque = ++this.lastOpaque
    end.state.set('heard', false)
    return new Promise((resolve, reject) => {
      const cancel = this.peer.clock.after(timeoutMs, () => {
        waiting.delete(opaque)
        reject(new NetError('REQUEST_TIMEOUT', { address, timeoutMs }))
        if (end.state.get('heard') === false) end.close()
      })
      waiting.set(opaque, {
        resolve(answer) {
          cancel()
          resolve(answer)
        },
        reject(error) {
          cancel()
          reject(error)
        }
      })
      end.send({ ...command, opaque })
    })
  }

  async close(): Promise<void> {
    this.closed = true
    for (const end of [...this.open.values()]) end.close()
  }
}
