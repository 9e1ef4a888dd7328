/** "Seal" of docs/wire.md, by WebCrypto: it needs a secure context, which https and localhost are. */
import { concat, plain, toUtf8, type Bytes } from './bytes.js';
import { PosewireError, check } from './errors.js';
import { HEADER_SIZE, packHeader, type Header } from './header.js';

export type SealMode = 'MAC' | 'AEAD';

const MODES = {
  MAC: { seal: 'mac', info: 'posewire 1 mac', extra: 8 },
  AEAD: { seal: 'aead', info: 'posewire 1 aead', extra: 16 },
} as const;

export const SALT_SIZE = 16;
const PASSPHRASE_ROUNDS = 600_000;
const LEAST_PASSPHRASE = 12;
const LEAST_KEY = 16;

function subtle(): SubtleCrypto {
  const found = (globalThis as { crypto?: { subtle?: SubtleCrypto } }).crypto?.subtle;
  if (!found) {
    throw new PosewireError('SecurityError', 'this page is not in a secure context, so the browser gives it no cryptography: use https, or localhost');
  }
  return found;
}

/** Whether packets can be sealed and opened here. */
export const canSeal = (): boolean => (globalThis as { crypto?: { subtle?: unknown } }).crypto?.subtle !== undefined;

/** A text as its length in 2 bytes and its UTF-8. */
function counted(text: string): Bytes {
  const bytes = toUtf8(text);
  return concat(Uint8Array.of(bytes.length & 255, bytes.length >> 8), bytes);
}

async function hkdf(secret: Uint8Array, salt: Uint8Array, info: Bytes, size: number): Promise<Bytes> {
  const key = await subtle().importKey('raw', plain(secret), 'HKDF', false, ['deriveBits']);
  const bits = await subtle().deriveBits({ name: 'HKDF', hash: 'SHA-256', salt: plain(salt), info }, key, 8 * size);
  return new Uint8Array(bits);
}

/** What goes into `room.join` as `key_id`. */
export const keyId = (roomKey: Uint8Array, room: string): Promise<Bytes> =>
  hkdf(roomKey, new Uint8Array(0), concat(toUtf8('posewire 1 key id'), counted(room)), 8);

/** The room key of a passphrase; takes some tenths of a second. */
export async function roomKeyOf(passphrase: string, room: string): Promise<Bytes> {
  if ([...passphrase].length < LEAST_PASSPHRASE) {
    throw new PosewireError('ConfigurationError', `a passphrase has ${LEAST_PASSPHRASE} characters or more`);
  }
  const key = await subtle().importKey('raw', toUtf8(passphrase.normalize('NFC')), 'PBKDF2', false, ['deriveBits']);
  const salt = toUtf8(`posewire room key 1${room}`);
  return new Uint8Array(await subtle().deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt, iterations: PASSPHRASE_ROUNDS }, key, 256));
}

/** Takes a room key as it is, or makes it of a passphrase. */
export async function asRoomKey(key: Uint8Array | string, room: string): Promise<Bytes> {
  if (typeof key === 'string') return roomKeyOf(key, room);
  if (key.length < LEAST_KEY) throw new PosewireError('ConfigurationError', `a room key has ${LEAST_KEY} bytes or more`);
  return plain(key);
}

export const newSalt = (): Bytes => crypto.getRandomValues(new Uint8Array(SALT_SIZE));

const nonceOf = (packet: Uint8Array): Bytes => concat(packet.subarray(2, 9), new Uint8Array(5));

function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

/** The key of one sender in one seat. */
export class SealKey {
  readonly mode: SealMode;
  readonly #key: CryptoKey;

  private constructor(mode: SealMode, key: CryptoKey) {
    this.mode = mode;
    this.#key = key;
  }

  /** Derives it. `secret`: the room key (AEAD), or the `key` of `room.join` (MAC). */
  static async derive(mode: SealMode, secret: Uint8Array, room: string, user: string, salt: Uint8Array): Promise<SealKey> {
    const info = concat(toUtf8(MODES[mode].info), counted(room), counted(user));
    const bytes = await hkdf(secret, salt, info, 32);
    const key =
      mode === 'AEAD'
        ? await subtle().importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])
        : await subtle().importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return new SealKey(mode, key);
  }

  /** Returns the body of a packet; refuses what is altered. */
  async open(packet: Uint8Array): Promise<Uint8Array> {
    const { extra } = MODES[this.mode];
    check(packet.length >= HEADER_SIZE + extra, 'too short for its seal', 'altered');
    const end = packet.length - extra;
    if (this.mode === 'MAC') {
      check(equal(await this.#mac(packet.subarray(0, end)), packet.subarray(end)), 'the MAC is wrong', 'altered');
      return packet.subarray(HEADER_SIZE, end);
    }
    const additionalData = plain(packet.subarray(0, HEADER_SIZE));
    const opened = await subtle()
      .decrypt({ name: 'AES-GCM', iv: nonceOf(packet), additionalData }, this.#key, plain(packet.subarray(HEADER_SIZE)))
      .catch(() => null);
    check(opened, 'the tag is wrong', 'altered');
    return new Uint8Array(opened);
  }

  /** Returns the packet of a body. No key may seal two with the same stream and seq. */
  async seal(header: Header, body: Uint8Array): Promise<Bytes> {
    const head = packHeader({ ...header, seal: MODES[this.mode].seal });
    if (this.mode === 'MAC') {
      const signed = concat(head, body);
      return concat(signed, await this.#mac(signed));
    }
    const sealed = await subtle().encrypt({ name: 'AES-GCM', iv: nonceOf(head), additionalData: head }, this.#key, plain(body));
    return concat(head, new Uint8Array(sealed));
  }

  async #mac(bytes: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await subtle().sign('HMAC', this.#key, plain(bytes))).subarray(0, 8);
  }
}

/** A room key out of a link: base64url or hexadecimal of its bytes, else a passphrase. */
export function readRoomKey(text: string): Uint8Array | string {
  if (/^([0-9a-f]{2}){16,}$/i.test(text)) return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return text.normalize('NFC');
}

