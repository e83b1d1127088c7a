import t from 'tap'
import { folderOf, readSource, sourceFiles } from '../support/sources.ts'

const PAGE = 'docs/reference/errors.md'
const page = readSource(PAGE)

/** The line of the page that names a code with its sentence; what to do about it follows. */
const lineOf = (code: string, sentence: string): string =>
  `| \`${code}\` | ${sentence.replaceAll('|', '\\|').replaceAll('\n', ' ')} |`

const tables = sourceFiles().filter(path => /^\w+\/errors\.ts$/.test(path))

t.test('there is a table of errors in each folder that throws', async t => {
  t.ok(tables.length >= 3)
})

for (const path of tables) {
  t.test(`every error of ${folderOf(path)} stands in ${PAGE} with its sentence, and none besides`, async t => {
    const module: Record<string, unknown> = await import(`../../${path.replace(/\.ts$/, '.js')}`)
    const table = Object.entries(module).find(([name]) => name.endsWith('Errors'))?.[1] as Record<string, string>
    const section = page.split(/^## /m).find(part => part.startsWith(`${folderOf(path)}\n`)) ?? ''
    const lines = section.split('\n').filter(line => line.startsWith('| `'))
    const missing = Object.entries(table)
      .map(([code, sentence]) => lineOf(code, sentence))
      .filter(line => !lines.some(own => own.startsWith(line)))
    t.same(missing, [], 'lines that the page lacks')
    const unknown = lines.filter(line => !(line.split('`')[1]! in table))
    t.same(unknown, [], 'lines of errors that are gone')
  })
}
