import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inRepo } from '../support/repo.ts'

/** Fetched jars, compiled drivers: kept between runs, in a folder that no commit holds. */
const cacheRoot = inRepo('node_modules', '.cache', 'skylark-interop')

/** A folder that is filled once for each source that it is made from. */
export async function cached(name: string, source: Buffer, fill: (into: string) => Promise<unknown>): Promise<string> {
  const dir = join(cacheRoot, `${name}-${createHash('sha256').update(source).digest('hex').slice(0, 12)}`)
  if (existsSync(dir)) return dir
  const unfinished = `${dir}.${process.pid}`
  mkdirSync(unfinished, { recursive: true })
  try {
    await fill(unfinished)
    if (!existsSync(dir)) renameSync(unfinished, dir)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return dir
}
