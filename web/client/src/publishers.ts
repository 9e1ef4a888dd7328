/** What a member sends: poses, of which only the newest counts, and sound, all of it. */
import { encodeAudioV2, encodeOpusV2, encodePoseV2, type AudioChunk, type OpusPacket } from './body-v2.js';
import { PosewireError } from './errors.js';
import { OpusCoder } from './opus-coder.js';
import type { Pose } from './pose.js';
import type { Uplink } from './uplink.js';
import { V3Encoder, type Precision } from './v3-encoder.js';

/** Where a publisher gets a stream's number from, and the time. Microseconds since 1970 on the server's clock. */
export interface Desk {
  readonly open: (kind: 'pose' | 'audio', name: string) => Promise<number>;
  readonly toServer: (localMs: number) => number;
}

export interface PoseOptions {
  /** Of the body: 3 is some ten times smaller, 2 is exact. */
  readonly version?: 2 | 3;
  /** Bits of version 3. */
  readonly precision?: Precision;
}

export interface AudioOptions {
  /** `opus` is some twenty times smaller; where the browser cannot code it, `pcm` goes instead. */
  readonly codec?: 'pcm' | 'opus';
  /** Of Opus, bits a second. */
  readonly bitRate?: number;
}

interface Draft<Content> {
  readonly content: Content;
  readonly capturedAt: number;
}

const MAX_SOUNDS = 16;

/** Sends the poses of one stream: the newest, chosen when the link is free. */
export class PosePublisher {
  /** Poses that a newer one replaced before they could go. */
  skipped = 0;
  sent = 0;
  number = 0;
  readonly name: string;
  readonly #uplink: Uplink;
  readonly #desk: Desk;
  readonly #encoder: V3Encoder | null;
  #pending: Draft<Pose> | null = null;
  #writing = false;
  #failure: unknown = null;

  constructor(name: string, uplink: Uplink, desk: Desk, options: PoseOptions = {}) {
    this.name = name;
    this.#uplink = uplink;
    this.#desk = desk;
    this.#encoder = options.version === 2 ? null : new V3Encoder(options.precision);
  }

  /** Takes a pose; it goes at once, or as soon as the link is free unless a newer one comes. Never waits. */
  send(pose: Pose, capturedAt: number = performance.timeOrigin + performance.now()): void {
    if (this.#failure) throw this.#failure;
    if (this.#pending) this.skipped++;
    this.#pending = { content: pose, capturedAt };
    this.pump();
  }

  /** Makes the next frame one that needs no other: somebody cannot read this stream. */
  keyframe(): void {
    this.#encoder?.keyframe();
  }

  /** Opens the stream in a new seat. */
  async reopen(): Promise<void> {
    this.number = await this.#desk.open('pose', this.name);
    this.keyframe();
  }

  /** Sends what waits, if the link takes it. */
  pump(): void {
    const draft = this.#pending;
    if (!draft || this.#writing || !this.number || !this.#uplink.seat || !this.#uplink.takes(this.#size)) return;
    this.#pending = null;
    this.#writing = true;
    this.#write(draft)
      .catch((error: unknown) => {
        // A lost seat or connection: the next pose is another try. What cannot be encoded is the caller's mistake.
        if (!(error instanceof PosewireError)) this.#failure = error;
        this.#encoder?.keyframe();
      })
      .finally(() => {
        this.#writing = false;
        this.pump();
      });
  }

  #size = 0;

  async #write({ content, capturedAt }: Draft<Pose>): Promise<void> {
    const capturedUs = BigInt(Math.max(0, Math.round(this.#desk.toServer(capturedAt))));
    const draft = { kind: 'pose', delivery: 'latest', stream: this.number, capturedUs } as const;
    const seq = this.#uplink.nextSeq(this.number);
    const frame = this.#encoder?.encode(seq, content, capturedAt) ?? { version: 2, frameType: 'key', ref: 0, body: encodePoseV2(content) };
    const { version, frameType, ref, body } = frame;
    this.#size = body.length;
    const written = await this.#uplink.send({ ...draft, version, frameType, ref }, body);
    if (written) this.sent++;
    else this.#encoder?.keyframe();
  }
}

/** Sends the sound of one stream, in order. What waits for too long goes first. */
export class AudioPublisher {
  dropped = 0;
  number = 0;
  readonly name: string;
  readonly #uplink: Uplink;
  readonly #desk: Desk;
  /** Bodies that wait. */
  readonly #queue: Draft<Uint8Array>[] = [];
  #coder: OpusCoder | null;
  #writing = false;

  constructor(name: string, uplink: Uplink, desk: Desk, { codec = 'pcm', bitRate = 32_000 }: AudioOptions = {}) {
    this.name = name;
    this.#uplink = uplink;
    this.#desk = desk;
    const made = (packet: OpusPacket, capturedAt: number) => this.#add(encodeOpusV2(packet), capturedAt);
    this.#coder = codec === 'opus' ? new OpusCoder(bitRate, made, () => (this.#coder = null)) : null;
  }

  /** How the sound goes out. */
  get codec(): 'pcm' | 'opus' {
    return this.#coder ? 'opus' : 'pcm';
  }

  /** Takes a chunk, some 20 ms of sound; `capturedAt` is of its first sample. Never waits. */
  send(chunk: AudioChunk, capturedAt: number = performance.timeOrigin + performance.now()): void {
    if (this.#coder) this.#coder.push(chunk, capturedAt);
    else this.#add(encodeAudioV2(chunk), capturedAt);
  }

  async reopen(): Promise<void> {
    this.number = await this.#desk.open('audio', this.name);
  }

  pump(): void {
    if (this.#writing || !this.#queue.length || !this.number || !this.#uplink.seat) return;
    const { content: body, capturedAt } = this.#queue[0];
    if (!this.#uplink.takes(body.length)) return;
    this.#queue.shift();
    this.#writing = true;
    const capturedUs = BigInt(Math.max(0, Math.round(this.#desk.toServer(capturedAt))));
    const draft = { version: 2, kind: 'audio', delivery: 'ordered', frameType: 'key', stream: this.number, ref: 0, capturedUs } as const;
    this.#uplink
      .send(draft, body)
      .catch(() => undefined)
      .finally(() => {
        this.#writing = false;
        this.pump();
      });
  }

  #add(body: Uint8Array, capturedAt: number): void {
    this.#queue.push({ content: body, capturedAt });
    if (this.#queue.length > MAX_SOUNDS) {
      this.#queue.shift();
      this.dropped++;
    }
    this.pump();
  }
}
