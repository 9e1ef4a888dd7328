/** "Coming back" of docs/wire.md: counts what must come once, and keeps the token that gives our seat back. */

const MESSAGES = 16;
const BYTES = 32 << 10;

export class Resumption {
  /** Journalled messages that have come since the session began. */
  received = 0;
  readonly #tell: (name: string, data: unknown) => void;
  #token = '';
  #confirmed = 0;
  #bytes = 0;
  #greeting = false;

  constructor(tell: (name: string, data: unknown) => void) {
    this.#tell = tell;
  }

  /** The argument of the first request of a connection. `member`: our number in the room we are in. */
  hello(member: number): { resume: string; received: number; member: number } {
    // The server takes a confirmation for a sign that the next token has come.
    this.#greeting = true;
    return { resume: this.#token, received: this.received, member };
  }

  /** Takes the server's answer in. */
  welcomed(token: string, resumed: boolean): void {
    this.#token = token;
    this.#greeting = false;
    if (!resumed) this.received = 0;
    this.#confirm();
  }

  /** Notes a journalled message of about `size` bytes. */
  count(size: number): void {
    this.received++;
    this.#bytes += size;
    if (this.received - this.#confirmed >= MESSAGES || this.#bytes >= BYTES) this.#confirm();
  }

  #confirm(): void {
    if (this.#greeting) return;
    this.#confirmed = this.received;
    this.#bytes = 0;
    if (this.#token) this.#tell('confirm', { received: this.received });
  }
}
