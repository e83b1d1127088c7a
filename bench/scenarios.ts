import { BINARY_HEADER, JSON_HEADER, type SerializeType } from '../net/index.ts'
import { createTopic, fill, startPullLoad, startSendLoad } from './load.ts'
import type { Latency, Load } from './recorder.ts'
import { startSdkPullLoad, startSdkSendLoad } from './sdk-load.ts'
import type { Running, Target } from './targets.ts'

/** One way of loading a broker. */
export interface Scenario {
  work: 'send' | 'pull'
  /** The load generator of this folder, or Skylark's own client. */
  through: 'raw' | 'sdk'
  headers: 'binary' | 'json'
  /** Requests that wait for an answer at once; of an SDK that pulls, what it chooses. */
  inFlight: number
  /** Send so many a second instead, however fast the answers come. */
  ratePerSecond?: number
}

/** What all scenarios have in common. */
export interface Workload {
  bodyBytes: number
  queueCount: number
  /** Messages asked for in one pull. */
  pullBatch: number
  /** Messages that are there to be pulled. */
  pullMessages: number
  warmUpMs: number
  measureMs: number
  /** How long a target that does nothing is watched. */
  idleMs: number
}

/** 1 KB bodies, 8 queues, one connection. */
export const canonicalWorkload: Readonly<Workload> = Object.freeze({
  bodyBytes: 1024,
  queueCount: 8,
  pullBatch: 32,
  pullMessages: 200_000,
  warmUpMs: 3000,
  measureMs: 5000,
  idleMs: 3000
})

export interface ScenarioChoice {
  inFlight: readonly number[]
  pullInFlight: readonly number[]
  ratesPerSecond: readonly number[]
  through: readonly Scenario['through'][]
  headers: readonly Scenario['headers'][]
  work: readonly Scenario['work'][]
}

export const canonicalChoice: Readonly<ScenarioChoice> = Object.freeze({
  inFlight: [1, 32, 256, 1024],
  pullInFlight: [1, 8, 32],
  ratesPerSecond: [10_000, 50_000],
  through: ['raw', 'sdk'] as const,
  headers: ['binary', 'json'] as const,
  work: ['send', 'pull'] as const
})

export function scenariosOf(choice: ScenarioChoice): Scenario[] {
  const scenarios: Scenario[] = []
  const add = (
    work: Scenario['work'],
    through: Scenario['through'],
    headers: Scenario['headers'],
    inFlight: number
  ) => {
    if (choice.work.includes(work) && choice.through.includes(through) && choice.headers.includes(headers))
      scenarios.push({ work, through, headers, inFlight })
  }
  for (const inFlight of choice.inFlight) add('send', 'raw', 'binary', inFlight)
  for (const inFlight of choice.inFlight) add('send', 'raw', 'json', inFlight)
  if (choice.work.includes('send') && choice.through.includes('raw'))
    for (const ratePerSecond of choice.ratesPerSecond)
      scenarios.push({ work: 'send', through: 'raw', headers: choice.headers[0]!, inFlight: 0, ratePerSecond })
  for (const inFlight of choice.inFlight) add('send', 'sdk', 'binary', inFlight)
  for (const inFlight of choice.pullInFlight) add('pull', 'raw', 'binary', inFlight)
  add('pull', 'sdk', 'binary', 0)
  return scenarios
}

export interface Result {
  scenario: Scenario
  target: string
  messagesPerSecond: number
  megabytesPerSecond: number
  /** Of a request, µs. */
  latencyUs: Latency
  /** CPU time of the target's process, µs. */
  cpuUsPerMessage: number
  residentBytes: number
  /** How late the target's event loop was; null where nobody can tell. */
  loopDelayMs: { p999: number; max: number } | null
  errors: number
  firstError: string | null
}

const TOPIC = 'canonical'
const delay = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Loads a fresh target in one way, and tells what happened between warming up and the end. */
export async function measure(target: Target, scenario: Scenario, workload: Workload): Promise<Result> {
  const running = await target.start()
  try {
    await createTopic(running.address, TOPIC, workload.queueCount)
    const load = await startLoad(running, scenario, workload)
    const { recorder } = load
    await delay(workload.warmUpMs)
    running.watchLoop()
    const before = await running.usage()
    recorder.measuring = true
    const began = performance.now()
    await delay(workload.measureMs)
    recorder.measuring = false
    const seconds = (performance.now() - began) / 1000
    const after = await running.usage()
    const { messages, bytes, latency } = recorder
    await load.stop()
    return {
      scenario,
      target: target.name,
      messagesPerSecond: messages / seconds,
      megabytesPerSecond: bytes / 1e6 / seconds,
      latencyUs: latency,
      cpuUsPerMessage: ((after.cpuMs - before.cpuMs) * 1000) / Math.max(1, messages),
      residentBytes: after.residentBytes,
      loopDelayMs: after.loopDelayMs,
      errors: recorder.errors,
      firstError: recorder.firstError
    }
  } finally {
    await running.stop()
  }
}

async function startLoad(running: Running, scenario: Scenario, workload: Workload): Promise<Load> {
  const { address, namesrvAddr } = running
  const { bodyBytes, queueCount, pullBatch, pullMessages } = workload
  const serializeType: SerializeType = scenario.headers === 'binary' ? BINARY_HEADER : JSON_HEADER
  const { inFlight, ratePerSecond } = scenario
  const raw = { address, topic: TOPIC, queueCount, serializeType }
  const sdk = { namesrvAddr, topic: TOPIC, serializeType }
  if (scenario.work === 'send')
    return scenario.through === 'sdk'
      ? startSdkSendLoad({ ...sdk, inFlight, bodyBytes })
      : startSendLoad({ ...raw, inFlight, bodyBytes, ...(ratePerSecond && { ratePerSecond }) })
  await fill({ ...raw, serializeType: BINARY_HEADER, inFlight: 256, bodyBytes, limit: pullMessages })
  return scenario.through === 'sdk'
    ? startSdkPullLoad({ ...sdk, messages: pullMessages, batch: pullBatch })
    : startPullLoad({ ...raw, inFlight, batch: pullBatch })
}

export interface StartResult {
  target: string
  /** From the start of its process to the first acknowledged message. */
  firstSendMs: number
  /** What it takes of one core while nothing happens. */
  idleCpuPercent: number
  idleResidentBytes: number
}

/** How soon a fresh target serves, and what it takes when nobody asks it for anything. */
export async function measureStart(target: Target, workload: Workload): Promise<StartResult> {
  const { queueCount, bodyBytes, idleMs } = workload
  const began = performance.now()
  const running = await target.start()
  try {
    await createTopic(running.address, TOPIC, queueCount)
    const raw = { address: running.address, topic: TOPIC, queueCount, serializeType: BINARY_HEADER } as const
    await fill({ ...raw, inFlight: 1, bodyBytes, limit: 1 })
    const firstSendMs = performance.now() - began
    // What a start leaves to do is no idleness.
    await delay(idleMs / 3)
    const before = await running.usage()
    await delay(idleMs)
    const after = await running.usage()
    return {
      target: target.name,
      firstSendMs,
      idleCpuPercent: ((after.cpuMs - before.cpuMs) / idleMs) * 100,
      idleResidentBytes: after.residentBytes
    }
  } finally {
    await running.stop()
  }
}
