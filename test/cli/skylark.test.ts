import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryDirectory } from '../support/broker.ts'
import { type CliProcess, runCli, startCli } from '../support/cli.ts'

interface Running extends CliProcess {
  namesrv: string
  dir: string
}

/** `skylark start` on free ports. */
async function startSkylark(t: Test, dir = temporaryDirectory(t)): Promise<Running> {
  const running = startCli(t, 'skylark', ['start', '--data-dir', dir, '--port', '0', '--namesrv-port', '0'])
  const [, namesrv] = await running.printed(/NameServer +(\S+)[\s\S]*Ctrl\+C/)
  return Object.assign(running, { namesrv: namesrv!, dir })
}

const linesOf = (text: string): string[] => text.split('\n').filter(line => line !== '')

t.test('start says where it listens, where it stores, and what to try next', async t => {
  const { stdout, dir, namesrv, child, ended } = await startSkylark(t)
  t.match(stdout, /^Skylark is ready after [\d.]+ ms\.\n/)
  t.match(stdout, /NameServer {2}127\.0\.0\.1:\d+\n/)
  t.match(stdout, /Broker {6}127\.0\.0\.1:\d+\n/)
  t.match(stdout, `Data        ${dir}\n`)
  t.match(stdout, `npx skylark produce hello "one espresso" --namesrv ${namesrv}`)
  t.match(stdout, `npx skylark consume hello --namesrv ${namesrv}`)
  child.kill('SIGTERM')
  t.equal(await ended, 0)
  t.notOk(existsSync(join(dir, 'store', 'abort')), 'the store was closed in order')
})

t.test('what is produced is consumed, after a stop by Ctrl+C and a new start too', async t => {
  const first = await startSkylark(t)
  const args = ['produce', 'orders', 'one espresso', 'two teas', '-k', 'order-1', '-t', 'bar', '-n', first.namesrv]
  const produced = await runCli(t, 'skylark', args)
  t.equal(produced.exitCode, 0)
  t.equal(linesOf(produced.stdout).length, 2)
  for (const line of linesOf(produced.stdout)) t.match(line, /^sent {2}[0-9A-F]{32} {2}broker-a queue \d offset 0$/)

  const consume = (namesrv: string) => runCli(t, 'skylark', ['consume', 'orders', '-c', '2', '-n', namesrv])
  const consumed = await consume(first.namesrv)
  t.equal(consumed.exitCode, 0)
  const bodies = ({ stdout }: { stdout: string }) =>
    linesOf(stdout)
      .map(line => line.replace(/^\d\d:\d\d:\d\d \d@0 +/, ''))
      .sort()
  t.same(bodies(consumed), ['[bar] order-1 one espresso', '[bar] order-1 two teas'])

  first.child.kill('SIGINT')
  t.equal(await first.ended, 0)
  const second = await startSkylark(t, first.dir)
  t.same(bodies(await consume(second.namesrv)), bodies(consumed))
})

t.test('lines of the standard input are messages; JSON, tags and times choose what is shown', async t => {
  const { namesrv } = await startSkylark(t)
  const on = (...args: string[]) => [...args, '-n', namesrv]
  const sent = await runCli(t, 'skylark', on('produce', 'lines', '-t', 'a'), { input: 'first\n\nsecond\nthird\n' })
  t.equal(sent.exitCode, 0)
  t.equal(linesOf(sent.stdout).length, 3)
  t.match(sent.stderr, /^sent 3 messages to lines in /)
  await runCli(t, 'skylark', on('produce', 'lines', 'other', '-t', 'b'))

  const json = await runCli(t, 'skylark', on('consume', 'lines', '--json', '-c', '3', '--tag', 'a'))
  const messages = linesOf(json.stdout).map(line => JSON.parse(line))
  t.same(messages.map(({ body }) => body).sort(), ['first', 'second', 'third'])
  t.match(messages[0], { topic: 'lines', brokerName: 'broker-a', tags: 'a', messageId: /^[0-9A-F]{32}$/ })

  const later = await runCli(t, 'skylark', on('consume', 'lines', '-c', '1', '--from', '2000-01-01', '--tag', 'b'))
  t.match(later.stdout, /other\n$/)
})

