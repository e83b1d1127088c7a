import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t from 'tap'
import {
  type Connection,
  encodeCommand,
  NetError,
  parseAddress,
  RemotingClient,
  RemotingServer,
  RequestDispatcher,
  ResponseCode,
  request,
  response
} from '../../net/index.ts'
import { keepLog } from '../support/log.ts'
import { ECHO, openServer, SILENCE } from '../support/remoting.ts'
import { until } from '../support/until.ts'

const TIMEOUT_MS = 30_000

for (const serializeType of [0, 1] as const) {
  t.test(`pipelined requests are answered in their own header type ${serializeType}, with their opaque`, async t => {
    const { raw } = await openServer(t)
    const peer = await raw()
    const opaques = [5, -1, 0x7fff_ffff, 0, -0x8000_0000]
    peer.send(...opaques.map(opaque => ({ ...request(ECHO, { n: String(opaque) }), opaque, serializeType })))
    for (const opaque of opaques)
      t.match(await peer.next(), { opaque, flag: 1, code: 0, serializeType, extFields: { n: String(opaque) } })
  })
}

t.test('a request that comes in many pieces is answered once it is whole', async t => {
  const { raw } = await openServer(t)
  const peer = await raw()
  for (const byte of encodeCommand({ ...request(ECHO, { a: 'b' }, 'body'), opaque: 3 })) peer.write(Buffer.of(byte))
  t.match(await peer.next(), { opaque: 3, extFields: { a: 'b' } })
})

t.test('answers go out although the peer has ended its side behind its requests', async t => {
  const { raw } = await openServer(t)
  const peer = await raw()
  peer.socket.end(Buffer.concat([1, 2, 3].map(opaque => encodeCommand({ ...request(ECHO), opaque }))))
  for (const opaque of [1, 2, 3]) t.equal((await peer.next()).opaque, opaque)
  await peer.closed
})

t.test('a one-way request is never answered, not even when it fails or is unknown', async t => {
  const { raw, dispatcher } = await openServer(t)
  let seen = 0
  dispatcher.register(10, () => {
    seen++
    throw new Error('broken')
  })
  const peer = await raw()
  for (const code of [ECHO, 10, 9999]) peer.send({ ...request(code), flag: 2 })
  t.match(await peer.ask({ ...request(ECHO), opaque: 77 }), { opaque: 77 })
  t.equal(seen, 1)
})

t.test('an unknown code gets the answer that RocketMQ gives', async t => {
  const { raw } = await openServer(t)
  const peer = await raw()
  t.match(await peer.ask(request(9999)), {
    code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
    remark: ' request type 9999 not supported'
  })
})

t.test('a handler that fails answers with why, whatever it fails with, and fails alone', async t => {
  const { raw, dispatcher, log } = await openServer(t, { maxFrameBytes: 100_000 })
  const failures: [unknown, number, string][] = [
    [new Error('broken'), ResponseCode.SYSTEM_ERROR, 'broken'],
    [new NetError('HEADER_FIELD_MISSING', { field: 'topic' }), 29, 'the request lacks the field topic'],
    [undefined, ResponseCode.SYSTEM_ERROR, 'undefined'],
    [null, ResponseCode.SYSTEM_ERROR, 'null'],
    ['text', ResponseCode.SYSTEM_ERROR, 'text'],
    [{ responseCode: 'x', message: 5 }, ResponseCode.SYSTEM_ERROR, '[object Object]']
  ]
  const peer = await raw()
  for (const [error, code, remark] of failures) {
    dispatcher.register(20, () => {
      throw error
    })
    dispatcher.register(21, async () => {
      throw error
    })
    t.match(await peer.ask(request(20)), { code, remark })
    t.match(await peer.ask(request(21)), { code, remark })
  }
  t.equal(log.at('error').length, 2 * (failures.length - 1), 'what was not expected is logged')
  // An answer that cannot be sent is a failure too.
  const large = response(0, null, null, Buffer.alloc(100_001))
  dispatcher.register(22, () => large)
  dispatcher.register(23, async () => large)
  dispatcher.register(24, () => response(0, null, { ['k'.repeat(40_000)]: '' }))
  for (const code of [22, 23])
    t.match(await peer.ask(request(code)), { code: ResponseCode.SYSTEM_ERROR, remark: /over the limit of 100000/ })
  t.match(await peer.ask({ ...request(24), serializeType: 1 }), { code: ResponseCode.SYSTEM_ERROR })
  t.match(await peer.ask(request(ECHO)), { code: 0 })
})

