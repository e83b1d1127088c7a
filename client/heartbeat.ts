import type { SubscriptionData } from '../message/index.ts'

export type MessageModel = 'CLUSTERING' | 'BROADCASTING'
export type ConsumeFromWhere = 'CONSUME_FROM_LAST_OFFSET' | 'CONSUME_FROM_FIRST_OFFSET' | 'CONSUME_FROM_TIMESTAMP'

/** What a heartbeat says of a consumer. ConsumerData */
export interface ConsumerData {
  groupName: string
  /** CONSUME_ACTIVELY pulls when its application asks, CONSUME_PASSIVELY is fed. */
  consumeType: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY'
  messageModel: MessageModel
  consumeFromWhere: ConsumeFromWhere
  subscriptionDataSet: readonly SubscriptionData[]
  unitMode: boolean
}

/** The body of HEART_BEAT, its keys as Java orders them. HeartbeatData */
export function heartbeatBody(
  clientId: string,
  producerGroups: Iterable<string>,
  consumers: readonly ConsumerData[]
): string {
  return JSON.stringify({
    clientID: clientId,
    consumerDataSet: consumers.map(consumer => ({
      consumeFromWhere: consumer.consumeFromWhere,
      consumeType: consumer.consumeType,
      groupName: consumer.groupName,
      messageModel: consumer.messageModel,
      subscriptionDataSet: consumer.subscriptionDataSet.map(subscription => ({
        classFilterMode: subscription.classFilterMode,
        codeSet: subscription.codeSet,
        expressionType: subscription.expressionType,
        subString: subscription.subString,
        subVersion: subscription.subVersion,
        tagsSet: subscription.tagsSet,
        topic: subscription.topic
      })),
      unitMode: consumer.unitMode
    })),
    // No fingerprint: every heartbeat says everything.
    heartbeatFingerprint: 0,
    producerDataSet: Array.from(producerGroups, groupName => ({ groupName })),
    withoutSub: false
  })
}
