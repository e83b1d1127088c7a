import { readdirSync, readFileSync } from 'node:fs'
import { inRepo } from './repo.ts'

/** A header as the recorder understood it: JSON ones as sent, binary ones with their language's number and serializeType 1. */
export interface RecordedHeader {
  code: number
  flag: number
  opaque: number
  version: number
  language: string | number
  remark?: string
  extFields?: Record<string, string>
  serializeType?: 1
}

/** One frame of a conversation with Apache RocketMQ 5.5.0, in the order in which it passed. */
export interface RecordedFrame {
  /** What was spoken to: `namesrv`, `broker`, `broker-vip` or `broker-to-namesrv`. */
  route: string
  /** Number of the connection within its file. */
  conn: number
  /** `c2s` from the side that opened the connection, `s2c` to it. */
  dir: 'c2s' | 's2c'
  /** The whole frame with its length field. */
  frame: Buffer
  header: RecordedHeader
  /** What follows the header; may be empty. */
  body: Buffer
  /** `request SEND_MESSAGE_V2`, `oneway …`, `response to 310 SEND_MESSAGE_V2: 0 SUCCESS`. */
  note: string
}

const FRAMES = inRepo('test', 'compat', 'data', 'frames')
const MQADMIN = inRepo('test', 'compat', 'data', 'mqadmin')

const names = (folder: string): string[] =>
  readdirSync(folder)
    .filter(name => name.endsWith('.jsonl'))
    .map(name => name.slice(0, -'.jsonl'.length))
    .sort()

function* load(folder: string, name: string): Generator<RecordedFrame> {
  for (const line of readFileSync(`${folder}/${name}.jsonl`, 'utf8').split('\n')) {
    if (line === '') continue
    const { frame: base64, ...rest } = JSON.parse(line)
    // Lines without a frame only say that a connection was opened or closed.
    if (base64 === undefined) continue
    const frame = Buffer.from(base64, 'base64')
    const body = frame.subarray(8 + frame.readUIntBE(5, 3))
    yield { route: rest.route, conn: rest.conn, dir: rest.dir, frame, header: rest.header, body, note: rest.note }
  }
}

/** Names of the recorded conversations, as `producer-5-json`: case, Java client's release, header type. */
export const recordingNames = (): string[] => names(FRAMES)

/** The frames of one conversation. */
export const recording = (name: string): Generator<RecordedFrame> => load(FRAMES, name)

/** All frames of all conversations, each with the name of its own. */
export function* allRecordings(): Generator<RecordedFrame & { name: string }> {
  for (const name of recordingNames()) for (const frame of recording(name)) yield { name, ...frame }
}

/** The same for the conversations of single mqadmin commands; `mqadminText` is what such a command printed. */
export const mqadminNames = (): string[] => names(MQADMIN)
export const mqadminRecording = (name: string): Generator<RecordedFrame> => load(MQADMIN, name)
/** The first line is the command. */
export const mqadminText = (name: string): string => readFileSync(`${MQADMIN}/${name}.txt`, 'utf8')