t.test('a producer that waits for lines ends by a signal, and when the broker does not take them', async t => {
  const server = await startSkylark(t)
  const args = ['produce', 'lines', '-n', server.namesrv]
  const stopped = startCli(t, 'skylark', args, { input: null })
  stopped.child.stdin!.write('first\n')
  await stopped.printed(/^sent /)
  stopped.child.kill('SIGINT')
  t.equal(await stopped.ended, 0)
  t.match(stopped.stderr, /^sent 1 message to lines in /)

  const failing = startCli(t, 'skylark', args, { input: null })
  failing.child.stdin!.write('second\n')
  await failing.printed(/^sent /)
  server.child.kill('SIGTERM')
  await server.ended
  failing.child.stdin!.write('third\n')
  t.equal(await failing.ended, 1)
  t.match(failing.stderr, /^1 message sent before that:\nnot sent to lines /)
})

t.test('many messages are counted instead of listed', async t => {
  const { namesrv } = await startSkylark(t)
  const sent = await runCli(t, 'skylark', ['produce', 'many', '-c', '1000', '-s', '100', '-n', namesrv])
  t.equal(sent.exitCode, 0)
  t.equal(sent.stdout, '')
  t.match(sent.stderr, /^sent 1,000 messages to many in [\d.]+ m?s \([\d,]+\/s\)\n$/)
  const args = ['consume', 'many', '-c', '1000', '--json', '-n', namesrv]
  const { stdout } = await runCli(t, 'skylark', args)
  t.equal(linesOf(stdout).length, 1000)
  t.ok(
    linesOf(stdout).every(line => JSON.parse(line).body.length === 100),
    'of the size that was asked for'
  )
})

t.test('a group goes on where it stopped, and what was not printed is not lost', async t => {
  const { namesrv } = await startSkylark(t)
  const bodies = Array.from({ length: 7 }, (_, i) => `message ${i}`)
  await runCli(t, 'skylark', ['produce', 'queue', ...bodies, '-n', namesrv])
  const seen: string[] = []
  for (const wanted of ['3', '4']) {
    const args = ['consume', 'queue', '-g', 'readers', '-c', wanted, '--json', '-n', namesrv]
    const { stdout, exitCode } = await runCli(t, 'skylark', args)
    t.equal(exitCode, 0)
    seen.push(...linesOf(stdout).map(line => JSON.parse(line).body))
  }
  t.same(seen.sort(), bodies)
})

t.test('consume waits for what comes, and a signal ends it', async t => {
  const { namesrv } = await startSkylark(t)
  await runCli(t, 'skylark', ['produce', 'live', 'old', '-n', namesrv])
  const waiting = startCli(t, 'skylark', ['consume', 'live', '-n', namesrv])
  await waiting.printed(/old\n/)
  await runCli(t, 'skylark', ['produce', 'live', 'new', '-n', namesrv])
  await waiting.printed(/new\n/)
  waiting.child.kill('SIGTERM')
  t.equal(await waiting.ended, 0)
})

t.test('bench measures a broker of its own, and leaves nothing behind', async t => {
  const folder = temporaryDirectory(t)
  const args = ['bench', '-c', '2000', '-s', '100', '-i', '16', '--json']
  const { exitCode, stdout } = await runCli(t, 'skylark', args, { env: { TMPDIR: folder } })
  t.equal(exitCode, 0)
  const { count, size, sent, read, latencyMs } = JSON.parse(stdout)
  t.same([count, size], [2000, 100])
  t.ok(sent.perSecond > 0 && read.perSecond > 0 && latencyMs.p50 <= latencyMs.max)
  t.same(readdirSync(folder), [])
})

