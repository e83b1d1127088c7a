import { setTimeout as delay } from 'node:timers/promises'
import { Admin } from '../../client/index.ts'
import { sentence } from '../process.ts'
import { type BrokerFigures, type ClusterFigures, ClusterWatch } from './cluster-figures.ts'
import { count, onStop, styled } from './terminal.ts'

export interface TopOptions {
  namesrv: string
  once: boolean
  json: boolean
}

const INTERVAL_MS = 1000
/** A broker that does not answer for so long is shown as silent. */
const TIMEOUT_MS = 2000
/** Where no terminal says how much fits. */
const PLAIN = { columns: 100, rows: Number.POSITIVE_INFINITY }

/** Shows what a cluster does, anew each second, until q or a signal; or once. */
export async function top({ namesrv, once, json }: TopOptions): Promise<void> {
  const admin = new Admin({ namesrvAddr: namesrv, requestTimeoutMs: TIMEOUT_MS })
  const watch = new ClusterWatch(admin)
  try {
    if (process.stdout.isTTY && !once && !json) {
      await live(watch, namesrv)
      return
    }
    const ended = new AbortController()
    onStop(() => ended.abort())
    await watch.figures()
    for (;;) {
      await delay(INTERVAL_MS, undefined, { signal: ended.signal }).catch(() => {})
      if (ended.signal.aborted) return
      const figures = (await watch.figures())!
      const text = json ? JSON.stringify(figures) : screen(figures, namesrv, PLAIN).join('\n')
      process.stdout.write(`${text}\n${json || once ? '' : '\n'}`)
      if (once) return
    }
  } finally {
    await admin.close()
  }
}

/** q, Q, Ctrl+C and Ctrl+D: a terminal in raw mode makes no signals of them. */
const QUIT = [0x71, 0x51, 0x03, 0x04]
const ESC = '\x1b['
const ENTER = `${ESC}?1049h${ESC}?25l`
const LEAVE = `${ESC}?25h${ESC}?1049l`
/** A terminal that knows these shows what stands between them at once. */
const BEGIN = `${ESC}?2026h`
const END = `${ESC}?2026l`

/** Each picture is one write over the one before, of which nothing is erased first: so nothing flickers. */
async function live(watch: ClusterWatch, namesrv: string): Promise<void> {
  const { stdin, stdout } = process
  let lines = ['…']
  const draw = () => {
    const shown = lines.slice(0, stdout.rows - 1).map(line => `${line}${ESC}K`)
    stdout.write(`${BEGIN}${ESC}H${shown.join('\r\n')}${ESC}J${END}`)
  }
  let figures: ClusterFigures | null = null
  const update = (failure = '') => {
    if (figures === null && failure === '') return
    const size = { columns: stdout.columns, rows: stdout.rows - 1 }
    const now = figures === null ? [] : screen(figures, namesrv, size)
    lines = failure === '' ? now : [styled(stdout, 'red', clip(failure, size.columns)), ...now.slice(1)]
    draw()
  }
  const ended = new AbortController()
  onStop(() => ended.abort())
  const onKey = (key: Buffer) => {
    if (key.some(byte => QUIT.includes(byte))) ended.abort()
  }
  const onResize = () => update()
  stdout.write(ENTER)
  stdin.setRawMode?.(true)
  stdin.on('data', onKey)
  stdout.on('resize', onResize)
  try {
    draw()
    while (!ended.signal.aborted) {
      const begin = performance.now()
      try {
        figures = (await watch.figures()) ?? figures
        update()
      } catch (error) {
        update(sentence(error))
      }
      const restMs = Math.max(0, INTERVAL_MS - (performance.now() - begin))
      await delay(restMs, undefined, { signal: ended.signal }).catch(() => {})
    }
  } finally {
    stdin.off('data', onKey)
    stdout.off('resize', onResize)
    stdin.setRawMode?.(false)
    stdin.pause()
    stdout.write(LEAVE)
  }
}

/** A column of a table: numbers stand on the right. */
interface Column<T> {
  title: string
  cell(row: T): string
  left?: boolean
}

