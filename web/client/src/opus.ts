/** Opus by WebCodecs: browsers have it, Node has not. */
import type { AudioChunk, OpusPacket } from './body-v2.js';

/** Packets that wait for the decoder; then something is wrong with it. */
const MOST_WAITING = 50;

/** Whether sound coded by Opus can be heard here. */
export const canDecodeOpus = (): boolean => typeof AudioDecoder !== 'undefined';

/** Called with what was decoded; `copied`: of the copy of a packet that was lost, one before that it came with. */
export type Heard = (chunk: AudioChunk, copied: boolean) => void;

/** Decodes one stream. */
export class OpusStream {
  #decoder: AudioDecoder | null = null;
  #channels = 0;
  #number = -1;
  /** For each packet that the decoder has, in its order: the decoder counts times of its own. */
  #waiting: ((chunk: AudioChunk) => void)[] = [];

  /** Takes a packet in. What was lost is decoded from the copy in the packet after it; what has none is silence. */
  push({ channels, packet, number, previous }: OpusPacket, heard: Heard): void {
    const decoder = this.#ready(channels);
    if (decoder.decodeQueueSize > MOST_WAITING) return;
    if (previous.length && number === this.#number + 2) this.#decode(decoder, previous, (chunk) => heard(chunk, true));
    this.#decode(decoder, packet, (chunk) => heard(chunk, false));
    this.#number = number;
  }

  close(): void {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = null;
    this.#waiting = [];
  }

  #decode(decoder: AudioDecoder, data: Uint8Array, heard: (chunk: AudioChunk) => void): void {
    this.#waiting.push(heard);
    decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp: 0, data: data.slice() }));
  }

  #ready(channels: number): AudioDecoder {
    if (this.#decoder?.state === 'configured' && channels === this.#channels) return this.#decoder;
    this.close();
    this.#channels = channels;
    const decoder = new AudioDecoder({
      output: (data) => {
        this.#waiting.shift()?.(chunkOf(data));
        data.close();
      },
      error: () => this.close(), // the next packet begins anew
    });
    decoder.configure({ codec: 'opus', sampleRate: 48_000, numberOfChannels: channels });
    return (this.#decoder = decoder);
  }
}

function chunkOf(data: AudioData): AudioChunk {
  const channels = data.numberOfChannels;
  const samples = new Float32Array(data.numberOfFrames * channels);
  const plane = new Float32Array(data.numberOfFrames);
  for (let c = 0; c < channels; c++) {
    data.copyTo(plane, { planeIndex: c, format: 'f32-planar' });
    for (let i = 0; i < plane.length; i++) samples[i * channels + c] = plane[i];
  }
  return { sampleRate: data.sampleRate, channels, samples };
}
