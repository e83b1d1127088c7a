// A consumer that reads a topic from its start until it is told to stop: node cold-consumer.js ADDRESS TOPIC QUEUES
import { BINARY_HEADER } from '../net/index.ts'
import { startPullLoad } from './load.ts'

const [address, topic, queues] = process.argv.slice(2) as [string, string, string]
const queueCount = Number(queues)
const load = await startPullLoad({
  ...{ address, topic, queueCount, serializeType: BINARY_HEADER },
  // As RocketMQ's consumers do: one pull of each queue.
  ...{ inFlight: queueCount, batch: 32 }
})
load.recorder.measuring = true
process.once('message', async () => {
  const { messages } = load.recorder
  await load.stop()
  process.send?.(messages, () => process.disconnect())
})
process.send?.('started')
