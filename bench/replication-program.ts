import { BINARY_HEADER } from '../net/index.ts'
import { createTopic, fill } from './load.ts'
import { type CatchUp, measureCatchUp, type PairKind, replicated } from './pairs.ts'
import { type BenchOptions, runBench } from './program.ts'
import { type Report, reportText, scenarioText } from './report.ts'
import { canonicalWorkload } from './scenarios.ts'

export interface ReplicationOptions {
  inFlight: readonly number[]
  bodyBytes: number
  warmUpMs: number
  measureMs: number
  rounds: number
  /** What a new slave has to catch up with; 0 leaves that out. */
  catchUpBytes: number
  /** Where stores are made. */
  folder: string
}

export const replicationDefaults = Object.freeze({
  inFlight: [1, 32, 256],
  bodyBytes: canonicalWorkload.bodyBytes,
  warmUpMs: 10_000,
  measureMs: canonicalWorkload.measureMs,
  rounds: 3,
  catchUpBytes: 2 ** 30
} satisfies Omit<ReplicationOptions, 'folder'>)

export interface ReplicationReport extends Report {
  catchUps: CatchUp[]
}

const TOPIC = 'canonical'

/** Loads sync masters with a slave each in turn, and has new slaves catch up. */
export async function measureReplication(
  kinds: readonly PairKind[],
  options: ReplicationOptions
): Promise<ReplicationReport> {
  const { inFlight, bodyBytes, warmUpMs, measureMs, rounds, catchUpBytes, folder } = options
  const bench: BenchOptions = {
    workload: { ...canonicalWorkload, bodyBytes, warmUpMs, measureMs },
    choice: { inFlight, pullInFlight: [], ratesPerSecond: [], through: ['raw'], headers: ['binary'], work: ['send'] },
    ...{ flush: 'async', rounds, folder, json: false, svg: undefined }
  }
  const report = await runBench(
    kinds.map(kind => replicated(kind, folder)),
    bench
  )
  const catchUps: CatchUp[] = []
  const { queueCount } = canonicalWorkload
  const limit = Math.ceil(catchUpBytes / bodyBytes)
  if (limit > 0)
    for (const kind of kinds)
      catchUps.push(
        await measureCatchUp(kind, folder, async address => {
          await createTopic(address, TOPIC, queueCount)
          const load = { topic: TOPIC, queueCount, bodyBytes, serializeType: BINARY_HEADER, inFlight: 256 } as const
          await fill({ address, ...load, limit })
        })
      )
  return { ...report, catchUps }
}

/** Of the first target's figure to the second one's. */
const ratio = (one: number, other: number | undefined): string => (other ? `, ${(one / other).toFixed(1)} ×` : '')

/** The report for people: what the bench says of each, then the first beside the second. */
export function replicationText(report: ReplicationReport): string {
  const { results, catchUps } = report
  const lines: string[] = []
  for (const { scenario, target, messagesPerSecond } of results) {
    const other = results.find(each => each.target !== target && scenarioText(each.scenario) === scenarioText(scenario))
    if (target === results[0]!.target && other !== undefined)
      lines.push(`${scenarioText(scenario)}${ratio(messagesPerSecond, other.messagesPerSecond)} ${other.target}`)
  }
  const speed = ({ bytes, seconds }: CatchUp) => bytes / 1e6 / Math.max(seconds, 1e-3)
  for (const one of catchUps)
    lines.push(
      `${one.target}: a new slave catches up with ${Math.round(one.bytes / 1e6)} MB at ${Math.round(speed(one))} MB/s`
    )
  return `${reportText(report)}\n${lines.join('\n')}\n`
}
