// Records: what the CommitLog holds and pulls return.

export { BatchCursor, type BatchMessage, encodeBatch } from './batch.ts'
// Bytes, hashes, checksums.
export { bytesOf, copyOf, layout, readI64, textOf, viewOf, writeI64 } from './bytes.ts'
export { type CompressionType, compressBody, decompressBody } from './compression.ts'
export { crc32 } from './crc.ts'
export { MessageError, type MessageErrorCode, MessageErrors } from './errors.ts'
export { javaHashCode, javaHashCodeOfBytes, tagsCodeOf } from './hash.ts'
export { type Host, hostOf, readHost } from './host.ts'
export { unwrapInnerBatch } from './inner-batch.ts'
export { Interner } from './intern.ts'
export { createUniqueKey, decodeOffsetMessageId, offsetMessageId, ownAddress } from './message-id.ts'
// Names and subscriptions.
export * from './names.ts'
// What a record is made of.
export {
  decodeProperties,
  encodeProperties,
  NAME_VALUE_SEPARATOR,
  PROPERTY_SEPARATOR,
  type Properties,
  PropertyName
} from './properties.ts'
export { PropertyScan, ScannedProperty } from './properties-scan.ts'
// The checksum of a whole record.
export { CRC_PROPERTY_BYTES, propertyCrcAt, propertyCrcOk, writePropertyCrc } from './property-crc.ts'
// Names of messages that can be recalled.
export { decodeRecallHandle, encodeRecallHandle, type RecallHandle } from './recall-handle.ts'
export {
  BLANK_BYTES,
  decodeRecord,
  decodeRecords,
  encodeRecord,
  MAX_HEAD_BYTES,
  MAX_PROPERTIES_BYTES,
  MAX_V1_TOPIC_BYTES,
  type MessageRecord,
  RECORD_HEAD,
  RecordCheck,
  RecordCursor,
  type RecordFields,
  RecordMagic,
  recordSize,
  recordSizeIsPlausible,
  storeTimestampAt,
  writeRecord
} from './record.ts'
export { ALL_TAGS, type SubscriptionData, subscriptionOf } from './subscription.ts'
export { SysFlag } from './sys-flag.ts'
