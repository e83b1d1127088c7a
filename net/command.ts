import { LANGUAGE_JAVA, LANGUAGES, MQ_VERSION } from './codes.ts'
import { NetError } from './errors.ts'
import {
  BINARY_AT,
  BINARY_HEADER,
  FRAME_HEAD_BYTES,
  type Frame,
  JSON_HEADER,
  LENGTH_BYTES,
  type SerializeType
} from './frame.ts'
import { formatBody, parseHeaderText } from './json.ts'

export type ExtFields = Record<string, string>

/** A request or a response in its general form. RemotingCommand */
export interface RemotingCommand {
  code: number
  /** Index into LANGUAGES; null when unknown. */
  language: number | null
  version: number
  /** Ties a response to its request. */
  opaque: number
  flag: number
  remark: string | null
  extFields: ExtFields | null
  body: Uint8Array | null
  serializeType: SerializeType
}

export const RESPONSE_FLAG = 1
export const ONE_WAY_FLAG = 2
export const isResponse = (command: RemotingCommand): boolean => (command.flag & RESPONSE_FLAG) !== 0
export const isOneWay = (command: RemotingCommand): boolean => (command.flag & ONE_WAY_FLAG) !== 0

const toBytes = (body: Uint8Array | string | null | undefined): Uint8Array | null =>
  typeof body === 'string' ? Buffer.from(body) : (body ?? null)

/** A request; the connection that sends it gives it its opaque. */
export function request(
  code: number,
  extFields: ExtFields | null = null,
  body?: Uint8Array | string | null
): RemotingCommand {
  return {
    code,
    language: LANGUAGE_JAVA,
    version: MQ_VERSION,
    opaque: 0,
    flag: 0,
    remark: null,
    extFields,
    body: toBytes(body),
    serializeType: JSON_HEADER
  }
}

/** A response; the connection that sends it mirrors its request's opaque and header type. */
export function response(
  code: number,
  remark: string | null = null,
  extFields: ExtFields | null = null,
  body?: Uint8Array | string | null
): RemotingCommand {
  return { ...request(code, extFields, body), flag: RESPONSE_FLAG, remark }
}

/** Decodes a frame; the body may be kept. Throws NetError BAD_FRAME. */
export function decodeCommand(frame: Frame): RemotingCommand {
  const command = frame.serializeType === BINARY_HEADER ? decodeBinary(frame) : decodeJson(frame)
  const { bytes, headerEnd, bodyEnd } = frame
  if (bodyEnd > headerEnd)
    command.body = frame.ownsBytes
      ? bytes.subarray(headerEnd, bodyEnd)
      : Uint8Array.prototype.slice.call(bytes, headerEnd, bodyEnd)
  return command
}

function decodeBinary(frame: Frame): RemotingCommand {
  const { bytes, view, headerStart, headerEnd } = frame
  const language = bytes[headerStart + BINARY_AT.language]!
  let pos = headerStart + BINARY_AT.remarkLength
  let end = headerEnd
  const take = (count: number): number => {
    if (count < 0 || count > end - pos) throw new NetError('BAD_FRAME', { reason: `a field of ${count} bytes` })
    pos += count
    return pos - count
  }
  const text = (length: number): string => bytes.toString('utf8', take(length), pos)
  const int32 = (): number => view.getInt32(take(4))
  const remark = text(int32())
  const extBytes = int32()
  const extStart = take(extBytes)
  end = pos
  pos = extStart
  let extFields: ExtFields | null = null
  while (pos < end) {
    extFields ??= {}
    const key = text(view.getInt16(take(2)))
    const value = text(int32())
    if (value !== '') extFields[key] = value
  }
  return {
    code: frame.code,
    language: language < LANGUAGES.length ? language : null,
    version: view.getInt16(headerStart + BINARY_AT.version),
    opaque: view.getInt32(headerStart + BINARY_AT.opaque),
    flag: view.getInt32(headerStart + BINARY_AT.flag),
    remark: remark === '' ? null : remark,
    extFields,
    body: null,
    serializeType: BINARY_HEADER
  }
}

function int32Of(name: string, value: unknown): number {
  const number = typeof value === 'object' ? Number(value === null ? 0 : Number.NaN) : Number(value ?? 0)
  if (number !== (number | 0))
    throw new NetError('BAD_FRAME', { reason: `the header's ${name} is no number of 32 bits` })
  return number
}

