import { join } from 'node:path'
import type { Findings } from '../check-report.ts'
import type { Files } from '../files.ts'
import { silentLog } from '../log.ts'
import { TimerCheckpoint } from './timer-checkpoint.ts'
import { TimerLog, TimerMagic, type TimerUnit } from './timer-log.ts'
import { TimerWheel, WHEEL_SLOTS } from './timer-wheel.ts'

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
  const timerLog = new TimerLog(files, join(dir, 'timerlog'), fileSizeBytes)
  const wheel = new TimerWheel(files, join(dir, 'timerwheel'), WHEEL_SLOTS)
  const firstSlot = Math.floor(checkpoint.lastReadTimeMs / precisionMs)
  let goneCount = 0
  const visit = ({ writeMs, delayMs, previousPos, physicalOffset, recordBytes, magic }: TimerUnit, pos: number) => {
    if (physicalOffset + recordBytes > maxPhysicalOffset) return false
    const slot = Math.floor((writeMs + delayMs) / precisionMs)
    if (slot < firstSlot) return true
    const lastPos = wheel.lastPos(slot)
    if (previousPos !== lastPos && (lastPos >= 0 || previousPos >= timerLog.start)) return false
    wheel.add(slot, pos, magic & TimerMagic.DELETE ? -1 : 1)
    if (physicalOffset < minPhysicalOffset) goneCount++
    return true
  }
  try {
    if (fileSizeBytes > 0) {
      timerLog.loadForReading(silentLog)
      await timerLog.scan(visit)
    }
    const { end } = timerLog
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
    else if (isOwn && timerLog.start > logStart)
      findings.add('timer', true, 'timerlog', `it begins at ${timerLog.start}, not ${logStart}: it is built again`)
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
    wheel.close()
    timerLog.close()
  }
}
