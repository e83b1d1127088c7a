import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { type Printing, until } from './support.ts'

/** A message to send. */
export interface Outgoing {
  topic: string
  body?: string
  /** The body is repeated so often. Default: 1. */
  repeat?: number
  /** Instead of a body: so many bytes that don't compress. */
  randomBytes?: number
  tags?: string
  keys?: string
  delayLevel?: number
  properties?: Record<string, string>
}

/** What a client tells about a send. */
export interface Sent {
  status: string
  msgId: string
  offsetMsgId: string
  broker: string
  queueId: number
  queueOffset: number
}

/** A message as a client hands it to its user. */
export interface Received {
  topic: string
  queueId: number
  queueOffset: number
  msgId: string
  offsetMsgId: string
  tags?: string
  keys?: string
  bodyBytes: number
  bodyCrc: number
  /** Missing when it's long. */
  body?: string
  sysFlag: number
  reconsumeTimes: number
  bornTimestamp: number
  storeTimestamp: number
  storeSize: number
  properties: Record<string, string>
}

export interface Queue {
  topic: string
  broker: string
  queueId: number
}

export interface Pulled {
  status: 'FOUND' | 'NO_NEW_MSG' | 'NO_MATCHED_MSG' | 'OFFSET_ILLEGAL'
  nextOffset: number
  minOffset: number
  maxOffset: number
  messages: Received[]
}

export interface PushOptions {
  group: string
  /** Topic to tag expression. */
  subscribe: Record<string, string>
  /** Topic to SQL expression. */
  sql?: Record<string, string>
  orderly?: boolean
  broadcasting?: boolean
  /** Refuse a message until it was delivered so many times before. Default: 0. */
  refuse?: number
  maxReconsumeTimes?: number
  instance?: string
}

/** What a client's exception says; `code` is RocketMQ's response code where the client passes it on. */
export class ClientFailure extends Error {
  readonly type: string
  readonly code: number | undefined
  readonly remark: string | undefined

  constructor(failure: { type: string; message: string; code?: number; remark?: string }) {
    super(`${failure.type}: ${failure.message}`)
    this.type = failure.type
    this.code = failure.code
    this.remark = failure.remark
  }
}

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}

/**
 * A stock client in a process of its own, told what to do over stdin and stdout (java/Driver.java, go/main.go): so one
 * list of tests speaks for every client. The process ends with the test.
 */
export class Driver {
  private readonly child: ChildProcess
  private readonly pending = new Map<number, Pending>()
  private readonly deliveries = new Map<string, Received[]>()
  private readonly printed = new Map<string, string[]>()
  private lastId = 0
  private noise = ''
  private ended = false

  constructor(t: Test, program: string, args: string[], env: Record<string, string>) {
    this.child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
    t.teardown(() => this.end())
    this.child.on('error', error => this.fail(error))
    this.child.on('close', (code, signal) => {
      this.ended = true
      this.fail(new Error(`${program} ended with ${code ?? signal}: ${this.noise}`))
    })
    this.child.stdin?.on('error', () => {})
    this.child.stderr?.on('data', chunk => {
      this.noise = (this.noise + chunk).slice(-4_000)
    })
    createInterface({ input: this.child.stdout! }).on('line', line => this.onLine(line))
  }

  /** Does one operation and returns its result. Throws ClientFailure. */
  call(op: string, args: object = {}): Promise<unknown> {
    const id = ++this.lastId
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(new Error(`the client has ended: ${this.noise}`))
      this.pending.set(id, { resolve, reject })
      this.child.stdin?.write(`${JSON.stringify({ id, op, ...args })}\n`)
    })
  }

  async producer(group: string, options: ProducerOptions = {}): Promise<ProducerHandle> {
    const name = this.name('producer')
    await this.call('producer', { as: name, group, ...options })
    return new ProducerHandle(this, name)
  }

  async push(options: PushOptions): Promise<PushHandle> {
    const name = this.name('push')
    const received: Received[] = []
    this.deliveries.set(name, received)
    await this.call('push', { as: name, ...options })
    return new PushHandle(this, name, received)
  }

  async lite(group: string, subscribe?: Record<string, string>): Promise<LiteHandle> {
    const name = this.name('lite')
    await this.call('lite', { as: name, group, subscribe })
    return new LiteHandle(this, name)
  }

  async pullConsumer(group: string, subscribe?: Record<string, string>): Promise<PullHandle> {
    const name = this.name('pull')
    await this.call('pullConsumer', { as: name, group, subscribe })
    return new PullHandle(this, name)
  }

  /** Creates a topic on a broker. */
  async createTopic(address: string, topic: string, queues: number): Promise<void> {
    await this.call('createTopic', { address, topic, queues })
  }

  /** Runs a Java class's main, and returns the lines that it and its threads print, as they come. */
  main(className: string, ...args: string[]): Printing {
    const name = this.name('main')
    const lines: string[] = []
    this.printed.set(name, lines)
    const ended = this.call('main', { as: name, class: className, args }).then(() => lines)
    // A main that never returns ends with the process, and that is nobody's failure.
    ended.catch(() => {})
    return { lines, ended }
  }

  private name(kind: string): string {
    return `${kind}-${++this.lastId}`
  }

  private onLine(line: string): void {
    let message: DriverLine
    try {
      message = JSON.parse(line)
    } catch {
      this.noise = (this.noise + line).slice(-4_000)
      return
    }
    if (message.event === 'message') this.deliveries.get(message.of)?.push(message as unknown as Received)
    else if (message.event === 'line') this.printed.get(message.of)?.push(message.line)
    else {
      const pending = this.pending.get(message.id)
      this.pending.delete(message.id)
      if (message.error) pending?.reject(new ClientFailure(message.error))
      else pending?.resolve(message.result)
    }
  }

  private fail(error: Error): void {
    for (const pending of this.pending.values()) pending.reject(error)
    this.pending.clear()
  }

  private async end(): Promise<void> {
    if (this.ended) return
    const closed = new Promise(resolve => this.child.once('close', resolve))
    this.child.kill('SIGKILL')
    await closed
  }
}

