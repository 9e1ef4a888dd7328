/**
 * Checks every vector in this folder with the decoder beside it, which was written from docs/wire.md and the vectors alone.
 *
 *   node check.mjs           all vectors, lost and disordered packets, a short fuzz
 *   node check.mjs --time    measures as well
 */
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MissingReference, ProtocolError, floatsOf } from './common.mjs';
import { HEADER_SIZE, keyId, openSealed, packHeader, roomKeyOf, sealPacket, unpackHeader } from './packet.mjs';
import { decodeV1, decodeV2Audio, decodeV2Event, decodeV2Opus, decodeV2Pose } from './bodies.mjs';
import { V3Decoder } from './v3.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const load = (name) => JSON.parse(readFileSync(join(HERE, name), 'utf8'));
const hex = (text) => Buffer.from(text, 'hex');
const toHex = (bytes) => Buffer.from(bytes).toString('hex');
const flipped = (bytes, at) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));

function same(found, expected, where) {
  const [a, b] = [found, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${where}: ${a} instead of ${b}`);
}

/** By bits, but any NaN is any NaN: as Object.is has it. */
function samePose(found, expected, where) {
  same(found.skeleton, expected.skeleton, where);
  for (const slot of ['pose', 'face', 'hands']) {
    const floats = expected[slot] && floatsOf(hex(expected[slot]));
    same(found[slot]?.length, floats?.length, `${where}, size of ${slot}`);
    floats?.forEach((value, i) => {
      if (!Object.is(value, found[slot][i])) throw new Error(`${where}, ${slot}[${i}]: ${found[slot][i]} instead of ${value}`);
    });
  }
}

function refused(run, where, word) {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw new Error(`${where}: ${error.stack}`);
    return same(error.word, word ?? error.word, where);
  }
  throw new Error(`${where}: not refused`);
}

function checkHeaders() {
  const { headers, refused: bad } = load('headers.json');
  for (const { bytes, fields: { frame_type, captured_us, ...rest } } of headers) {
    const header = unpackHeader(hex(bytes));
    const expected = { ...rest, frameType: frame_type, capturedUs: BigInt(captured_us) };
    for (const name of Object.keys(header)) same(String(header[name]), String(expected[name]), `header ${bytes}, ${name}`);
    same(toHex(packHeader(header)), bytes, 'packed again');
  }
  for (const { why, bytes } of bad) refused(() => unpackHeader(hex(bytes)), why);
  return `${headers.length} headers read and packed again, ${bad.length} refused`;
}

function checkV1() {
  const { key, bodies } = load('v1.json');
  for (const { body, pose } of bodies) {
    const message = JSON.parse(body);
    samePose(decodeV1(body, hex(key)), pose, 'v1');
    refused(() => decodeV1(body, flipped(hex(key), 0)), 'v1, another key', 'altered');
    refused(() => decodeV1(JSON.stringify({ ...message, timestamp: message.timestamp + 1e-6 }), hex(key)), 'v1, another time', 'altered');
  }
  return `${bodies.length} bodies read, each refused with another key or time`;
}

function checkV2() {
  const { poses, audio, opus, events, refused_events: bad } = load('v2.json');
  const plain = (_, value) => (value?.type === 'Buffer' ? { bytes: toHex(value.data) } : value); // as README.md writes bytes
  for (const { body, pose } of poses) samePose(decodeV2Pose(hex(body)), pose, 'v2 pose');
  for (const { body, samples, ...expected } of audio) {
    const { sampleRate, channels, dtype, samples: found } = decodeV2Audio(hex(body));
    same([{ sample_rate: sampleRate, channels, dtype }, [...found]], [expected, samples.flat()], 'v2 audio');
  }
  for (const { body, ...expected } of opus) {
    const { channels, packet, number, previous } = decodeV2Opus(hex(body));
    same({ channels, packet: toHex(packet), number, previous: toHex(previous) }, expected, 'v2 opus');
  }
  for (const { body, ...event } of events) same(JSON.parse(JSON.stringify(decodeV2Event(hex(body))), plain), event, 'v2 event');
  for (const { why, body } of bad) refused(() => decodeV2Event(hex(body)), why);
  return `${poses.length} poses, ${audio.length + opus.length} sounds, ${events.length} events read, ${bad.length} refused`;
}

function checkSealed() {
  const { room, user, salt, modes } = load('sealed.json');
  const packets = modes.flatMap(({ packets: list, ...mode }) => list.map((packet) => ({ ...mode, ...packet })));
  for (const { seal: mode, secret, key_id, sealed, opened } of packets) {
    const options = { room, user, salt: hex(salt), secret: hex(secret), mode };
    const { header, body } = openSealed(hex(sealed), options);
    same(mode === 'AEAD' ? toHex(keyId(options.secret, room)) : '', key_id, 'key_id');
    same(toHex(packHeader(header)) + toHex(body), opened, `${mode}, opened`);
    same(toHex(sealPacket(header, body, options)), sealed, `${mode}, sealed again`);
    refused(() => openSealed(hex(sealed), { ...options, user: 'mallory' }), `${mode}, another user`, 'altered');
    for (const at of [2, 11, HEADER_SIZE, sealed.length / 2 - 1]) {
      refused(() => openSealed(flipped(hex(sealed), at), options), `${mode}, byte ${at}`, 'altered');
    }
  }
  const page = '7f7cf92d836baaffdd90a1bc91e6cc2e8824c95a45c7ad9f0acc91c7c1feade9';
  same(toHex(roomKeyOf('correct horse battery', 'studio')), page, 'the passphrase of the page');
  return `${packets.length} packets opened and sealed again, each refused when altered; the page's passphrase`;
}

/** Each frame gives the vector's pose, or misses its reference. @returns {number} how many missed it */
function replay(frames, where) {
  const decoder = new V3Decoder();
  let missing = 0;
  for (const { header, body, pose } of frames) {
    try {
      samePose(decoder.decode(header, body), pose, `${where}, seq ${header.seq}`);
    } catch (error) {
      if (!(error instanceof MissingReference)) throw new Error(`${where}, seq ${header.seq}: ${error.message}`);
      missing++;
    }
  }
  return missing;
}

function checkV3() {
  const { streams, refused: bad, refused_later: later } = load('v3.json');
  let missing = 0;
  const all = streams.map(({ name, frames: list }) => {
    const frames = list.map(({ packet: text, pose }) => {
      const packet = hex(text);
      return { packet, header: unpackHeader(packet), body: packet.subarray(HEADER_SIZE), pose };
    });
    same(replay(frames, name), 0, `${name}, missing references`);
    frames.forEach((_, i) => (missing += replay(frames.toSpliced(i, 1), `${name} without ${i}`)));
    missing += replay(frames.toReversed(), `${name}, reversed`);
    return frames;
  });
  for (const { why, body } of bad) refused(() => new V3Decoder().decode(all[0][0].header, hex(body)), why);
  for (const { why, ref, body } of later.bodies) {
    const decoder = new V3Decoder();
    const packets = later.before.map(hex);
    const headers = packets.map(unpackHeader);
    packets.forEach((packet, i) => decoder.decode(headers[i], packet.subarray(HEADER_SIZE)));
    refused(() => decoder.decode({ ...headers[1], frameType: 'leaf', seq: headers[1].seq + 1, ref }, hex(body)), why);
  }
  console.log(`v3.json: ${all.flat().length} frames of ${all.length} streams read, ${bad.length + later.bodies.length} refused; `
    + `without each frame, and reversed: ${missing} missing, none wrong`);
  return all;
}

/** Seeded, so that a failure comes again (mulberry32). */
function randomFrom(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Flips, sets, removes and inserts bytes, mostly where headers are. */
function mutated(packet, random) {
  const bytes = [...packet];
  for (let times = 1 + random(3); times > 0; times--) {
    const at = random(4) ? HEADER_SIZE + random(24) : random(bytes.length + 1);
    const how = random(5);
    if (how < 3) bytes[Math.min(at, bytes.length - 1)] = [bytes[at] ^ (1 << random(8)), random(256), 255][how];
    else if (how === 3) bytes.splice(at, 1 + random(random(2) ? 3 : bytes.length));
    else bytes.splice(at, 0, random(256));
  }
  return Uint8Array.from(bytes);
}

function fuzz(streams, rounds) {
  const random = randomFrom(1);
  const cases = streams.flatMap((frames) => {
    const decoder = new V3Decoder();
    return frames.map(({ packet, header, body }) => {
      const references = [...decoder.references];
      decoder.decode(header, body);
      return { packet, references };
    });
  });
  let [bad, worst] = [0, 0];
  for (let i = 0; i < rounds; i++) {
    const { packet, references } = cases[random(cases.length)];
    const bytes = mutated(packet, random);
    const decoder = Object.assign(new V3Decoder(), { references: new Map(references) });
    const before = performance.now();
    try {
      decoder.decode(unpackHeader(bytes), bytes.subarray(HEADER_SIZE));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw new Error(`fuzz ${i}, ${toHex(bytes)}: ${error.stack}`);
      bad++;
    }
    worst = Math.max(worst, performance.now() - before);
  }
  // A second is no measure of speed: what hangs, or takes a time that grows with what a packet says, is over it.
  if (worst >= 1000) throw new Error(`fuzz: a packet took ${worst} ms`);
  return `${rounds} mutated packets, ${bad} refused, the others decoded; the slowest took ${worst.toFixed(1)} ms`;
}

function measure(frames) {
  const times = Array.from({ length: 1000 }, () => {
    const before = performance.now();
    const decoder = new V3Decoder();
    for (const { header, body } of frames) decoder.decode(header, body);
    return (1000 * (performance.now() - before)) / frames.length;
  });
  const { pose, face, hands } = frames[0].pose; // in hexadecimal: 32 digits a landmark
  const landmarks = [pose, face, hands].reduce((sum, part) => sum + (part?.length ?? 0) / 32, 0);
  return `${landmarks} landmarks: ${times.slice(200).sort((a, b) => a - b)[400].toFixed(1)} µs a frame`;
}

if (process.argv[1] && realpathSync(process.argv[1]) === realpathSync(fileURLToPath(import.meta.url))) {
  try {
    console.log(`headers.json: ${checkHeaders()}`);
    console.log(`v1.json: ${checkV1()}`);
    console.log(`v2.json: ${checkV2()}`);
    console.log(`sealed.json: ${checkSealed()}`);
    const streams = checkV3();
    console.log(`fuzz: ${fuzz(streams, 20_000)}`);
    if (process.argv.includes('--time')) for (const frames of streams.slice(0, 3)) console.log(`time: ${measure(frames)}`);
  } catch (error) {
    console.error(`FAILED ${error.message}`);
    process.exit(1);
  }
}
