import { javaHashCode } from '../message/index.ts'
import type { MessageQueue, OutgoingMessage } from './message.ts'

/** Chooses a queue for a message out of those that its topic can be sent to. MessageQueueSelector */
export type MessageQueueSelector<A = unknown> = (
  queues: readonly MessageQueue[],
  message: OutgoingMessage,
  arg: A
) => MessageQueue

/** The same queue for the same key, as long as the topic keeps its queues. SelectMessageQueueByHash */
export const selectByHash: MessageQueueSelector<string | number> = (queues, _message, key) =>
  queues[Math.abs((typeof key === 'number' ? key | 0 : javaHashCode(key)) % queues.length)]!

/** Any queue. SelectMessageQueueByRandom */
export const selectByRandom: MessageQueueSelector = queues => queues[Math.floor(Math.random() * queues.length)]!
