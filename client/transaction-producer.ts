import {
  decodeOffsetMessageId,
  NAME_VALUE_SEPARATOR,
  PROPERTY_SEPARATOR,
  PropertyName,
  SysFlag
} from '../message/index.ts'
import { type ExtFields, RequestCode, request } from '../net/index.ts'
import type { ClientInstance, TransactionCheck } from './client-instance.ts'
import type { Message, OutgoingMessage } from './message.ts'
import { withNamespace, withoutNamespace } from './namespace.ts'
import { Producer, type ProducerOptions } from './producer.ts'
import type { SendResult } from './sending.ts'

/** How a local transaction went; UNKNOWN lets the broker ask again later. LocalTransactionState */
export type TransactionState = 'COMMIT' | 'ROLLBACK' | 'UNKNOWN'

/** The application's part of a transaction. An error that it throws counts as UNKNOWN. TransactionListener */
export interface TransactionListener<A = unknown> {
  /** Does the local transaction; the message is stored and not yet seen by consumers. `transactionId` is its messageId. */
  execute(message: OutgoingMessage, arg: A, transactionId: string): TransactionState | Promise<TransactionState>
  /** Says how an earlier local transaction went, perhaps one of another member of the group. */
  check(message: Message): TransactionState | Promise<TransactionState>
}

/** What became of a message and of its local transaction. TransactionSendResult */
export interface TransactionSendResult extends SendResult {
  transactionState: TransactionState
}

const COMMIT_OR_ROLLBACK: Readonly<Record<TransactionState, number>> = {
  COMMIT: SysFlag.COMMIT,
  ROLLBACK: SysFlag.ROLLBACK,
  UNKNOWN: 0
}

/** Sends messages that consumers see only once a local transaction has gone well. TransactionMQProducer */
export class TransactionProducer<A = unknown> extends Producer {
  private readonly listener: TransactionListener<A>
  private readonly halfProperties: string

  /** Throws as Producer's. */
  constructor(
    { listener, ...given }: Partial<ProducerOptions> & { group: string; listener: TransactionListener<A> },
    instance?: ClientInstance
  ) {
    super(given, instance)
    this.listener = listener
    const property = (name: string, value: string) => name + NAME_VALUE_SEPARATOR + value + PROPERTY_SEPARATOR
    this.halfProperties = property(PropertyName.TRAN_MSG, 'true') + property(PropertyName.PGROUP, this.member.group)
    this.member.onTransactionCheck = check => void this.answerCheck(check)
  }

  /**
   * Stores the message unseen, does the local transaction, and lets the message be seen or drops it. A delay of the
   * message is left out. Throws as `send`. DefaultMQProducerImpl#sendMessageInTransaction
   */
  async sendInTransaction(message: OutgoingMessage, arg: A): Promise<TransactionSendResult> {
    const now: OutgoingMessage = { ...message, delayLevel: undefined, delayMs: undefined, deliverAt: undefined }
    const result = await new Promise<SendResult>((resolve, reject) => {
      const done = resolve as (result: SendResult | null) => void
      this.begin(now, {}, false, done, reject, this.halfProperties, SysFlag.PREPARED)
    })
    // Stored less safely than the broker promises, it may yet be lost: then there is nothing to commit.
    const [transactionState, remark] =
      result.status === 'SEND_OK'
        ? await decide(() => this.listener.execute(message, arg, result.messageId))
        : (['ROLLBACK', null] as const)
    const { physicalOffset } = decodeOffsetMessageId(result.offsetMessageId)
    await this.endTransaction(
      this.instance.masterAddress(result.queue.brokerName),
      {
        topic: withNamespace(this.options.namespace, message.topic),
        tranStateTableOffset: String(result.queueOffset),
        commitLogOffset: String(physicalOffset),
        fromTransactionCheck: 'false',
        msgId: result.messageId,
        transactionId: result.messageId,
        bname: result.queue.brokerName
      },
      transactionState,
      remark
    )
    return { ...result, transactionState }
  }

  /** A broker asks what became of a transaction. DefaultMQProducerImpl#checkTransactionState */
  private async answerCheck({ address, message, header }: TransactionCheck): Promise<void> {
    message.topic = withoutNamespace(this.options.namespace, message.topic)
    const [state, remark] = await decide(() => this.listener.check(message))
    const { topic, tranStateTableOffset, commitLogOffset, transactionId, bname } = header
    const fields: ExtFields = { fromTransactionCheck: 'true', msgId: message.messageId }
    for (const [name, value] of Object.entries({ topic, tranStateTableOffset, commitLogOffset, transactionId, bname }))
      if (value !== undefined) fields[name] = value
    await this.endTransaction(address, fields, state, remark)
  }

  private async endTransaction(
    address: string | undefined,
    fields: ExtFields,
    state: TransactionState,
    remark: string | null
  ): Promise<void> {
    const command = request(RequestCode.END_TRANSACTION, {
      producerGroup: this.member.group,
      ...fields,
      commitOrRollback: String(COMMIT_OR_ROLLBACK[state])
    })
    command.remark = remark
    try {
      if (address === undefined) throw new Error('its broker is no longer known')
      await this.instance.invokeOneWay(address, command)
    } catch (error) {
      // The broker will ask.
      this.instance.log.warn({ reason: (error as Error).message, ...fields }, 'the end of a transaction was not told')
    }
  }
}

/** What the listener says; with the text of the error when it threw one. */
async function decide(
  ask: () => TransactionState | Promise<TransactionState>
): Promise<readonly [TransactionState, string | null]> {
  try {
    const state = await ask()
    return [state in COMMIT_OR_ROLLBACK ? state : 'UNKNOWN', null]
  } catch (error) {
    return ['UNKNOWN', String(error)]
  }
}
