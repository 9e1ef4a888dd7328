/** "Body version 2" and "Body version 1" of docs/wire.md. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { DEFAULT_SKELETON, MAX_LANDMARKS, Reader, check, checkPose, floatsOf, inflate, isName, refusing, utf8, viewOf } from './common.mjs';

const parseJson = (text) => refusing('bad JSON', () => JSON.parse(text));
const isMap = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Checks the signature. Freshness, and that no time comes twice, are the caller's: `timestamp` is for that.
 * @param {string} text @param {Uint8Array} key the `key` of `room.join` @returns {Pose & {timestamp: number}}
 */
export function decodeV1(text, key) {
  const outer = parseJson(text);
  check(isMap(outer) && typeof outer.compressed === 'boolean' && typeof outer.data === 'string'
    && Number.isFinite(outer.timestamp) && typeof outer.signature === 'string', 'not a message of version 1');
  const [head, claims, signature, ...more] = outer.signature.split('.');
  check(signature !== undefined && more.length === 0, 'not a JWT', 'altered');
  const expected = createHmac('sha256', key).update(`${head}.${claims}`).digest();
  const found = Buffer.from(signature, 'base64url');
  check(found.length === expected.length && timingSafeEqual(found, expected), 'the signature is wrong', 'altered');
  const [jwt, claim] = [head, claims].map((part) => parseJson(utf8(Buffer.from(part, 'base64url'))));
  check(jwt?.alg === 'HS256', 'not HS256', 'altered');
  check(claim?.message === outer.data + Math.round(outer.timestamp * 1e6), 'signed for another message', 'altered');

  const data = parseJson(outer.compressed ? utf8(inflate(Buffer.from(outer.data, 'base64'))) : outer.data);
  check(isMap(data), 'data is not a map');
  const { pose_landmarks: pose, face_landmarks: face, hand_landmarks: hands, skeleton } = data;
  check(hands == null || (Array.isArray(hands) && hands.length === 2 && hands.every((hand) => hand?.length === 21)), 'not two hands');
  const result = { skeleton: skeleton ?? DEFAULT_SKELETON, pose: fromJson(pose), face: fromJson(face), hands: fromJson(hands?.flat()) };
  return { ...checkPose(result), timestamp: outer.timestamp };
}

function fromJson(landmarks) {
  if (landmarks == null) return null;
  check(Array.isArray(landmarks) && landmarks.length <= MAX_LANDMARKS && landmarks.every(isMap), 'not landmarks');
  const numbers = landmarks.flatMap(({ x, y, z, visibility = 1 }) => [x, y, z, visibility]);
  check(numbers.every((value) => value === null || typeof value === 'number'), 'a coordinate that is no number');
  return Float32Array.from(numbers, (value) => value ?? NaN);
}

// ---- "Body version 2" ----

/** The page sets no depth; without one, bytes of 0x91 would overflow the stack. */
const MAX_DEPTH = 256;

/** One value of msgpack; an extension becomes {type, data}. @param {Reader} reader */
function readMsgpack(reader, depth = 0) {
  check(depth <= MAX_DEPTH, 'nested too deep');
  const get = (kind, size) => reader.view[`get${kind}`](reader.skip(size)); // msgpack's own numbers are big-endian
  const uint = (log) => get(`Uint${8 << log}`, 1 << log);
  const big = (value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value);
  const list = (size, read) => {
    check(size <= reader.left, 'cut short'); // before allocating: each element has a byte or more
    return Array.from({ length: size }, read);
  };
  const value = () => readMsgpack(reader, depth + 1);
  const map = (size) => {
    const pairs = list(size, () => [value(), value()]);
    return pairs.every(([key]) => typeof key === 'string') ? Object.fromEntries(pairs) : new Map(pairs);
  };
  const text = (size) => utf8(reader.take(size));
  const extension = (size) => ({ type: get('Int8', 1), data: reader.take(size) });
  const tag = reader.u8();
  if (tag < 0x80) return tag;
  if (tag < 0x90) return map(tag & 15);
  if (tag < 0xa0) return list(tag & 15, value);
  if (tag < 0xc0) return text(tag & 31);
  if (tag >= 0xe0) return tag - 256;
  check(tag !== 0xc1, 'not msgpack');
  if (tag === 0xc0) return null;
  if (tag < 0xc4) return tag === 0xc3;
  if (tag < 0xc7) return reader.take(uint(tag - 0xc4));
  if (tag < 0xca) return extension(uint(tag - 0xc7));
  if (tag < 0xcc) return tag === 0xca ? get('Float32', 4) : get('Float64', 8);
  if (tag < 0xd0) return tag === 0xcf ? big(get('BigUint64', 8)) : uint(tag - 0xcc);
  if (tag < 0xd4) return tag === 0xd3 ? big(get('BigInt64', 8)) : get(`Int${8 << (tag - 0xd0)}`, 1 << (tag - 0xd0));
  if (tag < 0xd9) return extension(1 << (tag - 0xd4));
  if (tag < 0xdc) return text(uint(tag - 0xd9));
  return tag < 0xde ? list(uint(tag - 0xdb), value) : map(uint(tag - 0xdd));
}

