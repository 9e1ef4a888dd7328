/**
 * Socket.IO's msgpack parser, with a short way for packets: they are not decoded value by value, and the bytes of one are
 * those of the message, not a copy. What is sent is written here: socket.io-msgpack-parser makes maps of a Uint8Array in a
 * browser, and an extension in Node, where the wire has bytes.
 */
import { Decoder as MsgpackDecoder, protocol } from 'socket.io-msgpack-parser';
import { concat, toUtf8, viewOf } from './bytes.js';
import { MsgpackWriter } from './msgpack.js';

interface Packet {
  readonly type: number;
  readonly nsp: string;
  readonly data?: unknown;
  readonly id?: number;
}

const EVENT = 2;
// {type: 2, data: ["frame", bytes], nsp: "/"}
const BEFORE = concat(Uint8Array.of(0x83, 0xa4), toUtf8('type'), Uint8Array.of(2, 0xa4), toUtf8('data'), Uint8Array.of(0x92, 0xa5), toUtf8('frame'));
const AFTER = concat(Uint8Array.of(0xa3), toUtf8('nsp'), Uint8Array.of(0xa1), toUtf8('/'));

export function wrapFrame(packet: Uint8Array): Uint8Array<ArrayBuffer> {
  const size = packet.length;
  const head = size < 1 << 8 ? Uint8Array.of(0xc4, size) : size < 1 << 16 ? Uint8Array.of(0xc5, size >> 8, size & 255) : new Uint8Array(5);
  if (head.length === 5) {
    head[0] = 0xc6;
    viewOf(head).setUint32(1, size);
  }
  return concat(BEFORE, head, packet, AFTER);
}

/** The packet in a message that is a `frame` event and nothing else; null when it is another message. */
export function unwrapFrame(message: Uint8Array): Uint8Array | null {
  const start = BEFORE.length;
  if (message.length < start + 2 + AFTER.length) return null;
  for (let i = 0; i < start; i++) if (message[i] !== BEFORE[i]) return null;
  const width = { 0xc4: 1, 0xc5: 2, 0xc6: 4 }[message[start]];
  if (!width) return null;
  const end = message.length - AFTER.length;
  for (let i = 0; i < AFTER.length; i++) if (message[end + i] !== AFTER[i]) return null;
  const view = viewOf(message);
  const size = width === 1 ? message[start + 1] : width === 2 ? view.getUint16(start + 1) : view.getUint32(start + 1);
  const first = start + 1 + width;
  return first + size === end ? message.subarray(first, end) : null;
}

class Encoder {
  encode({ type, data, nsp, id }: Packet): unknown[] {
    if (type === EVENT && id === undefined && nsp === '/' && Array.isArray(data) && data[0] === 'frame' && data[1] instanceof Uint8Array) {
      return [wrapFrame(data[1])];
    }
    // In this order, and without what the client keeps in a packet for itself.
    const writer = new MsgpackWriter();
    writer.value({ type, ...(data === undefined ? {} : { data }), nsp, ...(id === undefined ? {} : { id }) });
    return [writer.done()];
  }
}

class Decoder extends MsgpackDecoder {
  override add(message: unknown): void {
    const bytes = message instanceof ArrayBuffer ? new Uint8Array(message) : message;
    const packet = bytes instanceof Uint8Array ? unwrapFrame(bytes) : null;
    if (packet) this.emit('decoded', { type: EVENT, nsp: '/', data: ['frame', packet] });
    else super.add(message);
  }
}

export const parser = { protocol, Encoder, Decoder };

/** The bytes in a control message: a browser gets an ArrayBuffer, Node a Buffer. */
export function asBytes(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  return value instanceof ArrayBuffer ? new Uint8Array(value) : null;
}
