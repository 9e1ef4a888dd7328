/** The 19 bytes in front of every body: "Packets" of docs/wire.md. */
import { viewOf, type Bytes } from './bytes.js';
import { check } from './errors.js';

export const HEADER_SIZE = 19;
export const MAX_PACKET = 1_048_576;

const KINDS = ['pose', 'audio', 'event'] as const;
const DELIVERIES = ['latest', 'ordered', 'reliable'] as const;
const FRAME_TYPES = ['key', 'anchor', 'leaf'] as const;
const SEALS = ['none', 'mac', 'aead'] as const;

export type Kind = (typeof KINDS)[number];
export type Delivery = (typeof DELIVERIES)[number];
export type FrameType = (typeof FRAME_TYPES)[number];
export type SealKind = (typeof SEALS)[number];

export interface Header {
  readonly version: number;
  readonly kind: Kind;
  readonly delivery: Delivery;
  readonly frameType: FrameType;
  readonly seal: SealKind;
  readonly stream: number;
  readonly member: number;
  readonly seq: number;
  readonly ref: number;
  /** Microseconds since 1970 on the server's clock. */
  readonly capturedUs: bigint;
}

/** Reads the header of a packet; the body is not looked at. */
export function unpackHeader(bytes: Uint8Array): Header {
  check(bytes.length >= HEADER_SIZE && bytes.length <= MAX_PACKET, 'not the size of a packet');
  const view = viewOf(bytes);
  const bits = bytes[1];
  const [kind, delivery] = [KINDS[bits & 3], DELIVERIES[(bits >> 2) & 3]];
  const [frameType, seal] = [FRAME_TYPES[(bits >> 4) & 3], SEALS[bits >> 6]];
  const version = bytes[0] & 15;
  check(bytes[0] >> 4 === 1 && version >= 1 && version <= 3, 'another format');
  check(kind && delivery && frameType && seal, 'unknown kind, delivery, frame type or seal');
  const [stream, ref] = [bytes[2], view.getUint16(9, true)];
  check((frameType === 'key') === (ref === 0), 'a keyframe refers to none, the others to one');
  check(version === 3 || frameType === 'key', 'only version 3 refers to other frames');
  check(version === 2 || kind === 'pose', 'versions 1 and 3 are for poses');
  check((kind === 'event') === (stream === 0), 'stream 0 is for events, and events are on no other');
  return {
    version, kind, delivery, frameType, seal, stream, ref,
    member: view.getUint16(3, true),
    seq: view.getUint32(5, true),
    capturedUs: view.getBigUint64(11, true),
  };
}

export function packHeader(header: Header): Bytes {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = viewOf(bytes);
  bytes[0] = 0x10 | header.version;
  bytes[1] =
    KINDS.indexOf(header.kind) | (DELIVERIES.indexOf(header.delivery) << 2) |
    (FRAME_TYPES.indexOf(header.frameType) << 4) | (SEALS.indexOf(header.seal) << 6);
  bytes[2] = header.stream;
  view.setUint16(3, header.member, true);
  view.setUint32(5, header.seq, true);
  view.setUint16(9, header.ref, true);
  view.setBigUint64(11, header.capturedUs, true);
  return bytes;
}
