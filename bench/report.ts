import { createRequire } from 'node:module'
import { cpus, release, totalmem, type } from 'node:os'
import type { Result, Scenario, StartResult, Workload } from './scenarios.ts'

/** All that one run found out. */
export interface Report {
  skylark: string
  node: string
  machine: string
  /** Where the stores lay. */
  folder: string
  workload: Workload
  /** How often each was measured; the medians are shown. */
  rounds: number
  durability: Readonly<Record<string, string>>
  starts: StartResult[]
  results: Result[]
}

export const skylarkVersion: string = createRequire(import.meta.url)('../../package.json').version

export function machineText(): string {
  const [cpu, ...others] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${others.length + 1} × ${cpu?.model.trim() ?? 'unknown processor'}, ${memory} GiB, ${type()} ${release()}`
}

/** The result in the middle, by what it got done. */
export function median(results: readonly Result[]): Result {
  const sorted = [...results].sort((a, b) => a.messagesPerSecond - b.messagesPerSecond)
  return sorted[Math.floor((sorted.length - 1) / 2)]!
}

export function medianStart(starts: readonly StartResult[]): StartResult {
  const sorted = [...starts].sort((a, b) => a.firstSendMs - b.firstSendMs)
  return sorted[Math.floor((sorted.length - 1) / 2)]!
}

export const sameScenario = (a: Scenario, b: Scenario): boolean =>
  a.work === b.work &&
  a.through === b.through &&
  a.headers === b.headers &&
  a.inFlight === b.inFlight &&
  a.ratePerSecond === b.ratePerSecond

/** `send, binary headers, 256 in flight`. */
export function scenarioText({ work, through, headers, inFlight, ratePerSecond }: Scenario): string {
  const load = ratePerSecond
    ? `${grouped(ratePerSecond)}/s, fixed`
    : inFlight
      ? `${inFlight} in flight`
      : 'as it chooses'
  return `${work}, ${through === 'sdk' ? 'SDK' : 'raw'}, ${headers}, ${load}`
}

/** What a result is of the ceiling's in the same way of loading; an SDK's is compared with the raw load of the ceiling. */
export function ratioToCeiling(result: Result, results: readonly Result[]): number | null {
  if (result.target === 'ceiling' || result.scenario.ratePerSecond) return null
  const { work, headers, inFlight } = result.scenario
  const ceiling = results.find(
    ({ target, scenario }) =>
      target === 'ceiling' &&
      scenario.work === work &&
      scenario.headers === headers &&
      (scenario.inFlight === inFlight || inFlight === 0)
  )
  return ceiling === undefined ? null : result.messagesPerSecond / ceiling.messagesPerSecond
}

const format = new Intl.NumberFormat('en-US')
const grouped = (number: number): string => format.format(Math.round(number))
const ms = (us: number): string => (us / 1000).toFixed(us < 10_000 ? 2 : 1)
const MIB = 2 ** 20

const COLUMNS = ['messages/s', 'p50 ms', 'p99', 'p99.9', 'max', 'CPU µs/msg', 'RSS MiB', 'loop p99.9 ms', 'of ceiling']

function cells(result: Result, all: readonly Result[]): string[] {
  const { messagesPerSecond, latencyUs, cpuUsPerMessage, residentBytes, loopDelayMs } = result
  const ratio = ratioToCeiling(result, all)
  return [
    grouped(messagesPerSecond),
    ...[latencyUs.p50, latencyUs.p99, latencyUs.p999, latencyUs.max].map(ms),
    cpuUsPerMessage.toFixed(2),
    grouped(residentBytes / MIB),
    loopDelayMs === null ? '' : loopDelayMs.p999.toFixed(2),
    ratio === null ? '' : ratio.toFixed(2)
  ]
}

/** The report for people. */
export function reportText(report: Report): string {
  const { workload, results, starts } = report
  const lines = [
    `Skylark ${report.skylark} on Node.js ${report.node}; ${report.machine}`,
    `${workload.bodyBytes} byte bodies, ${workload.queueCount} queues, one connection; ` +
      `${workload.warmUpMs / 1000} s to warm up, ${workload.measureMs / 1000} s measured` +
      `${report.rounds > 1 ? `, medians of ${report.rounds} alternating rounds` : ''}; stores in ${report.folder}`,
    ...Object.entries(report.durability).map(([name, durability]) => `${name}: ${durability}`),
    ''
  ]
  for (const { target, firstSendMs, idleCpuPercent, idleResidentBytes } of starts)
    lines.push(
      `${target}: first message acknowledged ${grouped(firstSendMs)} ms after its start; ` +
        `idle it takes ${idleCpuPercent.toFixed(1)} % of a core and ${grouped(idleResidentBytes / MIB)} MiB`
    )
  const names = results.map(({ scenario, target }) => `${scenarioText(scenario)}  ${target}`)
  const rows = results.map(result => cells(result, results))
  const nameWidth = Math.max(0, ...names.map(name => name.length))
  const widths = COLUMNS.map((title, i) => Math.max(title.length, ...rows.map(row => row[i]!.length)))
  const row = (name: string, values: readonly string[]) =>
    `${name.padEnd(nameWidth)}  ${values.map((value, i) => value.padStart(widths[i]!)).join('  ')}`.trimEnd()
  if (rows.length > 0) lines.push('', row('', COLUMNS))
  rows.forEach((values, i) => {
    if (i > 0 && !sameScenario(results[i - 1]!.scenario, results[i]!.scenario)) lines.push('')
    lines.push(row(names[i]!, values))
  })
  for (const { scenario, target, errors, firstError } of results)
    if (errors > 0) lines.push('', `${errors} errors of ${target} at ${scenarioText(scenario)}: ${firstError}`)
  return `${lines.join('\n')}\n`
}
