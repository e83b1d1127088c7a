import { dirname } from 'node:path'
import { type Files, writeFully } from './files.ts'

/**
 * Replaces a file as a whole: the new text goes to a temporary file, is made durable, and takes the old one's place, which
 * stays as `.bak`. A stop at any moment leaves the old text or the new one. MixAll#string2File
 */
export async function writeFileAtomically(files: Files, path: string, text: string): Promise<void> {
  const directory = dirname(path)
  files.makeDirectory(directory)
  const temporary = `${path}.tmp`
  files.remove(temporary)
  const fd = files.open(temporary)
  try {
    const bytes = Buffer.from(text)
    writeFully(files, fd, bytes, 0, bytes.length, 0)
    await files.sync(fd)
  } finally {
    files.close(fd)
  }
  if (files.exists(path)) files.rename(path, `${path}.bak`)
  files.rename(temporary, path)
  await files.syncDirectory(directory)
}

/**
 * The parsed text of a file, or of its backup when it is missing or cannot be parsed; null without either. Last comes the
 * temporary file: a stop between the two renames leaves it, and the backup may be what could not be parsed before.
 * ConfigManager#load
 */
export function readFileOrBackup<T>(files: Files, path: string, parse: (text: string) => T): T | null {
  for (const candidate of [path, `${path}.bak`, `${path}.tmp`]) {
    const text = files.readText(candidate)
    if (text === null || text.trim() === '') continue
    try {
      return parse(text)
    } catch {
      // The backup is next.
    }
  }
  return null
}
