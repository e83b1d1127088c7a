import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { decodeRecords } from '../../message/index.ts'
import { RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { pullFields } from './messages.ts'

/** Bodies by the place that a broker named for them, `queue/offset`. */
export type Ledger = Map<string, string>

/** All that can be pulled of the first `queues` queues of a topic, in order. */
export async function readQueues(address: string, topic: string, queues: number): Promise<Ledger> {
  const client = new RemotingClient()
  const found: Ledger = new Map()
  for (let queueId = 0; queueId < queues; queueId++)
    for (let offset = 0; ; ) {
      const fields = pullFields({ topic, queueId, offset })
      const answer = await client.invoke(address, request(RequestCode.PULL_MESSAGE, fields), 20_000)
      if (answer.code !== ResponseCode.SUCCESS) break
      for (const { queueOffset, body } of decodeRecords(answer.body!)) {
        found.set(`${queueId}/${queueOffset}`, Buffer.from(body).toString())
        offset = queueOffset + 1
      }
    }
  await client.close()
  return found
}

/** Every message of a ledger is where its acknowledgement said. */
export function holds(t: Test, found: Ledger, ledger: Ledger): void {
  const missing = [...ledger].filter(([place, body]) => found.get(place) !== body)
  t.same(missing.slice(0, 5), [], `all ${ledger.size} acknowledged messages are on the survivor`)
}

/** The logs of stopped brokers are alike, file by file and byte by byte. */
export function sameLogs(t: Test, ...dirs: readonly string[]): void {
  const [first, ...others] = dirs.map(dir => {
    const log = join(dir, 'commitlog')
    return new Map(readdirSync(log).map(name => [name, readFileSync(join(log, name))]))
  })
  for (const [i, other] of others.entries()) {
    t.same([...other.keys()], [...first!.keys()])
    for (const [name, bytes] of first!) t.ok(other.get(name)?.equals(bytes), `${name} of ${i + 1} is byte-identical`)
  }
}