function readArray(body, atLeast, mayCompress) {
  check(body.length >= 1 && body[0] <= (mayCompress ? 1 : 0), 'the first byte is not 0 or 1, or the body may not be compressed');
  const reader = new Reader(body[0] ? inflate(body.subarray(1)) : body.subarray(1));
  const array = readMsgpack(reader);
  check(reader.left === 0 && Array.isArray(array) && array.length >= atLeast, 'not an array, too short, or something behind it');
  return array;
}

/** @param {Uint8Array} body @returns {Pose} */
export function decodeV2Pose(body) {
  const [pose, face, hands, skeleton] = readArray(body, 4, true);
  const part = (bytes, most) => {
    if (bytes === null) return null;
    check(bytes instanceof Uint8Array && bytes.length <= 16 * most, 'a part is too long, or not bytes');
    return floatsOf(bytes);
  };
  return checkPose({ skeleton, pose: part(pose, MAX_LANDMARKS), face: part(face, 478), hands: part(hands, 42) });
}

/** @param {Uint8Array} body @returns {{sampleRate: number, channels: number, dtype: string, samples: Int16Array|Float32Array}} */
export function decodeV2Audio(body) {
  const [sampleRate, channels, format, bytes] = readArray(body, 4, true);
  const size = { i2: 2, f4: 4 }[format];
  check(size && Number.isInteger(sampleRate) && sampleRate > 0 && Number.isInteger(channels) && channels > 0, 'not audio');
  check(bytes instanceof Uint8Array && bytes.length <= 200_000 * size && bytes.length % (size * channels) === 0, 'wrong number of samples');
  if (format === 'f4') return { sampleRate, channels, dtype: 'float32', samples: floatsOf(bytes) };
  const view = viewOf(bytes);
  const samples = Int16Array.from({ length: bytes.length / 2 }, (_, i) => view.getInt16(2 * i, true));
  return { sampleRate, channels, dtype: 'int16', samples };
}

/** @param {Uint8Array} body @returns {{channels: number, packet: Uint8Array, number: number, previous: Uint8Array}} */
export function decodeV2Opus(body) {
  const [sampleRate, channels, format, packet, number, previous] = readArray(body, 6, false);
  check(sampleRate === 48_000 && format === 'opus' && (channels === 1 || channels === 2), 'not Opus');
  check(packet instanceof Uint8Array && packet.length >= 1 && packet.length <= 4000, 'no packet');
  check(Number.isInteger(number) && number >= 0 && number <= 0xffff_ffff, 'not a number of a packet');
  check(previous instanceof Uint8Array && previous.length <= 4000, 'no copy');
  return { channels, packet, number, previous };
}

const RESERVED = [
  'connect', 'disconnect', 'reconnect', 'bye', 'room', 'presence', 'keyframe', 'quality', 'drop', 'clock', 'alert', 'frame', 'ack', 'report',
  'confirm', 'notice', 'endpoint', 'synchronization',
];

/** @param {Uint8Array} body @returns {{name: string, data: unknown}} */
export function decodeV2Event(body) {
  check(body.length <= 65_536, 'an event of more than 65,536 bytes');
  const [name, data] = readArray(body, 2, false);
  check(isName(name) && !RESERVED.includes(name), 'not a name of an event');
  return { name, data };
}
