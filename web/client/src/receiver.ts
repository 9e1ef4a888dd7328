/** From packets to frames: opened, checked, decoded, counted, in the order in which they came. */
import { decodePoseV1 } from './body-v1.js';
import { decodeAudioV2, decodeEventV2, decodePoseV2, type AudioChunk, type OpusPacket } from './body-v2.js';
import { toHex } from './bytes.js';
import { Emitter } from './emitter.js';
import { MissingReference, ProtocolError, check } from './errors.js';
import { unpackHeader, type Header } from './header.js';
import type { Keyframes } from './keyframes.js';
import type { Value } from './msgpack.js';
import type { Opener, Origin } from './opener.js';
import { OpusStream, canDecodeOpus } from './opus.js';
import type { Pose } from './pose.js';
import { ReplayWindow } from './replay-window.js';
import type { Reporter } from './reporter.js';
import { SignedTimes } from './signed-times.js';
import { StreamStats } from './stream-stats.js';
import { V3Decoder } from './v3-decoder.js';

const MOST_WAITING = 4096;
const MAX_WINDOWS = 4096;

/** A pose or sound of somebody. Times are milliseconds since 1970 on this machine's clock. */
export interface Frame<Content> {
  readonly userId: string;
  readonly stream: string;
  readonly seq: number;
  /** Between capture and now, when the frame was decoded. */
  readonly age: number;
  readonly capturedAt: number;
  readonly receivedAt: number;
  /** Bytes of the packet. */
  readonly size: number;
  readonly content: Content;
}

export interface MemberEvent {
  readonly userId: string;
  readonly name: string;
  readonly data: Value;
}

export interface ReceiverEvents {
  pose: Frame<Pose>;
  audio: Frame<AudioChunk>;
  event: MemberEvent;
  drop: { readonly word: string; readonly userId: string | null };
}

/** What is known of a stream while its member is here. */
interface Reading {
  readonly userId: string;
  readonly stream: string;
  readonly member: number;
  readonly number: number;
  readonly stats: StreamStats;
  readonly decoder: V3Decoder;
  readonly signed: SignedTimes;
  opus: OpusStream | null;
  /** The newest pose that was shown. */
  shown: number;
  /** While a picture is on its way: reads the newest frame that came meanwhile. */
  fetching: boolean;
  missed: (() => void) | null;
}

interface Waiting {
  readonly header: Header;
  readonly packet: Uint8Array;
  readonly origin: Origin;
  readonly body: Uint8Array | Promise<Uint8Array | ProtocolError>;
  readonly at: number;
  /** Of a picture: decoded again, if it was here; and its last packet is to be shown. */
  readonly again: boolean;
  readonly silent: boolean;
  readonly done: (() => void) | null;
}

/** The times of a machine: microseconds since 1970 here, and what the server's clock says in them. */
export interface Times {
  readonly now: () => number;
  readonly toLocal: (server: number) => number;
  readonly toServer: (local: number) => number;
}

/** Nothing a stranger sends is thrown here: what cannot be read is counted in `drops` and forgotten. */
export class Receiver extends Emitter<ReceiverEvents> {
  readonly drops = new Map<string, number>();
  /** Milliseconds spent on packets so far; what WebCrypto does meanwhile is not in it. */
  spent = 0;
  readonly #opener: Opener;
  readonly #keyframes: Keyframes;
  readonly #reporter: Reporter;
  readonly #times: Times;
  readonly #readings = new Map<string, Reading>();
  readonly #windows = new Map<string, ReplayWindow>();
  readonly #queue: Waiting[] = [];
  #draining = false;

  constructor(opener: Opener, keyframes: Keyframes, reporter: Reporter, times: Times) {
    super();
    this.#opener = opener;
    this.#keyframes = keyframes;
    this.#reporter = reporter;
    this.#times = times;
  }

