import { parseBody, type RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import type { ReplicationHost } from './host.ts'

const TIMEOUT_MS = 10_000
const TIMER_TABLES = 2

/** A table of the master, and what it held when it was taken over last. */
interface Table {
  readonly code: number
  adopt(body: Buffer): void
  version: string | undefined
  body: Buffer | null
}

const parsed = (body: Buffer) => (parseBody(body) ?? {}) as Record<string, unknown>

/** Topics, groups, offsets, progress of delay levels and timer: what a slave takes over of its master beside the log. SlaveSynchronize */
export class MasterTables {
  private readonly host: ReplicationHost
  private readonly client: Pick<RemotingClient, 'invoke'>
  private readonly tables: readonly Table[]
  private syncing: Promise<void> | null = null
  private lastReason = ''

  constructor(host: ReplicationHost, client: Pick<RemotingClient, 'invoke'>) {
    this.host = host
    this.client = client
    const { topics, groups, offsets } = host
    const table = (code: number, adopt: Table['adopt']): Table => ({ code, adopt, version: undefined, body: null })
    this.tables = [
      table(RequestCode.GET_ALL_TOPIC_CONFIG, body => topics.adopt(parsed(body))),
      table(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, body => groups.adopt(parsed(body))),
      table(RequestCode.GET_ALL_CONSUMER_OFFSET, body => offsets.adopt(parsed(body))),
      // An election gives the broker another one of these.
      table(RequestCode.GET_ALL_DELAY_OFFSET, body => host.delay.adopt(parsed(body))),
      table(RequestCode.GET_TIMER_CHECK_POINT, body => host.timer?.adopt(body)),
      table(RequestCode.GET_TIMER_METRICS, body => host.timer?.metrics.adopt(parsed(body)))
    ].slice(0, host.timer ? undefined : -TIMER_TABLES)
  }

  /** Takes over the tables whose versions say that they changed. */
  changed(address: string, versions: readonly string[]): void {
    if (this.tables.some(({ version }, i) => version !== versions[i])) void this.sync(address, versions)
  }

  /** Takes over what changed; without versions, each table is asked for and compared. One at a time; never throws. */
  sync(address: string, versions?: readonly string[]): Promise<void> {
    this.syncing ??= this.fetch(address, versions)
      .then(
        () => '',
        error => (error as Error).message
      )
      .then(reason => {
        if (reason !== '' && reason !== this.lastReason)
          this.host.log.warn({ reason }, "the master's tables could not be fetched")
        this.lastReason = reason
        this.syncing = null
      })
    return this.syncing
  }

  private async fetch(address: string, versions?: readonly string[]): Promise<void> {
    for (const [i, table] of this.tables.entries()) {
      if (versions !== undefined && versions[i] === table.version) continue
      const { code, remark, body } = await this.client.invoke(address, request(table.code), TIMEOUT_MS)
      // Older ones of RocketMQ have no timer.
      if (code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED) continue
      if (code !== ResponseCode.SUCCESS) throw new Error(remark ?? `the master answered ${code}`)
      const bytes = Buffer.from(body ?? [])
      if (table.body === null || !table.body.equals(bytes)) table.adopt(bytes)
      table.body = bytes
      table.version = versions?.[i]
    }
  }

  /** Takes over all of them again: the store was opened anew. */
  reset(): void {
    for (const table of this.tables) {
      table.version = undefined
      table.body = null
    }
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.syncing
  }
}
