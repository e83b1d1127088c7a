import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  BINARY_HEADER,
  decodeCommand,
  type ExtFields,
  encodeCommand,
  type Frame,
  FrameDecoder,
  type FrameSink,
  PullMessageHeader,
  parseAddress,
  RequestCode,
  ResponseCode,
  request,
  SendMessageV2Header,
  type SerializeType
} from '../net/index.ts'
import { type Load, Recorder } from './recorder.ts'

// A raw load generator: requests are built once, patched in place and written many at a time over one connection, so that
// the same little work on this side measures every broker that speaks the protocol.

export interface RawLoadOptions {
  address: string
  topic: string
  queueCount: number
  /** Header type of requests; answers may come in either. */
  serializeType: SerializeType
  /** Requests that wait for an answer at once. */
  inFlight: number
}

export interface SendLoadOptions extends RawLoadOptions {
  bodyBytes: number
  /**
   * Send so many a second, whatever the answers do: what is due each millisecond. Default: as many as the answers allow.
   */
  ratePerSecond?: number
  /** End after so many messages. Default: go on until stopped. */
  limit?: number
}

export interface PullLoadOptions extends RawLoadOptions {
  /** Messages asked for in one request. */
  batch: number
}

const MAX_FRAME_BYTES = 16 * 1024 * 1024
/** With ten digits, so that every opaque has the same width in JSON. */
const FIRST_OPAQUE = 1_000_000_000
const OPAQUE_KEY = Buffer.from('"opaque":')
const GROUP = 'skylark-bench'
const TICK_MS = 1
/** Requests that may be late at once in an open loop. */
const OPEN_LOOP_SLOTS = 16_384
const DIGIT_0 = 48

/** Writes a number over so many digits that stand there already. */
function patchDecimal(bytes: Buffer, at: number, digits: number, value: number): void {
  for (let i = at + digits - 1; i >= at; i--) {
    const rest = Math.floor(value / 10)
    bytes[i] = DIGIT_0 + (value - rest * 10)
    value = rest
  }
}

/** One connection with a slot for each request that may wait at once. */
abstract class RawLoad implements FrameSink, Load {
  readonly recorder = new Recorder()
  protected readonly sentAt: Float64Array
  protected now = 0
  protected stopping = false
  private readonly socket: Socket
  private readonly decoder = new FrameDecoder(MAX_FRAME_BYTES)
  private waiting = 0
  private drained: () => void = () => {}
  /** Resolves when the connection is gone. */
  readonly gone: Promise<void>

  constructor(socket: Socket, slots: number) {
    this.sentAt = new Float64Array(slots)
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.now = performance.now()
      this.decoder.push(chunk, this)
      this.afterAnswers()
      if (this.stopping && this.waiting === 0) this.drained()
    })
    socket.on('error', error => this.recorder.failed(error.message))
    this.gone = once(socket, 'close').then(() => {
      if (!this.stopping) this.recorder.failed('the connection was closed')
      this.stopping = true
      this.drained()
    })
  }

  onFrame(frame: Frame): void {
    const { bytes, headerStart, headerEnd } = frame
    let slot = -FIRST_OPAQUE
    if (frame.serializeType === BINARY_HEADER) slot += frame.view.getInt32(headerStart + 5)
    else {
      let opaque = 0
      let pos = bytes.indexOf(OPAQUE_KEY, headerStart) + OPAQUE_KEY.length
      for (; pos < headerEnd && bytes[pos]! >= DIGIT_0; pos++) opaque = opaque * 10 + bytes[pos]! - DIGIT_0
      slot += opaque
    }
    if (slot < 0 || slot >= this.sentAt.length) return
    this.waiting--
    this.answer(frame, slot)
  }

  async stop(): Promise<void> {
    this.stopping = true
    if (this.waiting > 0 && !this.socket.destroyed) {
      // A request that is never answered must not hold everything up.
      const patience = setTimeout(() => this.drained(), 5000)
      await new Promise<void>(resolve => {
        this.drained = resolve
      })
      clearTimeout(patience)
    }
    this.socket.destroy()
  }

  protected write(bytes: Buffer, requests: number): void {
    this.waiting += requests
    this.socket.write(bytes)
  }

  /** Gathers several writes into one system call. */
  protected gather(write: () => void): void {
    this.socket.cork()
    write()
    this.socket.uncork()
  }

  protected refused(frame: Frame): void {
    const { code, remark } = decodeCommand(frame)
    this.recorder.failed(`answer ${code}: ${remark}`)
  }

  protected abstract answer(frame: Frame, slot: number): void
  /** All answers of one read have been seen. */
  protected abstract afterAnswers(): void
}

