/** "Body version 1" of docs/wire.md: signed JSON, for poses only. Reading; freshness and repetition are the caller's. */
import { fromBase64, fromUtf8, plain, toUtf8, type Bytes } from './bytes.js';
import { ProtocolError, check, messageOf } from './errors.js';
import { inflate } from './inflate.js';
import { DEFAULT_SKELETON, MAX_LANDMARKS, checkPose, type Pose } from './pose.js';

/** A pose and when its body was made: microseconds since 1970 on the server's clock. */
export interface SignedPose {
  readonly pose: Pose;
  readonly signedUs: number;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new ProtocolError(`bad JSON: ${messageOf(error)}`);
  }
}

const isMap = (value: unknown): value is { [key: string]: Json } => typeof value === 'object' && value !== null && !Array.isArray(value);

function fromBase64Url(text: string): Bytes {
  check(/^[\w-]*$/.test(text), 'not a JWT', 'altered');
  return fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'));
}

async function checkSignature(signature: string, message: string, key: Uint8Array): Promise<void> {
  const parts = signature.split('.');
  check(parts.length === 3, 'not a JWT', 'altered');
  const [head, claims, mac] = parts;
  const hmac = await crypto.subtle.importKey('raw', plain(key), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
  const good = await crypto.subtle.verify('HMAC', hmac, fromBase64Url(mac), toUtf8(`${head}.${claims}`));
  check(good, 'the signature is wrong', 'altered');
  const [jwt, claim] = [head, claims].map((part) => parse(fromUtf8(fromBase64Url(part))));
  check(isMap(jwt) && jwt.alg === 'HS256', 'not HS256', 'altered');
  check(isMap(claim) && claim.message === message, 'signed for another message', 'altered');
}

/** Reads a body and checks its signature. `key`: the `key` of `room.join`. */
export async function decodePoseV1(body: Uint8Array, key: Uint8Array): Promise<SignedPose> {
  const outer = parse(fromUtf8(body));
  check(isMap(outer), 'not a message of version 1');
  const { compressed, data, timestamp, signature } = outer;
  check(typeof compressed === 'boolean' && typeof data === 'string' && typeof signature === 'string', 'not a message of version 1');
  check(typeof timestamp === 'number' && Number.isFinite(timestamp), 'not a message of version 1');
  const signedUs = Math.round(timestamp * 1e6);
  await checkSignature(signature, data + String(signedUs), key);
  const inner = parse(compressed ? fromUtf8(await inflate(fromBase64(data))) : data);
  check(isMap(inner), 'data is not a map');
  const { pose_landmarks: pose, face_landmarks: face, hand_landmarks: hands, skeleton } = inner;
  check(skeleton === undefined || typeof skeleton === 'string', 'not a name of a skeleton');
  const both = hands == null ? null : hands;
  check(both === null || (Array.isArray(both) && both.length === 2 && both.every((hand) => Array.isArray(hand) && hand.length === 21)), 'not two hands');
  const read = { skeleton: skeleton ?? DEFAULT_SKELETON, pose: landmarks(pose), face: landmarks(face), hands: landmarks(both && both.flat()) };
  return { pose: checkPose(read), signedUs };
}

function landmarks(list: Json | undefined): Float32Array | null {
  if (list == null) return null;
  check(Array.isArray(list) && list.length <= MAX_LANDMARKS, 'not landmarks');
  const floats = new Float32Array(4 * list.length);
  list.forEach((each, i) => {
    check(isMap(each), 'not landmarks');
    [each.x, each.y, each.z, each.visibility === undefined ? 1 : each.visibility].forEach((value, c) => {
      check(value === null || typeof value === 'number', 'a coordinate that is no number');
      floats[4 * i + c] = value ?? NaN;
    });
  });
  return floats;
}
