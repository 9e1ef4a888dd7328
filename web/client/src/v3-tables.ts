/** The tables of "Body version 3", and how a chain of frames is made up. */
import { DEFAULT_SKELETON, HAND_LANDMARKS, type Slot } from './pose.js';

export const MAX_Q = 8_388_607;
export const LEVEL_BIAS = 11;
export const DEFAULT_BITS: readonly number[] = [11, 9, 5, 11, 9, 5, 11, 9, 5];

/** Parents of the landmarks (the first has none, 0 stands in) and the offsets of their Rice parameters by channel. */
export interface Tree {
  readonly parents: readonly number[];
  readonly offsets: readonly (readonly number[])[];
}

const numbers = (text: string): number[] => text.split(' ').map(Number);
const tree = (parents: string, xy: string, z: string): Tree => ({
  parents: numbers(parents),
  offsets: [numbers(xy), numbers(xy), numbers(z)],
});

export const POSE_TREE = tree(
  '0 0 1 2 0 4 5 3 6 0 9 0 11 11 12 13 14 15 16 17 18 15 16 11 12 23 24 25 26 27 28 29 30',
  '3 -5 -7 -7 -5 -7 -7 -4 -4 -5 -5 1 1 4 4 7 7 2 2 -1 -1 2 2 3 3 5 5 4 4 -1 -1 2 2',
  '7 -5 -11 -11 -5 -11 -11 2 2 -4 -4 5 5 5 5 6 6 -2 -2 -1 -1 -4 -4 6 6 6 6 6 6 -4 -4 1 1',
);
export const HAND_TREE = tree(
  '0 0 1 2 3 0 5 6 7 0 9 10 11 0 13 14 15 0 17 18 19',
  '5 0 0 0 0 3 0 -2 -2 2 0 -1 -2 3 0 -2 -2 3 -2 -3 -2',
  '-6 0 -1 -1 -1 4 0 0 -1 4 1 -1 -2 4 1 -1 -2 4 0 -1 -2',
);

/** Of the pair (a, b): `31 * (a + 15) + b + 15`. */
const pairCode = (a: number, b: number): number => 31 * (a + 15) + b + 15;

/** Symbol → pair, two numbers each, in the order of "Pairs". */
export const PAIRS = new Int8Array(2 * 961);
/** Pair → symbol. */
const SYMBOL_OF_PAIR = new Uint16Array(961);
{
  const all: [number, number][] = [];
  for (let a = -15; a <= 15; a++) for (let b = -15; b <= 15; b++) all.push([a, b]);
  all.sort(([a, b], [c, d]) => a * a + b * b - (c * c + d * d) || a - c || b - d);
  all.forEach(([a, b], symbol) => {
    PAIRS[2 * symbol] = a;
    PAIRS[2 * symbol + 1] = b;
    SYMBOL_OF_PAIR[pairCode(a, b)] = symbol;
  });
}

/** The symbol of a pair of numbers from −15 to 15. */
export const symbolOfPair = (a: number, b: number): number => SYMBOL_OF_PAIR[pairCode(a, b)];

/** Pose, face, left hand or right hand. */
export interface Part {
  readonly slot: Slot;
  /** Where it begins in the floats of its slot. */
  readonly start: number;
  readonly n: number;
  readonly tree: Tree | null;
  /** What one is worth, by channel. */
  readonly steps: readonly number[];
}

/** What all frames that refer to one keyframe have in common. Sizes are floats of a slot, 0 where it is not there. */
export interface Chain {
  readonly skeleton: string;
  readonly raw: boolean;
  readonly bits: readonly number[];
  readonly sizes: Readonly<Record<Slot, number>>;
  readonly parts: readonly Part[];
}

/** Makes a chain. `sizes`: floats of each slot; `bits`: nine precisions. */
export function chainOf(skeleton: string, raw: boolean, bits: readonly number[], sizes: Record<Slot, number>): Chain {
  const part = (slot: Slot, index: number, n: number, tree: Tree | null, start = 0): Part => {
    const [xy, z, visibility] = bits.slice(3 * index, 3 * index + 3).map((each) => 2 ** -each);
    return { slot, start, n, tree, steps: [xy, xy, z, visibility] };
  };
  const parts: Part[] = [];
  if (sizes.pose) parts.push(part('pose', 0, sizes.pose / 4, skeleton === DEFAULT_SKELETON ? POSE_TREE : null));
  if (sizes.face) parts.push(part('face', 1, sizes.face / 4, null));
  if (sizes.hands) {
    parts.push(part('hands', 2, HAND_LANDMARKS, HAND_TREE), part('hands', 2, HAND_LANDMARKS, HAND_TREE, 4 * HAND_LANDMARKS));
  }
  return { skeleton, raw, bits, sizes, parts };
}

/** What a receiver keeps of a part: rows x, y, z, visibility of n numbers. Null masks say that all were found. */
export interface PartState {
  readonly q: Int32Array;
  readonly motion: Int32Array | null;
  readonly xyz: Uint8Array | null;
  readonly vis: Uint8Array | null;
  readonly known: boolean;
}

export const blankState = (n: number): PartState => ({ q: new Int32Array(4 * n), motion: null, xyz: null, vis: null, known: false });

/** Rice parameter of landmark `j` where a level of 6 and more says so. */
export const riceParameter = (level: number, offset: number): number => Math.max(0, (level - LEVEL_BIAS + offset) >> 2);
