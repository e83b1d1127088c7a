import type { Clock, Files, MessageStore } from '../../engine/index.ts'
import type { Log, RemotingClient, RequestDispatcher } from '../../net/index.ts'
import type { BrokerOptions } from '../options.ts'
import type { Scheduler } from '../scheduler.ts'

/** Tables of a master that its slaves take over. */
interface Adopting {
  adopt(body: Record<string, unknown>): void
}

/** What replication needs of its broker; a simulation puts its own in the place of network, disk and time. */
export interface ReplicationHost {
  readonly options: BrokerOptions
  readonly log: Log
  readonly files: Files
  readonly clock: Clock
  readonly address: string
  /** Another one after `reopenStore`. */
  readonly store: MessageStore
  readonly dispatcher: Pick<RequestDispatcher, 'register' | 'guard'>
  readonly scheduler: Pick<Scheduler, 'every'>
  readonly topics: Adopting
  readonly groups: Adopting
  readonly offsets: Adopting
  readonly delay: Adopting
  /** Another one after `reopenStore`; none where there are no timer messages. */
  readonly timer?: { adopt(checkpoint: Uint8Array): void; readonly metrics: Adopting } | null
  /** Whether an election says that this broker is the master, and nobody else can be. */
  readonly failover: { readonly holds: boolean } | null
  /** Opens the store again, cut off at an offset, or empty. */
  reopenStore(cutAt: number | null): Promise<void>
  /** Where the master is; null while nobody knows one. */
  masterAddress(): string | null
  /** Where it serves RocketMQ's slaves; null when nobody says so. */
  masterHaAddress(): string | null
  /** States of the tables that a slave takes over. */
  metadataVersions(): string
  /** Connections of one's own, which end with it. */
  newCaller(): Pick<RemotingClient, 'invoke' | 'close'>
}
