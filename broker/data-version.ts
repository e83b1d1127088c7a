/** Which state of a table this is; peers compare all three numbers. DataVersion */
export interface DataVersion {
  counter: number
  stateVersion: number
  timestamp: number
}

export const newDataVersion = (): DataVersion => ({ counter: 0, stateVersion: 0, timestamp: Date.now() })

/** DataVersion#nextVersion */
export function nextVersion(version: DataVersion): void {
  version.timestamp = Date.now()
  version.counter++
}

/** The version in parsed JSON; a new one when it holds none. */
export function dataVersionOf(value: unknown): DataVersion {
  const from = value as Partial<DataVersion> | null | undefined
  if (typeof from?.counter !== 'number') return newDataVersion()
  return { counter: from.counter, stateVersion: Number(from.stateVersion ?? 0), timestamp: Number(from.timestamp ?? 0) }
}
