/** Every golden vector: read, and where this client writes them, written byte for byte. */
import { describe, expect, test } from 'vitest';
import { decodePoseV1 } from '../src/body-v1.js';
import { RESERVED, compressed, decodeAudioV2, decodeEventV2, decodePoseV2, encodeAudioV2, encodeEventV2, encodeOpusV2, encodePoseV2, type AudioChunk, type OpusPacket } from '../src/body-v2.js';
import { toUtf8 } from '../src/bytes.js';
import { MissingReference, ProtocolError } from '../src/errors.js';
import { HEADER_SIZE, packHeader, unpackHeader, type Header } from '../src/header.js';
import { SealKey, keyId, roomKeyOf, type SealMode } from '../src/seal.js';
import { V3Decoder } from '../src/v3-decoder.js';
import { expectPose, hex, load, poseOf, toHex } from './vectors.js';

const rejection = async (run: () => unknown): Promise<ProtocolError> => {
  try {
    await run();
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
  throw new Error('not refused');
};
const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));

describe('headers', () => {
  const { headers, refused } = load('headers');
  test.each(headers as any[])('$bytes', ({ bytes, fields: { frame_type, captured_us, ...rest } }) => {
    const header = unpackHeader(hex(bytes));
    expect(header).toEqual({ ...rest, frameType: frame_type, capturedUs: BigInt(captured_us) });
    expect(toHex(packHeader(header))).toBe(bytes);
  });
  test.each(refused as any[])('refused: $why', ({ bytes }) => {
    expect(() => unpackHeader(hex(bytes))).toThrow(ProtocolError);
  });
});

test.each([
  ['a key with a ref', { ref: 1 }], ['a leaf without', { version: 3, frameType: 'leaf' }], ['a leaf of version 2', { frameType: 'leaf', ref: 1 }],
  ['sound of version 3', { version: 3, kind: 'audio' }], ['an event of version 1', { version: 1, kind: 'event', stream: 0 }],
  ['a pose on stream 0', { stream: 0 }], ['an event on stream 1', { kind: 'event' }],
] as [string, Partial<Header>][])('refused: %s', (_, fields) => {
  const good: Header = {
    version: 2, kind: 'pose', delivery: 'latest', frameType: 'key', seal: 'none', stream: 1, member: 1, seq: 0, ref: 0, capturedUs: 1n,
  };
  expect(unpackHeader(packHeader(good))).toEqual(good);
  expect(() => unpackHeader(packHeader({ ...good, ...fields }))).toThrow(ProtocolError);
});

test('version 1', async () => {
  const { key, bodies } = load('v1');
  for (const { body, pose } of bodies) {
    const message = JSON.parse(body);
    const read = await decodePoseV1(toUtf8(body), hex(key));
    expectPose(read.pose, pose);
    expect(read.signedUs).toBe(Math.round(message.timestamp * 1e6));
    expect((await rejection(() => decodePoseV1(toUtf8(body), flipped(hex(key), 0)))).word).toBe('altered');
    const later = JSON.stringify({ ...message, timestamp: message.timestamp + 1e-6 });
    expect((await rejection(() => decodePoseV1(toUtf8(later), hex(key)))).word).toBe('altered');
  }
});

describe('version 2', () => {
  const { poses, audio, events, refused_events: reserved } = load('v2');
  test('poses, both ways', async () => {
    for (const { body, pose } of poses) {
      expectPose(await decodePoseV2(hex(body)), pose);
      const written = encodePoseV2(poseOf(pose));
      if (body.startsWith('00')) expect(toHex(written)).toBe(body);
      expectPose(await decodePoseV2(await compressed(written)), pose);
    }
  });
  test('sound, both ways', async () => {
    for (const { body, sample_rate, channels, dtype, samples } of audio) {
      const chunk = (await decodeAudioV2(hex(body))) as AudioChunk;
      expect([chunk.sampleRate, chunk.channels]).toEqual([sample_rate, channels]);
      expect(chunk.samples).toBeInstanceOf(dtype === 'int16' ? Int16Array : Float32Array);
      expect([...chunk.samples]).toEqual(samples.flat());
      expect(toHex(encodeAudioV2(chunk))).toBe(body);
    }
  });
  test('events, both ways', () => {
    const plain = (value: any): any =>
      value instanceof Uint8Array ? { bytes: toHex(value) }
      : Array.isArray(value) ? value.map(plain)
      : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
      : value;
    for (const { body, name, data } of events) {
      const event = decodeEventV2(hex(body));
      expect({ name: event.name, data: plain(event.data) }).toEqual({ name, data });
      expect(toHex(encodeEventV2(event.name, event.data))).toBe(body);
    }
    for (const { body, why } of reserved) expect(() => decodeEventV2(hex(body)), why).toThrow(ProtocolError);
    expect(reserved.length).toBe(RESERVED.size);
  });
  test('what is refused', async () => {
    const bomb = new Uint8Array(await new Response(new Blob([new Uint8Array(2_000_000)]).stream().pipeThrough(new CompressionStream('deflate'))).arrayBuffer());
    for (const body of [
      '', '02', '0093c0c0', '0090', '0094c0c0c0c0', '00' + '91'.repeat(400), '0093c0c0c0' + '00', '0094c403000000c0c0c0',
      '0094c4100000807f0000803e000080bf0000803fc0c0a6706f696e7473', '01' + toHex(bomb), '0100',
    ]) {
      expect(await rejection(() => decodePoseV2(hex(body)))).toBeInstanceOf(ProtocolError);
    }
    expect((await rejection(() => decodePoseV2(hex('01' + toHex(bomb))))).message).toMatch(/more than/);
    const good = '0094c4100000003f0000803e000080bf0000803fc0c0a6706f696e7473';
    expect((await rejection(() => decodePoseV2(hex(good + '00')))).message).toMatch(/behind/);
    expect(() => encodeEventV2('frame', null)).toThrow(ProtocolError);
    expect(() => encodeEventV2('x', new Uint8Array(65_536))).toThrow(ProtocolError);
  });
  test('Opus, both ways', async () => {
    for (const { body, channels, packet, number, previous } of load('v2').opus) {
      const read = await decodeAudioV2(hex(body));
      expect(read).toEqual({ channels, packet: hex(packet), number, previous: hex(previous) });
      expect(toHex(encodeOpusV2(read as OpusPacket))).toBe(body);
    }
  });
});

