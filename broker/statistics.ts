import { isSystemTopic } from '../message/index.ts'

const TICK_MS = 1000
/** Ticks between two samples and how many are kept: the span of a window is one step less. StatsItem: minute, hour, day; StoreStatsService: ten minutes */
const MINUTE = { step: 10, samples: 7 } as const
const HOUR = { step: 600, samples: 7 } as const
const DAY = { step: 3600, samples: 25 } as const
export const TEN_SECONDS = { step: 1, samples: 11 } as const
const TEN_MINUTES = { step: 60, samples: 11 } as const
const STATS_WINDOWS = [MINUTE, HOUR, DAY] as const
const BROKER_WINDOWS = [MINUTE, HOUR, DAY, TEN_SECONDS, TEN_MINUTES] as const

/** What has just begun counts as if it had lasted so long: one message is no flood. */
const MIN_SECONDS = 10

type Span = (typeof BROKER_WINDOWS)[number]

/** What was counted, or the difference of two such states. */
interface Counts {
  /** Messages. */
  count: number
  bytes: number
  /** Calls: a batch of messages is one. */
  times: number
}

/** Samples of a meter at every `step`-th tick, in a ring. */
class Window {
  readonly span: Span
  private readonly counts: Float64Array
  private readonly bytes: Float64Array
  private readonly times: Float64Array
  private slot: number

  constructor(span: Span, tick: number) {
    this.span = span
    this.counts = new Float64Array(span.samples)
    this.bytes = new Float64Array(span.samples)
    this.times = new Float64Array(span.samples)
    this.slot = Math.floor(tick / span.step)
  }

  /** Takes the samples that are due until `tick`; nothing was counted since the last. */
  advance(tick: number, totals: Counts): void {
    const { step, samples } = this.span
    const slot = Math.floor(tick / step)
    for (let next = Math.max(this.slot + 1, slot - samples + 1); next <= slot; next++) {
      this.counts[next % samples] = totals.count
      this.bytes[next % samples] = totals.bytes
      this.times[next % samples] = totals.times
    }
    if (slot > this.slot) this.slot = slot
  }

  /** What has changed since the oldest sample, and within how many seconds. */
  since(tick: number, totals: Counts, bornTick: number): Counts & { seconds: number } {
    const { step, samples } = this.span
    const oldest = this.slot - samples + 1
    const at = oldest % samples
    return {
      count: totals.count - this.counts[at]!,
      bytes: totals.bytes - this.bytes[at]!,
      times: totals.times - this.times[at]!,
      seconds: Math.max(MIN_SECONDS, tick - Math.max(oldest * step, bornTick))
    }
  }
}

/** Counts one thing, and knows what of it falls into the last minute, hour and day. StatsItem */
export class Meter implements Counts {
  count = 0
  bytes = 0
  times = 0

  private tick: number
  private readonly bornTick: number
  private readonly windows: readonly Window[]

  constructor(tick: number, spans: readonly Span[] = STATS_WINDOWS) {
    this.tick = tick
    this.bornTick = tick
    this.windows = spans.map(span => new Window(span, tick))
  }

  /** The samples of ticks in which nothing happened are taken by the next call: a quiet meter costs nothing. */
  add(tick: number, count: number, bytes: number): void {
    if (tick !== this.tick) this.advance(tick)
    this.count += count
    this.bytes += bytes
    this.times++
  }

  private advance(tick: number): void {
    this.tick = tick
    for (const window of this.windows) window.advance(tick, this)
  }

  within(span: Span, tick: number): Counts & { seconds: number } {
    this.advance(tick)
    return this.windows.find(window => window.span === span)!.since(tick, this, this.bornTick)
  }
}

/** A running total, and what it was at the last two midnights. BrokerStats */
class DailyTotal {
  total = 0
  todayMorning = 0
  yesterdayMorning = 0

  newDay(days: number): void {
    this.yesterdayMorning = days > 1 ? this.total : this.todayMorning
    this.todayMorning = this.total
  }
}

interface TopicStats {
  readonly isSystem: boolean
  readonly all: Meter
  readonly queues: Meter[]
}

