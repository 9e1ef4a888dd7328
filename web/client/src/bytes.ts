/** Reading and joining bytes. */
import { ProtocolError, check, messageOf } from './errors.js';

/** Bytes that WebCrypto takes: never of a SharedArrayBuffer. */
export type Bytes = Uint8Array<ArrayBuffer>;

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const ENCODER = new TextEncoder();

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function fromUtf8(bytes: Uint8Array): string {
  try {
    return STRICT_UTF8.decode(bytes);
  } catch (error) {
    throw new ProtocolError(`not UTF-8: ${messageOf(error)}`);
  }
}

export const toUtf8 = (text: string): Bytes => ENCODER.encode(text) as Bytes;

export function concat(...parts: Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The same bytes in a form that WebCrypto takes; copies only what lies in shared memory. */
export const plain = (bytes: Uint8Array): Bytes =>
  bytes.buffer instanceof ArrayBuffer ? (bytes as Bytes) : (new Uint8Array(bytes) as Bytes);

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** For every packet: names of keys and windows have it in them. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i]];
  return text;
}

export function fromBase64(text: string): Bytes {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch (error) {
    throw new ProtocolError(`not base64: ${messageOf(error)}`);
  }
}

/** Reads bytes from the front; whoever reads past the end gets a ProtocolError. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** Goes past `size` bytes; returns where they begin. */
  skip(size: number): number {
    check(size <= this.left, 'cut short');
    this.at += size;
    return this.at - size;
  }

  take(size: number): Uint8Array {
    const at = this.skip(size);
    return this.bytes.subarray(at, at + size);
  }

  u8(): number {
    return this.bytes[this.skip(1)];
  }

  u16(): number {
    return this.view.getUint16(this.skip(2), true);
  }
}

/** Collects bytes; grows as it has to. */
export class Writer {
  #bytes = new Uint8Array(256);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Makes room for `size` bytes; returns where they begin, in `view`. */
  #grow(size: number): number {
    if (this.#size + size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#size + size));
      larger.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = larger;
    }
    this.#size += size;
    return this.#size - size;
  }

  u8(value: number): void {
    const at = this.#grow(1);
    this.#bytes[at] = value;
  }

  /** An unsigned number of 2 bytes, little-endian. */
  u16(value: number): void {
    this.u8(value & 255);
    this.u8(value >> 8);
  }

  put(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Lets `write` fill `size` new bytes. */
  fill(size: number, write: (view: DataView, at: number) => void): void {
    const at = this.#grow(size);
    write(viewOf(this.#bytes), at);
  }

  done(): Bytes {
    return this.#bytes.slice(0, this.#size);
  }
}
