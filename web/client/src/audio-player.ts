/** Plays the sound of others: each stream through an AudioWorklet of its own, which keeps it in time. */
import type { AudioChunk } from './body-v2.js';

/** Loudness of a chunk: 0 for −60 dB and less, 1 for full scale. */
export function levelOf({ samples }: AudioChunk): number {
  const full = samples instanceof Int16Array ? 32_768 : 1;
  let sum = 0;
  for (const sample of samples) sum += (sample / full) ** 2;
  const decibels = 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-12);
  return Math.min(1, Math.max(0, 1 + decibels / 60));
}

/** One channel of floats, at the rate of the context: what the worklet takes. */
export function monoAt(rate: number, { sampleRate, channels, samples }: AudioChunk): Float32Array<ArrayBuffer> {
  const full = samples instanceof Int16Array ? 32_768 : 1;
  const frames = samples.length / channels;
  const mono = new Float32Array(frames);
  for (let i = 0; i < frames; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += samples[i * channels + c];
    mono[i] = sum / channels / full;
  }
  if (sampleRate === rate) return mono;
  const out = new Float32Array(Math.round((frames * rate) / sampleRate));
  for (let i = 0; i < out.length; i++) {
    const at = (i * sampleRate) / rate;
    const left = Math.min(frames - 1, Math.floor(at));
    out[i] = mono[left] + (at - left) * (mono[Math.min(frames - 1, left + 1)] - mono[left]);
  }
  return out;
}

/** Plays streams of sound. Browsers begin only when the user has done something: call `start` then. */
export class AudioPlayer {
  readonly #workletUrl: string | URL;
  readonly #nodes = new Map<string, AudioWorkletNode>();
  #context: AudioContext | null = null;

  /** `workletUrl`: where the page has `audio-worklet.js` of this package. */
  constructor(workletUrl: string | URL) {
    this.#workletUrl = workletUrl;
  }

  get playing(): boolean {
    return this.#context?.state === 'running';
  }

  async start(): Promise<void> {
    if (!this.#context) {
      const context = new AudioContext({ latencyHint: 'interactive' });
      await context.audioWorklet.addModule(this.#workletUrl);
      this.#context = context;
    }
    await this.#context.resume();
  }

  async stop(): Promise<void> {
    await this.#context?.suspend();
  }

  /** Plays a chunk of a stream, after those before it. Silent until `start`. */
  play(stream: string, chunk: AudioChunk): void {
    const context = this.#context;
    if (!context || context.state !== 'running') return;
    let node = this.#nodes.get(stream);
    if (!node) {
      node = new AudioWorkletNode(context, 'posewire-player', { numberOfInputs: 0, outputChannelCount: [1] });
      node.connect(context.destination);
      this.#nodes.set(stream, node);
    }
    const samples = monoAt(context.sampleRate, chunk);
    node.port.postMessage(samples, [samples.buffer]);
  }

  /** Forgets a stream. */
  remove(stream: string): void {
    this.#nodes.get(stream)?.disconnect();
    this.#nodes.delete(stream);
  }
}