interface GroupStats {
  readonly isSystem: boolean
  readonly got: Meter
  readonly queues: Meter[]
  readonly sentBack: Meter
}

/** A number of BrokerStatsData: sum, tps, and the sum per call. */
interface WindowStats {
  avgpt: number
  sum: number
  tps: number
}

/** As a tool asks for it. BrokerStatsData */
export interface StatsData {
  statsDay: WindowStats
  statsHour: WindowStats
  statsMinute: WindowStats
}

/** Counts what goes through the broker. Counting is a look-up and a few additions. BrokerStatsManager, StoreStatsService */
export class Statistics {
  /** Messages stored and handed out since the start, system topics left out. */
  readonly dailyPuts = new DailyTotal()
  readonly dailyGets = new DailyTotal()

  private readonly cluster: string
  private readonly now: () => number
  private readonly topics = new Map<string, TopicStats>()
  /** By group, then by topic. */
  private readonly groups = new Map<string, Map<string, GroupStats>>()
  private readonly puts: Meter
  private readonly gets: Meter
  private readonly misses: Meter
  private tick = 0
  private midnightMs = 0
  private timer: NodeJS.Timeout | null = null
  private used = false
  private closed = false

  constructor(cluster: string, now: () => number = Date.now) {
    this.cluster = cluster
    this.now = now
    this.readClock()
    this.puts = new Meter(this.tick, BROKER_WINDOWS)
    this.gets = new Meter(this.tick, BROKER_WINDOWS)
    this.misses = new Meter(this.tick, BROKER_WINDOWS)
  }

  /** The time in whole ticks is read by a timer that runs as long as something is counted. */
  private use(): void {
    this.used = true
    if (this.timer !== null || this.closed) return
    this.readClock()
    this.timer = setInterval(() => {
      if (this.used) this.readClock()
      else this.stop()
      this.used = false
    }, TICK_MS)
    this.timer.unref()
  }

  private readClock(): number {
    const nowMs = this.now()
    this.tick = Math.max(this.tick, Math.floor(nowMs / TICK_MS))
    if (nowMs >= this.midnightMs) this.startDay(nowMs)
    return this.tick
  }

  private startDay(nowMs: number): void {
    const next = new Date(nowMs)
    next.setHours(24, 0, 0, 0)
    if (this.midnightMs > 0) {
      const days = Math.round((next.getTime() - this.midnightMs) / 86_400_000)
      this.dailyPuts.newDay(days)
      this.dailyGets.newDay(days)
    }
    this.midnightMs = next.getTime()
  }

  /** Messages stored in a topic's queue. */
  put(topic: string, queueId: number, count: number, bytes: number): void {
    this.use()
    const stats = this.topics.get(topic) ?? this.addTopic(topic)
    stats.all.add(this.tick, count, bytes)
    this.queue(stats.queues, queueId).add(this.tick, count, bytes)
    this.puts.add(this.tick, count, bytes)
    if (!stats.isSystem) this.dailyPuts.total += count
  }

  private queue(queues: Meter[], queueId: number): Meter {
    const known = queues[queueId]
    if (known !== undefined) return known
    const added = new Meter(this.tick)
    queues[queueId] = added
    return added
  }

  private addTopic(topic: string): TopicStats {
    const stats = { isSystem: isSystemTopic(topic), all: new Meter(this.tick), queues: [] }
    this.topics.set(topic, stats)
    return stats
  }

  /** Messages handed to a group. */
  got(group: string, topic: string, queueId: number, count: number, bytes: number): void {
    this.use()
    const stats = this.groups.get(group)?.get(topic) ?? this.addGroup(group, topic)
    stats.got.add(this.tick, count, bytes)
    this.queue(stats.queues, queueId).add(this.tick, count, bytes)
    this.gets.add(this.tick, count, bytes)
    if (!stats.isSystem) this.dailyGets.total += count
  }

