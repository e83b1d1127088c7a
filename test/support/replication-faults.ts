import { Election } from '../../broker/failover/election.ts'
import { Failover } from '../../broker/failover/failover.ts'
import { EpochHistory } from '../../broker/replication/epochs.ts'
import { ReplicaSet } from '../../broker/replication/replica-set.ts'
import { MappedFile } from '../../engine/mapped-file.ts'

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
    replace(ReplicaSet, 'hasAllConfirmed', () => () => true)
}

export const faults = Object.keys(FAULTS)

/** Plants a fault in the code of this thread. */
export function plant(fault: string): void {
  FAULTS[fault]!()
}
