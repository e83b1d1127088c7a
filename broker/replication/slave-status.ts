const SECOND_MS = 1000
/** A master says something every second, RocketMQ's every five. */
const SILENCE_MS = 6000

/** What `haStatus` shows of a slave. HARuntimeInfo.HAClientRuntimeInfo */
export class SlaveStatus {
  masterAddress = ''
  lastReadMs = 0
  lastWriteMs = 0
  masterMaxOffset = 0
  /** Bytes that came within the last second that was counted. */
  bytesPerSecond = 0
  private countedSinceMs = 0
  private counted = 0

  /** Whether the master lives, for all that is known here. */
  hearsMaster(nowMs: number): boolean {
    return nowMs - this.lastReadMs < SILENCE_MS
  }

  /** The master was heard of, and so many bytes of its log were taken over. */
  read(nowMs: number, masterMaxOffset: number, bytes: number): void {
    this.lastReadMs = nowMs
    this.masterMaxOffset = masterMaxOffset
    if (bytes === 0) return
    this.lastWriteMs = nowMs
    if (nowMs - this.countedSinceMs >= SECOND_MS) {
      this.bytesPerSecond = this.counted
      this.counted = 0
      this.countedSinceMs = nowMs
    }
    this.counted += bytes
  }
}
