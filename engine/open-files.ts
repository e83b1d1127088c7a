/** A file that can be closed while nobody uses it and opened again when somebody does. */
export interface Closable {
  /** Set by each use, cleared by who looks for a file to close. */
  used: boolean
  /** Closes the file unless it is busy; says whether it did. */
  closeIfIdle(): boolean
}

/**
 * Bounds how many files are open at once, whatever the number of queues: when there are too many, one that was not used
 * since the last look is closed.
 */
export class OpenFiles {
  private readonly open = new Set<Closable>()
  private readonly limit: number

  constructor(limit: number) {
    this.limit = limit
  }

  get count(): number {
    return this.open.size
  }

  opened(file: Closable): void {
    this.open.add(file)
    if (this.open.size > this.limit) this.closeOne(file)
  }

  closed(file: Closable): void {
    this.open.delete(file)
  }

  private closeOne(newest: Closable): void {
    // Twice around at most: the first time all may have been used.
    for (let looked = 2 * this.open.size; looked > 0; looked--) {
      const { value: file } = this.open.values().next()
      if (file === undefined) return
      this.open.delete(file)
      if (file !== newest && !file.used && file.closeIfIdle()) return
      file.used = false
      this.open.add(file)
    }
  }
}
