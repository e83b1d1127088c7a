import { createHash } from 'node:crypto'
import type { MessageQueue } from './message.ts'

/**
 * Which of a topic's queues a client takes. All members of a group run the same rule over the same sorted lists, so that
 * they share the queues without talking to each other. AllocateMessageQueueStrategy
 */
export interface AllocateStrategy {
  /** The name that Java gives it; shown in the running info. */
  readonly name: string
  /** `queues` and `clientIds` are sorted; a client that is not among them gets nothing. */
  allocate(clientId: string, queues: readonly MessageQueue[], clientIds: readonly string[]): MessageQueue[]
}

/** A strategy that needs to know only which of how many it is. */
function byIndex(
  name: string,
  pick: (index: number, queues: readonly MessageQueue[], clients: number) => MessageQueue[]
): AllocateStrategy {
  return {
    name,
    allocate(clientId, queues, clientIds) {
      const index = clientIds.indexOf(clientId)
      return index < 0 ? [] : pick(index, queues, clientIds.length)
    }
  }
}

/** Each client takes a run of neighbours, the first ones one more. AllocateMessageQueueAveragely; the default. */
export const averagely = byIndex('AVG', (index, queues, clients) => {
  const rest = queues.length % clients
  const share = Math.floor(queues.length / clients)
  const start = index * share + Math.min(index, rest)
  return queues.slice(start, start + share + (index < rest ? 1 : 0))
})

/** Queues are dealt out like cards. AllocateMessageQueueAveragelyByCircle */
export const averagelyByCircle = byIndex('AVG_BY_CIRCLE', (index, queues, clients) =>
  queues.filter((_, i) => i % clients === index)
)

/** Always these queues, whoever else there is. AllocateMessageQueueByConfig */
export function byConfig(queues: readonly MessageQueue[]): AllocateStrategy {
  return { name: 'CONFIG', allocate: () => [...queues] }
}

/** Only queues of brokers named `room@…`, shared among all clients. AllocateMessageQueueByMachineRoom */
export function byMachineRoom(rooms: readonly string[]): AllocateStrategy {
  return byIndex('MACHINE_ROOM', (index, queues, clients) => {
    const near = queues.filter(({ brokerName }) => {
      const parts = brokerName.split('@')
      return parts.length === 2 && rooms.includes(parts[0]!)
    })
    const share = Math.floor(near.length / clients)
    const own = near.slice(index * share, (index + 1) * share)
    if (index < near.length % clients) own.push(near[index + share * clients]!)
    return own
  })
}

/** `key` placed on the ring of hashes. ConsistentHashRouter.MD5Hash: the first four bytes of MD5, big-endian */
const ringPosition = (key: string): number => createHash('md5').update(key).digest().readUInt32BE(0)

/** A joining or leaving client moves few queues. AllocateMessageQueueConsistentHash; `nodes` virtual ones per client. */
export function consistentHash(nodes = 10): AllocateStrategy {
  return {
    name: 'CONSISTENT_HASH',
    allocate(clientId, queues, clientIds) {
      if (!clientIds.includes(clientId)) return []
      const ring = clientIds
        .flatMap(id => Array.from({ length: nodes }, (_, i) => ({ id, at: ringPosition(`${id}-${i}`) })))
        .sort((a, b) => a.at - b.at)
      const ownerOf = ({ topic, brokerName, queueId }: MessageQueue): string => {
        const at = ringPosition(`MessageQueue [topic=${topic}, brokerName=${brokerName}, queueId=${queueId}]`)
        return (ring.find(node => node.at >= at) ?? ring[0]!).id
      }
      return queues.filter(queue => ownerOf(queue) === clientId)
    }
  }
}
