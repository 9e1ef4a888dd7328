/**
 * Runs in the audio thread: a ring of samples per stream. It begins to play when there is enough against the network's
 * shaking, falls silent when it runs dry, and skips what has become too late.
 */

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;
declare const sampleRate: number;

const BEGIN = 0.06;
const MOST = 0.25;

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

registerProcessor('posewire-player', Player);
