/** Which step of the sender's quality ladder a stream seems to be on, seen from here. Pure. */

/** In the order in which a sender gives them up. */
export const STEPS = ['full', 'half rate', 'coarse', 'no face', 'no hands', 'keyframe rate'] as const;

interface Seen {
  readonly fps: number;
  /** Nine precisions, as a keyframe says them; z of the pose is the third bit less where it is coarse. */
  readonly bits: readonly number[];
  readonly face: boolean;
  readonly hands: boolean;
}

const Z_OF_POSE = 1;
/** Share of a new rate in the mean one; and so many looks until it says something: streams begin with a burst. */
const NEW = 0.2;
const BEGIN = 8;

/** Remembers the best that a stream was. */
export class QualitySeen {
  #fps = 0;
  #mean = 0;
  #looks = 0;
  #z = -Infinity;
  #face = false;
  #hands = false;

  /** The index of the step in `STEPS`. */
  observe({ fps, bits, face, hands }: Seen): number {
    this.#mean += (this.#looks ? NEW : 1) * (fps - this.#mean);
    if (++this.#looks > BEGIN) this.#fps = Math.max(this.#mean, 0.998 * this.#fps);
    this.#z = Math.max(this.#z, bits[Z_OF_POSE]);
    this.#face ||= face;
    this.#hands ||= hands;
    const coarse = bits[Z_OF_POSE] < this.#z;
    if (coarse && fps > 0 && fps < 3 && this.#fps > 6) return 5;
    if (coarse && this.#hands && !hands) return 4;
    if (coarse && this.#face && !face) return 3;
    if (coarse) return 2;
    return this.#fps > 6 && fps < 0.6 * this.#fps ? 1 : 0;
  }
}
