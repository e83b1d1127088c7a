import t from 'tap'
import { readSource, repoFiles } from '../support/sources.ts'

/** What the repository must not speak of: machines it was written on, and how its packages were fetched. */
const FOREIGN = [
  /\bsessions?\b/i,
  /\/work\/\w/,
  /\/tmp\/(tools|oracle)\b/,
  /\/(home|Users)\/\w/,
  /https?:\/\/[\w.-]*(registry|artifactory|nexus|mirror)\b/i
]

t.test('no file speaks of the place where it was written', async t => {
  const found: string[] = []
  for (const path of repoFiles()) {
    if (path === 'test/tidy/words.test.ts' || /\.(png|ico|gz|jar)$/.test(path)) continue
    readSource(path)
      .split('\n')
      .forEach((line, i) => {
        if (FOREIGN.some(pattern => pattern.test(line))) found.push(`${path}:${i + 1} ${line.trim().slice(0, 100)}`)
      })
  }
  t.same(found, [])
})
