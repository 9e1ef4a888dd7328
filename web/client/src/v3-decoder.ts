/** Reads "Body version 3" of docs/wire.md. */
import { Reader, fromUtf8 } from './bytes.js';
import { MissingReference, check } from './errors.js';
import type { Header } from './header.js';
import { DEFAULT_SKELETON, HAND_LANDMARKS, MAX_LANDMARKS, checkPart, floatsOf, isName, type Pose, type Slot } from './pose.js';
import { readSymbols } from './v3-bits.js';
import { DEFAULT_BITS, MAX_Q, PAIRS, blankState, chainOf, riceParameter, type Chain, type Part, type PartState } from './v3-tables.js';

/** Keyframes and anchors that are kept; docs/wire.md says that four are enough. */
const REFERENCES = 4;

interface PartHead {
  readonly mode: number;
  readonly intra: boolean;
  readonly tree: boolean;
  readonly affine: boolean;
  shares: readonly number[] | null;
  levels: readonly number[];
  xyz: Uint8Array | null;
  vis: Uint8Array | null;
}

/** "How a keyframe begins". */
function readChain(reader: Reader): Chain {
  const flags = reader.u8();
  const has = { pose: flags & 8, face: flags & 16, hands: flags & 32 };
  check(flags < 128 && flags & 56 && (has.face || !(flags & 64)) && (flags & 3) !== 3, 'unknown flags, no part, or the size of no face');
  let skeleton = DEFAULT_SKELETON;
  let landmarks = 33;
  if (flags & 4) {
    skeleton = fromUtf8(reader.take(reader.u16()));
    landmarks = reader.u16();
    check(isName(skeleton) && skeleton !== DEFAULT_SKELETON, 'not a name of another skeleton');
    check(landmarks <= MAX_LANDMARKS && (landmarks === 0) === !has.pose, 'wrong number of landmarks');
  }
  const bits = flags & 2 ? Array.from(reader.take(9), (byte) => byte - 8) : DEFAULT_BITS;
  check(bits.every((each) => each <= 20), 'precision too high');
  const sizes: Record<Slot, number> = {
    pose: has.pose ? 4 * landmarks : 0,
    face: has.face ? 4 * (flags & 64 ? 478 : 468) : 0,
    hands: has.hands ? 8 * HAND_LANDMARKS : 0,
  };
  return chainOf(skeleton, (flags & 1) === 1, bits, sizes);
}

function readRaw(reader: Reader, { skeleton, sizes }: Chain): Pose {
  check(reader.left === 4 * (sizes.pose + sizes.face + sizes.hands), 'a raw frame of the wrong size');
  const part = (size: number) => (size ? checkPart(floatsOf(reader.take(4 * size))) : null);
  return { skeleton, pose: part(sizes.pose), face: part(sizes.face), hands: part(sizes.hands) };
}

/** A bit for each of n, the first is the highest of the first byte. */
function readMask(reader: Reader, n: number): Uint8Array {
  const bytes = reader.take(Math.ceil(n / 8));
  check(n % 8 === 0 || (bytes[bytes.length - 1] & (255 >> n % 8)) === 0, 'padding of a mask');
  const mask = new Uint8Array(n);
  for (let j = 0; j < n; j++) mask[j] = (bytes[j >> 3] >> (7 - (j & 7))) & 1;
  return mask;
}

/** "Part header". `before`: the part in the reference. */
function readPartHead(reader: Reader, n: number, before: PartState): PartHead {
  const first = reader.u8();
  const mode = first & 7;
  const [intra, tree, affine, motion] = [8, 16, 32, 64].map((flag) => (first & flag) !== 0);
  const head: PartHead = { mode, intra, tree, affine, shares: null, levels: [0, 0, 0, 0], xyz: null, vis: null };
  check(first < 128 && mode <= 4 && (mode >= 2 || first < 2), 'unknown mode or flags');
  if (mode < 2) return head;
  check(intra ? !affine && !motion : before.known && (!motion || before.motion), 'flags that do not fit, or no such reference');
  if (motion) {
    const shares = reader.u16();
    check(shares < 0x8000, 'bit 15 of the shares');
    head.shares = [shares & 31, (shares >> 5) & 31, (shares >> 10) & 31].map((share) => share - 16);
  }
  const levels = reader.u16() | (reader.u8() << 16);
  head.levels = [levels & 63, (levels >> 6) & 63, (levels >> 12) & 63, (levels >> 18) & 63];
  if (mode === 3) {
    const { xyz, vis } = before;
    check(xyz && vis && (xyz.includes(1) || vis.includes(1)), 'the same as in a reference of all or nothing');
    [head.xyz, head.vis] = [xyz, vis];
  } else if (mode === 4) {
    const masks = [readMask(reader, n), readMask(reader, n)];
    check([0, 1].every((bit) => masks.some((mask) => mask.includes(bit))), 'masks that say what another mode says');
    [head.xyz, head.vis] = masks;
  }
  return head;
}

