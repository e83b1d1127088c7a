// A NameServer as a process of its own, for bench/namesrv.ts: tells its address, and what it has used whenever it is asked.
import { NameServer } from '../namesrv/index.ts'

const server = new NameServer({ listenPort: 0 })
process.on('disconnect', () => process.exit(0))
process.on('message', question => {
  if (question === 'memory') globalThis.gc?.()
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  process.send!({ memory: { rss, heapUsed, arrayBuffers }, cpuMs: (user + system) / 1000 })
})
await server.start()
process.send!({ address: server.address })
