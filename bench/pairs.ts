import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { BrokerOptions } from '../broker/index.ts'
import { Admin, type HaStatus } from '../client/index.ts'
import { NameServer } from '../namesrv/index.ts'
import { startRocketmq } from './rocketmq.ts'
import { scratchFolder, type Target } from './targets.ts'
import { Program, type Usage } from './usage.ts'

const BROKER = 'bench'
const PATIENCE_MS = 60_000
const DURABILITY = 'in the page caches of master and slave when acknowledged, on disk within 500 ms'
/** All that a catch-up copies lies in one file: RocketMQ gives a new slave the last one only. */
const CATCH_UP_FILE_BYTES = 2_000_000_000

/** A broker that is measured, and ended. */
interface Member {
  readonly address: string
  usage(): Promise<Usage>
  stop(): Promise<void>
}

/** Brokers of one kind, a master and what follows it. */
export interface PairKind {
  readonly name: string
  start(home: string, role: Role, namesrvAddr: string): Promise<Member>
}

type Role = 'SYNC_MASTER' | 'ASYNC_MASTER' | 'SLAVE'

export const skylarkPair: PairKind = {
  name: 'Skylark',
  async start(home, role, namesrvAddr) {
    const options: Partial<BrokerOptions> = {
      ...{ storePathRootDir: home, listenPort: 0, vipPortEnable: false, brokerName: BROKER, namesrvAddr },
      ...{ brokerRole: role, brokerId: role === 'SLAVE' ? 1 : 0, inSyncReplicas: 2, shutdownWaitTimeMs: 0 }
    }
    const program = await Program.start('./broker-process.js', [JSON.stringify(options)])
    return { address: program.address, usage: () => program.usage(), stop: () => program.stop() }
  }
}

export const rocketmqPair = (jars: string): PairKind => ({
  name: 'RocketMQ 5.5.0',
  start: (home, role, namesrvAddr) =>
    startRocketmq(jars, home, {
      ...{ brokerName: BROKER, namesrvAddr, brokerRole: role, brokerId: role === 'SLAVE' ? 1 : 0 },
      ...{ inSyncReplicas: 2, mappedFileSizeCommitLog: CATCH_UP_FILE_BYTES }
    })
})

/** A master, and a slave when it is asked for. */
class Pair {
  readonly master: Member
  private slave: Member | null = null
  private readonly kind: PairKind
  private readonly nameServer: NameServer
  private readonly folder: ReturnType<typeof scratchFolder>
  private readonly admin: Admin

  private constructor(
    kind: PairKind,
    master: Member,
    nameServer: NameServer,
    folder: ReturnType<typeof scratchFolder>
  ) {
    this.kind = kind
    this.master = master
    this.nameServer = nameServer
    this.folder = folder
    this.admin = new Admin({ namesrvAddr: nameServer.address })
  }

  static async start(kind: PairKind, role: Role, parent: string): Promise<Pair> {
    const folder = scratchFolder(parent)
    const nameServer = new NameServer({ listenPort: 0 })
    await nameServer.start()
    try {
      const master = await kind.start(join(folder.path, 'master'), role, nameServer.address)
      return new Pair(kind, master, nameServer, folder)
    } catch (error) {
      await nameServer.close()
      folder.remove()
      throw error
    }
  }

  get namesrvAddr(): string {
    return this.nameServer.address
  }

  async startSlave(): Promise<void> {
    this.slave = await this.kind.start(join(this.folder.path, 'slave'), 'SLAVE', this.namesrvAddr)
  }

  /** What the master knows of its slave when that holds what is asked for. */
  async slaveStatus(holds: (slave: HaStatus['haConnectionInfo'][number]) => boolean) {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const { haConnectionInfo } = await this.admin.haStatus(this.master.address)
      const [slave] = haConnectionInfo
      if (slave !== undefined && holds(slave)) return slave
      if (performance.now() > deadline) throw new Error(`${this.kind.name}: the slave does not follow the master`)
      await delay(10)
    }
  }

  /** What both take together. */
  async usage(): Promise<Usage> {
    const all = await Promise.all([this.master.usage(), ...(this.slave === null ? [] : [this.slave.usage()])])
    return {
      cpuMs: all.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
      residentBytes: all.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
      loopDelayMs: null
    }
  }

  async stop(): Promise<void> {
    await this.admin.close()
    await this.slave?.stop()
    await this.master.stop()
    await this.nameServer.close()
    this.folder.remove()
  }
}

/** A sync master and its slave, to be loaded like any other target. */
export function replicated(kind: PairKind, folder: string): Target {
  return {
    name: kind.name,
    durability: DURABILITY,
    hasNameServer: false,
    async start() {
      const pair = await Pair.start(kind, 'SYNC_MASTER', folder)
      try {
        await pair.startSlave()
        await pair.slaveStatus(({ inSync, diff }) => inSync && diff === 0)
      } catch (error) {
        await pair.stop()
        throw error
      }
      return {
        address: pair.master.address,
        namesrvAddr: '',
        usage: () => pair.usage(),
        watchLoop: () => {},
        stop: () => pair.stop()
      }
    }
  }
}

export interface CatchUp {
  target: string
  bytes: number
  seconds: number
}

/** How fast an empty slave gets what a master has, which `fill` sends it. */
export async function measureCatchUp(
  kind: PairKind,
  folder: string,
  fill: (address: string) => Promise<void>
): Promise<CatchUp> {
  const pair = await Pair.start(kind, 'ASYNC_MASTER', folder)
  try {
    await fill(pair.master.address)
    await pair.startSlave()
    const first = await pair.slaveStatus(() => true)
    const began = performance.now()
    const last = await pair.slaveStatus(({ diff }) => diff === 0)
    const seconds = (performance.now() - began) / 1000
    return { target: kind.name, bytes: last.slaveAckOffset - Math.max(0, first.slaveAckOffset), seconds }
  } finally {
    await pair.stop()
  }
}
