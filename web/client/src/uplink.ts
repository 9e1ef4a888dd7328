/** Writes packets of ours: numbers and seals them, in order, and knows how many bytes are under way. */
import { concat } from './bytes.js';
import { Credit } from './credit.js';
import { PosewireError } from './errors.js';
import { packHeader, type Header } from './header.js';
import type { SealKey } from './seal.js';

/** What we are in the room we are in. */
export interface Seat {
  readonly number: number;
  /** Null where nothing is sealed: without a secure context. */
  readonly seal: SealKey | null;
}

export type Draft = Omit<Header, 'member' | 'seal' | 'seq'>;

export interface Writer {
  readonly tell: (name: string, argument: unknown) => boolean;
  readonly request: (name: string, argument: unknown) => Promise<unknown>;
  /** Steady milliseconds. */
  readonly now: () => number;
}

/** One for a session. */
export class Uplink {
  readonly credit = new Credit();
  /** Called when more can be sent. */
  onCredit: () => void = () => undefined;
  #seat: Seat | null = null;
  /** Whether this server says what has come. */
  acknowledges = false;
  readonly #writer: Writer;
  readonly #seqs = new Map<number, number>();
  readonly #events = new Map<number, Uint8Array>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  get seat(): Seat | null {
    return this.#seat;
  }

  /** Takes a new seat: every stream begins at 0. */
  sit(seat: Seat | null): void {
    this.#seat = seat;
    this.#seqs.clear();
    this.#events.clear();
  }

  /** Seals with another key from now on; the numbers go on. */
  rekey(seal: SealKey): void {
    if (this.#seat) this.#seat = { ...this.#seat, seal };
  }

  /** A new connection: nothing is under way on it. */
  connected(acknowledges: boolean): void {
    this.credit.reset();
    this.acknowledges = acknowledges;
  }

  takes(size: number): boolean {
    return !this.acknowledges || this.credit.takes(size);
  }

  /** The number that the next packet of a stream gets. */
  nextSeq(stream: number): number {
    return this.#seqs.get(stream) ?? 0;
  }

  /** Sends a packet of which nobody hears back; false when it could not be. In order of the calls. */
  send(draft: Draft, body: Uint8Array): Promise<boolean> {
    return this.#inOrder(draft, body, (packet) => this.#writer.tell('frame', packet));
  }

  /** Sends an event, and again after a connection was lost, until the server has it. Gives how many members it went to. */
  async sendReliably(draft: Draft, body: Uint8Array): Promise<number> {
    const { packet, seq } = await this.#inOrder(draft, body, (made, number) => {
      this.#events.set(number, made);
      return { packet: made, seq: number };
    });
    const members = await this.#writer.request('frame', packet);
    this.#events.delete(seq);
    return typeof members === 'number' ? members : 0;
  }

  /** Sends again what the server does not have: it has all up to `received`. */
  resend(received: number): void {
    for (const [seq, packet] of this.#events) {
      if (seq < received) this.#events.delete(seq);
      else this.#writer.request('frame', packet).then(() => this.#events.delete(seq), () => undefined);
    }
  }

  #inOrder<Result>(draft: Draft, body: Uint8Array, write: (packet: Uint8Array, seq: number) => Result): Promise<Result> {
    const seat = this.#seat;
    if (!seat) return Promise.reject(new PosewireError('RoomError', 'not in a room'));
    const seq = this.nextSeq(draft.stream);
    this.#seqs.set(draft.stream, seq + 1);
    const header: Header = { ...draft, member: seat.number, seq, seal: 'none' };
    const sealed = seat.seal ? seat.seal.seal(header, body) : concat(packHeader(header), body);
    const written = this.#last.then(() => sealed).then((packet) => {
      if (this.#seat?.number !== seat.number) throw new PosewireError('RoomError', 'the seat was lost');
      this.credit.count(packet.length, this.#writer.now());
      return write(packet, seq);
    });
    this.#last = written.catch(() => undefined);
    return written;
  }
}
