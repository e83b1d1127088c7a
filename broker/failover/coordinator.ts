/** A value to write; with a lease it goes when the lease does. */
export interface Write {
  readonly key: string
  readonly value: string
  readonly lease?: string
}

/**
 * What an election needs of a store that all members see alike: etcd, or a test's own. Every call ends within a bounded time;
 * one that throws may have happened or not, or may happen yet.
 */
export interface Coordinator {
  /** A lease that ends `ttlMs` after it was last kept alive, or later, never earlier. */
  grant(ttlMs: number): Promise<string>
  /** False when the lease has ended. */
  keepAlive(lease: string): Promise<boolean>
  /** Ends a lease now. */
  revoke(lease: string): Promise<void>
  /** All values whose key begins with `prefix`, as of one moment that is not before the call. */
  read(prefix: string): Promise<Map<string, string>>
  /** Writes all or nothing: only if each key has the value named for it, null for none. False when one has not. */
  write(expected: readonly (readonly [key: string, value: string | null])[], values: readonly Write[]): Promise<boolean>
  /** Calls when a key that begins with `prefix` has changed, until it is closed. Calls may be missing, and too many. */
  watch(prefix: string, onChange: () => void): void
  close(): void
}
