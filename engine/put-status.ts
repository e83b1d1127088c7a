import type { Host } from '../message/index.ts'

/** How a put ended. PutMessageStatus */
export const PutStatus = {
  OK: 0,
  /** Stored, but not flushed in time. */
  FLUSH_DISK_TIMEOUT: 1,
  /** The store takes no messages now; the reason says why. */
  SERVICE_NOT_AVAILABLE: 2,
  /** Body or record over the limits. */
  MESSAGE_ILLEGAL: 3,
  PROPERTIES_SIZE_EXCEEDED: 4,
  /** Stored, but not taken over by enough replicas in time. */
  FLUSH_SLAVE_TIMEOUT: 5,
  /** Not stored: too few replicas are in sync. */
  IN_SYNC_REPLICAS_NOT_ENOUGH: 6,
  /** Not stored: there are too many LMQ queues to make another. */
  LMQ_CONSUME_QUEUE_NUM_EXCEEDED: 7,
  /** Not stored: the disk takes writes more slowly than they come, and too much waits for it. */
  OS_PAGE_CACHE_BUSY: 8
} as const

/** A message on its way in. Everything is borrowed while `put` runs: callers reuse one object. */
export interface PutMessage {
  topic: string
  queueId: number
  flag: number
  /** Host bits are ignored: the store sets them from the hosts. */
  sysFlag: number
  /** ms. */
  bornTimestamp: number
  bornHost: Host
  reconsumeTimes: number
  preparedTransactionOffset: number
  body: Uint8Array
  bodyStart: number
  bodyEnd: number
  /** Encoded properties. */
  properties: Uint8Array
  propertiesStart: number
  propertiesEnd: number
  /** Whether the acknowledgement waits for the flush under SYNC_FLUSH. */
  waitStored: boolean
}

/** Hears once how its put ended. Offsets are those of the message, of a batch those of its first one; -1 when refused. */
export interface PutWaiter {
  onPut(
    status: number,
    physicalOffset: number,
    queueOffset: number,
    storeTimestamp: number,
    reason: string | null
  ): void
}

export interface PutResult {
  status: number
  physicalOffset: number
  queueOffset: number
  storeTimestamp: number
  reason: string | null
}
