import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { type Files, readFileOrBackup, writeFileAtomically } from '../../engine/index.ts'

interface Saved {
  readonly id: string
  /** Grows when the log may have lost its end. */
  readonly losses: number
  /** The start of the machine in which it was written last; '' when the system does not name it. */
  readonly boot: string
}

/** Linux names each start of the machine here. */
export const BOOT_ID_PATH = '/proc/sys/kernel/random/boot_id'
const bootOf = (files: Files) => files.readText(BOOT_ID_PATH)?.trim() ?? ''

const pathOf = (dir: string) => join(dir, 'logId.json')

function load(files: Files, dir: string): Saved | null {
  return readFileOrBackup(files, pathOf(dir), text => {
    const saved = JSON.parse(text) as Partial<Saved>
    if (typeof saved.id !== 'string' || typeof saved.losses !== 'number') throw new TypeError()
    return { id: saved.id, losses: saved.losses, boot: saved.boot ?? '' }
  })
}

const save = (files: Files, dir: string, saved: Saved) => writeFileAtomically(files, pathOf(dir), JSON.stringify(saved))

/**
 * The name of the log in a store. What is known of a log holds for nothing that has another name: a disk that was emptied
 * or replaced has lost what it acknowledged, and so may a log that was not on disk when its machine went down.
 */
export async function logIdOf(files: Files, dir: string): Promise<string> {
  let saved = load(files, dir)
  if (saved === null) {
    saved = { id: randomUUID(), losses: 0, boot: bootOf(files) }
    await save(files, dir, saved)
  }
  return `${saved.id}/${saved.losses}`
}

/** Whether two names are of one log, which may have lost its end in between. */
export const isSameLog = (a: string, b: string): boolean => a.split('/')[0] === b.split('/')[0]

/**
 * Looks, before a store is opened, whether the machine went down since; a log whose end may not have been on disk then gets
 * another name.
 */
export async function checkLogId(files: Files, dir: string, mayLoseEnd: boolean): Promise<void> {
  const saved = load(files, dir)
  const boot = bootOf(files)
  if (saved === null || saved.boot === boot) return
  const isLost = mayLoseEnd && saved.boot !== '' && files.exists(join(dir, 'abort'))
  await save(files, dir, { ...saved, losses: saved.losses + (isLost ? 1 : 0), boot })
}

/** The log is begun anew. */
export function forgetLogId(files: Files, dir: string): void {
  for (const suffix of ['', '.bak', '.tmp']) files.remove(`${pathOf(dir)}${suffix}`)
}
