// A broker as a process of its own: `node broker-process.js OPTIONS_AS_JSON`. Prints its address, ends in order on SIGTERM.
import { Broker } from '../../broker/index.ts'

const broker = new Broker(JSON.parse(process.argv[2]!))
process.on(
  'SIGTERM',
  () =>
    void broker
      .handOver()
      .then(() => broker.close())
      .then(() => process.exit(0))
)
// The test that started it may be gone.
process.on('disconnect', () => process.exit(1))
await broker.start()
process.send?.({ address: broker.address })
