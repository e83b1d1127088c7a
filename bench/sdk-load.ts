import { Producer, PullConsumer } from '../client/index.ts'
import type { SerializeType } from '../net/index.ts'
import { type Load, Recorder } from './recorder.ts'

export interface SdkLoadOptions {
  namesrvAddr: string
  topic: string
  serializeType: SerializeType
}

/** Sends through a producer, `inFlight` at a time. */
export async function startSdkSendLoad(
  options: SdkLoadOptions & { inFlight: number; bodyBytes: number }
): Promise<Load> {
  const { namesrvAddr, topic, serializeType, inFlight, bodyBytes } = options
  const producer = new Producer({ group: 'skylark-bench', namesrvAddr, serializeType })
  await producer.start()
  const recorder = new Recorder()
  const body = Buffer.alloc(bodyBytes, 'x')
  let stopping = false
  const one = async () => {
    while (!stopping) {
      const began = performance.now()
      try {
        await producer.send({ topic, body, tags: 'TagA' })
        recorder.answered(performance.now() - began, 1, bodyBytes)
      } catch (error) {
        recorder.failed((error as Error).message)
      }
    }
  }
  const running = Array.from({ length: inFlight }, one)
  return {
    recorder,
    async stop() {
      stopping = true
      await Promise.all(running)
      await producer.close()
    }
  }
}

/** Reads all queues from their beginning through a pull consumer, again and again. */
export async function startSdkPullLoad(options: SdkLoadOptions & { messages: number; batch: number }): Promise<Load> {
  const { namesrvAddr, topic, serializeType, messages, batch } = options
  const consumer = new PullConsumer({
    ...{ group: `skylark-bench-${process.pid}`, namesrvAddr, serializeType, autoCommit: false },
    pullBatchSize: batch
  })
  await consumer.start()
  const queues = await consumer.fetchQueues(topic)
  await consumer.assign(queues)
  const rewind = () => Promise.all(queues.map(queue => consumer.seekToBegin(queue)))
  await rewind()
  const recorder = new Recorder()
  let stopping = false
  const reading = (async () => {
    let read = 0
    while (!stopping) {
      const began = performance.now()
      const polled = await consumer.poll(100)
      const bytes = polled.reduce((sum, { body }) => sum + body.length, 0)
      if (polled.length > 0) recorder.answered(performance.now() - began, polled.length, bytes)
      read += polled.length
      if (read < messages) continue
      read = 0
      await rewind()
    }
  })()
  return {
    recorder,
    async stop() {
      stopping = true
      await reading
      await consumer.close()
    }
  }
}
