import { strict as assert } from 'node:assert'
import { layout, readI64, viewOf, writeI64 } from '../../message/index.ts'

// RocketMQ's HA protocol: the slave reports how far its log goes, the master sends pieces of its own.

/** DefaultHAClient: REPORT_HEADER_SIZE */
const REPORT = layout({ maxOffset: 'i64' })
assert.equal(REPORT.bytes, 8)
/** In front of each piece. DefaultHAConnection: TRANSFER_HEADER_SIZE */
const PIECE = layout({ physicalOffset: 'i64', sizeBytes: 'i32' })
assert.equal(PIECE.bytes, 12)
/** A slave of RocketMQ takes nothing larger. DefaultHAClient: READ_MAX_BUFFER_SIZE */
export const MAX_PIECE_BYTES = 4 * 1024 * 1024 - PIECE.bytes

/** A slave's log ends at an offset. */
export function encodeReport(maxOffset: number): Buffer {
  const bytes = Buffer.allocUnsafe(REPORT.bytes)
  writeI64(viewOf(bytes), REPORT.at.maxOffset, maxOffset)
  return bytes
}

/** What goes in front of so many bytes of the log; of none, it is a heartbeat. */
export function encodePieceHeader(physicalOffset: number, sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(PIECE.bytes)
  const view = viewOf(bytes)
  writeI64(view, PIECE.at.physicalOffset, physicalOffset)
  view.setInt32(PIECE.at.sizeBytes, sizeBytes)
  return bytes
}

/** Collects bytes until there are so many. */
class Gathered {
  private readonly bytes: Buffer
  readonly view: DataView
  private length = 0

  constructor(sizeBytes: number) {
    this.bytes = Buffer.alloc(sizeBytes)
    this.view = viewOf(this.bytes)
  }

  get isFull(): boolean {
    return this.length === this.bytes.length
  }

  /** Takes what it lacks from a position of a chunk; returns the position behind it. A full one begins anew. */
  take(chunk: Uint8Array, from: number): number {
    if (this.isFull) this.length = 0
    const to = Math.min(chunk.length, from + this.bytes.length - this.length)
    this.bytes.set(chunk.subarray(from, to), this.length)
    this.length += to - from
    return to
  }
}

/** Reads what a slave reports. */
export class ReportReader {
  private readonly report = new Gathered(REPORT.bytes)

  /** The newest whole report in what has come; null without one. */
  push(chunk: Uint8Array): number | null {
    let newest: number | null = null
    for (let pos = 0; pos < chunk.length; ) {
      pos = this.report.take(chunk, pos)
      if (this.report.isFull) newest = readI64(this.report.view, REPORT.at.maxOffset)
    }
    return newest
  }
}

/** Reads what a master sends, and hands the log's bytes on as they come: none are kept. */
export class PieceReader {
  private readonly header = new Gathered(PIECE.bytes)
  private offset = 0
  /** Bytes of the piece that are still to come. */
  private left = 0

  /** `onBytes` hears of each part of a piece, and of a heartbeat with no bytes. Throws RangeError when a size cannot be. */
  push(chunk: Uint8Array, onBytes: (physicalOffset: number, bytes: Uint8Array) => void): void {
    for (let pos = 0; pos < chunk.length; ) {
      if (this.left === 0) {
        pos = this.header.take(chunk, pos)
        if (!this.header.isFull) return
        const { view } = this.header
        this.offset = readI64(view, PIECE.at.physicalOffset)
        this.left = view.getInt32(PIECE.at.sizeBytes)
        if (this.left < 0) throw new RangeError(`the master announces a piece of ${this.left} bytes`)
        if (this.left === 0) onBytes(this.offset, chunk.subarray(pos, pos))
      } else {
        const bytes = chunk.subarray(pos, pos + this.left)
        onBytes(this.offset, bytes)
        this.offset += bytes.length
        this.left -= bytes.length
        pos += bytes.length
      }
    }
  }
}

/** How far the last record goes that ends in the bytes, of which the first begins with them; a longer one, how far that goes. */
export function wholeRecords(bytes: Uint8Array): number {
  const view = viewOf(bytes)
  let end = 0
  while (end + 4 <= bytes.length) {
    const sizeBytes = view.getInt32(end)
    if (sizeBytes <= 0) break
    if (end + sizeBytes > bytes.length) return end || sizeBytes
    end += sizeBytes
  }
  return end || bytes.length
}
