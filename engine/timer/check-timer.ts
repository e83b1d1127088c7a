import { join } from 'node:path'
import type { Finding, Findings } from '../check-report.ts'
import type { Files } from '../files.ts'
import { silentLog } from '../log.ts'
import { TIMER_PRECISIONS_MS } from '../options.ts'
import { TimerCheckpoint } from './timer-checkpoint.ts'
import { TimerFiles } from './timer-files.ts'
import { WHEEL_SLOTS } from './timer-wheel.ts'

/** What is known of the store around a timer. */
export interface TimerSurroundings {
  /** How exactly messages are timed; null when the settings are not known. */
  precisionMs: number | null
  nowMs: number
  /** Whether the store was closed in order; else the wheel may be ahead of the timer log, and behind. */
  wasClosed: boolean
  /** Whether there are timer messages in a queue. */
  hasMessages: boolean
  minPhysicalOffset: number
  maxPhysicalOffset: number
}

type Problem = Pick<Finding, 'isDamage' | 'path' | 'text' | 'from' | 'to'>

/** Looks whether timer log, wheel and checkpoint belong together. Changes nothing. */
export async function checkTimer(
  files: Files,
  dir: string,
  findings: Findings,
  surroundings: TimerSurroundings
): Promise<void> {
  const entries = files.list(join(dir, 'timerlog')).filter(({ isFile, name }) => isFile && /^\d{20}$/.test(name))
  if (entries.length === 0 && !surroundings.hasMessages) return
  const checkpoint = new TimerCheckpoint(files, dir)
  checkpoint.load(surroundings.nowMs)
  if (!checkpoint.isKnown) {
    const text = 'it is missing or cannot be: which timer messages were delivered is looked up by their keys'
    findings.add('timer', true, 'config/timercheck', text)
    return
  }
  const { precisionMs } = surroundings
  let problems: Problem[] | null = null
  // The files do not say how exactly they are: with the right precision they belong together.
  for (const precision of precisionMs === null ? TIMER_PRECISIONS_MS.toReversed() : [precisionMs]) {
    const timerFiles = new TimerFiles(files, dir, entries[0]?.sizeBytes ?? 0, WHEEL_SLOTS, precision)
    const found = await problemsOf(timerFiles, checkpoint, surroundings)
    problems ??= found
    if (found.length === 0) return
  }
  for (const { isDamage, path, text, from, to } of problems ?? []) findings.add('timer', isDamage, path, text, from, to)
}

async function problemsOf(
  timerFiles: TimerFiles,
  { lastReadTimeMs, lastTimerLogFlushPos: flushedPos, isOwn, logStart }: TimerCheckpoint,
  { wasClosed, minPhysicalOffset, maxPhysicalOffset }: TimerSurroundings
): Promise<Problem[]> {
  const { units, wheel } = timerFiles
  const problems: Problem[] = []
  const add = (isDamage: boolean, path: string, text: string, from: number | null = null, to = from) =>
    problems.push({ isDamage, path, text, from, to })
  const firstSlot = timerFiles.slotOf(lastReadTimeMs)
  let goneCount = 0
  try {
    units.loadForReading(silentLog)
    await timerFiles.build(firstSlot, ({ writeMs, delayMs, physicalOffset, recordBytes }) => {
      if (physicalOffset < minPhysicalOffset && timerFiles.slotOf(writeMs + delayMs) >= firstSlot) goneCount++
      return physicalOffset + recordBytes <= maxPhysicalOffset
    })
    const { end, start } = units
    const again = 'it is built again'
    if (end < flushedPos) add(true, 'timerlog', `it ends at ${end}, not ${flushedPos}: ${again}`, end, flushedPos)
    else if (isOwn && start > logStart) add(true, 'timerlog', `it begins at ${start}, not ${logStart}: ${again}`)
    if (goneCount > 0) add(true, 'timerlog', `${goneCount} messages that are not due are gone from the CommitLog`)
    if (!wheel.openForReading()) add(wasClosed, 'timerwheel', `it is missing or has another size: ${again}`)
    else {
      await wheel.compare(firstSlot)
      const { changedCount } = wheel
      if (changedCount > 0)
        add(wasClosed, 'timerwheel', `${changedCount} slots are not what the timer log says: they are written again`)
    }
  } finally {
    timerFiles.close()
  }
  return problems
}
