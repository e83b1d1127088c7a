import { dirname } from 'node:path'
import type { Files } from './files.ts'

/**
 * Replaces a file as a whole: the new text goes to a temporary file, is made durable, and takes the old one's place, which
 * stays as `.bak`. A stop at any moment leaves the old text or the new one. MixAll#string2File
 */
export async function writeFileAtomically(files: Files, path: string, text: string): Promise<void> {
  files.makeDirectory(dirname(path))
  const temporary = `${path}.tmp`
  files.remove(temporary)
  const fd = files.open(temporary)
  try {
    const bytes = Buffer.from(text)
    let written = 0
    while (written < bytes.length) written += files.write(fd, bytes, written, bytes.length - written, written)
    await files.sync(fd)
  } finally {
    files.close(fd)
  }
  if (files.exists(path)) files.rename(path, `${path}.bak`)
  files.rename(temporary, path)
}

/** The parsed text of a file, or of its backup when it is missing or cannot be parsed; null without either. ConfigManager#load */
export function readFileOrBackup<T>(files: Files, path: string, parse: (text: string) => T): T | null {
  for (const candidate of [path, `${path}.bak`]) {
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
