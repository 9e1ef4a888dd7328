/** "Body version 2" of docs/wire.md. */
import { concat, viewOf, type Bytes } from './bytes.js';
import { check } from './errors.js';
import { deflate, inflate } from './inflate.js';
import { MsgpackReader, MsgpackWriter, type Value } from './msgpack.js';
import { DEFAULT_SKELETON, MAX_LANDMARKS, bytesOfFloats, checkPose, floatsOf, isName, type Pose } from './pose.js';

export const MAX_EVENT = 65_536;
export const MAX_SAMPLES = 200_000;
const MAX_OPUS = 4000;

/** A piece of sound; samples are interleaved by channel. */
export interface AudioChunk {
  readonly sampleRate: number;
  readonly channels: number;
  readonly samples: Int16Array | Float32Array;
}

/** A packet of Opus (RFC 6716), and once more the one before it, if there is a copy. */
export interface OpusPacket {
  readonly channels: number;
  readonly packet: Uint8Array;
  /** Counts the packets that were made. */
  readonly number: number;
  readonly previous: Uint8Array;
}

/** What a member says to the others of a room. */
export interface EventBody {
  readonly name: string;
  readonly data: Value;
}

/** Names that only the session itself gives to events. */
export const RESERVED: ReadonlySet<string> = new Set([
  'connect', 'disconnect', 'reconnect', 'bye', 'room', 'presence', 'keyframe', 'quality', 'drop', 'clock', 'alert', 'frame', 'ack', 'report', 'confirm',
  'notice', 'endpoint', 'synchronization',
]);

function arrayOf(bytes: Uint8Array, atLeast: number): readonly Value[] {
  const reader = new MsgpackReader(bytes);
  const array = reader.value();
  check(reader.left === 0, 'something behind the array');
  check(Array.isArray(array) && array.length >= atLeast, 'not an array, or too short');
  return array as readonly Value[];
}

/** Hands the array of a body to `read`: at once, or after inflating it. */
function unpacked<T>(body: Uint8Array, atLeast: number, read: (array: readonly Value[]) => T): T | Promise<T> {
  check(body.length >= 1 && body[0] <= 1, 'the first byte is not 0 or 1');
  if (body[0] === 0) return read(arrayOf(body.subarray(1), atLeast));
  return inflate(body.subarray(1)).then((bytes) => read(arrayOf(bytes, atLeast)));
}

function partOf(value: Value, most: number): Float32Array | null {
  if (value === null) return null;
  check(value instanceof Uint8Array && value.length <= 16 * most, 'a part is too long, or not bytes');
  return floatsOf(value);
}

/** Reads a pose; a promise only when it is compressed. */
export function decodePoseV2(body: Uint8Array): Pose | Promise<Pose> {
  return unpacked(body, 3, ([pose, face, hands, skeleton = DEFAULT_SKELETON]) => {
    check(isName(skeleton), 'not a name of a skeleton');
    return checkPose({ skeleton, pose: partOf(pose, MAX_LANDMARKS), face: partOf(face, 478), hands: partOf(hands, 42) });
  });
}

/** Reads sound; a promise only when it is compressed. */
export function decodeAudioV2(body: Uint8Array): AudioChunk | OpusPacket | Promise<AudioChunk | OpusPacket> {
  return unpacked(body, 4, (array) => {
    const [sampleRate, channels, format, bytes] = array;
    check(typeof sampleRate === 'number' && Number.isInteger(sampleRate) && sampleRate > 0, 'not audio');
    check(typeof channels === 'number' && Number.isInteger(channels) && channels > 0, 'not audio');
    check(bytes instanceof Uint8Array, 'not audio');
    if (format === 'opus') return opusOf(channels, bytes, array[4], array[5]);
    const size = format === 'i2' ? 2 : format === 'f4' ? 4 : 0;
    check(size && bytes.length <= MAX_SAMPLES * size && bytes.length % (size * channels) === 0, 'unknown format, or wrong number of samples');
    return { sampleRate, channels, samples: size === 4 ? finite(floatsOf(bytes)) : integersOf(bytes) };
  });
}

function opusOf(channels: number, packet: Uint8Array, number: Value, previous: Value): OpusPacket {
  check(channels <= 2 && packet.length >= 1 && packet.length <= MAX_OPUS, 'not Opus');
  check(typeof number === 'number' && Number.isInteger(number) && number >= 0 && number < 2 ** 32, 'not Opus');
  check(previous instanceof Uint8Array && previous.length <= MAX_OPUS, 'not Opus');
  return { channels, packet, number, previous };
}

function finite(samples: Float32Array): Float32Array {
  for (const sample of samples) check(Number.isFinite(sample), 'a sample that is not finite');
  return samples;
}

function integersOf(bytes: Uint8Array): Int16Array {
  const view = viewOf(bytes);
  const samples = new Int16Array(bytes.length / 2);
  for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(2 * i, true);
  return samples;
}

export function decodeEventV2(body: Uint8Array): EventBody {
  check(body.length >= 1 && body.length <= MAX_EVENT && body[0] === 0, 'an event that is too long, empty or compressed');
  const [name, data] = arrayOf(body.subarray(1), 2);
  check(isName(name) && !RESERVED.has(name), 'not a name of an event');
  return { name, data };
}

function packed(values: readonly unknown[]): Bytes {
  const writer = new MsgpackWriter();
  writer.u8(0);
  writer.value(values);
  return writer.done();
}

export function encodePoseV2(value: Pose): Bytes {
  const { skeleton, pose, face, hands } = checkPose(value);
  const part = (floats: Float32Array | null) => floats && bytesOfFloats(floats);
  return packed([part(pose), part(face), part(hands), skeleton]);
}

export function encodeAudioV2({ sampleRate, channels, samples }: AudioChunk): Bytes {
  check(samples.length <= MAX_SAMPLES && samples.length % channels === 0, 'wrong number of samples');
  if (samples instanceof Float32Array) return packed([sampleRate, channels, 'f4', bytesOfFloats(samples)]);
  const bytes = new Uint8Array(2 * samples.length);
  const view = viewOf(bytes);
  samples.forEach((sample, i) => view.setInt16(2 * i, sample, true));
  return packed([sampleRate, channels, 'i2', bytes]);
}

export function encodeOpusV2({ channels, packet, number, previous }: OpusPacket): Bytes {
  return packed([48_000, channels, 'opus', packet, number, previous]);
}

export function encodeEventV2(name: string, data: unknown): Bytes {
  check(isName(name) && !RESERVED.has(name), `${JSON.stringify(name)} is not a name of an event`);
  const body = packed([name, data]);
  check(body.length <= MAX_EVENT, `an event of ${body.length} bytes, at most ${MAX_EVENT}`);
  return body;
}

/** The same body compressed, when that is shorter. Not for events. */
export async function compressed(body: Bytes): Promise<Bytes> {
  const small = await deflate(body.subarray(1));
  return small.length + 1 < body.length ? concat(Uint8Array.of(1), small) : body;
}
