import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { Producer } from '../../client/index.ts'
import { Broker, NameServer } from '../../index.ts'
import { SMALL_STORE, temporaryDirectory } from '../support/broker.ts'
import { inRepo } from '../support/repo.ts'

const { bin, exports } = JSON.parse(readFileSync(inRepo('package.json'), 'utf8'))

t.test('every program and module that the package promises is built', async t => {
  const promised = [bin, exports]
    .flatMap(each => Object.values(each))
    .flatMap(each => (typeof each === 'string' ? [each] : Object.values(each as Record<string, string>)))
    .filter(path => path.startsWith('./dist/') || path.startsWith('dist/'))
  t.ok(promised.length >= 8)
  const missing = promised.filter(
    path => !existsSync(new URL(path.replace(/^(\.\/)?dist\//, '../../'), import.meta.url))
  )
  t.same(missing, [])
})

t.test('a program runs a NameServer and a broker inside itself', async t => {
  const nameServer = new NameServer({ listenPort: 0 })
  await nameServer.start()
  const broker = new Broker({
    storePathRootDir: temporaryDirectory(t),
    listenPort: 0,
    namesrvAddr: nameServer.address,
    store: SMALL_STORE
  })
  await broker.start()
  const producer = new Producer({ group: 'inside', namesrvAddr: nameServer.address })
  await producer.start()
  t.equal((await producer.send({ topic: 'orders', body: 'one espresso' })).status, 'SEND_OK')
  await producer.close()
  await broker.close()
  await nameServer.close()
})
