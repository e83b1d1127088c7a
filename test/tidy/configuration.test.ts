import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { configurationPage } from '../support/configuration-page.ts'
import { inRepo } from '../support/repo.ts'

const PAGE = inRepo('docs', 'reference', 'configuration.md')
if (process.env.UPDATE_DOCS) writeFileSync(PAGE, configurationPage())

t.test('docs/reference/configuration.md says what the tables of keys say', async t => {
  t.equal(readFileSync(PAGE, 'utf8'), configurationPage())
})
