import t from 'tap'
import { type MessageStore, messageOf, openStore, PutStatus, type StoreOptions } from '../../engine/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { type Crash, inStore, SimulatedFiles, STORE_DIR } from '../support/simulated-files.ts'
import { settle, TINY_STORE } from '../support/store-model.ts'

const LOG = inStore('commitlog', '0'.repeat(20))

/** A store whose log is one of a set, on a disk of its own. */
class Replica {
  readonly clock = new ManualClock()
  disk = new SimulatedFiles()
  store!: MessageStore
  private readonly options: Partial<StoreOptions>

  constructor(options: Partial<StoreOptions> = {}) {
    this.options = options
  }

  async open(): Promise<this> {
    const { disk: files, clock, options } = this
    this.store = await openStore(STORE_DIR, { ...TINY_STORE, ...options }, { files, clock, isReplicated: true })
    return this
  }

  async reopen(keeps: Crash['keeps'] | null): Promise<void> {
    if (keeps === null) await this.store.close()
    this.clock.clear()
    this.disk = this.disk.crash({ keeps: keeps ?? 'all' })
    await this.open()
  }

  /** Puts messages; returns where their records end. */
  async put(...bodies: string[]): Promise<number[]> {
    const ends: number[] = []
    for (const body of bodies) {
      void this.store.putMessage(messageOf({ topic: 'orders', body, bornTimestamp: 0 }))
      await settle()
      ends.push(this.store.maxPhysicalOffset)
    }
    return ends
  }

  /** How many messages consumers can see. */
  get seen(): number {
    return this.store.maxQueueOffset('orders', 0)
  }
}

for (const [stop, keeps] of [
  ['a stop', null],
  ['a kill', 'all']
] as const)
  t.test(`after ${stop}, consumers see no more than what replicas held before`, async t => {
    const replica = await new Replica().open()
    replica.store.replicated(0)
    const [first] = await replica.put('one', 'two', 'three')
    replica.store.replicated(first!)
    await settle()
    t.equal(replica.seen, 1)
    replica.clock.advance(20_000)
    await settle()

    await replica.reopen(keeps)
    t.equal(replica.seen, 1)
    t.equal(replica.store.confirmOffset, first)
    const [, end] = await replica.put('four', 'five')
    replica.store.replicated(end!)
    await settle()
    t.equal(replica.seen, 5, 'the next messages lie behind those that were held back')
    await replica.store.close()
  })

t.test('before the first checkpoint nothing counts as held by replicas', async t => {
  const replica = await new Replica({ flushDiskType: 'SYNC_FLUSH' }).open()
  replica.store.replicated(0)
  await replica.put('one')
  await replica.reopen('all')
  t.equal(replica.seen, 0)
  t.equal(replica.store.confirmOffset, 0)
  // A power cut may leave the checkpoint's name, and none of its content.
  replica.disk.setContent(inStore('checkpoint'), Buffer.alloc(4096))
  await replica.reopen('all')
  t.equal(replica.seen, 0)
  await replica.store.close()
})

t.test('a checkpoint of which a power cut left parts of two calls confirmed what both do', async t => {
  const replica = await new Replica().open()
  replica.store.replicated(0)
  const [first, second] = await replica.put('one', 'two', 'three')
  const path = inStore('checkpoint')
  const saved: Buffer[] = []
  for (const offset of [first!, second!]) {
    replica.store.replicated(offset)
    await settle()
    replica.clock.advance(20_000)
    for (let i = 0; i < 5; i++) await settle()
    saved.push(Buffer.from(replica.disk.contentOf(path)))
  }
  replica.disk.setContent(path, Buffer.concat([saved[1]!.subarray(0, 512), saved[0]!.subarray(512)]))
  await replica.reopen('all')
  t.equal(replica.seen, 1)
  t.equal(replica.store.confirmOffset, first)
  await replica.store.close()
})

t.test('what a power cut tore is cut off, with what lies behind: the other logs of the set have it whole', async t => {
  const replica = await new Replica().open()
  replica.store.replicated(0)
  const [first, second] = await replica.put('one', 'two', 'three')
  const torn = Buffer.from(replica.disk.contentOf(LOG))
  torn.fill(0, first, second)
  replica.disk.setContent(LOG, torn)
  await replica.reopen('all')
  t.equal(replica.store.maxPhysicalOffset, first)
  t.same(replica.store.damaged, [])
  await replica.store.close()
})

t.test('a record whose topic ends in zeros is torn', async t => {
  const replica = await new Replica().open()
  const [first, second] = await replica.put('one', 'two')
  const torn = Buffer.from(replica.disk.contentOf(LOG))
  // The topic's end, and the length of the properties, of which there are none.
  torn.fill(0, second! - 4, second)
  replica.disk.setContent(LOG, torn)
  await replica.reopen('all')
  t.equal(replica.store.maxPhysicalOffset, first)
  await replica.store.close()
})

t.test('whoever may not acknowledge leaves puts waiting when their flush comes late', async t => {
  const { store, clock } = await new Replica({ flushDiskType: 'SYNC_FLUSH' }).open()
  store.replicated(Number.POSITIVE_INFINITY)
  store.mayAcknowledge = () => false
  let status: number | null = null
  void store.putMessage(messageOf({ topic: 'orders', body: 'one' })).then(result => {
    status = result.status
  })
  await settle()
  t.equal(store.flushedOffset, store.maxPhysicalOffset)
  t.equal(status, null)
  clock.advance(10_000)
  await settle()
  t.equal(status, PutStatus.FLUSH_DISK_TIMEOUT)
  await store.close()
})
