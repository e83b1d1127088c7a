import { setTimeout as delay } from 'node:timers/promises'
import { type RemotingCommand, ResponseCode, response } from '../net/index.ts'

const LAST_WITHOUT_GO_AWAY = 475
/** Clients newer than 5.3.1 understand GO_AWAY. NettyRemotingAbstract#processRequestCommand */
export const understandsGoAway = ({ version }: RemotingCommand): boolean => version > LAST_WITHOUT_GO_AWAY

/** Sends away those who understand it. */
export const goAway = (request: RemotingCommand): RemotingCommand | null =>
  understandsGoAway(request) ? response(ResponseCode.GO_AWAY, 'please go away: the broker stops') : null

/** Nobody sends any more when nothing came for so long. */
const QUIET_MS = 200
const CHECK_MS = 20

/** Resolves when a counter has stood still for a while, or when the time is over. */
export async function quiet(count: () => number, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs
  let last = count()
  let since = performance.now()
  for (;;) {
    const now = performance.now()
    if (count() !== last) {
      last = count()
      since = now
    }
    if (now - since >= QUIET_MS || now >= end) return
    await delay(CHECK_MS)
  }
}

/** Resolves when something holds, or when the time is over. */
export async function settled(holds: () => boolean, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!holds() && performance.now() < end) await delay(CHECK_MS)
}
