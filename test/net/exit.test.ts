import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { openServer, SILENCE } from '../support/remoting.ts'

const net = new URL('../../net/index.js', import.meta.url).href

/** Runs a script in a process of its own; its output, and how it ended. */
async function run(t: Test, script: string): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  const [code] = await once(child, 'close')
  return { code, output }
}

t.test('a client that closes while a call waits lets its process end', async t => {
  const { address } = await openServer(t)
  const script = `
    import { RemotingClient, request } from '${net}'
    const client = new RemotingClient()
    const waiting = client.invoke('${address}', request(${SILENCE}), 3_600_000).catch(error => console.log(error.code))
    await client.connection('${address}')
    await client.close()
    await waiting`
  t.same(await run(t, script), { code: 0, output: 'CONNECTION_CLOSED\n' })
})

t.test('a server that closes while a request waits lets its process end', async t => {
  const script = `
    import { RemotingClient, RemotingServer, RequestDispatcher, request } from '${net}'
    const dispatcher = new RequestDispatcher()
    dispatcher.register(1, () => new Promise(() => {}))
    const server = new RemotingServer(dispatcher)
    const { port } = await server.listen(0, '127.0.0.1')
    const client = new RemotingClient()
    const waiting = client.invoke('127.0.0.1:' + port, request(1), 3_600_000).catch(error => console.log(error.code))
    await client.connection('127.0.0.1:' + port)
    await server.close()
    await waiting`
  t.same(await run(t, script), { code: 0, output: 'CONNECTION_CLOSED\n' })
})
