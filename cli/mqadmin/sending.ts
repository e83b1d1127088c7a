import { type Message, type MessageQueue, Producer, type SendResult } from '../../client/index.ts'
import { timeText } from '../format.ts'
import type { Context, Run } from './command.ts'
import { queueText, sleep } from './shared.ts'

const ROW = '%-32s  %-4s  %-20s    %s%n'

/** Runs with a producer that is closed afterwards. */
async function withProducer<T>(
  { namesrvAddr }: Context,
  group: string,
  run: (producer: Producer) => Promise<T>
): Promise<T> {
  const producer = new Producer({ group, namesrvAddr })
  await producer.start()
  try {
    return await run(producer)
  } finally {
    await producer.close()
  }
}

/** SendResult#toString */
const resultText = ({
  status,
  messageId,
  offsetMessageId,
  queue,
  queueOffset,
  recallHandle = ''
}: SendResult): string =>
  `SendResult [sendStatus=${status}, msgId=${messageId}, offsetMsgId=${offsetMessageId}, messageQueue=${queueText(queue)}, ` +
  `queueOffset=${queueOffset}, recallHandle=${recallHandle || null}]`

/** Sends a message again, to its own topic; returns what became of it, as a text. QueryMsgByIdSubCommand#sendMsg */
export const resend = (context: Context, { topic, body, properties }: Message): Promise<string> =>
  withProducer(context, 'ReSendMsgById', async producer =>
    resultText(await producer.sendRaw({ topic, body, properties: new Map(properties) }))
  )

/** SendMessageCommand */
async function sendMessage(context: Context): Promise<void> {
  const { given, print } = context
  const topic = given.text('t')
  const brokerName = given.get('b')
  if (given.has('i') && brokerName === undefined) {
    print('Broker name must be set if the queue is chosen!')
    return
  }
  const queueId = given.int('i', -1)
  const queue: MessageQueue | null = brokerName !== undefined && queueId >= 0 ? { topic, brokerName, queueId } : null
  const message = { topic, body: given.text('p'), keys: given.get('k'), tags: given.get('c') }
  const {
    queue: sentTo,
    status,
    messageId
  } = await withProducer(context, String(Date.now()), producer =>
    producer.send(message, queue === null ? {} : { queue })
  )
  print(ROW, '#Broker Name', '#QID', '#Send Result', '#MsgId')
  print(ROW, sentTo.brokerName, sentTo.queueId, status, messageId)
}

const STATUS_TEXT = 'hello jodie'

/** SendMsgStatusCommand */
async function sendMsgStatus(context: Context): Promise<void> {
  const { given, print } = context
  const topic = given.text('b')
  const bodyOf = (size: number) => STATUS_TEXT.repeat(Math.ceil(size / STATUS_TEXT.length))
  const body = bodyOf(given.int('s', 128))
  const count = given.int('c', 50)
  await withProducer(context, 'PID_SMSC', async producer => {
    await producer.send({ topic, body: bodyOf(16) })
    for (let i = 0; i < count; i++) {
      const begin = Date.now()
      const result = await producer.send({ topic, body })
      print('rt=%sms, SendResult=%s%n', Date.now() - begin, resultText(result))
    }
  })
}

/** How long a call took, and whether it succeeded. */
async function timed(call: () => Promise<unknown>): Promise<{ ms: number; ok: boolean }> {
  const begin = Date.now()
  const ok = await call().then(
    () => true,
    () => false
  )
  return { ms: Date.now() - begin, ok }
}

/** The mean without the first, which pays for the connection. */
const mean = (all: readonly { ms: number }[]): number =>
  all.slice(1).reduce((sum, { ms }) => sum + ms, 0) / (all.length - 1)

/** CheckMsgSendRTCommand */
async function checkMsgSendRT(context: Context): Promise<void> {
  const { given, print } = context
  const topic = given.text('t')
  const body = 'a'.repeat(given.int('s', 128))
  const count = given.int('a', 100)
  print(ROW, '#Broker Name', '#QID', '#Send Result', '#RT')
  const all: { ms: number; ok: boolean }[] = []
  await withProducer(context, String(Date.now()), async producer => {
    let chosen: MessageQueue | null = null
    for (let i = 0; i < count; i++) {
      const selector = (queues: readonly MessageQueue[]) => (chosen = queues[i % queues.length]!)
      const result = await timed(() => producer.send({ topic, body }, { selector }))
      all.push(result)
      print(
        ROW,
        (chosen as MessageQueue | null)?.brokerName,
        (chosen as MessageQueue | null)?.queueId,
        result.ok,
        result.ms
      )
    }
  })
  print('Avg RT: %.2f%n', mean(all))
}

const CHINA_MS = 8 * 3600 * 1000

/** CLusterSendMsgRTCommand */
async function clusterRT(context: Context): Promise<void> {
  const { given, admin, print } = context
  const count = given.int('a', 100)
  const body = 'a'.repeat(given.int('s', 128))
  const lines = given.bool('p')
  const room = given.get('m') ?? 'noname'
  const wanted = given.get('c')
  if (!lines)
    print('%-24s  %-24s  %-4s  %-8s  %-8s%n', '#Cluster Name', '#Broker Name', '#RT', '#successCount', '#failCount')
  await withProducer(context, String(Date.now()), async producer => {
    for (;;) {
      const { clusterAddrTable } = await admin.clusterInfo()
      for (const cluster of wanted === undefined ? Object.keys(clusterAddrTable) : [wanted]) {
        const names = clusterAddrTable[cluster]
        if (names === undefined) print('cluster [%s] not exist', cluster)
        for (const name of names ?? []) {
          const all: { ms: number; ok: boolean }[] = []
          for (let i = 0; i < count; i++) all.push(await timed(() => producer.send({ topic: name, body })))
          const sent = all.filter(({ ok }) => ok).length
          if (lines) {
            const time = timeText(Date.now() + CHINA_MS + new Date().getTimezoneOffset() * 60_000)
            print('%s|%s|%s|%s|%s%n', time, room, cluster, name, Math.round(mean(all)))
          } else
            print('%-24s  %-24s  %-8s  %-16s  %-16s%n', cluster, name, mean(all).toFixed(2), sent, all.length - sent)
        }
      }
      await sleep(given.int('i', 10) * 1000)
    }
  })
}

export const commands: Record<string, Run> = { sendMessage, sendMsgStatus, checkMsgSendRT, clusterRT }
