import { readBrokerConfig } from '../../broker/index.ts'
import {
  checkStore,
  dumpStore,
  EngineError,
  type Finding,
  type RecoveryProgress,
  rebuildStore,
  type StoreOptions,
  type StoreReport
} from '../../engine/index.ts'
import { decompressBody, type MessageRecord, offsetMessageId, SysFlag } from '../../message/index.ts'
import { parseBody } from '../../net/index.ts'
import { bodyText, CommandError, count, isText, type Progress, progress, styled } from './terminal.ts'

export interface StoreCommandOptions {
  config?: string
}

export interface CheckCommandOptions extends StoreCommandOptions {
  lock: boolean
  json: boolean
}

type BodyForm = 'text' | 'base64' | 'hex' | 'none'

export interface DumpCommandOptions extends StoreCommandOptions {
  topic?: string
  queue?: number
  from?: string
  fromPhysical?: number
  count?: number
  json: boolean
  body: BodyForm
}

export interface RebuildCommandOptions extends StoreCommandOptions {
  keep: boolean
}

const MIB = 1024 * 1024
const DAMAGE_FOUND = 1
/** Nothing could be done with what was named; the exit code is 2. */
const UNUSABLE: ReadonlySet<string> = new Set([
  'STORE_LOCKED',
  'NOT_A_STORE',
  'NO_SUCH_QUEUE',
  'BAD_FILE',
  'BAD_OPTION'
])

/** Checks a store and tells what is in it and what is wrong. Exit code 1 when something is damaged. */
export async function check(dir: string, options: CheckCommandOptions): Promise<void> {
  const store = settingsOf(options)
  const bar = byteProgress('checking')
  const report = await usable(() =>
    checkStore(dir, { store, lock: options.lock, parseConfig: parseBody, onProgress: bar.update })
  ).finally(bar.stop)
  if (options.json) process.stdout.write(`${JSON.stringify({ dir, ...report })}\n`)
  else for (const line of reportLines(report)) process.stdout.write(`${line}\n`)
  if (report.damageCount > 0) process.exitCode = DAMAGE_FOUND
}

function* reportLines(report: StoreReport): Generator<string> {
  const { recordCount, recordBytes, minPhysicalOffset, maxPhysicalOffset, queueCount, unitCount } = report
  const row = (name: string, text: string) => `${name.padEnd(10)}${text}`
  yield row(
    'records',
    `${count(recordCount)} in ${count(recordBytes)} bytes, physical offsets ${minPhysicalOffset} to ${maxPhysicalOffset}`
  )
  yield row('queues', `${count(queueCount)} with ${count(unitCount)} units`)
  yield row('index', `${count(report.indexFileCount)} files with ${count(report.indexEntryCount)} entries`)
  if (report.findings.length > 0) yield ''
  for (const finding of report.findings) yield findingLine(finding)
  const unseen = report.damageCount + report.noteCount - report.findings.length
  if (unseen > 0) yield `and ${count(unseen)} more`
  yield ''
  if (report.damageCount === 0) yield styled(process.stdout, 'green', 'No damage was found.')
  else {
    const bytes = report.damagedBytes === 0 ? '' : `, ${count(report.damagedBytes)} bytes of the CommitLog among it`
    yield styled(process.stdout, 'red', `Damage was found: ${count(report.damageCount)} findings${bytes}.`)
  }
}

function findingLine({ isDamage, path, from, to, text }: Finding): string {
  const mark = isDamage ? styled(process.stdout, 'red', 'damage') : styled(process.stdout, 'gray', 'note  ')
  const range = from === null ? '' : to === null || to === from ? ` at ${from}` : ` bytes ${from} to ${to}`
  return `${mark}  ${path}${range}: ${text}`
}

/** Prints messages. */
export async function dump(dir: string, options: DumpCommandOptions): Promise<void> {
  const { topic, queue, fromPhysical, count: wanted = Number.POSITIVE_INFINITY, json, body } = options
  if (topic === undefined && queue !== undefined) throw new CommandError('--queue needs a --topic')
  if (topic !== undefined && fromPhysical !== undefined)
    throw new CommandError('--from-physical is of the log: leave out --topic, or use --from')
  const store = settingsOf(options)
  let printed = 0
  const query = {
    ...(topic === undefined ? {} : { topic }),
    ...(queue === undefined ? {} : { queueId: queue }),
    ...(fromPhysical === undefined ? {} : { fromPhysicalOffset: fromPhysical }),
    ...fromOf(options.from, topic)
  }
  const line = json ? jsonLine : readableLine
  const onMessage = async (message: MessageRecord, _: Uint8Array, queueOffset: number) => {
    process.stdout.write(`${await line(message, queueOffset, body)}\n`)
    return ++printed < wanted
  }
  const onDamage = (from: number, to: number, text: string) =>
    void process.stderr.write(`damage  commitlog bytes ${from} to ${to}: ${text}\n`)
  await usable(() => dumpStore(dir, query, { onMessage, onDamage }, { store }))
}

function fromOf(text: string | undefined, topic: string | undefined): { fromOffset?: number; fromTimeMs?: number } {
  if (text === undefined) return {}
  if (/^\d+$/.test(text)) {
    if (topic === undefined)
      throw new CommandError('--from is a queue offset, which needs a --topic; the log has --from-physical')
    return { fromOffset: Number(text) }
  }
  const fromTimeMs = new Date(text).getTime()
  if (Number.isNaN(fromTimeMs))
    throw new CommandError(`--from is "${text}"; it is a queue offset, or a date as 2026-11-24T20:00`)
  return { fromTimeMs }
}

/** The body as it was sent; as it is stored when it cannot be unpacked. */
async function bodyOf({ body, sysFlag }: MessageRecord): Promise<Buffer> {
  if ((sysFlag & SysFlag.COMPRESSED) === 0) return Buffer.from(body)
  try {
    return Buffer.from(await decompressBody(body, sysFlag))
  } catch {
    return Buffer.from(body)
  }
}

async function readableLine(message: MessageRecord, queueOffset: number, form: BodyForm): Promise<string> {
  const { topic, queueId, physicalOffset, sizeBytes, storeTimestamp, properties } = message
  const { stdout } = process
  const time = new Date(storeTimestamp).toISOString()
  const place = `${topic} ${queueId}@${queueOffset}`
  const head = styled(stdout, 'gray', `${time} ${physicalOffset}+${sizeBytes}`)
  const tags = properties.has('TAGS') ? ` ${styled(stdout, 'yellow', `[${properties.get('TAGS')}]`)}` : ''
  const keys = properties.has('KEYS') ? ` ${styled(stdout, 'cyan', String(properties.get('KEYS')))}` : ''
  const body = await bodyOf(message)
  const text = form === 'text' ? bodyText(body) : form === 'none' ? '' : body.toString(form)
  return `${head} ${place}${tags}${keys} ${text}`.trimEnd()
}

async function jsonLine(message: MessageRecord, queueOffset: number, form: BodyForm): Promise<string> {
  const { body: _, bornHost, storeHost, properties, ...rest } = message
  const body = await bodyOf(message)
  const asText = form === 'text' && isText(body)
  const encoded =
    form === 'none'
      ? {}
      : asText
        ? { body: body.toString() }
        : form === 'hex'
          ? { bodyHex: body.toString('hex') }
          : { bodyBase64: body.toString('base64') }
  return JSON.stringify({
    ...rest,
    queueOffset,
    bornHost: bornHost.text,
    storeHost: storeHost.text,
    messageId: offsetMessageId(storeHost, message.physicalOffset),
    properties: Object.fromEntries(properties),
    ...encoded
  })
}

/** Builds again what follows from the log. */
export async function rebuild(dir: string, options: RebuildCommandOptions): Promise<void> {
  const store = settingsOf(options)
  const bar = byteProgress('building')
  const result = await usable(() => rebuildStore(dir, { store, keep: options.keep, onProgress: bar.update })).finally(
    bar.stop
  )
  const { queueCount, minPhysicalOffset, maxPhysicalOffset, damagedBytes, replacedDir } = result
  const range = `physical offsets ${minPhysicalOffset} to ${maxPhysicalOffset}`
  process.stdout.write(`Built ${count(queueCount)} queues and the index again from ${range}.\n`)
  if (damagedBytes > 0)
    process.stdout.write(
      `${count(damagedBytes)} bytes of the log are damaged and were passed over: "skylark store check" names them.\n`
    )
  if (replacedDir !== null) process.stdout.write(`The old files are in ${replacedDir}.\n`)
}

/** The settings of a broker.conf that a store has to know. Throws CommandError. */
function settingsOf({ config }: StoreCommandOptions): Partial<StoreOptions> {
  if (config === undefined) return {}
  try {
    return readBrokerConfig(config).options.store ?? {}
  } catch (error) {
    throw new CommandError((error as Error).message)
  }
}

async function usable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof EngineError && UNUSABLE.has(error.code)) throw new CommandError(error.message)
    if (code === 'EACCES' || code === 'EROFS') throw new CommandError((error as Error).message)
    throw error
  }
}

/** A bar in MiB, from the moment at which it is known how much there is to do. */
function byteProgress(label: string): { update(progress: RecoveryProgress): void; stop(): void } {
  let bar: Progress | null = null
  let isStopped = false
  let isStarting = false
  return {
    update({ doneBytes, totalBytes }) {
      bar?.update(Math.floor(doneBytes / MIB))
      if (isStarting) return
      isStarting = true
      void progress(`${label}, MiB`, Math.ceil(totalBytes / MIB)).then(started => {
        bar = started
        if (isStopped) bar.stop()
      })
    },
    stop() {
      isStopped = true
      bar?.stop()
    }
  }
}
