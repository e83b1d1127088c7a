import { closeSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { goldenStore } from './golden-stores.ts'

export const GOLDEN_TIMER_LOG_BYTES = 65_520
export const SLOT_BYTES = 32
export const WHEEL_BYTES = 1_209_600 * SLOT_BYTES
/** The beginning of RocketMQ's timer log; zeros follow. */
export const GOLDEN_LOG = readFileSync(join(goldenStore('delay').sourceDir, '..', 'timerlog'))
/** All of RocketMQ's slots that are not empty: time, first and last position, how many messages. */
export const GOLDEN_SLOTS = [
  [1795425923, 0, 0, 1],
  [1795425924, 52, 104, 2],
  [1795427720, 468, 572, 3],
  [1795429522, 156, 416, 0],
  [1795433122, 208, 208, 1],
  [1795512320, 260, 260, 1],
  [1795512323, 312, 312, 1],
  [1795598723, 364, 364, 1]
] as const

export function slotBytes([time, firstPos, lastPos, count]: (typeof GOLDEN_SLOTS)[number]): Buffer {
  const bytes = Buffer.alloc(SLOT_BYTES)
  bytes.writeBigInt64BE(BigInt(time), 0)
  bytes.writeBigInt64BE(BigInt(firstPos), 8)
  bytes.writeBigInt64BE(BigInt(lastPos), 16)
  bytes.writeInt32BE(count, 24)
  return bytes
}

/** Puts RocketMQ's timer files into a copy of its store "delay". */
export function addTimerFiles(dir: string): void {
  mkdirSync(join(dir, 'timerlog'))
  const log = join(dir, 'timerlog', '0'.repeat(20))
  writeFileSync(log, GOLDEN_LOG)
  truncateSync(log, GOLDEN_TIMER_LOG_BYTES)
  const wheel = openSync(join(dir, 'timerwheel'), 'w')
  for (const slot of GOLDEN_SLOTS) writeSync(wheel, slotBytes(slot), 0, SLOT_BYTES, (slot[0] % 1_209_600) * SLOT_BYTES)
  closeSync(wheel)
  truncateSync(join(dir, 'timerwheel'), WHEEL_BYTES)
}
