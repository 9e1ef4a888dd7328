/** "What is accepted" of docs/wire.md: every word, and what happens to those that are. */
import { beforeEach, describe, expect, test } from 'vitest';
import { encodeEventV2, encodePoseV2 } from '../src/body-v2.js';
import { concat, toUtf8 } from '../src/bytes.js';
import { packHeader, type Header } from '../src/header.js';
import type { Keyframes } from '../src/keyframes.js';
import { Keyframes as RealKeyframes } from '../src/keyframes.js';
import { Opener, roomKey } from '../src/opener.js';
import type { Pose } from '../src/pose.js';
import { Receiver, type Frame } from '../src/receiver.js';
import { Reporter } from '../src/reporter.js';
import { RoomState } from '../src/room-state.js';
import { SealKey } from '../src/seal.js';
import { V3Encoder } from '../src/v3-encoder.js';
import { hex, load } from './vectors.js';

const ROOM = 'studio';
const SALT = new Uint8Array(16).fill(1);
const SHARED = new Uint8Array(32).fill(2);
const SECRET = new Uint8Array(32).fill(3);
const NOW = 1e15;
const point = (x: number): Pose => ({ skeleton: 'points', pose: Float32Array.of(x, 0, 0, 1), face: null, hands: null });
const header = (fields: Partial<Header> = {}): Header => ({
  version: 2, kind: 'pose', delivery: 'latest', frameType: 'key', seal: 'none', stream: 1, member: 2, seq: 0, ref: 0, capturedUs: BigInt(NOW), ...fields,
});

let room: RoomState;
let opener: Opener;
let receiver: Receiver;
let frames: Frame<Pose>[];
let events: string[];
let asked: Header[];
let pictures: Uint8Array[];
let now: number;

