import { NetError, parseAddress, type RemotingClient, type RemotingCommand } from '../net/index.ts'
import { ClientError } from './errors.ts'

/** NameServers share nothing and know the same: one is asked while it answers, then the next. NettyRemotingClient */
export class NameServers {
  readonly addresses: readonly string[]
  private current = 0

  /** Throws ClientError NO_NAMESRV, NetError ADDRESS_BAD. */
  constructor(namesrvAddr: string) {
    const addresses = namesrvAddr
      .split(';')
      .map(address => address.trim().replace(/^https?:\/\//, ''))
      .filter(address => address !== '')
    if (addresses.length === 0) throw new ClientError('NO_NAMESRV')
    for (const address of addresses) parseAddress(address)
    this.addresses = addresses
    this.current = Math.floor(Math.random() * addresses.length)
  }

  /** Throws ClientError NAMESRV_UNREACHABLE when none of them answers. */
  async invoke(remoting: RemotingClient, command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    let failure: unknown
    for (let tried = 0; tried < this.addresses.length; tried++) {
      const asked = this.current
      try {
        return await remoting.invoke(this.addresses[asked]!, command, timeoutMs)
      } catch (error) {
        if (!(error instanceof NetError)) throw error
        failure = error
        if (this.current === asked) this.current = (asked + 1) % this.addresses.length
      }
    }
    throw new ClientError(
      'NAMESRV_UNREACHABLE',
      { addresses: this.addresses.join(';'), reason: (failure as Error).message },
      { cause: failure }
    )
  }
}
