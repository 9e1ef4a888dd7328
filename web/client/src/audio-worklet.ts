/**
 * Runs in the audio thread. Player: a ring of samples per stream. It begins to play when there is enough against the network's
 * shaking, falls silent when it runs dry, and skips what has become too late. Microphone: gathers 20 ms and hands them over.
 */

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;
declare const sampleRate: number;
/** Seconds, of the first sample that `process` is called for. */
declare const currentTime: number;

const BEGIN = 0.06;
const MOST = 0.25;
const PIECE = 0.02;

class Player extends AudioWorkletProcessor {
  #chunks: Float32Array[] = [];
  #at = 0;
  #held = 0;
  #plays = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<Float32Array>) => {
      this.#chunks.push(data);
      this.#held += data.length;
      // Behind by too much: what is oldest goes, down to what it takes to begin.
      if (this.#held > MOST * sampleRate) while (this.#held > BEGIN * sampleRate && this.#chunks.length > 1) this.#drop();
      if (this.#held >= BEGIN * sampleRate) this.#plays = true;
    };
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const out = outputs[0]?.[0];
    if (!out || !this.#plays) return true;
    for (let i = 0; i < out.length; i++) {
      const first = this.#chunks[0];
      if (!first) {
        this.#plays = false; // dry: gather some again
        break;
      }
      out[i] = first[this.#at++];
      this.#held--;
      if (this.#at >= first.length) {
        this.#chunks.shift();
        this.#at = 0;
      }
    }
    return true;
  }

  #drop(): void {
    const first = this.#chunks.shift();
    this.#held -= (first?.length ?? 0) - this.#at;
    this.#at = 0;
  }
}

class Microphone extends AudioWorkletProcessor {
  #samples = new Int16Array(Math.round(PIECE * sampleRate));
  #used = 0;

  process(inputs: Float32Array[][]): boolean {
    const heard = inputs[0]?.[0];
    if (!heard) return true;
    for (let i = 0; i < heard.length; i++) {
      this.#samples[this.#used++] = Math.max(-1, Math.min(1, heard[i])) * 32_767;
      if (this.#used < this.#samples.length) continue;
      const samples = this.#samples;
      this.port.postMessage({ samples, end: currentTime + (i + 1) / sampleRate }, [samples.buffer]);
      this.#samples = new Int16Array(Math.round(PIECE * sampleRate));
      this.#used = 0;
    }
    return true;
  }
}

registerProcessor('posewire-player', Player);
registerProcessor('posewire-microphone', Microphone);
