import { BatchCursor } from './batch.ts'
import { copyOf, textOf } from './bytes.ts'
import { decodeProperties, PropertyName } from './properties.ts'
import type { MessageRecord } from './record.ts'
import { SysFlag } from './sys-flag.ts'

/** What the messages of a batch do not take over from the record that holds them. */
const OWN_TO_RECORD = SysFlag.INNER_BATCH | SysFlag.NEED_UNWRAP | SysFlag.COMPRESSED | SysFlag.COMPRESSION_MASK

/**
 * The messages of a record that is a batch, each with its own queue offset; `body` is the record's, decompressed. They name
 * the record's place in the log. Throws MessageError BAD_BATCH. MessageDecoder#decodeMessage
 */
export function unwrapInnerBatch(record: MessageRecord, body: Uint8Array): MessageRecord[] {
  const messages: MessageRecord[] = []
  const given = Number(record.properties.get(PropertyName.INNER_BASE))
  const base = Number.isInteger(given) ? given : record.queueOffset
  const { topic, queueId, physicalOffset, sizeBytes, magic, sysFlag, bodyCrc, bornTimestamp, bornHost } = record
  const { storeTimestamp, storeHost, reconsumeTimes, preparedTransactionOffset } = record
  for (const batch = new BatchCursor(body); batch.next(); )
    messages.push({
      topic,
      queueId,
      queueOffset: base + messages.length,
      physicalOffset,
      sizeBytes,
      magic,
      flag: batch.flag,
      sysFlag: sysFlag & ~OWN_TO_RECORD,
      bodyCrc,
      bornTimestamp,
      bornHost,
      storeTimestamp,
      storeHost,
      reconsumeTimes,
      preparedTransactionOffset,
      body: copyOf(body, batch.bodyStart, batch.bodyEnd),
      properties: decodeProperties(textOf(body, batch.propertiesStart, batch.propertiesEnd))
    })
  return messages
}
