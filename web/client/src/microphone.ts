/** Sends what a microphone hears: through an AudioWorklet, in pieces of 20 ms. */
import type { AudioPublisher } from './publishers.js';

const RATE = 48_000;
/** Milliseconds that a piece may move what is known of the sound's clock: the two drift, by less than that. */
const DRIFT = 0.01;

interface Piece {
  readonly samples: Int16Array;
  /** Seconds on the clock of the sound. */
  readonly end: number;
}

/** Hears until it is closed. Make it with `openMicrophone`. */
export class Microphone {
  readonly #context: AudioContext;
  readonly #stream: MediaStream;

  constructor(context: AudioContext, stream: MediaStream) {
    this.#context = context;
    this.#stream = stream;
  }

  /** Lets the microphone go; the browser's sign for it goes out. Idempotent. */
  async close(): Promise<void> {
    for (const track of this.#stream.getTracks()) track.stop();
    if (this.#context.state !== 'closed') await this.#context.close();
  }
}

/**
 * Asks the user for the microphone and sends what it hears. Needs a secure context: https, or localhost. Throws what the
 * browser throws when the user says no. `workletUrl`: where the page has `audio-worklet.js` of this package.
 */
export async function openMicrophone(publisher: AudioPublisher, workletUrl: string | URL): Promise<Microphone> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true } });
  const context = new AudioContext({ sampleRate: RATE, latencyHint: 'interactive' });
  const microphone = new Microphone(context, stream);
  try {
    await context.audioWorklet.addModule(workletUrl);
    const node = new AudioWorkletNode(context, 'posewire-microphone', { numberOfInputs: 1, numberOfOutputs: 0, channelCount: 1 });
    // By the clock of the sound: pieces come late when the page is busy, and all at once. The promptest says what it is.
    let offset = Infinity;
    node.port.onmessage = ({ data: { samples, end } }: MessageEvent<Piece>) => {
      offset = Math.min(offset + DRIFT, performance.timeOrigin + performance.now() - 1000 * end);
      publisher.send({ sampleRate: RATE, channels: 1, samples }, offset + 1000 * (end - samples.length / RATE));
    };
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
  } catch (error) {
    await microphone.close();
    throw error;
  }
  return microphone;
}
