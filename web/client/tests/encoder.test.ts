/** What the encoder of version 3 writes: read back, within half a step, by this decoder. Python's is asked in the integration test. */
import { describe, expect, test } from 'vitest';
import { MissingReference } from '../src/errors.js';
import { V3Decoder } from '../src/v3-decoder.js';
import { V3Encoder, type EncodedFrame } from '../src/v3-encoder.js';
import type { Pose } from '../src/pose.js';
import { load, poseOf } from './vectors.js';

const HALF = { xyz: 2 ** -12, z: 2 ** -10, vis: 2 ** -6 };

function expectClose(found: Pose, source: Pose): void {
  expect(found.skeleton).toBe(source.skeleton);
  for (const slot of ['pose', 'face', 'hands'] as const) {
    const [a, b] = [found[slot], source[slot]];
    expect(a?.length).toBe(b?.length);
    b?.forEach((value, i) => {
      const most = i % 4 === 3 ? HALF.vis : i % 4 === 2 ? HALF.z : HALF.xyz;
      const got = a?.[i] as number;
      if (Number.isNaN(value) ? !Number.isNaN(got) : !(Math.abs(got - value) <= most + 1e-6)) throw new Error(`${slot}[${i}]: ${got} for ${value}`);
    });
  }
}

describe('the streams of the vectors', () => {
  const { streams } = load('v3');
  // Other precisions than the default have another half step; those streams are for reading.
  const usual = (streams as any[]).filter(({ name }) => !/precision|too large/.test(name));
  test.each(usual)('$name', ({ frames }) => {
    const [encoder, decoder] = [new V3Encoder(), new V3Decoder()];
    frames.forEach(({ source }: any, seq: number) => {
      const pose = poseOf(source);
      const frame = encoder.encode(seq, pose, 33 * seq);
      expectClose(decoder.decode({ ...frame, seq }, frame.body), pose);
    });
  });
  test('numbers that do not fit travel raw, and the next frame needs no other', () => {
    const encoder = new V3Encoder();
    const decoder = new V3Decoder();
    const far: Pose = { skeleton: 'points', pose: Float32Array.of(1e6, -1e6, 3, 1), face: null, hands: null };
    for (let seq = 0; seq < 3; seq++) {
      const frame = encoder.encode(seq, far, 33 * seq);
      expect(frame.frameType).toBe('key');
      expect([...(decoder.decode({ ...frame, seq }, frame.body).pose ?? [])]).toEqual([1e6, -1e6, 3, 1]);
    }
  });
  test('it is small', () => {
    const { frames } = streams[0];
    const encoder = new V3Encoder();
    const sizes = frames.map(({ source, packet }: any, seq: number) => [encoder.encode(seq, poseOf(source), 11 * seq).body.length, packet.length / 2 - 19]);
    const [ours, theirs] = [0, 1].map((i) => sizes.reduce((sum: number, pair: number[]) => sum + pair[i], 0));
    expect(ours).toBeLessThan(1.15 * theirs);
  });
});

describe('the kinds of frames', () => {
  const pose = (x: number): Pose => ({ skeleton: 'points', pose: Float32Array.of(x, 0, 0, 1, x, 1, 0, 1), face: null, hands: null });
  const encode = (count: number, every = 33): EncodedFrame[] => {
    const encoder = new V3Encoder();
    return Array.from({ length: count }, (_, seq) => encoder.encode(seq, pose(seq / 100), every * seq));
  };
  test('a keyframe, leaves, every fourth an anchor, a keyframe every two seconds', () => {
    const frames = encode(70);
    expect(frames.slice(0, 9).map(({ frameType, ref }) => `${frameType} ${ref}`)).toEqual([
      'key 0', 'leaf 1', 'leaf 2', 'leaf 3', 'anchor 4', 'leaf 1', 'leaf 2', 'leaf 3', 'anchor 4',
    ]);
    expect(frames.findIndex(({ frameType }, i) => i > 0 && frameType === 'key')).toBe(61);
  });
  test('a keyframe that is asked for, not twice in 0.2 s', () => {
    const encoder = new V3Encoder();
    const kinds = [0, 33, 66, 300, 333].map((at, seq) => {
      encoder.keyframe();
      return encoder.encode(seq, pose(0), at).frameType;
    });
    expect(kinds).toEqual(['key', 'leaf', 'leaf', 'key', 'leaf']);
  });
  test('visibilities that come and go, joints that stay', () => {
    const [encoder, decoder] = [new V3Encoder(), new V3Decoder()];
    for (let seq = 0; seq < 9; seq++) {
      const source: Pose = { skeleton: 'points', pose: Float32Array.of(NaN, NaN, NaN, 1, 0, 1, 0, seq % 2 ? NaN : 1), face: null, hands: null };
      const frame = encoder.encode(seq, source, 33 * seq);
      expect([...(decoder.decode({ ...frame, seq }, frame.body).pose ?? [])]).toEqual([...(source.pose ?? [])]);
    }
  });
  test('a reference that is not the newest', () => {
    const frames = encode(9);
    const decoder = new V3Decoder();
    for (const seq of [0, 4, 8]) decoder.decode({ ...frames[seq], seq }, frames[seq].body);
    expect(decoder.decode({ ...frames[1], seq: 1 }, frames[1].body).pose?.[0]).toBeCloseTo(0.01, 2);
    expect(decoder.decode({ ...frames[5], seq: 5 }, frames[5].body).pose?.[0]).toBeCloseTo(0.05, 2);
  });
  test('leaves can be dropped, anchors not', () => {
    const frames = encode(12);
    const decoder = new V3Decoder();
    frames.forEach((frame, seq) => frame.frameType !== 'leaf' && decoder.decode({ ...frame, seq }, frame.body));
    const without = new V3Decoder();
    without.decode({ ...frames[0], seq: 0 }, frames[0].body);
    expect(() => without.decode({ ...frames[5], seq: 5 }, frames[5].body)).toThrow(MissingReference);
  });
});