/** Lets everything that was begun come to its end. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 0));
};
const drops = async (): Promise<Record<string, number>> => {
  await settled();
  return Object.fromEntries(receiver.drops);
};

beforeEach(() => {
  room = new RoomState();
  [frames, events, asked, pictures, now] = [[], [], [], [], NOW];
  const member = (id: string, number: number, salt: Uint8Array) => ({ id, number, salt, key_id: new Uint8Array(0) });
  room.reset({
    room: ROOM, version: 1,
    members: [member('bob', 2, SALT), member('open', 3, new Uint8Array(0))],
    streams: [{ user_id: 'bob', member: 2, number: 1, kind: 'pose', name: 'main' }, { user_id: 'open', member: 3, number: 1, kind: 'pose', name: 'main' }],
  });
  opener = new Opener(room);
  opener.reset(SHARED);
  const keyframes = { ask: (each: Header) => asked.push(each), picture: async () => pictures } as unknown as Keyframes;
  const reporter = new Reporter(() => true, () => []);
  receiver = new Receiver(opener, keyframes, reporter, { now: () => now, toLocal: (time) => time, toServer: (time) => time });
  receiver.on('pose', (frame) => frames.push(frame));
  receiver.on('event', ({ name }) => events.push(name));
});

const macKey = (): Promise<SealKey> => SealKey.derive('MAC', SHARED, ROOM, 'bob', SALT);
const sealed = async (fields: Partial<Header>, body: Uint8Array = encodePoseV2(point(1)), key = macKey()): Promise<Uint8Array> =>
  (await key).seal(header(fields), body);
const unsealed = (fields: Partial<Header> = {}, body: Uint8Array = encodePoseV2(point(1))): Uint8Array => concat(packHeader(header(fields)), body);

describe('without a room key', () => {
  test('a MAC that is right, in order, each once', async () => {
    for (const seq of [0, 1, 1, 3]) receiver.packet(await sealed({ seq }));
    expect(await drops()).toEqual({ replayed: 1 });
    expect(frames.map(({ seq }) => seq)).toEqual([0, 1, 3]);
    expect(frames[0]).toMatchObject({ userId: 'bob', stream: 'main', age: 0 });
  });
  test('nobody, no stream, no seal, another seal', async () => {
    receiver.packet(await sealed({ member: 9 }));
    receiver.packet(await sealed({ stream: 2 }));
    receiver.packet(await sealed({ kind: 'audio' }));
    receiver.packet(unsealed());
    receiver.packet(await sealed({}, undefined, SealKey.derive('AEAD', SECRET, ROOM, 'bob', SALT)));
    receiver.packet(await sealed({}, undefined, SealKey.derive('MAC', SECRET, ROOM, 'bob', SALT)));
    expect(await drops()).toEqual({ unknown_member: 1, unknown_stream: 2, unsealed: 1, no_key: 1, altered: 1 });
    expect(frames).toEqual([]);
  });
  test('who has no salt sends without a seal, and cannot send with one', async () => {
    receiver.packet(unsealed({ member: 3 }));
    receiver.packet(await sealed({ member: 3, seq: 1 }));
    const saltless = SealKey.derive('MAC', SHARED, ROOM, 'open', new Uint8Array(0));
    receiver.packet(await sealed({ member: 3, seq: 2 }, undefined, saltless));
    expect(await drops()).toEqual({ altered: 2 });
    expect(frames.length).toBe(1);
  });
  test('what is refused does not move the window', async () => {
    const altered = await sealed({ seq: 5000 });
    altered[altered.length - 1] ^= 1;
    receiver.packet(altered);
    receiver.packet(await sealed({ seq: 1 }));
    receiver.packet(Uint8Array.of(1, 2, 3));
    receiver.packet(await sealed({ seq: 2 }, toUtf8('nonsense')));
    expect(await drops()).toEqual({ altered: 1, damaged: 2 });
    expect(frames.map(({ seq }) => seq)).toEqual([1]);
  });
  test('events', async () => {
    receiver.packet(await sealed({ kind: 'event', stream: 0 }, encodeEventV2('wave', null)));
    expect(await drops()).toEqual({});
    expect(events).toEqual(['wave']);
  });
  test('bodies of version 1: signed, fresh, each time once', async () => {
    const { key, bodies } = load('v1');
    opener.reset(hex(key));
    const body = toUtf8(bodies[0].body);
    const signed = Math.round(JSON.parse(bodies[0].body).timestamp * 1e6);
    now = signed;
    const packet = (seq: number, captured = signed) => unsealed({ version: 1, seq, capturedUs: BigInt(captured) }, body);
    receiver.packet(packet(0));
    receiver.packet(packet(1)); // the same signature under another number
    receiver.packet(packet(2, signed + 31e6));
    await settled();
    now = signed + 31e6;
    receiver.packet(packet(3));
    expect(await drops()).toEqual({ replayed: 1, altered: 1, stale: 1 });
    expect(frames.length).toBe(1);
  });
});

describe('with a room key', () => {
  const other = new Uint8Array(32).fill(4);
  const aead = (secret = SECRET, salt = SALT): Promise<SealKey> => SealKey.derive('AEAD', secret, ROOM, 'bob', salt);
  const rekeyed = async (version: number, secret: Uint8Array, salt = SALT): Promise<void> => {
    room.apply(version, { type: 'rekeyed', user_id: 'bob', salt, key_id: (await roomKey(secret, ROOM)).keyId });
  };
  beforeEach(async () => {
    opener.useRoomKey(await roomKey(SECRET, ROOM), NOW / 1000);
    await rekeyed(2, SECRET);
  });

  test('only what is sealed with it', async () => {
    receiver.packet(await sealed({}, undefined, aead()));
    receiver.packet(await sealed({ seq: 1 }));
    receiver.packet(unsealed({ seq: 2 }));
    receiver.packet(unsealed({ member: 3 }));
    expect(await drops()).toEqual({ unsealed: 3 });
    expect(frames.length).toBe(1);
  });
  test('a member with another key', async () => {
    await rekeyed(3, other);
    receiver.packet(await sealed({}, undefined, aead(other)));
    expect(await drops()).toEqual({ wrong_key: 1 });
  });
  test('another room key: the one before is good for five seconds', async () => {
    const before = room.members.get('bob');
    const salt = new Uint8Array(16).fill(9);
    opener.useRoomKey(await roomKey(other, ROOM), now / 1000);
    receiver.packet(await sealed({ seq: 0 }, undefined, aead())); // bob has not moved yet
    await settled();
    if (before) opener.rekeyed(before, now / 1000);
    await rekeyed(3, other, salt);
    receiver.packet(await sealed({ seq: 1 }, undefined, aead())); // was on its way
    receiver.packet(await sealed({ seq: 2 }, undefined, aead(other, salt)));
    await settled();
    now += 6e6;
    receiver.packet(await sealed({ seq: 3 }, undefined, aead()));
    receiver.packet(await sealed({ seq: 4 }, undefined, aead(other, salt)));
    expect(await drops()).toEqual({ altered: 1 });
    expect(frames.map(({ seq }) => seq)).toEqual([0, 1, 2, 4]);
  });
});

describe('references of version 3', () => {
  const stream = async (count: number): Promise<Uint8Array[]> => {
    const encoder = new V3Encoder();
    return Promise.all(Array.from({ length: count }, (_, seq) => {
      const { body, ...frame } = encoder.encode(seq, point(seq / 8), 33 * seq);
      return sealed({ ...frame, seq }, body);
    }));
  };
  const values = (): unknown[] => frames.map(({ content }) => content.pose?.[0]);

  test('a lost anchor is missed, and a keyframe asked for', async () => {
    const packets = await stream(8);
    packets.forEach((packet, seq) => seq !== 4 && receiver.packet(packet));
    expect(await drops()).toEqual({ missing_reference: 3 });
    expect(values()).toEqual([0, 1 / 8, 2 / 8, 3 / 8]);
    expect(asked.map(({ seq }) => seq)).toEqual([5, 6, 7]);
  });
  test('a picture is decoded and its last frame shown; what came meanwhile is read then', async () => {
    const packets = await stream(10);
    let arrive: (packets: Uint8Array[]) => void = () => undefined;
    receiver = new Receiver(opener, { ask: (each: Header) => asked.push(each), picture: () => new Promise((resolve) => (arrive = resolve)) } as unknown as Keyframes,
      new Reporter(() => true, () => []), { now: () => now, toLocal: (time) => time, toServer: (time) => time });
    receiver.on('pose', (frame) => frames.push(frame));
    const fetching = receiver.fetchPicture('bob', 'main', 2, 1);
    receiver.packet(packets[6]); // both refer to what is in the picture
    receiver.packet(packets[7]);
    await settled();
    expect(frames).toEqual([]);
    arrive([packets[0], packets[4], packets[5]]);
    await fetching;
    expect(await drops()).toEqual({});
    expect(values()).toEqual([5 / 8, 7 / 8]); // of what waited, the newest
    receiver.packet(packets[8]);
    receiver.packet(packets[5]);
    expect(await drops()).toEqual({ replayed: 1 });
    expect(values()).toEqual([5 / 8, 7 / 8, 1]);
    expect(asked).toEqual([]);
  });
  test('a keyframe is asked for again after a while', async () => {
    const requests: unknown[] = [];
    const keyframes = new RealKeyframes(async (_, argument) => (requests.push(argument), true));
    const leaf = (seq: number, ref = 1) => header({ version: 3, frameType: 'leaf', seq, ref });
    keyframes.ask(leaf(5), 0);
    keyframes.ask(leaf(6, 2), 40);
    expect(requests.length).toBe(1);
    keyframes.ask(leaf(7, 3), 260);
    expect(requests.length).toBe(2);
    keyframes.ask(leaf(20), 270); // newer than all we know of, but asked just now
    keyframes.ask(leaf(21), 320);
    expect(requests).toEqual(Array(3).fill({ member: 2, stream: 1 }));
  });
});
