import { readI64, viewOf } from '../message/index.ts'
import type { MappedFileQueue } from './mapped-file.ts'

/** A unit of the extension begins with its size, i16, and the tag's hash, i64. ConsumeQueueExt.CqExtUnit */
const TAGS_CODE_AT = 2
const HEAD_BYTES = 10

/**
 * Where RocketMQ puts a unit's tag when `enableConsumeQueueExt` is set; the ConsumeQueue unit then holds an address in its
 * place. Skylark reads such units and writes plain ones. ConsumeQueueExt
 */
export class ConsumeQueueExtension {
  private readonly segments: MappedFileQueue

  constructor(segments: MappedFileQueue) {
    this.segments = segments
  }

  /** The tag's hash at an offset of the extension's files; null when it is not there, so that it may be any. */
  tagsCodeAt(offset: number): number | null {
    const segment = this.segments.at(offset)
    if (segment === undefined) return null
    const head = Buffer.alloc(HEAD_BYTES)
    if (segment.read(head, offset - segment.startOffset) < HEAD_BYTES || head.readInt16BE(0) <= 0) return null
    return readI64(viewOf(head), TAGS_CODE_AT)
  }

  /** Removes files that end before an offset. ConsumeQueueExt#truncateByMinAddress */
  deleteBefore(offset: number): void {
    while (this.segments.first !== undefined && this.segments.first.endOffset <= offset) this.segments.removeFirst()
  }

  close(): void {
    this.segments.close()
  }
}
