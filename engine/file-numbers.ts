import { readI64 } from '../message/index.ts'
import type { MappedFile } from './mapped-file.ts'

/** The numbers in a file, read a block at a time. What the disk cannot read counts as zeros, and is told once a block. */
export class FileNumbers {
  readonly file: MappedFile
  private readonly bytes: Buffer
  private readonly view: DataView
  private readonly onUnreadable: (error: unknown, pos: number) => void
  /** Bytes [start, end) of the file are in memory. */
  private start = 0
  private end = 0

  constructor(file: MappedFile, blockBytes: number, onUnreadable: (error: unknown, pos: number) => void) {
    this.file = file
    this.bytes = Buffer.alloc(blockBytes)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, blockBytes)
    this.onUnreadable = onUnreadable
  }

  /** Where in memory the bytes at `pos` are. */
  private at(pos: number, length: number): number {
    if (pos < this.start || pos + length > this.end) this.load(pos)
    return pos - this.start
  }

  private load(pos: number): void {
    this.start = pos
    this.end = pos + this.bytes.length
    let count = 0
    try {
      count = this.file.read(this.bytes, pos)
    } catch (error) {
      this.onUnreadable(error, pos)
    }
    this.bytes.fill(0, count)
  }

  i16(pos: number): number {
    return this.view.getInt16(this.at(pos, 2))
  }

  i32(pos: number): number {
    return this.view.getInt32(this.at(pos, 4))
  }

  u32(pos: number): number {
    return this.view.getUint32(this.at(pos, 4))
  }

  i64(pos: number): number {
    const at = this.at(pos, 8)
    return readI64(this.view, at)
  }

  /** Position of the first byte at or behind `pos` that is not zero; -1 without one. */
  nextNonZero(pos: number): number {
    for (let from = pos; from < this.file.sizeBytes; ) {
      const at = this.at(from, 1)
      const end = Math.min(this.end, this.file.sizeBytes) - this.start
      for (let i = at; i < end; i++) if (this.bytes[i] !== 0) return this.start + i
      from = this.file.nextData(this.start + end)
      if (from < 0) return -1
    }
    return -1
  }
}
