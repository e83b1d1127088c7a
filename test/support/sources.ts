import { readdirSync, readFileSync } from 'node:fs'
import { inRepo } from './repo.ts'

const NOT_OURS = new Set(['node_modules', 'dist', '.git', '.tap', 'coverage', 'data'])

/** Paths of all files of the repository but dependencies, output and recordings, from its root. */
export function* repoFiles(folder = ''): Generator<string> {
  for (const entry of readdirSync(inRepo(folder), { withFileTypes: true })) {
    if (NOT_OURS.has(entry.name)) continue
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) yield* repoFiles(path)
    else if (entry.isFile()) yield path
  }
}

/** Paths of the TypeScript sources. */
export const sourceFiles = (): string[] => [...repoFiles()].filter(path => path.endsWith('.ts')).sort()

export const readSource = (path: string): string => readFileSync(inRepo(path), 'utf8')

/** The first folder of a path; '' for a file in the root. */
export const folderOf = (path: string): string => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '')
