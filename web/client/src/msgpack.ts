/** msgpack of bodies of version 2: strict when it reads, the shortest form when it writes. */
import { Reader, Writer, fromUtf8, toUtf8 } from './bytes.js';
import { check } from './errors.js';

/** Bytes of 0x91 without end would overflow the stack; docs/wire.md allows to refuse deeper ones. */
const MAX_DEPTH = 256;

/** An extension of msgpack, which Posewire does not use itself. */
export interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** What msgpack can say. Maps with keys that are no text become a Map; numbers beyond 2⁵³ a bigint. */
export type Value =
  | null | boolean | number | bigint | string | Uint8Array | Extension
  | readonly Value[] | { readonly [key: string]: Value } | ReadonlyMap<Value, Value>;

const small = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value);

/** Reads one value. */
export class MsgpackReader extends Reader {
  value(depth = 0): Value {
    check(depth <= MAX_DEPTH, 'nested too deep');
    const tag = this.u8();
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 15, depth);
    if (tag < 0xa0) return this.#list(tag & 15, depth);
    if (tag < 0xc0) return fromUtf8(this.take(tag & 31));
    if (tag >= 0xe0) return tag - 256;
    check(tag !== 0xc1, 'not msgpack');
    if (tag === 0xc0) return null;
    if (tag < 0xc4) return tag === 0xc3;
    if (tag < 0xc7) return this.take(this.#uint(tag - 0xc4));
    if (tag < 0xca) return this.#extension(this.#uint(tag - 0xc7));
    if (tag < 0xd4) return this.#number(tag);
    if (tag < 0xd9) return this.#extension(1 << (tag - 0xd4));
    if (tag < 0xdc) return fromUtf8(this.take(this.#uint(tag - 0xd9)));
    return tag < 0xde ? this.#list(this.#uint(tag - 0xdb), depth) : this.#map(this.#uint(tag - 0xdd), depth);
  }

  // msgpack's own numbers are big-endian.
  #uint(log: number): number {
    const at = this.skip(1 << log);
    return log === 0 ? this.bytes[at] : log === 1 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  #number(tag: number): number | bigint {
    switch (tag) {
      case 0xca: return this.view.getFloat32(this.skip(4));
      case 0xcb: return this.view.getFloat64(this.skip(8));
      case 0xcf: return small(this.view.getBigUint64(this.skip(8)));
      case 0xd0: return this.view.getInt8(this.skip(1));
      case 0xd1: return this.view.getInt16(this.skip(2));
      case 0xd2: return this.view.getInt32(this.skip(4));
      case 0xd3: return small(this.view.getBigInt64(this.skip(8)));
      default: return this.#uint(tag - 0xcc);
    }
  }

  #extension(size: number): Extension {
    return { type: this.view.getInt8(this.skip(1)), data: this.take(size) };
  }

  #list(size: number, depth: number): Value[] {
    check(size <= this.left, 'cut short'); // before allocating: each element has a byte or more
    const list: Value[] = [];
    for (let i = 0; i < size; i++) list.push(this.value(depth + 1));
    return list;
  }

  #map(size: number, depth: number): { readonly [key: string]: Value } | ReadonlyMap<Value, Value> {
    check(2 * size <= this.left, 'cut short');
    const pairs: [Value, Value][] = [];
    for (let i = 0; i < size; i++) pairs.push([this.value(depth + 1), this.value(depth + 1)]);
    const texts = pairs.every((pair): pair is [string, Value] => typeof pair[0] === 'string');
    return texts ? Object.fromEntries(pairs) : new Map(pairs);
  }
}

/** Writes values, each in its shortest form; numbers that are not whole are doubles. */
export class MsgpackWriter extends Writer {
  value(value: unknown, depth = 0): void {
    check(depth <= MAX_DEPTH, 'nested too deep');
    if (value === null || value === undefined) this.u8(0xc0);
    else if (typeof value === 'boolean') this.u8(value ? 0xc3 : 0xc2);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'bigint') this.#bigint(value);
    else if (typeof value === 'string') this.#text(value);
    else if (value instanceof Uint8Array) this.binary(value);
    else if (Array.isArray(value)) {
      this.array(value.length);
      for (const each of value) this.value(each, depth + 1);
    } else this.#map(value instanceof Map ? [...value] : Object.entries(value), depth);
  }

  array(size: number): void {
    this.#sized(size, [0x90, 16], [0xdc, 0xdd]);
  }

  binary(bytes: Uint8Array): void {
    this.#sized(bytes.length, null, [0xc5, 0xc6], 0xc4);
    this.put(bytes);
  }

  #text(text: string): void {
    const bytes = toUtf8(text);
    this.#sized(bytes.length, [0xa0, 32], [0xda, 0xdb], 0xd9);
    this.put(bytes);
  }

  #map(pairs: [unknown, unknown][], depth: number): void {
    this.#sized(pairs.length, [0x80, 16], [0xde, 0xdf]);
    for (const [key, each] of pairs) {
      this.value(key, depth + 1);
      this.value(each, depth + 1);
    }
  }

  #sized(size: number, fixed: [number, number] | null, [two, four]: [number, number], one?: number): void {
    if (fixed && size < fixed[1]) this.u8(fixed[0] | size);
    else if (one !== undefined && size < 1 << 8) this.fill(2, (view, at) => view.setUint16(at, (one << 8) | size));
    else if (size < 1 << 16) this.#tagged(two, 2, (view, at) => view.setUint16(at, size));
    else this.#tagged(four, 4, (view, at) => view.setUint32(at, size));
  }

  #tagged(tag: number, size: number, write: (view: DataView, at: number) => void): void {
    this.u8(tag);
    this.fill(size, write);
  }

  #number(value: number): void {
    if (!Number.isInteger(value) || Object.is(value, -0) || Math.abs(value) >= 2 ** 63) {
      this.#tagged(0xcb, 8, (view, at) => view.setFloat64(at, value));
    } else if (value >= 0) {
      if (value < 0x80) this.u8(value);
      else if (value < 1 << 8) this.#tagged(0xcc, 1, (view, at) => view.setUint8(at, value));
      else if (value < 1 << 16) this.#tagged(0xcd, 2, (view, at) => view.setUint16(at, value));
      else if (value < 2 ** 32) this.#tagged(0xce, 4, (view, at) => view.setUint32(at, value));
      else this.#bigint(BigInt(value));
    } else if (value >= -32) this.u8(value + 256);
    else if (value >= -(1 << 7)) this.#tagged(0xd0, 1, (view, at) => view.setInt8(at, value));
    else if (value >= -(1 << 15)) this.#tagged(0xd1, 2, (view, at) => view.setInt16(at, value));
    else if (value >= -(2 ** 31)) this.#tagged(0xd2, 4, (view, at) => view.setInt32(at, value));
    else this.#bigint(BigInt(value));
  }

  #bigint(value: bigint): void {
    check(value >= -(2n ** 63n) && value < 2n ** 64n, 'a number of more than 64 bits');
    if (value >= 0n) this.#tagged(0xcf, 8, (view, at) => view.setBigUint64(at, value));
    else this.#tagged(0xd3, 8, (view, at) => view.setBigInt64(at, value));
  }
}