t.test('a second start on the same data names who holds it', async t => {
  const { dir, pid } = await startSkylark(t)
  const args = ['start', '--data-dir', dir, '--port', '0', '--namesrv-port', '0']
  const { exitCode, stderr, stdout } = await runCli(t, 'skylark', args)
  t.equal(exitCode, 1)
  t.equal(stdout, '')
  t.equal(linesOf(stderr).length, 1)
  t.match(stderr, `pid ${pid}`)
})

t.test('a port that is taken is named, and nothing is left running', async t => {
  const taken = createServer()
  await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  const dir = temporaryDirectory(t)
  for (const args of [
    ['--port', '0', '--namesrv-port', String(port)],
    ['--port', String(port), '--namesrv-port', '0']
  ]) {
    const { exitCode, stderr } = await runCli(t, 'skylark', ['start', '--data-dir', dir, ...args])
    t.equal(exitCode, 1)
    t.equal(linesOf(stderr).at(-1), `another process listens on 127.0.0.1:${port}`)
  }
})

t.test('mistakes are told in one sentence: 2 for how it was called, 1 for what it met', async t => {
  const nobody = '127.0.0.1:1'
  const calls: [string[], number, RegExp][] = [
    [['produce'], 2, /^error: missing required argument 'topic'\n/],
    [['produce', 'T', 'x', '--count', 'many'], 2, /^--count is "many"; it is a whole number from 1\n$/],
    [['produce', 'T', 'x', '--colour', 'red'], 2, /^error: unknown option '--colour'\n/],
    [['consume', 'T', '--from', 'yesterday'], 2, /^--from is "yesterday"; it is first, last, a date/],
    [['start', '--port', '70000'], 2, /^--port is "70000"; it is a whole number from 0 to 65535\n$/],
    [['dance'], 2, /^error: unknown command 'dance'\n/],
    [['produce', 'T', 'x', '-n', 'nowhere'], 1, /^"nowhere" is no address: it reads host:port\n$/],
    [['produce', 'T', 'x', '-n', nobody], 1, /^no NameServer of 127\.0\.0\.1:1 answers: .*\n"skylark start" runs one/],
    [['consume', 'T', '-n', nobody], 1, /^no NameServer of 127\.0\.0\.1:1 answers: .*\n"skylark start" runs one/]
  ]
  for (const [args, code, text] of calls) {
    const { exitCode, stderr, stdout } = await runCli(t, 'skylark', args)
    t.equal(exitCode, code, args.join(' '))
    t.match(stderr, text)
    t.notMatch(stderr, /\n {4}at /, 'no stack')
    t.equal(stdout, '')
  }
  const { namesrv } = await startSkylark(t)
  const missing = await runCli(t, 'skylark', ['consume', 'nothing', '-n', namesrv])
  t.equal(missing.exitCode, 1)
  t.equal(missing.stderr, 'the topic nothing does not exist; its first message creates it\n')
})

t.test('a reader that has seen enough is no failure', async t => {
  const { namesrv } = await startSkylark(t)
  await runCli(t, 'skylark', ['produce', 'long', '-c', '2000', '-s', '1000', '-n', namesrv])
  const reading = startCli(t, 'skylark', ['consume', 'long', '--json', '-n', namesrv])
  await reading.printed(/\n/)
  reading.child.stdout!.destroy()
  t.equal(await reading.ended, 0)
  t.equal(reading.stderr, '')
})

t.test('a data folder that cannot be made is named', async t => {
  const file = join(temporaryDirectory(t), 'file')
  writeFileSync(file, '')
  const { exitCode, stderr } = await runCli(t, 'skylark', ['start', '--data-dir', join(file, 'data')])
  t.equal(exitCode, 1)
  t.match(stderr, file)
  t.equal(linesOf(stderr).length, 1)
})
