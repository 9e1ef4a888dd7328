/** Opus by WebCodecs: browsers have it, Node has not. */
import type { AudioChunk, OpusPacket } from './body-v2.js';

/** Packets that wait for the decoder; then something is wrong with it. */
const MOST_WAITING = 50;

/** Whether sound coded by Opus can be heard here. */
export const canDecodeOpus = (): boolean => typeof AudioDecoder !== 'undefined';

/** Decodes one stream. Gives each chunk with the number that its packet came with. */
export class OpusStream {
  readonly #heard: (chunk: AudioChunk, seq: number) => void;
  #decoder: AudioDecoder | null = null;
  #channels = 0;
  #number = -1;

  constructor(heard: (chunk: AudioChunk, seq: number) => void) {
    this.#heard = heard;
  }

  /** Takes a packet in. What was lost is decoded from the copy in the packet after it; what has none is silence. */
  push({ channels, packet, number, previous }: OpusPacket, seq: number): void {
    const decoder = this.#ready(channels);
    if (decoder.decodeQueueSize > MOST_WAITING) return;
    if (previous.length && number === this.#number + 2) this.#decode(decoder, previous, seq - 1);
    this.#decode(decoder, packet, seq);
    this.#number = number;
  }

  close(): void {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = null;
  }

  #decode(decoder: AudioDecoder, data: Uint8Array, seq: number): void {
    // The time of a chunk is its number: it comes back with what was decoded.
    decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp: seq, data: data.slice() }));
  }

  #ready(channels: number): AudioDecoder {
    if (this.#decoder?.state === 'configured' && channels === this.#channels) return this.#decoder;
    this.close();
    this.#channels = channels;
    const decoder = new AudioDecoder({
      output: (data) => {
        this.#heard(chunkOf(data), data.timestamp);
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
