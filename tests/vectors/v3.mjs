/** "Body version 3" of docs/wire.md. */
import { DEFAULT_SKELETON, MAX_LANDMARKS, MissingReference, Reader, check, checkPart, floatsOf, isName, utf8 } from './common.mjs';

const MAX_Q = 8_388_607;
const numbersIn = (text) => text.split(' ').map(Number);

/** "Tables"; the first landmark has no parent, its own number stands in. */
const POSE_TREE = {
  parents: numbersIn('0 0 1 2 0 4 5 3 6 0 9 0 11 11 12 13 14 15 16 17 18 15 16 11 12 23 24 25 26 27 28 29 30'),
  xy: numbersIn('3 -5 -7 -7 -5 -7 -7 -4 -4 -5 -5 1 1 4 4 7 7 2 2 -1 -1 2 2 3 3 5 5 4 4 -1 -1 2 2'),
  z: numbersIn('7 -5 -11 -11 -5 -11 -11 2 2 -4 -4 5 5 5 5 6 6 -2 -2 -1 -1 -4 -4 6 6 6 6 6 6 -4 -4 1 1'),
};
const HAND_TREE = {
  parents: numbersIn('0 0 1 2 3 0 5 6 7 0 9 10 11 0 13 14 15 0 17 18 19'),
  xy: numbersIn('5 0 0 0 0 3 0 -2 -2 2 0 -1 -2 3 0 -2 -2 3 -2 -3 -2'),
  z: numbersIn('-6 0 -1 -1 -1 4 0 0 -1 4 1 -1 -2 4 1 -1 -2 4 0 -1 -2'),
};

/** Symbol → pair, in the order of "Pairs". */
const PAIRS = Array.from({ length: 961 }, (_, i) => [Math.floor(i / 31) - 15, (i % 31) - 15])
  .sort(([a, b], [c, d]) => a * a + b * b - (c * c + d * d) || a - c || b - d);

/**
 * @typedef {{slot: 'pose'|'face'|'hands', start: number, n: number, parents: ?number[], offsets: ?number[][], steps: number[]}} Part
 * @typedef {{skeleton: string, raw: boolean, sizes: Record<string, number>, parts: Part[]}} Chain
 * @typedef {{q: Int32Array, motion: Int32Array|null, xyz: Uint8Array|null, vis: Uint8Array|null, known: boolean}} State
 *   Rows x, y, z, visibility of n numbers. xyz and vis say which were found; both are null when all were.
 */

/** "How a keyframe begins". @param {Reader} reader @returns {Chain} */
function readChain(reader) {
  const flags = reader.u8();
  const has = { pose: flags & 8, face: flags & 16, hands: flags & 32 };
  check(flags < 128 && flags & 56 && (has.face || !(flags & 64)) && (flags & 3) !== 3, 'unknown flags, no part, or the size of no face');
  let [skeleton, landmarks] = [DEFAULT_SKELETON, 33];
  if (flags & 4) {
    skeleton = utf8(reader.take(reader.u16()));
    landmarks = reader.u16();
    check(isName(skeleton) && skeleton !== DEFAULT_SKELETON, 'not a name of another skeleton');
    check(landmarks <= MAX_LANDMARKS && (landmarks === 0) === !has.pose, 'wrong number of landmarks');
  }
  const bits = flags & 2 ? Array.from(reader.take(9), (byte) => byte - 8) : [11, 9, 5, 11, 9, 5, 11, 9, 5];
  check(bits.every((b) => b <= 20), 'precision too high');
  const sizes = { pose: has.pose && 4 * landmarks, face: has.face && 4 * (flags & 64 ? 478 : 468), hands: has.hands && 4 * 42 };
  const part = (slot, index, n, tree, start = 0) => {
    const [xy, z, vis] = bits.slice(3 * index, 3 * index + 3).map((b) => 2 ** -b);
    return { slot, start, n, parents: tree?.parents, offsets: tree && [tree.xy, tree.xy, tree.z], steps: [xy, xy, z, vis] };
  };
  const parts = [];
  if (has.pose) parts.push(part('pose', 0, landmarks, skeleton === DEFAULT_SKELETON ? POSE_TREE : null));
  if (has.face) parts.push(part('face', 1, sizes.face / 4, null));
  if (has.hands) parts.push(part('hands', 2, 21, HAND_TREE), part('hands', 2, 21, HAND_TREE, 4 * 21));
  return { skeleton, raw: (flags & 1) === 1, sizes, parts };
}

/** @param {Reader} reader @param {Chain} chain @returns {Pose} */
function readRaw(reader, { skeleton, sizes }) {
  check(reader.left === 4 * (sizes.pose + sizes.face + sizes.hands), 'a raw frame of the wrong size');
  const part = (size) => (size ? checkPart(floatsOf(reader.take(4 * size))) : null);
  return { skeleton, pose: part(sizes.pose), face: part(sizes.face), hands: part(sizes.hands) };
}

