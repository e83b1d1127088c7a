import t from 'tap'
import { decodeCommand, FrameDecoder, type RemotingCommand, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker } from '../support/broker.ts'
import { sendAll } from '../support/messages.ts'
import { type RecordedFrame, recording } from '../support/recordings.ts'

// What Apache RocketMQ 5.5.0 answered to some 80 requests, most of them wrong in one way or another, and what we answer.

const { SYSTEM_ERROR, INVALID_PARAMETER, MESSAGE_ILLEGAL } = ResponseCode

/** Where we differ, and why. */
const DIFFERENT: readonly { why: string; holds: (theirs: RecordedFrame, ours: RemotingCommand) => boolean }[] = [
  {
    why: 'a request that lacks something is told what, not a NullPointerException or a parser’s state',
    holds: ({ header }, { code }) =>
      header.code === SYSTEM_ERROR &&
      /NullPointerException|JSONException/.test(header.remark!) &&
      [INVALID_PARAMETER, MESSAGE_ILLEGAL, ResponseCode.REQUEST_CODE_NOT_SUPPORTED].includes(code as never)
  },
  {
    why: 'a message that is too large is told how large it may be',
    holds: ({ header }, { code, remark }) =>
      header.code === MESSAGE_ILLEGAL && code === MESSAGE_ILLEGAL && /ha(s|ve) \d+ bytes, allowed are \d+/.test(remark!)
  },
  {
    why: 'a timer message that is not taken is told which of the reasons it is',
    holds: ({ header }, { code, remark }) =>
      header.code === MESSAGE_ILLEGAL && code === MESSAGE_ILLEGAL && remark!.startsWith('timer message illegal, it')
  },
  {
    why: 'SQL filters, transactions and pop are not served',
    holds: (_, { code, remark }) =>
      (code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED && /request type (37|20005\d) not supported/.test(remark!)) ||
      (code === SYSTEM_ERROR && /by SQL92$/.test(remark!))
  },
  {
    why: 'what begins in the middle of a record is no message',
    holds: ({ note, header }, { code }) =>
      note.includes('VIEW_MESSAGE_BY_ID') && header.code === ResponseCode.SUCCESS && code === SYSTEM_ERROR
  },
  {
    why: 'an administrator had reset the offset of this group before',
    holds: ({ header }, { code }) => header.remark === 'OFFSET_RESET' && code === ResponseCode.SUCCESS
  }
]

const commandOf = ({ frame }: RecordedFrame): RemotingCommand => {
  let command: RemotingCommand | undefined
  new FrameDecoder(frame.length).push(frame, {
    onFrame: whole => {
      command = decodeCommand(whole)
    }
  })
  return command!
}

/** Requests to the broker with their answers. */
function* exchanges(name: string, code?: number): Generator<{ request: RecordedFrame; answer: RecordedFrame }> {
  const asked = new Map<number, RecordedFrame>()
  for (const frame of recording(name)) {
    if (frame.route !== 'broker') continue
    const isAsked = code === undefined || frame.header.code === code
    if (frame.dir === 'c2s' && isAsked) asked.set(frame.header.opaque, frame)
    else if (frame.dir === 's2c' && asked.has(frame.header.opaque))
      yield { request: asked.get(frame.header.opaque)!, answer: frame }
  }
}

/** The topics of a recording, and the groups and messages that it found. */
async function likeRecorded(open: OpenBroker, name: string): Promise<void> {
  for (const topic of ['FrameTopic', 'FramePush', 'FrameNoWrite', 'FrameEmpty'])
    await open.broker.topics.ensure(topic, 2, 6)
  const [first] = exchanges(name, RequestCode.SEND_MESSAGE_V2)
  for (let stored = 0; stored < Number(first!.answer.header.extFields!.queueOffset); stored++)
    await sendAll(open, { topic: 'FrameTopic', body: 'hello' })
  open.broker.groups.get('NoSuchGroup')
  open.broker.groups.get('CG_push')
}

/** Ports are chosen anew each time. */
const plain = (remark: string | null | undefined) =>
  (remark ?? null)?.replace(/127\.0\.0\.1:\d+/, '127.0.0.1:port') ?? null

for (const name of ['errors-5-json', 'errors-5-binary'])
  t.test(`${name}: our answers are those of RocketMQ`, async t => {
    const open = await openBroker(t, { store: { maxMessageSizeBytes: 65_536 } })
    await likeRecorded(open, name)
    const connection = await open.client.connection(open.broker.address)
    let same = 0
    for (const { request, answer } of exchanges(name)) {
      const theirs = answer.header
      const command = commandOf(request)
      // Where the broker may choose a queue, ours takes the one that theirs took.
      if (command.extFields?.e === '-1') command.extFields.e = theirs.extFields!.queueId!
      const ours = await connection.invoke(command, 20_000)
      const isSame =
        ours.code === theirs.code &&
        (theirs.code === ResponseCode.SUCCESS || plain(ours.remark) === plain(theirs.remark))
      if (isSame) same++
      else if (!DIFFERENT.some(({ holds }) => holds(answer, ours)))
        t.fail(`${request.note}: they answered ${theirs.code} ${theirs.remark}, we ${ours.code} ${ours.remark}`)
    }
    t.ok(same > 40, `${same} are the same`)
  })
