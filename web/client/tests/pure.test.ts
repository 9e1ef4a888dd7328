/** The parts that know no clock and no network. */
import { describe, expect, test } from 'vitest';
import { ServerClock } from '../src/clock.js';
import { Credit } from '../src/credit.js';
import { MsgpackReader, MsgpackWriter } from '../src/msgpack.js';
import { Playout, between } from '../src/playout.js';
import type { Pose } from '../src/pose.js';
import type { Frame } from '../src/receiver.js';
import { ReplayWindow } from '../src/replay-window.js';
import { Reporter } from '../src/reporter.js';
import { Resumption } from '../src/resumption.js';
import { RoomState } from '../src/room-state.js';
import { SignedTimes } from '../src/signed-times.js';
import { parser, unwrapFrame, wrapFrame } from '../src/socket-parser.js';
import { Encoder as Msgpack } from 'socket.io-msgpack-parser';
import { StreamStats, percentiles } from '../src/stream-stats.js';
import { levelOf, monoAt } from '../src/audio-player.js';

const toHexText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const point = (x: number): Pose => ({ skeleton: 'points', pose: Float32Array.of(x, 0, 0, 1), face: null, hands: null });
const frame = (capturedAt: number, age: number, x = capturedAt): Frame<Pose> => ({
  userId: 'a', stream: 'main', seq: 0, age, capturedAt, receivedAt: capturedAt + age, size: 1, content: point(x),
});
const shown = (playout: Playout, now: number): number | undefined => playout.at(now)?.pose?.[0];

describe('playout', () => {
  test('latest shows the newest at once', () => {
    const playout = new Playout('latest');
    playout.push(frame(1000, 5));
    expect(shown(playout, 1005)).toBe(1000);
    playout.push(frame(1033, 5));
    expect(shown(playout, 1040)).toBe(1033);
    playout.push(frame(1010, 90)); // overtaken
    expect(shown(playout, 1100)).toBe(1033);
  });
  test('smooth moves evenly though frames come unevenly', () => {
    const playout = new Playout('smooth');
    const values: number[] = [];
    const arrivals = Array.from({ length: 90 }, (_, i) => frame(1000 + 33 * i, i % 3 === 0 ? 30 : 5));
    for (let now = 1000; now < 3800; now += 16) {
      while (arrivals.length && arrivals[0].receivedAt <= now) playout.push(arrivals.shift() as Frame<Pose>);
      const x = shown(playout, now);
      if (now > 2500 && x !== undefined) values.push(x);
    }
    const steps = values.slice(1).map((value, i) => value - values[i]);
    expect(Math.min(...steps)).toBeGreaterThan(10);
    expect(Math.max(...steps)).toBeLessThan(22);
    expect(playout.delay).toBeGreaterThan(60);
    expect(playout.delay).toBeLessThan(90);
  });
  test('nobody is shown when nothing comes any more', () => {
    const playout = new Playout();
    expect(playout.at(0)).toBeNull();
    playout.push(frame(1000, 5));
    expect(playout.at(1500)).not.toBeNull();
    expect(playout.at(9000)).toBeNull();
  });
  test('what one of two has not is as the nearer one has it', () => {
    const a: Pose = { skeleton: 'points', pose: Float32Array.of(0, NaN, 2, 1), face: null, hands: null };
    const b: Pose = { skeleton: 'points', pose: Float32Array.of(1, 4, 2, 1), face: null, hands: null };
    expect([...(between(a, b, 0.25).pose ?? [])]).toEqual([0.25, NaN, 2, 1]);
    expect([...(between(a, b, 0.75).pose ?? [])]).toEqual([0.75, 4, 2, 1]);
    expect(between({ ...a, skeleton: 'others' }, b, 0.2).skeleton).toBe('others');
  });
});

describe('each packet once', () => {
  test('in any order, each once, the last 1,024', () => {
    const window = new ReplayWindow();
    for (const seq of [0, 2, 1, 5]) expect(window.accept(seq)).toBe(true);
    for (const seq of [0, 1, 2, 5]) expect(window.accept(seq)).toBe(false);
    expect(window.accept(3)).toBe(true);
    expect(window.accept(2000)).toBe(true);
    expect(window.accept(4)).toBe(false);
    expect(window.accept(2000 - 1024)).toBe(false);
    expect(window.accept(2000 - 1023)).toBe(true);
    expect(window.accept(2 ** 32 - 1)).toBe(true);
  });
  test('the same as a set that remembers all', () => {
    const window = new ReplayWindow();
    const seen = new Set<number>();
    let [greatest, seed] = [-1, 7];
    let wrong = 0;
    for (let i = 0; i < 20_000; i++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      const seq = Math.max(0, greatest + (seed % 3000) - 1500);
      const isNew = !seen.has(seq) && seq > greatest - 1024;
      if (window.accept(seq) !== isNew) wrong++;
      if (isNew) seen.add(seq);
      greatest = isNew ? Math.max(greatest, seq) : greatest;
    }
    expect(wrong).toBe(0);
  });
  test('signed times', () => {
    const times = new SignedTimes();
    const now = 1e15;
    times.check(now, now, now);
    times.accept(now);
    expect(() => times.check(now, now, now)).toThrow(/was here/);
    expect(() => times.check(now - 31e6, now - 31e6, now)).toThrow(/too long ago/);
    expect(() => times.check(now + 1, now + 31e6, now)).toThrow(/another time/);
  });
});

