/** Keeps a person in view: follows without shaking. Pure. */

/** Share of the way to where the person is, in 1/30 s. */
const FOLLOW = 0.12;
const SHRINK = 0.02;
const LEAST = 1e-3;

export class Framing {
  readonly centre: [number, number, number] = [0, 0, 0];
  size = 1;
  /** How far the person reaches to the sides and in depth, as a share of `size`. */
  breadth = 1;
  depth = 1;
  #begun = false;

  /** Looks at points, x y z one after another with `stride` floats each; `seconds` since the last look. */
  look(points: Float32Array, stride: number, seconds: number): void {
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i + 2 < points.length; i += stride) {
      if (Number.isNaN(points[i])) continue;
      for (let c = 0; c < 3; c++) {
        low[c] = Math.min(low[c], points[i + c]);
        high[c] = Math.max(high[c], points[i + c]);
      }
    }
    if (low[0] === Infinity) return;
    const size = Math.max(high[0] - low[0], high[1] - low[1], LEAST);
    const frames = Math.min(30, 30 * seconds);
    const follow = this.#begun ? 1 - (1 - FOLLOW) ** frames : 1;
    for (let c = 0; c < 3; c++) this.centre[c] += follow * ((low[c] + high[c]) / 2 - this.centre[c]);
    const shrink = this.#begun ? 1 - (1 - SHRINK) ** frames : 1;
    const eased = (old: number, now: number) => Math.max(now, old + shrink * (now - old));
    this.breadth = eased(this.breadth, (high[0] - low[0]) / size);
    this.depth = eased(this.depth, Math.min(1, (high[2] - low[2]) / size));
    // Growing at once, shrinking slowly: raised arms stay inside the picture.
    this.size = eased(this.size, size);
    this.#begun = true;
  }
}
