import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ClientErrors, clientOptionDefaults, Producer, producerDefaults } from '../../client/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { inRepo } from '../support/repo.ts'
import { openScriptedCluster } from '../support/scripted-cluster.ts'

const PAGE = 'docs/reference/client.md'
const page = readFileSync(inRepo(PAGE), 'utf8')
const producers = page.slice(page.indexOf('## Producers'), page.indexOf('## Consumers'))
const run = promisify(execFile)
const NAME = 'skylark/client'

/** What the examples print, in their order. */
const PRINTED = [
  /^SEND_OK [0-9A-F]{32} broker-a \d \d+\n$/,
  /^$/,
  /^MESSAGE_BAD null the message cannot be sent: the property name KEYS is RocketMQ's own\n$/,
  /^SEND_OK COMMIT\n$/,
  /^NO_REPLY\n$/
]

t.test(`the examples of producers in ${PAGE} run, and do what the page says`, async t => {
  const cluster = await openScriptedCluster(t)
  const dir = temporaryDirectory(t)
  const examples = [...producers.matchAll(/^```js\n(.*?)^```/gms)].map(([, text]) => text!)
  t.equal(examples.length, PRINTED.length)
  for (const [index, example] of examples.entries()) {
    const script = join(dir, `example-${index}.mjs`)
    const client = import.meta.resolve(NAME)
    writeFileSync(
      script,
      example.replaceAll('127.0.0.1:9876', cluster.namesrvAddr).replace(`'${NAME}'`, JSON.stringify(client))
    )
    const { stdout, stderr } = await run(process.execPath, [script], { cwd: dir })
    t.match(stdout, PRINTED[index]!, example.split('\n')[0]!)
    t.equal(stderr, '')
  }
})

const sectionOf = (title: string): string => page.split(/^##+ /m).find(part => part.startsWith(`${title}\n`)) ?? ''
const rowsOf = (title: string): string[] =>
  [...sectionOf(title).matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].flatMap(([, cell]) => cell!.match(/\w+/g)!)

t.test(`${PAGE} names every option of a producer and of a client, and none besides`, async t => {
  t.strictSame(rowsOf('Options of every client').sort(), Object.keys(clientOptionDefaults).sort())
  const own = Object.keys(producerDefaults).filter(name => !(name in clientOptionDefaults))
  t.strictSame(rowsOf('Options of producers').sort(), own.sort())
})

t.test(`the errors and methods of a producer that ${PAGE} names exist`, async t => {
  const codes = rowsOf('When a send fails')
  t.ok(codes.length > 5)
  t.strictSame(
    codes.filter(code => !(code in ClientErrors)),
    []
  )
  const methods = [...sectionOf('Methods').matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name!)
  t.ok(methods.length > 4)
  for (const method of methods) t.type(Producer.prototype[method as keyof Producer], 'function', method)
})
