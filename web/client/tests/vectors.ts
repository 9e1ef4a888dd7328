/** Loads tests/vectors, and compares as its README says. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { expect } from 'vitest';
import { floatsOf, type Pose, type Slot } from '../src/pose.js';

export const FOLDER = fileURLToPath(new URL('../../../tests/vectors/', import.meta.url));

// The form of the files is in their README.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export const load = (name: string): any => JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8'));

export const hex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export type PoseVector = { skeleton: string } & Record<Slot, string | null>;

export const floats = (text: string | null): Float32Array | null => (text === null ? null : floatsOf(hex(text)));

export const poseOf = (vector: PoseVector): Pose => ({
  skeleton: vector.skeleton, pose: floats(vector.pose), face: floats(vector.face), hands: floats(vector.hands),
});

/** By bits, but any NaN is any NaN: as Object.is has it. */
export function expectPose(found: Pose, vector: PoseVector, where = ''): void {
  expect(found.skeleton, where).toBe(vector.skeleton);
  for (const slot of ['pose', 'face', 'hands'] as const) {
    const expected = floats(vector[slot]);
    expect(found[slot]?.length, `${where}, size of ${slot}`).toBe(expected?.length);
    const wrong = expected?.findIndex((value, i) => !Object.is(value, found[slot]?.[i])) ?? -1;
    if (wrong >= 0) throw new Error(`${where}, ${slot}[${wrong}]: ${found[slot]?.[wrong]} instead of ${expected?.[wrong]}`);
  }
}
