/**
 * Writes "Body version 3" of docs/wire.md. An encoder is free in what it chooses: this one takes no affine motion and no
 * shares, so faces are longer than Posewire's own for it; bodies and hands hardly are.
 */
import { Writer, toUtf8, type Bytes } from './bytes.js';
import type { FrameType } from './header.js';
import { DEFAULT_SKELETON, SLOTS, bytesOfFloats, checkPose, type Pose, type Slot } from './pose.js';
import { bitsOf, writeSymbols } from './v3-bits.js';
import { V3Decoder } from './v3-decoder.js';
import { DEFAULT_BITS, LEVEL_BIAS, MAX_Q, chainOf, riceParameter, symbolOfPair, type Chain, type Part, type PartState } from './v3-tables.js';

const KEY_MS = 2000;
/** Keyframes that are asked for come no more often. */
const KEY_LEAST_MS = 200;
const ANCHOR_EVERY = 4;
const LONGEST_PAIR = 15;
const HIGHEST_LEVEL = 63;

/** Bits behind the binary point: of x and y, of z, of visibility; −8 to 20. */
export type Bits = readonly [number, number, number];
export interface Precision {
  readonly pose?: Bits;
  readonly face?: Bits;
  readonly hands?: Bits;
}

export interface EncodedFrame {
  readonly version: 3;
  readonly frameType: FrameType;
  readonly ref: number;
  readonly body: Bytes;
}

/** One part, ready to be written. */
interface Encoded {
  readonly head: readonly number[];
  readonly symbols: readonly number[];
  readonly parameters: readonly number[];
}

interface Channel {
  readonly level: number;
  readonly symbols: readonly number[];
  readonly parameters: readonly number[];
  readonly bits: number;
}

const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);

/** The nearest whole number, ties to even. */
function nearest(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : rounded;
}

class TooLarge extends Error {}

/** Makes the frames of one stream. Each that it makes must be sent, or a keyframe be asked for. */
export class V3Encoder {
  readonly #bits: readonly number[];
  #decoder = new V3Decoder();
  #chain: Chain | null = null;
  #reference: { seq: number; states: readonly PartState[] } | null = null;
  #keyAt = -Infinity;
  #wanted = false;
  #sinceKey = 0;

  constructor(precision: Precision = {}) {
    this.#bits = SLOTS.flatMap((slot, i) => [...(precision[slot] ?? DEFAULT_BITS.slice(3 * i, 3 * i + 3))]);
  }

  /** Makes the next frame a keyframe; not twice in 0.2 s. */
  keyframe(): void {
    this.#wanted = true;
  }

  /** Encodes a pose as frame `seq` of its stream. `at`: steady milliseconds. */
  encode(seq: number, pose: Pose, at: number): EncodedFrame {
    checkPose(pose);
    const chain = this.#fitting(pose);
    const reference = this.#reference;
    const due = at - this.#keyAt >= KEY_MS || (this.#wanted && at - this.#keyAt >= KEY_LEAST_MS);
    if (chain && reference && !due && seq - reference.seq < 65_536) {
      const frameType = ++this.#sinceKey % ANCHOR_EVERY === 0 ? 'anchor' : 'leaf';
      try {
        const ref = seq - reference.seq;
        const body = this.#body(new Writer(), chain, pose, reference.states);
        return this.#made(seq, frameType, ref, body, chain);
      } catch (error) {
        if (!(error instanceof TooLarge)) throw error;
      }
    }
    return this.#keyframe(seq, pose, at);
  }

  #keyframe(seq: number, pose: Pose, at: number): EncodedFrame {
    this.#keyAt = at;
    this.#wanted = false;
    this.#sinceKey = 0;
    const chain = chainOf(pose.skeleton, false, this.#bits, sizesOf(pose));
    try {
      const body = this.#body(keyframeHead(chain, false), chain, pose, null);
      return this.#made(seq, 'key', 0, body, chain);
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      this.#reference = null; // nothing refers to a raw one
      return { version: 3, frameType: 'key', ref: 0, body: rawBody(chain, pose) };
    }
  }

