import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runMqadmin } from '../../cli/mqadmin/run.ts'
import { commands } from '../../cli/mqadmin/table.ts'
import {
  parseBody,
  type RemotingCommand,
  RemotingServer,
  RequestCode,
  RequestDispatcher,
  response
} from '../../net/index.ts'
import { mqadminNames, mqadminRecording, mqadminText, type RecordedFrame } from '../support/recordings.ts'

// Each recorded conversation of RocketMQ's mqadmin with a NameServer and a broker is held again with ours: two servers
// give the recorded answers, our mqadmin has to ask the same questions and to print the same text.

process.env.TZ = 'UTC'

const NAMESRV = '127.0.0.2:29776'
const BROKER = '127.0.0.2:29811'

/** What ours leaves out: it is no client of the broker, and knows no static topics. */
const NOT_ASKED: ReadonlySet<number> = new Set([
  RequestCode.HEART_BEAT,
  RequestCode.UNREGISTER_CLIENT,
  RequestCode.GET_CONSUMER_LIST_BY_GROUP,
  RequestCode.GET_TOPIC_CONFIG
])

/** Java asks for the route of each topic of a group, too, in case it is a static one. */
const isWanted = (name: string, { code, request }: Exchange): boolean =>
  !NOT_ASKED.has(code) &&
  !(name.startsWith('consumerProgress') && code === RequestCode.GET_ROUTEINFO_BY_TOPIC && !request.includes('%RETRY%'))

/** Recordings of commands that we have which hold nothing that can be compared, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  'clusterList-more': "the broker's answer is not in the recording"
}

const ownCommands = new Set(commands.map(({ name }) => name.toLowerCase()))
const commandOf = (name: string): string[] => {
  const [line = ''] = mqadminText(name).split('\n')
  const words = line.match(/'[^']*'|\S+/g) ?? []
  return words.slice(2).map(word => word.replace(/^'(.*)'$/, '$1'))
}

/** Fields whose values depend on the moment, on chance, or on what Java's client says of itself. */
const VOLATILE: ReadonlySet<string> = new Set(['ReqT', 'beginTimestamp', 'endTimestamp', 'dataVersion', 'bname'])
const OF_SEND: ReadonlySet<string> = new Set(['b', 'c', 'h', 'n'])

/** A request as it must be the same in both conversations. */
function essence(code: number, extFields: Readonly<Record<string, string>> | null, body: Uint8Array | null): string {
  const isSend = code === RequestCode.SEND_MESSAGE_V2
  const wanted = ([name, value]: [string, string]) =>
    value !== '' && (isSend ? OF_SEND.has(name) : !VOLATILE.has(name)) && !(name === 'timestamp' && value.length === 13)
  const fields = Object.entries(extFields ?? {})
    .filter(wanted)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const text = Buffer.from(body ?? '').toString()
  // The order of fields in a body means nothing.
  const sorted = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(sorted)
      : value !== null && typeof value === 'object'
        ? Object.entries(value)
            .filter(([, each]) => each !== null)
            .map(([name, each]) => [name, sorted(each)])
            .sort()
        : value
  return JSON.stringify([code, fields, text.startsWith('{') ? sorted(parseBody(text)) : text])
}

interface Exchange {
  route: string
  request: string
  code: number
  answer: RecordedFrame
  used: boolean
}

/** What was asked by the command itself, and its answers. */
function exchangesOf(name: string): Exchange[] {
  const frames = [...mqadminRecording(name)]
  return frames.flatMap(frame => {
    const { header, dir, conn, route, body } = frame
    if (dir !== 's2c' || !(header.flag & 1)) return []
    const asked = frames.find(
      other =>
        other.dir === 'c2s' && other.conn === conn && other.header.opaque === header.opaque && !(other.header.flag & 1)
    )
    if (asked === undefined || body === undefined) return []
    const { code } = asked.header
    const request = essence(code, asked.header.extFields ?? null, asked.body)
    return [{ route, request, code, answer: frame, used: false }]
  })
}

const hexOf = (address: string): string => {
  const [host = '', port] = address.split(':')
  return Buffer.from([...host.split('.').map(Number), 0, 0, Number(port) >> 8, Number(port) & 255])
    .toString('hex')
    .toUpperCase()
}

/** Puts one address in the place of another, in every form that bodies and headers know. */
function readdress(text: string, from: string, to: string): string {
  return text.replaceAll(from, to).replaceAll(hexOf(from), hexOf(to))
}
const readdressBytes = (bytes: Buffer, from: string, to: string): Buffer => {
  const text = bytes.toString('latin1')
  const binary = (address: string) => Buffer.from(hexOf(address), 'hex').toString('latin1')
  return Buffer.from(readdress(text, from, to).replaceAll(binary(from), binary(to)), 'latin1')
}

interface Run {
  text: string
  exitCode: number
  sent: Set<string>
  unexpected: string[]
  exchanges: Exchange[]
}

