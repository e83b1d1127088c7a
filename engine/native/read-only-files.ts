import * as fs from 'node:fs'
import type { Files } from '../files.ts'
import { realFiles } from './real-files.ts'

const refuse = (): never => {
  throw new Error('the store is only read here')
}

/** The disk as it is, to look at and never to change. */
export const readOnlyFiles: Files = {
  ...realFiles,
  open: path => fs.openSync(path, 'r'),
  makeDirectory: refuse,
  truncate: refuse,
  write: refuse,
  sync: refuse,
  syncDirectory: refuse,
  rename: refuse,
  remove: refuse,
  removeDirectory: refuse
}