  /** What is known of every stream that was heard. */
  get readings(): Iterable<{ userId: string; stream: string; member: number; number: number; stats: StreamStats; bits: readonly number[] }> {
    return [...this.#readings.values()].map(({ decoder, ...reading }) => ({ ...reading, bits: decoder.bits }));
  }

  /** Forgets the streams of a member that left. Its windows stay: its salt would make it known again. */
  left(member: number): void {
    for (const [name, reading] of this.#readings) if (reading.member === member) this.#forget(name, reading);
  }

  /** Forgets all streams: the room was entered anew. */
  reset(): void {
    for (const [name, reading] of this.#readings) this.#forget(name, reading);
    // Numbers alone do not tell members of one room from those of the next; salts do.
    for (const name of this.#windows.keys()) if (name.includes('//')) this.#windows.delete(name);
  }

  /** Takes a packet in. */
  packet(packet: Uint8Array): void {
    this.#take(packet, { again: false, silent: false, done: null });
  }

  /** Gets the newest picture of a stream that we did not follow so far, so that its next frame has what it refers to. */
  async fetchPicture(userId: string, stream: string, member: number, number: number): Promise<void> {
    const reading = this.#reading(userId, stream, member, number);
    reading.fetching = true;
    try {
      const packets = await this.#keyframes.picture(member, number);
      await Promise.all(packets.map((packet, i) => new Promise<void>((done) => {
        this.#take(packet, { again: true, silent: i < packets.length - 1, done });
      })));
    } finally {
      reading.fetching = false;
      const { missed } = reading;
      reading.missed = null;
      missed?.();
    }
  }

  #take(packet: Uint8Array, how: Pick<Waiting, 'again' | 'silent' | 'done'>): void {
    const at = this.#times.now();
    let userId: string | null = null;
    try {
      const header = unpackHeader(packet);
      const origin = this.#opener.originOf(header);
      userId = origin.member.id;
      check(this.#queue.length < MOST_WAITING, 'too many packets wait', 'stale');
      const opened = this.#opener.open(header, packet, origin.member, at / 1000);
      const body = opened instanceof Promise ? opened.catch(asRefusal) : opened;
      this.#queue.push({ header, packet, origin, body, at, ...how });
    } catch (error) {
      this.#drop(asRefusal(error), userId);
      this.#reporter.heard(at / 1000);
      how.done?.();
      return;
    }
    this.spent += (this.#times.now() - at) / 1000;
    if (!this.#draining) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      try {
        const body = next.body instanceof Promise ? await next.body : next.body;
        if (body instanceof ProtocolError) throw body;
        const begun = this.#times.now();
        const handled = this.#handle(next, body);
        this.spent += (this.#times.now() - begun) / 1000;
        if (handled) await handled;
      } catch (error) {
        this.#drop(asRefusal(error), next.origin.member.id);
        this.#reporter.heard(this.#times.now() / 1000);
      }
      next.done?.();
    }
    this.#draining = false;
  }

  #handle(waiting: Waiting, body: Uint8Array): Promise<void> | void {
    const { header, origin } = waiting;
    if (header.version === 1) return this.#handleSigned(waiting, body);
    const isNew = this.#windowOf(header, origin).accept(header.seq);
    check(isNew || waiting.again, 'it was here already', 'replayed');
    if (!origin.stream) return this.#event(origin.member.id, body);
    const reading = this.#observe(waiting, isNew);
    if (header.kind === 'audio') {
      const audio = decodeAudioV2(body);
      return audio instanceof Promise ? audio.then((content) => this.#heard(reading, waiting, content)) : this.#heard(reading, waiting, audio);
    }
    const pose = header.version === 2 ? decodePoseV2(body) : this.#decode(reading, waiting, body);
    if (pose instanceof Promise) return pose.then((content) => this.#show(reading, waiting, content));
    if (pose) this.#show(reading, waiting, pose);
  }

  async #handleSigned(waiting: Waiting, body: Uint8Array): Promise<void> {
    const { header, origin } = waiting;
    const { pose, signedUs } = await decodePoseV1(body, this.#opener.sharedKey);
    const reading = this.#readingOf(origin);
    reading.signed.check(signedUs, Number(header.capturedUs), this.#times.toServer(this.#times.now()));
    check(this.#windowOf(header, origin).accept(header.seq), 'it was here already', 'replayed');
    reading.signed.accept(signedUs);
    this.#observe(waiting, true);
    this.#show(reading, waiting, pose);
  }

  /** Decodes a pose of version 3; null when it waits for a picture. */
  #decode(reading: Reading, waiting: Waiting, body: Uint8Array): Pose | null {
    try {
      return reading.decoder.decode(waiting.header, body);
    } catch (error) {
      if (!(error instanceof MissingReference)) throw error;
      if (reading.fetching && !waiting.again) {
        reading.missed = () => {
          try {
            const pose = this.#decode(reading, waiting, body);
            if (pose) this.#show(reading, waiting, pose);
          } catch (later) {
            this.#drop(asRefusal(later), reading.userId);
          }
        };
        return null;
      }
      if (!waiting.again) this.#keyframes.ask(waiting.header, this.#times.now() / 1000);
      throw error;
    }
  }

  #show(reading: Reading, waiting: Waiting, content: Pose): void {
    if (waiting.silent || waiting.header.seq <= reading.shown) return; // of a picture, or overtaken while it waited for one
    reading.shown = waiting.header.seq;
    this.emit('pose', this.#frame(reading, waiting, content));
  }

  #heard(reading: Reading, waiting: Waiting, content: AudioChunk | OpusPacket): void {
    if ('samples' in content) return this.emit('audio', this.#frame(reading, waiting, content));
    check(canDecodeOpus(), 'no decoder of Opus here', 'no_codec');
    reading.opus ??= new OpusStream();
    reading.opus.push(content, (chunk, copied) => {
      const frame = this.#frame(reading, waiting, chunk);
      this.emit('audio', copied ? { ...frame, seq: frame.seq - 1 } : frame);
    });
  }

  #event(userId: string, body: Uint8Array): void {
    this.emit('event', { userId, ...decodeEventV2(body) });
  }

  #frame<Content>({ userId, stream }: Reading, { header, packet, at }: Waiting, content: Content): Frame<Content> {
    const capturedAt = this.#times.toLocal(Number(header.capturedUs)) / 1000;
    const age = this.#times.now() / 1000 - capturedAt;
    return { userId, stream, seq: header.seq, age, capturedAt, receivedAt: at / 1000, size: packet.length, content };
  }

  #observe(waiting: Waiting, isNew: boolean): Reading {
    const reading = this.#readingOf(waiting.origin);
    if (isNew && !waiting.again) {
      const now = this.#times.now();
      const age = (now - this.#times.toLocal(Number(waiting.header.capturedUs))) / 1000;
      reading.stats.observe(now / 1000, age, waiting.packet.length, waiting.header.seq);
      this.#reporter.observe(reading.stats, now / 1000);
    }
    return reading;
  }

  #readingOf({ member, stream }: Origin): Reading {
    check(stream, 'no stream');
    return this.#reading(member.id, stream.name, member.number, stream.number);
  }

  #reading(userId: string, stream: string, member: number, number: number): Reading {
    const name = `${member}/${number}`;
    let reading = this.#readings.get(name);
    if (!reading) {
      reading = {
        userId, stream, member, number, stats: new StreamStats(), decoder: new V3Decoder(), signed: new SignedTimes(),
        opus: null, shown: -1, fetching: false, missed: null,
      };
      this.#readings.set(name, reading);
    }
    return reading;
  }

  #forget(name: string, reading: Reading): void {
    reading.opus?.close();
    this.#readings.delete(name);
  }

  #windowOf(header: Header, { member }: Origin): ReplayWindow {
    const name = `${header.member}/${toHex(member.salt)}/${header.stream}`;
    let window = this.#windows.get(name);
    if (!window) {
      if (this.#windows.size >= MAX_WINDOWS) this.#windows.delete(this.#windows.keys().next().value ?? '');
      this.#windows.set(name, (window = new ReplayWindow()));
    }
    return window;
  }

  #drop({ word }: ProtocolError, userId: string | null): void {
    this.drops.set(word, (this.drops.get(word) ?? 0) + 1);
    this.emit('drop', { word, userId });
  }
}

/** Anything but a refusal is a mistake of ours, and must not pass for one of the sender. */
function asRefusal(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error;
  console.error(error);
  return new ProtocolError(String(error));
}

