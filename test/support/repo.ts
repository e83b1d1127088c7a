import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the sources: tests run compiled, from dist/test. */
export const repoRoot = dirname(realpathSync(fileURLToPath(new URL('../../../package.json', import.meta.url))))

/** A path inside the sources. */
export const inRepo = (...parts: string[]): string => join(repoRoot, ...parts)
