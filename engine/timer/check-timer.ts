import { join } from 'node:path'
import type { Findings } from '../check-report.ts'
import type { Files } from '../files.ts'
import { silentLog } from '../log.ts'
import { TimerCheckpoint } from './timer-checkpoint.ts'
import { TimerFiles } from './timer-files.ts'
import { WHEEL_SLOTS } from './timer-wheel.ts'

/** What is known of the store around a timer. */
export interface TimerSurroundings {
  precisionMs: number
  nowMs: number
  /** Whether the store was closed in order; else timer files may be ahead of their checkpoint, and behind. */
  wasClosed: boolean
  /** Whether there are timer messages in a queue. */
  hasMessages: boolean
  minPhysicalOffset: number
  maxPhysicalOffset: number
}

/** Looks whether timer log, wheel and checkpoint belong together. Changes nothing. */
export async function checkTimer(
  files: Files,
  dir: string,
  findings: Findings,
  { precisionMs, nowMs, wasClosed, hasMessages, minPhysicalOffset, maxPhysicalOffset }: TimerSurroundings
): Promise<void> {
  const entries = files.list(join(dir, 'timerlog')).filter(({ isFile, name }) => isFile && /^\d{20}$/.test(name))
  if (entries.length === 0 && !hasMessages) return
  const checkpoint = new TimerCheckpoint(files, dir)
  checkpoint.load(nowMs)
  if (!checkpoint.isKnown) {
    const text = 'it is missing or cannot be: which timer messages were delivered is looked up by their keys'
    findings.add('timer', true, 'config/timercheck', text)
    return
  }
  const fileSizeBytes = entries[0]?.sizeBytes ?? 0
  const timerFiles = new TimerFiles(files, dir, fileSizeBytes, WHEEL_SLOTS, precisionMs)
  const { units, wheel } = timerFiles
  const firstSlot = timerFiles.slotOf(checkpoint.lastReadTimeMs)
  let goneCount = 0
  try {
    if (fileSizeBytes > 0) {
      units.loadForReading(silentLog)
      await timerFiles.build(firstSlot, ({ writeMs, delayMs, physicalOffset, recordBytes }) => {
        if (physicalOffset < minPhysicalOffset && timerFiles.slotOf(writeMs + delayMs) >= firstSlot) goneCount++
        return physicalOffset + recordBytes <= maxPhysicalOffset
      })
    }
    const { end, start } = units
    const { lastTimerLogFlushPos: flushedPos, isOwn, logStart } = checkpoint
    if (end < flushedPos)
      findings.add(
        'timer',
        true,
        'timerlog',
        `it ends at ${end}, not ${flushedPos}: it is built again`,
        end,
        flushedPos
      )
    else if (isOwn && start > logStart)
      findings.add('timer', true, 'timerlog', `it begins at ${start}, not ${logStart}: it is built again`)
    if (goneCount > 0)
      findings.add('timer', true, 'timerlog', `${goneCount} messages that are not yet due are gone from the CommitLog`)
    if (!wheel.openForReading())
      findings.add('timer', wasClosed, 'timerwheel', 'it is missing or has another size: it is built again')
    else {
      await wheel.compare(firstSlot)
      const text = `${wheel.changedCount} slots are not what the timer log says: they are written again`
      if (wheel.changedCount > 0) findings.add('timer', wasClosed, 'timerwheel', text)
    }
  } finally {
    timerFiles.close()
  }
}
