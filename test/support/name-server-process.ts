// A NameServer as a process of its own: `node name-server-process.js [HOST [PORT]]`. Tells its parent its address, ends with it.
import { NameServer } from '../../namesrv/index.ts'

const [host = '127.0.0.1', port = '0'] = process.argv.slice(2)
const server = new NameServer({ listenHost: host, listenPort: Number(port) })
process.on('disconnect', () => process.exit(1))
await server.start()
process.send?.({ address: server.address })
