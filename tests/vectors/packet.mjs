/** "Packets" and "Seal" of docs/wire.md. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, pbkdf2Sync, timingSafeEqual } from 'node:crypto';
import { check, refusing, viewOf } from './common.mjs';

export const HEADER_SIZE = 19;
const MAX_PACKET = 1_048_576;
const KINDS = ['pose', 'audio', 'event'];
const DELIVERIES = ['latest', 'ordered', 'reliable'];
const FRAME_TYPES = ['key', 'anchor', 'leaf'];
const SEALS = ['none', 'mac', 'aead'];

/** @param {Uint8Array} bytes a packet, or its first 19 bytes @returns {Header} */
export function unpackHeader(bytes) {
  check(bytes.length >= HEADER_SIZE && bytes.length <= MAX_PACKET, 'not the size of a packet');
  const view = viewOf(bytes);
  const version = bytes[0] & 15;
  const [kind, delivery, frameType, seal] = [KINDS, DELIVERIES, FRAME_TYPES, SEALS].map((names, i) => names[(bytes[1] >> (2 * i)) & 3]);
  const ref = view.getUint16(9, true);
  check(bytes[0] >> 4 === 1 && version >= 1 && version <= 3, 'another format');
  check(kind && delivery && frameType && seal, 'unknown kind, delivery, frame type or seal');
  check((frameType === 'key') === (ref === 0), 'a keyframe refers to none, the others to one');
  check(version === 3 || frameType === 'key', 'only version 3 refers to other frames');
  return {
    version, kind, delivery, frameType, seal, ref,
    stream: bytes[2],
    member: view.getUint16(3, true),
    seq: view.getUint32(5, true),
    capturedUs: view.getBigUint64(11, true),
  };
}

/** @param {Header} header @returns {Uint8Array} */
export function packHeader(header) {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = viewOf(bytes);
  bytes[0] = 0x10 | header.version;
  bytes[1] = KINDS.indexOf(header.kind) | (DELIVERIES.indexOf(header.delivery) << 2)
    | (FRAME_TYPES.indexOf(header.frameType) << 4) | (SEALS.indexOf(header.seal) << 6);
  bytes[2] = header.stream;
  view.setUint16(3, header.member, true);
  view.setUint32(5, header.seq, true);
  view.setUint16(9, header.ref, true);
  view.setBigUint64(11, header.capturedUs, true);
  return bytes;
}

// ---- "Seal" ----

const MODES = { AEAD: { seal: 'aead', info: 'posewire 1 aead', extra: 16 }, MAC: { seal: 'mac', info: 'posewire 1 mac', extra: 8 } };

/** A text as its length in 2 bytes and its UTF-8. */
function counted(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(bytes.length & 255, bytes.length >> 8), bytes]);
}

const hkdf = (secret, salt, info, size) => Buffer.from(hkdfSync('sha256', secret, salt, Buffer.concat(info), size));

/** The key of one sender in one seat: derive it once, not for each packet. @param {SealOptions} options */
export function sealKey({ room, user, salt, secret, mode }) {
  return hkdf(secret, salt, [Buffer.from(MODES[mode].info), counted(room), counted(user)], 32);
}

/** What goes into `room.join` as `key_id`. @param {Uint8Array} roomKey @param {string} room */
export function keyId(roomKey, room) {
  return hkdf(roomKey, Buffer.alloc(0), [Buffer.from('posewire 1 key id'), counted(room)], 8);
}

/** @param {string} passphrase @param {string} room */
export function roomKeyOf(passphrase, room) {
  return pbkdf2Sync(passphrase.normalize('NFC'), `posewire room key 1${room}`, 600_000, 32, 'sha256');
}

const nonceOf = (header) => Buffer.concat([header.subarray(2, 9), Buffer.alloc(5)]);
const macOf = (key, bytes) => createHmac('sha256', key).update(bytes).digest().subarray(0, 8);

/** @param {Uint8Array} packet @param {SealOptions} options @returns {{header: Header, body: Uint8Array}} */
export function openSealed(packet, { mode, ...options }) {
  const { seal, extra } = MODES[mode];
  const header = unpackHeader(packet);
  check(header.seal === seal, `the seal is ${header.seal}`, header.seal === 'aead' ? 'no_key' : 'unsealed');
  check(packet.length >= HEADER_SIZE + extra, 'too short for its seal', 'altered');
  check(options.salt?.length === 16, 'the sender has no salt', 'altered');
  const key = sealKey({ mode, ...options });
  const end = packet.length - extra;
  const [head, body, tag] = [packet.subarray(0, HEADER_SIZE), packet.subarray(HEADER_SIZE, end), packet.subarray(end)];
  if (mode === 'MAC') {
    check(timingSafeEqual(macOf(key, packet.subarray(0, end)), tag), 'the MAC is wrong', 'altered');
    return { header, body };
  }
  const cipher = createDecipheriv('aes-256-gcm', key, nonceOf(head), { authTagLength: 16 }).setAAD(head).setAuthTag(tag);
  return { header, body: refusing('the tag is wrong', () => Buffer.concat([cipher.update(body), cipher.final()]), 'altered') };
}

/** @param {Header} header its seal is that of the mode @param {Uint8Array} body @param {SealOptions} options */
export function sealPacket(header, body, options) {
  const head = packHeader({ ...header, seal: MODES[options.mode].seal });
  const key = sealKey(options);
  if (options.mode === 'MAC') return Buffer.concat([head, body, macOf(key, Buffer.concat([head, body]))]);
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(head), { authTagLength: 16 }).setAAD(head);
  return Buffer.concat([head, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
}
