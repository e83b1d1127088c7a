import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Broker, type BrokerOptions, type BrokerSeams } from '../../broker/index.ts'
import {
  CreateTopicHeader,
  type ExtFields,
  RemotingClient,
  type RemotingCommand,
  RequestCode,
  request
} from '../../net/index.ts'

/** A folder of the test's own, gone when it ends. */
export function temporaryDirectory(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'skylark-test-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Small files: a test's store fits where a real one would not. */
export const SMALL_STORE = {
  mappedFileSizeCommitLogBytes: 4 * 1024 * 1024,
  mappedFileSizeConsumeQueueBytes: 20 * 1000,
  maxHashSlotNum: 1000,
  maxIndexNum: 4000
} as const

export interface OpenBroker {
  broker: Broker
  dir: string
  /** Calls the broker. */
  client: RemotingClient
  /** One request, one answer. */
  ask(code: number, extFields?: ExtFields | null, body?: Uint8Array | string | null): Promise<RemotingCommand>
}

/** A broker on a free port with a small store in a folder of its own; the test's end closes it. */
export async function openBroker(
  t: Test,
  options: Partial<BrokerOptions> = {},
  seams: BrokerSeams = {}
): Promise<OpenBroker> {
  const dir = options.storePathRootDir ?? temporaryDirectory(t)
  const broker = new Broker(
    {
      listenPort: 0,
      vipPortEnable: false,
      brokerName: 'broker-a',
      ...options,
      storePathRootDir: dir,
      store: { ...SMALL_STORE, ...options.store }
    },
    seams
  )
  await broker.start()
  const client = new RemotingClient()
  t.teardown(async () => {
    await client.close()
    await broker.close()
  })
  return {
    broker,
    dir,
    client,
    ask: (code, extFields = null, body = null) => client.invoke(broker.address, request(code, extFields, body), 20_000)
  }
}

/** Asks for a topic of four queues, but for what is given. */
export const createTopic = (
  { ask }: Pick<OpenBroker, 'ask'>,
  topic: string,
  fields: Partial<Parameters<typeof CreateTopicHeader.encode>[0]> = {}
): Promise<RemotingCommand> =>
  ask(
    RequestCode.UPDATE_AND_CREATE_TOPIC,
    CreateTopicHeader.encode({
      topic,
      defaultTopic: 'TBW102',
      readQueueNums: 4,
      writeQueueNums: 4,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      ...fields
    })
  )

export { until } from './until.ts'
