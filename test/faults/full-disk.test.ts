import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { decodeRecords } from '../../message/index.ts'
import { RemotingClient, RequestCode, ResponseCode, request } from '../../net/index.ts'
import { until } from '../support/broker.ts'
import { pullFields, sendFields } from '../support/messages.ts'
import { startBrokerProcess } from '../support/processes.ts'
import { mountSmallDisk } from '../support/small-disk.ts'

const DISK_MIB = 32
const FILLER_MIB = 8

for (const kind of ['ext4', 'tmpfs'] as const)
  for (const flushDiskType of ['ASYNC_FLUSH', 'SYNC_FLUSH'] as const)
    t.test(`a full ${kind} disk refuses sends, serves reads, and loses nothing (${flushDiskType})`, async t => {
      const disk = mountSmallDisk(t, kind, DISK_MIB)
      if (disk === null) {
        if (process.env.CI) t.fail('CI has to be able to mount a disk')
        t.skip('this user may not mount a disk', () => {})
        return
      }
      const filler = join(disk, 'filler')
      writeFileSync(filler, Buffer.alloc(FILLER_MIB * 1024 * 1024, 1))
      const options = { storePathRootDir: join(disk, 'store'), store: { flushDiskType } }
      const broker = await startBrokerProcess(t, options)
      const client = new RemotingClient()
      t.teardown(() => client.close())
      const acknowledged: string[] = []
      let sent = 0
      const send = async () => {
        const body = `${sent++} `.repeat(2000)
        const command = request(
          RequestCode.SEND_MESSAGE_V2,
          sendFields({ topic: 'orders', properties: { KEYS: body.slice(0, 9) } }),
          body
        )
        const answer = await client.invoke(broker.address, command, 60_000)
        if (answer.code === ResponseCode.SUCCESS) acknowledged[Number(answer.extFields!.queueOffset)] = body
        return answer
      }
      const sendUntil = async (code: number) => {
        for (;;) {
          const answers = await Promise.all(Array.from({ length: 20 }, send))
          const found = answers.find(answer => answer.code === code)
          if (found !== undefined) return found
        }
      }
      const readAll = async (address: string) => {
        const bodies: string[] = []
        for (;;) {
          const fields = pullFields({ topic: 'orders', offset: bodies.length })
          const answer = await client.invoke(address, request(RequestCode.PULL_MESSAGE, fields), 60_000)
          if (answer.code !== ResponseCode.SUCCESS) return bodies
          bodies.push(...decodeRecords(answer.body!).map(({ body }) => Buffer.from(body).toString()))
        }
      }
      /** Queue offset of the first acknowledged message that cannot be read, -1 when all can. */
      const firstLost = async (address: string) => {
        const bodies = await readAll(address)
        return acknowledged.findIndex((body, offset) => bodies[offset] !== body)
      }
      await send()

      const refused = await sendUntil(ResponseCode.SERVICE_NOT_AVAILABLE)
      t.match(refused.remark, /disk is full/)
      const whenFull = acknowledged.length
      t.ok(whenFull > 100, `${whenFull} messages fitted`)

      rmSync(filler)
      await until('sends are taken again', async () => (await send()).code === ResponseCode.SUCCESS)
      await sendUntil(ResponseCode.SUCCESS)
      await until('all can be read', async () => (await readAll(broker.address)).length === acknowledged.length)
      t.equal(await firstLost(broker.address), -1)

      await sendUntil(ResponseCode.SERVICE_NOT_AVAILABLE)
      await broker.kill()
      // A restart needs a little room for its own files.
      const again = await startBrokerProcess(t, options)
      t.equal(await firstLost(again.address), -1, 'a kill with a full disk loses nothing either')
      await again.stop()
    })