t.test('an answer may come late, and after those to later requests', async t => {
  const { client, dispatcher, address } = await openServer(t)
  let release = () => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  dispatcher.register(10, async () => {
    await released
    return response(0, 'late')
  })
  const own = client()
  const late = own.invoke(address, request(10), TIMEOUT_MS)
  t.match(await own.invoke(address, request(ECHO, { a: '1' }), TIMEOUT_MS), { extFields: { a: '1' } })
  release()
  t.match(await late, { remark: 'late' })
})

t.test('a request without an answer fails in time, and a later answer to it is dropped', async t => {
  const { client, server, address } = await openServer(t)
  const log = keepLog()
  const own = client({ log })
  const connection = await own.connection(address)
  await t.rejects(connection.invoke(request(SILENCE), 20), {
    code: 'REQUEST_TIMEOUT',
    message: `no response from ${address} within 20 ms`
  })
  for (const served of server.connections) served.send({ ...response(0), opaque: 1 })
  await until('the late answer is dropped', () => log.at('debug').length === 1)
  t.match(await own.invoke(address, request(ECHO, { a: '1' }), TIMEOUT_MS), { extFields: { a: '1' } })
})

t.test('a peer that is silent for the whole time of a call is called on a new connection', async t => {
  const { client, server, address } = await openServer(t)
  const own = client()
  await t.rejects(own.invoke(address, request(SILENCE), 20), { code: 'REQUEST_TIMEOUT' })
  t.equal(own.openConnection(address), undefined)
  await until('the server sees it', () => server.connections.size === 0)
  t.match(await own.invoke(address, request(ECHO), TIMEOUT_MS), { code: 0 })
})

t.test('of many requests each has its own time', async t => {
  const { client, address } = await openServer(t)
  const own = client()
  const connection = await own.connection(address)
  const long = connection.invoke(request(SILENCE), 60_000)
  const failed: number[] = []
  await Promise.all(
    [60, 20, 40].map(ms =>
      connection.invoke(request(SILENCE), ms).catch((error: NetError) => {
        failed.push(error.details.timeoutMs as number)
      })
    )
  )
  t.same(failed, [20, 40, 60])
  await own.close()
  await t.rejects(long, { code: 'CONNECTION_CLOSED' })
})

t.test('when the connection ends, all that waits fails at once, and the next request opens another', async t => {
  const { client, server, address } = await openServer(t)
  const own = client()
  const waiting = Array.from({ length: 100 }, () => own.invoke(address, request(SILENCE), 60_000))
  const failed = Promise.allSettled(waiting)
  await until('the requests are there', () => server.connections.size === 1)
  for (const connection of server.connections) connection.close('for the test')
  for (const { status, reason } of (await failed) as PromiseRejectedResult[]) {
    t.equal(status, 'rejected')
    t.match(reason, { code: 'CONNECTION_CLOSED', details: { address } })
  }
  t.match(await own.invoke(address, request(ECHO), TIMEOUT_MS), { code: 0 })
})

