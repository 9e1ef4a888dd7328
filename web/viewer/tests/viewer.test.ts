/** The parts of the page that need no page. */
import { expect, test } from 'vitest';
import { readInvitation, withoutSecrets } from '../src/fragment';
import { Framing } from '../src/framing';
import { QualitySeen } from '../src/quality';
import { columnsFor } from '../src/people';
import { reachOf, spotsFor } from '../src/space';
import { CMU, FACE, HAND, POSE, bonesOf } from '../src/topology';
import { viewIn, withView } from '../src/view-mode';

test('an invitation is in the fragment', () => {
  expect(readInvitation('#room=my+studio&token=a.b-c_d&key=%22x%22')).toEqual({ room: 'my studio', token: 'a.b-c_d', key: '"x"' });
  expect(readInvitation('')).toEqual({ room: '', token: '', key: '' });
});

test('bones join landmarks that there are', () => {
  const most = (bones: readonly (readonly [number, number])[]) => Math.max(...bones.flat());
  expect([most(POSE), most(HAND), most(CMU)]).toEqual([32, 20, 30]);
  expect(most(FACE)).toBeLessThan(468);
  expect(bonesOf('something else', 3)).toEqual([[0, 1], [1, 2]]);
});

test('the view follows, grows at once and shrinks slowly', () => {
  const framing = new Framing();
  const square = (x: number, size: number) => Float32Array.of(x, 0, 0, 1, x + size, size, 0, 1, NaN, NaN, NaN, 0);
  framing.look(square(0, 1), 4, 0);
  expect([framing.centre[0], framing.size]).toEqual([0.5, 1]);
  framing.look(square(1, 2), 4, 1 / 30);
  expect(framing.size).toBe(2);
  expect(framing.centre[0]).toBeGreaterThan(0.5);
  expect(framing.centre[0]).toBeLessThan(1);
  framing.look(square(1, 1), 4, 1 / 30);
  expect(framing.size).toBeGreaterThan(1.9);
  for (let i = 0; i < 600; i++) framing.look(square(1, 1), 4, 1 / 30);
  expect(framing.size).toBeCloseTo(1, 2);
});

test('which step of the quality ladder a stream seems to be on', () => {
  const seen = new QualitySeen();
  const bits = [11, 9, 5, 11, 9, 5, 11, 9, 5];
  const coarse = [11, 7, 5, 9, 7, 3, 11, 7, 5];
  const all = { fps: 30, bits, face: true, hands: true };
  expect(seen.observe({ ...all, fps: 80 })).toBe(0); // a burst at the beginning
  for (let i = 0; i < 40; i++) expect(seen.observe(all)).toBe(0);
  expect(seen.observe({ ...all, fps: 15 })).toBe(1);
  expect(seen.observe({ ...all, fps: 15, bits: coarse })).toBe(2);
  expect(seen.observe({ fps: 15, bits: coarse, face: false, hands: true })).toBe(3);
  expect(seen.observe({ fps: 15, bits: coarse, face: false, hands: false })).toBe(4);
  expect(seen.observe({ fps: 2, bits: coarse, face: false, hands: false })).toBe(5);
  expect(seen.observe(all)).toBe(0);
});

test('tiles are laid out for people who stand', () => {
  expect([1, 2, 3, 8].map((count) => columnsFor(count, 950, 750))).toEqual([1, 2, 3, 4]);
  expect([1, 2, 3, 8].map((count) => columnsFor(count, 390, 700))).toEqual([1, 1, 2, 3]);
  expect(columnsFor(0, 100, 100)).toBe(1);
});

test('who shares a space stands in rows, and nobody in another', () => {
  const depths = (count: number) => [...new Set(spotsFor(count).map(({ z }) => z))];
  const rows = (count: number) => depths(count).map((depth) => spotsFor(count).filter(({ z }) => z === depth).length);
  expect([1, 4, 5, 8, 9].map(rows)).toEqual([[1], [4], [3, 2], [4, 4], [3, 3, 3]]);
  expect(spotsFor(1)[0]).toEqual({ x: 0, z: 0 });
  for (let count = 2; count <= 30; count++) {
    const spots = spotsFor(count);
    expect(spots).toHaveLength(count);
    const near = spots.flatMap((a, i) => spots.slice(i + 1).map((b) => Math.hypot(a.x - b.x, a.z - b.z)));
    expect(Math.min(...near)).toBeGreaterThan(0.8);
    const reach = reachOf(spots);
    expect(spots.every(({ x, z }) => Math.abs(x) < reach.x && Math.abs(z) < reach.z)).toBe(true);
  }
});

test('the view is in the link, and the secrets are not', () => {
  expect([viewIn('#room=a&view=space'), viewIn('#view=upside-down'), viewIn('')]).toEqual(['space', null, null]);
  expect(withView('#room=a', 'space')).toBe('#room=a&view=space');
  expect(withoutSecrets('#room=my+studio&token=t&key=k&view=space')).toBe('#room=my+studio&view=space');
  expect(withoutSecrets('#token=t')).toBe('');
});
