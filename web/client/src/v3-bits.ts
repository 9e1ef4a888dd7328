/** "Symbols" of body version 3: the prefixes of all, then the low bits of all. */
import type { Reader } from './bytes.js';
import { check } from './errors.js';

/** Of 10 and more beyond: the *d* of a long symbol, whose part above the low bits is `scaled`. */
const extra = (scaled: number): number => 31 - Math.clz32(scaled - 10);

/** Bits of a symbol with Rice parameter `k`; infinite where it cannot be written. Symbols have less than 32 bits. */
export function bitsOf(symbol: number, k: number): number {
  const scaled = symbol >>> k;
  if (scaled < 12) return scaled + 1 + k;
  const d = extra(scaled);
  return k + d > 25 ? Infinity : d + 12 + k + d;
}

/**
 * Reads `count` symbols, each with its Rice parameter; there must be nothing behind them. What it returns is good until it
 * is called again: a page that draws has no time to make new arrays for each frame.
 */
export function readSymbols(reader: Reader, parameters: Uint8Array, count: number): Uint32Array {
  const size = 8 * reader.left;
  check(count <= size, 'cut short'); // each symbol has a bit or more
  if (symbolsRead.length < count) [symbolsRead, widthsRead] = [new Uint32Array(2 * count), new Uint8Array(2 * count)];
  const [symbols, widths] = [symbolsRead, widthsRead];
  const bytes = new Uint8Array(reader.left + 8); // zeros behind: four bytes can be read anywhere
  bytes.set(reader.take(reader.left));
  /** 32 bits from there on, of which 25 are sure. */
  const peek = (bit: number): number => {
    const i = bit >> 3;
    return ((bytes[i] << 24) | (bytes[i + 1] << 16) | (bytes[i + 2] << 8) | bytes[i + 3]) << (bit & 7);
  };
  let [bit, low] = [0, 0];
  for (let s = 0; s < count; s++) {
    let p = Math.min(25, Math.clz32(peek(bit)));
    bit += p;
    for (let run = p; run === 25 && p <= 50; p += run, bit += run) run = Math.min(25, Math.clz32(peek(bit)));
    bit++; // the one
    const k = parameters[s];
    const d = p > 11 ? p - 11 : 0;
    if (k + d > 25 || bit > size) check(false, 'a symbol too long, or cut short');
    symbols[s] = (d ? 10 + (1 << d) : p) << k; // less than 2^31: one of them is small
    low += widths[s] = k + d;
  }
  check(Math.ceil((bit + low) / 8) === size / 8, 'cut short, or something behind it');
  for (let s = 0; s < count; bit += widths[s++]) if (widths[s]) symbols[s] += peek(bit) >>> (32 - widths[s]);
  check(bit === size || peek(bit) === 0, 'padding');
  return symbols;
}

let symbolsRead = new Uint32Array(4096);
let widthsRead = new Uint8Array(4096);

/** Writes symbols. They must be short enough: `bitsOf` says so. */
export function writeSymbols(symbols: readonly number[], parameters: readonly number[]): Uint8Array {
  let size = 0;
  symbols.forEach((symbol, s) => (size += bitsOf(symbol, parameters[s])));
  const bytes = new Uint8Array(Math.ceil(size / 8));
  let bit = 0;
  symbols.forEach((symbol, s) => {
    const scaled = symbol >>> parameters[s];
    bit += scaled < 12 ? scaled : extra(scaled) + 11;
    bytes[bit >> 3] |= 128 >> (bit & 7);
    bit++;
  });
  symbols.forEach((symbol, s) => {
    const k = parameters[s];
    const scaled = symbol >>> k;
    const d = scaled < 12 ? 0 : extra(scaled);
    const low = symbol - (d ? 10 + 2 ** d : scaled) * 2 ** k;
    for (let i = k + d - 1; i >= 0; i--, bit++) if ((low >>> i) & 1) bytes[bit >> 3] |= 128 >> (bit & 7);
  });
  return bytes;
}