  /** The chain, if this pose can be a frame of it. */
  #fitting(pose: Pose): Chain | null {
    const chain = this.#chain;
    if (!chain || chain.skeleton !== pose.skeleton) return null;
    return SLOTS.every((slot) => !pose[slot] || pose[slot].length === chain.sizes[slot]) ? chain : null;
  }

  #made(seq: number, frameType: FrameType, ref: number, body: Bytes, chain: Chain): EncodedFrame {
    if (frameType !== 'leaf') {
      // What a receiver will have: by the same code, so that it cannot be something else.
      this.#decoder.decode({ frameType, seq, ref }, body);
      this.#reference = { seq, states: this.#decoder.statesOf(seq) };
      this.#chain = chain;
    }
    return { version: 3, frameType, ref, body };
  }

  #body(into: Writer, chain: Chain, pose: Pose, states: readonly PartState[] | null): Bytes {
    const parts = chain.parts.map((part, i) => encodePart(part, pose[part.slot], states ? states[i] : null));
    for (const { head } of parts) into.put(Uint8Array.from(head));
    into.put(writeSymbols(parts.flatMap(({ symbols }) => [...symbols]), parts.flatMap(({ parameters }) => [...parameters])));
    const raw = 4 * (chain.sizes.pose + chain.sizes.face + chain.sizes.hands);
    if (into.size > raw) throw new TooLarge();
    return into.done();
  }
}

const sizesOf = (pose: Pose): Record<Slot, number> => ({
  pose: pose.pose?.length ?? 0, face: pose.face?.length ?? 0, hands: pose.hands?.length ?? 0,
});

/** "How a keyframe begins". */
function keyframeHead({ skeleton, bits, sizes }: Chain, raw: boolean): Writer {
  const writer = new Writer();
  const other = skeleton !== DEFAULT_SKELETON;
  const precise = !raw && bits.some((each, i) => each !== DEFAULT_BITS[i]);
  writer.u8(
    (raw ? 1 : 0) | (precise ? 2 : 0) | (other ? 4 : 0) | (sizes.pose ? 8 : 0) | (sizes.face ? 16 : 0) | (sizes.hands ? 32 : 0) |
      (sizes.face === 4 * 478 ? 64 : 0),
  );
  if (other) {
    const name = toUtf8(skeleton);
    writer.u16(name.length);
    writer.put(name);
    writer.u16(sizes.pose / 4);
  }
  if (precise) for (const each of bits) writer.u8(each + 8);
  return writer;
}

function rawBody(chain: Chain, pose: Pose): Bytes {
  const writer = keyframeHead(chain, true);
  for (const slot of SLOTS) if (pose[slot]) writer.put(bytesOfFloats(pose[slot]));
  return writer.done();
}

/** Encodes a part; `before` is null in a keyframe. */
function encodePart(part: Part, floats: Float32Array | null, before: PartState | null): Encoded {
  const { n } = part;
  if (!floats) return { head: [0], symbols: [], parameters: [] };
  const [xyz, vis] = [new Uint8Array(n), new Uint8Array(n)];
  for (let j = 0; j < n; j++) {
    xyz[j] = Number.isNaN(floats[part.start + 4 * j]) ? 0 : 1;
    vis[j] = Number.isNaN(floats[part.start + 4 * j + 3]) ? 0 : 1;
  }
  if (!xyz.includes(1) && !vis.includes(1)) return { head: [1], symbols: [], parameters: [] };
  const reference = before?.known ? before : null;
  const q = steps(part, floats);
  const plainly = encodeRows(part, q, xyz, vis, reference, false);
  const along = encodeRows(part, q, xyz, vis, reference, true);
  const better = along.bits <= plainly.bits ? along : plainly;
  if (better.bits === Infinity) throw new TooLarge();
  const { mode, masks } = foundMode(xyz, vis, before);
  const levels = better.channels.reduce((sum, { level }, i) => sum | (level << (6 * i)), 0);
  const head = [mode | (reference ? 0 : 8) | (better === along ? 16 : 0), levels & 255, (levels >> 8) & 255, (levels >> 16) & 255, ...masks];
  return {
    head,
    symbols: better.channels.flatMap(({ symbols }) => symbols),
    parameters: better.channels.flatMap(({ parameters }) => parameters),
  };
}

