/** Opus by WebCodecs, the way out: chunks of sound become packets of 20 ms. Browsers have it, Node has not. */
import { monoAt } from './audio-player.js';
import type { AudioChunk, OpusPacket } from './body-v2.js';

const RATE = 48_000;
const FRAME_US = 20_000;
/** libopus looks ahead by 312 samples: what a decoder gives first is that much older than what went in. */
const AHEAD_MS = 6.5;
/** A capture time so far from where the samples alone would put it is a pause, or another clock: begin anew. */
const APART_MS = 100;
const NOTHING = new Uint8Array(0);

/** Whether sound can be coded by Opus here. */
export async function canEncodeOpus(): Promise<boolean> {
  if (typeof AudioEncoder === 'undefined') return false;
  const { supported } = await AudioEncoder.isConfigSupported(configOf(1, 32_000));
  return supported === true;
}

const configOf = (channels: number, bitRate: number): AudioEncoderConfig => ({
  codec: 'opus', sampleRate: RATE, numberOfChannels: channels, bitrate: bitRate, opus: { frameDuration: FRAME_US },
});

/** Codes one stream. Times are milliseconds, of the first sample. */
export class OpusCoder {
  readonly #bitRate: number;
  readonly #made: (packet: OpusPacket, capturedAt: number) => void;
  readonly #failed: (error: unknown) => void;
  #encoder: AudioEncoder | null = null;
  #channels = 0;
  /** When the first sample was captured that this encoder got, and how many it got. */
  #begun = 0;
  #samples = 0;
  #number = 0;

  /** `made` gets each packet; `failed` says that there will be no more. */
  constructor(bitRate: number, made: (packet: OpusPacket, capturedAt: number) => void, failed: (error: unknown) => void) {
    this.#bitRate = bitRate;
    this.#made = made;
    this.#failed = failed;
  }

  /** Takes a chunk; what is not at 48 kHz, or has more than two channels, becomes one channel at 48 kHz. */
  push(chunk: AudioChunk, capturedAt: number): void {
    const { sampleRate, channels, samples } = chunk;
    const fits = sampleRate === RATE && channels <= 2;
    this.#ready(fits ? channels : 1, capturedAt).encode(this.#data(fits ? samples : monoAt(RATE, chunk)));
  }

  close(): void {
    if (this.#encoder && this.#encoder.state !== 'closed') this.#encoder.close();
    this.#encoder = null;
  }

  #data(samples: Int16Array | Float32Array): AudioData {
    const frames = samples.length / this.#channels;
    const data = new AudioData({
      format: samples instanceof Float32Array ? 'f32' : 's16', sampleRate: RATE, numberOfFrames: frames, numberOfChannels: this.#channels,
      timestamp: Math.round((1e6 * this.#samples) / RATE), data: samples as Float32Array<ArrayBuffer> | Int16Array<ArrayBuffer>,
    });
    this.#samples += frames;
    return data;
  }

  #ready(channels: number, capturedAt: number): AudioEncoder {
    const due = this.#begun + (1000 * this.#samples) / RATE;
    if (this.#encoder?.state === 'configured' && channels === this.#channels && Math.abs(capturedAt - due) < APART_MS) return this.#encoder;
    this.close();
    [this.#channels, this.#begun, this.#samples] = [channels, capturedAt, 0];
    const encoder = new AudioEncoder({
      output: (coded) => {
        const packet = new Uint8Array(coded.byteLength);
        coded.copyTo(packet);
        const at = capturedAt + coded.timestamp / 1000 - AHEAD_MS;
        this.#made({ channels, packet, number: this.#number++, previous: NOTHING }, at);
      },
      error: (error) => this.#failed(error),
    });
    encoder.configure(configOf(channels, this.#bitRate));
    return (this.#encoder = encoder);
  }
}
