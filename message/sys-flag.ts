/** Bits of a message's sysFlag. MessageSysFlag */
export const SysFlag = {
  COMPRESSED: 0x1,
  MULTI_TAGS: 0x2,
  PREPARED: 0x4,
  COMMIT: 0x8,
  ROLLBACK: 0xc,
  TRANSACTION_MASK: 0xc,
  BORN_HOST_V6: 0x10,
  STORE_HOST_V6: 0x20,
  /** The store sets these from the hosts themselves; a client's claim is dropped. */
  HOST_MASK: 0x30,
  NEED_UNWRAP: 0x40,
  INNER_BATCH: 0x80,
  COMPRESSION_MASK: 0x700,
  LZ4: 0x100,
  ZSTD: 0x200,
  ZLIB: 0x300
} as const
