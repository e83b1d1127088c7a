interface Lock {
  clientId: string
  renewedMs: number
}

/** Which client of a group may consume a queue in order. In memory only, as RocketMQ's. RebalanceLockManager */
export class QueueLocks {
  private readonly groups = new Map<string, Map<string, Lock>>()
  private readonly maxLiveMs: number
  private readonly now: () => number

  constructor(maxLiveMs: number, now: () => number = Date.now) {
    this.maxLiveMs = maxLiveMs
    this.now = now
  }

  /** Takes or renews the lock of a queue; false when another client holds it. */
  lock(group: string, topic: string, queueId: number, clientId: string): boolean {
    const key = `${queueId}@${topic}`
    let locks = this.groups.get(group)
    if (locks === undefined) {
      locks = new Map()
      this.groups.set(group, locks)
    }
    const held = locks.get(key)
    const nowMs = this.now()
    if (held !== undefined && held.clientId !== clientId && !this.expired(held, nowMs)) return false
    locks.set(key, { clientId, renewedMs: nowMs })
    return true
  }

  /** Gives a lock back, if it is this client's. */
  unlock(group: string, topic: string, queueId: number, clientId: string): void {
    const locks = this.groups.get(group)
    const key = `${queueId}@${topic}`
    if (locks?.get(key)?.clientId !== clientId) return
    locks.delete(key)
    if (locks.size === 0) this.groups.delete(group)
  }

  /** Whether a group consumes in order: it holds a lock that has not expired. RebalanceLockManager#isLockAllExpired */
  isHeld(group: string): boolean {
    const nowMs = this.now()
    for (const lock of this.groups.get(group)?.values() ?? []) if (!this.expired(lock, nowMs)) return true
    return false
  }

  private expired(lock: Lock, nowMs: number): boolean {
    return nowMs - lock.renewedMs > this.maxLiveMs
  }
}
