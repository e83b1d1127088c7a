import type { BrokerGroup, RouteForm, SharedQueues } from './broker-group.ts'

/** What all kept answers may take; one that is dropped is made anew when it is asked for. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** Where a topic lies: its queues on each of its brokers. Never changes; all topics that lie alike share one. */
export interface Placement {
  /** One of each group, in the order of the groups' names. */
  readonly queues: readonly SharedQueues[]
  readonly key: string
  /** How many topics lie like this. */
  topics: number
  /** The route as it is sent, in each form, once it was asked for. */
  readonly answers: Map<RouteForm, Buffer>
}

/**
 * All placements that topics have. Brokers with the same topics put them on the same brokers with few different numbers of
 * queues: 10,000 topics on 100 brokers need a few placements, and as many answers.
 */
export class Placements {
  private readonly byKey = new Map<string, Placement>()
  /** Those that keep answers, the oldest first. */
  private readonly answering = new Set<Placement>()
  private answerBytes = 0
  /** The last step: most topics of a registration take the same. */
  private step: {
    from: Placement | null
    group: BrokerGroup
    queues: SharedQueues | null
    to: Placement | null
  } | null = null

  /**
   * Moves one topic to where it lies once a group has these queues of it, or none, and returns that place: null when nobody
   * has the topic any more. `from` is where it lay, null for a new one.
   */
  move(from: Placement | null, group: BrokerGroup, queues: SharedQueues | null): Placement | null {
    let { step } = this
    if (step === null || step.from !== from || step.group !== group || step.queues !== queues) {
      step = { from, group, queues, to: this.find(from?.queues ?? [], group, queues) }
      this.step = step
    }
    const { to } = step
    if (to === from) return to
    if (to !== null && to.topics++ === 0) this.byKey.set(to.key, to)
    if (from !== null && --from.topics === 0) {
      this.byKey.delete(from.key)
      this.forget(from)
      this.step = null
    }
    return to
  }

  /** Keeps an answer until the place or one of its groups changes. */
  keep(placement: Placement, form: RouteForm, answer: Buffer): void {
    placement.answers.set(form, answer)
    this.answering.add(placement)
    this.answerBytes += answer.length
    for (const oldest of this.answering) {
      if (this.answerBytes <= MAX_ANSWER_BYTES) break
      this.forget(oldest)
    }
  }

  /** Drops the answers that show a group, or all. */
  forgetAnswers(group?: BrokerGroup): void {
    for (const placement of this.answering)
      if (group === undefined || queuesOn(placement, group) !== undefined) this.forget(placement)
  }

  private forget(placement: Placement): void {
    if (!this.answering.delete(placement)) return
    for (const { length } of placement.answers.values()) this.answerBytes -= length
    placement.answers.clear()
  }

  private find(before: readonly SharedQueues[], group: BrokerGroup, own: SharedQueues | null): Placement | null {
    const queues = before.filter(other => other.group !== group)
    if (own !== null) {
      const behind = queues.findIndex(other => other.group.name > group.name)
      queues.splice(behind < 0 ? queues.length : behind, 0, own)
    }
    if (queues.length === 0) return null
    const key = queues.map(({ id }) => id).join()
    return this.byKey.get(key) ?? { queues, key, topics: 0, answers: new Map() }
  }
}

/** The queues that a topic has on a group; undefined when it has none. */
export const queuesOn = ({ queues }: Placement, group: BrokerGroup): SharedQueues | undefined =>
  queues.find(other => other.group === group)
