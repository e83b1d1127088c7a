import type { MessageStore } from '../../engine/index.ts'
import {
  parseBody,
  parseProperties,
  type RemotingClient,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  ViewMessageHeader
} from '../../net/index.ts'
import { BrokerError } from '../errors.ts'

const TIMEOUT_MS = 10_000

/** A broker of RocketMQ, as it answers at the port that clients use. */
export class JavaPeer {
  readonly address: string
  private readonly client: Pick<RemotingClient, 'invoke'>

  constructor(address: string, client: Pick<RemotingClient, 'invoke'>) {
    this.address = address
    this.client = client
  }

  async ask(command: RemotingCommand): Promise<RemotingCommand> {
    const answer = await this.client.invoke(this.address, command, TIMEOUT_MS)
    if (answer.code === ResponseCode.SUCCESS) return answer
    throw new Error(`${this.address} answered request ${command.code} with ${answer.code}: ${answer.remark}`)
  }

  /** Where its log begins and ends. */
  async bounds(): Promise<{ minOffset: number; maxOffset: number }> {
    const { body } = await this.ask(request(RequestCode.GET_BROKER_RUNTIME_INFO))
    const { table = {} } = (parseBody(body) ?? {}) as { table?: Record<string, string> }
    const numberOf = (key: string) => {
      const value = Number(table[key] ?? Number.NaN)
      if (!Number.isSafeInteger(value)) throw new Error(`${this.address} does not tell its ${key}`)
      return value
    }
    return { minOffset: numberOf('commitLogMinOffset'), maxOffset: numberOf('commitLogMaxOffset') }
  }

  /** Bytes of the record at an offset; null when it has none there. QueryMessageProcessor#viewMessageById */
  async recordAt(offset: number): Promise<Uint8Array | null> {
    const command = request(RequestCode.VIEW_MESSAGE_BY_ID, ViewMessageHeader.encode({ offset, topic: undefined }))
    const { code, body, remark } = await this.client.invoke(this.address, command, TIMEOUT_MS)
    if (code !== ResponseCode.SUCCESS && code !== ResponseCode.SYSTEM_ERROR)
      throw new Error(`${this.address} answered for the record at ${offset} with ${code}: ${remark}`)
    return code === ResponseCode.SUCCESS && body !== null && body.length > 0 ? body : null
  }

  /** Throws BrokerError HA_REFUSED when its log has files of another size: nothing would lie where it is looked for. */
  async checkFileSize(store: MessageStore): Promise<void> {
    const { body } = await this.ask(request(RequestCode.GET_BROKER_CONFIG))
    const theirs = Number(parseProperties(Buffer.from(body ?? '').toString()).get('mappedFileSizeCommitLog'))
    const { mappedFileSizeCommitLogBytes: ours } = store.options
    if (theirs !== ours)
      throw new BrokerError('HA_REFUSED', {
        reason: `mappedFileSizeCommitLog is ${theirs} at ${this.address} and ${ours} here: it has to be the same`
      })
  }

  /**
   * Compares the end of this log with what the peer has there. It is not told which master wrote what; but one record
   * with its place and time is written by one master alone, and so is all that lies before it. Throws BrokerError LOG_DIFFERS.
   */
  async compareTail(store: MessageStore, end: number): Promise<void> {
    const tail = await store.tailBefore(end)
    for (let at = tail.start < 0 ? tail.end : tail.start; at < end; ) {
      const theirs = (await this.recordAt(at))?.subarray(0, end - at)
      const ours = await store.readRaw(at, theirs?.length ?? 0)
      if (theirs === undefined || Buffer.compare(ours, theirs) !== 0)
        throw new BrokerError('LOG_DIFFERS', {
          reason: `at offset ${at}, ${this.address} does not have what is here`
        })
      at += theirs.length
    }
  }
}