/** A bit for each of n, the first is the highest of the first byte. */
function readMask(reader, n) {
  const bytes = reader.take(Math.ceil(n / 8));
  check(n % 8 === 0 || (bytes.at(-1) & (255 >> n % 8)) === 0, 'padding of a mask');
  return Uint8Array.from({ length: n }, (_, j) => (bytes[j >> 3] >> (7 - (j & 7))) & 1);
}

/** `count` numbers of `size` bits, the lowest first. */
const fields = (value, count, size) => Array.from({ length: count }, (_, i) => (value >> (size * i)) & ((1 << size) - 1));

/** "Part header". @param {Reader} reader @param {Part} part @param {State} before the part in the reference */
function readPartHeader(reader, { n }, before) {
  const first = reader.u8();
  const [intra, tree, affine, motion] = [8, 16, 32, 64].map((flag) => (first & flag) !== 0);
  const head = { mode: first & 7, intra, tree, affine, shares: null, levels: [0, 0, 0, 0], xyz: null, vis: null };
  check(first < 128 && head.mode <= 4 && (head.mode >= 2 || first < 2), 'unknown mode or flags');
  if (head.mode < 2) return head;
  check(intra ? !affine && !motion : before.known && (!motion || before.motion), 'flags that do not fit, or no such reference');
  if (motion) {
    const shares = reader.u16();
    check(shares < 0x8000, 'bit 15 of the shares');
    head.shares = fields(shares, 3, 5).map((share) => share - 16);
  }
  head.levels = fields(reader.u16() | (reader.u8() << 16), 4, 6);
  if (head.mode === 3) {
    check(before.xyz && (before.xyz.includes(1) || before.vis.includes(1)), 'the same as in a reference of all or nothing');
    [head.xyz, head.vis] = [before.xyz, before.vis];
  } else if (head.mode === 4) {
    const masks = [readMask(reader, n), readMask(reader, n)];
    check([0, 1].every((bit) => masks.some((mask) => mask.includes(bit))), 'masks that say what another mode says');
    [head.xyz, head.vis] = masks;
  }
  return head;
}

/** Adds the Rice parameter of each symbol of a part: at most 12 + 4 × 2,048, whatever a packet says. @param {number[]} into */
function addParameters(into, { affine, tree, levels }, { n, offsets }) {
  if (affine) for (let i = 0; i < 12; i++) into.push(6);
  levels.forEach((level, channel) => {
    const row = tree && offsets?.[channel];
    if (level >= 6) for (let j = 0; j < n; j++) into.push(Math.max(0, (level - 11 + (row ? row[j] : 0)) >> 2));
    else if (level > 0) for (let j = 0; j < n; j += 2) into.push(level - 1);
  });
  return into.length;
}

/** "Symbols": the prefixes of all, then the low bits of all. @param {Reader} reader @param {number[]} parameters */
function readSymbols(reader, parameters) {
  const size = 8 * reader.left;
  check(parameters.length <= size, 'cut short'); // each symbol has a bit or more
  const bytes = new Uint8Array(reader.left + 8); // zeros behind: four bytes can be read anywhere
  bytes.set(reader.take(reader.left));
  /** 32 bits from there on, of which 25 are sure. */
  const peek = (bit) => {
    const i = bit >> 3;
    return ((bytes[i] << 24) | (bytes[i + 1] << 16) | (bytes[i + 2] << 8) | bytes[i + 3]) << (bit & 7);
  };
  const symbols = new Uint32Array(parameters.length);
  const widths = new Uint8Array(parameters.length);
  let [bit, low] = [0, 0];
  for (let s = 0; s < symbols.length; s++) {
    let [p, run] = [0, 0];
    do {
      run = Math.min(25, Math.clz32(peek(bit)));
      p += run;
      bit += run;
    } while (run === 25 && p <= 50);
    bit++; // the one
    const k = parameters[s];
    const d = Math.max(0, p - 11);
    check(k + d <= 25 && bit <= size, 'a symbol too long, or cut short');
    symbols[s] = (d ? 10 + 2 ** d : p) * 2 ** k;
    low += widths[s] = k + d;
  }
  check(Math.ceil((bit + low) / 8) === size / 8, 'cut short, or something behind it');
  for (let s = 0; s < symbols.length; bit += widths[s++]) if (widths[s]) symbols[s] += peek(bit) >>> (32 - widths[s]);
  check(bit === size || peek(bit) === 0, 'padding');
  return symbols;
}

