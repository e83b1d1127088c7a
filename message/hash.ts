/** Java's String#hashCode over the UTF-16 units of a text: a signed 32-bit integer. */
export function javaHashCode(text: string, start = 0): number {
  let hash = start
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return hash
}

/** {@link javaHashCode} of UTF-8 bytes [start, end), without a string as long as they are ASCII. */
export function javaHashCodeOfBytes(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let hash = initial
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    if (byte > 0x7f)
      return javaHashCode(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(), initial)
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  return hash
}

/** What a ConsumeQueue unit says of a message's tag; 0 without one. MessageExtBrokerInner#tagsString2tagsCode */
export function tagsCodeOf(tags: string | undefined): number {
  return tags ? javaHashCode(tags) : 0
}
