import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { createUniqueKey, decodeOffsetMessageId, hostOf, offsetMessageId, readHost } from '../../message/index.ts'
import { vectors } from '../support/vectors.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Offsets are numbers here, exact to 2^53: 8 PiB of log. */
const exact = vectors.offsetMsgId.filter(({ offset }) => Number.isSafeInteger(Number(offset)))

t.test('offset message ids are those of RocketMQ, for IPv4 and IPv6', async t => {
  t.ok(exact.some(({ host }) => host.includes(':')))
  for (const { host, port, offset, offsetMsgId } of exact)
    t.equal(offsetMessageId(hostOf(host, port), Number(offset)), offsetMsgId)
})

t.test('an offset message id gives its parts back', async t => {
  for (const { host, port, offset, offsetMsgId } of exact) {
    const { host: read, physicalOffset } = decodeOffsetMessageId(offsetMsgId)
    t.equal(hex(read.bytes), hex(hostOf(host, port).bytes))
    t.equal(read.port, port)
    t.equal(physicalOffset, Number(offset))
    t.strictSame(decodeOffsetMessageId(offsetMsgId.toLowerCase()).physicalOffset, Number(offset))
  }
})

t.test('what is no offset message id is refused by its name', async t => {
  for (const id of ['', 'abc', 'G'.repeat(32), '0'.repeat(31), '0'.repeat(33), '0'.repeat(55), `${'0'.repeat(32)}\n`])
    t.throws(() => decodeOffsetMessageId(id), { code: 'BAD_MESSAGE_ID', details: { id } })
})

/** The parts of a unique key. MessageClientIDSetter */
function parts(key: string) {
  const bytes = Buffer.from(key, 'hex')
  const ipBytes = bytes.length - 12
  return {
    ip: bytes.subarray(0, ipBytes),
    pid: bytes.readUInt16BE(ipBytes),
    process: bytes.readUInt32BE(ipBytes + 2),
    msOfMonth: bytes.readUInt32BE(ipBytes + 6),
    counter: bytes.readUInt16BE(ipBytes + 10)
  }
}

t.test('a unique key has the parts that those of RocketMQ have', async t => {
  // The vectors show the layout that `parts` reads.
  for (const { uniqKey, ip, pid } of vectors.uniqKey) {
    const host = hostOf(ip, 0).bytes
    t.equal(hex(parts(uniqKey).ip), hex(host.subarray(0, host.length - 4)))
    t.equal(parts(uniqKey).pid, pid)
  }
  const now = new Date(2026, 1, 3, 4, 5, 6, 7)
  const own = createUniqueKey(now.getTime())
  t.match(own, /^[0-9A-F]{32}$/)
  t.equal(parts(own).pid, process.pid & 0xffff)
  t.equal(parts(own).msOfMonth, now.getTime() - new Date(2026, 1, 1).getTime())
})

t.test('unique keys count on, across a month too', async t => {
  const end = new Date(2026, 2, 1).getTime()
  const last = parts(createUniqueKey(end - 1))
  const first = parts(createUniqueKey(end))
  t.equal(first.counter, (last.counter + 1) & 0xffff)
  t.equal(first.process, last.process)
  t.equal(first.msOfMonth, 0)
  const keys = new Set(Array.from({ length: 65536 }, () => createUniqueKey(end)))
  t.equal(keys.size, 65536)
})

t.test('hosts give the bytes that they are read from, in every way of writing an address', async t => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65535), (address, port) => {
      const host = hostOf(address, port)
      const read = readHost(Buffer.concat([Buffer.from('xx'), host.bytes]), 2, host.v6)
      assert.equal(hex(read.bytes), hex(host.bytes))
      assert.equal(hex(hostOf(read.address, read.port).bytes), hex(host.bytes))
    }),
    { numRuns: 300 }
  )
  t.equal(hostOf('::1', 9).text, '[::1]:9')
  t.equal(hostOf('10.1.2.3', 9).text, '10.1.2.3:9')
})

t.test('an IPv4 address in IPv6 clothes is IPv4, and a zone is left out', async t => {
  t.strictSame(hostOf('::ffff:10.0.0.7', 1).bytes, hostOf('10.0.0.7', 1).bytes)
  t.strictSame(hostOf('fe80::1%eth0', 1).bytes, hostOf('fe80::1', 1).bytes)
})

t.test('what is no address is refused by its name', async t => {
  for (const address of ['', 'localhost', '10.0.0', '1.2.3.4.5', ':::', '12345::'])
    t.throws(() => hostOf(address, 1), { code: 'BAD_HOST', details: { address } })
})