describe('version 3', () => {
  const { streams, refused, refused_later: later } = load('v3');
  const framesOf = (stream: any) =>
    stream.frames.map(({ packet, pose }: any) => ({ header: unpackHeader(hex(packet)), body: hex(packet).subarray(HEADER_SIZE), pose }));
  const replay = (frames: { header: Header; body: Uint8Array; pose: any }[]): number => {
    const decoder = new V3Decoder();
    let missing = 0;
    for (const { header, body, pose } of frames) {
      try {
        expectPose(decoder.decode(header, body), pose, `seq ${header.seq}`);
      } catch (error) {
        if (!(error instanceof MissingReference)) throw error;
        missing++;
      }
    }
    return missing;
  };
  test.each(streams as any[])('$name', (stream) => {
    const frames = framesOf(stream);
    expect(replay(frames)).toBe(0);
    frames.forEach((_: unknown, i: number) => replay([...frames.slice(0, i), ...frames.slice(i + 1)]));
    replay([...frames].reverse());
  });
  test.each(refused as any[])('refused: $why', ({ body }) => {
    expect(() => new V3Decoder().decode({ frameType: 'key', seq: 0, ref: 0 }, hex(body))).toThrow(ProtocolError);
  });
  test.each(later.bodies as any[])('refused later: $why', ({ ref, body }) => {
    const decoder = new V3Decoder();
    const packets = later.before.map(hex) as Uint8Array[];
    const headers = packets.map(unpackHeader);
    packets.forEach((packet, i) => decoder.decode(headers[i], packet.subarray(HEADER_SIZE)));
    expect(() => decoder.decode({ frameType: 'leaf', seq: headers[1].seq + 1, ref }, hex(body))).toThrow(ProtocolError);
  });
  test('damaged packets are refused or decoded, and nothing else', () => {
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const all = streams.flatMap(framesOf);
    for (let i = 0; i < 1500; i++) {
      const { body } = all[random(all.length)];
      const damaged = Uint8Array.from(body);
      for (let times = 1 + random(3); times > 0; times--) damaged[random(Math.min(40, damaged.length))] = random(256);
      try {
        new V3Decoder().decode({ frameType: 'key', seq: 0, ref: 0 }, damaged);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }
  });
});

describe('seals', () => {
  const { room, user, salt, modes } = load('sealed');
  test.each(modes as any[])('$seal', async ({ seal, secret, key_id, packets }) => {
    if (seal === 'AEAD') expect(toHex(await keyId(hex(secret), room))).toBe(key_id);
    const key = await SealKey.derive(seal as SealMode, hex(secret), room, user, hex(salt));
    const other = await SealKey.derive(seal as SealMode, hex(secret), room, 'mallory', hex(salt));
    for (const { sealed, opened } of packets) {
      const packet = hex(sealed);
      const body = await key.open(packet);
      const header = unpackHeader(packet);
      expect(toHex(packHeader({ ...header })) + toHex(body)).toBe(toHex(packet.subarray(0, HEADER_SIZE)) + opened.slice(2 * HEADER_SIZE));
      expect(toHex(await key.seal(header, hex(opened).subarray(HEADER_SIZE)))).toBe(sealed);
      expect((await rejection(() => other.open(packet))).word).toBe('altered');
      for (const at of [2, 11, HEADER_SIZE, packet.length - 1]) expect((await rejection(() => key.open(flipped(packet, at)))).word).toBe('altered');
    }
  });
  test('the passphrase of docs/wire.md', async () => {
    expect(toHex(await roomKeyOf('correct horse battery', 'studio'))).toBe('7f7cf92d836baaffdd90a1bc91e6cc2e8824c95a45c7ad9f0acc91c7c1feade9');
  });
  test('the examples of docs/wire.md', async () => {
    const secret = Uint8Array.from({ length: 32 }, (_, i) => i);
    const salts = Uint8Array.from({ length: 16 }, (_, i) => 16 + i);
    const body = hex('0094c4100000003f0000803e000080bf0000803fc0c0a6706f696e7473');
    const header = unpackHeader(hex('12800102000300000000000' + '0401e18240a0600'));
    const aead = await SealKey.derive('AEAD', secret, 'studio', 'alice', salts);
    expect(toHex(await aead.seal(header, body)).slice(-32)).toBe('c8445827dd0b1ac4d5d6bea894b01c4f');
    const mac = await SealKey.derive('MAC', secret, 'studio', 'alice', salts);
    expect(toHex(await mac.seal(header, body)).slice(-16)).toBe('fefa32b690502007');
  });
});
