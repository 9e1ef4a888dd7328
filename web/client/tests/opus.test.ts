/** Coding Opus, with a coder that only counts: browsers have the real one (tests/browser). */
import { afterEach, expect, test, vi } from 'vitest';
import type { OpusPacket } from '../src/body-v2.js';
import { OpusCoder, canEncodeOpus } from '../src/opus-coder.js';
import { AudioPublisher } from '../src/publishers.js';

const PIECE = new Int16Array(960);

class Data {
  readonly timestamp: number;
  readonly format: string;
  constructor(init: { timestamp: number; format: string }) {
    [this.timestamp, this.format] = [init.timestamp, init.format];
  }
}

class Coder {
  static made: Coder[] = [];
  state = 'unconfigured';
  config: { numberOfChannels?: number } = {};
  readonly #init: { output: (coded: unknown) => void; error: (error: unknown) => void };
  constructor(init: { output: (coded: unknown) => void; error: (error: unknown) => void }) {
    this.#init = init;
    Coder.made.push(this);
  }
  configure(config: object): void {
    [this.state, this.config] = ['configured', config];
  }
  encode({ timestamp }: Data): void {
    this.#init.output({ timestamp, byteLength: 1, copyTo: (into: Uint8Array) => into.fill(7) });
  }
  fail(): void {
    this.state = 'closed';
    this.#init.error(new Error('no'));
  }
  close(): void {
    this.state = 'closed';
  }
}

afterEach(() => {
  vi.unstubAllGlobals();
  Coder.made = [];
});

test('times are of the first sample that comes out, numbers go on, a pause begins anew', () => {
  vi.stubGlobal('AudioEncoder', Coder);
  vi.stubGlobal('AudioData', Data);
  const made: [number, number][] = [];
  const coder = new OpusCoder(32_000, ({ number }: OpusPacket, at) => made.push([number, at]), () => undefined);
  const say = (at: number, channels = 1) => coder.push({ sampleRate: 48_000, channels, samples: PIECE }, at);
  say(1000);
  say(1025); // the clock of the page shakes, that of the sound does not
  say(5000);
  expect(made).toEqual([[0, 993.5], [1, 1013.5], [2, 4993.5]]);
  expect(Coder.made).toHaveLength(2);
  say(5020, 2);
  expect(Coder.made.at(-1)?.config.numberOfChannels).toBe(2);
  coder.push({ sampleRate: 16_000, channels: 1, samples: new Int16Array(320) }, 5030);
  expect(Coder.made.at(-1)?.config.numberOfChannels).toBe(1);
});

test('without Opus it is PCM', async () => {
  expect(await canEncodeOpus()).toBe(false); // Node
  vi.stubGlobal('AudioEncoder', Coder);
  vi.stubGlobal('AudioData', Data);
  const uplink = { seat: null, takes: () => true } as never;
  const publisher = new AudioPublisher('voice', uplink, { open: async () => 1, toServer: (ms) => ms }, { codec: 'opus' });
  publisher.send({ sampleRate: 48_000, channels: 1, samples: PIECE });
  expect(publisher.codec).toBe('opus');
  Coder.made[0].fail();
  expect(publisher.codec).toBe('pcm');
});
