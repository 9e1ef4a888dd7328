/** What all parts of the example agree on: refusals, reading bytes, what a pose may be. */
/**
 * @typedef {{skeleton: string, pose: Float32Array|null, face: Float32Array|null, hands: Float32Array|null}} Pose
 *   Each part is x, y, z, visibility of each landmark, NaN where not found; hands are the left, then the right.
 * @typedef {{version: number, kind: string, delivery: string, frameType: string, seal: string, stream: number,
 *   member: number, seq: number, ref: number, capturedUs: bigint}} Header
 */
import { inflateSync } from 'node:zlib';

export class ProtocolError extends Error {
  constructor(message, word = 'damaged') {
    super(message);
    this.name = new.target.name;
    this.word = word;
  }
}

/** The frame refers to one that did not come: ask `stream.keyframe`. */
export class MissingReference extends ProtocolError {
  constructor(message) {
    super(message, 'missing_reference');
  }
}

/** @returns {asserts condition} */
export function check(condition, message, word) {
  if (!condition) throw new ProtocolError(message, word);
}

/** For functions of Node's whose errors mean that the input is bad. */
export function refusing(message, run, word) {
  try {
    return run();
  } catch (error) {
    throw new ProtocolError(`${message}: ${error.message}`, word);
  }
}

export const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
export const utf8 = (bytes) => refusing('not UTF-8', () => UTF8.decode(bytes));
export const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Reads bytes from the front; whoever reads past the end gets a ProtocolError. */
export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.at = 0;
  }
  get left() {
    return this.bytes.length - this.at;
  }
  skip(size) {
    check(size <= this.left, 'cut short');
    this.at += size;
    return this.at - size;
  }
  take(size) {
    const at = this.skip(size);
    return this.bytes.subarray(at, at + size);
  }
  u8() {
    return this.bytes[this.skip(1)];
  }
  u16() {
    return this.view.getUint16(this.skip(2), true);
  }
}
// ---- what all versions agree on ----

export const DEFAULT_SKELETON = 'mediapipe33';
export const MAX_LANDMARKS = 2048;
export const MAX_INFLATED = 1_048_576;
export const isName = (text) => typeof text === 'string' && text.length <= 256 && [...text].length >= 1 && [...text].length <= 128;
export const inflate = (bytes) => refusing('bad zlib', () => inflateSync(bytes, { maxOutputLength: MAX_INFLATED }));

/** Refuses what is infinite, and x, y and z of which only some are NaN. @param {Float32Array} part */
export function checkPart(part) {
  for (let i = 0; i < part.length; i += 4) {
    const missing = Number.isNaN(part[i]);
    check(missing === Number.isNaN(part[i + 1]) && missing === Number.isNaN(part[i + 2]), 'half a landmark is NaN');
    for (let c = 0; c < 4; c++) check(Math.abs(part[i + c]) !== Infinity, 'infinite');
  }
  return part;
}

export function floatsOf(bytes) {
  check(bytes.length % 4 === 0, 'half a float');
  const view = viewOf(bytes);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** The counts of "Body version 2". @param {Pose} result @returns {Pose} */
export function checkPose(result) {
  const { skeleton, pose, face, hands } = result;
  const [most, least] = skeleton === DEFAULT_SKELETON ? [33, 33] : [MAX_LANDMARKS, 1];
  check(isName(skeleton), 'not a name of a skeleton');
  check(!pose || (pose.length % 4 === 0 && pose.length >= 4 * least && pose.length <= 4 * most), 'wrong number of landmarks');
  check(!face || [4 * 468, 4 * 478].includes(face.length), 'wrong number of landmarks of the face');
  check(!hands || hands.length === 4 * 42, 'wrong number of landmarks of the hands');
  for (const part of [pose, face, hands]) if (part) checkPart(part);
  return result;
}