/** Writes the Rice parameter of each symbol of a part, from `at` on; returns where they end. */
function addParameters(at: number, { affine, tree, levels }: PartHead, part: Part): number {
  if (affine) parameters.fill(6, at, (at += 12));
  for (let channel = 0; channel < 4; channel++) {
    const level = levels[channel];
    const row = tree && channel < 3 ? part.tree?.offsets[channel] : undefined;
    if (level >= 6 && row) for (let j = 0; j < part.n; j++) parameters[at++] = riceParameter(level, row[j]);
    else if (level > 0) {
      const end = at + (level >= 6 ? part.n : Math.ceil(part.n / 2));
      parameters.fill(level >= 6 ? riceParameter(level, 0) : level - 1, at, end);
      at = end;
    }
  }
  return at;
}

/** Of one frame: pose, face and hands have at most 12 + 4 × 2,048 each, whatever a packet says. */
const parameters = new Uint8Array(4 * (12 + 4 * MAX_LANDMARKS));

const unzigzag = (symbol: number): number => (symbol >>> 1) ^ -(symbol & 1);

/** Fills the rows with the numbers of the symbols, sums along the tree included; returns the affine motion's. */
function readRows(rows: Float64Array, { n, tree }: Part, head: PartHead, symbols: Uint32Array): number[] | null {
  let at = 0;
  let affine: number[] | null = null;
  if (head.affine) for (affine = []; at < 12; ) affine.push(unzigzag(symbols[at++]));
  for (let channel = 0; channel < 4; channel++) {
    const level = head.levels[channel];
    const [begin, end] = [channel * n, (channel + 1) * n];
    if (level >= 6) for (let j = begin; j < end; j++) rows[j] = unzigzag(symbols[at++]);
    else if (level > 0) {
      for (let j = begin; j < end; j += 2) {
        const pair = 2 * symbols[at++];
        if (pair >= PAIRS.length) check(false, 'no such pair');
        rows[j] = PAIRS[pair];
        if (j + 1 < end) rows[j + 1] = PAIRS[pair + 1];
      }
    } else rows.fill(0, begin, end);
    if (!head.tree || (channel === 3 && !head.intra)) continue;
    if (tree) for (let j = 1; j < n; j++) rows[begin + j] += rows[begin + tree.parents[j]];
    else for (let j = begin + 1; j < end; j++) rows[j] += rows[j - 1];
  }
  return affine;
}

/** Turns the reference about its mean. Products stay below 2^53; shifts would not do. */
function addAffine(rows: Float64Array, n: number, numbers: readonly number[], q: Int32Array): void {
  check(numbers.every((value) => Math.abs(value) < 2 ** 22), 'affine motion too large');
  const means = [0, 1, 2].map((c) => {
    let sum = 0;
    for (let j = c * n; j < (c + 1) * n; j++) sum += q[j];
    return Math.floor(sum / n);
  });
  const [x, y, z] = means;
  for (let i = 0; i < 3; i++) {
    const [t, a0, a1, a2] = numbers.slice(4 * i, 4 * i + 4);
    for (let j = 0; j < n; j++) {
      const turned = a0 * (q[j] - x) + a1 * (q[n + j] - y) + a2 * (q[2 * n + j] - z);
      rows[i * n + j] += t + Math.floor((turned + 2048) / 4096);
    }
  }
}

/** The numbers of a part while they are put together: sums along the tree leave 32 bits, doubles hold them exactly. */
const sums = new Float64Array(4 * MAX_LANDMARKS);

/** "From numbers to values". */
function rebuild(part: Part, head: PartHead, symbols: Uint32Array, before: PartState): PartState {
  const { n } = part;
  if (head.mode < 2) {
    const none = head.mode === 1 ? new Uint8Array(n) : null;
    return { q: before.q, motion: null, xyz: none, vis: none, known: before.known };
  }
  const rows = sums.subarray(0, 4 * n);
  const affine = readRows(rows, part, head, symbols);
  if (!head.intra) addReference(rows, n, head, affine, before);
  const q = new Int32Array(4 * n);
  let worst = 0;
  for (let j = 0; j < q.length; j++) {
    worst = Math.max(worst, Math.abs(rows[j]));
    q[j] = rows[j];
  }
  check(worst <= MAX_Q, 'a number too large');
  let motion: Int32Array | null = null;
  if (!head.intra) {
    motion = new Int32Array(3 * n);
    for (let j = 0; j < 3 * n; j++) motion[j] = q[j] - before.q[j];
  }
  return { q, motion, xyz: head.xyz, vis: head.vis, known: true };
}