/** What differs between requests, so that it can be found in a frame that was built by the general codec. */
const QUEUE_MARK = '@'
const KEY_MARK = '#'
const KEY_DIGITS = 32

class SendLoad extends RawLoad {
  /** Resolves when `limit` messages were answered. */
  readonly finished: Promise<void>
  private finish: () => void = () => {}
  private readonly options: SendLoadOptions
  /** A frame for each slot, back to back: slots next to each other go out in one write without a copy. */
  private readonly slab: Buffer
  private readonly frameBytes: number
  private readonly queueAt: number
  private readonly queueDigits: number
  private readonly keyAt: number
  /** Slots that may be used, oldest first. */
  private readonly free: Int32Array
  private freeHead = 0
  private freeCount = 0
  private sent = 0
  private answered = 0
  private readonly began = performance.now()

  constructor(socket: Socket, options: SendLoadOptions) {
    const slots = options.ratePerSecond === undefined ? options.inFlight : OPEN_LOOP_SLOTS
    super(socket, slots)
    this.options = options
    this.queueDigits = String(options.queueCount - 1).length
    const frames = Array.from({ length: slots }, (_, slot) => this.frameOf(FIRST_OPAQUE + slot))
    this.frameBytes = frames[0]!.length
    const inFront = options.serializeType === BINARY_HEADER ? `\u0000\u0001e\u0000\u0000\u0000` : '"e":"'
    this.queueAt = frames[0]!.indexOf(QUEUE_MARK.repeat(this.queueDigits), frames[0]!.indexOf(inFront))
    this.keyAt = frames[0]!.indexOf(KEY_MARK.repeat(KEY_DIGITS))
    this.slab = Buffer.concat(frames)
    this.free = Int32Array.from({ length: slots }, (_, slot) => slot)
    this.freeCount = slots
    this.finished = new Promise(resolve => {
      this.finish = resolve
    })
    this.now = performance.now()
    if (options.ratePerSecond === undefined) this.send(slots)
    else this.tick(1000 / options.ratePerSecond)
  }

  private frameOf(opaque: number): Buffer {
    const { topic, bodyBytes, serializeType } = this.options
    const properties = `UNIQ_KEY\u0001${KEY_MARK.repeat(KEY_DIGITS)}\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002`
    const fields: ExtFields = SendMessageV2Header.encode({
      ...{ a: GROUP, b: topic, c: 'TBW102', d: 4, e: 0, f: 0, g: Date.now(), h: 0, i: properties, j: 0 },
      ...{ k: false, l: 0, m: false, n: 'broker' }
    })
    fields.e = QUEUE_MARK.repeat(this.queueDigits)
    const body = Buffer.alloc(bodyBytes, 'x')
    return encodeCommand({ ...request(RequestCode.SEND_MESSAGE_V2, fields, body), opaque, serializeType })
  }

  protected answer(frame: Frame, slot: number): void {
    if (frame.code === ResponseCode.SUCCESS || decodeCommand(frame).code === ResponseCode.SUCCESS)
      this.recorder.answered(this.now - this.sentAt[slot]!, 1, this.options.bodyBytes)
    else this.refused(frame)
    this.free[(this.freeHead + this.freeCount++) % this.free.length] = slot
    if (++this.answered === this.options.limit) this.finish()
  }

  protected afterAnswers(): void {
    if (this.options.ratePerSecond === undefined) this.send(this.freeCount)
  }

  /** Open loop: sends what is due. */
  private tick(everyMs: number): void {
    if (this.stopping) return
    this.now = performance.now()
    const due = Math.floor((this.now - this.began) / everyMs) - this.sent
    if (due > 0) this.send(Math.min(due, this.freeCount))
    // Without a pause it would take a whole processor from what is measured.
    setTimeout(() => this.tick(everyMs), TICK_MS)
  }

  private send(count: number): void {
    const { limit = Number.POSITIVE_INFINITY } = this.options
    count = this.stopping ? 0 : Math.min(count, limit - this.sent)
    if (count <= 0) return
    this.gather(() => {
      while (count > 0) {
        const first = this.free[this.freeHead]!
        let run = 0
        for (; run < count && this.free[this.freeHead] === first + run; run++) {
          this.prepare(first + run)
          this.freeHead = (this.freeHead + 1) % this.free.length
        }
        this.freeCount -= run
        count -= run
        this.write(this.slab.subarray(first * this.frameBytes, (first + run) * this.frameBytes), run)
      }
    })
  }

  private prepare(slot: number): void {
    const at = slot * this.frameBytes
    patchDecimal(this.slab, at + this.queueAt, this.queueDigits, this.sent % this.options.queueCount)
    patchDecimal(this.slab, at + this.keyAt, KEY_DIGITS, this.sent)
    this.sentAt[slot] = this.now
    this.sent++
  }
}

