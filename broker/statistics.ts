/** Counts what goes through the broker. BrokerStatsManager */
export class Statistics {
  /** Messages stored in a topic's queue. */
  put(_topic: string, _queueId: number, _count: number, _bytes: number): void {}

  /** Messages handed to a group. */
  got(_group: string, _topic: string, _queueId: number, _count: number, _bytes: number): void {}

  /** A pull that found nothing. */
  missed(): void {}

  close(): void {}
}
