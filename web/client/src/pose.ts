/** What a pose may be, in all versions of the body. */
import { viewOf, type Bytes } from './bytes.js';
import { check } from './errors.js';

export const DEFAULT_SKELETON = 'mediapipe33';
export const MAX_LANDMARKS = 2048;
export const FACE_SIZES: readonly number[] = [468, 478];
export const HAND_LANDMARKS = 21;

/**
 * One person at one moment. Each part is x, y, z, visibility of each landmark, one after another; NaN where a joint was
 * not found (x, y and z together); null where the part is not sent. Hands are the left, then the right.
 */
export interface Pose {
  readonly skeleton: string;
  readonly pose: Float32Array | null;
  readonly face: Float32Array | null;
  readonly hands: Float32Array | null;
}

export type Slot = 'pose' | 'face' | 'hands';
export const SLOTS: readonly Slot[] = ['pose', 'face', 'hands'];

export const isName = (text: unknown): text is string => {
  if (typeof text !== 'string' || text.length > 256) return false;
  const size = [...text].length;
  return size >= 1 && size <= 128;
};

/** Refuses what is infinite, and x, y and z of which only some are NaN. */
export function checkPart(part: Float32Array): Float32Array {
  for (let i = 0; i < part.length; i += 4) {
    const missing = Number.isNaN(part[i]);
    check(missing === Number.isNaN(part[i + 1]) && missing === Number.isNaN(part[i + 2]), 'half a landmark is NaN');
    for (let c = 0; c < 4; c++) check(Math.abs(part[i + c]) !== Infinity, 'infinite');
  }
  return part;
}

/** Floats of little-endian bytes. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  check(bytes.length % 4 === 0, 'half a float');
  const view = viewOf(bytes);
  const floats = new Float32Array(bytes.length / 4);
  for (let i = 0; i < floats.length; i++) floats[i] = view.getFloat32(4 * i, true);
  return floats;
}

export function bytesOfFloats(floats: Float32Array): Bytes {
  const bytes = new Uint8Array(4 * floats.length);
  const view = viewOf(bytes);
  for (let i = 0; i < floats.length; i++) view.setFloat32(4 * i, floats[i], true);
  return bytes;
}

/** Refuses a pose that breaks the rules of the wire. */
export function checkPose(result: Pose): Pose {
  const { skeleton, pose, face, hands } = result;
  const [most, least] = skeleton === DEFAULT_SKELETON ? [33, 33] : [MAX_LANDMARKS, 1];
  check(isName(skeleton), 'not a name of a skeleton');
  check(pose ?? face ?? hands, 'no part is sent');
  check(!pose || (pose.length % 4 === 0 && pose.length >= 4 * least && pose.length <= 4 * most), 'wrong number of landmarks');
  check(!face || FACE_SIZES.includes(face.length / 4), 'wrong number of landmarks of the face');
  check(!hands || hands.length === 8 * HAND_LANDMARKS, 'wrong number of landmarks of the hands');
  for (const part of [pose, face, hands]) if (part) checkPart(part);
  return result;
}
