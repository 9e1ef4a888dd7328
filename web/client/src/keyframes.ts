/** Asks for what is missing to read a stream: its newest picture, or a new keyframe. */
import type { Header } from './header.js';
import { asBytes } from './socket-parser.js';

const ASK_AGAIN = 250;
const ASK_AT_ONCE = 50;
const MAX_STREAMS = 1024;

type Request = (name: string, argument: unknown) => Promise<unknown>;

/** Questions to the server, not the same one all the time. */
export class Keyframes {
  readonly #request: Request;
  /** When a keyframe was asked for last, and the newest frame since that could not be read and may be referred to. */
  readonly #asked = new Map<string, { at: number; seq: number }>();

  constructor(request: Request) {
    this.#request = request;
  }

  /** Asks for a keyframe: the frame with this header refers to one that did not come. `now`: steady milliseconds. */
  ask(header: Header, now: number): void {
    const name = `${header.member}/${header.stream}`;
    const { at, seq } = this.#asked.get(name) ?? { at: -Infinity, seq: -1 };
    // A reference newer than all we know of: the keyframe was sent, and it is lost too.
    const known = header.seq - header.ref <= seq;
    if (now - at < (known ? ASK_AGAIN : ASK_AT_ONCE)) {
      if (known && header.frameType === 'anchor') this.#asked.set(name, { at, seq: Math.max(seq, header.seq) });
      return;
    }
    if (this.#asked.size >= MAX_STREAMS) this.#asked.clear(); // costs a question too many
    this.#asked.set(name, { at: now, seq: header.seq });
    // Without an answer the next frame that cannot be read asks again.
    this.#request('stream.keyframe', { member: header.member, stream: header.stream }).catch(() => undefined);
  }

  /** Gets the packets of a stream's newest picture; none when there is none, or no answer. */
  async picture(member: number, stream: number): Promise<Uint8Array[]> {
    const answer = await this.#request('stream.picture', { member, stream }).catch(() => []);
    const packets = Array.isArray(answer) ? answer.map(asBytes) : [];
    return packets.filter((packet): packet is Uint8Array => packet !== null);
  }
}