/** Rows x, y, z, visibility in whole steps; 0 where not found. */
function steps({ n, start, steps: sizes }: Part, floats: Float32Array): Float64Array {
  const q = new Float64Array(4 * n);
  for (let c = 0; c < 4; c++) {
    for (let j = 0; j < n; j++) {
      const value = floats[start + 4 * j + c];
      q[c * n + j] = Number.isNaN(value) ? 0 : nearest(value / sizes[c]);
      if (Math.abs(q[c * n + j]) > MAX_Q) throw new TooLarge();
    }
  }
  return q;
}

const maskBytes = (mask: Uint8Array): number[] => {
  const bytes = new Array<number>(Math.ceil(mask.length / 8)).fill(0);
  mask.forEach((bit, j) => (bytes[j >> 3] |= bit << (7 - (j & 7))));
  return bytes;
};

function foundMode(xyz: Uint8Array, vis: Uint8Array, before: PartState | null): { mode: number; masks: number[] } {
  if (!xyz.includes(0) && !vis.includes(0)) return { mode: 2, masks: [] };
  const same = (a: Uint8Array, b: Uint8Array | null | undefined) => b?.every((bit, j) => bit === a[j]) === true;
  if (same(xyz, before?.xyz) && same(vis, before?.vis)) return { mode: 3, masks: [] };
  return { mode: 4, masks: [...maskBytes(xyz), ...maskBytes(vis)] };
}

/** The numbers of all channels: less the reference's, and less the parents' `along` the tree. */
function encodeRows(
  { n, tree }: Part, q: Float64Array, xyz: Uint8Array, vis: Uint8Array, reference: PartState | null, along: boolean,
): { channels: Channel[]; bits: number } {
  const channels = [0, 1, 2, 3].map((c) => {
    const found = c < 3 ? xyz : vis;
    const tied = along && (c < 3 || !reference);
    const rows = new Float64Array(n);
    const numbers = new Float64Array(n);
    for (let j = 0; j < n; j++) {
      const parent = tied && j > 0 ? rows[tree ? tree.parents[j] : j - 1] : 0;
      // Whatever is not found costs least as a nought.
      rows[j] = found[j] ? q[c * n + j] - (reference ? reference.q[c * n + j] : 0) : parent;
      numbers[j] = rows[j] - parent;
    }
    return encodeChannel(numbers, along && c < 3 ? tree?.offsets[c] : undefined);
  });
  return { channels, bits: channels.reduce((sum, { bits }) => sum + bits, 0) };
}

/** The shortest of the ways to write the numbers of a channel. */
function encodeChannel(numbers: Float64Array, offsets: readonly number[] | undefined): Channel {
  if (numbers.every((value) => value === 0)) return { level: 0, symbols: [], parameters: [], bits: 0 };
  let best = encodeSingly(numbers, offsets);
  if (numbers.every((value) => Math.abs(value) <= LONGEST_PAIR)) {
    const symbols: number[] = [];
    for (let j = 0; j < numbers.length; j += 2) symbols.push(symbolOfPair(numbers[j], j + 1 < numbers.length ? numbers[j + 1] : 0));
    for (let level = 1; level <= 5; level++) {
      let bits = 0;
      for (const symbol of symbols) bits += bitsOf(symbol, level - 1);
      if (bits < best.bits) best = { level, symbols, parameters: symbols.map(() => level - 1), bits };
    }
  }
  return best;
}

function encodeSingly(numbers: Float64Array, offsets: readonly number[] | undefined): Channel {
  const symbols = Array.from(numbers, zigzag);
  let sum = 0;
  numbers.forEach((value, j) => (sum += Math.abs(value) * 2 ** (-(offsets ? offsets[j] : 0) / 4)));
  const guess = Math.round(4 * Math.log2(Math.max(1.9 * (sum / numbers.length), 1e-3))) + LEVEL_BIAS;
  let best: Channel = { level: HIGHEST_LEVEL, symbols, parameters: [], bits: Infinity };
  for (let level = Math.max(6, guess - 1); level <= HIGHEST_LEVEL; level++) {
    if (level > guess + 1 && best.bits < Infinity) break;
    const parameters = symbols.map((_, j) => riceParameter(level, offsets ? offsets[j] : 0));
    let bits = 0;
    for (let j = 0; j < symbols.length; j++) bits += bitsOf(symbols[j], parameters[j]);
    if (bits < best.bits) best = { level, symbols, parameters, bits };
  }
  return best;
}