const NOTHING = '-'
const rate = (value: number | null): string =>
  value === null ? NOTHING : value > 0 && value < 10 ? value.toFixed(1) : count(value)

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const
export function bytesText(bytes: number | null): string {
  if (bytes === null) return NOTHING
  let unit = 0
  for (; bytes >= 1024 && unit < UNITS.length - 1; unit++) bytes /= 1024
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${UNITS[unit]}`
}

function roleOf({ id, slaves, up }: BrokerFigures): string {
  if (!up) return 'no answer'
  if (id !== 0) return `slave ${id}`
  return slaves ? `master, ${slaves} ${slaves === 1 ? 'slave' : 'slaves'}` : 'master'
}

const BROKER_COLUMNS: Column<BrokerFigures>[] = [
  { title: 'BROKER', left: true, cell: ({ name }) => name },
  { title: 'ROLE', left: true, cell: roleOf },
  { title: 'ADDRESS', left: true, cell: ({ address }) => address },
  { title: 'IN/S', cell: ({ inRate }) => rate(inRate) },
  { title: 'OUT/S', cell: ({ outRate }) => rate(outRate) },
  { title: 'DISK', cell: ({ diskUsed }) => (diskUsed === null ? NOTHING : `${Math.round(diskUsed * 100)} %`) },
  { title: 'UNDISPATCHED', cell: ({ dispatchLag }) => bytesText(dispatchLag) },
  { title: 'UNREPLICATED', cell: ({ replicaLag }) => bytesText(replicaLag) }
]
const TOPIC_COLUMNS: Column<ClusterFigures['topics'][number]>[] = [
  { title: 'TOPIC', left: true, cell: ({ topic }) => topic },
  { title: 'IN/S', cell: ({ inRate }) => rate(inRate) },
  { title: 'MESSAGES', cell: ({ messages }) => count(messages) },
  { title: 'QUEUES', cell: ({ queues }) => count(queues) }
]
const GROUP_COLUMNS: Column<ClusterFigures['groups'][number]>[] = [
  { title: 'GROUP', left: true, cell: ({ group }) => group },
  { title: 'LAG', cell: ({ lag }) => count(lag) },
  { title: 'OUT/S', cell: ({ outRate }) => rate(outRate) },
  { title: 'TOPICS', left: true, cell: ({ topics }) => topics.join(' ') }
]

const clip = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`

const MIN_NAME_WIDTH = 8
const GAP = '  '

/** A table with its titles, no wider than `columns`: the first column gives way, then what stands on the right. */
function table<T>(rows: readonly T[], all: readonly Column<T>[], columns: number): string[] {
  const cells = rows.map(row => all.map(({ cell }) => cell(row)))
  const widths = all.map(({ title }, i) => Math.max(title.length, ...cells.map(row => row[i]!.length)))
  const excess = widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length) - columns
  if (excess > 0) widths[0] = Math.max(MIN_NAME_WIDTH, widths[0]! - excess)
  const line = (row: readonly string[]) =>
    clip(
      row
        .map((cell, i) => (all[i]!.left ? clip(cell, widths[i]!).padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join(GAP)
        .trimEnd(),
      columns
    )
  return [styled(process.stdout, 'bold', line(all.map(({ title }) => title))), ...cells.map(line)]
}

/** What is shown of a cluster, line by line, in as much room as there is. */
export function screen(
  figures: ClusterFigures,
  namesrv: string,
  { columns, rows }: { columns: number; rows: number }
): string[] {
  const { brokers, topics, topicCount, groups, time } = figures
  const total = (of: (broker: BrokerFigures) => number | null) =>
    count(brokers.reduce((sum, broker) => sum + (of(broker) ?? 0), 0))
  const some = topicCount > topics.length ? ` (the first ${topics.length})` : ''
  const head = [
    `${new Date(time).toTimeString().slice(0, 8)}  in ${total(broker => broker.inRate)}/s, out ${total(broker => broker.outRate)}/s`,
    `${brokers.length} brokers, ${topicCount} topics${some}, ${groups.length} groups`,
    namesrv
  ]
  // The head, three titles and two lines between them.
  const room = Math.max(0, rows - 6)
  const share = Math.floor(room / 3)
  const brokerRows = Math.min(brokers.length, Math.max(share, room - topics.length - groups.length))
  const topicRows = Math.min(
    topics.length,
    Math.max(Math.floor((room - brokerRows) / 2), room - brokerRows - groups.length)
  )
  const groupRows = Math.min(groups.length, room - brokerRows - topicRows)
  return [
    clip(head.join('  |  '), columns),
    ...table(brokers.slice(0, brokerRows), BROKER_COLUMNS, columns),
    '',
    ...table(topics.slice(0, topicRows), TOPIC_COLUMNS, columns),
    '',
    ...table(groups.slice(0, groupRows), GROUP_COLUMNS, columns)
  ]
}