t.test('requests travel in both directions on one connection, with the same opaques', async t => {
  const { client, server, address } = await openServer(t)
  const own = client()
  own.dispatcher.register(40, ({ extFields }) => response(0, 'from the client', extFields))
  await own.invoke(address, request(ECHO), TIMEOUT_MS)
  const [connection] = server.connections
  const up = Array.from({ length: 50 }, (_, n) => own.invoke(address, request(ECHO, { n: `up ${n}` }), TIMEOUT_MS))
  const down = Array.from({ length: 50 }, (_, n) => connection!.invoke(request(40, { n: `down ${n}` }), TIMEOUT_MS))
  for (const [n, answer] of (await Promise.all(up)).entries()) t.equal(answer.extFields?.n, `up ${n}`)
  for (const [n, answer] of (await Promise.all(down)).entries())
    t.match(answer, { remark: 'from the client', extFields: { n: `down ${n}` } })
  t.equal(connection!.language, 7)
})

t.test('an answer in JSON is no request, even when its code is that of a direct handler', async t => {
  const { raw, server, dispatcher } = await openServer(t)
  const direct: number[] = []
  dispatcher.registerDirect(11, frame => {
    direct.push(frame.code)
    return true
  })
  const peer = await raw()
  await peer.ask(request(ECHO))
  const [connection] = server.connections
  const asked = connection!.invoke(request(40), TIMEOUT_MS)
  const { opaque } = await peer.next()
  // 11 is PULL_MESSAGE as a request and SLAVE_NOT_AVAILABLE as an answer.
  peer.send({ ...response(11), opaque })
  t.equal((await asked).code, 11)
  peer.send(request(11))
  await until('the request is served directly', () => direct.length === 1)
})

t.test('a connection knows who its peer is', async t => {
  const { raw, server } = await openServer(t)
  const peer = await raw()
  await peer.ask({ ...request(ECHO), version: 401, language: 9 })
  const [connection] = server.connections
  t.match(connection, {
    version: 401,
    language: 9,
    remoteAddress: '127.0.0.1',
    remotePort: peer.socket.localPort,
    remote: `127.0.0.1:${peer.socket.localPort}`
  })
})

t.test('an IPv4 peer of an IPv6 socket is known by its IPv4 address', async t => {
  const server = new RemotingServer(new RequestDispatcher())
  let port: number
  try {
    port = (await server.listen(0, '::')).port
  } catch {
    return t.pass('there is no IPv6 here')
  }
  t.teardown(() => server.close())
  const remotes: string[] = []
  server.onConnection = connection => remotes.push(connection.remoteAddress)
  const client = new RemotingClient()
  t.teardown(() => client.close())
  await client.connection(`127.0.0.1:${port}`)
  await until('it is there', () => remotes.length === 1)
  t.same(remotes, ['127.0.0.1'])
})

t.test('what is no frame ends its own connection and no other, and the log says why', async t => {
  const { raw, log, address } = await openServer(t)
  const canary = await raw()
  const broken: [string, Uint8Array | string, RegExp][] = [
    ['a giant length', Buffer.from([0x7f, 0xff, 0xff, 0xff]), /a frame of 2147483651 bytes is over the limit/],
    ['a negative length', Buffer.from([0xff, 0xff, 0xff, 0xff]), /a length of -1/],
    ['an unknown type', Buffer.from([0, 0, 0, 6, 9, 0, 0, 2, 0x7b, 0x7d]), /serialize type 9/],
    ['a broken header', Buffer.from([0, 0, 0, 5, 0, 0, 0, 1, 0x7b]), /the header is no JSON/],
    ['HTTP', 'GET / HTTP/1.1\r\n\r\n', /a frame of 1195725860 bytes is over the limit/],
    ['a TLS hello', Buffer.from('16030100c8010000c4', 'hex'), /TLS is not enabled here/],
    ['PROXY version 1', 'PROXY TCP4 10.0.0.1 10.0.0.2 5000 10911\r\n', /PROXY protocol is not enabled here/],
    ['PROXY version 2', Buffer.from('0d0a0d0a000d0a515549540a', 'hex'), /PROXY protocol is not enabled here/]
  ]
  for (const [what, bytes, reason] of broken) {
    log.lines.length = 0
    const peer = await raw()
    peer.write(bytes)
    await peer.closed
    t.equal(log.at('warn').length, 1, what)
    t.match(log.at('warn')[0], { text: 'closed a connection', details: { reason, remote: /^127\.0\.0\.1:\d+$/ } })
    t.match(await canary.ask(request(ECHO, { what })), { code: 0, extFields: { what } })
  }
  t.match(address, /:\d+$/)
})

