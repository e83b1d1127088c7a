// A NameServer as a process of its own, for bench/namesrv.ts: tells its address, and its memory whenever it is asked.
import { NameServer } from '../namesrv/index.ts'

const server = new NameServer({ listenPort: 0 })
process.on('disconnect', () => process.exit(0))
process.on('message', () => {
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  process.send!({ rss, heapUsed })
})
await server.start()
process.send!({ address: server.address })