/** Runs a recorded command against servers that give the recorded answers. */
async function replay(t: Test, name: string): Promise<Run> {
  const exchanges = exchangesOf(name)
  const sent = new Set<string>()
  const unexpected: string[] = []
  const addresses = { namesrv: '', broker: '' }

  const toReal = (bytes: Buffer) =>
    readdressBytes(readdressBytes(bytes, BROKER, addresses.broker), NAMESRV, addresses.namesrv)
  const toRecorded = (text: string) => readdress(readdress(text, addresses.broker, BROKER), addresses.namesrv, NAMESRV)

  const answer = (route: string, { code, extFields, body }: RemotingCommand): RemotingCommand => {
    const request = toRecorded(essence(code, extFields, body))
    const candidates = exchanges.filter(exchange => exchange.route === route && exchange.request === request)
    const exchange = candidates.find(({ used }) => !used) ?? candidates[0]
    if (exchange === undefined) {
      unexpected.push(`${route} ${request}`)
      return response(3, 'not in the recording')
    }
    exchange.used = true
    sent.add(request)
    const { header, body: recorded } = exchange.answer
    const fields = header.extFields
    return response(header.code, header.remark ?? null, fields ?? null, recorded.length > 0 ? toReal(recorded) : null)
  }
  for (const route of ['namesrv', 'broker'] as const) {
    const dispatcher = new RequestDispatcher()
    for (const code of Object.values(RequestCode)) dispatcher.register(code, command => answer(route, command))
    dispatcher.register(RequestCode.HEART_BEAT, () => response(0))
    dispatcher.register(RequestCode.UNREGISTER_CLIENT, () => response(0))
    const server = new RemotingServer(dispatcher)
    t.teardown(() => server.close())
    const { port } = await server.listen(0, '127.0.0.1')
    addresses[route] = `127.0.0.1:${port}`
  }

  const out: string[] = []
  const stream = { write: (text: string) => out.push(text) }
  const args = commandOf(name).map(arg =>
    readdress(readdress(arg, BROKER, addresses.broker), NAMESRV, addresses.namesrv)
  )
  const exitCode = await runMqadmin(args, { stdout: stream, stderr: stream, env: {} })
  return { text: toRecorded(out.join('')), exitCode, sent, unexpected, exchanges }
}

/** Leaves of a printed text what does not depend on the moment, the machine, or Java. */
function normal(text: string, name: string): string {
  const lines = text
    // Stack traces, and links to RocketMQ's pages.
    .replace(/^\t(at |\.\.\. ).*\n/gm, '')
    .replace(/^For more information, please visit the url.*\n/gm, '')
    .replace(/\b\d{13}\b/g, 'MS')
    .replace(/^(Message Body Path: +)\S*\//gm, '$1/')
    .replace(/\brt=\d+ms/g, 'rt=Nms')
    .split('\n')
  const normalLines = lines.map(line => {
    if (name.startsWith('clusterList'))
      return line.replace(/ -?\d+\.\d\d( +\d\.\d{4} )/, ' HOURS$1').replace(/ +/g, ' ')
    if (name === 'sendMessage' || name === 'sendMsgStatus')
      return line.replace(/\b([0-9A-F]{32}|[0-9A-F]{56})\b/g, 'ID')
    if (name === 'checkMsgSendRT') return line.replace(/(true +|Avg RT: )\d+(\.\d\d)?$/, '$1MS')
    return line
  })
  // Settings come in the order in which they were told; Java shuffles them.
  if (/^(get(Broker|Namesrv)Config|consumerStatus-client)$/.test(name)) normalLines.sort()
  return normalLines.join('\n').trimEnd()
}

// Commands write bodies and running infos below the working and the temporary folder.
const folder = t.testdir()
process.env.TMPDIR = folder
const home = process.cwd()
process.chdir(folder)
t.teardown(() => process.chdir(home))

/** The file that a list command was given, made of what it sent. */
function writeInput(name: string, path: string, field: string): void {
  const asked = [...mqadminRecording(name)].find(({ header }) => !(header.flag & 1))
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, path), JSON.stringify((parseBody(asked!.body) as Record<string, unknown>)[field]))
}
writeInput('updateTopicList', 'topics-in.json', 'topicConfigList')
writeInput('updateSubGroupList', 'groups-in.json', 'groupConfigList')

for (const name of mqadminNames()) {
  const [command = ''] = commandOf(name)
  if (!ownCommands.has(command.toLowerCase()) || LEFT_OUT[name] !== undefined) continue
  await t.test(`mqadmin ${name} asks and prints what RocketMQ's does`, async t => {
    const { text, exitCode, sent, unexpected, exchanges } = await replay(t, name)
    const recorded = mqadminText(name)
    const expected = recorded.slice(recorded.indexOf('\n') + 1)
    t.equal(normal(text, name), normal(expected, name), 'the printed text')
    t.same(unexpected, [], 'nothing else is asked')
    const wanted = exchanges.filter(exchange => isWanted(name, exchange)).map(({ request }) => request)
    t.same([...sent].sort(), [...new Set(wanted)].sort(), 'everything is asked')
    t.equal(exitCode, expected.includes('Exception: ') ? 1 : 0, 'the exit code')
  })
}