  private addGroup(group: string, topic: string): GroupStats {
    let topics = this.groups.get(group)
    if (topics === undefined) {
      topics = new Map()
      this.groups.set(group, topics)
    }
    const stats = {
      isSystem: isSystemTopic(topic),
      got: new Meter(this.tick),
      queues: [],
      sentBack: new Meter(this.tick)
    }
    topics.set(topic, stats)
    return stats
  }

  /** A pull that found nothing. */
  missed(): void {
    this.use()
    this.misses.add(this.tick, 1, 0)
  }

  /** A message of a topic that a group could not consume. */
  sentBack(group: string, topic: string): void {
    this.use()
    const stats = this.groups.get(group)?.get(topic) ?? this.addGroup(group, topic)
    stats.sentBack.add(this.tick, 1, 0)
  }

  /** The figures of one thing; null when nothing of it was counted. BrokerStatsManager's names, `@` between a key's parts */
  view(name: string, key: string): StatsData | null {
    const [what, unit] = [name.slice(0, name.lastIndexOf('_')), name.slice(name.lastIndexOf('_') + 1)]
    const field = unit === 'NUMS' ? 'count' : unit === 'SIZE' ? 'bytes' : null
    const meter = this.meter(what, key)
    if (field === null || meter === undefined || meter.times === 0) return null
    const figures = (span: Span): WindowStats => {
      const changed = meter.within(span, this.readClock())
      const sum = changed[field]
      return { avgpt: changed.times === 0 ? 0 : sum / changed.times, sum, tps: sum / changed.seconds }
    }
    return { statsDay: figures(DAY), statsHour: figures(HOUR), statsMinute: figures(MINUTE) }
  }

  private meter(what: string, key: string): Meter | undefined {
    const [topic = '', second = '', third = ''] = key.split('@')
    switch (what) {
      case 'TOPIC_PUT':
        return this.topics.get(key)?.all
      case 'QUEUE_PUT':
        return this.topics.get(topic)?.queues[Number(second)]
      case 'GROUP_GET':
        return this.groups.get(second)?.get(topic)?.got
      case 'QUEUE_GET':
        return this.groups.get(third)?.get(topic)?.queues[Number(second)]
      case 'SNDBCK_PUT':
        return this.groups.get(second)?.get(topic)?.sentBack
      case 'BROKER_PUT':
        return key === this.cluster ? this.puts : undefined
      case 'BROKER_GET':
        return key === this.cluster ? this.gets : undefined
      default:
        return undefined
    }
  }

  /** Messages stored per second within the last minute. */
  putTps(topic: string): number {
    return this.view('TOPIC_PUT_NUMS', topic)?.statsMinute.tps ?? 0
  }

  /** Messages handed to a group per second within the last minute. */
  getTps(group: string, topic: string): number {
    return this.view('GROUP_GET_NUMS', `${topic}@${group}`)?.statsMinute.tps ?? 0
  }

  /** Per second within the last ten seconds, minute and ten minutes: stored; pulls that found something, and nothing; messages handed out. */
  rates(): Record<'put' | 'found' | 'miss' | 'transferred', number[]> {
    const tick = this.readClock()
    const rates = (meter: Meter, field: keyof Counts) =>
      [TEN_SECONDS, MINUTE, TEN_MINUTES].map(span => {
        const changed = meter.within(span, tick)
        return changed[field] / changed.seconds
      })
    return {
      put: rates(this.puts, 'count'),
      found: rates(this.gets, 'times'),
      miss: rates(this.misses, 'times'),
      transferred: rates(this.gets, 'count')
    }
  }

  /** All that was stored since the start, system topics included. */
  get totalPuts(): Readonly<Counts> {
    return this.puts
  }

  /** BrokerStatsManager#onTopicDeleted */
  forgetTopic(topic: string): void {
    this.topics.delete(topic)
    for (const [group, topics] of this.groups) if (topics.delete(topic) && topics.size === 0) this.groups.delete(group)
  }

  /** BrokerStatsManager#onGroupDeleted */
  forgetGroup(group: string): void {
    this.groups.delete(group)
  }

  close(): void {
    this.closed = true
    this.stop()
  }

  private stop(): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
  }
}