/** "From numbers to values". @returns {State} */
function rebuild({ n, parents }, head, symbols, before) {
  if (head.mode < 2) {
    const none = head.mode === 1 ? new Uint8Array(n) : null;
    return { q: before.q, motion: null, xyz: none, vis: none, known: before.known };
  }
  let at = 0;
  const number = () => (symbols[at] >>> 1) ^ -(symbols[at++] & 1); // zigzag
  const affine = head.affine && Array.from({ length: 12 }, number);
  const rows = new Float64Array(4 * n); // sums along the tree leave 32 bits, doubles hold them exactly
  head.levels.forEach((level, channel) => {
    const row = rows.subarray(channel * n, (channel + 1) * n);
    if (level >= 6) for (let j = 0; j < n; j++) row[j] = number();
    else if (level > 0) for (let j = 0; j < n; j += 2) {
      check(symbols[at] < PAIRS.length, 'no such pair');
      [row[j], row[j + 1]] = PAIRS[symbols[at++]]; // what lies behind an odd row is thrown away
    }
    if (head.tree && (channel < 3 || head.intra)) for (let j = 1; j < n; j++) row[j] += row[parents ? parents[j] : j - 1];
  });
  if (!head.intra) {
    if (affine) addAffine(rows, n, affine, before.q);
    head.shares?.forEach((share, i) => {
      for (let j = i * n; j < (i + 1) * n; j++) rows[j] += (share * before.motion[j] + 4) >> 3;
    });
    for (let j = 0; j < 4 * n; j++) {
      const found = !head.xyz || (j < 3 * n ? head.xyz[j % n] : head.vis[j - 3 * n]);
      rows[j] = before.q[j] + (found ? rows[j] : 0);
    }
  }
  check(rows.every((value) => value >= -MAX_Q && value <= MAX_Q), 'a number too large');
  const q = Int32Array.from(rows);
  const motion = head.intra ? null : q.subarray(0, 3 * n).map((value, j) => value - before.q[j]);
  return { q, motion, xyz: head.xyz, vis: head.vis, known: true };
}

/** Turns the reference about its mean. Products stay below 2^53, shifts would not do. */
function addAffine(rows, n, numbers, q) {
  check(numbers.every((value) => Math.abs(value) < 2 ** 22), 'affine motion too large');
  const means = [0, 1, 2].map((c) => Math.floor(q.subarray(c * n, (c + 1) * n).reduce((sum, value) => sum + value, 0) / n));
  for (let i = 0; i < 3; i++) {
    const [t, a0, a1, a2] = numbers.slice(4 * i, 4 * i + 4);
    for (let j = 0; j < n; j++) {
      const turned = a0 * (q[j] - means[0]) + a1 * (q[n + j] - means[1]) + a2 * (q[2 * n + j] - means[2]);
      rows[i * n + j] += t + Math.floor((turned + 2048) / 4096);
    }
  }
}

/** What the user sees of a frame. @returns {Pose} */
function poseOf({ skeleton, sizes, parts }, heads, states) {
  const result = { skeleton, pose: null, face: null, hands: null };
  parts.forEach(({ slot, start, n, steps }, i) => {
    if (heads[i].mode === 0) return;
    const { q, xyz, vis } = states[i];
    const out = (result[slot] ??= new Float32Array(sizes[slot]));
    for (let c = 0; c < 4; c++) {
      const found = c < 3 ? xyz : vis;
      for (let j = 0; j < n; j++) out[start + 4 * j + c] = !found || found[j] ? q[c * n + j] * steps[c] : NaN;
    }
  });
  return result;
}

const blank = ({ n }) => ({ q: new Int32Array(4 * n), motion: null, xyz: null, vis: null, known: false });

/** The poses of one stream. Give it packets that are otherwise accepted ("What is accepted"), each once, in any order. */
export class V3Decoder {
  /** @type {Map<number, {chain: Chain, states: State[]}>} the last keyframes and anchors, by seq */
  references = new Map();

  /** @param {Header} header @param {Uint8Array} body @returns {Pose} */
  decode(header, body) {
    check(header.version === 3 && header.kind === 'pose', 'not a pose of version 3');
    const key = header.frameType === 'key';
    const reader = new Reader(body);
    const reference = key ? null : this.references.get(header.seq - header.ref);
    if (!key && !reference) throw new MissingReference(`frame ${header.seq} refers to ${header.seq - header.ref}`);
    const chain = reference?.chain ?? readChain(reader);
    if (key && chain.raw) return readRaw(reader, chain);
    const before = reference?.states ?? chain.parts.map(blank);
    const heads = chain.parts.map((part, i) => readPartHeader(reader, part, before[i]));
    const absent = heads.map(({ mode }) => mode === 0);
    check(!absent.every(Boolean) && !(key && absent.includes(true)), 'nothing in it, or a keyframe without one of its parts');
    check(chain.sizes.hands === 0 || absent.at(-1) === absent.at(-2), 'one hand without the other');

    const parameters = [];
    const ends = heads.map((head, i) => addParameters(parameters, head, chain.parts[i]));
    check(reader.left <= 16 * chain.parts.reduce((sum, { n }) => sum + n, 0), 'longer than raw');
    const symbols = readSymbols(reader, parameters);
    const states = chain.parts.map((part, i) => rebuild(part, heads[i], symbols.subarray(ends[i - 1] ?? 0, ends[i]), before[i]));
    if (header.frameType !== 'leaf') this.#keep(header.seq, { chain, states });
    return poseOf(chain, heads, states);
  }

  #keep(seq, reference) {
    this.references.set(seq, reference);
    if (this.references.size > 4) this.references.delete(Math.min(...this.references.keys()));
  }
}
