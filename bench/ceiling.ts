// What this machine and this runtime could do at most: `node ceiling.js`, a bare server that finds frames, takes the
// checksum of each body, copies it to memory, and answers. It knows no topics, keeps no order and writes no files.

import { type AddressInfo, createServer, type Socket } from 'node:net'
import { crc32, encodeRecord, hostOf } from '../message/index.ts'
import {
  BINARY_HEADER,
  encodeCommand,
  type Frame,
  FrameDecoder,
  type FrameSink,
  type RemotingCommand,
  RequestCode,
  response
} from '../net/index.ts'
import { serveUsage } from './usage.ts'

const MAX_FRAME_BYTES = 16 * 1024 * 1024
const MEMORY_BYTES = 64 * 1024 * 1024
/** What stands around a body in a record. */
const RECORD_BYTES = 200
const OUTPUT_BYTES = 256 * 1024
const OPAQUE_DIGITS = 10
const OPAQUE_MARK = '9'.repeat(OPAQUE_DIGITS)
const PULL_BATCH = 32

/** An answer that was built once; only its opaque changes. */
interface Template {
  bytes: Buffer
  opaqueAt: number
}

function templatesOf(answer: RemotingCommand): [json: Template, binary: Template] {
  const json = encodeCommand({ ...answer, opaque: Number(OPAQUE_MARK) })
  const binary = encodeCommand({ ...answer, serializeType: BINARY_HEADER })
  return [
    { bytes: json, opaqueAt: json.indexOf(OPAQUE_MARK) },
    { bytes: binary, opaqueAt: 8 + 5 }
  ]
}

const SENT = templatesOf(
  response(0, null, {
    ...{ msgId: '0'.repeat(32), queueId: '0', queueOffset: '000000', transactionId: '0'.repeat(32) },
    ...{ MSG_REGION: 'DefaultRegion', TRACE_ON: 'true' }
  })
)
const CREATED = templatesOf(response(0))
const OPAQUE_KEY = Buffer.from('"opaque":')

/** Where bodies go: round and round. */
const memory = Buffer.alloc(MEMORY_BYTES)
let memoryPos = 0
/** A record with the body that was sent last, which pulls get 32 times. */
let pulled = templatesOf(response(0))
let pulledBodyBytes = -1

function answerToPull(bodyBytes: number): [Template, Template] {
  if (bodyBytes === pulledBodyBytes) return pulled
  const host = hostOf('127.0.0.1', 10911)
  const record = encodeRecord({
    ...{ topic: 'canonical', queueId: 0, queueOffset: 0, physicalOffset: 0, flag: 0, sysFlag: 0, reconsumeTimes: 0 },
    ...{ bornTimestamp: 0, bornHost: host, storeTimestamp: 0, storeHost: host, preparedTransactionOffset: 0 },
    ...{ body: Buffer.alloc(bodyBytes, 'x'), properties: new Map([['UNIQ_KEY', '0'.repeat(32)]]) }
  })
  const fields = { suggestWhichBrokerId: '0', nextBeginOffset: '32', minOffset: '0', maxOffset: '1000000' }
  const records = Buffer.concat(Array.from({ length: PULL_BATCH }, () => record))
  pulled = templatesOf(response(0, 'FOUND', fields, records))
  pulledBodyBytes = bodyBytes
  return pulled
}

class Peer implements FrameSink {
  private readonly socket: Socket
  private readonly decoder = new FrameDecoder(MAX_FRAME_BYTES)
  private out = Buffer.allocUnsafeSlow(OUTPUT_BYTES)
  private outPos = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.decoder.push(chunk, this)
      this.flush()
    })
  }

  onFrame(frame: Frame): void {
    const { bytes, headerEnd, bodyEnd } = frame
    if (frame.code === RequestCode.PULL_MESSAGE) {
      this.answer(frame, answerToPull(Math.max(0, pulledBodyBytes)))
      return
    }
    if (frame.code !== RequestCode.SEND_MESSAGE_V2) {
      this.answer(frame, CREATED)
      return
    }
    const size = bodyEnd - headerEnd
    if (memoryPos + size + RECORD_BYTES > MEMORY_BYTES) memoryPos = 0
    memory.writeInt32BE(crc32(bytes, headerEnd, bodyEnd), memoryPos)
    bytes.copy(memory, memoryPos + RECORD_BYTES, headerEnd, bodyEnd)
    memoryPos += size + RECORD_BYTES
    if (size !== pulledBodyBytes) answerToPull(size)
    this.answer(frame, SENT)
  }

  private answer(frame: Frame, [json, binary]: [Template, Template]): void {
    const { bytes, opaqueAt } = frame.serializeType === BINARY_HEADER ? binary : json
    if (this.outPos + bytes.length > OUTPUT_BYTES) this.flush()
    const at = this.outPos
    bytes.copy(this.out, at)
    if (frame.serializeType === BINARY_HEADER)
      this.out.writeInt32BE(frame.view.getInt32(frame.headerStart + 5), at + opaqueAt)
    else {
      const from = frame.bytes.indexOf(OPAQUE_KEY, frame.headerStart) + OPAQUE_KEY.length
      frame.bytes.copy(this.out, at + opaqueAt, from, from + OPAQUE_DIGITS)
    }
    this.outPos += bytes.length
  }

  private flush(): void {
    if (this.outPos === 0) return
    const full = this.out
    this.socket.write(full.subarray(0, this.outPos))
    this.outPos = 0
    // While the kernel has not taken them, these bytes are not ours.
    if (this.socket.writableLength > 0) this.out = Buffer.allocUnsafeSlow(OUTPUT_BYTES)
  }
}

const server = createServer({ noDelay: true }, socket => new Peer(socket))
server.listen(0, '127.0.0.1', () => {
  serveUsage(`127.0.0.1:${(server.address() as AddressInfo).port}`)
})
