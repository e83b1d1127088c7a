import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { temporaryDirectory } from './broker.ts'

/** A file system of its own with room for `sizeMiB`; null where this user may not mount one. */
export function mountSmallDisk(t: Test, kind: 'ext4' | 'tmpfs', sizeMiB: number): string | null {
  const dir = temporaryDirectory(t)
  const disk = join(dir, 'disk')
  mkdirSync(disk)
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' })
  try {
    if (kind === 'tmpfs') run('mount', '-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'none', disk)
    else {
      const image = join(dir, 'image')
      run('truncate', '-s', `${sizeMiB}M`, image)
      run('mkfs.ext4', '-q', '-m', '0', image)
      run('mount', '-o', 'loop', image, disk)
    }
  } catch {
    return null
  }
  t.teardown(() => run('umount', '-l', disk))
  return disk
}