function addReference(rows: Float64Array, n: number, { shares, xyz, vis }: PartHead, affine: number[] | null, { q, motion }: PartState): void {
  if (affine) addAffine(rows, n, affine, q);
  for (let channel = 0; channel < 4; channel++) {
    const end = (channel + 1) * n;
    const share = shares && motion && channel < 3 ? shares[channel] : 0;
    if (share && motion) for (let j = channel * n; j < end; j++) rows[j] += (share * motion[j] + 4) >> 3;
    const found = channel < 3 ? xyz : vis;
    if (found) for (let j = channel * n, i = 0; j < end; j++, i++) rows[j] = found[i] ? q[j] + rows[j] : q[j];
    else for (let j = channel * n; j < end; j++) rows[j] += q[j];
  }
}

/** What the user sees of a frame. */
function poseOf({ skeleton, sizes, parts }: Chain, heads: readonly PartHead[], states: readonly PartState[]): Pose {
  const result: { skeleton: string } & Record<Slot, Float32Array | null> = { skeleton, pose: null, face: null, hands: null };
  parts.forEach(({ slot, start, n, steps }, i) => {
    if (heads[i].mode === 0) return;
    const { q, xyz, vis } = states[i];
    const out = (result[slot] ??= new Float32Array(sizes[slot]));
    for (let c = 0; c < 4; c++) {
      const found = c < 3 ? xyz : vis;
      const step = steps[c];
      for (let j = 0; j < n; j++) out[start + 4 * j + c] = !found || found[j] ? q[c * n + j] * step : NaN;
    }
  });
  return result;
}

/** The poses of one stream. Give it packets that are otherwise accepted, each once, in any order. */
export class V3Decoder {
  readonly #references = new Map<number, { chain: Chain; states: readonly PartState[] }>();

  /** Nine precisions of the newest keyframe: a sender that is short of room makes them coarser. */
  bits: readonly number[] = DEFAULT_BITS;

  /** Refuses with ProtocolError; MissingReference says that a keyframe is needed. */
  decode(header: Pick<Header, 'frameType' | 'seq' | 'ref'>, body: Uint8Array): Pose {
    const key = header.frameType === 'key';
    const reader = new Reader(body);
    const reference = key ? undefined : this.#references.get(header.seq - header.ref);
    if (!key && !reference) throw new MissingReference(`frame ${header.seq} refers to ${header.seq - header.ref}`);
    const chain = reference?.chain ?? readChain(reader);
    if (key && chain.raw) return readRaw(reader, chain);
    const before = reference?.states ?? chain.parts.map(({ n }) => blankState(n));
    const heads = chain.parts.map(({ n }, i) => readPartHead(reader, n, before[i]));
    const absent = heads.map(({ mode }) => mode === 0);
    check(!absent.every(Boolean) && !(key && absent.includes(true)), 'nothing in it, or a keyframe without one of its parts');
    check(chain.sizes.hands === 0 || absent.at(-1) === absent.at(-2), 'one hand without the other');
    let count = 0;
    const ends = heads.map((head, i) => (count = addParameters(count, head, chain.parts[i])));
    check(reader.left <= 16 * chain.parts.reduce((sum, { n }) => sum + n, 0), 'longer than raw');
    const symbols = readSymbols(reader, parameters, count);
    const states = chain.parts.map((part, i) => rebuild(part, heads[i], symbols.subarray(i ? ends[i - 1] : 0, ends[i]), before[i]));
    if (header.frameType !== 'leaf') this.#keep(header.seq, chain, states);
    if (key) this.bits = chain.bits;
    return poseOf(chain, heads, states);
  }

  /** What is kept of a keyframe or anchor that came last. For an encoder, which must know what its receivers have. */
  statesOf(seq: number): readonly PartState[] {
    const reference = this.#references.get(seq);
    if (!reference) throw new Error(`frame ${seq} is not kept`);
    return reference.states;
  }

  #keep(seq: number, chain: Chain, states: readonly PartState[]): void {
    this.#references.set(seq, { chain, states });
    if (this.#references.size > REFERENCES) this.#references.delete(Math.min(...this.#references.keys()));
  }
}
