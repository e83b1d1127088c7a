import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type MessageStore, messageOf, openStore, type PutMessage, PutStatus } from '../../engine/index.ts'
import {
  decodeRecord,
  encodeBatch,
  hostOf,
  RecordCursor,
  viewOf,
  writePropertyCrc,
  writeRecord
} from '../../message/index.ts'
import { SMALL_STORE, temporaryDirectory } from '../support/broker.ts'

/** The separators are control characters, which no pattern may name. */
const TAIL = /__CRC32#.\d{10}.$/s

const message = (properties: string, body: Uint8Array = Buffer.from('Hello')): PutMessage => {
  const bytes = Buffer.from(properties)
  const plain = messageOf({ topic: 'TopicTest', body, bornTimestamp: 1_700_000_000_000 })
  return { ...plain, properties: bytes, propertiesEnd: bytes.length }
}

async function open(t: Test, dir: string, enabledAppendPropCrc: boolean): Promise<MessageStore> {
  const store = await openStore(dir, { ...SMALL_STORE, enabledAppendPropCrc })
  t.teardown(() => store.close())
  return store
}

/** What a record's properties are, as they stand there. */
async function propertiesAt(store: MessageStore, physicalOffset: number): Promise<string | null> {
  const bytes = await store.readByPhysicalOffset(physicalOffset)
  if (bytes === null) return null
  const cursor = new RecordCursor()
  cursor.at(viewOf(bytes), bytes, 0, bytes.length)
  return cursor.propertiesText
}

t.test('the checksum of a record is that of RocketMQ', async t => {
  const properties = Buffer.concat([Buffer.from('KEYS\u0001K1\u0002'), Buffer.alloc(20)])
  const bytes = Buffer.alloc(133)
  const size = writeRecord(viewOf(bytes), bytes, 0, {
    queueId: 3,
    flag: 0,
    queueOffset: 0,
    physicalOffset: 0,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_000,
    bornHost: hostOf('192.168.1.10', 54_321),
    storeTimestamp: 1_700_000_000_123,
    storeHost: hostOf('192.168.1.20', 10_911),
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from('Hello'),
    bodyStart: 0,
    bodyEnd: 5,
    topic: Buffer.from('TopicTest'),
    properties,
    propertiesStart: 0,
    propertiesEnd: properties.length
  })
  t.equal(size, 133)
  writePropertyCrc(bytes, 0, size)
  t.equal(bytes.subarray(113).toString('hex'), '5f5f43524333322301' + '32333531393437393031' + '02')
  t.equal(decodeRecord(bytes).properties.get('__CRC32#'), '2351947901')
})

t.test('with the option, every record ends with its checksum, whatever a client sent', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir, true)
  const offsets: number[] = []
  for (const properties of ['', 'A\u0001b', 'A\u0001b\u0002', 'A\u0001b\u0002__CRC32#\u00011234567890\u0002']) {
    const { status, physicalOffset } = await store.putMessage(message(properties))
    t.equal(status, PutStatus.OK)
    offsets.push(physicalOffset)
  }
  const batch = encodeBatch([
    { flag: 0, body: Buffer.from('x'), properties: '' },
    { flag: 0, body: Buffer.from('y'), properties: 'A\u0001b' }
  ])
  store.putBatch(message('', batch), { onPut: () => {} }, offsets)
  await store.flush()
  t.equal(offsets.length, 6)
  for (const _ of ['now', 'after a restart, without the option']) {
    for (const [i, offset] of offsets.entries()) {
      const text = (await propertiesAt(store, offset))!
      t.match(text, TAIL)
      t.equal(text.replace(TAIL, ''), i === 0 || i === 4 ? '' : 'A\u0001b\u0002')
    }
    await store.close()
    store = await open(t, dir, false)
  }
})

t.test('what a client calls a checksum never makes its message unreadable', async t => {
  const store = await open(t, temporaryDirectory(t), false)
  const { physicalOffset } = await store.putMessage(message('A\u0001b\u0002__CRC32#\u00011234567890\u0002'))
  t.equal(await propertiesAt(store, physicalOffset), 'A\u0001b\u0002')
  const batch = encodeBatch([{ flag: 0, body: Buffer.from('x'), properties: '__CRC32#\u00011234567890\u0002' }])
  let status = -1
  store.putBatch(
    message('', batch),
    {
      onPut: given => {
        status = given
      }
    },
    []
  )
  t.equal(status, PutStatus.MESSAGE_ILLEGAL)
})

t.test('a flipped bit anywhere in a record is found where the checksum covers it', async t => {
  const dir = temporaryDirectory(t)
  let store = await open(t, dir, true)
  const places: number[] = []
  for (let i = 0; i < 3; i++) places.push((await store.putMessage(message('KEYS\u0001K1\u0002'))).physicalOffset)
  await store.close()
  // The topic's name: the body's checksum does not know of it.
  const fd = openSync(join(dir, 'commitlog', '0'.repeat(20)), 'r+')
  writeSync(fd, Buffer.from('S'), 0, 1, places[1]! + 88 + 5 + 1)
  closeSync(fd)
  store = await open(t, dir, false)
  t.equal(await propertiesAt(store, places[1]!), null)
  t.not(await propertiesAt(store, places[0]!), null)
  t.not(await propertiesAt(store, places[2]!), null)
})
