import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { inRepo } from '../support/repo.ts'
import { cached } from './cache.ts'
import { Driver } from './driver.ts'
import { type Cluster, execute, scratch } from './support.ts'

const sources = inRepo('test', 'interop', 'go')

/** Starts our driver on the stock Go client, built when it's missing. It writes nothing outside a temporary folder. */
export async function startGo(t: Test, cluster: Cluster): Promise<Driver> {
  const source = Buffer.concat(['main.go', 'go.mod', 'go.sum'].map(name => readFileSync(join(sources, name))))
  const built = await cached('go', source, async into => {
    cpSync(sources, join(into, 'source'), { recursive: true })
    await execute('go', ['build', '-buildvcs=false', '-o', join(into, 'driver'), '.'], join(into, 'source'))
  })
  return new Driver(t, join(built, 'driver'), [], { NAMESRV_ADDR: cluster.namesrvAddr, HOME: scratch(t) })
}