t.test('requests in front of what is no frame are answered', async t => {
  const { raw } = await openServer(t)
  const peer = await raw()
  peer.write(Buffer.concat([encodeCommand({ ...request(ECHO), opaque: 1 }), Buffer.alloc(8, 0xff)]))
  t.equal((await peer.next()).opaque, 1)
  await peer.closed
})

t.test('a connection on which nothing comes is closed, and nobody looks while there is none', async t => {
  const { raw, server } = await openServer(t, { idleTimeoutMs: 60 })
  const idle = await raw()
  const half = await raw()
  half.write(Buffer.from([0, 0]))
  await Promise.all([idle.closed, half.closed])
  t.equal(server.connections.size, 0)
})

t.test('a slow reader is read no further, and gets all its answers once it reads', async t => {
  const highWaterMarkBytes = 1024 * 1024
  const { raw, server } = await openServer(t, { highWaterMarkBytes })
  const peer = await raw()
  peer.pause()
  const body = Buffer.alloc(64 * 1024, 'x')
  const count = 1000
  for (let opaque = 0; opaque < count; opaque++) peer.send({ ...request(ECHO, null, body), opaque })
  await until('the server has had enough', () => [...server.connections].some(connection => connection.saturated))
  const [connection] = server.connections
  const stalled = connection!.unsentBytes
  t.ok(stalled <= highWaterMarkBytes + 4 * body.length, `${stalled} bytes wait`)
  t.ok(peer.socket.writableLength > 0, 'the peer cannot send all it wants to')
  peer.resume()
  for (let opaque = 0; opaque < count; opaque++) {
    const answer = await peer.next()
    if (answer.opaque !== opaque || answer.body?.length !== body.length) t.fail(`answer ${opaque}`)
  }
  t.notOk(connection!.saturated)
})

t.test('small answers to a slow reader take no more memory than they have bytes', async t => {
  const highWaterMarkBytes = 1024 * 1024
  const { raw, server, dispatcher } = await openServer(t, { highWaterMarkBytes })
  const peers = await Promise.all([raw(), raw(), raw(), raw()])
  const body = Buffer.alloc(2000, 'x')
  let served = 0
  dispatcher.register(10, () => {
    served++
    return response(0, null, null, body)
  })
  for (const peer of peers) peer.pause()
  const ask = encodeCommand({ ...request(10), serializeType: 1 })
  const memory = () => process.memoryUsage().arrayBuffers
  const before = memory()
  // One request at a time, so that each answer would be a write of its own.
  const stalled = () => [...server.connections].filter(connection => connection.saturated).length === peers.length
  await until('all have had enough', async () => {
    for (let i = 0; i < 200; i++) {
      for (const peer of peers) if (peer.socket.writableLength === 0) peer.write(ask)
      await new Promise(setImmediate)
    }
    return stalled()
  })
  const used = memory() - before
  t.ok(served > 2000, `${served} answers`)
  t.ok(used < 4 * peers.length * highWaterMarkBytes, `${used} bytes for ${peers.length} slow readers`)
})

t.test('who waits for a slow peer is called when it has caught up, or is gone', async t => {
  const { raw, server } = await openServer(t, { highWaterMarkBytes: 100_000 })
  const peer = await raw()
  await peer.ask(request(ECHO))
  const [connection] = server.connections
  peer.pause()
  while (!connection!.saturated) connection!.writeBytes(Buffer.alloc(100_000, encodeCommand(response(0))))
  const drained: string[] = []
  connection!.onDrain(() => {
    throw new Error('a callback that fails disturbs nobody')
  })
  connection!.onDrain(() => drained.push('called'))
  connection!.drained().then(() => drained.push('resolved'))
  peer.socket.destroy()
  await until('the end is seen', () => drained.length > 0)
  t.same(drained, ['resolved'], 'a connection that is gone has no room')
})

