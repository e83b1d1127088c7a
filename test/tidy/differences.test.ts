import { join } from 'node:path/posix'
import t from 'tap'
import { readSource, repoFiles } from '../support/sources.ts'

const PAGE = 'docs/reference/differences.md'
const LOSSES = 'test/faults/rocketmq-losses.test.ts'
const page = readSource(PAGE)
const files = new Set(repoFiles())

/** Rows of the first table: what happens, and the cell that names its tests. */
const rows = page
  .split(/^## /m)
  .find(part => part.startsWith('Better than'))!
  .split('\n')
  .filter(line => line.startsWith('| ') && !line.startsWith('| What'))
  .map(line => line.split(' | '))

t.test(`every loss in ${PAGE} names a test, and every test that it names exists`, async t => {
  t.ok(rows.length >= 9)
  for (const cells of rows) {
    t.equal(cells.length, 4, `${cells[0]} has what RocketMQ does, what Skylark does, and a test`)
    const cell = cells.at(-1)!
    t.match(cell, /"[^"]+" in \[/, `${cells[0]}`)
    // Names in front of a link are those of tests in that file.
    for (const [, names, path = ''] of cell.matchAll(/([^\]]*)\]\(\.\.\/\.\.\/([\w./-]+)\)/g)) {
      t.ok(files.has(path), path)
      const source = files.has(path) ? readSource(path) : ''
      for (const [, name] of names!.matchAll(/"([^"]+)"/g)) t.ok(source.includes(name!), `"${name}" in ${path}`)
    }
  }
})

t.test(`every test of ${LOSSES} stands in ${PAGE}`, async t => {
  const names = [...readSource(LOSSES).matchAll(/^t\.test\(\s*'([^']+)'/gm)].map(([, name]) => name!)
  t.ok(names.length >= 9)
  t.same(
    names.filter(name => !page.includes(`"${name}"`)),
    []
  )
})

t.test(`links of ${PAGE} lead somewhere`, async t => {
  for (const [, target] of page.matchAll(/\]\(([^)#:]+)/g)) {
    const path = join('docs/reference', target!)
    t.ok(files.has(path), path)
  }
})
