/** Where a part reports what it does: pino's shape, so that a pino logger fits as it is. */
export interface Log {
  debug(details: object, text: string): void
  info(details: object, text: string): void
  warn(details: object, text: string): void
  error(details: object, text: string): void
}

const nothing = () => {}

/** The default: no output. */
export const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing }
