/** Where people stand who share one space. Pure. */

/** Side by side at most; more stand behind, in the gaps of those before them. */
const IN_A_ROW = 4;
/** People are one unit tall: between two of one row, and between two rows. */
const ASIDE = 0.85;
const BEHIND = 1.1;

export interface Spot {
  readonly x: number;
  readonly z: number;
}

/** The spots of so many people, the first row in front; about the origin, looking to +z. */
export function spotsFor(count: number): Spot[] {
  const rows = Math.ceil(count / IN_A_ROW);
  const spots: Spot[] = [];
  for (let row = 0; row < rows; row++) {
    // Even rows: eight are four and four, five are three and two.
    const here = Math.ceil((count - spots.length) / (rows - row));
    const shift = row % 2 && here === Math.ceil(count / rows) ? ASIDE / 2 : 0;
    for (let i = 0; i < here; i++) spots.push({ x: (i - (here - 1) / 2) * ASIDE + shift, z: ((rows - 1) / 2 - row) * BEHIND });
  }
  return spots;
}

/** How far they reach from the origin, to the sides and in depth. */
export function reachOf(spots: readonly Spot[]): { readonly x: number; readonly z: number } {
  const most = (of: (spot: Spot) => number) => Math.max(0, ...spots.map((spot) => Math.abs(of(spot))));
  return { x: most(({ x }) => x) + ASIDE / 2, z: most(({ z }) => z) + ASIDE / 2 };
}
