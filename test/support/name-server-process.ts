// A NameServer as a process of its own: `node name-server-process.js`. Tells its parent its address, ends with it.
import { NameServer } from '../../namesrv/index.ts'

const server = new NameServer({ listenPort: 0 })
process.on('disconnect', () => process.exit(1))
await server.start()
process.send?.({ address: server.address })
