// A broker to be measured, as a process of its own: `node broker-process.js OPTIONS_AS_JSON`.

import { Broker } from '../broker/index.ts'
import { serveUsage } from './usage.ts'

const broker = new Broker(JSON.parse(process.argv[2]!))
process.on('SIGTERM', () => void broker.close().then(() => process.exit(0)))
await broker.start()
serveUsage(broker.address)