interface DriverLine {
  id: number
  event?: string
  of: string
  line: string
  result: unknown
  error?: { type: string; message: string; code?: number; remark?: string }
}

export interface ProducerOptions {
  /** Bodies from here on travel compressed, in bytes. Default: the client's, 4,096. */
  compressOver?: number
  /** What the client itself refuses to send, in bytes. Default: the client's, 4 MiB. */
  maxMessageSize?: number
}

class Handle {
  protected readonly driver: Driver
  readonly name: string

  constructor(driver: Driver, name: string) {
    this.driver = driver
    this.name = name
  }

  protected do<T>(op: string, args: object = {}): Promise<T> {
    return this.driver.call(op, { of: this.name, ...args }) as Promise<T>
  }

  close(): Promise<void> {
    return this.do('close')
  }
}

export class ProducerHandle extends Handle {
  /** One after the other. */
  send(...messages: Outgoing[]): Promise<Sent[]> {
    return this.do('send', { how: 'sync', messages })
  }

  /** All at once; resolves when each callback came. */
  sendAsync(...messages: Outgoing[]): Promise<Sent[]> {
    return this.do('send', { how: 'async', messages })
  }

  async sendOneWay(...messages: Outgoing[]): Promise<void> {
    await this.do('send', { how: 'oneway', messages })
  }

  /** All in one request. */
  async sendBatch(...messages: Outgoing[]): Promise<Sent> {
    const [sent] = await this.do<[Sent]>('send', { how: 'batch', messages })
    return sent
  }

  sendTo(queue: Queue, ...messages: Outgoing[]): Promise<Sent[]> {
    return this.do('send', { how: 'queue', queue, messages })
  }

  /** Each to the queue that a selector chooses for its key. */
  sendSelected(...messages: Outgoing[]): Promise<Sent[]> {
    return this.do('send', { how: 'selector', messages })
  }

  /** The queues that a topic's route offers, in order. */
  async queues(topic: string): Promise<Queue[]> {
    const queues = await this.do<Queue[]>('queues', { topic })
    return queues.sort((a, b) => a.queueId - b.queueId)
  }

  queryByKey(topic: string, key: string): Promise<Received[]> {
    return this.do('queryByKey', { topic, key })
  }

  /** By either of a message's ids. */
  viewMessage(topic: string, msgId: string): Promise<Received> {
    return this.do('viewMessage', { topic, msgId })
  }
}

export class PushHandle extends Handle {
  /** All that was delivered so far. */
  readonly received: readonly Received[]

  constructor(driver: Driver, name: string, received: Received[]) {
    super(driver, name)
    this.received = received
  }

  /** The bodies delivered so far. */
  bodies(): string[] {
    return this.received.map(message => message.body ?? '')
  }

  /** Waits for so many deliveries. */
  async deliveries(count: number): Promise<readonly Received[]> {
    await until(
      () => this.received.length >= count,
      () => `${count} messages, ${this.received.length} came: ${this.bodies().slice(-20)}`
    )
    return this.received
  }
}

export class LiteHandle extends Handle {
  async assign(...queues: Queue[]): Promise<void> {
    await this.do('assign', { queues })
  }

  async seek(queue: Queue, offset: number | 'begin' | 'end'): Promise<void> {
    await this.do('seek', { queue, offset })
  }

  /** Waits at most so long for messages; an empty list is an answer. */
  poll(timeoutMs: number): Promise<Received[]> {
    return this.do('poll', { timeoutMs })
  }

  /** Polls until so many messages came. */
  async pollMany(count: number): Promise<Received[]> {
    const messages: Received[] = []
    const deadline = Date.now() + 90_000
    while (messages.length < count && Date.now() < deadline) messages.push(...(await this.poll(1_000)))
    return messages
  }

  async commit(): Promise<void> {
    await this.do('commit')
  }

  committed(queue: Queue): Promise<number> {
    return this.do('committed', { queue })
  }
}

export class PullHandle extends Handle {
  pull(queue: Queue, expression: string, offset: number, max: number): Promise<Pulled> {
    return this.do('pull', { queue, expression, offset, max })
  }

  minOffset(queue: Queue): Promise<number> {
    return this.do('minOffset', { queue })
  }

  maxOffset(queue: Queue): Promise<number> {
    return this.do('maxOffset', { queue })
  }

  searchOffset(queue: Queue, timestamp: number): Promise<number> {
    return this.do('searchOffset', { queue, timestamp })
  }

  async updateOffset(queue: Queue, offset: number): Promise<void> {
    await this.do('updateOffset', { queue, offset })
  }

  fetchOffset(queue: Queue): Promise<number> {
    return this.do('fetchOffset', { queue })
  }
}
