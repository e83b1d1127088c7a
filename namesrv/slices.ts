import { setImmediate as otherEvents } from 'node:timers/promises'

/** How long work may hold up everything else: well under the millisecond in which a route is answered. */
const SLICE_MS = 0.25
/** Looking at the clock costs as much as an item. */
const ITEMS_PER_LOOK = 32

/**
 * Does something to each item in slices; between them other events are served, after which `goesOn` tells whether the rest
 * is still to be done. False when it was not.
 */
export async function inSlices<T>(
  items: Iterable<T>,
  each: (item: T) => void,
  goesOn: () => boolean = () => true
): Promise<boolean> {
  let sliceEnd = performance.now() + SLICE_MS
  let untilLook = ITEMS_PER_LOOK
  for (const item of items) {
    if (--untilLook === 0) {
      untilLook = ITEMS_PER_LOOK
      if (performance.now() > sliceEnd) {
        await otherEvents()
        if (!goesOn()) return false
        sliceEnd = performance.now() + SLICE_MS
      }
    }
    each(item)
  }
  return true
}
