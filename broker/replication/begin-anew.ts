import { join } from 'node:path'
import type { Files } from '../../engine/index.ts'
import type { BrokerOptions } from '../options.ts'
import { forgetLogId } from './log-id.ts'

const DERIVED = ['consumequeue', 'batchconsumequeue', 'consumequeue_ext', 'index', 'compaction', 'timerlog']
const NOTES = ['checkpoint', 'skylark.json', 'config/timercheck']

/** Removes the log of a closed store, its name, and what is derived from it. */
export function beginAnew(files: Files, { storePathRootDir: dir, store }: BrokerOptions): void {
  // First of all: under its name others count on what it has.
  forgetLogId(files, dir)
  files.removeDirectory(store.storePathCommitLog ?? join(dir, 'commitlog'))
  for (const name of DERIVED) files.removeDirectory(join(dir, name))
  for (const name of NOTES) for (const suffix of ['', '.bak']) files.remove(join(dir, name + suffix))
}