describe('the room', () => {
  const member = (id: string, number: number) => ({ id, number, role: 'member', salt: new Uint8Array(16), key_id: new Uint8Array(0) });
  const state = (): RoomState => {
    const room = new RoomState();
    room.reset({ room: 'studio', version: 3, members: [{ ...member('a', 1), role: 'host' }], streams: [] });
    return room;
  };
  test('changes in order', () => {
    const room = state();
    expect(room.apply(4, { type: 'joined', member: member('b', 2) })).toBe('applied');
    expect(room.apply(5, { type: 'stream', stream: { user_id: 'b', member: 2, number: 1, kind: 'pose', name: 'main' } })).toBe('applied');
    expect(room.memberOf(2)?.id).toBe('b');
    expect(room.streamOf(2, 1)?.name).toBe('main');
    expect(room.apply(5, { type: 'left', user_id: 'b' })).toBe('old');
    expect(room.apply(7, { type: 'left', user_id: 'b' })).toBe('gap');
    room.apply(6, { type: 'host', user_id: 'b' });
    expect([room.members.get('a')?.role, room.members.get('b')?.role]).toEqual(['member', 'host']);
    room.apply(7, { type: 'dropped', user_id: 'b' });
    expect(room.memberOf(2)?.present).toBe(false);
    room.apply(8, { type: 'something new' });
    expect(room.version).toBe(8);
    room.apply(9, { type: 'left', user_id: 'b' });
    expect([room.memberOf(2), room.streamOf(2, 1)]).toEqual([undefined, undefined]);
  });
  test('names from a stranger are names, and nothing else', () => {
    const room = state();
    room.apply(4, { type: 'joined', member: member('__proto__', 2) });
    expect(room.members.get('__proto__')?.number).toBe(2);
  });
});

describe('messages', () => {
  test('packets take the short way, as the server writes them', () => {
    for (const size of [0, 1, 255, 256, 65_535, 65_536]) {
      const packet = new Uint8Array(size).fill(7);
      const message = wrapFrame(packet);
      expect(Buffer.from(unwrapFrame(message) ?? []).equals(packet)).toBe(true);
      expect(unwrapFrame(message.subarray(0, message.length - 1))).toBeNull();
      const longer = wrapFrame(new Uint8Array(size + 1)); // says one less than there is
      longer.set(message.subarray(0, 25));
      expect(unwrapFrame(longer)).toBeNull();
      const slow = (new Msgpack() as any).encode({ type: 2, data: ['frame', Buffer.from(packet)], nsp: '/' })[0];
      expect(Buffer.from(message).equals(slow)).toBe(true);
    }
  });
  test('all others are as socket.io-msgpack-parser makes them, but that bytes are bytes', () => {
    const packets = [
      { type: 0, data: { token: 'é', session: 'x' }, nsp: '/' }, { type: 1, nsp: '/' },
      { type: 2, data: ['hello', { resume: '', received: 300, member: 0 }], nsp: '/', id: 70_000 },
      { type: 2, data: ['report', { streams: [{ seq: 2 ** 32 - 1, age_p50: 1.5, queueing: 0, lost: -0.25 }] }], nsp: '/' },
    ];
    for (const packet of packets) {
      expect(Buffer.from(new parser.Encoder().encode(packet)[0] as Uint8Array).equals((new Msgpack() as any).encode(packet)[0])).toBe(true);
    }
    const [join] = new parser.Encoder().encode({ type: 2, data: ['room.join', { salt: Uint8Array.of(1, 2) }], nsp: '/', id: 0 });
    expect(toHexText(join as Uint8Array)).toContain('c4020102');
  });
  test('msgpack, every size and number', () => {
    const values = [
      null, true, false, 0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31),
      -(2 ** 31) - 1, 0.5, -1.25, 1e300, '', 'é', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(300), 'x'.repeat(70_000), [1, [2, [3]]],
      Array.from({ length: 20 }, (_, i) => i), { a: 1, b: { c: [null] } }, new Uint8Array(300),
    ];
    for (const value of values) {
      const writer = new MsgpackWriter();
      writer.value(value);
      const reader = new MsgpackReader(writer.done());
      expect(reader.value()).toEqual(value);
      expect(reader.left).toBe(0);
    }
  });
});

