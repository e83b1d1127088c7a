import { type Candidate, Election, type InSync } from '../../broker/failover/election.ts'
import { Failover } from '../../broker/failover/failover.ts'
import { EpochHistory } from '../../broker/replication/epochs.ts'
import { ReplicaSet } from '../../broker/replication/replica-set.ts'
import { Checkpoint } from '../../engine/checkpoint.ts'
import { MappedFile } from '../../engine/mapped-file.ts'
import { Recovery, type RecoveryParts } from '../../engine/recovery.ts'

/** A method as it is, for what takes its place. */
type Method = (this: never, ...args: never[]) => unknown

/** Puts another method in the place of one. */
function replace(owner: { prototype: object }, name: string, make: (original: Method) => Method): void {
  const prototype = owner.prototype as Record<string, Method>
  prototype[name] = make(prototype[name]!)
}

/** Mistakes that somebody could make, each of which the simulation must notice. */
const FAULTS: Readonly<Record<string, () => void>> = {
  'the confirm offset ignores a member of the in-sync set': () =>
    replace(
      ReplicaSet,
      'require',
      original =>
        function (this: never, members: ReadonlySet<number>, end: number) {
          return original.call(this, new Set([...members].slice(1)) as never, end as never)
        } as Method
    ),
  'an epoch begins a byte too late': () =>
    replace(
      EpochHistory,
      'begin',
      original =>
        function (this: never, epoch: number, start: number) {
          return original.call(this, epoch as never, (start + 1) as never)
        } as Method
    ),
  'a log that differs is not cut': () =>
    replace(
      EpochHistory,
      'commonEnd',
      original =>
        function (this: never, ownEnd: number, other: EpochHistory, otherEnd: number) {
          const end = original.call(this, ownEnd as never, other as never, otherEnd as never) as number
          return end < 0 ? end : Math.min(ownEnd, otherEnd)
        } as Method
    ),
  'a master acknowledges without a member before the in-sync set says so': () =>
    replace(
      Failover,
      'following',
      original =>
        function (this: Failover) {
          const members = original.call(this as never) as ReadonlySet<number>
          this.require(members)
          return members
        } as Method
    ),
  'a master without its lease goes on': () =>
    Object.defineProperty(Election.prototype, 'holds', {
      get(this: Election) {
        return this.isLeading
      }
    }),
  'a flush does not reach the disk': () => replace(MappedFile, 'sync', () => async () => {}),
  'a member joins the in-sync set before it has everything': () =>
    replace(ReplicaSet, 'hasAllConfirmed', () => () => true),
  'a member whose disk was replaced counts as before': () =>
    replace(
      Election,
      'eligible',
      original =>
        function (this: never, candidates: readonly Candidate[], inSync: InSync | null) {
          const asBefore = (each: Candidate) => inSync?.logs[inSync.members.indexOf(each.id)] ?? each.log
          return original.call(
            this,
            candidates.map(each => ({ ...each, log: asBefore(each) })) as never,
            inSync as never
          )
        } as Method
    ),
  'a start calls the whole log confirmed': () =>
    replace(
      Checkpoint,
      'load',
      original =>
        function (this: Checkpoint) {
          original.call(this as never)
          this.confirmedOffset = Number.POSITIVE_INFINITY
        } as Method
    ),
  'what a power cut tore stays in the log': () =>
    replace(
      Recovery,
      'onDamage',
      () =>
        function (this: { parts: RecoveryParts }, from: number, to: number) {
          this.parts.damage.add(from, to)
        } as Method
    )
}

export const faults = Object.keys(FAULTS)

/** Plants a fault in the code of this thread. */
export function plant(fault: string): void {
  FAULTS[fault]!()
}
