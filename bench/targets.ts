import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BrokerOptions } from '../broker/index.ts'
import type { StoreOptions } from '../engine/index.ts'
import { NameServer } from '../namesrv/index.ts'
import { Program, type Usage } from './usage.ts'

/** What acknowledged messages survive. */
export type Flush = 'async' | 'sync'

/** Something that is measured. */
export interface Target {
  readonly name: string
  /** What an acknowledgement means. */
  readonly durability: string
  /** Whether clients find it by a NameServer, so that SDKs can use it. */
  readonly hasNameServer: boolean
  /** Starts a fresh one, without a message. */
  start(): Promise<Running>
}

export interface Running {
  readonly address: string
  /** '' when there is none. */
  readonly namesrvAddr: string
  usage(): Promise<Usage>
  /** Looks from now on how late its event loop is, if it has one. */
  watchLoop(): void
  /** Ends it and removes what it wrote. */
  stop(): Promise<void>
}

export const durabilityOf: Readonly<Record<Flush, string>> = {
  async: 'written to the page cache when acknowledged, on disk within 500 ms',
  sync: 'on disk when acknowledged'
}

/** A folder that is removed when the target stops. */
export function scratchFolder(parent: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(parent, 'skylark-bench-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** A NameServer in this process, where it takes no time from what is measured, and a broker in its own. */
export function skylark(folder: string, flush: Flush, storeOptions: Partial<StoreOptions> = {}): Target {
  return {
    name: 'Skylark',
    durability: durabilityOf[flush],
    hasNameServer: true,
    async start() {
      const store = scratchFolder(folder)
      const nameServer = new NameServer({ listenPort: 0 })
      await nameServer.start()
      const options: Partial<BrokerOptions> = {
        ...{ storePathRootDir: store.path, listenPort: 0, vipPortEnable: false, brokerName: 'bench' },
        namesrvAddr: nameServer.address,
        store: { flushDiskType: flush === 'sync' ? 'SYNC_FLUSH' : 'ASYNC_FLUSH', ...storeOptions }
      }
      try {
        const program = await Program.start('./broker-process.js', [JSON.stringify(options)])
        return {
          address: program.address,
          namesrvAddr: nameServer.address,
          usage: () => program.usage(),
          watchLoop: () => program.watchLoop(),
          async stop() {
            await program.stop()
            await nameServer.close()
            store.remove()
          }
        }
      } catch (error) {
        await nameServer.close()
        store.remove()
        throw error
      }
    }
  }
}

/** The bare server of ceiling.ts. */
export const ceiling: Target = {
  name: 'ceiling',
  durability: 'nothing is kept: a bare server that parses, checksums, copies and answers',
  hasNameServer: false,
  async start() {
    const program = await Program.start('./ceiling.js')
    return {
      address: program.address,
      namesrvAddr: '',
      usage: () => program.usage(),
      watchLoop: () => program.watchLoop(),
      stop: () => program.stop()
    }
  }
}
