import type { Admin } from '../../client/index.ts'
import type { GivenOptions, Option } from '../options.ts'

/** What a command works with. */
export interface Context {
  readonly given: GivenOptions
  readonly admin: Admin
  /** The NameServers, as they were given. */
  readonly namesrvAddr: string
  /** Prints to the standard output; see `format`. */
  print(template: string, ...values: unknown[]): void
  /** Tells of a failure after which the command goes on; it then ends with 1. */
  warn(error: unknown): void
  /** Prints the help page: what the command does when its options do not suffice. */
  help(): void
}

export type Run = (context: Context) => Promise<void>

export interface Command {
  readonly name: string
  readonly text: string
  /** Beside `-n` and `-h`, which every command has. */
  readonly options: readonly Option[]
  /** The class whose name RocketMQ prints when the command fails. */
  readonly javaClass: string
  /** Loads the functions of the command's family, by command name. */
  load(): Promise<Record<string, Run>>
}
