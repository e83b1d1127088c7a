import { existsSync, mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { SingleBar } from 'cli-progress'
import { Command, InvalidArgumentError, Option } from 'commander'
import { pictureOf } from './picture.ts'
import { machineText, median, medianStart, type Report, reportText, scenarioText, skylarkVersion } from './report.ts'
import {
  canonicalChoice,
  canonicalWorkload,
  measure,
  measureStart,
  type Result,
  type ScenarioChoice,
  type StartResult,
  scenariosOf,
  type Workload
} from './scenarios.ts'
import type { Flush, Target } from './targets.ts'

/** What the command line asks for. */
export interface BenchOptions {
  workload: Workload
  choice: ScenarioChoice
  flush: Flush
  rounds: number
  /** Where stores are made. */
  folder: string
  json: boolean
  svg: string | undefined
}

const whole = (text: string): number => {
  const number = Number(text)
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It is a whole number.')
  return number
}
const wholes = (text: string): number[] => text.split(',').filter(Boolean).map(whole)
const seconds = (text: string): number => {
  const number = Number(text)
  if (!(number > 0)) throw new InvalidArgumentError('It is a number of seconds.')
  return number * 1000
}
const words =
  <T extends string>(...allowed: T[]) =>
  (text: string): T[] => {
    const given = text.split(',') as T[]
    if (given.some(word => !allowed.includes(word)))
      throw new InvalidArgumentError(`It is ${allowed.join(' or ')}, or both with a comma between.`)
    return given
  }

const list = <T>(flags: string, what: string, parse: (text: string) => T[], fallback: readonly T[]): Option =>
  new Option(flags, `${what}; several with commas`).argParser(parse).default([...fallback], fallback.join(','))
const time = (flags: string, what: string, ms: number): Option =>
  new Option(flags, what).argParser(seconds).default(ms, String(ms / 1000))

/** Reads the options of `npm run bench` and `npm run bench:peers`; ends the process when they are wrong. */
export function readBenchOptions(
  name: string,
  description: string,
  defaults: { rounds: number; warmUpMs: number },
  args: readonly string[]
): BenchOptions {
  const program = new Command(name)
    .description(description)
    .addOption(list('--in-flight <counts>', 'sends in flight', wholes, canonicalChoice.inFlight))
    .addOption(list('--pull-in-flight <counts>', 'pulls in flight', wholes, canonicalChoice.pullInFlight))
    .addOption(list('--rates <rates>', 'fixed rates to send at, a second', wholes, canonicalChoice.ratesPerSecond))
    .addOption(list('--through <ways>', 'raw, sdk', words('raw', 'sdk'), canonicalChoice.through))
    .addOption(list('--headers <kinds>', 'binary, json', words('binary', 'json'), canonicalChoice.headers))
    .addOption(list('--work <kinds>', 'send, pull', words('send', 'pull'), canonicalChoice.work))
    .option('--body <bytes>', 'size of a body', whole, canonicalWorkload.bodyBytes)
    .option('--queues <count>', 'queues of the topic', whole, canonicalWorkload.queueCount)
    .option('--pull-messages <count>', 'messages that are there to be pulled', whole, canonicalWorkload.pullMessages)
    .addOption(time('--warm-up <seconds>', 'before each measurement', defaults.warmUpMs))
    .addOption(time('--seconds <seconds>', 'of each measurement', canonicalWorkload.measureMs))
    .option('--rounds <count>', 'measure so often, in turn, and show medians', whole, defaults.rounds)
    .addOption(
      new Option('--flush <when>', 'async: acknowledged when written; sync: when on disk')
        .choices(['async', 'sync'])
        .default('async')
    )
    .option('--folder <path>', 'where stores are made', tmpdir())
    .option('--json', 'print the report as JSON', false)
    .option('--svg <file>', 'write a picture of it, too')
    .parse(args as string[], { from: 'user' })
  const given = program.opts()
  if (!existsSync(given.folder)) program.error(`--folder is "${given.folder}", which is not there`)
  return {
    workload: {
      ...canonicalWorkload,
      bodyBytes: given.body,
      queueCount: Math.max(1, given.queues),
      pullMessages: Math.max(1, given.pullMessages),
      warmUpMs: given.warmUp,
      measureMs: given.seconds
    },
    choice: {
      inFlight: given.inFlight,
      pullInFlight: given.pullInFlight,
      ratesPerSecond: given.rates,
      through: given.through,
      headers: given.headers,
      work: given.work
    },
    flush: given.flush,
    rounds: Math.max(1, given.rounds),
    folder: resolve(given.folder),
    json: given.json,
    svg: given.svg
  }
}

const TMPFS = 0x0102_1994

/** A folder for people: whether what is in it reaches a disk. */
function folderText(folder: string): string {
  return statfsSync(folder).type === TMPFS ? `${folder} (memory, no disk)` : folder
}

/** Measures the targets in turn. */
export async function runBench(targets: readonly Target[], options: BenchOptions): Promise<Report> {
  const { workload, choice, rounds } = options
  const scenarios = scenariosOf(choice)
  const starting = targets.filter(({ hasNameServer }) => hasNameServer)
  const bar = new SingleBar({
    format: '{bar} {percentage} % | {step}',
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true
  })
  const watched = process.stderr.isTTY
  const perRound = scenarios.map(scenario =>
    targets.filter(target => scenario.through === 'raw' || target.hasNameServer)
  )
  const steps = rounds * (starting.length + perRound.reduce((sum, { length }) => sum + length, 0))
  if (watched) bar.start(steps, 0, { step: '' })
  const step = async <T>(text: string, run: () => Promise<T>): Promise<T> => {
    if (watched) bar.update({ step: text })
    const result = await run()
    if (watched) bar.increment()
    return result
  }
  const starts: StartResult[] = []
  const results: Result[] = []
  try {
    const allStarts: StartResult[] = []
    for (let round = 0; round < rounds; round++)
      for (const target of starting)
        allStarts.push(await step(`${target.name}: start`, () => measureStart(target, workload)))
    for (const { name } of starting) starts.push(medianStart(allStarts.filter(({ target }) => target === name)))
    for (const [i, scenario] of scenarios.entries()) {
      const all: Result[] = []
      for (let round = 0; round < rounds; round++)
        for (const target of perRound[i]!)
          all.push(await step(`${target.name}: ${scenarioText(scenario)}`, () => measure(target, scenario, workload)))
      for (const { name } of perRound[i]!) results.push(median(all.filter(({ target }) => target === name)))
    }
  } finally {
    if (watched) bar.stop()
  }
  return {
    skylark: skylarkVersion,
    node: process.versions.node,
    machine: machineText(),
    folder: folderText(options.folder),
    workload,
    rounds,
    durability: Object.fromEntries(targets.map(({ name, durability }) => [name, durability])),
    starts,
    results
  }
}

/** Prints a report, and writes its picture when one is asked for. */
export function publish(report: Report, { json, svg }: BenchOptions): void {
  process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : reportText(report))
  if (svg === undefined) return
  mkdirSync(dirname(resolve(svg)), { recursive: true })
  writeFileSync(svg, pictureOf(report))
}