const textOf = (value: unknown): string => (typeof value === 'object' ? formatBody(value) : String(value))

function decodeJson(frame: Frame): RemotingCommand {
  const header = parseHeader(frame)
  let extFields: ExtFields | null = null
  if (header.extFields !== null && typeof header.extFields === 'object') {
    extFields = {}
    for (const [key, value] of Object.entries(header.extFields)) if (value !== null) extFields[key] = textOf(value)
  }
  const language = LANGUAGES.indexOf(header.language as never)
  return {
    code: int32Of('code', header.code),
    language: language < 0 ? null : language,
    version: int32Of('version', header.version),
    opaque: int32Of('opaque', header.opaque),
    flag: int32Of('flag', header.flag),
    remark: header.remark == null ? null : textOf(header.remark),
    extFields,
    body: null,
    serializeType: JSON_HEADER
  }
}

function parseHeader(frame: Frame): Record<string, unknown> {
  let header: unknown
  try {
    header = parseHeaderText(frame.bytes.toString('utf8', frame.headerStart, frame.headerEnd))
  } catch (cause) {
    throw new NetError('BAD_FRAME', { reason: `the header is no JSON: ${(cause as Error).message}` }, { cause })
  }
  if (header === null || typeof header !== 'object' || Array.isArray(header) || header instanceof Map)
    throw new NetError('BAD_FRAME', { reason: 'the header is no JSON object' })
  return header as Record<string, unknown>
}

/** The bytes of a command's header, in the command's own header type. */
function encodeHeader(command: RemotingCommand): Buffer {
  return command.serializeType === BINARY_HEADER ? encodeBinary(command) : encodeJson(command)
}

/** Keys in the order in which Java writes them. */
function encodeJson({ code, extFields, flag, language, opaque, remark, version }: RemotingCommand): Buffer {
  return Buffer.from(
    JSON.stringify({
      code,
      extFields: extFields ?? undefined,
      flag,
      language: LANGUAGES[language ?? LANGUAGE_JAVA],
      opaque,
      remark: remark ?? undefined,
      serializeTypeCurrentRPC: 'JSON',
      version
    })
  )
}

function encodeBinary(command: RemotingCommand): Buffer {
  const remark = Buffer.from(command.remark ?? '')
  const fields = Object.entries(command.extFields ?? {}).map(
    ([key, value]) => [Buffer.from(key), Buffer.from(value)] as const
  )
  const extBytes = fields.reduce((sum, [key, value]) => sum + 6 + key.length + value.length, 0)
  const header = Buffer.allocUnsafe(BINARY_AT.smallest + remark.length + extBytes)
  header.writeInt16BE((command.code << 16) >> 16, BINARY_AT.code)
  header[BINARY_AT.language] = command.language ?? LANGUAGE_JAVA
  header.writeInt16BE(command.version, BINARY_AT.version)
  header.writeInt32BE(command.opaque, BINARY_AT.opaque)
  header.writeInt32BE(command.flag, BINARY_AT.flag)
  header.writeInt32BE(remark.length, BINARY_AT.remarkLength)
  let pos = BINARY_AT.remarkLength + 4 + remark.copy(header, BINARY_AT.remarkLength + 4)
  pos = header.writeInt32BE(extBytes, pos)
  for (const [key, value] of fields) {
    pos = header.writeInt16BE(key.length, pos)
    pos += key.copy(header, pos)
    pos = header.writeInt32BE(value.length, pos)
    pos += value.copy(header, pos)
  }
  return header
}

/** A whole frame but for its body, which follows as `command.body`. */
export function encodeHead(command: RemotingCommand, bodyBytes = command.body?.length ?? 0): Buffer {
  const header = encodeHeader(command)
  const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES + header.length)
  head.writeUInt32BE(FRAME_HEAD_BYTES - LENGTH_BYTES + header.length + bodyBytes, 0)
  head.writeUInt32BE(((command.serializeType << 24) | header.length) >>> 0, LENGTH_BYTES)
  header.copy(head, FRAME_HEAD_BYTES)
  return head
}

/** A whole frame. */
export function encodeCommand(command: RemotingCommand): Buffer {
  const head = encodeHead(command)
  return command.body === null ? head : Buffer.concat([head, command.body])
}