describe('figures', () => {
  test('percentiles by nearest rank', () => {
    expect(percentiles([], 0.5)).toEqual([0]);
    expect(percentiles([3, 1, 2, 4], 0.5, 0.95, 0.99)).toEqual([2, 4, 4]);
  });
  test('what is lost, and comes after all', () => {
    const stats = new StreamStats();
    for (const seq of [5, 6, 9, 7]) stats.observe(0, 10, 100, seq);
    expect([stats.frames, stats.lost]).toEqual([4, 1]);
    expect(stats.interval()).toMatchObject({ seq: 9, frames: 4, lost: 1, ageP50: 10 });
    expect(stats.interval()).toMatchObject({ frames: 0, lost: 0 });
  });
  test('rates of the last moments', () => {
    const stats = new StreamStats();
    for (let i = 0; i <= 30; i++) stats.observe(1000 + 33.3 * i, 12, 500, i);
    const { fps, bytesPerSecond, ageP99 } = stats.figures(2000);
    expect(fps).toBeCloseTo(30, 0);
    expect(bytesPerSecond).toBeCloseTo(15_000, -3);
    expect(ageP99).toBe(12);
    expect(stats.figures(60_000).fps).toBe(0);
  });
  test('a report within a second, sooner while frames come late', async () => {
    const told: any[] = [];
    const stats = new StreamStats();
    const reporter = new Reporter((_, data) => (told.push(data), true), () => [{ member: 2, stream: 1, stats }], () => 0);
    let now = 0;
    for (let i = 0; i < 60; i++) {
      stats.observe(now, i < 20 ? 10 : 200, 10, i);
      reporter.observe(stats, now);
      now += 33;
    }
    reporter.close();
    expect(told.length).toBeGreaterThan(3); // no timer ran in this loop: by packets alone, as in a page nobody looks at
    expect(told[0].streams[0]).toMatchObject({ member: 2, stream: 1, age_p50: 10 });
  });
});

describe('keeping up', () => {
  test('one packet at least, more as the link shows that it can', () => {
    const credit = new Credit();
    expect(credit.takes(100_000)).toBe(true);
    credit.count(100_000, 0);
    expect(credit.takes(10)).toBe(false);
    credit.ack(100_000, 0, 50);
    expect(credit.inFlight).toBe(0);
    let now = 50;
    for (let i = 0; i < 40; i++, now += 5) {
      credit.count(1000, now);
      credit.ack(credit.sent, 0, now + 5);
    }
    expect(credit.window).toBeGreaterThan(5000);
  });
  test('an acknowledgement of more than was sent harms nothing', () => {
    const credit = new Credit();
    credit.count(10, 0);
    credit.ack(1e9, 0, 1);
    expect(credit.inFlight).toBe(0);
  });
});

test('the clock believes the quickest exchange', () => {
  const clock = new ServerClock();
  clock.observe(0, 1_000_500, 40_000);
  clock.observe(50_000, 1_051_000, 52_000); // 1 ms each way: offset 1,000,000
  clock.observe(60_000, 1_200_000, 160_000);
  expect(clock.offset).toBe(1_000_000);
  expect(clock.toLocal(clock.toServer(5))).toBe(5);
});

test('journalled messages are confirmed before sixteen are not', () => {
  const told: any[] = [];
  const resumption = new Resumption((name, data) => told.push([name, data]));
  expect(resumption.hello(0)).toEqual({ resume: '', received: 0, member: 0 });
  for (let i = 0; i < 20; i++) resumption.count(10); // perhaps before the answer
  expect(told).toEqual([]);
  resumption.welcomed('token', true);
  expect(told).toEqual([['confirm', { received: 20 }]]);
  for (let i = 0; i < 16; i++) resumption.count(10);
  expect(told[1]).toEqual(['confirm', { received: 36 }]);
  expect(resumption.hello(3)).toEqual({ resume: 'token', received: 36, member: 3 });
  for (let i = 0; i < 40; i++) resumption.count(10);
  expect(told.length).toBe(2); // it would say that the next token has come
  resumption.welcomed('another', false);
  expect(told[2]).toEqual(['confirm', { received: 0 }]);
});

test('loudness, and one channel at the rate of the page', () => {
  expect(levelOf({ sampleRate: 48_000, channels: 1, samples: new Int16Array(480) })).toBe(0);
  expect(levelOf({ sampleRate: 48_000, channels: 1, samples: new Float32Array(480).fill(1) })).toBe(1);
  const mono = monoAt(48_000, { sampleRate: 24_000, channels: 2, samples: Int16Array.of(0, 32_767, 16_384, 16_384) });
  expect(mono.length).toBe(4);
  expect(mono[0]).toBeCloseTo(0.5, 2);
});