const OFFSET_DIGITS = 15
const OFFSET_MARK = '9'.repeat(OFFSET_DIGITS)

class PullLoad extends RawLoad {
  private readonly frames: Buffer[] = []
  private readonly offsets: Float64Array
  private readonly offsetAt: number
  private readonly free: number[] = []

  constructor(socket: Socket, { topic, queueCount, serializeType, inFlight, batch }: PullLoadOptions) {
    super(socket, inFlight)
    this.offsets = new Float64Array(inFlight)
    for (let slot = 0; slot < inFlight; slot++) {
      const fields = PullMessageHeader.encode({
        ...{ consumerGroup: GROUP, topic, queueId: slot % queueCount, queueOffset: Number(OFFSET_MARK) },
        ...{ maxMsgNums: batch, sysFlag: 4, commitOffset: 0, suspendTimeoutMillis: 0 },
        ...{ subscription: '*', subVersion: 0, expressionType: 'TAG' }
      })
      const command = request(RequestCode.PULL_MESSAGE, fields)
      this.frames.push(encodeCommand({ ...command, opaque: FIRST_OPAQUE + slot, serializeType }))
      this.free.push(slot)
    }
    this.offsetAt = this.frames[0]!.indexOf(OFFSET_MARK)
    this.now = performance.now()
    this.afterAnswers()
  }

  protected answer(frame: Frame, slot: number): void {
    const { view, headerEnd, bodyEnd } = frame
    const code = frame.code === -1 ? decodeCommand(frame).code : frame.code
    if (code === ResponseCode.SUCCESS) {
      let count = 0
      for (let pos = headerEnd; pos < bodyEnd; pos += Math.max(1, view.getInt32(pos))) count++
      this.recorder.answered(this.now - this.sentAt[slot]!, count, bodyEnd - headerEnd)
      this.offsets[slot]! += count
    } else if (code === ResponseCode.PULL_NOT_FOUND || code === ResponseCode.PULL_OFFSET_MOVED) {
      // All is read: again from the beginning.
      this.offsets[slot] = 0
    } else if (code !== ResponseCode.PULL_RETRY_IMMEDIATELY) this.refused(frame)
    this.free.push(slot)
  }

  protected afterAnswers(): void {
    if (this.stopping || this.free.length === 0) return
    this.gather(() => {
      for (const slot of this.free.splice(0)) {
        const frame = this.frames[slot]!
        patchDecimal(frame, this.offsetAt, OFFSET_DIGITS, this.offsets[slot]!)
        this.sentAt[slot] = this.now
        this.write(frame, 1)
      }
    })
  }
}

async function open(address: string): Promise<Socket> {
  const socket = connect({ ...parseAddress(address), noDelay: true })
  await once(socket, 'connect')
  return socket
}

/** Sends until it is stopped. */
export async function startSendLoad(options: SendLoadOptions): Promise<Load> {
  return new SendLoad(await open(options.address), options)
}

/** Pulls all queues from their beginning, again and again, until it is stopped. */
export async function startPullLoad(options: PullLoadOptions): Promise<Load> {
  return new PullLoad(await open(options.address), options)
}

/** Sends so many messages. Throws when a broker refuses one. */
export async function fill(options: SendLoadOptions & { limit: number }): Promise<void> {
  const load = new SendLoad(await open(options.address), options)
  await Promise.race([load.finished, load.gone])
  await load.stop()
  const { errors, firstError } = load.recorder
  if (errors > 0) throw new Error(`${errors} of ${options.limit} messages were refused: ${firstError}`)
}

/** Creates the topic, and returns when messages can be sent to it. */
export async function createTopic(address: string, topic: string, queueCount: number): Promise<void> {
  const socket = await open(address)
  const count = String(queueCount)
  const fields = {
    ...{ topic, defaultTopic: 'TBW102', readQueueNums: count, writeQueueNums: count, perm: '6' },
    ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: '0', order: 'false' }
  }
  socket.write(encodeCommand({ ...request(RequestCode.UPDATE_AND_CREATE_TOPIC, fields), opaque: FIRST_OPAQUE }))
  const decoder = new FrameDecoder(MAX_FRAME_BYTES)
  await new Promise<void>((resolve, reject) => {
    const onFrame = (frame: Frame) => {
      const { code, remark } = decodeCommand(frame)
      if (code === ResponseCode.SUCCESS) resolve()
      else reject(new Error(`the topic was not created: answer ${code}, ${remark}`))
    }
    socket.on('data', (chunk: Buffer) => decoder.push(chunk, { onFrame }))
    socket.on('close', () => reject(new Error('the connection was closed')))
  })
  socket.destroy()
}
