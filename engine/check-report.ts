/** What a finding is about. */
export type FindingKind = 'log' | 'queue' | 'index' | 'timer' | 'checkpoint' | 'config' | 'file'

/** One thing that is not as it should be. */
export interface Finding {
  kind: FindingKind
  /** Whether something is lost or wrong; else it is worth knowing, and the store is fine with it. */
  isDamage: boolean
  /** The file or folder, below the store's directory. */
  path: string
  /** Bytes [from, to) that it is about: of the CommitLog their physical offsets, of any other file their positions; null without. */
  from: number | null
  to: number | null
  text: string
}

/** So many findings are kept; all are counted. */
const MAX_KEPT = 1000

/** Gathers findings. */
export class Findings {
  readonly kept: Finding[] = []
  damageCount = 0
  noteCount = 0

  add(kind: FindingKind, isDamage: boolean, path: string, text: string, from: number | null = null, to = from): void {
    if (isDamage) this.damageCount++
    else this.noteCount++
    // Damage is never crowded out by what is only worth knowing.
    const kept = isDamage ? this.damageCount : this.noteCount
    if (kept <= MAX_KEPT) this.kept.push({ kind, isDamage, path, from, to, text })
  }
}