t.test('a one-way request waits for a peer that does not read', async t => {
  const sockets: Socket[] = []
  const server = createServer({ pauseOnConnect: true }, socket => sockets.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = `127.0.0.1:${(server.address() as { port: number }).port}`
  const client = new RemotingClient({ highWaterMarkBytes: 1024 * 1024 })
  t.teardown(() => client.close())
  let sent = 0
  let ended = false
  const sending = (async () => {
    for (; sent < 5000; sent++) await client.invokeOneWay(address, request(1, null, Buffer.alloc(100_000)))
    ended = true
  })().catch(() => {})
  await until('it stops', async () => {
    const before = sent
    await new Promise(resolve => setTimeout(resolve, 50))
    return sent > 0 && sent === before
  })
  t.ok(client.openConnection(address)!.unsentBytes < 2 * 1024 * 1024)
  t.equal(ended, false)
  sockets[0]!.resume()
  await sending
  t.equal(ended, true)
})

t.test('answers of any size come whole and in order, on many connections at once', async t => {
  const { raw } = await openServer(t)
  const sizes = [0, 1, 100, 1000, 16_383, 16_384, 16_385, 40_000, 65_536, 70_000, 1_000_000]
  const bodyOf = (connection: number, i: number): Buffer =>
    Buffer.alloc(sizes[(connection * 7 + i * 3) % sizes.length]!, `${connection}:${i} `)
  const peers = await Promise.all(Array.from({ length: 20 }, raw))
  await Promise.all(
    peers.map(async (peer, n) => {
      for (let i = 0; i < 30; i++) peer.send({ ...request(ECHO, { n: `${n}` }, bodyOf(n, i)), opaque: i })
      for (let i = 0; i < 30; i++) {
        const { opaque, body } = await peer.next()
        if (opaque !== i || !bodyOf(n, i).equals(body ?? Buffer.alloc(0))) t.fail(`connection ${n}, answer ${i}`)
      }
    })
  )
  t.pass()
})

t.test('a connection that is closed takes writes without harm, and says so at once', async t => {
  const { raw, server, log } = await openServer(t)
  const peer = await raw()
  await peer.ask(request(ECHO))
  const [connection] = server.connections as Set<Connection>
  const calls: string[] = []
  connection!.onClose(() => {
    throw new Error('a callback that fails disturbs nobody')
  })
  connection!.onClose(() => calls.push('before'))
  connection!.close('for the test')
  connection!.close('again')
  connection!.onClose(() => calls.push('after'))
  t.same(calls, ['before', 'after'])
  t.equal(log.at('error').length, 1)
  connection!.reply(request(ECHO), response(0))
  connection!.send(response(0))
  connection!.writeBytes(Buffer.alloc(100_000))
  connection!.output(100).pos += 10
  connection!.invokeOneWay(request(1))
  await t.rejects(connection!.invoke(request(1), 1000), { code: 'CONNECTION_CLOSED', message: /for the test/ })
  await peer.closed
})

t.test('a peer that resets its connection harms nobody', async t => {
  const { raw, server } = await openServer(t)
  const canary = await raw()
  for (let i = 0; i < 20; i++) {
    const peer = await raw()
    for (let n = 0; n < 50; n++) peer.send(request(ECHO, null, Buffer.alloc(10_000)))
    peer.socket.resetAndDestroy()
  }
  t.match(await canary.ask(request(ECHO)), { code: 0 })
  await until('they are forgotten', () => server.connections.size === 1)
})

t.test('there is an end to what may wait for answers', async t => {
  const { client, address } = await openServer(t)
  const own = client()
  const connection = await own.connection(address)
  const ignore = () => {}
  for (let i = 0; i < 65_535; i++)
    connection.expect(connection.takeOpaque(), 60_000, { resolve: ignore, reject: ignore, deadline: 0, timeoutMs: 0 })
  await t.rejects(connection.invoke(request(ECHO), 60_000), {
    code: 'TOO_MANY_REQUESTS',
    message: `65535 requests to ${address} wait for an answer already`
  })
})

t.test('a request over the limit of a frame is refused before it is sent', async t => {
  const { client, address } = await openServer(t)
  const own = client({ maxFrameBytes: 1000 })
  await t.rejects(own.invoke(address, request(ECHO, null, Buffer.alloc(1000)), 1000), { code: 'FRAME_TOO_LARGE' })
  await t.rejects(own.invokeOneWay(address, request(ECHO, null, Buffer.alloc(1000))), { code: 'FRAME_TOO_LARGE' })
  t.match(await own.invoke(address, request(ECHO), TIMEOUT_MS), { code: 0 })
})

t.test('many calls of one client share one connection, opened once', async t => {
  const { client, server, address } = await openServer(t)
  const own = client()
  await Promise.all(Array.from({ length: 100 }, () => own.invoke(address, request(ECHO), TIMEOUT_MS)))
  t.equal(server.connections.size, 1)
  own.closeConnection(address)
  await until('it is closed', () => server.connections.size === 0)
})

t.test('a server that is not there is named with the reason', async t => {
  const { address } = await openServer(t)
  const { port } = parseAddress(address)
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const free = (server.address() as { port: number }).port
  server.close()
  await once(server, 'close')
  const client = new RemotingClient()
  for (const host of ['127.0.0.1', 'localhost'])
    await t.rejects(client.invoke(`${host}:${free}`, request(ECHO), 1000), {
      code: 'CONNECT_FAILED',
      message: new RegExp(`cannot connect to ${host}:${free}: .*ECONNREFUSED`)
    })
  await client.close()
  await t.rejects(client.invoke(`127.0.0.1:${port}`, request(ECHO), 1000), {
    code: 'CONNECT_FAILED',
    message: /the client is closed/
  })
})

t.test('addresses are read, with IPv6 in brackets, or refused', async t => {
  t.same(parseAddress('10.0.0.1:9876'), { host: '10.0.0.1', port: 9876 })
  t.same(parseAddress(' broker.example:1 '), { host: 'broker.example', port: 1 })
  t.same(parseAddress('[::1]:9876'), { host: '::1', port: 9876 })
  for (const address of ['', 'host', 'host:', ':9876', 'host:x', 'host:65536', 'host:123456'])
    t.throws(() => parseAddress(address), { code: 'ADDRESS_BAD', details: { address } })
})

t.test('a port that is taken, and a host that is not ours, stop the start by name', async t => {
  const { address } = await openServer(t)
  const { host, port } = parseAddress(address)
  const second = new RemotingServer(new RequestDispatcher())
  await t.rejects(second.listen(port, host), {
    code: 'ADDRESS_IN_USE',
    message: `another process listens on ${host}:${port}`
  })
  await second.close()
  const foreign = new RemotingServer(new RequestDispatcher())
  await t.rejects(foreign.listen(0, '192.0.2.1'), { code: 'LISTEN_FAILED', details: { host: '192.0.2.1' } })
})

t.test('a server that closes ends its connections and frees its port', async t => {
  const { server, raw, address, client } = await openServer(t)
  const peer = await raw()
  const own = client()
  const waiting = own.invoke(address, request(SILENCE), 60_000)
  const failed = t.rejects(waiting, { code: 'CONNECTION_CLOSED' })
  await peer.ask(request(ECHO))
  await server.close()
  await failed
  await peer.closed
  const { host, port } = parseAddress(address)
  const next = new RemotingServer(new RequestDispatcher())
  await next.listen(port, host)
  await next.close()
})
