import { setTimeout as delay } from 'node:timers/promises'
import type { Coordinator, Write } from './coordinator.ts'

/** Between two attempts to watch. */
const WATCH_AGAIN_MS = 1000

const encode = (text: string): string => Buffer.from(text).toString('base64')
const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString()

/** The first key that does not begin with a prefix. */
function endOf(prefix: string): string {
  const bytes = Buffer.from(prefix)
  bytes[bytes.length - 1]! += 1
  return bytes.toString('base64')
}

type Json = Record<string, unknown>

/**
 * etcd over its JSON gateway, which every etcd from 3.4 on serves on its client port: five calls are all that an election
 * needs, and Node's fetch makes them without a package. Endpoints are tried in turn, beginning with the one that
 * answered last.
 */
export class Etcd implements Coordinator {
  private readonly endpoints: string[]
  private readonly timeoutMs: number
  private readonly aborted = new AbortController()

  /** Endpoints as `http://host:port`, without a scheme http. Each call ends within `timeoutMs`. */
  constructor(endpoints: readonly string[], timeoutMs: number) {
    this.endpoints = endpoints.map(each => (/^https?:\/\//.test(each) ? each : `http://${each}`).replace(/\/+$/, ''))
    this.timeoutMs = timeoutMs
  }

  private async call(path: string, body: Json): Promise<Json> {
    const endMs = performance.now() + this.timeoutMs
    let failure: Error | null = null
    for (let i = 0; i < this.endpoints.length; i++) {
      const leftMs = Math.ceil(endMs - performance.now())
      if (leftMs <= 0) break
      const endpoint = this.endpoints[0]!
      // A silent endpoint leaves time for the next one.
      const shareMs = Math.max(1, Math.ceil(leftMs / (this.endpoints.length - i)))
      try {
        const answer = await fetch(`${endpoint}/v3/${path}`, {
          method: 'POST',
          body: JSON.stringify(body),
          signal: AbortSignal.any([this.aborted.signal, AbortSignal.timeout(shareMs)])
        })
        const json = (await answer.json()) as Json
        if (answer.ok) return json
        failure = new Error(`etcd ${endpoint} answers ${answer.status}: ${json.error ?? json.message}`)
      } catch (error) {
        const { message, cause } = error as Error
        failure = new Error(`etcd ${endpoint}: ${(cause as Error | undefined)?.message ?? message}`)
      }
      this.endpoints.push(this.endpoints.shift()!)
    }
    throw failure ?? new Error('etcd does not answer in time')
  }

  async grant(ttlMs: number): Promise<string> {
    return String((await this.call('lease/grant', { TTL: Math.ceil(ttlMs / 1000) })).ID)
  }

  async keepAlive(lease: string): Promise<boolean> {
    const { result } = await this.call('lease/keepalive', { ID: lease })
    return Number((result as Json | undefined)?.TTL ?? 0) > 0
  }

  async revoke(lease: string): Promise<void> {
    await this.call('lease/revoke', { ID: lease })
  }

  async read(prefix: string): Promise<Map<string, string>> {
    const { kvs } = await this.call('kv/range', { key: encode(prefix), range_end: endOf(prefix) })
    return new Map(
      ((kvs ?? []) as { key: string; value?: string }[]).map(each => [decode(each.key), decode(each.value)])
    )
  }

  async write(
    expected: readonly (readonly [key: string, value: string | null])[],
    values: readonly Write[]
  ): Promise<boolean> {
    const { succeeded } = await this.call('kv/txn', {
      compare: expected.map(([key, value]) =>
        value === null
          ? { key: encode(key), target: 'CREATE', result: 'EQUAL', create_revision: '0' }
          : { key: encode(key), target: 'VALUE', result: 'EQUAL', value: encode(value) }
      ),
      success: values.map(({ key, value, lease }) => ({
        request_put: { key: encode(key), value: encode(value), ...(lease !== undefined && { lease }) }
      }))
    })
    return succeeded === true
  }

  watch(prefix: string, onChange: () => void): void {
    void this.keepWatching(prefix, onChange)
  }

  private async keepWatching(prefix: string, onChange: () => void): Promise<void> {
    const { signal } = this.aborted
    const body = JSON.stringify({ create_request: { key: encode(prefix), range_end: endOf(prefix) } })
    while (!signal.aborted) {
      try {
        const answer = await fetch(`${this.endpoints[0]}/v3/watch`, { method: 'POST', body, signal })
        for await (const _ of answer.body ?? []) onChange()
      } catch {
        // Whoever waits looks from time to time in any case.
      }
      if (!signal.aborted) await delay(WATCH_AGAIN_MS, undefined, { ref: false })
    }
  }

  close(): void {
    this.aborted.abort()
  }
}
