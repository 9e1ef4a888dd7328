/** "Each packet once" of docs/wire.md. */

const SIZE = 1024;

/** Which frames of one stream were accepted: the greatest seq, and which of the 1,024 up to it. */
export class ReplayWindow {
  #greatest = -1;
  readonly #seen = new Uint8Array(SIZE);

  /** Whether this frame is new; does not change anything. */
  isNew(seq: number): boolean {
    if (seq > this.#greatest) return true;
    return seq > this.#greatest - SIZE && this.#seen[seq % SIZE] === 0;
  }

  /** Takes a frame for accepted; false when it was accepted before, or comes far too late. */
  accept(seq: number): boolean {
    if (!this.isNew(seq)) return false;
    if (seq >= this.#greatest + SIZE) this.#seen.fill(0);
    else for (let passed = this.#greatest + 1; passed < seq; passed++) this.#seen[passed % SIZE] = 0;
    this.#seen[seq % SIZE] = 1;
    this.#greatest = Math.max(seq, this.#greatest);
    return true;
  }
}
