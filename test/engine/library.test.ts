import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { checkStore, EngineError, type MessageStore, openStore, storeDefaults } from '../../engine/index.ts'
import { temporaryDirectory } from '../support/broker.ts'
import { inRepo } from '../support/repo.ts'

const PAGE = 'docs/reference/engine.md'
const page = readFileSync(inRepo(PAGE), 'utf8')
const blocks = [...page.matchAll(/^```(\w*)\n(.*?)^```/gms)].map(([, language, text]) => ({ language, text: text! }))
const run = promisify(execFile)
const NAME = 'skylark/engine'

t.test(`the example of ${PAGE} runs, and prints what the page says`, async t => {
  const dir = temporaryDirectory(t)
  const engine = import.meta.resolve(NAME)
  t.ok(engine.endsWith('/dist/engine/index.js'), 'the package exports it')
  const example = blocks.find(({ language }) => language === 'js')!.text
  t.match(example, `from '${NAME}'`)
  const script = join(dir, 'example.mjs')
  writeFileSync(script, example.replace(`'${NAME}'`, JSON.stringify(engine)))
  const { stdout } = await run(process.execPath, [script], { cwd: dir, env: { ...process.env, NODE_OPTIONS: '' } })
  t.equal(stdout, blocks.find(({ language }) => language === '')!.text)
  t.same((await checkStore(join(dir, 'orders-store'))).findings, [], 'and leaves a store that is whole')
})

t.test('a program that has nothing else to do reads old data to its end, rests and all', async t => {
  const dir = temporaryDirectory(t)
  const script = join(dir, 'rests.mjs')
  const text = `
    import { messageOf, openStore } from ${JSON.stringify(import.meta.resolve(NAME))}
    const put = () => store.putMessage(messageOf({ topic: 'orders', queueId: 0, body: 'x' }))
    let store = await openStore('store')
    for (let i = 0; i < 200; i++) await put()
    await store.close()
    store = await openStore('store', { coldReadRestRatio: 20 })
    for (let offset = 0; offset < 200; offset++) {
      void put()
      await store.getMessages('orders', 0, offset, 1)
    }
    await store.close()
    console.log('read')
  `
  writeFileSync(script, text)
  const { stdout } = await run(process.execPath, [script], { cwd: dir, env: { ...process.env, NODE_OPTIONS: '' } })
  t.equal(stdout, 'read\n')
})

t.test(`every option, status and call that ${PAGE} names exists`, async t => {
  const rows = [...page.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].flatMap(([, cell]) => cell!.match(/\w+/g)!)
  const { PutStatus } = await import('../../engine/index.ts')
  const unknown = rows.filter(name => !(name in storeDefaults) && !(name in PutStatus))
  t.ok(rows.length > 10)
  t.same(unknown, [])
  const dir = temporaryDirectory(t)
  const store = await openStore(dir, { maxHashSlotNum: 100, maxIndexNum: 400 })
  t.teardown(() => store.close())
  const calls = [...page.matchAll(/`(?:await )?(?:store\.)?(\w+)\(/g)].map(([, name]) => name!)
  const exported: object = await import('../../engine/index.ts')
  t.same(
    calls.filter(name => !(name in exported) && typeof store[name as keyof MessageStore] !== 'function'),
    []
  )
  await t.rejects(openStore(dir), { code: 'STORE_LOCKED' }, 'one process per store')
  const refused = openStore(temporaryDirectory(t), { maxOpenFiles: 1 })
  await t.rejects(refused, EngineError)
  await t.rejects(refused, { code: 'BAD_OPTION', message: /the option maxOpenFiles holds 1; allowed is/ })
})
